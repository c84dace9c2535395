//! `[hooks.NAME]`: services that hear of events; and the lists of jobs that name them.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place};
use super::keys::HOOK;
use super::secrets::Secrets;
use super::walk::{Key, Value, Walk};
use super::words::{self, nearest};
use crate::announce;
use crate::job::{Hook, HookName, JobName, Moment, Pattern, Reach, Reaction, Shape, Text};

/// The hooks of all files; `None` stands for one with mistakes, about which enough was said.
#[derive(Default)]
pub(super) struct Hooks(BTreeMap<HookName, (Option<Arc<Hook>>, Place)>);

/// What a list such as `on_failure` names, and where it does.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) reaction: Reaction,
    pub(super) place: Place,
}

impl Hooks {
    /// Adds those of one file.
    pub(super) fn read(&mut self, walk: &mut Walk<'_>, table: &DeTable<'_>, secrets: &Secrets) {
        for (key, value) in table {
            let hook = hook(walk, secrets, key, value);
            let Some(name) = HookName::new(key.get_ref()) else { continue };
            let place = walk.place(key.span(), "first declared here");
            match self.0.get(&name) {
                Some((_, first)) => {
                    let message = format!("hook `{name}` is declared twice");
                    let error = walk.error("E0039", key.span(), message, "declared again");
                    error.help(format!("it is also in {}: rename one of them", first.file));
                    error.other = Some(first.clone());
                }
                None => _ = self.0.insert(name, (hook.map(Arc::new), place)),
            }
        }
    }

    pub(super) fn has(&self, name: &HookName) -> bool {
        self.0.contains_key(name)
    }

    /// What is to be said about a name that stands for none.
    pub(super) fn unknown(&self, name: &HookName, place: &Place) -> Diagnostic {
        let mut error =
            Diagnostic::at("E0040", place, format!("unknown hook `{name}`"), "not under `[hooks]`".to_owned());
        match nearest(name.as_str(), self.0.keys().map(HookName::as_str)) {
            Some(meant) => error.suggest(format!("did you mean `{meant}`?"), place.span.clone(), quoted(meant)),
            None => {
                _ = error.help(format!(
                    "add `[hooks.{name}]` with its `url`, in any of the files; a job is named as in \"job:{name}\""
                ))
            }
        }
        error
    }

    /// Those that are sound.
    pub(super) fn all(&self) -> Vec<Arc<Hook>> {
        self.0.values().filter_map(|(hook, _)| hook.clone()).collect()
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn hook(walk: &mut Walk<'_>, secrets: &Secrets, key: &Key<'_>, value: &Value<'_>) -> Option<Hook> {
    let text = key.get_ref().as_ref();
    let name = name(walk, key);
    let table = walk.table_with(text, "url", value)?;
    let before = walk.found.len();
    let (mut url, mut now, mut previous) = (None, None, None);
    let (mut events, mut shape) = (Vec::new(), Shape::default());
    let (mut reach, mut enabled) = (Reach::default(), true);
    for (key, value) in table {
        let word = key.get_ref().as_ref();
        match word {
            "url" => url = secrets.text(walk, word, value).map(|text| (text, value)),
            "secret" => now = secrets.signing(walk, word, value).map(|text| (text, key)),
            "previous_secret" => previous = secrets.signing(walk, word, value).map(|text| (text, key)),
            "events" => events = patterns(walk, value),
            "format" => shape = walk.one_of(word, value, &words::SHAPE, &[]).unwrap_or_default(),
            "allow_http" => reach.http = walk.boolean(word, value).unwrap_or_default(),
            "allow_private" => reach.private = walk.boolean(word, value).unwrap_or_default(),
            "enabled" => enabled = walk.boolean(word, value).unwrap_or(true),
            _ => _ = walk.unknown_key(key, &HOOK, &format!("hook `{text}`")),
        }
    }
    if url.is_none() && walk.found.len() == before {
        walk.error("E0027", key.span(), format!("hook `{text}` needs `url`"), "nobody could be reached")
            .help("add e.g. `url = \"https://audit.example/hooks\"`");
    }
    if let Some((Text::Plain(text), value)) = &url {
        address(walk, text, value, reach);
    }
    pair(walk, now.as_ref(), previous.as_ref(), shape);
    let secrets = [now, previous].into_iter().flatten().map(|(text, _)| text).collect();
    let (name, (url, _)) = (name?, url?);
    (walk.found.len() == before).then_some(Hook { name, url, secrets, events, shape, reach, enabled })
}

fn name(walk: &mut Walk<'_>, key: &Key<'_>) -> Option<HookName> {
    let text = key.get_ref().as_ref();
    let name = HookName::new(text);
    if name.is_none() {
        let label = "only a-z, 0-9, `-` and `_`, at most 63 characters, not `-` or `_` first";
        let error = walk.error("E0037", key.span(), format!("`{text}` is not a valid name for a hook"), label);
        let better = text.to_lowercase().replace([' ', '.', '/'], "-");
        if HookName::new(&better).is_some() {
            error.suggest("rename the hook", key.span(), better);
        }
    }
    name
}

/// Notes a URL that cannot be used. One that is a secret is looked at when it is.
fn address(walk: &mut Walk<'_>, text: &str, value: &Value<'_>, reach: Reach) {
    let parsed = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = parsed else {
        let error = walk.error("E0028", value.span(), "a hook's `url` is not a URL", "expected https:// and a host");
        if !text.contains(':') && text.contains('.') {
            error.suggest("say how to get there", value.span(), format!("\"https://{text}\""));
        }
        return;
    };
    if url.scheme() == "http" && !reach.http && !is_loopback(&url) {
        let start = walk.inside(value, 0..text.len()).start;
        let error =
            walk.error("E0041", value.span(), "a hook is told by HTTPS", "anybody on the way could read and change it");
        error.help("write https://, or `allow_http = true` where the way there is safe");
        if start > value.span().start {
            error.suggest("use HTTPS", start..start + 4, "https");
        }
    }
}

/// Whether a URL names this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Notes secrets that nothing would be done with.
fn pair(walk: &mut Walk<'_>, now: Option<&(Text, &Key<'_>)>, previous: Option<&(Text, &Key<'_>)>, shape: Shape) {
    if let (None, Some((_, key))) = (now, previous) {
        walk.error("E0029", key.span(), "`previous_secret` goes with `secret`", "there is no newer one")
            .help("name it `secret`");
    }
    if let (Some((_, key)), Shape::Slack | Shape::Discord) = (now, shape) {
        walk.error(
            "E0029",
            key.span(),
            "`secret` goes with `format = \"standard\"`",
            "nobody there looks at signatures",
        )
        .help("leave it out: what such a service is sent is not signed");
    }
}

fn patterns(walk: &mut Walk<'_>, value: &Value<'_>) -> Vec<Pattern> {
    let DeValue::Array(items) = value.get_ref() else {
        walk.texts("events", value);
        return Vec::new();
    };
    items.iter().filter_map(|item| pattern(walk, item)).collect()
}

fn pattern(walk: &mut Walk<'_>, item: &Value<'_>) -> Option<Pattern> {
    let text = walk.text("events", item)?;
    let pattern = Pattern::new(&text, announce::recorded());
    if pattern.is_some() {
        return pattern;
    }
    if Pattern::new(&text, announce::KINDS).is_some() {
        let label = "told by one replica about itself, to the broker";
        walk.error("E0042", item.span(), format!("no hook hears of `{text}`"), label)
            .help("hooks hear of what happens to jobs and runs: run.*, occurrence.*, job.*, lock.*, outbox.gap");
        return None;
    }
    let meant = nearest(&text, announce::recorded()).map(quoted);
    let error = walk.error("E0042", item.span(), format!("no event is called {text:?}"), "it would never be told");
    match meant {
        Some(meant) => error.suggest("did you mean this?", item.span(), meant),
        None => _ = error.help("events are named as in docs/EVENTS.md: `run.failed`, `run.*`, or `*` for all"),
    }
    None
}

/// Reads a list such as `on_failure`. Whether what it names is there is known once all files are read.
pub(super) fn wanted(walk: &mut Walk<'_>, moment: Moment, value: &Value<'_>) -> Option<Vec<Wanted>> {
    let DeValue::Array(items) = value.get_ref() else {
        walk.texts(moment.key(), value);
        return None;
    };
    let mut all = Vec::new();
    for item in items {
        let text = walk.text(moment.key(), item)?;
        let place = walk.place(item.span(), "");
        let reaction = match text.strip_prefix("job:") {
            Some(name) => JobName::new(name.trim()).ok().map(Reaction::Start),
            None => HookName::new(&text).map(Reaction::Tell),
        };
        match reaction {
            Some(reaction) => all.push(Wanted { reaction, place }),
            None => not_a_name(walk, item, &text),
        }
    }
    Some(all)
}

fn not_a_name(walk: &mut Walk<'_>, item: &Value<'_>, text: &str) {
    if text.contains("://") {
        walk.error("E0040", item.span(), "a URL is no hook", "expected the name of one")
            .help("declare it as `[hooks.NAME]` with `url = ...`, and write its name here");
        return;
    }
    walk.error("E0040", item.span(), format!("{text:?} names neither a hook nor a job"), "never told")
        .help("write the name of a hook, as under `[hooks]`, or \"job:NAME\"");
}
