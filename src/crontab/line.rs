//! One entry: its times, its user and its command.

use super::{command, fields};

/// What an entry says.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) schedule: String,
    pub(super) user: Option<String>,
    pub(super) command: String,
    pub(super) stdin: Option<String>,
    pub(super) notes: Vec<String>,
}

const BLANK: [char; 2] = [' ', '\t'];

/// Takes an entry apart.
///
/// # Errors
/// Why it cannot be kept.
pub(super) fn split(line: &str, system: bool) -> Result<Line, String> {
    // A dash keeps the start out of the system's log; there is nothing to keep out here.
    let line = line.strip_prefix('-').unwrap_or(line);
    let (times, rest) = times(line)?;
    let (user, rest) = match system {
        true => {
            let (user, rest) = word(rest);
            (Some(user.to_owned()).filter(|user| !user.is_empty()), rest)
        }
        false => (None, rest),
    };
    let (command, stdin) = command::split(rest);
    if command.trim().is_empty() {
        return Err("there is no command on this line".into());
    }
    if rest.starts_with('*') || user.as_deref().is_some_and(|user| user.starts_with('*')) {
        return Err("a sixth `*` stands where the command should: cron refuses it; remove one field".into());
    }
    Ok(Line { schedule: times.text, user, command, stdin, notes: times.notes })
}

fn times(line: &str) -> Result<(fields::Times, &str), String> {
    if let Some(rest) = line.strip_prefix('@') {
        let (name, rest) = word(rest);
        return named(name).map(|text| (fields::Times { text, notes: Vec::new() }, rest));
    }
    let (mut rest, mut five) = (line, [""; 5]);
    for field in &mut five {
        (*field, rest) = word(rest);
    }
    if five.contains(&"") {
        return Err("an entry needs five fields and a command".into());
    }
    Ok((fields::translate(five)?, rest))
}

fn named(name: &str) -> Result<String, String> {
    match name {
        "hourly" | "daily" | "midnight" | "weekly" | "monthly" | "yearly" | "annually" => Ok(format!("@{name}")),
        // FreeBSD's.
        "every_minute" => Ok("* * * * *".into()),
        "every_second" => Ok("* * * * * *".into()),
        "reboot" => Err("@reboot means nothing for replicas that come and go: start it from systemd or your \
                         platform"
            .into()),
        _ if !name.is_empty() && name.bytes().all(|c| c.is_ascii_digit()) => Err(format!(
            "@{name} counts from the end of the last run: write a job with `every = \"{name}s\"` \
                         if counting from the clock will do"
        )),
        _ => Err(format!("@{name} is no schedule that cron knows")),
    }
}

/// The first word, and what follows the blanks after it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(BLANK).unwrap_or((text, ""));
    (word, rest.trim_start_matches(BLANK))
}

/// Whether a comment is an entry that was taken out of use.
pub(super) fn is_entry(comment: &str, system: bool) -> bool {
    let inner = comment.trim_matches(['#', ' ', '\t']);
    let first = word(inner).0;
    // A sentence may begin with a number, but no sentence has five fields of times.
    let like_times = first.starts_with(['@', '*', '~', '-']) || first.starts_with(|c: char| c.is_ascii_digit());
    like_times && (split(inner, system).is_ok() || split(inner, false).is_ok())
}

/// The words of a comment: without rules of dashes and the drawing of columns that systems come with.
pub(super) fn words_of(comment: &str) -> Option<String> {
    let text = comment.trim_matches(|c: char| c.is_whitespace() || "#-=*+~_".contains(c));
    let drawing = text.starts_with(['|', '.', '`']) || (text.contains("dom") && text.contains("dow"));
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (plain.chars().any(char::is_alphanumeric) && !drawing).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_taken_apart_whatever_its_spacing() {
        let line = split("5\t4   *  * \tsun\troot  echo  'a  b' ", true).unwrap();
        let parts = (line.schedule.as_str(), line.user.as_deref(), line.command.as_str());
        assert_eq!(parts, ("5 4 * * sun", Some("root"), "echo  'a  b' "));
        assert_eq!(split("-@daily true", false).unwrap().schedule, "@daily");
    }

    #[test]
    fn what_is_no_entry_says_why() {
        for (line, word) in [
            ("* * * * *", "no command"),
            ("* * * * * root", "no command"),
            ("* * * * * %input", "no command"),
            ("* * *", "five fields"),
            ("0 0 * * * * cmd", "sixth `*`"),
            ("@reboot x", "@reboot"),
            ("@60 x", "every = \"60s\""),
            ("@fortnightly x", "@fortnightly"),
            ("61 * * * * x", "61"),
        ] {
            let system = line.ends_with("root");
            let why = split(line, system).unwrap_err();
            assert!(why.contains(word), "{line}: {why}");
        }
    }

    #[test]
    fn comments_are_told_from_entries_out_of_use_and_from_drawings() {
        assert!(is_entry(" 0 5 * * 1 tar -zcf /var/backups/home.tgz /home/", false));
        assert!(is_entry("@daily old", false));
        assert!(!is_entry(" 5 minutes after midnight, every day", false));
        assert_eq!(words_of("  nightly jobs ").as_deref(), Some("nightly jobs"));
        for drawing in ["", "------", " m h  dom mon dow   command", " .------- minute (0 - 59)", " |  | ", "==="] {
            assert_eq!(words_of(drawing), None, "{drawing}");
        }
    }
}
