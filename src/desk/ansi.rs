//! What terminals make of a line of output: colours and weight are kept, everything else that steers one is dropped.
//! Pure.

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// The colour of the text, from 1 to 16; 0 for none.
    pub text: u8,
    /// The colour behind it.
    pub ground: u8,
    flags: u8,
}

/// What a piece of a line can be beside its colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Flag {
    Bold = 1,
    Dim = 2,
    Italic = 4,
    Underline = 8,
    Struck = 16,
    Reversed = 32,
}

impl Style {
    /// Whether it is so.
    pub fn is(self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    fn set(&mut self, flag: Flag, on: bool) {
        if on {
            self.flags |= flag as u8;
        } else {
            self.flags &= !(flag as u8);
        }
    }

    /// Takes over the numbers of one sequence, as in `1;31`.
    fn apply(&mut self, numbers: &[u8]) {
        let mut parts = numbers.split(|byte| *byte == b';').take(64);
        while let Some(part) = parts.next() {
            let mut own = part.split(|byte| *byte == b':');
            let first = own.next().map_or(0, number);
            if part.contains(&b':') {
                let more: Vec<u16> = own.map(number).collect();
                match (first, more.as_slice()) {
                    (4, [0]) => self.set(Flag::Underline, false),
                    (4, _) => self.set(Flag::Underline, true),
                    (38 | 48, [5, index]) => self.color(first, indexed(*index)),
                    (38 | 48, [2, .., r, g, b]) => self.color(first, nearest([*r, *g, *b])),
                    _ => {}
                }
                continue;
            }
            let mut next = || parts.next().map_or(0, number);
            match first {
                0 => *self = Style::default(),
                1 => self.set(Flag::Bold, true),
                2 => self.set(Flag::Dim, true),
                3 => self.set(Flag::Italic, true),
                4 | 21 => self.set(Flag::Underline, true),
                7 => self.set(Flag::Reversed, true),
                9 => self.set(Flag::Struck, true),
                22 => {
                    self.set(Flag::Bold, false);
                    self.set(Flag::Dim, false);
                }
                23 => self.set(Flag::Italic, false),
                24 => self.set(Flag::Underline, false),
                27 => self.set(Flag::Reversed, false),
                29 => self.set(Flag::Struck, false),
                38 | 48 => match next() {
                    5 => self.color(first, indexed(next())),
                    2 => self.color(first, nearest([next(), next(), next()])),
                    _ => {}
                },
                30..=37 => self.text = (first - 29) as u8,
                39 => self.text = 0,
                40..=47 => self.ground = (first - 39) as u8,
                49 => self.ground = 0,
                90..=97 => self.text = (first - 81) as u8,
                100..=107 => self.ground = (first - 91) as u8,
                _ => {}
            }
        }
    }

    fn color(&mut self, which: u16, color: u8) {
        if which == 38 {
            self.text = color;
        } else {
            self.ground = color;
        }
    }
}

/// A number of a sequence; what is none counts as 0, as it does for terminals.
fn number(digits: &[u8]) -> u16 {
    let value = |sum: u16, digit: &u8| sum.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')));
    digits.iter().take(5).filter(|digit| digit.is_ascii_digit()).fold(0, value)
}

/// The sixteen, as xterm has them.
const SIXTEEN: [[i32; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// The one of the sixteen that is most like it, from 1.
fn nearest(color: [u16; 3]) -> u8 {
    let away = |one: &[i32; 3]| -> i32 {
        one.iter().zip(color).map(|(own, value)| (own - i32::from(value.min(255))).pow(2)).sum()
    };
    let found = (1..).zip(&SIXTEEN).min_by_key(|(_, one)| away(one));
    found.map_or(0, |(number, _)| number)
}

/// One of 256: the sixteen, a cube of colours, shades of grey.
fn indexed(index: u16) -> u8 {
    let level = |n: u16| if n == 0 { 0 } else { 55 + 40 * n };
    match index {
        0..=15 => index as u8 + 1,
        16..=231 => {
            let n = index - 16;
            nearest([level(n / 36), level(n / 6 % 6), level(n % 6)])
        }
        232..=255 => nearest([8 + 10 * (index - 232); 3]),
        _ => 0,
    }
}

/// Reads on from `style`: `take` gets the pieces between sequences, none of them empty, each with how it looks. They
/// hold no control character but the tab.
pub fn read<'a>(mut bytes: &'a [u8], style: &mut Style, mut take: impl FnMut(Style, &'a [u8])) {
    while !bytes.is_empty() {
        let plain = bytes.iter().position(|byte| is_control(*byte)).unwrap_or(bytes.len());
        if plain > 0 {
            take(*style, &bytes[..plain]);
        }
        bytes = &bytes[plain..];
        if bytes.first() == Some(&0x1b) {
            let (long, numbers) = sequence(bytes);
            if let Some(numbers) = numbers {
                style.apply(numbers);
            }
            bytes = &bytes[long..];
        } else {
            bytes = bytes.get(1..).unwrap_or_default();
        }
    }
}

/// What is left of a line that was written over: what stands after its last return. The style goes on from all of it.
pub fn last_state<'a>(line: &'a [u8], style: &mut Style) -> &'a [u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    let start = line[..end].iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
    read(&line[..start], style, |_, _| {});
    &line[start..end]
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// How long the sequence is that begins here; and the numbers of one that is about looks.
fn sequence(bytes: &[u8]) -> (usize, Option<&[u8]>) {
    match bytes.get(1) {
        Some(b'[') => {
            let numbers = run(&bytes[2..], 0x30..=0x3f);
            let rest = 2 + numbers + run(&bytes[2 + numbers..], 0x20..=0x2f);
            match bytes.get(rest) {
                Some(b'm') if rest == 2 + numbers && !bytes[2..rest].iter().any(|byte| *byte >= b'<') => {
                    (rest + 1, Some(&bytes[2..rest]))
                }
                Some(0x40..=0x7e) => (rest + 1, None),
                _ => (rest, None),
            }
        }
        // A text for the terminal. One that has no end hides nothing.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let inner = bytes.iter().skip(2).position(|byte| is_control(*byte)).map_or(bytes.len(), |at| at + 2);
            match &bytes[inner..] {
                [0x07, ..] => (inner + 1, None),
                [0x1b, b'\\', ..] => (inner + 2, None),
                _ => (2, None),
            }
        }
        Some(0x20..=0x2f) => {
            let rest = 1 + run(&bytes[1..], 0x20..=0x2f);
            (rest + usize::from(matches!(bytes.get(rest), Some(0x30..=0x7e))), None)
        }
        Some(0x30..=0x7e) => (2, None),
        _ => (1, None),
    }
}

/// How many of the first bytes lie in `span`.
fn run(bytes: &[u8], span: std::ops::RangeInclusive<u8>) -> usize {
    bytes.iter().position(|byte| !span.contains(byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(line: &str) -> Vec<(Style, String)> {
        let (mut style, mut all) = (Style::default(), Vec::new());
        read(line.as_bytes(), &mut style, |style, text| all.push((style, String::from_utf8_lossy(text).into_owned())));
        all
    }

    fn text(line: &str) -> String {
        pieces(line).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn colours_and_weight_are_kept_and_end_where_they_end() {
        let all = pieces("a\x1b[1;31mb\x1b[22mc\x1b[44md\x1b[me");
        let looks: Vec<(u8, u8, bool)> =
            all.iter().map(|(style, _)| (style.text, style.ground, style.is(Flag::Bold))).collect();
        assert_eq!(looks, [(0, 0, false), (2, 0, true), (2, 0, false), (2, 5, false), (0, 0, false)]);
        assert_eq!(pieces("\x1b[93mx")[0].0.text, 12);
        assert!(pieces("\x1b[4:3mx")[0].0.is(Flag::Underline) && !pieces("\x1b[4m\x1b[4:0mx")[0].0.is(Flag::Underline));
    }

    #[test]
    fn of_many_colours_the_nearest_of_sixteen_is_taken() {
        for (sequence, color) in [
            ("38;5;9", 10),
            ("38;5;196", 10),
            ("38;5;232", 1),
            ("38;5;255", 8),
            ("38;2;255;250;0", 12),
            ("38:2::0:0:240", 5),
            ("38:5:2", 3),
            ("38;2;999;999;999", 16),
            ("38;5;999", 0),
        ] {
            assert_eq!(pieces(&format!("\x1b[{sequence}mx"))[0].0.text, color, "{sequence}");
        }
        assert_eq!(pieces("\x1b[38;5;1;4mx")[0].0, pieces("\x1b[31m\x1b[4mx")[0].0, "what follows is read on its own");
    }

    #[test]
    fn whatever_else_steers_a_terminal_is_dropped() {
        assert_eq!(text("a\x1b[2Kb\x1b[10;20Hc\x1b[?25ld\x1b(Be\x1b7f\x07g\x08h\x7fi\0"), "abcdefghi");
        assert_eq!(text("\x1b]0;title\x07a\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\b"), "alinkb");
        assert_eq!(text("\x1b]0;no end"), "0;no end", "what has no end hides nothing");
        assert_eq!(text("a\x1b["), "a");
        assert_eq!(text("a\x1b[31"), "a");
        assert_eq!(text("a\tb"), "a\tb");
    }

    #[test]
    fn of_a_line_that_is_written_over_the_last_state_is_left() {
        let last = |line: &'static str| last_state(line.as_bytes(), &mut Style::default());
        assert_eq!(last("10 %\r20 %\r30 %\n"), b"30 %");
        assert_eq!(last("10 %\r20 %\r"), b"20 %");
        assert_eq!(last("windows\r\n"), b"windows");
        assert_eq!(last("\r\n"), b"");
        let mut style = Style::default();
        assert_eq!(last_state(b"\x1b[32m10 %\r20 %", &mut style), b"20 %");
        assert_eq!(style.text, 3, "what was written over still counts");
    }

    proptest! {
        #[test]
        fn no_bytes_leave_a_control_character(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut style = Style::default();
            read(&bytes, &mut style, |style, text| {
                assert!(!text.is_empty() && text.iter().all(|byte| !is_control(*byte)));
                assert!(style.text <= 16 && style.ground <= 16);
            });
        }

        #[test]
        fn no_sequence_is_read_beyond_its_end(text in "(\x1b[\\[\\]P( ][0-9;:?<]{0,9}[mKh\x07\x1b]?|[a-z\r]){0,30}") {
            let mut style = Style::default();
            let line = last_state(text.as_bytes(), &mut style);
            read(line, &mut style, |_, text| assert!(!text.is_empty()));
        }
    }
}
