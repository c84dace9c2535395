//! What a run printed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::lease::Fence;
use crate::runner::Stream;
use crate::store;

/// A piece of a run's output, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Piece {
    /// When it came.
    pub at: Timestamp,
    /// The attempt that printed it.
    pub attempt: u32,
    /// Where.
    pub stream: Stream,
    /// What; bytes that are no text are replaced.
    pub text: String,
    /// Its place, to go on from.
    pub position: String,
    /// What, in base64, when it holds bytes that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// A place within the output of a run: that of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The attempt, by its fencing token.
    pub fence: Fence,
    /// The number of the piece.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.fence, self.seq)
    }
}

impl FromStr for Position {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (fence, seq) = text.split_once('-')?;
            Some(Position { fence: Fence(fence.parse().ok()?), seq: seq.parse().ok()? })
        };
        read().ok_or_else(|| format!("`{text}` is no position of a log: take one from a piece of it"))
    }
}

impl Piece {
    /// The piece that attempt number `attempt` printed under `fence`.
    pub fn new(attempt: u32, fence: Fence, piece: &store::Piece) -> Piece {
        use base64::Engine as _;
        let text = String::from_utf8_lossy(&piece.bytes);
        let is_text = matches!(text, std::borrow::Cow::Borrowed(_));
        Piece {
            at: piece.at,
            attempt,
            stream: piece.stream,
            position: Position { fence, seq: piece.seq }.to_string(),
            base64: (!is_text).then(|| base64::engine::general_purpose::STANDARD.encode(&piece.bytes)),
            text: text.into_owned(),
        }
    }

    /// What was printed, byte by byte.
    pub fn bytes(&self) -> Vec<u8> {
        use base64::Engine as _;
        let decoded = self.base64.as_ref().and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        decoded.unwrap_or_else(|| self.text.clone().into_bytes())
    }
}
