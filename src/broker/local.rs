//! A broker in the SQLite file of the store: workers on one machine, and no server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::{Notify, OnceCell};

use super::{
    Broker, Consumer, DIED_IN, DeadLetter, Delivery, Exchange, Message, NotPublished, Queue, QueueState, REASON,
    Remedy, excerpt,
};
use crate::clock::{Clock, Timestamp};
use crate::job::QueueName;
use crate::store::{Sqlite, Store, StoreError};

/// `taken_until` is when somebody else may take it; `dead` is why nobody may. Times are microseconds.
const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, priority INTEGER NOT NULL,
    head TEXT NOT NULL, body BLOB NOT NULL, expires INTEGER, taken_by TEXT, taken_until INTEGER NOT NULL DEFAULT 0,
    deliveries INTEGER NOT NULL DEFAULT 0, dead TEXT);
CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue, priority DESC, id) WHERE dead IS NULL;
CREATE TABLE IF NOT EXISTS takers (name TEXT PRIMARY KEY, queue TEXT NOT NULL, seen INTEGER NOT NULL) WITHOUT ROWID;
";

/// Whoever holds a message for longer has died: longer than any message is held before it is acknowledged.
const TAKEN: Duration = Duration::from_secs(120);

/// How often messages of other processes are looked for.
const GLANCE: Duration = Duration::from_millis(200);

/// How often who takes from a queue says so, and for how long that holds.
const SEEN: Duration = Duration::from_secs(10);

/// A message that came back so often is dead.
pub(super) const DELIVERIES: i64 = 20;

const GIVE_BACK: &str = "UPDATE messages SET taken_by = NULL, taken_until = 0 WHERE taken_by = ?1 AND dead IS NULL";

/// Dead letters beyond this go, the oldest first.
const DEAD: i64 = 10_000;

/// The embedded broker.
#[derive(Clone)]
pub struct Local {
    file: Arc<Sqlite>,
    clock: Clock,
    /// Rung when a message comes from this process.
    bell: Arc<Notify>,
    /// Whether the tables are there: who only looks at a store makes none.
    made: Arc<OnceCell<()>>,
    gone: Gone,
}

/// Those of this process who took messages and are gone: what they had is for the others. Of other processes it is
/// known only when [`TAKEN`] is over.
type Gone = Arc<Mutex<Vec<String>>>;

impl Local {
    /// A broker in the file of a store.
    pub fn new(file: Arc<Sqlite>, clock: Clock) -> Self {
        Local { file, clock, bell: Arc::default(), made: Arc::default(), gone: Gone::default() }
    }

    /// The file, with the tables in it.
    async fn file(&self) -> Result<&Sqlite, StoreError> {
        self.made.get_or_try_init(|| self.file.write(|db| db.execute_batch(LAYOUT))).await?;
        Ok(&self.file)
    }
}

/// Which queue a message belongs to; `None` when nobody takes it.
fn routed(message: &Message) -> Option<String> {
    match &message.to {
        Exchange::Tasks => message.key.split('.').nth(2).map(str::to_owned),
        Exchange::Results => Some(Queue::Results.called()),
        Exchange::Triggers => Some(Queue::Triggers.called()),
        Exchange::Dead => message.headers.get(DIED_IN).cloned(),
        Exchange::Events | Exchange::Foreign(_) => None,
    }
}

fn insert(db: &Transaction<'_>, queue: &str, message: &Message, now: Timestamp) -> rusqlite::Result<()> {
    let head = head(message)?;
    let dead = (message.to == Exchange::Dead).then(|| message.headers.get(REASON).cloned().unwrap_or_default());
    let expires = message.expires.map(|after| now.plus(after));
    db.prepare_cached("DELETE FROM messages WHERE dead IS NULL AND expires <= ?1")?.execute([now])?;
    db.prepare_cached(
        "INSERT INTO messages (queue, priority, head, body, expires, dead) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![queue, message.priority.unwrap_or(0), head, message.body, expires, dead])?;
    if dead.is_some() {
        db.prepare_cached(
            "DELETE FROM messages WHERE dead IS NOT NULL AND id <=
             (SELECT id FROM messages WHERE dead IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([DEAD])?;
    }
    Ok(())
}

/// All of a message but its body, as it is kept.
fn head(message: &Message) -> rusqlite::Result<String> {
    serde_json::to_string(message).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A row as the message it holds.
fn message(row: &rusqlite::Row<'_>) -> rusqlite::Result<Message> {
    let head: String = row.get("head")?;
    let message: Message =
        serde_json::from_str(&head).map_err(|error| rusqlite::types::FromSqlError::Other(error.into()))?;
    Ok(Message { body: row.get("body")?, ..message })
}

/// Gives back what these have.
fn release(db: &Transaction<'_>, names: &[String]) -> rusqlite::Result<()> {
    for name in names {
        db.prepare_cached(GIVE_BACK)?.execute([name])?;
    }
    Ok(())
}

fn take(db: &Transaction<'_>, queue: &str, name: &str, now: Timestamp) -> rusqlite::Result<Option<Delivery>> {
    let worn = "UPDATE messages SET dead = 'it came back too often', taken_by = NULL
                WHERE queue = ?1 AND dead IS NULL AND taken_until <= ?2 AND deliveries >= ?3";
    db.prepare_cached(worn)?.execute(params![queue, now, DELIVERIES])?;
    db.prepare_cached(
        "UPDATE messages SET taken_by = ?2, taken_until = ?3, deliveries = deliveries + 1
         WHERE id = (SELECT id FROM messages WHERE queue = ?1 AND dead IS NULL AND taken_until <= ?4
                     AND (expires IS NULL OR expires > ?4) ORDER BY priority DESC, id LIMIT 1)
         RETURNING head, body, deliveries",
    )?
    .query_row(params![queue, name, now.plus(TAKEN), now], |row| {
        Ok(Delivery { message: message(row)?, redelivered: row.get::<_, i64>("deliveries")? > 1 })
    })
    .optional()
}

/// Puts a dead letter back, as it was.
fn revive(db: &Transaction<'_>, id: i64) -> rusqlite::Result<usize> {
    let mut asked = db.prepare_cached("SELECT head, body FROM messages WHERE id = ?1 AND dead IS NOT NULL")?;
    let Some(dead) = asked.query_row([id], message).optional()? else { return Ok(0) };
    db.prepare_cached(
        "UPDATE messages SET dead = NULL, deliveries = 0, taken_until = 0, expires = NULL, head = ?2 WHERE id = ?1",
    )?
    .execute(params![id, head(&dead.revived())?])
}

fn drop_dead(db: &Transaction<'_>, id: i64) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM messages WHERE id = ?1 AND dead IS NOT NULL")?.execute([id])
}

fn is_there(db: &Connection, queue: &str, now: Timestamp) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM messages WHERE queue = ?1 AND dead IS NULL
                        AND taken_until <= ?2 AND (expires IS NULL OR expires > ?2))",
    )?
    .query_row(params![queue, now], |row| row.get(0))
}

#[async_trait]
impl Broker for Local {
    fn describe(&self) -> String {
        format!("in {}", self.file.describe())
    }

    fn down(&self) -> Option<String> {
        None
    }

    async fn up(&self) {}

    async fn publish(&self, message: &Message) -> Result<(), NotPublished> {
        let Some(queue) = routed(message) else {
            if message.optional {
                return Ok(());
            }
            let why = format!(
                "no queue here takes `{}`: a message to an exchange needs a RabbitMQ, set AMQP_URL",
                message.key
            );
            return Err(NotPublished::Refused(why));
        };
        let (message, clock) = (message.clone(), self.clock.clone());
        // What was not committed within the limit may be committed later.
        let unknown = |error: StoreError| NotPublished::Unknown(error.message);
        let file = self.file().await.map_err(unknown)?;
        file.write(move |db| insert(db, &queue, &message, clock.now())).await.map_err(unknown)?;
        self.bell.notify_waiters();
        Ok(())
    }

    fn consume(&self, queue: Queue) -> Box<dyn Consumer> {
        Box::new(Taker {
            queue: queue.called(),
            name: format!("{:016x}", rand::random::<u64>()),
            home: self.clone(),
            said: None,
            unsettled: false,
        })
    }

    async fn queues(&self, names: &[QueueName]) -> Result<Vec<QueueState>, String> {
        let (names, clock) = (names.to_vec(), self.clock.clone());
        let read =
            self.file().await.map_err(|error| error.message)?.read(move |db| {
                let now = clock.now();
                let mut all = Vec::new();
                for name in &names {
                    let (ready, consumers): (i64, i64) = db
                    .prepare_cached(
                        "SELECT (SELECT count(*) FROM messages WHERE queue = ?1 AND dead IS NULL AND taken_until <= ?2
                                 AND (expires IS NULL OR expires > ?2)),
                                (SELECT count(*) FROM takers WHERE queue = ?1 AND seen > ?3)",
                    )?
                    .query_row(params![name.as_str(), now, now.minus(3 * SEEN)], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    all.push(QueueState {
                        name: name.to_string(),
                        queue: Some(name.to_string()),
                        ready: Some(ready.cast_unsigned()),
                        consumers: consumers.cast_unsigned(),
                    });
                }
                let dead: i64 =
                    db.query_row("SELECT count(*) FROM messages WHERE dead IS NOT NULL", [], |row| row.get(0))?;
                let dead = Some(dead.cast_unsigned());
                all.push(QueueState { name: "dead letters".into(), queue: None, ready: dead, consumers: 0 });
                Ok(all)
            });
        read.await.map_err(|error| error.message)
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, String> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let file = self.file().await.map_err(|error| error.message)?;
        let read = file.read(move |db| {
            db.prepare_cached(
                "SELECT id, queue, head, body, dead FROM messages WHERE dead IS NOT NULL ORDER BY id LIMIT ?1",
            )?
            .query_map([limit], |row| {
                let message = message(row)?;
                Ok(DeadLetter {
                    id: row.get::<_, i64>("id")?.to_string(),
                    reason: row.get("dead")?,
                    queue: row.get("queue")?,
                    at: (message.at > Timestamp::EPOCH).then_some(message.at),
                    size: message.body.len(),
                    excerpt: excerpt(&message.body),
                })
            })?
            .collect()
        });
        read.await.map_err(|error: StoreError| error.message)
    }

    async fn remedy(&self, id: &str, remedy: Remedy) -> Result<bool, String> {
        let Ok(id) = id.parse::<i64>() else { return Ok(false) };
        let file = self.file().await.map_err(|error| error.message)?;
        let done = file.write(move |db| match remedy {
            Remedy::Resend => revive(db, id),
            Remedy::Drop => drop_dead(db, id),
        });
        let done = done.await.map_err(|error| error.message)?;
        self.bell.notify_waiters();
        Ok(done > 0)
    }
}

/// One who takes messages.
struct Taker {
    queue: String,
    name: String,
    home: Local,
    /// When it last said that it takes from the queue.
    said: Option<tokio::time::Instant>,
    /// It may have a message: also when nobody waited until the taking of it was over.
    unsettled: bool,
}

impl Taker {
    async fn write(&self, sql: &'static str) {
        let name = self.name.clone();
        if let Err(error) = self.home.file.write(move |db| db.execute(sql, [name])).await {
            tracing::debug!(%error, "the message comes again");
        }
    }

    async fn try_next(&mut self) -> Result<Option<Delivery>, StoreError> {
        let (home, clock) = (self.home.clone(), self.home.clock.clone());
        let file = home.file().await?;
        if self.said.is_none_or(|said| said.elapsed() > SEEN) {
            let (name, queue, clock) = (self.name.clone(), self.queue.clone(), clock.clone());
            file.write(move |db| {
                let now = clock.now();
                db.execute("DELETE FROM takers WHERE seen < ?1", [now.minus(3 * SEEN)])?;
                db.execute("INSERT OR REPLACE INTO takers VALUES (?1, ?2, ?3)", params![name, queue, now])
            })
            .await?;
            self.said = Some(tokio::time::Instant::now());
        }
        let mut freed = std::mem::take(&mut *home.gone.lock().unwrap_or_else(PoisonError::into_inner));
        if self.unsettled {
            freed.push(self.name.clone());
        }
        let (queue, now) = (self.queue.clone(), clock.now());
        // Looking takes no lock: an idle worker leaves the file to the others.
        if freed.is_empty() && !file.read(move |db| is_there(db, &queue, now)).await? {
            return Ok(None);
        }
        self.unsettled = true;
        let (queue, name) = (self.queue.clone(), self.name.clone());
        let taken = file.write(move |db| {
            release(db, &freed)?;
            take(db, &queue, &name, clock.now())
        });
        let taken = taken.await?;
        self.unsettled = taken.is_some();
        Ok(taken)
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        if self.unsettled {
            self.home.gone.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.name));
            self.home.bell.notify_waiters();
        }
    }
}

#[async_trait]
impl Consumer for Taker {
    async fn next(&mut self) -> Delivery {
        let bell = self.home.bell.clone();
        loop {
            let rung = bell.notified();
            match self.try_next().await {
                Ok(Some(delivery)) => return delivery,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "no messages are taken for now");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            let _ = tokio::time::timeout(GLANCE, rung).await;
        }
    }

    async fn ack(&mut self) {
        self.write("DELETE FROM messages WHERE taken_by = ?1 AND dead IS NULL").await;
        self.unsettled = false;
    }

    async fn requeue(&mut self) {
        self.write(GIVE_BACK).await;
        self.unsettled = false;
        self.home.bell.notify_waiters();
    }

    async fn ack_early(&mut self) {
        self.ack().await;
    }
}
