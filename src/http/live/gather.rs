//! What happened since it was last told, for listeners who only want to know of which jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::ring::{Item, event};

/// Between two times that it is told.
const PAUSE: Duration = Duration::from_millis(500);

/// More jobs than this are not named: whoever shows them asks for all.
const NAMED: usize = 100;

/// What was gathered.
#[derive(Debug)]
pub(super) struct Gathered {
    /// `None`: more than can be named.
    jobs: Option<BTreeSet<String>>,
    position: Option<u64>,
    is_empty: bool,
    told: Option<Instant>,
}

impl Gathered {
    pub(super) fn new() -> Gathered {
        Gathered { jobs: Some(BTreeSet::new()), position: None, is_empty: true, told: None }
    }

    /// Adds something that happened.
    pub(super) fn add(&mut self, item: &Item) {
        self.is_empty = false;
        self.position = item.position.or(self.position);
        if let Some(jobs) = &mut self.jobs {
            if !jobs.contains(&item.job) {
                jobs.insert(item.job.clone());
            }
            if jobs.len() > NAMED {
                self.jobs = None;
            }
        }
    }

    /// When it is to be told, if there is anything.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.is_empty).then(|| self.told.map_or_else(Instant::now, |told| told + PAUSE))
    }

    /// Tells it.
    pub(super) fn tell(&mut self) -> Bytes {
        let Gathered { jobs, position, .. } =
            std::mem::replace(self, Gathered { told: Some(Instant::now()), ..Gathered::new() });
        event("changed", position, &json!({ "jobs": jobs }).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_at_once_is_told_at_once_and_then_after_a_pause() {
        let mut gathered = Gathered::new();
        assert_eq!(gathered.due(), None);
        let item = |job: &str| Item::new(Some(7), "run.started", job.into(), "{}");
        gathered.add(&item("a"));
        assert!(gathered.due().unwrap() <= Instant::now());
        assert_eq!(gathered.tell(), "event: changed\nid: 7\ndata: {\"jobs\":[\"a\"]}\n\n");
        assert_eq!(gathered.due(), None);
        gathered.add(&item("b"));
        assert_eq!(gathered.due(), Some(Instant::now() + PAUSE));
        (0..=NAMED).for_each(|n| gathered.add(&item(&format!("job-{n}"))));
        assert_eq!(gathered.jobs, None, "too many to name");
    }
}
