//! Whether a program said what a page says that it says, but for what differs from run to run.
//!
//! A line is taken apart into words. Words of these kinds are as good as any other of their kind, and nothing else is:
//!
//! | kind | for example |
//! |---|---|
//! | a time or a date | `06:31:00.009` `2026-11-22T06:30:00Z` `2026-11-22` `Sun` `Nov` |
//! | a zone with its hour of summer | `CET` `CEST`, `+01:00` `+02:00` |
//! | a span | `10.0s` `+6.690s` `-0ms` `1m30s`; a number before `s`, `ms`, `min`; a number with a point |
//! | a name of a run, a digest, a link's code | 8, 12, 32 or 48 hexadecimal digits, or a UUID |
//! | a fence | 16 digits |
//! | how many occurrences there were | a number before `occurrences` |
//! | an address | `localhost:8080` `127.0.0.1:5672` |
//! | the name of a process by default | `laptop-4711`: the host and the process's number |
//! | one of several that could have done it | replicas `a` `b` `c`, workers `w1` `w2` |
//!
//! A line `...` stands for any lines, and ` ...` at the end of a line for its rest. How many blanks are between words, and
//! blank lines at the end, do not matter.

/// Whether all lines fit.
pub(crate) fn fits(page: &[String], said: &str) -> bool {
    let mut page: Vec<&str> = page.iter().map(String::as_str).collect();
    let mut said: Vec<&str> = said.lines().collect();
    for lines in [&mut page, &mut said] {
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
    }
    lines_fit(&page, &said)
}

fn lines_fit(page: &[&str], said: &[&str]) -> bool {
    match page.split_first() {
        None => said.is_empty(),
        Some((&"...", rest)) => (0..=said.len()).any(|skipped| lines_fit(rest, &said[skipped..])),
        Some((line, rest)) => {
            said.split_first().is_some_and(|(one, others)| alike(line, one) && lines_fit(rest, others))
        }
    }
}

fn alike(page: &str, said: &str) -> bool {
    match page.strip_suffix(" ...") {
        Some(beginning) => words(said).starts_with(&words(beginning)),
        None => words(page) == words(said),
    }
}

/// The words of a line, those of a kind as its name.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for blank in line.split_whitespace() {
        let is_inside = |c: char| c.is_alphanumeric() || ".:+-_".contains(c);
        let mut rest = blank;
        while !rest.is_empty() {
            let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
            let end = if end == 0 { rest.chars().next().map_or(1, char::len_utf8) } else { end };
            let (word, others) = rest.split_at(end);
            // What ends a sentence is no part of a number.
            let bare = word.trim_end_matches(['.', ':']);
            let (bare, mark) = if bare.is_empty() { (word, "") } else { word.split_at(bare.len()) };
            words.extend(kinds(bare));
            words.extend((!mark.is_empty()).then(|| mark.to_owned()));
            rest = others;
        }
    }
    // Numbers whose next word says what they are.
    for n in 1..words.len() {
        let (number, next) = (is_number(&words[n - 1]), words[n].as_str());
        if ["s", "ms", "min", "SPAN"].contains(&next) && (number || words[n - 1] == "SPAN") {
            (words[n - 1], words[n]) = ("SPAN".to_owned(), "SPAN".to_owned());
        } else if next == "occurrences" && number {
            words[n - 1] = "COUNT".to_owned();
        }
    }
    words.dedup_by(|one, other| one == other && one == "SPAN");
    words
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit())
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn kinds(word: &str) -> Vec<String> {
    let kind = if is_time(word) || DAYS.contains(&word) || MONTHS.contains(&word) {
        "TIME"
    } else if is_span(word) {
        "SPAN"
    } else if is_id(word) {
        "ID"
    } else if word.len() == 16 && is_number(word) {
        "FENCE"
    } else if word
        .rsplit_once(':')
        .is_some_and(|(host, port)| ["localhost", "127.0.0.1"].contains(&host) && is_number(port))
    {
        "ADDRESS"
    } else if word.strip_prefix("laptop-").is_some_and(is_number) {
        "PROCESS"
    } else if ["a", "b", "c", "w1", "w2"].contains(&word) {
        "ONE"
    } else if ["CET", "CEST", "+01:00", "+02:00"].contains(&word) {
        "SUMMER"
    } else {
        word
    };
    vec![kind.to_owned()]
}

/// Two digits, a colon, two digits; or a date, with or without a time.
fn is_time(word: &str) -> bool {
    let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    ["00:00", "00:00:00", "0000-00-00"].contains(&shape.as_str())
        || ["00:00:00.", "0000-00-00T00:00"].iter().any(|beginning| shape.starts_with(beginning))
}

/// Numbers that end with a unit each; or one with a point in it.
fn is_span(word: &str) -> bool {
    let word = word.trim_start_matches(['+', '-']);
    let number =
        |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'.') && text.bytes().any(|c| c.is_ascii_digit());
    let mut rest = word;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let (digits, others) = rest.split_at(begin);
        let end = others.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(others.len());
        if !number(digits) || !["ms", "s", "m", "h", "d", "us"].contains(&&others[..end]) {
            return false;
        }
        rest = &others[end..];
    }
    if rest.is_empty() { !word.is_empty() } else { rest == word && number(word) && word.matches('.').count() == 1 }
}

fn is_id(word: &str) -> bool {
    let digits: String = word.split('-').collect();
    let is_uuid = word.len() == 36 && digits.len() == 32;
    let is_hexadecimal = digits.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    is_hexadecimal && (is_uuid || (word == digits && [8, 12, 32, 48].contains(&digits.len())))
}

#[test]
fn what_differs_from_run_to_run_is_alike_and_nothing_else() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (page, said) in [
        ("06:31:00.009  started  hello  run 44059daf378d", "23:01:59.999  started     hello  run ff76008470a8"),
        ("✓  a  2s ago  +0ms", "✓  a  1m3s ago    -12ms"),
        ("succeeded in 0.0 s", "succeeded in 12.3 s"),
        ("fencing token 1795366282805436.", "fencing token 1795366282805999."),
        ("redis redis://localhost:6379", "redis redis://127.0.0.1:20001"),
        ("replica laptop-4711", "replica laptop-1"),
        ("12 occurrences of 4 jobs", "31 occurrences of 4 jobs"),
        ("hello@2026-11-22T06:30:00Z ran", "hello@2027-01-01T00:00:00Z ran"),
        ("a\n...\nz", "a\nb\nc\nz\n\n"),
        ("a\n...", "a"),
        ("warning ...", "warning  whatever there is"),
    ] {
        assert!(fits(&lines(page), said), "{page} {:?}\n{said} {:?}", words(page), words(said));
    }
    for (page, said) in [
        ("2 replicas", "3 replicas"),
        ("attempt 1", "attempt 2"),
        ("started  hello  run 44059daf378d", "started  slow  run 44059daf378d"),
        ("exit code 1", "exit code 3"),
        ("a\nz", "a\nb\nz"),
        ("", "something"),
        ("a\n...\nz", "a\nb"),
        ("10.0s", "never"),
    ] {
        assert!(!fits(&lines(page), said), "{page} {:?}\n{said} {:?}", words(page), words(said));
    }
}
