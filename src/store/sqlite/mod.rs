//! A store in one SQLite file: any number of processes on one machine, and no server.
//!
//! Two threads own a connection each: the writer joins what is asked at the same time into one
//! transaction, so that many due jobs share one flush to the disk; the reader answers from the
//! last committed state beside it.

mod documents;
mod lane;
mod open;
mod outbox;
mod tables;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::job::{JobName, Keep};
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, Event};
use crate::plan::View;
use crate::record::{self, Op};
use crate::store::{
    Answer, Collection, Document, Draft, Outbox, Piece, Query, Repair, Replica, Snapshot, Span, Store, StoreError,
    Trouble,
};
use lane::Lane;

pub use open::Create;

/// How often another process's changes are looked for.
const GLANCE: Duration = Duration::from_millis(200);

/// The embedded store.
pub struct Sqlite {
    path: PathBuf,
    clock: Clock,
    /// The latest time the file was seen to have reached, in microseconds: it does not go back with the clock.
    reached: AtomicI64,
    reader: Lane,
    writer: Lane,
    /// Rung after each commit of our own.
    bell: watch::Sender<()>,
}

impl Sqlite {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// When it cannot be used: no such directory, not ours, corrupt, read-only, written by a newer
    /// version, on a network file system. The message says how to mend it.
    pub fn open(path: &Path, create: Create, clock: Clock) -> Result<Self, StoreError> {
        let write = open::connect(path, create)?;
        let read = open::connect(path, Create::Never)?;
        let file = open::identity(path);
        let guard = path.to_path_buf();
        let check = move || open::still_there(&guard, file);
        Ok(Sqlite {
            path: path.to_path_buf(),
            clock,
            reached: AtomicI64::new(0),
            reader: Lane::reading(read, path, check.clone())?,
            writer: Lane::writing(write, path, check)?,
            bell: watch::channel(()).0,
        })
    }

    fn saw(&self, now: Timestamp) {
        self.reached.fetch_max(now.as_micros(), Ordering::Relaxed);
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.call(move |db| work(db)).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = self.writer.call(work).await?;
        self.bell.send_replace(());
        Ok(done)
    }
}

/// Asks `op` within the running transaction.
fn apply(db: &Transaction<'_>, job: &JobName, op: &Op, clock: Timestamp) -> rusqlite::Result<Answer> {
    let before = tables::record(db, job)?;
    let name = op.mutex(&before).map(str::to_owned);
    let mutex_before = tables::mutex(db, name.as_deref())?;
    let now = tables::advance_time(db, clock)?;
    let (mut record, mut mutex) = (before.clone(), mutex_before.clone());
    let state = record::State { job, record: &mut record, mutex: &mut mutex };
    let (reply, events) = record::apply(state, op, now);
    if record != before {
        tables::put_record(db, job, &record)?;
    }
    if let Some(name) = name.filter(|_| mutex != mutex_before) {
        tables::put_mutex(db, &name, &mutex)?;
    }
    for event in &events {
        tables::add_event(db, event)?;
        if let Some(id) = Entry::id_of(event)
            && let Some(entry) = Entry::fold(tables::entry(db, &id)?, event)
        {
            tables::put_entry(db, &entry)?;
        }
    }
    Ok(Answer { reply, view: View { now, record, mutex }, events })
}

/// What `op` would be answered by the committed state; used to lose a race without the write lock.
fn foresee(db: &Connection, job: &JobName, op: &Op, clock: Timestamp) -> rusqlite::Result<Option<Answer>> {
    let before = tables::record(db, job)?;
    let mut mutex = tables::mutex(db, op.mutex(&before))?;
    let now = tables::time(db, clock)?;
    let mut record = before.clone();
    let state = record::State { job, record: &mut record, mutex: &mut mutex };
    let (reply, events) = record::apply(state, op, now);
    let idle = events.is_empty() && record == before;
    Ok(idle.then_some(Answer { reply, view: View { now, record, mutex }, events }))
}

fn view(db: &Connection, job: &JobName, mutex: Option<&str>, clock: Timestamp) -> rusqlite::Result<View> {
    let now = tables::time(db, clock)?;
    Ok(View { now, record: tables::record(db, job)?, mutex: tables::mutex(db, mutex)? })
}

#[async_trait]
impl Store for Sqlite {
    fn describe(&self) -> String {
        format!("sqlite {}", self.path.display())
    }

    fn heard(&self, _job: &JobName) -> Option<View> {
        None
    }

    fn clock(&self) -> Option<Timestamp> {
        Some(self.clock.now().max(Timestamp::from_micros(self.reached.load(Ordering::Relaxed))))
    }

    fn head(&self) -> Option<u64> {
        None
    }

    fn repairs(&self) -> Option<watch::Receiver<Repair>> {
        None
    }

    async fn view(&self, job: &JobName, mutex: Option<&str>) -> Result<View, StoreError> {
        let (job, mutex, clock) = (job.clone(), mutex.map(str::to_owned), self.clock.clone());
        let view = self.read(move |db| view(db, &job, mutex.as_deref(), clock.now())).await?;
        self.saw(view.now);
        Ok(view)
    }

    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        if matches!(op, Op::Claim(_) | Op::Decide { .. } | Op::Reap { .. }) {
            let (job, op, clock) = (job.clone(), op.clone(), self.clock.clone());
            if let Some(answer) = self.read(move |db| foresee(db, &job, &op, clock.now())).await? {
                self.saw(answer.view.now);
                return Ok(answer);
            }
        }
        let (job, op, clock) = (job.clone(), op.clone(), self.clock.clone());
        let answer = self.write(move |db| apply(db, &job, &op, clock.now())).await?;
        self.saw(answer.view.now);
        Ok(answer)
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let clock = self.clock.clone();
        self.read(move |db| tables::snapshot(db, clock.now())).await
    }

    async fn changed(&self, mut position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        let mut bell = self.bell.subscribe();
        loop {
            bell.mark_unchanged();
            // A position is the place of the first event not yet seen.
            let end = self.read(tables::head).await? + 1;
            if position == 0 {
                return Ok((end, Vec::new()));
            }
            if end > position {
                let (head, jobs) = self.read(move |db| tables::invited_since(db, position - 1)).await?;
                position = head + 1;
                if !jobs.is_empty() {
                    return Ok((position, jobs));
                }
            }
            let _ = tokio::time::timeout(GLANCE, bell.changed()).await;
        }
    }

    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        let query = query.clone();
        self.read(move |db| tables::history(db, &query)).await
    }

    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        self.read(move |db| tables::events(db, position, limit)).await
    }

    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
        let (holder, clock) = (holder.to_owned(), self.clock.clone());
        self.write(move |db| outbox::take(db, outbox, &holder, tables::time(db, clock.now())?, ttl)).await
    }

    async fn mark_outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: u64,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (holder, clock) = (holder.to_owned(), self.clock.clone());
        self.write(move |db| outbox::mark(db, outbox, &holder, position, tables::time(db, clock.now())?.plus(ttl)))
            .await
    }

    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        let key = key.to_owned();
        self.read(move |db| documents::one(db, collection, &key)).await
    }

    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        let span = span.clone();
        self.read(move |db| documents::span(db, collection, &span)).await
    }

    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        let (draft, clock) = (draft.clone(), self.clock.clone());
        self.write(move |db| documents::write(db, &draft, tables::advance_time(db, clock.now())?)).await
    }

    async fn write_output(
        &self,
        (run, fence): (RunId, Fence),
        pieces: Vec<Piece>,
        cut: Range<u64>,
    ) -> Result<(), StoreError> {
        self.write(move |db| tables::put_output(db, run, fence, &pieces, &cut)).await
    }

    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        self.read(move |db| tables::output(db, run, from)).await
    }

    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        self.read(move |db| tables::attempt_output(db, run, fence, from)).await
    }

    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError> {
        let (mut replica, clock) = (replica.clone(), self.clock.clone());
        self.write(move |db| {
            replica.last_seen_at = tables::advance_time(db, clock.now())?;
            tables::put_replica(db, &replica)?;
            Ok(replica.last_seen_at)
        })
        .await
    }

    async fn leave(&self, boot_id: &str) -> Result<(), StoreError> {
        let boot_id = boot_id.to_owned();
        self.write(move |db| tables::remove_replica(db, &boot_id)).await
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let clock = self.clock.clone();
        self.read(move |db| tables::replicas(db, tables::time(db, clock.now())?)).await
    }

    async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError> {
        let (keep, clock) = (keep.to_vec(), self.clock.clone());
        self.write(move |db| tables::prune(db, &keep, others, tables::time(db, clock.now())?)).await
    }
}

impl StoreError {
    /// A failure of the database at `path`, in words.
    fn of_sqlite(path: &Path, error: &rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode as Code;
        let path = path.display();
        let (kind, message) = match error.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => (
                Trouble::Passing,
                format!(
                    "database {path} is locked by another program for more than 5 s: end its transaction, or see who has it open with `fuser {path}`"
                ),
            ),
            Some(Code::DiskFull) => (
                Trouble::Passing,
                format!("database {path}: the disk is full: free some space, nothing recorded so far is lost"),
            ),
            Some(Code::ReadOnly | Code::PermissionDenied) => (
                Trouble::Lasting,
                format!(
                    "database {path} is read-only for this user: make the file and its directory writable, or name another with --db"
                ),
            ),
            Some(Code::CannotOpen) => (
                Trouble::Lasting,
                format!(
                    "database {path} cannot be used ({error}): check that its directory exists and is writable, or name another with --db"
                ),
            ),
            Some(Code::NotADatabase | Code::DatabaseCorrupt) => (
                Trouble::Lasting,
                format!(
                    "database {path} is corrupt or not a SQLite database ({error}): move it aside or restore a copy; it was left untouched"
                ),
            ),
            Some(Code::SystemIoFailure) => (
                Trouble::Passing,
                format!(
                    "database {path}: {error}: if the disk is full free some space, else see whether it is failing"
                ),
            ),
            _ => (Trouble::Lasting, format!("database {path}: {error}")),
        };
        StoreError { kind, message }
    }
}
