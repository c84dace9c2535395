//! Texts that might be schedules: random bytes, random letters of the dialect, and good expressions with mistakes.
//! The same seed makes the same texts.

/// A small generator of numbers (splitmix64): equal everywhere, and nothing that is kept secret.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

const LETTERS: &[u8] = b"0123456789 \t*/,-?#LWH()+~@=_:.abcdefghijklmnopqrstuvwxyzSUNMONTUEJANDEC";
const WORDS: &[&str] = &[
    "*",
    "*/5",
    "0",
    "59",
    "L",
    "LW",
    "15W",
    "5L",
    "MON#2",
    "+FRI",
    "H",
    "H(0-7)",
    "H/3",
    "FRI-MON",
    "DEC-JAN",
    "@daily",
    "@manual",
    "CRON_TZ=Europe/Berlin",
    "CRON_TZ=",
    "?",
    "~",
    "2399",
    "2400",
    "99999999999",
    "L-3",
    "29",
    "2",
    "31",
    "é",
    "\u{0}",
];

/// The expressions of the corpus.
pub(crate) fn corpus() -> Vec<String> {
    let text =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["expr"].as_str().map(str::to_owned);
    include_str!("../data/cron.jsonl").lines().filter_map(text).collect()
}

/// Number `n` of the texts.
pub(crate) fn text(good: &[String], n: usize, numbers: &mut Numbers) -> String {
    let length = numbers.below(40);
    match n % 4 {
        0 => {
            let bytes: Vec<u8> = (0..length).map(|_| numbers.below(256) as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        1 => (0..length).map(|_| char::from(*numbers.pick(LETTERS))).collect(),
        2 => {
            let count = if numbers.below(4) == 0 { numbers.below(12) } else { 5 };
            let words: Vec<&str> = (0..count).map(|_| *numbers.pick(WORDS)).collect();
            words.join(if numbers.below(9) == 0 { "," } else { " " })
        }
        _ => match numbers.below(3) {
            // A field of another expression.
            0 => {
                let (one, other) = (numbers.pick(good), numbers.pick(good));
                let mut words: Vec<&str> = one.split(' ').collect();
                let others: Vec<&str> = other.split(' ').collect();
                let at = numbers.below(words.len().min(others.len()));
                words[at] = others[at];
                words.join(" ")
            }
            // A letter more, less or other.
            1 => {
                let mut letters: Vec<char> = numbers.pick(good).chars().collect();
                let at = numbers.below(letters.len());
                match numbers.below(3) {
                    0 => drop(letters.remove(at)),
                    1 => letters[at] = char::from(*numbers.pick(LETTERS)),
                    _ => letters.insert(at, char::from(*numbers.pick(LETTERS))),
                }
                letters.into_iter().collect()
            }
            // One said over and over.
            _ => [numbers.pick(good).clone(), numbers.pick(good).clone()]
                .join([",", " ", "-", "/"][n / 4 % 4])
                .repeat(1 + n / 16 % 9),
        },
    }
}
