//! `cronclave dead`: the messages that nobody could deal with; sending them again, and dropping them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::show::{Style, Table};
use super::{Context, Failure, out};
use crate::broker::{Broker, DeadLetter, Remedy};
use crate::config;
use crate::phrase;
use crate::schedule::Zone;

/// Show dead letters, send them again, or drop them.
///
/// A message becomes a dead letter when it cannot be understood, asks for what is not allowed, or came
/// back too often: look at its reason, mend that, and send it again. A run whose request died is not
/// lost: its request is sent again when its time is up.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave dead                           the oldest 100
  cronclave dead -n 1000 --json            more of them, in full
  cronclave dead resend order-4711~8d2a10c4
  cronclave dead drop --all")]
pub(super) struct Dead {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the dead letters (the default)
    Ls(List),
    /// Put dead letters back into the queues that they died in
    Resend(Which),
    /// Remove dead letters for good
    Drop {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct List {
    /// At most so many, the oldest
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 100)]
    most: usize,
}

#[derive(Debug, Args)]
struct Which {
    /// As `cronclave dead` shows them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All there are now
    #[arg(long)]
    all: bool,
}

/// Letters of a beginning that a table has room for.
const BEGINNING: usize = 40;

impl Dead {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let broker = context.backends(&process).await?.broker;
        match self.what {
            None => self.list.run(&*broker, context).await?,
            Some(What::Ls(list)) => list.run(&*broker, context).await?,
            Some(What::Resend(which)) => {
                let ids = which.known(&*broker).await?;
                return settle(&*broker, ids, Remedy::Resend).await;
            }
            Some(What::Drop { which, yes }) => {
                let ids = which.known(&*broker).await?;
                if !yes && !ids.is_empty() && !is_meant(ids.len())? {
                    return Err(Failure::new(Failure::NO, "nothing dropped"));
                }
                return settle(&*broker, ids, Remedy::Drop).await;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self, broker: &dyn Broker, context: &Context) -> Result<(), Failure> {
        let letters = broker.dead_letters(self.most).await.map_err(Failure::unavailable)?;
        if context.global.json {
            return out::json(&json!({ "items": letters }));
        }
        if letters.is_empty() && self.most > 0 {
            return out::line("no dead letters");
        }
        out::print(table(&letters, &context.style))?;
        if letters.len() == self.most {
            out::note(format_args!("there may be more: these are the oldest {}", self.most));
        }
        Ok(())
    }
}

fn table(letters: &[DeadLetter], style: &Style) -> String {
    let mut table = Table::new(style, &["ID", "MADE", "QUEUE", "BYTES", "REASON", "BEGINS"]);
    for letter in letters {
        let made = letter.at.map_or_else(|| "-".to_owned(), |at| style.time(at, &Zone::utc()));
        let begins = letter.excerpt.chars().take(BEGINNING).collect();
        let queue = letter.queue.trim_start_matches('.').to_owned();
        table.row(None, [letter.id.clone(), made, queue, letter.size.to_string(), letter.reason.clone(), begins]);
    }
    table.text()
}

impl Which {
    /// The ids of those that are meant. All of them are there: a mistake in one changes nothing.
    async fn known(self, broker: &dyn Broker) -> Result<Vec<String>, Failure> {
        let letters = broker.dead_letters(usize::MAX).await.map_err(Failure::unavailable)?;
        let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
        if self.all {
            return Ok(ids);
        }
        for wanted in &self.ids {
            if !ids.contains(wanted) {
                let hint = match config::nearest(wanted, ids.iter().map(String::as_str)) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => "`cronclave dead` lists those that are".to_owned(),
                };
                return Err(Failure::new(Failure::NO_INPUT, format!("there is no dead letter `{wanted}`: {hint}")));
            }
        }
        Ok(self.ids)
    }
}

fn is_meant(number: usize) -> Result<bool, Failure> {
    out::note(format_args!("{} would be gone for good", phrase::count(number, "dead letter")));
    out::confirm(&format!("Type how many to drop them ({number}):"), &number.to_string())
}

/// Sends them again or drops them, one after the other. One that cannot be sent does not keep back the others.
async fn settle(broker: &dyn Broker, ids: Vec<String>, remedy: Remedy) -> Result<ExitCode, Failure> {
    let (mut done, mut left) = (0, 0);
    let told = |done: usize| {
        let letters = phrase::count(done, "dead letter");
        match (done, remedy) {
            (0, _) => "no dead letters: nothing changed".to_owned(),
            (_, Remedy::Resend) => format!("sent {letters} again"),
            (_, Remedy::Drop) => format!("dropped {letters}. This cannot be undone."),
        }
    };
    for id in ids {
        match broker.remedy(&id, remedy).await {
            Ok(true) => done += 1,
            Ok(false) => out::note(format_args!("{id} is gone: somebody else was quicker")),
            Err(why) => {
                left += 1;
                out::note(format_args!("{id} stays: {why}"));
                if broker.down().is_some() {
                    out::line(told(done))?;
                    return Err(Failure::unavailable(why));
                }
            }
        }
    }
    out::line(told(done))?;
    match left {
        0 => Ok(ExitCode::SUCCESS),
        left => Err(Failure::new(Failure::NO, format!("{} could not be settled", phrase::count(left, "dead letter")))),
    }
}
