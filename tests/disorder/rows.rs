//! One row of the table: what one contender made of one scenario.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use cronclave::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::cluster::Line;

/// What is measured, as it stands in the report's JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    /// `X4a`: the scenarios of one kind of fault differ in their letters.
    pub(crate) scenario: String,
    /// The fault in words.
    pub(crate) title: String,
    /// `ours`, `lock` or `occkey`.
    pub(crate) contender: String,
    /// How long the faults lasted, in seconds.
    pub(crate) seconds: f64,
    /// How many faults there were.
    pub(crate) faults: usize,
    /// Occurrences that came due while it was looked at.
    pub(crate) due: usize,
    /// Starts of these, without those that were one too many.
    pub(crate) started: usize,
    /// Occurrences of after the faults that wait for their turn: a backlog is worked off as fast as the machine can.
    #[serde(default)]
    pub(crate) waiting: usize,
    /// Starts of an occurrence beyond its first, other than attempts that its job asked for.
    pub(crate) doubles: usize,
    /// Occurrences that neither started nor left a word.
    pub(crate) silent: usize,
    /// Occurrences that did not start, or whose end nobody knows, by what the history says of them.
    pub(crate) recorded: BTreeMap<String, usize>,
    /// Starts more than 20 ms before their instant.
    pub(crate) early: usize,
    /// Of starts, in milliseconds; less than nothing when early.
    pub(crate) late_p50: i64,
    pub(crate) late_p99: i64,
    /// From the end of the faults until every job had run on time, in seconds; nothing when one never did.
    pub(crate) recovery: Option<f64>,
    /// By the second since the beginning: the latest start of an occurrence of that second, in milliseconds.
    pub(crate) latest: Vec<Option<i64>>,
    /// What else there is to say.
    pub(crate) note: String,
}

/// Of these occurrences: what became of each second of each job, as far as its contender keeps a history.
pub(crate) type Histories = BTreeMap<String, BTreeMap<i64, &'static str>>;

/// What happened, as the jobs saw it.
pub(crate) struct Happened<'a> {
    pub(crate) jobs: &'a [String],
    pub(crate) ledger: Vec<Line>,
    pub(crate) histories: Option<Histories>,
    /// The first and the last second that count.
    pub(crate) from: i64,
    pub(crate) through: i64,
    pub(crate) healed: Timestamp,
}

/// A run is on time within a second and a half, as tests run on loaded machines.
pub(crate) const ON_TIME: i64 = 1_500_000;

/// What is said of an occurrence that has come due, and was not yet looked at when it was asked.
pub(crate) const UNDECIDED: &str = "not_yet";

/// What the word of a history says that is no start.
fn tells(word: &str) -> bool {
    !matches!(word, "succeeded" | "queued" | "claimed" | "published" | "running" | "retrying")
}

impl Row {
    pub(crate) fn of(scenario: &str, title: &str, contender: &str, happened: &Happened<'_>) -> Row {
        let mut row =
            Row { scenario: scenario.into(), title: title.into(), contender: contender.into(), ..Row::default() };
        let late = |line: &Line| line.at.as_micros() - line.scheduled * 1_000_000;
        let mut starts: BTreeMap<(&str, i64), Vec<&Line>> = BTreeMap::new();
        for line in &happened.ledger {
            starts.entry((&line.job, line.scheduled)).or_default().push(line);
        }
        let mut lateness = Vec::new();
        for lines in starts.values() {
            let mut attempts: Vec<u32> = lines.iter().map(|line| line.attempt).collect();
            attempts.sort_unstable();
            attempts.dedup();
            row.doubles += lines.len() - attempts.len();
            row.early += lines.iter().filter(|line| late(line) < -20_000).count();
        }
        for job in happened.jobs {
            let history = happened.histories.as_ref().and_then(|all| all.get(job));
            for second in happened.from..=happened.through {
                row.due += 1;
                let lines = starts.get(&(job.as_str(), second));
                let word = history.and_then(|seconds| seconds.get(&second));
                match (lines, word) {
                    (None, None) => row.silent += 1,
                    (Some(_), _) => row.started += 1,
                    _ => {}
                }
                let waits = |word: &&str| *word == UNDECIDED || !tells(word);
                if lines.is_none() && second > happened.healed.as_secs() && word.is_some_and(waits) {
                    row.waiting += 1;
                } else if let Some(word) = word.filter(|word| tells(word)) {
                    *row.recorded.entry((*word).to_owned()).or_default() += 1;
                }
                let latest = lines.and_then(|lines| lines.iter().map(|line| late(line) / 1000).max());
                lateness.extend(lines.into_iter().flatten().map(|line| late(line) / 1000));
                let index = usize::try_from(second - happened.from).unwrap();
                row.latest.resize(row.latest.len().max(index + 1), None);
                row.latest[index] = row.latest[index].max(latest);
            }
        }
        lateness.sort_unstable();
        let of_hundred = |n: usize| lateness.get(lateness.len() * n / 100).copied().unwrap_or(0);
        (row.late_p50, row.late_p99) = (of_hundred(50), of_hundred(99));
        let on_time =
            |line: &&Line| line.scheduled > happened.healed.as_secs() && (-20_000..ON_TIME).contains(&late(line));
        let first = |job: &String| {
            happened.ledger.iter().filter(|line| line.job == *job).filter(on_time).map(|line| line.at).min()
        };
        let all: Option<Vec<Timestamp>> = happened.jobs.iter().map(first).collect();
        row.recovery = all.and_then(|all| Some(all.into_iter().max()?.since(happened.healed).as_secs_f64()));
        row
    }

    /// Whether something went wrong that no record tells of.
    pub(crate) fn failed(&self) -> bool {
        self.doubles + self.silent + self.early > 0
    }

    /// Puts it where the report is made from.
    pub(crate) fn keep(&self) {
        let rows = out().join("rows");
        fs::create_dir_all(&rows).unwrap();
        let path = rows.join(format!("{}-{}.json", self.scenario, self.contender));
        fs::write(path, serde_json::to_string_pretty(self).unwrap()).unwrap();
    }
}

/// Whether it is `tests/chaos` that runs this, and makes a table of it.
pub(crate) fn is_asked_for() -> bool {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    std::env::var_os("CHAOS_OUT").is_some()
}

/// Where the report goes: `CHAOS_OUT`, or else `target/chaos`.
pub(crate) fn out() -> PathBuf {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    let said = std::env::var("CHAOS_OUT").ok().map(PathBuf::from);
    said.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/chaos")))
}
