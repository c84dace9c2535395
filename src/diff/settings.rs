//! The settings of one job before and after.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::job::{Action, Job, Moment, QueueName, Task};
use crate::schedule::brief;

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its key in the file.
    pub key: &'static str,
    /// What it was, when that is short and no secret.
    pub old: Option<String>,
    /// What it will be.
    pub new: Option<String>,
}

/// Whether both start at the same times.
pub(super) fn same_times(old: &Job, new: &Job) -> bool {
    let times = |job: &Job| {
        (job.schedule.text(), job.schedule.zone().name().to_owned(), job.schedule.rules(), job.schedule.window())
    };
    let days = (&old.skip_on, &old.only_on, old.enabled) == (&new.skip_on, &new.only_on, new.enabled);
    days && times(old) == times(new)
}

/// The settings that differ between two jobs of one name.
pub(super) fn differing(old: &Job, new: &Job) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut told = |key, old: String, new: String| {
        if old != new {
            found.push(Setting { key, old: Some(old), new: Some(new) });
        }
    };
    let (before, after) = (old.schedule.rules(), new.schedule.rules());
    told("schedule", old.schedule.text(), new.schedule.text());
    told("timezone", old.schedule.zone().to_string(), new.schedule.zone().to_string());
    told("dst_gap", word(&before.gap), word(&after.gap));
    told("dst_overlap", word(&before.overlap), word(&after.overlap));
    let (before, after) = (old.schedule.window(), new.schedule.window());
    told("start", instant(before.0), instant(after.0));
    told("end", instant(before.1), instant(after.1));
    told("enabled", word(&old.enabled), word(&new.enabled));
    told("jitter", length(old.jitter), length(new.jitter));
    told("timeout", length(old.timeout), length(new.timeout));
    told("kill_after", length(old.kill_after), length(new.kill_after));
    told("overlap", word(&old.overlap), word(&new.overlap));
    told("delivery", word(&old.delivery), word(&new.delivery));
    told("lock", length(old.lease), length(new.lease));
    told("log_limit", word(&old.log_limit), word(&new.log_limit));
    told("mutex", or_none(&old.mutex), or_none(&new.mutex));
    let mut named = |key, differs: bool| {
        if differs {
            found.push(Setting { key, old: None, new: None });
        }
    };
    named("skip_on", old.skip_on != new.skip_on);
    named("only_on", old.only_on != new.only_on);
    named("misfire", old.misfire != new.misfire);
    named("retry", old.retry != new.retry);
    named("keep", old.keep != new.keep);
    named("tags", old.tags != new.tags);
    named("description", old.description != new.description);
    named("owner", old.owner != new.owner);
    named("runbook", old.runbook != new.runbook);
    named("start_within", old.start_within != new.start_within);
    named("message_trigger", old.message_trigger != new.message_trigger);
    named("ping", old.ping != new.ping);
    for moment in Moment::ALL {
        named(moment.key(), old.on.to(moment) != new.on.to(moment));
    }
    named("run_on", place(&old.task) != place(&new.task));
    match (old.task.action(), new.task.action()) {
        (Some(before), Some(after)) => action(&mut found, before, after),
        (None, None) if format!("{:?}", old.task) == format!("{:?}", new.task) => {}
        _ => found.push(Setting { key: "publish", old: None, new: None }),
    }
    found
}

/// The queue it is sent to, if it is for workers.
fn place(task: &Task) -> Option<&QueueName> {
    match task {
        Task::Queue(queue, _) => Some(queue),
        Task::Run(_) | Task::Publish(_) => None,
    }
}

/// As it is written in a file.
fn length(span: Duration) -> String {
    match (span.as_secs(), span.subsec_nanos()) {
        (seconds @ 1.., 0) => brief(seconds),
        _ => format!("{span:?}"),
    }
}

fn action(found: &mut Vec<Setting>, old: &Action, new: &Action) {
    let (Action::Command(old), Action::Command(new)) = (old, new) else {
        // What it shows of secrets is their names.
        if format!("{old:?}") != format!("{new:?}") {
            let key = match new {
                Action::Command(_) => "command",
                Action::Http(_) => "http",
                Action::Handler { .. } => "handler",
            };
            found.push(Setting { key, old: None, new: None });
        }
        return;
    };
    let mut named = |key, differs: bool| {
        if differs {
            found.push(Setting { key, old: None, new: None });
        }
    };
    named("command", (old.shown(), old.is_shell) != (new.shown(), new.is_shell));
    let shell = |words: &[Arc<str>]| words.split_last().map(|(_, shell)| shell.to_vec());
    named("shell", old.is_shell && new.is_shell && shell(&old.argv) != shell(&new.argv));
    named("cwd", old.cwd != new.cwd);
    named("env", old.env != new.env);
    named("env_file", old.env_file != new.env_file);
    named("stdin", old.stdin != new.stdin);
}

fn or_none(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "none".to_owned())
}

fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "none".to_owned(), |at| at.to_string())
}

/// A value as a word: `Skip` as `skip`, a span as `90s`.
fn word(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let mut word = String::new();
    for (n, letter) in text.chars().enumerate() {
        if letter.is_ascii_uppercase() && n > 0 {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}
