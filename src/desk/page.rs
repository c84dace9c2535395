//! Lists in parts: how long a part is, and the opaque words that ask for what follows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::refusal::Refusal;
use super::{LIMIT, MOST};
use crate::clock::Timestamp;

/// Which part of a list.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// At most so many. Default 50, at most 500.
    limit: Option<usize>,
    /// What follows the part that gave this.
    cursor: Option<String>,
    /// No network is in between.
    is_near: bool,
}

impl Slice {
    /// For those who ask over a network.
    pub fn new(limit: Option<usize>, cursor: Option<String>) -> Slice {
        Slice { limit, cursor, is_near: false }
    }

    /// The first `most` items, however many, for those who do not.
    pub fn first(most: usize) -> Slice {
        Slice { limit: Some(most), cursor: None, is_near: true }
    }

    /// How many are wanted.
    ///
    /// # Errors
    /// When that is none, or too many.
    pub(super) fn most(&self) -> Result<usize, Refusal> {
        match self.limit {
            None => Ok(LIMIT),
            Some(limit) if self.is_near => Ok(limit),
            Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
            Some(limit) => {
                let detail = format!("`limit` is {limit}, and may be from 1 to {MOST}");
                Err(Refusal::wrong("?limit", "out_of_range", detail).suggest(LIMIT.to_string()))
            }
        }
    }

    /// What follows `last`, when it is given.
    pub(super) fn after(&self) -> Result<Option<String>, Refusal> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Some).ok_or_else(wrong_cursor)
    }
}

/// The cursor that stands for `last`, the last item of a part.
pub(super) fn cursor(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// What a cursor of a list of runs says: the instant and the id of the last one shown.
pub(super) fn place(text: &str) -> Result<(Timestamp, String), Refusal> {
    let read = || {
        let (at, id) = text.split_once(' ')?;
        Some((Timestamp::from_micros(at.parse().ok()?), id.to_owned()))
    };
    read().ok_or_else(wrong_cursor)
}

pub(super) fn wrong_cursor() -> Refusal {
    let detail = "`cursor` is none of ours: take `next_cursor` from an answer, as it stands";
    Refusal::wrong("?cursor", "not_a_cursor", detail)
}
