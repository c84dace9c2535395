//! `cronclave locks`: who holds what, and ending a hold by force.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::place::{Files, Place};
use super::show::{Style, Table};
use super::{Context, Failure, history, out};
use crate::clock::Timestamp;
use crate::desk::{Refusal, Why};
use crate::lease::Fence;
use crate::phrase;
use crate::shape::Lock;

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

/// A line for each.
pub(super) fn table(locks: &[Lock], now: Timestamp, style: &Style) -> String {
    let mut table = Table::new(style, &["LOCK", "HELD BY", "TOKEN", "LEFT", "HELD FOR", "FOR RUN"]);
    for lock in locks {
        table.row(
            None,
            [
                lock.key.clone(),
                lock.holder.clone(),
                lock.fencing_token.to_string(),
                left(lock, now),
                phrase::about(now.since(lock.acquired_at)),
                lock.run_id.short(),
            ],
        );
    }
    table.text()
}

fn left(lock: &Lock, now: Timestamp) -> String {
    if lock.expires_at > now { phrase::about(lock.expires_at.since(now)) } else { "over".into() }
}

/// One sentence about it.
fn told(lock: &Lock, now: Timestamp) -> String {
    let ends = match lock.expires_at > now {
        true => format!("expires in {} by itself unless renewed", phrase::about(lock.expires_at.since(now))),
        false => "has expired: the next replica to look takes it over".to_owned(),
    };
    format!(
        "{} is held by {} for run {} of {} under token {}; it {ends}",
        lock.key,
        lock.holder,
        lock.run_id.short(),
        lock.job,
        lock.fencing_token
    )
}

impl Locks {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Helpful).await?;
        match self.what {
            None | Some(What::Ls) => {
                let page = place.locks(None).await?;
                out::stale(page.stale_since);
                match page.items.is_empty() {
                    _ if context.global.json => out::json(&page)?,
                    true => out::line("nobody holds a lock")?,
                    false => out::print(table(&page.items, page.now, &context.style))?,
                }
            }
            Some(What::Show { key }) => {
                let page = place.locks(Some(&key)).await?;
                out::stale(page.stale_since);
                if context.global.json {
                    out::json(&page)?;
                } else {
                    for lock in &page.items {
                        let zone = history::zone_of(&place, lock.job.as_str()).await;
                        let since = context.style.time(lock.acquired_at, &zone);
                        let text = told(lock, page.now);
                        out::line(format_args!("{text}\n  run     {}\n  since   {since}", lock.run_id))?;
                    }
                }
            }
            Some(What::Release(release)) => release.run(&place).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Release {
    async fn run(self, place: &Place) -> Result<(), Failure> {
        let page = place.locks(Some(&self.key)).await?;
        let token = Fence(self.token);
        if let Some(lock) = page.items.iter().find(|lock| lock.fencing_token == token && !self.yes) {
            out::note(told(lock, page.now));
            out::note(format_args!(
                "if that process is alive it is fenced off at its next renewal; what it writes with token {token} until then is up to you"
            ));
            if !out::confirm(&format!("Type the lock's name to release it ({}):", self.key), &self.key)? {
                return Err(Failure::new(Failure::NO, "nothing released"));
            }
        }
        let released = place.release(&self.key, token, &self.reason).await.map_err(|refusal| match refusal.why {
            Why::LockMoved => {
                let text = format!(
                    "{} is not held under token {token} (any more): look again with `cronclave locks`",
                    self.key
                );
                Refusal::new(Why::LockMoved, text)
            }
            _ => refusal,
        })?;
        if !released.released {
            return out::line("it was free already; nothing changed");
        }
        out::line(format_args!(
            "released {}: run {} is recorded as lost; the next run of {} may start. This cannot be undone.",
            self.key,
            released.run_id.short(),
            released.job
        ))
    }
}
