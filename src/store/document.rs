//! Small documents that are kept beside the records: they belong to no run, and no rule reads them.

/// A kind of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// Webhooks that were registered, by their ids.
    Webhooks,
    /// What is to be delivered to hooks, and what could not be.
    Deliveries,
    /// Who changed what, by time.
    Audit,
    /// How far runs say they are, by their ids.
    Progress,
    /// Runs that were asked for under a key, by their ids.
    Requests,
}

impl Collection {
    /// All of them.
    pub const ALL: [Collection; 5] =
        [Collection::Webhooks, Collection::Deliveries, Collection::Audit, Collection::Progress, Collection::Requests];

    /// Its name in the stores.
    pub fn name(self) -> &'static str {
        match self {
            Collection::Webhooks => "webhooks",
            Collection::Deliveries => "deliveries",
            Collection::Audit => "audit",
            Collection::Progress => "progress",
            Collection::Requests => "requests",
        }
    }
}

/// A document as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name within its collection: at most [`Document::KEY`] bytes.
    pub key: String,
    /// Grows with each write, and over a removal as well: at least the store's time in microseconds.
    pub version: u64,
    /// Its content, at most [`Document::BODY`] bytes.
    pub body: String,
}

impl Document {
    /// The longest key, in bytes.
    pub const KEY: usize = 512;
    /// The longest body, in bytes: what is larger would stand in the way of leases that are renewed.
    pub const BODY: usize = 256 * 1024;
}

/// A change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Of this collection.
    pub collection: Collection,
    /// By this key.
    pub key: String,
    /// How the asker saw it.
    pub expect: Expect,
    /// What it is to be; `None` removes it.
    pub body: Option<String>,
}

/// How somebody saw a document who wants to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// However it stands.
    Any,
    /// There is none.
    Absent,
    /// It has this version.
    Version(u64),
}

impl Expect {
    /// Whether a document of this version, or none, is as expected.
    pub fn meets(self, found: Option<u64>) -> bool {
        match self {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        }
    }
}

/// Which documents of a collection, in the order of their keys' bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Their keys begin so.
    pub prefix: String,
    /// Only those beyond this key, in the order asked for.
    pub after: Option<String>,
    /// The last keys first.
    pub newest_first: bool,
    /// At most so many; 0 means all.
    pub limit: usize,
}
