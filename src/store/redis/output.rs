//! What runs have written, in pieces, beside their records.

use std::ops::Range;

use super::history::list;
use super::server::Server;
use super::text;
use super::wire::{Reader, Writer};
use crate::lease::{Fence, RunId};
use crate::runner::Stream;
use crate::store::{Piece, StoreError};

/// Bytes of output sent at once.
const OUTPUT: usize = 256 * 1024;

/// Pieces of output that are read at once: as large, at most.
const READ: usize = 32;

impl Server {
    pub(super) async fn write_output(
        &self,
        (run, fence): (RunId, Fence),
        pieces: Vec<Piece>,
        cut: Range<u64>,
    ) -> Result<(), StoreError> {
        let field = |seq: u64| format!("{fence}:{seq}").into_bytes();
        let output = self.output(run);
        let now = self.now().await?.as_micros().to_string().into_bytes();
        // First where it is found to be dropped again.
        self.ask("ZADD", &self.outputs(), &[now, run.as_bytes().to_vec()]).await?;
        let cut: Vec<Vec<u8>> = cut.map(field).collect();
        for cut in cut.chunks(1000) {
            self.ask("HDEL", &output, cut).await?;
        }
        let (mut fields, mut size) = (Vec::new(), 0);
        for (index, piece) in pieces.iter().enumerate() {
            fields.extend([field(piece.seq), pack_piece(piece)]);
            size += piece.bytes.len();
            // Leases are renewed on the same connection: nothing large may stand in their way.
            if size >= OUTPUT || index + 1 == pieces.len() {
                self.ask("HSET", &output, &std::mem::take(&mut fields)).await?;
                size = 0;
            }
        }
        Ok(())
    }

    pub(super) async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        let (mut pieces, mut is_sound) = (Vec::new(), true);
        let each = |field: String, packed: Vec<u8>| {
            let piece = unpack_piece(&field, &packed);
            is_sound &= piece.is_some();
            pieces.extend(piece.filter(|(_, piece)| piece.seq >= from));
        };
        self.scan(&self.output(run), each).await?;
        if !is_sound {
            return Err(self.garbled());
        }
        pieces.sort_by_key(|(fence, piece)| (*fence, piece.seq));
        pieces.dedup_by_key(|(fence, piece)| (*fence, piece.seq));
        Ok(pieces)
    }

    pub(super) async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        let output = self.output(run);
        let names = self.ask("HKEYS", &output, &[]).await?;
        let number = |name: Vec<u8>| text(&name)?.strip_prefix(&format!("{fence}:"))?.parse().ok();
        let mut numbers: Vec<u64> = list(names).into_iter().filter_map(number).filter(|seq| *seq >= from).collect();
        numbers.sort_unstable();
        let mut pieces = Vec::new();
        for some in numbers.chunks(READ) {
            let fields: Vec<String> = some.iter().map(|seq| format!("{fence}:{seq}")).collect();
            let asked: Vec<Vec<u8>> = fields.iter().map(|field| field.clone().into_bytes()).collect();
            let packed = list(self.ask("HMGET", &output, &asked).await?);
            // One that is empty was cut in between.
            for (field, packed) in fields.iter().zip(packed).filter(|(_, packed)| !packed.is_empty()) {
                pieces.push(unpack_piece(field, &packed).ok_or_else(|| self.garbled())?.1);
            }
        }
        Ok(pieces)
    }
}

fn pack_piece(piece: &Piece) -> Vec<u8> {
    let mut to = Writer::default();
    to.list(3).time(piece.at).flag(piece.stream == Stream::Stderr).bytes(&piece.bytes).take()
}

fn unpack_piece(field: &str, packed: &[u8]) -> Option<(Fence, Piece)> {
    let (fence, seq) = field.split_once(':')?;
    let mut from = Reader::new(packed);
    from.list().ok()?;
    let at = from.time().ok()?;
    let stream = if from.flag().ok()? { Stream::Stderr } else { Stream::Stdout };
    let bytes = from.bytes().ok()?.to_vec();
    Some((Fence(fence.parse().ok()?), Piece { seq: seq.parse().ok()?, at, stream, bytes }))
}
