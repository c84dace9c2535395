//! What can only be said once all files are read: whether the hooks and jobs that jobs name are there, and that no
//! chain of jobs leads back to where it began.

use std::collections::{BTreeMap, BTreeSet};

use super::SeenJobs;
use super::diagnostic::{Diagnostic, Place};
use super::hooks::{Hooks, Wanted};
use super::words::nearest;
use crate::job::{JobName, Reaction};

/// Notes every name in `wanted` that stands for nothing.
pub(super) fn unknown(hooks: &Hooks, seen: &SeenJobs, wanted: &[Wanted]) -> Vec<Diagnostic> {
    let told = |one: &Wanted| match &one.reaction {
        Reaction::Tell(hook) if !hooks.has(hook) => Some(hooks.unknown(hook, &one.place)),
        Reaction::Start(job) if !seen.contains_key(job) => Some(unknown_job(seen, job, &one.place)),
        Reaction::Tell(_) | Reaction::Start(_) => None,
    };
    wanted.iter().filter_map(told).collect()
}

fn unknown_job(seen: &SeenJobs, job: &JobName, place: &Place) -> Diagnostic {
    let mut error = Diagnostic::at("E0043", place, format!("unknown job `{job}`"), "nothing would start".to_owned());
    match nearest(job.as_str(), seen.keys().map(JobName::as_str)) {
        Some(meant) => {
            error.suggest(format!("did you mean `{meant}`?"), place.span.clone(), format!("\"job:{meant}\""));
        }
        None => {
            error.help(format!(
                "add `[jobs.{job}]`, in any of the files; `schedule = \"@manual\"` if only this starts it"
            ));
        }
    }
    error
}

/// Notes every chain that leads back to where it began: once begun it would go round for ever.
pub(super) fn loops(seen: &SeenJobs) -> Vec<Diagnostic> {
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for (name, _) in seen.iter().filter(|(_, one)| !one.wanted.is_empty()) {
        walk(seen, name, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

/// Looks at all that follows `name`, each job once. `path` is how it was come to.
fn walk<'a>(
    seen: &'a SeenJobs,
    name: &'a JobName,
    path: &mut Vec<&'a JobName>,
    done: &mut BTreeSet<&'a JobName>,
    found: &mut Vec<Diagnostic>,
) {
    if !done.insert(name) {
        return;
    }
    let Some(one) = seen.get(name) else { return };
    path.push(name);
    let mut next: BTreeMap<&JobName, &Place> = BTreeMap::new();
    for wanted in &one.wanted {
        if let Reaction::Start(job) = &wanted.reaction {
            next.entry(job).or_insert(&wanted.place);
        }
    }
    for (job, place) in next {
        match path.iter().position(|before| *before == job) {
            Some(start) => found.push(round(&path[start..], name, &one.place, place)),
            None => walk(seen, job, path, done, found),
        }
    }
    path.pop();
}

fn round(path: &[&JobName], last: &JobName, declared: &Place, place: &Place) -> Diagnostic {
    let names: Vec<&str> = path.iter().chain(path.first()).map(|name| name.as_str()).collect();
    let message = format!("a chain of jobs leads back to itself: {}", names.join(" -> "));
    let mut error = Diagnostic::at("E0044", place, message, "once begun it would never end".to_owned());
    let within =
        declared.source == place.source && declared.file == place.file && place.span.start > declared.span.start;
    if within {
        error.help("leave one of them out; a job that is to run again says so in its schedule, or in `retry`");
    } else {
        error.help(format!("job `{last}` has it from `[defaults]`: give it a list of its own, if only `[]`"));
    }
    error
}
