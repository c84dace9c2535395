//! A name for a job, from its command.

use std::collections::{BTreeMap, BTreeSet};

/// Words before the program that matters.
const BEFORE: [&str; 22] = [
    "bash",
    "chronic",
    "chrt",
    "env",
    "eval",
    "exec",
    "flock",
    "ionice",
    "nice",
    "node",
    "nohup",
    "perl",
    "php",
    "python",
    "python3",
    "ruby",
    "run-parts",
    "setsid",
    "sh",
    "sudo",
    "time",
    "timeout",
];
/// Commands that only prepare for the one that matters.
const FIRST: [&str; 13] =
    ["cd", "test", "[", "[[", ".", "source", "export", "umask", "set", "ulimit", "sleep", "(", "{"];

/// The names given so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: BTreeSet<String>,
    /// For a name that was taken, the number to try next: thousands of entries may start one program.
    next: BTreeMap<String, usize>,
}

impl Names {
    /// A new name that fits what a job's name may be.
    pub(super) fn name(&mut self, command: &str) -> String {
        let plain = fitted(program(command).unwrap_or("job"));
        let number = self.next.entry(plain.clone()).or_insert(1);
        loop {
            let end = if *number == 1 { String::new() } else { format!("-{number}") };
            let name = format!("{}{end}", &plain[..plain.len().min(63 - end.len())]);
            *number += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// The word of `command` that says the most about it.
fn program(command: &str) -> Option<&str> {
    let parts = command.split(['&', ';', '|', '\n']).filter(|part| !part.trim().is_empty());
    let words = parts.map(|part| part.split_whitespace().collect::<Vec<_>>());
    let first = |words: &Vec<&str>| words.first().is_none_or(|word| !FIRST.contains(word));
    words.filter(first).find_map(|words| words.into_iter().map(base).find(|word| tells(word)))
}

/// Whether a word is the program: no option, number, variable or wrapper.
fn tells(word: &str) -> bool {
    let letters = word.chars().any(|c| c.is_ascii_alphabetic());
    let is_span = word.trim_end_matches(['s', 'm', 'h', 'd']).bytes().all(|c| c.is_ascii_digit());
    letters && !is_span && !word.starts_with(['-', '$']) && !word.contains('=') && !BEFORE.contains(&word)
}

/// The last part of a path, without quotes.
fn base(word: &str) -> &str {
    if word.starts_with('-') {
        return word;
    }
    let word = word.trim_matches(['"', '\'', '`', '(', ')', '{', '}']);
    word.trim_end_matches('/').rsplit('/').next().unwrap_or(word)
}

/// `word` in the letters that names are made of.
fn fitted(word: &str) -> String {
    let stem = [".sh", ".py", ".pl", ".rb", ".php", ".js"].iter().find_map(|end| word.strip_suffix(end));
    let mut name = String::new();
    for letter in stem.unwrap_or(word).chars().map(|c| c.to_ascii_lowercase()) {
        match letter {
            'a'..='z' | '0'..='9' | '_' => name.push(letter),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(63);
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() { "job".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_after_its_program() {
        for (command, wanted) in [
            ("/usr/local/bin/backup.sh --all", "backup"),
            ("cd /srv/app && ./Rotate_Logs -v", "rotate_logs"),
            ("test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )", "cron-daily"),
            ("[ -x /usr/bin/php5 ] && /usr/lib/php5/sessionclean", "sessionclean"),
            ("nice -n 10 python3 /opt/x/report.py 5", "report"),
            ("A=b timeout 10m $HOME/bin/daily.job >> $HOME/tmp/out 2>&1", "daily-job"),
            ("flock -n /tmp/x.lock sync", "x-lock"),
            ("/bin/sh -c 'echo hi'", "echo"),
            ("-x", "job"),
            ("été", "t"),
            ("::", "job"),
            ("$X", "job"),
        ] {
            assert_eq!(Names::default().name(command), wanted, "{command}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_numbered_and_never_too_long() {
        let mut all = Names::default();
        let long = "x".repeat(80);
        let names: Vec<String> = (0..12).map(|_| all.name(&long)).collect();
        assert_eq!((names[0].len(), names[1].as_str()), (63, format!("{}-2", "x".repeat(61)).as_str()));
        assert!(names.iter().all(|name| crate::job::JobName::new(name).is_ok()));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 12);
        let given = ["a", "a-2", "a", "a", "a-2"].map(|command| all.name(command));
        assert_eq!(given, ["a", "a-2", "a-3", "a-4", "a-2-2"]);
    }
}
