//! Takes passwords out of texts.

/// The text with `***` for each password in a URL.
pub(super) fn passwords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find("://") {
        let (before, after) = rest.split_at(begin + 3);
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'`<>".contains(c)).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
            Some((user, host)) => {
                masked += user;
                masked += ":***@";
                masked += host;
            }
            None => masked.push_str(authority),
        }
        rest = behind;
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_nothing_else_is() {
        for (text, masked) in [
            ("redis://:secret@db:6379/0 is away", "redis://:***@db:6379/0 is away"),
            ("amqp://me:p@ss:word@mq, https://x.example/a:b@c", "amqp://me:***@mq, https://x.example/a:b@c"),
            ("two: a://b:c@d e://f:g@h", "two: a://b:***@d e://f:***@h"),
            ("no password: http://me@x, a:b@c, ://", "no password: http://me@x, a:b@c, ://"),
            ("(https://u:p@h)", "(https://u:***@h)"),
        ] {
            assert_eq!(passwords(text), masked);
        }
    }
}
