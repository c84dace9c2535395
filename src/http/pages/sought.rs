//! What a field with qualifiers asks for: `state:failed job:db-backup since:24h`.

use crate::clock::Timestamp;
use crate::config::nearest;
use crate::desk::{self, Filter};
use crate::ledger::State;
use crate::phrase;
use crate::schedule::Zone;

/// Name and meaning.
pub(super) const QUALIFIERS: [(&str, &str); 7] = [
    ("state", "a state, or several with commas"),
    ("job", "its name"),
    ("trigger", "schedule, manual, cli, backfill or chain"),
    ("since", "so long ago at most, or a time"),
    ("until", "before that"),
    ("on", "the replica or worker that carried it out"),
    ("id", "the beginning or end of its id"),
];

const TRIGGERS: [&str; 5] = ["schedule", "manual", "cli", "backfill", "chain"];

/// A word that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) word: String,
    pub(super) why: String,
}

/// What is asked for, and what of it cannot be understood.
#[derive(Debug, Default)]
pub(super) struct Sought {
    pub(super) filter: Filter,
    pub(super) wrong: Vec<Wrong>,
}

impl Sought {
    /// Times without a zone are on the wall of `zone`.
    pub(super) fn read(text: &str, jobs: &[String], zone: &Zone, now: Timestamp) -> Sought {
        let mut sought = Sought::default();
        for word in text.split_whitespace() {
            if let Err(why) = sought.take(word, jobs, zone, now) {
                sought.wrong.push(Wrong { word: word.to_owned(), why });
            }
        }
        sought
    }

    fn take(&mut self, word: &str, jobs: &[String], zone: &Zone, now: Timestamp) -> Result<(), String> {
        let filter = &mut self.filter;
        let Some((name, value)) = word.split_once(':') else {
            // A job's name is typed alone more often than not.
            let slot = if jobs.iter().any(|job| job == word) { &mut filter.job } else { &mut filter.id };
            return put(slot, word);
        };
        if value.is_empty() {
            return Err("says nothing after its colon".into());
        }
        let time = || phrase::past(value, now, zone).map_err(|why| format!("is {why}"));
        match name {
            "state" => {
                for one in value.split(',') {
                    let state = desk::state(one).map_err(|why| format!("is no state: {why}"))?;
                    filter.states.push(state);
                }
                Ok(())
            }
            "job" => put(&mut filter.job, value),
            "trigger" if TRIGGERS.contains(&value) => put(&mut filter.trigger, value),
            "trigger" => Err(format!("is no trigger: write one of {}", TRIGGERS.join(", "))),
            "since" => {
                filter.since = Some(time()?);
                Ok(())
            }
            "until" => {
                filter.until = Some(time()?);
                Ok(())
            }
            "on" => put(&mut filter.on, value),
            "id" => put(&mut filter.id, value),
            _ => {
                let known = QUALIFIERS.map(|(name, _)| name);
                let hint = nearest(name, known).map(|best| format!(": did you mean {best}:{value}?"));
                Err(format!("is no qualifier{}", hint.unwrap_or_default()))
            }
        }
    }
}

fn put(slot: &mut Option<String>, value: &str) -> Result<(), String> {
    match slot {
        Some(other) if other != value => Err(format!("contradicts {other}: one of them at a time")),
        _ => {
            *slot = Some(value.to_owned());
            Ok(())
        }
    }
}

/// States to choose from, with their names.
pub(super) fn states() -> impl Iterator<Item = (&'static str, String)> {
    State::ALL.into_iter().map(|state| (state.word(), state.word().replace('_', " ")))
}

/// Words that complete what is typed.
pub(super) fn words(jobs: &[String]) -> Vec<String> {
    let mut all: Vec<String> = states().map(|(word, _)| format!("state:{word}")).collect();
    all.extend(TRIGGERS.map(|word| format!("trigger:{word}")));
    all.extend(["since:1h", "since:24h", "since:7d"].map(str::to_owned));
    // A browser takes long over very many.
    all.extend(jobs.iter().take(200).map(|job| format!("job:{job}")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Sought {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        Sought::read(text, &["hello".to_owned()], &Zone::utc(), now)
    }

    #[test]
    fn qualifiers_say_what_is_asked_for() {
        let Sought { filter, wrong } =
            read("state:failed,timed_out job:db-backup trigger:manual since:24h until:2026-11-22 on:web.1 id:00ff");
        assert_eq!(wrong, []);
        assert_eq!(filter.states, [State::Failed, State::TimedOut]);
        assert_eq!((filter.job.as_deref(), filter.trigger.as_deref()), (Some("db-backup"), Some("manual")));
        assert_eq!(filter.since.map(|at| at.to_string()).as_deref(), Some("2026-11-21T12:00:00Z"));
        assert_eq!(filter.until.map(|at| at.to_string()).as_deref(), Some("2026-11-22T00:00:00Z"));
        assert_eq!((filter.on.as_deref(), filter.id.as_deref()), (Some("web.1"), Some("00ff")));
    }

    #[test]
    fn a_word_alone_is_a_job_or_a_part_of_an_id() {
        assert_eq!(read("hello").filter.job.as_deref(), Some("hello"));
        assert_eq!(read("01935a70").filter.id.as_deref(), Some("01935a70"));
    }

    #[test]
    fn what_is_not_understood_is_explained() {
        let wrong = |text: &str| read(text).wrong.into_iter().map(|wrong| wrong.why).collect::<Vec<_>>().join("|");
        assert_eq!(wrong("stat:failed"), "is no qualifier: did you mean state:failed?");
        assert_eq!(wrong("state:faild"), "is no state: did you mean `failed`?");
        assert!(wrong("since:soon").contains("neither a span"));
        assert!(wrong("trigger:me").contains("schedule, manual"));
        assert_eq!(wrong("job:"), "says nothing after its colon");
        assert_eq!(wrong("job:a job:b"), "contradicts a: one of them at a time");
    }
}
