//! The command of an entry, where `%` has a meaning of its own.

/// The text for the shell, and what it reads from standard input.
///
/// The first `%` ends the command; of the rest each `%` is a newline. `\%` is a plain one in both parts, and a
/// backslash before anything else stays.
pub(super) fn split(text: &str) -> (String, Option<String>) {
    let mut command = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'%') => command.extend(letters.next()),
            // The second of two backslashes escapes nothing.
            '\\' => {
                command.push('\\');
                command.extend(letters.next());
            }
            '%' => return (command, input(letters)),
            other => command.push(other),
        }
    }
    (command, None)
}

fn input(mut letters: std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut input = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'%') => input.extend(letters.next()),
            '%' => input.push('\n'),
            other => input.push(other),
        }
    }
    // Its last line is ended as well.
    if !input.is_empty() && !input.ends_with('\n') {
        input.push('\n');
    }
    Some(input).filter(|input| !input.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_ends_the_command_and_then_ends_lines() {
        for (text, command, input) in [
            ("mail joe", "mail joe", None),
            ("mail joe%Joe,%%Where?%", "mail joe", Some("Joe,\n\nWhere?\n")),
            ("mail joe%one line", "mail joe", Some("one line\n")),
            (r"date +\%F", "date +%F", None),
            (r"date +\%F%say 50\% more", "date +%F", Some("say 50% more\n")),
            (r"printf 'a\nb'", r"printf 'a\nb'", None),
            (r"a\\%b", r"a\\", Some("b\n")),
            (r"a%b\nc\", "a", Some("b\\nc\\\n")),
            ("cat%", "cat", None),
        ] {
            assert_eq!(split(text), (command.to_owned(), input.map(str::to_owned)), "{text}");
        }
    }
}
