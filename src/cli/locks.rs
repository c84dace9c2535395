//! `cronclave locks`: who holds what, and ending a hold by force.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::show::{self, Style, Table};
use super::{Context, Failure, out};
use crate::clock::Timestamp;
use crate::config;
use crate::job::JobName;
use crate::lease::{Fence, RunId};
use crate::record::{Op, Phase, Reply};
use crate::store::{Snapshot, Store};

/// Show locks, or release a stuck one.
///
/// A run holds the lock `run:JOB` while it is open, and `mutex:NAME` if its job names a mutex. A
/// lock whose holder vanished falls free by itself when its lease ends: releasing is for those who
/// cannot wait.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave locks                          all of them
  cronclave locks show run:db-backup       one, in full
  cronclave locks release run:db-backup --token 1795372800000000 --reason 'web.1 is gone'")]
pub(super) struct Locks {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the locks (the default)
    Ls,
    /// Show one lock
    Show {
        /// run:JOB or mutex:NAME
        key: String,
    },
    /// End a hold by force. Dangerous: if its holder lives, its run may overlap with the next
    Release(Release),
}

#[derive(Debug, Args)]
#[command(after_long_help = "The run that holds the lock is recorded as lost. Its process, if it lives, notices at its
next renewal and stops the run; what it reports later is refused. Until then it may still be
writing: systems that check fencing tokens are safe, others are not.")]
struct Release {
    /// run:JOB or mutex:NAME
    key: String,
    /// The fencing token of the hold to end, as `cronclave locks` shows it; a newer one is left alone
    #[arg(long, value_name = "N")]
    token: u64,
    /// Why; it is kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Something held by one run until a time.
#[derive(Debug, Serialize)]
pub(super) struct Lock {
    key: String,
    job: JobName,
    run_id: RunId,
    holder: String,
    fencing_token: Fence,
    acquired_at: Timestamp,
    expires_at: Timestamp,
}

impl Lock {
    /// All locks of the cluster.
    pub(super) fn all(snapshot: &Snapshot) -> Vec<Lock> {
        let mut locks = Vec::new();
        for (job, record) in &snapshot.records {
            for run in record.open.iter().filter(|run| run.phase != Phase::Waiting) {
                locks.push(Lock {
                    key: format!("run:{job}"),
                    job: job.clone(),
                    run_id: run.run_id,
                    holder: run.holder.clone(),
                    fencing_token: run.fence,
                    acquired_at: run.opened,
                    expires_at: run.until,
                });
            }
        }
        for (name, mutex) in &snapshot.mutexes {
            let Some(held) = &mutex.held else { continue };
            let record = snapshot.records.get(&held.job);
            let run = record.and_then(|record| record.run(held.run_id));
            locks.push(Lock {
                key: format!("mutex:{name}"),
                job: held.job.clone(),
                run_id: held.run_id,
                holder: held.holder.clone(),
                fencing_token: held.fence,
                acquired_at: run.map_or(held.until, |run| run.opened),
                expires_at: held.until,
            });
        }
        locks
    }

    pub(super) fn table(locks: &[Lock], now: Timestamp, style: &Style) -> String {
        let mut table = Table::new(style, &["LOCK", "HELD BY", "TOKEN", "LEFT", "HELD FOR", "FOR RUN"]);
        for lock in locks {
            table.row(
                None,
                [
                    lock.key.clone(),
                    lock.holder.clone(),
                    lock.fencing_token.to_string(),
                    lock.left(now),
                    show::about(now.since(lock.acquired_at)),
                    lock.run_id.short(),
                ],
            );
        }
        table.text()
    }

    fn left(&self, now: Timestamp) -> String {
        if self.expires_at > now { show::about(self.expires_at.since(now)) } else { "over".into() }
    }

    /// One sentence about it.
    fn told(&self, now: Timestamp) -> String {
        let ends = match self.expires_at > now {
            true => format!("expires in {} by itself unless renewed", show::about(self.expires_at.since(now))),
            false => "has expired: the next replica to look takes it over".to_owned(),
        };
        format!(
            "{} is held by {} for run {} of {} under token {}; it {ends}",
            self.key,
            self.holder,
            self.run_id.short(),
            self.job,
            self.fencing_token
        )
    }
}

impl Locks {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let store = context.store(&process).await?;
        let snapshot = store.snapshot().await?;
        let locks = Lock::all(&snapshot);
        match self.what {
            None | Some(What::Ls) if context.global.json => out::json(&json!({ "items": locks }))?,
            None | Some(What::Ls) if locks.is_empty() => out::line("nobody holds a lock")?,
            None | Some(What::Ls) => out::print(Lock::table(&locks, snapshot.now, &context.style))?,
            Some(What::Show { key }) => {
                let found = with_key(&locks, &key)?;
                if context.global.json {
                    out::json(&json!({ "items": found }))?;
                } else {
                    let known = context.known(&process);
                    let lines = found.iter().map(|lock| {
                        let since = context.style.time(lock.acquired_at, &known.zone(&lock.job));
                        format!("{}\n  run     {}\n  since   {since}\n", lock.told(snapshot.now), lock.run_id)
                    });
                    out::print(lines.collect::<String>())?;
                }
            }
            Some(What::Release(release)) => release.run(&*store, &locks, snapshot.now).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The locks with this key: several when the job's runs may stand side by side.
fn with_key<'a>(locks: &'a [Lock], key: &str) -> Result<Vec<&'a Lock>, Failure> {
    let found: Vec<&Lock> = locks.iter().filter(|lock| lock.key == key).collect();
    if found.is_empty() {
        let hint = match config::nearest(key, locks.iter().map(|lock| lock.key.as_str())) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "`cronclave locks` lists those that are".to_owned(),
        };
        return Err(Failure::new(Failure::NO_INPUT, format!("nobody holds a lock `{key}`: {hint}")));
    }
    Ok(found)
}

impl Release {
    async fn run(self, store: &dyn Store, locks: &[Lock], now: Timestamp) -> Result<(), Failure> {
        let found = with_key(locks, &self.key)?;
        let Some(lock) = found.iter().find(|lock| lock.fencing_token == Fence(self.token)) else {
            return Err(moved(&self.key, self.token));
        };
        if !self.yes {
            out::note(lock.told(now));
            let token = self.token;
            out::note(format_args!(
                "if that process is alive it is fenced off at its next renewal; what it writes with token {token} until then is up to you"
            ));
            if !out::confirm(&format!("Type the lock's name to release it ({}):", self.key), &self.key)? {
                return Err(Failure::new(Failure::NO, "nothing released"));
            }
        }
        let by = format!("{}: {}", super::user().unwrap_or_else(|| "somebody".into()), self.reason);
        let evict = Op::Evict { run_id: lock.run_id, fence: lock.fencing_token, by };
        let answer = store.apply(&lock.job, &evict).await?;
        match answer.reply {
            Reply::Done if answer.events.is_empty() => out::line("it was free already; nothing changed"),
            Reply::Done => out::line(format_args!(
                "released {}: run {} is recorded as lost; the next run of {} may start. This cannot be undone.",
                self.key,
                lock.run_id.short(),
                lock.job
            )),
            _ => Err(moved(&self.key, self.token)),
        }
    }
}

fn moved(key: &str, token: u64) -> Failure {
    Failure::new(
        Failure::NO,
        format!("{key} is not held under token {token} (any more): look again with `cronclave locks`"),
    )
}
