//! What happened lately, for everybody who listens. Whoever is slower than it turns has lost something, and is told so.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Bytes;

/// Events that are sent at once go in pieces of about this size: one write for many, and none that is too large.
const PIECE: usize = 64 * 1024;

/// Something to send.
#[derive(Debug)]
pub(super) struct Item {
    /// Its place among the store's events; `None` for what has none.
    pub(super) position: Option<u64>,
    /// `run.succeeded`.
    pub(super) kind: &'static str,
    /// What it is about; empty when it is for everybody.
    pub(super) job: String,
    /// As everybody is sent it.
    pub(super) text: Bytes,
}

impl Item {
    /// With this JSON.
    pub(super) fn new(position: Option<u64>, kind: &'static str, job: String, data: &str) -> Item {
        Item { position, kind, job, text: event(kind, position, data) }
    }
}

/// An event, as a stream has it; `data` is one line.
pub(super) fn event(kind: &str, position: Option<u64>, data: &str) -> Bytes {
    let id = position.map(|position| format!("id: {position}\n")).unwrap_or_default();
    Bytes::from(format!("event: {kind}\n{id}data: {data}\n\n"))
}

/// One piece for many.
pub(super) fn joined<'a>(items: impl Iterator<Item = &'a Arc<Item>>) -> Vec<Bytes> {
    let (mut pieces, mut piece) = (Vec::new(), Vec::new());
    for item in items {
        if !piece.is_empty() && piece.len() + item.text.len() > PIECE {
            pieces.push(Bytes::from(std::mem::take(&mut piece)));
        }
        piece.extend_from_slice(&item.text);
    }
    pieces.extend((!piece.is_empty()).then(|| Bytes::from(piece)));
    pieces
}

/// What is kept.
#[derive(Debug)]
pub(super) struct Ring {
    items: VecDeque<Arc<Item>>,
    /// The number of the first; numbers are of this process, and grow.
    first: u64,
    /// Everything after this position is here, up to `head`.
    base: u64,
    head: u64,
    most: usize,
    /// From one number to another, joined: whoever hears everything is mostly at the same place as others.
    whole: Option<(u64, u64, Vec<Bytes>)>,
}

/// Somebody asks for what is no longer here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Ring {
    /// An empty one, for what happens after `base`.
    pub(super) fn new(first: u64, base: u64, most: usize) -> Ring {
        Ring { items: VecDeque::new(), first, base, head: base, most, whole: None }
    }

    /// How far the store's events are read.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// The number of what comes next.
    pub(super) fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// Adds something.
    pub(super) fn push(&mut self, item: Item) {
        self.items.push_back(Arc::new(item));
        while self.items.len() > self.most {
            let gone = self.items.pop_front();
            self.first += 1;
            self.base = gone.and_then(|gone| gone.position).unwrap_or(self.base);
        }
    }

    /// The store's events are read up to here.
    pub(super) fn read_to(&mut self, position: u64) {
        self.head = position;
    }

    /// The store lost what came before: nobody can go on from there.
    pub(super) fn cut(&mut self, base: u64) {
        self.base = base;
        self.head = base;
    }

    /// The number of the first after `position`.
    pub(super) fn after(&self, position: u64) -> Result<u64, Lost> {
        if position < self.base || position > self.head {
            return Err(Lost);
        }
        let seen = self.items.iter().rposition(|item| item.position.is_some_and(|own| own <= position));
        Ok(self.first + seen.map_or(0, |index| index as u64 + 1))
    }

    /// What there is from this number on.
    pub(super) fn from(&self, number: u64) -> Result<Vec<Arc<Item>>, Lost> {
        let skip = number.checked_sub(self.first).ok_or(Lost)?;
        Ok(self.items.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).cloned().collect())
    }

    /// All of it from this number on, joined.
    pub(super) fn whole_from(&mut self, number: u64) -> Result<Vec<Bytes>, Lost> {
        let end = self.end();
        if let Some((_, _, known)) = self.whole.as_ref().filter(|(from, upto, _)| (*from, *upto) == (number, end)) {
            return Ok(known.clone());
        }
        let pieces = joined(self.from(number)?.iter());
        self.whole = Some((number, end, pieces.clone()));
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        let mut ring = Ring::new(100, 10, 3);
        for position in [12, 13, 15] {
            ring.push(Item::new(Some(position), "run.started", "a".into(), "{}"));
            ring.read_to(position);
        }
        ring
    }

    fn positions(ring: &Ring, from: u64) -> Vec<Option<u64>> {
        ring.from(from).unwrap().iter().map(|item| item.position).collect()
    }

    #[test]
    fn whoever_saw_some_of_it_gets_the_rest() {
        let ring = ring();
        for (seen, rest) in [(10, 3), (11, 3), (12, 2), (14, 1), (15, 0)] {
            assert_eq!(positions(&ring, ring.after(seen).unwrap()).len(), rest, "after {seen}");
        }
    }

    #[test]
    fn what_is_too_old_or_not_yet_there_is_lost() {
        let mut ring = ring();
        assert_eq!((ring.after(9), ring.after(16)), (Err(Lost), Err(Lost)));
        let slow = ring.after(10).unwrap();
        ring.push(Item::new(Some(17), "run.started", "a".into(), "{}"));
        ring.read_to(17);
        assert_eq!(ring.from(slow).err(), Some(Lost));
        assert_eq!((ring.after(11), ring.after(12).map(|at| positions(&ring, at).len())), (Err(Lost), Ok(3)));
        ring.cut(30);
        assert_eq!((ring.after(17), ring.after(30)), (Err(Lost), Ok(ring.end())), "there is a hole before 30");
    }

    #[test]
    fn what_is_sent_to_all_is_joined_once_and_anew_when_more_came() {
        let mut ring = ring();
        let text = |pieces: &[Bytes]| String::from_utf8(pieces.concat()).unwrap();
        let first = ring.whole_from(101).unwrap();
        let two = "event: run.started\nid: 13\ndata: {}\n\nevent: run.started\nid: 15\ndata: {}\n\n";
        assert_eq!((first.len(), text(&first).as_str()), (1, two));
        assert_eq!(ring.whole_from(101).unwrap()[0].as_ptr(), first[0].as_ptr(), "nothing is copied");
        let long = format!("\"{}\"", "x".repeat(PIECE));
        ring.push(Item::new(Some(16), "run.started", "a".into(), &long));
        let more = ring.whole_from(101).unwrap();
        assert_eq!((more.len(), text(&more)), (2, format!("{two}event: run.started\nid: 16\ndata: {long}\n\n")));
        assert_eq!((ring.whole_from(100).err(), ring.whole_from(104).unwrap().len()), (Some(Lost), 0));
    }
}
