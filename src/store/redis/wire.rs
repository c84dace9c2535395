//! MessagePack, as the server's Lua reads and writes it: lists, integers, texts, and `false` for
//! what is absent, because a list in Lua cannot hold nothing.

use rmp::decode::{self, RmpRead};
use rmp::encode::{self, ByteBuf, RmpWrite};

use crate::clock::Timestamp;

/// Bytes that there is room for at first: most of what is written is smaller, and need not be moved as it grows.
const ROOM: usize = 256;

/// Writes values one after another.
pub(super) struct Writer(ByteBuf);

impl Default for Writer {
    fn default() -> Self {
        Writer::with_room(ROOM)
    }
}

// Writing into memory cannot fail.
impl Writer {
    /// One that will write about so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        Writer(ByteBuf::with_capacity(bytes))
    }

    pub(super) fn list(&mut self, len: usize) -> &mut Self {
        let _ = encode::write_array_len(&mut self.0, u32::try_from(len).unwrap_or(u32::MAX));
        self
    }

    pub(super) fn int(&mut self, value: impl Into<i64>) -> &mut Self {
        let _ = encode::write_sint(&mut self.0, value.into());
        self
    }

    /// Counts beyond what a double holds exactly never occur: they are capped, not wrapped.
    pub(super) fn count(&mut self, value: u64) -> &mut Self {
        self.int(i64::try_from(value).unwrap_or(i64::MAX))
    }

    pub(super) fn time(&mut self, at: Timestamp) -> &mut Self {
        self.int(at.as_micros())
    }

    pub(super) fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.joined([bytes.as_ref()])
    }

    /// Some, one after another, as one text.
    pub(super) fn joined<const N: usize>(&mut self, parts: [&[u8]; N]) -> &mut Self {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let _ = encode::write_str_len(&mut self.0, u32::try_from(len).unwrap_or(u32::MAX));
        parts.iter().fold(self, |to, part| to.raw(part))
    }

    /// Pieces of one length, as one text.
    pub(super) fn chunks<const N: usize>(&mut self, pieces: impl ExactSizeIterator<Item = [u8; N]>) -> &mut Self {
        let _ = encode::write_str_len(&mut self.0, u32::try_from(pieces.len() * N).unwrap_or(u32::MAX));
        pieces.fold(self, |to, piece| to.raw(&piece))
    }

    /// What is packed already.
    pub(super) fn raw(&mut self, packed: &[u8]) -> &mut Self {
        let _ = self.0.write_bytes(packed);
        self
    }

    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        let _ = encode::write_bool(&mut self.0, value);
        self
    }

    /// `value` by `write`, or `false`.
    pub(super) fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => {
                self.flag(false);
            }
        }
        self
    }

    /// Bytes written since what was written was last taken.
    pub(super) fn len(&self) -> usize {
        self.0.as_slice().len()
    }

    /// What was written after so many bytes.
    pub(super) fn since(&self, bytes: usize) -> &[u8] {
        &self.0.as_slice()[bytes..]
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0).into_vec()
    }
}

/// What was read is not what was expected: written by another program, or a newer version of this one.
#[derive(Debug, PartialEq)]
pub(super) struct Garbled;

/// Reads values one after another.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn list(&mut self) -> Result<usize, Garbled> {
        decode::read_array_len(&mut self.0).map(|len| len as usize).map_err(|_| Garbled)
    }

    /// A list of which each item is read by `item`.
    pub(super) fn each<T, C: FromIterator<T>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Garbled>,
    ) -> Result<C, Garbled> {
        (0..self.list()?).map(|_| item(self)).collect()
    }

    pub(super) fn int<T>(&mut self) -> Result<T, Garbled>
    where
        T: TryFrom<i64>,
    {
        // Lua writes a number without a fraction as an integer, however large.
        let value: i64 = decode::read_int(&mut self.0).map_err(|_| Garbled)?;
        T::try_from(value).map_err(|_| Garbled)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, Garbled> {
        self.int().map(Timestamp::from_micros)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Garbled> {
        let len = decode::read_str_len(&mut self.0).map_err(|_| Garbled)? as usize;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Garbled)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn str(&mut self) -> Result<&'a str, Garbled> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Garbled)
    }

    pub(super) fn text(&mut self) -> Result<String, Garbled> {
        self.str().map(str::to_owned)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Garbled> {
        decode::read_bool(&mut self.0).map_err(|_| Garbled)
    }

    /// A value read by `read`, or nothing where `false` stands.
    pub(super) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Option<T>, Garbled> {
        const FALSE: u8 = 0xc2;
        if self.0.first() == Some(&FALSE) {
            self.0.read_u8().map_err(|_| Garbled)?;
            return Ok(None);
        }
        read(self).map(Some)
    }
}
