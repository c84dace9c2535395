//! What is wanted: schedule files read into [`Job`]s, with all mistakes told at once.
//!
//! [`find()`] reads the files, [`load`] understands them. Nothing else reads files or the environment
//! to learn what to run.

mod action;
mod calendars;
mod chains;
mod diagnostic;
mod digest;
mod duration;
mod find;
mod grammar;
mod hooks;
mod job;
mod keys;
mod pages;
mod platform;
mod policy;
mod process;
mod publish;
mod reference;
mod schema;
mod secrets;
mod servers;
mod settings;
mod vcap;
mod walk;
mod warnings;
mod web;
mod when;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::clock::Timestamp;
use crate::job::{Hook, Job, JobName};
use calendars::Calendars;
use hooks::{Hooks, Wanted};
use job::Policies;
use secrets::Secrets;
use settings::{Names, Settings};
use walk::{File, Key, Value, Walk};
use when::Known;

pub use diagnostic::{Diagnostic, Place, Region, Severity, Suggestion, report};
pub use duration::duration;
pub use find::{Stamp, find, stamps};
pub use pages::{codes, page, page_title};
pub use platform::Platform;
pub use process::{Flags, Listen, LogFormat, LogOutput, Process, WrongSetting, environment};
pub use reference::reference;
pub use schema::{SCHEMA_FILE, schema, schema_text};
pub use web::{Role, Secret, Web};
pub(crate) use words::nearest;

/// Looks up a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where the values of secrets come from.
#[derive(Clone, Copy)]
enum Outside<'a> {
    /// The environment and the files of this machine.
    Here(Env<'a>),
    /// Nowhere: the text is only checked.
    Nowhere,
}

/// A schedule file as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// How it was named.
    pub name: String,
    /// What is in it.
    pub text: Arc<str>,
}

/// What the schedule files say.
#[derive(Debug, Clone)]
pub struct Config {
    /// The jobs, by name.
    pub jobs: Vec<Arc<Job>>,
    /// The hooks, by name.
    pub hooks: Vec<Arc<Hook>>,
    /// Eight hexadecimal digits, equal where the same is wanted; no secret's value has a part in it.
    pub digest: String,
    /// The files, in the order they were read.
    pub files: Vec<FileInfo>,
    /// What someone should look at.
    pub warnings: Vec<Diagnostic>,
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// How it was named.
    pub path: String,
    /// How many jobs it declares.
    pub jobs: usize,
}

/// Understands schedule files. `env` looks up variables for `[secrets]`; warnings about changes of
/// clocks cover the two years from `now`. Files that `[secrets]` names are read here.
///
/// # Errors
/// Every mistake in every file, in order of file and position.
pub fn load(sources: &[SourceText], env: Env<'_>, now: Timestamp) -> Result<Config, Vec<Diagnostic>> {
    understand(sources, Outside::Here(env), now)
}

/// The same for a text that somebody else sent: nothing of this machine is looked at, and no secret has a value.
///
/// # Errors
/// As [`load`].
pub fn check(sources: &[SourceText], now: Timestamp) -> Result<Config, Vec<Diagnostic>> {
    understand(sources, Outside::Nowhere, now)
}

fn understand(sources: &[SourceText], outside: Outside<'_>, now: Timestamp) -> Result<Config, Vec<Diagnostic>> {
    let files: Vec<File> = sources.iter().map(|source| File::new(&source.name, &source.text)).collect();
    // Any file may name the calendars of any other. Those without are parsed in their turn: trees are large.
    let may_declare = |file: &File| file.text.contains("calendars") || file.text.contains('\\');
    let mut documents: Vec<Option<Document>> =
        files.iter().map(|file| may_declare(file).then(|| Document::parse(file))).collect();
    let mut calendars = Calendars::default();
    for Document { walk, root } in documents.iter_mut().flatten() {
        if let Some(table) = root.get("calendars").and_then(|value| value.get_ref().as_table()) {
            calendars.read(walk, table, now);
        }
    }
    let mut shared = Shared {
        calendars,
        known: Known::default(),
        policies: Policies::default(),
        seen: BTreeMap::new(),
        hooks: Hooks::default(),
        wanted: Vec::new(),
        outside,
        now,
    };
    let mut found = Vec::new();
    let mut infos = Vec::new();
    for (file, document) in files.iter().zip(documents) {
        let before = shared.seen.len();
        let document = document.unwrap_or_else(|| Document::parse(file));
        found.extend(document.read(&mut shared));
        infos.push(FileInfo { path: file.name.to_string(), jobs: shared.seen.len() - before });
    }
    let Shared { seen, hooks, wanted, .. } = shared;
    // A calendar, a hook or a job may be declared where a mistake in the grammar hides it.
    if found.iter().any(|one| one.code == "E0001") {
        found.retain(|one| one.code != "E0034");
    } else {
        // What stands below a misspelt section is not unknown.
        let misspelt = |name: &str| found.iter().any(|one| one.suggestion.as_ref().is_some_and(|fix| fix.with == name));
        let (no_hooks, no_jobs) = (misspelt("hooks"), misspelt("jobs"));
        let unknown = chains::unknown(&hooks, &seen, &wanted).into_iter();
        found.extend(unknown.filter(|one| !(no_hooks && one.code == "E0040" || no_jobs && one.code == "E0043")));
        found.extend(chains::loops(&seen));
        let nth = |file: &str| sources.iter().position(|source| source.name == file);
        found.sort_by_key(|one| (nth(&one.file), one.span.start, one.span.end));
    }
    if found.iter().any(|one| one.severity == Severity::Error) {
        return Err(found);
    }
    let placed: Vec<(&Job, &Place)> = seen.values().filter_map(|one| Some((one.job.as_deref()?, &one.place))).collect();
    found.extend(warnings::crowd(&placed, now));
    let jobs: Vec<Arc<Job>> = seen.into_values().filter_map(|seen| seen.job).collect();
    let hooks = hooks.all();
    let digest = digest::digest(jobs.iter().map(AsRef::as_ref), &hooks);
    Ok(Config { jobs, hooks, digest, files: infos, warnings: found })
}

/// A job that was declared, sound or not, and where.
struct Seen {
    /// Where it stays: a job is large.
    job: Option<Arc<Job>>,
    place: Place,
    /// What follows its moments.
    wanted: Vec<Wanted>,
}

type SeenJobs = BTreeMap<JobName, Seen>;

/// What the files have in common while they are read.
struct Shared<'a> {
    calendars: Calendars,
    known: Known,
    policies: Policies,
    seen: SeenJobs,
    hooks: Hooks,
    /// What `on_failure` and the like name, in jobs and `[defaults]`.
    wanted: Vec<Wanted>,
    outside: Outside<'a>,
    now: Timestamp,
}

/// One file, parsed as TOML.
struct Document<'a> {
    walk: Walk<'a>,
    root: DeTable<'a>,
}

impl<'a> Document<'a> {
    fn parse(file: &'a File) -> Document<'a> {
        let mut walk = Walk::new(file);
        let (root, errors) = DeTable::parse_recoverable(&file.text);
        grammar::note_all(&mut walk, &errors);
        Document { walk, root: root.into_inner() }
    }

    /// Understands it, and returns what is to be said about it, in order of position.
    fn read(self, shared: &mut Shared<'_>) -> Vec<Diagnostic> {
        let Document { mut walk, mut root } = self;
        let broken: Vec<usize> = walk.found.iter().filter(|one| one.code == "E0001").map(|one| one.line).collect();
        if broken.is_empty() {
            root.iter().for_each(|(key, value)| top_level(&mut walk, key, value));
        }
        sections(&mut walk, &mut root, shared);
        // What stands below a misspelt section is not unknown.
        let misspelt =
            |name: &str| walk.found.iter().any(|one| one.suggestion.as_ref().is_some_and(|fix| fix.with == name));
        let (secrets, calendars) = (misspelt("secrets"), misspelt("calendars"));
        walk.found.retain(|one| !(secrets && one.code == "E0025" || calendars && one.code == "E0034"));
        // A mistake in the grammar makes whatever stands on its line look wrong, and other things look missing.
        let echo = |one: &Diagnostic| {
            broken.contains(&one.line) || ["E0003", "E0013", "E0014", "E0027", "E0035"].contains(&&*one.code)
        };
        walk.found.retain(|one| broken.is_empty() || one.code == "E0001" || !echo(one));
        walk.found.sort_by_key(|one| (one.span.start, one.span.end));
        walk.found
    }
}

fn sections(walk: &mut Walk<'_>, root: &mut DeTable<'_>, shared: &mut Shared<'_>) {
    let jobs = root.remove("jobs").map(Spanned::into_inner);
    let table = |name: &str| root.get(name).and_then(|value| value.get_ref().as_table());
    version(walk, root);
    let secrets = table("secrets").map(|table| Secrets::read(walk, table, shared.outside)).unwrap_or_default();
    if let Some(table) = table("hooks") {
        shared.hooks.read(walk, table, &secrets);
    }
    let mut defaults = Settings::default();
    for (key, value) in table("defaults").into_iter().flatten() {
        let names = Names { secrets: &secrets, calendars: &shared.calendars };
        if !defaults.take(walk, &names, key, value) {
            walk.unknown_key(key, &keys::DEFAULTS, "`[defaults]`");
        }
    }
    shared.wanted.extend(defaults.wanted());
    // Each goes as soon as it is understood: what comes of it takes the place.
    let Some(DeValue::Table(jobs)) = jobs else { return };
    for (key, value) in jobs {
        let names = Names { secrets: &secrets, calendars: &shared.calendars };
        let mut shelf = job::Shelf {
            defaults: &defaults,
            names,
            known: &mut shared.known,
            policies: &mut shared.policies,
            wanted: &mut shared.wanted,
            follows: Vec::new(),
            now: shared.now,
        };
        let job = job::job(walk, &mut shelf, &key, &value);
        let follows = shelf.follows;
        remember(walk, &mut shared.seen, &key, (job.map(Arc::new), follows));
    }
}

/// Notes what is wrong with a key of the top level itself.
fn top_level(walk: &mut Walk<'_>, key: &Key<'_>, value: &Value<'_>) {
    match key.get_ref().as_ref() {
        "version" => {}
        "$schema" => _ = walk.text("$schema", value),
        "jobs" if value.get_ref().is_array() => {
            walk.wrong_type("jobs", value, "a table")
                .help("jobs are written as tables, `[jobs.nightly-report]`, not as an array `[[jobs]]`");
        }
        // One letter short, but otherwise right.
        "job" if value.get_ref().is_table() => {
            walk.error("E0012", key.span(), "unknown key `job` in the file", "not a section known here").suggest(
                "did you mean `jobs`?",
                key.span(),
                "jobs",
            );
        }
        "defaults" | "secrets" | "calendars" | "hooks" | "jobs" => {
            walk.table(key.get_ref(), value);
        }
        _ => {
            walk.unknown_key(key, &keys::TOP, "the file");
        }
    }
}

fn version(walk: &mut Walk<'_>, root: &DeTable<'_>) {
    let Some(value) = root.get("version") else {
        let end = walk.file.text.lines().next().map_or(0, str::len);
        walk.error("E0003", 0..end, "`version = 1` is missing", "every schedule file says which format it is in")
            .suggest("add it as the first line", 0..0, "version = 1\n");
        return;
    };
    match value.get_ref() {
        DeValue::Integer(number) if number.to_string() == "1" => {}
        DeValue::Integer(number) => {
            let message = format!("version {number} is not known");
            walk.error("E0003", value.span(), message, "this program reads version 1");
        }
        _ => {
            walk.wrong_type("version", value, "a whole number").suggest("write it like this", value.span(), "1");
        }
    }
}

/// Keeps a job, or notes that its name is taken.
fn remember(walk: &mut Walk<'_>, seen: &mut SeenJobs, key: &Key<'_>, (job, wanted): (Option<Arc<Job>>, Vec<Wanted>)) {
    let Ok(name) = JobName::new(key.get_ref()) else { return };
    let place = Place {
        file: Arc::clone(&walk.file.name),
        source: Arc::clone(&walk.file.text),
        span: key.span(),
        label: "first declared here".into(),
    };
    match seen.get(&name) {
        Some(first) => {
            let first = first.place.clone();
            let message = format!("job `{name}` is declared twice");
            let error = walk.error("E0017", key.span(), message, "declared again");
            error.help(format!("it is also in {}: rename one of them", first.file));
            error.other = Some(first);
        }
        None => {
            seen.insert(name, Seen { job, place, wanted });
        }
    }
}
