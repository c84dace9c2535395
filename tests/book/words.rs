//! What of a shell's line is asked of our program.

/// The arguments of each call of `cronclave` in a line for a shell, its name among them: where it begins a command, comes
/// after `--`, or is what `cargo run` builds.
pub(crate) fn ours(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for command in commands(line) {
        // `NAME=value` and words of the shell may stand before it.
        let is_before = |word: &String| ["do", "then", "if", "while", "!", "exec", "time"].contains(&word.as_str());
        let is_variable = |word: &String| {
            word.split_once('=').is_some_and(|(name, _)| {
                name.bytes().all(|c| c.is_ascii_uppercase() || c == b'_' || c.is_ascii_lowercase())
            })
        };
        let begin = command.iter().position(|word| !is_before(word) && !is_variable(word)).unwrap_or(0);
        let command = &command[begin..];
        let is_cargo = command.len() > 1
            && command[0] == "cargo"
            && command[1] == "run"
            && !command.contains(&"--example".to_owned());
        let dashes = command.iter().position(|word| word == "--");
        let is_ours = |at: usize| command.get(at).is_some_and(|word| word == "cronclave");
        match dashes {
            _ if is_ours(0) => found.push(command.to_vec()),
            Some(at) if is_ours(at + 1) => found.push(command[at + 1..].to_vec()),
            Some(at) if is_cargo => found.push([&["cronclave".to_owned()], &command[at + 1..]].concat()),
            _ => {}
        }
    }
    found
}

/// A line's commands, each as its words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => {
                let next = characters.next();
                word.get_or_insert_default().extend(next.filter(|next| *next != '\n'));
            }
            (None, '#') if word.is_none() => break,
            // Where it leads is up to the shell.
            (None, '>' | '<') => {
                words.extend(word.take().filter(|word| !word.bytes().all(|c| c.is_ascii_digit())));
                while characters.next_if(|c| [' ', '&', '>'].contains(c)).is_some() {}
                while characters.next_if(|c| !c.is_whitespace() && !";|&)".contains(*c)).is_some() {}
            }
            (None, '|' | '&' | ';' | '\n' | '(' | ')' | '`') => {
                // What is put in by `$(…)` is one word.
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    all.push(words);
    all.retain(|words| !words.is_empty());
    all
}

#[test]
fn calls_are_found_where_they_are() {
    let found = |line: &str| ours(line).iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(
        found("for name in a b; do cronclave serve --replica $name >$name.log 2>&1 & done"),
        ["cronclave serve --replica $name"]
    );
    assert_eq!(found("export A=1 && A=b cronclave next | head   # shows it"), ["cronclave next"]);
    assert_eq!(found("cargo run --release -- run 'two words'"), ["cronclave run two words"]);
    assert_eq!(found("kubectl exec deploy/cronclave -- cronclave status"), ["cronclave status"]);
    assert_eq!(found("systemctl enable --now cronclave; docker build -t cronclave ."), Vec::<String>::new());
}
