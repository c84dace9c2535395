//! `NAME = value` lines, which hold for the entries below them.

use std::collections::BTreeMap;

/// What holds for the next entry.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) zone: Option<String>,
    pub(super) shell: Option<String>,
    pub(super) delay: u32,
    pub(super) env: BTreeMap<String, String>,
}

impl Settings {
    /// Takes one setting; a sentence when it does not simply become a variable of the jobs below.
    pub(super) fn take(&mut self, line: usize, name: &str, value: String) -> Option<String> {
        match name {
            "CRON_TZ" => {
                self.zone = Some(value).filter(|value| !value.is_empty());
                None
            }
            "SHELL" => {
                self.shell = Some(value).filter(|value| !value.is_empty());
                None
            }
            "RANDOM_DELAY" => match value.parse() {
                Ok(minutes) => {
                    self.delay = minutes;
                    (minutes > 0).then(|| {
                        let same = "chosen for each start, the same on every replica";
                        format!("RANDOM_DELAY={minutes} became jitter = \"{minutes}m\": {same}")
                    })
                }
                Err(_) => Some(format!("RANDOM_DELAY={value} is no number of minutes: dropped, as cron does")),
            },
            "MAILTO" if value.is_empty() => {
                Some("MAILTO was dropped: no mail is sent anyway, output is kept (cronclave logs)".into())
            }
            "MAILTO" => Some(format!(
                "MAILTO={value} was dropped: output is kept instead of mailed (cronclave logs, cronclave history)"
            )),
            "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" | "NO_MAIL_OUTPUT" => {
                Some(format!("{name} was dropped: no mail is sent"))
            }
            "LOGNAME" | "USER" => Some(format!("{name} was dropped: cron does not let it be set either")),
            "MLS_LEVEL" => Some("MLS_LEVEL was dropped: jobs run in the security context of the replica".into()),
            "HOME" if value.is_empty() => Some("HOME is empty and was dropped: cron could not start there".into()),
            _ if name.is_empty() => Some(format!("line {line} sets a variable without a name: dropped")),
            _ => {
                let said = match name {
                    "TZ" => Some(
                        "TZ became a variable of the jobs below and does not move their times: that is what it does \
                         in cron; CRON_TZ or --timezone says where the times are meant"
                            .to_owned(),
                    ),
                    _ if value.contains('$') => {
                        Some(format!("{name} holds a `$` that is taken as it stands: cron fills in nothing either"))
                    }
                    _ => None,
                };
                self.env.insert(name.to_owned(), value);
                said
            }
        }
    }
}

/// Name and value, when this line is a setting. Both may be in quotes of either kind.
pub(super) fn split(line: &str) -> Option<(String, String)> {
    let (name, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => {
            let (name, rest) = line[1..].split_once(quote)?;
            if name.contains('=') {
                return None;
            }
            (name, rest.trim_start().strip_prefix('=')?)
        }
        _ => {
            let (name, value) = line.split_once('=')?;
            let name = name.trim_end();
            if name.contains([' ', '\t']) {
                return None;
            }
            (name, value)
        }
    };
    let rest = rest.trim_matches([' ', '\t']);
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (value, more) = rest[1..].split_once(quote)?;
            more.is_empty().then(|| (name.to_owned(), value.to_owned()))
        }
        _ => Some((name.to_owned(), rest.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_entries_as_cron_does() {
        for (line, wanted) in [
            ("A=b", Some(("A", "b"))),
            ("A = b c ", Some(("A", "b c"))),
            ("A =\t'  b  '", Some(("A", "  b  "))),
            ("\"A B\"=\"it's\"", Some(("A B", "it's"))),
            ("A=", Some(("A", ""))),
            ("A=\"\"", Some(("A", ""))),
            ("A=b=c", Some(("A", "b=c"))),
            ("A=\"b\"c", None),
            ("A=\"b", None),
            ("'A=B'=c", None),
            ("* * * * * A=b cmd", None),
            ("@daily A=b cmd", None),
            ("nothing", None),
        ] {
            let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(split(line), wanted, "{line}");
        }
    }
}
