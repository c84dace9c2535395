//! What a call tells all, put together where it comes in parts: what was rehearsed is long, and slow to put together in a
//! script (batch.lua).

use super::wire::{Garbled, Reader, Writer};

/// A call of which the first part was said, and perhaps the second.
#[derive(Default)]
pub(super) struct Said {
    first: Option<First>,
    news: Option<Vec<u8>>,
}

/// Bytes that the numbers of a page take at most.
const NUMBERS: usize = 32;

/// How the first of several parts begins.
const SEVERAL: &[u8] = b"\xa1+";

struct First {
    position: u64,
    told: u64,
    /// Records that what follows is about.
    theirs: usize,
    /// What this one says of others: how many places, and these, packed; and the events.
    places: usize,
    news: Vec<u8>,
    events: Vec<u8>,
}

impl Said {
    /// What a call says, once all of it was said: its position, how many events, the records after it, its events.
    pub(super) fn take_in(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Garbled> {
        match (self.first.take(), self.news.take()) {
            (Some(first), Some(news)) => Ok(Some(first.page(&news, bytes))),
            (Some(first), None) => {
                (self.first, self.news) = (Some(first), Some(bytes.to_vec()));
                Ok(None)
            }
            (None, _) => {
                let Some(rest) = bytes.strip_prefix(SEVERAL) else { return Ok(Some(bytes.to_vec())) };
                let from = &mut Reader::new(rest);
                let first = First::read(from)?;
                if from.is_empty() {
                    self.first = Some(first);
                    return Ok(None);
                }
                Ok(Some(first.page(from.bytes()?, from.bytes()?)))
            }
        }
    }
}

impl First {
    fn read(from: &mut Reader<'_>) -> Result<First, Garbled> {
        let (position, told, theirs, places) = (from.int()?, from.int()?, from.int()?, from.list()?);
        let mut news = Writer::default();
        for _ in 0..places / 4 {
            news.bytes(from.bytes()?).count(from.int()?).bytes(from.bytes()?).flag(from.flag()?);
        }
        Ok(First { position, told, theirs, places, news: news.take(), events: from.bytes()?.to_vec() })
    }

    /// All of it: first what was rehearsed, then the rest.
    fn page(&self, news: &[u8], events: &[u8]) -> Vec<u8> {
        let parts = [news, &self.news, events, &self.events];
        let mut to = Writer::with_room(parts.iter().map(|part| part.len()).sum::<usize>() + NUMBERS);
        to.count(self.position).count(self.told).list(self.theirs * 4 + self.places).raw(news).raw(&self.news);
        to.joined([events, &self.events]).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(job: &str) -> Vec<u8> {
        Writer::default().bytes(job).count(7).bytes("record").flag(true).take()
    }

    fn first(own: &[u8]) -> Writer {
        let mut to = Writer::default();
        to.bytes("+").count(20).count(3).count(1).list(4).raw(own).bytes("own events");
        to
    }

    fn whole() -> Vec<u8> {
        let mut page = Writer::default();
        page.count(20).count(3).list(8).raw(&news("theirs")).raw(&news("own"));
        page.bytes("their events, own events").take()
    }

    #[test]
    fn what_comes_in_parts_is_one_call_once_the_last_was_said() {
        let mut said = Said::default();
        assert_eq!(said.take_in(&first(&news("own")).take()), Ok(None));
        assert_eq!(said.take_in(&news("theirs")), Ok(None));
        assert_eq!(said.take_in(b"their events, "), Ok(Some(whole())));
        assert_eq!(said.take_in(&whole()), Ok(Some(whole())), "what comes in one part is left as it is");
    }

    #[test]
    fn what_is_short_comes_in_one_part() {
        let short = first(&news("own")).bytes(news("theirs")).bytes("their events, ").take();
        assert_eq!(Said::default().take_in(&short), Ok(Some(whole())));
    }

    #[test]
    fn what_cannot_be_read_is_no_first_part() {
        let mut said = Said::default();
        assert_eq!(said.take_in(b"\xa1+\xc0"), Err(Garbled));
        assert_eq!(said.take_in(&whole()), Ok(Some(whole())));
    }
}
