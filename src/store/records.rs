//! All records of a cluster, as they were read. There may be very many, most of jobs that do nothing: those stay packed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::job::JobName;
use crate::record::Record;

/// Records by job.
#[derive(Debug, Clone)]
pub struct Records {
    /// With runs that are not over, or with pauses; or whatever was given unpacked.
    busy: BTreeMap<JobName, Record>,
    /// The others in order of name, and their bytes: name and record of one after the other.
    idle: Vec<Place>,
    bytes: Vec<u8>,
    unpack: fn(&[u8]) -> Option<Record>,
}

/// Where a name begins, and how long it and its record are.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    name: u8,
    len: u32,
}

impl Default for Records {
    /// None.
    fn default() -> Self {
        Records::packed(|_| None)
    }
}

impl From<BTreeMap<JobName, Record>> for Records {
    fn from(busy: BTreeMap<JobName, Record>) -> Self {
        Records { busy, ..Records::default() }
    }
}

impl Records {
    /// None yet, of a store that writes them so that `unpack` can read them.
    pub(crate) fn packed(unpack: fn(&[u8]) -> Option<Record>) -> Records {
        Records { busy: BTreeMap::new(), idle: Vec::new(), bytes: Vec::new(), unpack }
    }

    /// Adds a record, and how it is written.
    pub(crate) fn add(&mut self, job: JobName, record: Record, packed: &[u8]) {
        let name = job.as_str();
        let lengths = (u8::try_from(name.len()), u32::try_from(packed.len()));
        let (true, (Ok(length), Ok(len))) = (record.open.is_empty() && record.pauses.is_empty(), lengths) else {
            self.busy.insert(job, record);
            return;
        };
        self.idle.push(Place { at: self.bytes.len(), name: length, len });
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(packed);
    }

    /// No more come. Of a job that was added twice the last counts.
    pub(crate) fn seal(mut self) -> Records {
        let (bytes, busy) = (std::mem::take(&mut self.bytes), &self.busy);
        let name = |place: &Place| &bytes[place.at..][..usize::from(place.name)];
        self.idle.reverse();
        self.idle.sort_by(|a, b| name(a).cmp(name(b)));
        self.idle.dedup_by(|a, b| name(a) == name(b));
        if !busy.is_empty() {
            let is_busy = |place: &Place| std::str::from_utf8(name(place)).is_ok_and(|name| busy.contains_key(name));
            self.idle.retain(|place| !is_busy(place));
        }
        self.idle.shrink_to_fit();
        self.bytes = bytes;
        self.bytes.shrink_to_fit();
        self
    }

    /// That of one job.
    pub fn get(&self, job: &JobName) -> Option<Cow<'_, Record>> {
        if let Some(record) = self.busy.get(job) {
            return Some(Cow::Borrowed(record));
        }
        let place = self.idle[self.place(job)?];
        let packed = &self.bytes[place.at + usize::from(place.name)..][..place.len as usize];
        (self.unpack)(packed).map(Cow::Owned)
    }

    /// Whether there is one of this job.
    pub fn contains(&self, job: &JobName) -> bool {
        self.busy.contains_key(job) || self.place(job).is_some()
    }

    /// All that have runs which are not over, or pauses.
    pub fn busy(&self) -> impl Iterator<Item = (&JobName, &Record)> {
        self.busy.iter()
    }

    /// The names of all jobs that have one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let idle = self.idle.iter().filter_map(|place| std::str::from_utf8(self.name(place)).ok());
        self.busy.keys().map(JobName::as_str).chain(idle)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.busy.len() + self.idle.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn name(&self, place: &Place) -> &[u8] {
        &self.bytes[place.at..][..usize::from(place.name)]
    }

    fn place(&self, job: &JobName) -> Option<usize> {
        self.idle.binary_search_by(|place| self.name(place).cmp(job.as_str().as_bytes())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::lease::Fence;
    use crate::record::Pause;

    fn name(text: &str) -> JobName {
        JobName::new(text).unwrap()
    }

    fn fenced(fence: u64) -> Record {
        Record { fence: Fence(fence), ..Record::default() }
    }

    #[test]
    fn what_is_idle_is_found_packed_and_what_is_busy_as_it_is() {
        let mut records = Records::packed(|packed| Some(fenced(packed[0].into())));
        records.add(name("b"), fenced(1), &[1]);
        records.add(name("a"), fenced(2), &[2]);
        records.add(name("b"), fenced(3), &[3]);
        let pause = Pause { since: Timestamp::EPOCH, until: None, reason: None, by: None };
        records.add(name("c"), fenced(4), &[4]);
        records.add(name("c"), Record { pauses: [pause].into(), ..fenced(5) }, &[5]);
        let records = records.seal();
        let fence = |job: &str| records.get(&name(job)).map(|record| record.fence.0);
        assert_eq!((fence("a"), fence("b"), fence("c"), fence("d")), (Some(2), Some(3), Some(5), None));
        assert_eq!(records.busy().map(|(job, _)| job.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(records.names().collect::<Vec<_>>(), ["c", "a", "b"]);
        assert_eq!((records.len(), records.contains(&name("a")), records.contains(&name("x"))), (3, true, false));
    }
}
