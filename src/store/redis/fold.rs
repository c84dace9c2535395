//! Numbers that a script has names for, put where the names stand.
//!
//! A name costs a script twice: whenever it is used, and each time a function that uses it is made, which is with every call.

use std::collections::HashMap;

/// The same script without its lines of the kind `local NAME, OTHER = 1, 2`, and with the numbers in place of these names.
/// Lines keep their numbers, by which errors are told.
pub(super) fn fold(script: &str) -> String {
    let mut numbers = HashMap::new();
    for line in script.lines() {
        numbers.extend(declared(line).unwrap_or_default());
    }
    let mut folded = String::with_capacity(script.len());
    for line in script.lines() {
        if declared(line).is_none() {
            fold_line(line, &numbers, &mut folded);
        }
        folded.push('\n');
    }
    folded
}

/// What a line declares, if it declares nothing but numbers, for the whole script.
fn declared(line: &str) -> Option<Vec<(&str, &str)>> {
    let (names, values) = line.strip_prefix("local ")?.split_once(" = ")?;
    let (names, values): (Vec<&str>, Vec<&str>) = (names.split(", ").collect(), values.split(", ").collect());
    let are_names = names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
    let are_numbers = values.iter().all(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    (are_names && are_numbers && names.len() == values.len()).then(|| names.into_iter().zip(values).collect())
}

fn fold_line(line: &str, numbers: &HashMap<&str, &str>, to: &mut String) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let (mut rest, mut quote, mut before) = (line, None, ' ');
    while let Some(first) = rest.chars().next() {
        if quote.is_none() && rest.starts_with("--") {
            break;
        }
        let word = rest.bytes().take_while(is_word).count();
        let piece = if word > 0 { &rest[..word] } else { &rest[..first.len_utf8()] };
        // Not in a text, and not the name of a field.
        match numbers.get(piece).filter(|_| quote.is_none() && before != '.') {
            Some(number) => to.push_str(number),
            None => to.push_str(piece),
        }
        if matches!(first, '\'' | '"') && quote.is_none_or(|quote| quote == first) {
            quote = if quote.is_none() { Some(first) } else { None };
        }
        before = first;
        rest = &rest[piece.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn numbers_stand_where_their_names_stood_and_nowhere_else() {
        let script = "local ONE, TWO = 1, 22\nlocal WORD = 'ONE'\nlocal n = { [ONE] = x.TWO, ONES = \"it's TWO\" } -- ONE\nreturn n[TWO]";
        let folded = "\nlocal WORD = 'ONE'\nlocal n = { [1] = x.TWO, ONES = \"it's TWO\" } \nreturn n[22]\n";
        assert_eq!(fold(script), folded);
    }
}
