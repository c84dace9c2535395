//! Whom a job's events are told to: hooks, pings, and the jobs that follow it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{JobName, Text};

/// The name of a hook, by the rules for the names of jobs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HookName(Arc<str>);

impl HookName {
    /// Checks and takes a name.
    pub fn new(text: &str) -> Option<Self> {
        super::is_name(text).then(|| HookName(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Somebody's service that is told of events by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What it is called.
    pub name: HookName,
    /// Where it listens.
    pub url: Text,
    /// What it is signed with: the current secret, and the one before it while both are in use. Default: not signed.
    pub secrets: Vec<Text>,
    /// Events that it hears of without being named by a job.
    pub events: Vec<Pattern>,
    /// What it is sent.
    pub shape: Shape,
    /// Where it may be.
    pub reach: Reach,
    /// Default `true`.
    pub enabled: bool,
}

/// Where a hook may be. Default: public addresses, by HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reach {
    /// Plain HTTP as well.
    pub http: bool,
    /// Addresses of this machine and of private networks as well.
    pub private: bool,
}

/// What a hook is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The event, with the headers of Standard Webhooks.
    #[default]
    Standard,
    /// A line of text, as Slack takes it.
    Slack,
    /// A line of text, as Discord takes it.
    Discord,
}

/// A kind of event, or many: `run.failed`, `run.*`, `*.failed`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Takes a pattern that matches at least one of `kinds`.
    pub fn new<'a>(text: &str, kinds: impl IntoIterator<Item = &'a str>) -> Option<Pattern> {
        let pattern = Pattern(text.to_owned());
        kinds.into_iter().any(|kind| pattern.matches(kind)).then_some(pattern)
    }

    /// Whether an event of this kind is meant.
    pub fn matches(&self, kind: &str) -> bool {
        let same = |(wanted, word): (&str, &str)| wanted == "*" || wanted == word;
        match (self.0.split_once('.'), kind.split_once('.')) {
            (None, _) => self.0 == "*",
            (Some((entity, event)), Some(kind)) => same((entity, kind.0)) && same((event, kind.1)),
            (Some(_), None) => false,
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When somebody wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// An attempt of a run starts.
    Start,
    /// A run succeeded.
    Success,
    /// A run ended without success, and no attempt follows. One that was cancelled did not fail.
    Failure,
    /// The job went without a success for too long.
    Overdue,
}

impl Moment {
    /// All of them.
    pub const ALL: [Moment; 4] = [Moment::Start, Moment::Success, Moment::Failure, Moment::Overdue];

    /// The word for it: `start`, `success`, `failure` or `overdue`.
    pub fn word(self) -> &'static str {
        match self {
            Moment::Start => "start",
            Moment::Success => "success",
            Moment::Failure => "failure",
            Moment::Overdue => "overdue",
        }
    }

    /// The key of a job that says it: `on_success` and the like.
    pub fn key(self) -> &'static str {
        match self {
            Moment::Start => "on_start",
            Moment::Success => "on_success",
            Moment::Failure => "on_failure",
            Moment::Overdue => "on_overdue",
        }
    }
}

/// What follows a moment of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// A hook is told.
    Tell(HookName),
    /// Another job is triggered.
    Start(JobName),
}

/// What follows which moment of a job. Default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reactions {
    /// To a start.
    pub start: Vec<Reaction>,
    /// To a success.
    pub success: Vec<Reaction>,
    /// To a failure that no attempt follows.
    pub failure: Vec<Reaction>,
    /// To a success that is overdue.
    pub overdue: Vec<Reaction>,
}

impl Reactions {
    /// What follows `moment`.
    pub fn to(&self, moment: Moment) -> &[Reaction] {
        match moment {
            Moment::Start => &self.start,
            Moment::Success => &self.success,
            Moment::Failure => &self.failure,
            Moment::Overdue => &self.overdue,
        }
    }

    /// The jobs that any moment starts.
    pub fn jobs(&self) -> impl Iterator<Item = (Moment, &JobName)> {
        Moment::ALL.into_iter().flat_map(|moment| {
            self.to(moment).iter().filter_map(move |one| match one {
                Reaction::Start(job) => Some((moment, job)),
                Reaction::Tell(_) => None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_one_kind_or_many() {
        let kinds = ["run.failed", "run.succeeded", "job.paused"];
        let matched = |text: &str| {
            let pattern = Pattern::new(text, kinds)?;
            Some(kinds.into_iter().filter(|kind| pattern.matches(kind)).collect::<Vec<_>>())
        };
        assert_eq!(matched("run.failed"), Some(vec!["run.failed"]));
        assert_eq!(matched("run.*"), Some(vec!["run.failed", "run.succeeded"]));
        assert_eq!(matched("*.paused"), Some(vec!["job.paused"]));
        assert_eq!(matched("*"), Some(kinds.to_vec()));
        for none in ["run", "run.fail", "run.*.x", "", "**", "#"] {
            assert_eq!(matched(none), None, "{none}");
        }
    }
}
