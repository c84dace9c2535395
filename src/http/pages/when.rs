//! Times on pages: on the wall that was chosen, each with the instant for programs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use super::prefs::{Prefs, Wall};
use crate::clock::Timestamp;
use crate::phrase;
use crate::schedule::Zone;

/// What times are shown with.
pub(super) struct When {
    pub(super) now: Timestamp,
    wall: Wall,
    mine: Option<Zone>,
    known: RefCell<BTreeMap<String, Zone>>,
}

impl When {
    pub(super) fn new(prefs: &Prefs, now: Timestamp) -> When {
        When { now, wall: prefs.wall, mine: prefs.mine.clone(), known: RefCell::default() }
    }

    /// The zone in which something is shown whose own is `own`; UTC where it has none.
    pub(super) fn zone(&self, own: Option<&str>) -> Zone {
        match self.wall {
            Wall::Utc => Zone::utc(),
            Wall::Mine => self.mine.clone().unwrap_or_else(Zone::utc),
            Wall::Job => own.map_or_else(|| self.mine.clone().unwrap_or_else(Zone::utc), |name| self.named(name)),
        }
    }

    fn named(&self, name: &str) -> Zone {
        let mut known = self.known.borrow_mut();
        if let Some(zone) = known.get(name) {
            return zone.clone();
        }
        let zone = Zone::parse(name).unwrap_or_else(|_| Zone::utc());
        known.insert(name.to_owned(), zone.clone());
        zone
    }

    /// As short as can be: the time of day, with its date unless that is today.
    pub(super) fn at(&self, at: Timestamp, own: Option<&str>) -> Markup {
        let zone = self.zone(own);
        let (wall, today) = (zone.wall(at), zone.wall(self.now));
        let days = wall.date().signed_duration_since(today.date()).num_days();
        let text = match days {
            0 => wall.format("%H:%M:%S"),
            -300..300 => wall.format("%a %-d %b %H:%M"),
            _ => wall.format("%Y-%m-%d %H:%M"),
        };
        html! {
            time datetime=(at) title=(self.title(at, own)) { (text) " " span.z { (zone.offset(at).1) } }
        }
    }

    /// Date and time with the day of the week, the zone and its distance from UTC.
    pub(super) fn full(&self, at: Timestamp, own: Option<&str>) -> Markup {
        html! { time datetime=(at) title=(self.title(at, own)) { (full(at, &self.zone(own))) } }
    }

    /// The time of day to the millisecond.
    pub(super) fn instant(&self, at: Timestamp, own: Option<&str>) -> Markup {
        let wall = self.zone(own).wall(at);
        html! { time datetime=(at) title=(self.title(at, own)) { (wall.format("%H:%M:%S%.3f")) } }
    }

    /// As text, for where no markup can be: within a picture.
    pub(super) fn short(&self, at: Timestamp, own: Option<&str>) -> String {
        let zone = self.zone(own);
        format!("{} {}", zone.wall(at).format("%a %-d %b %H:%M:%S"), zone.offset(at).1)
    }

    /// How far away it is: `in 1m 12s`, `8m 3s ago`; a script keeps it true.
    pub(super) fn away(&self, at: Timestamp, own: Option<&str>) -> Markup {
        html! { time.away datetime=(at) data-away title=(self.title(at, own)) { (self.away_text(at)) } }
    }

    /// The same as text.
    pub(super) fn away_text(&self, at: Timestamp) -> String {
        let about = |span: Duration| phrase::about(span);
        if at > self.now {
            format!("in {}", about(at.since(self.now)))
        } else {
            format!("{} ago", about(self.now.since(at)))
        }
    }

    /// How long something goes on that began then.
    pub(super) fn since(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at) data-since title=(self.title(at, None)) { (phrase::about(self.now.since(at))) } }
    }

    /// On all three walls.
    fn title(&self, at: Timestamp, own: Option<&str>) -> String {
        let mut lines = vec![full(at, &Zone::utc())];
        if let Some(mine) = self.mine.as_ref().filter(|zone| zone.name() != "UTC") {
            lines.insert(0, format!("{} (yours)", full(at, mine)));
        }
        if let Some(own) = own.filter(|name| *name != "UTC") {
            lines.insert(0, format!("{} (the job's)", full(at, &self.named(own))));
        }
        lines.join("\n")
    }
}

fn full(at: Timestamp, zone: &Zone) -> String {
    let (offset, abbreviation) = zone.offset(at);
    let wall = zone.wall(at).format("%a %Y-%m-%d %H:%M:%S");
    if zone.name() == "UTC" {
        return format!("{wall} UTC");
    }
    format!("{wall} {abbreviation} ({}) {}", phrase::distance(offset), zone.name())
}

/// Seconds as a span in words.
pub(super) fn span(seconds: f64) -> String {
    phrase::span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
