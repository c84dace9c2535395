//! Opening the file: what is checked and set before anything else.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::tables;
use crate::store::{StoreError, Trouble};

/// "Cron" in ASCII: marks the file as ours.
const APPLICATION: i32 = 0x4372_6f6e;

/// The newest layout of tables this version knows.
const LAYOUT: i32 = 1;

/// How long another process may keep us from the file.
const BUSY: Duration = Duration::from_secs(5);

/// Whether a database that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Make it.
    IfMissing,
    /// Fail: whoever only looks has no business making files.
    Never,
}

pub(super) fn connect(path: &Path, create: Create) -> Result<Connection, StoreError> {
    let lasting = |message: String| StoreError { kind: Trouble::Lasting, message };
    if create == Create::Never && !path.exists() {
        return Err(lasting(format!(
            "there is no database at {}: `cronclave serve` or `cronclave run` makes it; name another with --db",
            path.display()
        )));
    }
    if path.is_dir() {
        return Err(lasting(format!("database {} is a directory: name a file with --db", path.display())));
    }
    refuse_network_disk(path)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create == Create::IfMissing);
    Connection::open_with_flags(path, flags)
        .and_then(|mut db| prepare(&mut db).map(|found| (db, found)))
        .map_err(|error| StoreError::of_sqlite(path, &error))
        .and_then(|(db, found)| match found {
            Found::Ours => Ok(db),
            Found::Newer(layout) => Err(lasting(format!(
                "database {} was written by a newer version of cronclave (layout {layout}, this one knows {LAYOUT}): upgrade this program, or name another database with --db",
                path.display()
            ))),
            Found::Foreign => Err(lasting(format!(
                "database {} belongs to another program: name another with --db",
                path.display()
            ))),
        })
}

enum Found {
    Ours,
    Newer(i32),
    Foreign,
}

fn prepare(db: &mut Connection) -> rusqlite::Result<Found> {
    db.busy_handler(Some(wait_for_others))?;
    db.set_prepared_statement_cache_capacity(64);
    let (application, layout, tables) = identify(db)?;
    if tables > 0 && application != APPLICATION {
        return Ok(Found::Foreign);
    }
    if layout > LAYOUT {
        return Ok(Found::Newer(layout));
    }
    write_ahead(db)?;
    // NORMAL may forget the last commits when the power fails: an occurrence could start twice.
    db.pragma_update(None, "synchronous", "FULL")?;
    if layout < LAYOUT {
        let make = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        make.execute_batch(tables::LAYOUT)?;
        make.pragma_update(None, "application_id", APPLICATION)?;
        make.pragma_update(None, "user_version", LAYOUT)?;
        make.commit()?;
    }
    Ok(Found::Ours)
}

/// Whether to try again what another process keeps us from. SQLite's own waiting backs off to 100 ms and starves all but
/// one of several processes.
fn wait_for_others(tries: i32) -> bool {
    thread_local!(static SINCE: Cell<Instant> = Cell::new(Instant::now()));
    if tries == 0 {
        SINCE.set(Instant::now());
    }
    std::thread::sleep(Duration::from_micros(rand::random_range(200..2000)));
    // Not counted in tries: on a busy machine a short sleep is a long one, and whoever asked waits for 8 s.
    SINCE.get().elapsed() < BUSY
}

/// Application, layout and number of tables, as one commit left them: another process may be
/// making the database at this moment.
fn identify(db: &mut Connection) -> rusqlite::Result<(i32, i32, i64)> {
    let read = db.transaction()?;
    let number = |name: &str| read.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let tables = read.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((number("application_id")?, number("user_version")?, tables))
}

/// Turns on the write-ahead log. When two processes do so at once, SQLite refuses one of them
/// without asking the busy handler, lest they wait for each other.
fn write_ahead(db: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        let mode = db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        let done = match mode.as_deref() {
            Ok("wal") => return Ok(()),
            Ok(_) => db.pragma_update(None, "journal_mode", "WAL"),
            Err(_) => mode.map(|_| ()),
        };
        match done {
            Ok(()) => return Ok(()),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && tries < 500 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(rand::random_range(1..20)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Locks of SQLite's write-ahead log need shared memory, which network file systems do not have.
fn refuse_network_disk(path: &Path) -> Result<(), StoreError> {
    const NETWORK: [(u64, &str); 4] = [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB"), (0x517b, "SMB")];
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(found) = rustix::fs::statfs(directory) else { return Ok(()) };
    let kind = u64::try_from(found.f_type).unwrap_or(0) & 0xffff_ffff;
    match NETWORK.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(StoreError {
            kind: Trouble::Lasting,
            message: format!(
                "database {} lies on a network file system ({name}), where locks do not hold: use a local disk, or REDIS_URL for several machines",
                path.display()
            ),
        }),
        None => Ok(()),
    }
}

/// Which file a path leads to.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Writing on in a file that was moved away would split the cluster in two.
pub(super) fn still_there(path: &Path, opened: Option<(u64, u64)>) -> Result<(), rusqlite::Error> {
    if identity(path) == opened {
        return Ok(());
    }
    let gone = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    Err(rusqlite::Error::SqliteFailure(
        gone,
        Some("the file was removed or replaced while in use: put it back, or start again without it".into()),
    ))
}
