//! `[secrets]`: values that come from elsewhere and are never shown.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::keys::{SECRET, SECRET_USE};
use super::walk::{Key, Value, Walk};
use super::words::nearest;
use super::{Env, Outside};
use crate::job::Text;
use crate::signature;

/// The secrets a file declares, each with its value unless that could not be read.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<String, Option<String>>);

impl Secrets {
    /// Reads `[secrets]`. A value that is missing is a warning: another machine may have it.
    pub(super) fn read(walk: &mut Walk<'_>, table: &DeTable<'_>, outside: Outside<'_>) -> Secrets {
        let mut secrets = Secrets::default();
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let fetched = fetch(walk, &name, value, outside);
            secrets.0.insert(name, fetched);
        }
        secrets
    }

    /// A plain text, or `{ secret = "name", prefix = "Bearer " }`.
    pub(super) fn text(&self, walk: &mut Walk<'_>, what: &str, value: &Value<'_>) -> Option<Text> {
        let DeValue::Table(table) = value.get_ref() else {
            // An empty environment variable is a sensible thing to set.
            if value.get_ref().as_str() == Some("") {
                return Some(Text::Plain(String::new()));
            }
            return walk.text(what, value).map(Text::Plain);
        };
        let (mut used, mut prefix) = (None, String::new());
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "secret" => used = Some((walk.text("secret", value)?, value.span())),
                "prefix" => prefix = walk.text("prefix", value)?,
                _ => {
                    walk.unknown_key(key, &SECRET_USE, &format!("`{what}`"));
                    return None;
                }
            }
        }
        let Some((name, span)) = used else {
            walk.error("E0027", value.span(), format!("`{what}` needs `secret`"), "as in `{ secret = \"name\" }`");
            return None;
        };
        let value = self.named(walk, &name, span)?;
        Some(Text::Secret { name, prefix, value })
    }

    /// The value of the secret that stands at `span` by its name, where it is known.
    fn named(&self, walk: &mut Walk<'_>, name: &str, span: Range<usize>) -> Option<Option<String>> {
        let Some(found) = self.0.get(name) else {
            let meant = nearest(name, self.0.keys().map(String::as_str)).map(str::to_owned);
            let error = walk.error("E0025", span.clone(), format!("unknown secret {name:?}"), "not under `[secrets]`");
            match meant {
                Some(meant) => error.suggest(format!("did you mean {meant:?}?"), span, format!("{meant:?}")),
                None => {
                    error.help(format!("add `{name} = {{ env = \"NAME_OF_A_VARIABLE\" }}` under `[secrets]`"));
                }
            }
            return None;
        };
        Some(found.clone())
    }

    /// A secret to sign with, by its name.
    pub(super) fn signing(&self, walk: &mut Walk<'_>, what: &str, value: &Value<'_>) -> Option<Text> {
        // Where a text may be a secret, it is written as a table.
        let name = match value.get_ref() {
            DeValue::Table(_) => match self.text(walk, what, value)? {
                Text::Secret { name, .. } => name,
                Text::Plain(_) => return None,
            },
            _ => walk.text(what, value)?,
        };
        if name.starts_with("whsec_") {
            walk.error("E0045", value.span(), format!("`{what}` is a secret in the open"), "expected its name")
                .help(format!("declare it under `[secrets]`, as in `hook_secret = {{ env = \"HOOK_SECRET\" }}`, and write `{what} = \"hook_secret\"`"));
            return None;
        }
        let found = self.named(walk, &name, value.span())?;
        if let Some(Err(why)) = found.as_deref().map(signature::key) {
            // Another machine may have a better one.
            walk.error("W0213", value.span(), format!("secret `{name}` cannot sign"), why).help(
                "make one with `echo whsec_$(openssl rand -base64 32)`, and give it to whoever checks the signatures",
            );
        }
        Some(Text::Secret { name, prefix: String::new(), value: found })
    }
}

fn fetch(walk: &mut Walk<'_>, name: &str, value: &Value<'_>, outside: Outside<'_>) -> Option<String> {
    let whose = format!("secret `{name}`");
    let sources = match value.get_ref() {
        DeValue::Table(table) => table,
        _ => {
            walk.wrong_type(name, value, "a table such as `{ env = \"NAME\" }`")
                .help("a secret never stands in the file itself: name a variable, a file or a credential");
            return None;
        }
    };
    let mut known: Vec<(&Key<'_>, &Value<'_>)> = Vec::new();
    for (key, value) in sources {
        if SECRET.has(key.get_ref()) {
            known.push((key, value));
        } else {
            walk.unknown_key(key, &SECRET, &whose);
            return None;
        }
    }
    let [(key, source)] = known[..] else {
        let message = format!("{whose} needs exactly one of env, file, credential");
        walk.error("E0027", value.span(), message, "one place, no more and no less")
            .help(format!("as in `{name} = {{ env = \"NAME\" }}`"));
        return None;
    };
    let text = walk.text(key.get_ref(), source)?;
    let Outside::Here(env) = outside else { return None };
    let (found, from) = match key.get_ref().as_ref() {
        "env" => (env(&text), format!("the variable {text} is not set")),
        "file" => (file(Path::new(&text)), format!("the file {text} cannot be read")),
        _ => {
            let inside = credential(env, &text).map(|(_, value)| value);
            (inside, format!("there is no credential {text} in $CREDENTIALS_DIRECTORY"))
        }
    };
    if found.is_none() {
        walk.error("W0211", source.span(), format!("{whose} has no value here"), from)
            .help("runs that need it fail until it is set");
    }
    found
}

/// A file's text without the newline that editors put at the end.
pub(super) fn file(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// What systemd put where only this service can read it, and what to call that.
pub(super) fn credential(env: Env<'_>, name: &str) -> Option<(String, String)> {
    let text = file(&Path::new(&env("CREDENTIALS_DIRECTORY")?).join(name))?;
    Some((format!("the credential {name}"), text))
}
