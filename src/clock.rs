//! Time: the [`Timestamp`] every module speaks, and [`Clock`], the only reader of wall time.
//!
//! Nothing but a store reads a clock to decide anything. A replica sleeps on the monotonic clock
//! by distances the store told it, so its own wall clock may be wrong by any amount.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

/// An instant in UTC, in whole microseconds since the Unix epoch.
///
/// Written and read as RFC 3339 (`2026-11-22T06:31:00Z`) everywhere outside the process.
///
/// ```
/// use cronclave::Timestamp;
/// use std::time::Duration;
///
/// let at: Timestamp = "2026-11-22T07:31:00.5+01:00".parse()?;
/// assert_eq!(at.to_string(), "2026-11-22T06:31:00.500Z");
/// assert_eq!((at.as_secs(), at.as_millis(), at.as_micros()), (1_795_329_060, 1_795_329_060_500, 1_795_329_060_500_000));
/// assert_eq!(Timestamp::from_micros(at.as_micros()), at);
/// assert_eq!(Timestamp::from_millis(at.as_millis()), at);
/// assert_eq!(Timestamp::from_secs(at.as_secs()).plus(Duration::from_millis(500)), at);
/// assert_eq!(at.since(at.minus(Duration::from_secs(90))), Duration::from_secs(90));
/// assert_eq!(at.datetime().timestamp(), at.as_secs());
/// assert!(Timestamp::EPOCH < at && at < Timestamp::FAR);
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// Later than every instant a schedule can name (9999-12-31T23:59:59Z).
    pub const FAR: Timestamp = Timestamp(253_402_300_799_000_000);

    /// From microseconds since the Unix epoch; values beyond the years 0000 to 9999 are clamped.
    pub const fn from_micros(micros: i64) -> Self {
        const LEAST: i64 = -62_167_219_200_000_000;
        if micros > Self::FAR.0 {
            Self::FAR
        } else if micros < LEAST {
            Timestamp(LEAST)
        } else {
            Timestamp(micros)
        }
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1000))
    }

    /// From seconds since the Unix epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The same instant for chrono.
    pub fn datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// This instant moved `by` into the future, stopping at [`Timestamp::FAR`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant moved `by` into the past.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self::from_micros(at.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.0 {
            us if us % 1_000_000 == 0 => SecondsFormat::Secs,
            us if us % 1000 == 0 => SecondsFormat::Millis,
            _ => SecondsFormat::Micros,
        };
        f.write_str(&self.datetime().to_rfc3339_opts(form, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    /// Reads RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(DateTime::parse_from_rfc3339(text)?.with_timezone(&Utc).into())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A source of "now". A value, not a global, so that a test can hand every replica a clock of its own.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Without an origin it stands still.
    Following {
        start: Timestamp,
        origin: Option<Instant>,
        skew_us: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that reads `start` now and then follows tokio's time, paused or not.
    pub fn starting_at(start: Timestamp) -> Self {
        Clock(Source::Following { start, origin: Some(Instant::now()), skew_us: Arc::default() })
    }

    /// A clock that reads `start` until it is stepped.
    pub fn standing_at(start: Timestamp) -> Self {
        Clock(Source::Following { start, origin: None, skew_us: Arc::default() })
    }

    /// Steps a clock made by [`Clock::starting_at`] or [`Clock::standing_at`] by so many microseconds; the system's
    /// clock is left alone.
    pub fn step(&self, micros: i64) {
        if let Source::Following { skew_us, .. } = &self.0 {
            skew_us.fetch_add(micros, Ordering::SeqCst);
        }
    }

    /// What this clock reads.
    #[allow(clippy::disallowed_methods, reason = "the one reader of wall time")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Utc::now().into(),
            Source::Following { start, origin, skew_us } => {
                let skewed = start.as_micros() + skew_us.load(Ordering::SeqCst);
                Timestamp::from_micros(skewed).plus(origin.map(|origin| origin.elapsed()).unwrap_or_default())
            }
        }
    }
}
