//! What the other replicas say of themselves, held against what this one knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Jobs;
use super::upkeep::{Health, Identity, PATIENCE, lock};
use super::words::about;
use crate::check::Check;
use crate::clock::Timestamp;
use crate::hash::stable_hash;
use crate::schedule::Zone;
use crate::store::Replica;

/// A replica that was not heard of for so long is not compared with.
const SILENT: Duration = Duration::from_secs(20);

/// Longer than a rolling deployment takes: schedule files that differ for so long were forgotten somewhere.
const DEPLOYMENT: Duration = Duration::from_secs(600);

/// Offsets are compared for so many years from the beginning of the present one.
const YEARS: i64 = 3;

/// What is known of the other replicas.
#[derive(Debug, Default)]
pub(super) struct Others {
    live: Vec<Replica>,
    /// Since when some have other schedule files.
    differ_since: Option<Instant>,
    /// Zones of which another replica knows more.
    outdated: BTreeSet<String>,
    /// Of which files and which year the zones were reckoned, and what came of it.
    zones: (String, i64, BTreeMap<String, String>),
}

impl Others {
    /// Whether another replica has a newer time zone database that says something else about this zone.
    pub(super) fn knows_better(&self, zone: &str) -> bool {
        self.outdated.contains(zone)
    }

    /// How far the wall clocks of the others are ahead of the store's, in microseconds.
    pub(super) fn skews(&self) -> Vec<i64> {
        let doubts = |one: &&Replica| one.failing.contains_key(Check::StoreClock.word());
        // Who doubts the store's clock although his own agrees saw both go wrong together.
        let is_witness = |one: &&Replica| !(doubts(one) && one.clock_skew_seconds.abs() < 60.0);
        #[allow(clippy::cast_possible_truncation, reason = "years fit, and more stop at the largest number")]
        self.live.iter().filter(is_witness).map(|one| (one.clock_skew_seconds * 1e6) as i64).collect()
    }

    /// A hash of the offsets of each zone that a job has, but UTC.
    pub(super) fn own_zones(&mut self, jobs: &Jobs, now: Timestamp) -> BTreeMap<String, String> {
        let year = i64::from(chrono::Datelike::year(&now.datetime()));
        if self.zones.0 != jobs.digest || self.zones.1 != year {
            let begin = |year: i64| {
                let date =
                    chrono::NaiveDate::from_ymd_opt(i32::try_from(year).unwrap_or(2000), 1, 1).unwrap_or_default();
                Timestamp::from(date.and_time(chrono::NaiveTime::MIN).and_utc())
            };
            let zones: BTreeMap<&str, &Zone> =
                jobs.by_name.values().map(|job| (job.schedule.zone().name(), job.schedule.zone())).collect();
            let hashed = zones.into_iter().filter(|(name, _)| *name != "UTC").map(|(name, zone)| {
                let offsets = format!("{:?}", zone.offsets(begin(year), begin(year + YEARS)));
                (name.to_owned(), format!("{:016x}", stable_hash(&[offsets.as_bytes()])))
            });
            self.zones = (jobs.digest.clone(), year, hashed.collect());
        }
        self.zones.2.clone()
    }

    /// What is to be said about their time zone databases.
    fn compare_zones(&mut self, own: &Identity) -> Option<String> {
        let others: Vec<&Replica> = self.live.iter().filter(|other| other.tzdb != own.tzdb).collect();
        let differs = |zone: &&String, other: &Replica| {
            other.zones.get(*zone).is_some_and(|hash| Some(hash) != self.zones.2.get(*zone))
        };
        let differing: BTreeSet<&String> =
            self.zones.2.keys().filter(|zone| others.iter().any(|other| differs(zone, other))).collect();
        let outdated =
            differing.iter().filter(|zone| others.iter().any(|other| own.tzdb < other.tzdb && differs(zone, other)));
        let outdated: BTreeSet<String> = outdated.map(|zone| (*zone).clone()).collect();
        let who: Vec<String> = others.iter().map(|other| format!("{} has {}", other.name, other.tzdb)).collect();
        let text = (!who.is_empty()).then(|| {
            let consequence = if differing.is_empty() {
                "They say the same about the zones of the jobs".to_owned()
            } else {
                let zones: Vec<&str> = differing.iter().map(|zone| zone.as_str()).collect();
                let who = if outdated.is_empty() { "those that have the older leave" } else { "this replica leaves" };
                format!(
                    "They differ about {}: {who} the occurrences of jobs there to those that have the newest",
                    zones.join(", ")
                )
            };
            format!(
                "replicas differ in their time zone database: {}, this one {}. {consequence}. Run the same version of \
                 cronclave everywhere",
                who.join(", "),
                own.tzdb
            )
        });
        self.outdated = outdated;
        text
    }

    /// What is to be said about their schedule files.
    fn compare_files(&mut self, own: &str) -> Option<String> {
        let others: Vec<String> = self
            .live
            .iter()
            .filter(|other| other.config_digest != own)
            .map(|other| format!("{} has {}", other.name, other.config_digest))
            .collect();
        if others.is_empty() {
            self.differ_since = None;
            return None;
        }
        let since = *self.differ_since.get_or_insert_with(Instant::now);
        (since.elapsed() >= DEPLOYMENT).then(|| {
            format!(
                "replicas have had different schedule files for more than {}: {}, this one {own}. Bring them up to date, \
                 or a job runs as whoever wins it has it",
                about(DEPLOYMENT),
                others.join(", ")
            )
        })
    }
}

impl Health {
    /// Looks at the other replicas when the store's clock reads `now`, and says what is wrong with them.
    pub(super) async fn look_around(&self, now: Timestamp) {
        let Ok(Ok(replicas)) = timeout(PATIENCE, self.parts.store.replicas()).await else { return };
        let is_other = |other: &Replica| {
            !other.is_worker() && other.boot_id != self.identity.boot_id && now.since(other.last_seen_at) < SILENT
        };
        let digest = self.jobs.borrow().digest.clone();
        let (zones, files, changed) = {
            let mut others = lock(&self.others);
            others.live = replicas.into_iter().filter(is_other).collect();
            self.parts.dice.set_racers(others.live.len() + 1);
            let before = others.outdated.clone();
            let (zones, files) = (others.compare_zones(&self.identity), others.compare_files(&digest));
            (zones, files, before != others.outdated)
        };
        let bus = &self.parts.bus;
        match zones {
            Some(text) => bus.fail(Check::TzdbDiffers, text),
            None => bus.mend(Check::TzdbDiffers, "all replicas have the same time zone database"),
        }
        match files {
            Some(text) => bus.fail(Check::ConfigDiffers, text),
            None => bus.mend(Check::ConfigDiffers, "all replicas have the same schedule files"),
        }
        if changed {
            self.shake();
        }
    }
}
