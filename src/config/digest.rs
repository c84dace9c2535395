//! A short name for what is wanted, equal on replicas that want the same.

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::job::{Action, Hook, Job, Policy, Task, Text};

/// Eight hexadecimal digits over all that matters of the jobs and hooks: not where it was written, and no secret's value.
pub(super) fn digest<'a>(jobs: impl IntoIterator<Item = &'a Job>, hooks: &[Arc<Hook>]) -> String {
    let mut hash = Sha256::new();
    let mut text = String::new();
    for job in jobs {
        text.clear();
        describe(&mut text, job);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(&text);
    }
    for hook in hooks {
        text.clear();
        // Secrets show as their names only.
        let _ = write!(text, "{hook:?}");
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(&text);
    }
    hash.finalize().iter().take(4).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Everything but the source. A new field must be placed here, or the compiler complains.
fn describe(out: &mut String, job: &Job) {
    let Job { name, description, owner, runbook, schedule, task, mutex, ping, policy, source: _ } = job;
    let Policy { tags, enabled, skip_on, only_on, jitter, misfire, overlap, delivery, retry, .. } = &**policy;
    let Policy { timeout, warn_after, must_succeed_within, kill_after, start_within, message_trigger, .. } = &**policy;
    let Policy { lease, on, log_limit, keep, .. } = &**policy;
    let _ = write!(
        out,
        "{name:?} {description:?} {owner:?} {runbook:?} {tags:?} {enabled} {jitter:?} {misfire:?} {overlap:?} \
         {delivery:?} {retry:?} {timeout:?} {kill_after:?} {warn_after:?} {must_succeed_within:?} {lease:?} {mutex:?} {log_limit} {keep:?} {start_within:?} {message_trigger} \
         {ping:?} {on:?} ",
    );
    let _ = write!(out, "{:?} {:?} {:?} ", schedule.text(), schedule.zone(), schedule.rules());
    let _ = write!(out, "{:?} {skip_on:?} {only_on:?} ", schedule.window());
    // Secrets show as their names only.
    let _ = write!(out, "{task:?}");
    let texts = match task {
        Task::Run(Action::Command(command)) | Task::Queue(_, Action::Command(command)) => Some(&*command.env),
        Task::Run(Action::Http(http)) | Task::Queue(_, Action::Http(http)) => Some(&http.headers),
        Task::Run(Action::Handler { .. }) | Task::Queue(_, Action::Handler { .. }) => None,
        Task::Publish(publish) => Some(&publish.headers),
    };
    for text in texts.into_iter().flat_map(|map| map.values()) {
        if let Text::Secret { prefix, .. } = text {
            let _ = write!(out, " {prefix:?}");
        }
    }
}
