//! Lines of output as HTML: the only place where what a run printed becomes markup.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::address;
use super::when::When;
use crate::clock::Timestamp;
use crate::desk::Shown;
use crate::desk::ansi::{self, Flag, Style};
use crate::runner::Stream;

/// Of a longer line the rest is cut, visibly: it is had as text.
const LONG: usize = 4_000;

/// Makes rows of the lines of one run.
pub(super) struct Rows<'a> {
    pub(super) when: &'a When,
    pub(super) zone: Option<&'a str>,
    /// Of the run.
    pub(super) id: &'a str,
    /// Whether attempts are to be told apart.
    pub(super) several: bool,
}

impl Rows<'_> {
    pub(super) fn show<'b>(&self, lines: impl Iterator<Item = Shown<'b>>) -> Markup {
        let (mut rows, mut at, mut time) = (String::new(), None, String::new());
        for line in lines {
            // Many lines come in one piece.
            if at != Some(line.at) {
                (at, time) = (Some(line.at), self.time(line.at));
            }
            self.row(&mut rows, &line, &time);
        }
        PreEscaped(rows)
    }

    fn time(&self, at: Timestamp) -> String {
        if at == Timestamp::EPOCH {
            return String::new();
        }
        let wall = self.when.zone(self.zone).wall(at);
        html! { time datetime=(at) { (wall.format("%H:%M:%S%.3f")) } }.into_string()
    }

    fn row(&self, rows: &mut String, line: &Shown<'_>, time: &str) {
        let number = line.number;
        if line.is_first && self.several {
            let _ = write!(rows, "<div class=\"la\">Attempt {}</div>", line.attempt);
        }
        if line.is_note {
            let note = String::from_utf8_lossy(line.bytes);
            let bytes: String = note.chars().filter(char::is_ascii_digit).collect();
            let _ = write!(
                rows,
                "<div class=\"ln cut\" id=\"L{number}\"><a class=\"no\" href=\"#L{number}\">{number}</a>\
                 <span class=\"tx\">{bytes} bytes were cut here: the job keeps the first and the last half of its \
                 <code>log_limit</code></span></div>"
            );
            return;
        }
        let is_error = line.stream == Stream::Stderr;
        let (class, mark) = if is_error { ("ln er", "<abbr title=\"stderr\">e</abbr>") } else { ("ln", "") };
        let _ = write!(
            rows,
            "<div class=\"{class}\" id=\"L{number}\"><a class=\"no\" href=\"#L{number}\">{number}</a>{mark}{time}\
             <span class=\"tx\">"
        );
        let left = text(rows, line.bytes, line.style);
        if left > 0 {
            let _ = write!(
                rows,
                "<a class=\"more\" href=\"{}/log?line={number}\">… {left} more bytes</a>",
                address::run(self.id)
            );
        }
        rows.push_str("</span></div>\n");
    }
}

/// Writes a line as it is left after it was written over; answers with how many bytes of it were too many.
fn text(to: &mut String, line: &[u8], mut style: Style) -> usize {
    let line = ansi::last_state(line, &mut style);
    let (mut room, mut left) = (LONG, 0);
    ansi::read(line, &mut style, |style, mut bytes| {
        if bytes.len() > room {
            // Not within a letter.
            let end = (room.saturating_sub(3)..=room).rev().find(|end| bytes[*end] & 0xc0 != 0x80).unwrap_or(room);
            left += bytes.len() - end;
            bytes = &bytes[..end];
            room = 0;
        } else {
            room -= bytes.len();
        }
        if bytes.is_empty() {
            return;
        }
        let class = classes(style);
        if !class.is_empty() {
            let _ = write!(to, "<span class=\"{class}\">");
        }
        escape(to, &String::from_utf8_lossy(bytes));
        if !class.is_empty() {
            to.push_str("</span>");
        }
    });
    left
}

fn classes(style: Style) -> String {
    if style == Style::default() {
        return String::new();
    }
    let mut all = String::new();
    // Reversed text keeps its contrast: its colour goes behind it.
    let (front, behind) = match style.is(Flag::Reversed) {
        true => (style.ground, if style.text == 0 { 8 } else { style.text }),
        false => (style.text, style.ground),
    };
    if front > 0 {
        let _ = write!(all, "f{front} ");
    }
    if behind > 0 {
        let _ = write!(all, "g{behind} ");
    }
    for (flag, class) in
        [(Flag::Bold, "ab"), (Flag::Dim, "ad"), (Flag::Italic, "ai"), (Flag::Underline, "au"), (Flag::Struck, "as")]
    {
        if style.is(flag) {
            let _ = write!(all, "{class} ");
        }
    }
    all.truncate(all.trim_end().len());
    all
}

fn escape(to: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            // The second half of control characters.
            '\u{80}'..='\u{9f}' => {}
            other => to.push(other),
        }
    }
}

/// The text of a line alone, for those who look for words in it.
pub(super) fn plain(line: &[u8]) -> String {
    let mut style = Style::default();
    let line = ansi::last_state(line, &mut style);
    let mut all = String::with_capacity(line.len());
    ansi::read(line, &mut style, |_, bytes| all.push_str(&String::from_utf8_lossy(bytes)));
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &[u8]) -> String {
        let mut to = String::new();
        text(&mut to, line, Style::default());
        to
    }

    #[test]
    fn what_looks_like_markup_is_shown_as_it_is() {
        assert_eq!(shown(b"<b onclick=\"x\">&amp;"), "&lt;b onclick=&quot;x&quot;&gt;&amp;amp;");
        assert_eq!(shown(b"\x1b[1;31m<i>\x1b[0m ok"), "<span class=\"f2 ab\">&lt;i&gt;</span> ok");
        assert_eq!(shown(b"\x1b[7;32mx"), "<span class=\"g3\">x</span>");
        assert_eq!(shown(b"a\xff\xc3b"), "a\u{fffd}\u{fffd}b");
        assert_eq!(shown("10 %\r\u{1f980} done\r\n".as_bytes()), "\u{1f980} done");
    }

    #[test]
    fn a_long_line_is_cut_between_letters_and_says_how_much_is_left() {
        let mut to = String::new();
        let long = format!("a{}", "\u{e4}".repeat(5_000));
        assert_eq!(text(&mut to, long.as_bytes(), Style::default()), 10_001 - 3_999);
        assert!(to.ends_with('\u{e4}') && to.len() == 3_999, "{}", to.len());
        assert_eq!(text(&mut String::new(), b"\x1b[31mshort", Style::default()), 0);
    }

    /// The markup without its tags; they must be spans of known classes, one within none.
    fn stripped(html: &str) -> String {
        let (mut rest, mut all, mut open) = (html, String::new(), false);
        while let Some(at) = rest.find('<') {
            all.push_str(&rest[..at]);
            rest = &rest[at..];
            let end = rest.find('>').expect("an end");
            let tag = &rest[1..end];
            if tag == "/span" {
                assert!(open, "{html}");
                open = false;
            } else {
                let class = tag.strip_prefix("span class=\"").and_then(|tag| tag.strip_suffix('"')).expect("a span");
                assert!(!open && class.chars().all(|c| c.is_ascii_alphanumeric() || c == ' '), "{html}");
                open = true;
            }
            rest = &rest[end + 1..];
        }
        assert!(!open, "{html}");
        all + rest
    }

    proptest! {
        #[test]
        fn no_input_becomes_markup_or_leaves_a_tag_open(
            line in "(\x1b\\[[0-9;:]{0,12}m|[<>&\"'a-z/= \r\t]{0,6}|\u{202e}|\u{9b}|\u{1f600}|\x1b[^\n]){0,40}"
        ) {
            let text = stripped(&shown(line.as_bytes()));
            assert!(!text.contains(['<', '>', '"', '\x1b', '\r', '\u{9b}']));
            let back = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            assert_eq!(back, plain(line.as_bytes()).replace(|c| ('\u{80}'..='\u{9f}').contains(&c), ""));
        }

        #[test]
        fn no_bytes_become_markup(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            stripped(&shown(&line));
        }
    }
}
