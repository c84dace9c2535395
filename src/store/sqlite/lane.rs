//! A thread that owns one connection and does one thing at a time.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::store::{StoreError, Trouble};

/// How many requests share a transaction at most: the lock is not kept from other processes for long.
const BATCH: usize = 256;

/// Longer than the database is waited for (5 s) and than any batch takes.
const LIMIT: Duration = Duration::from_secs(15);

/// Does its work, or learns that there is no transaction to do it in; returns what answers the
/// asker, called once it is known whether the work was committed.
type Task = Box<dyn FnOnce(rusqlite::Result<&Transaction<'_>>) -> Answering + Send>;
type Answering = Box<dyn FnOnce(rusqlite::Result<()>) + Send>;

/// The way to the thread.
pub(super) struct Lane {
    path: PathBuf,
    /// Taken at the end only.
    tasks: Option<mpsc::Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Lane {
    /// Waits until the connection is closed: the last to close it moves the write-ahead log into
    /// the file, so that the file alone is all of the database.
    fn drop(&mut self) {
        drop(self.tasks.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Lane {
    /// A thread that reads: no transaction outlives a request. `check` is asked before each
    /// whether the file is still the one that was opened.
    pub(super) fn reading(
        db: Connection,
        path: &Path,
        check: impl Fn() -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<Lane, StoreError> {
        Lane::spawn("cronclave-read", path, move |tasks| {
            let mut db = db;
            while let Ok(task) = tasks.recv() {
                match check().and_then(|()| db.transaction_with_behavior(TransactionBehavior::Deferred)) {
                    Ok(read) => task(Ok(&read))(Ok(())),
                    Err(error) => task(Err(error))(Ok(())),
                }
            }
        })
    }

    /// A thread that writes: what is asked at the same time shares a transaction. `check` is asked
    /// before each whether the file is still the one that was opened.
    pub(super) fn writing(
        db: Connection,
        path: &Path,
        check: impl Fn() -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<Lane, StoreError> {
        Lane::spawn("cronclave-write", path, move |tasks| {
            let mut db = db;
            while let Ok(first) = tasks.recv() {
                let batch = std::iter::once(first).chain(tasks.try_iter().take(BATCH - 1)).collect();
                commit(&mut db, batch, &check);
            }
        })
    }

    fn spawn(
        name: &str,
        path: &Path,
        work: impl FnOnce(mpsc::Receiver<Task>) + Send + 'static,
    ) -> Result<Lane, StoreError> {
        let (tasks, inbox) = mpsc::channel();
        let spawned = thread::Builder::new().name(name.into()).spawn(move || work(inbox));
        let thread = spawned.map_err(|error| StoreError {
            kind: Trouble::Lasting,
            message: format!("cannot start a thread for database {}: {error}", path.display()),
        })?;
        Ok(Lane { path: path.to_path_buf(), tasks: Some(tasks), thread: Some(thread) })
    }

    /// Has `work` done and waits for its commit.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |db| {
            let done = db.and_then(|db| undo_on_error(db, work));
            Box::new(move |committed| {
                // The asker may have given up; what it asked for stands all the same.
                let _ = answer.send(committed.and(done));
            })
        });
        let gone = || StoreError {
            kind: Trouble::Passing,
            message: format!("database {}: no answer within {} s", self.path.display(), LIMIT.as_secs()),
        };
        self.tasks.as_ref().and_then(|tasks| tasks.send(task).ok()).ok_or_else(gone)?;
        match tokio::time::timeout(LIMIT, answered).await {
            Ok(Ok(done)) => done.map_err(|error| StoreError::of_sqlite(&self.path, &error)),
            _ => Err(gone()),
        }
    }
}

/// One request that fails must not leave half its work among that of others.
fn undo_on_error<T>(
    db: &Transaction<'_>,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    db.execute_batch("SAVEPOINT request")?;
    let done = work(db);
    db.execute_batch(if done.is_ok() { "RELEASE request" } else { "ROLLBACK TO request; RELEASE request" })?;
    done
}

fn commit(db: &mut Connection, batch: Vec<Task>, check: &impl Fn() -> rusqlite::Result<()>) {
    // IMMEDIATE: a transaction that reads first and writes later fails at once when another
    // process wrote in between, however long it would have waited.
    let begun = check().and_then(|()| db.transaction_with_behavior(TransactionBehavior::Immediate));
    let write = match begun {
        Ok(write) => write,
        Err(error) => return batch.into_iter().for_each(|task| task(Err(copy(&error)))(Ok(()))),
    };
    let answers: Vec<Answering> = batch.into_iter().map(|task| task(Ok(&write))).collect();
    let done = write.commit();
    answers.into_iter().for_each(|answer| answer(done.as_ref().copied().map_err(copy)));
}

/// The same failure for each of a batch: SQLite's errors cannot be cloned.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error.sqlite_error() {
        Some(code) => rusqlite::Error::SqliteFailure(*code, Some(error.to_string())),
        None => rusqlite::Error::InvalidParameterName(error.to_string()),
    }
}
