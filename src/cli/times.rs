//! Occurrences, as `next` and `explain` show them.

use std::time::Duration;

use chrono::NaiveTime;

use super::show::Style;
use crate::clock::Timestamp;
use crate::phrase;
use crate::schedule::{Change, DstNote, GapRule, OverlapRule, Slot, Zone};
use crate::shape::Start;

/// What occurrences are shown with.
pub(super) struct Times<'a> {
    pub(super) zone: &'a Zone,
    pub(super) now: Timestamp,
    pub(super) style: &'a Style,
}

impl Times<'_> {
    /// A line for each, and below them a note for each change of clocks that touches one.
    pub(super) fn text(&self, starts: &[Start]) -> String {
        // Each change of clocks and each time that it touches has a note of its own.
        let mut notes: Vec<(&DstNote, NaiveTime)> = Vec::new();
        let (mut text, mut footnotes) = (String::new(), String::new());
        let mut skipped = 0;
        for (n, start) in starts.iter().enumerate() {
            // Of what one calendar keeps from running in a row, the first few are enough.
            skipped = if start.closed.is_some() { skipped + 1 } else { 0 };
            let next_closed = starts.get(n + 1).is_some_and(|next| next.closed == start.closed);
            if skipped > 3 && next_closed {
                continue;
            }
            if skipped > 4 {
                text += &format!("      ... {} more ...\n", skipped - 4);
            }
            text += &self.line(start);
            if let Some(note) = &start.slot.shift {
                let touched = (note, start.slot.nominal.time());
                let number = notes.iter().position(|known| *known == touched).unwrap_or_else(|| {
                    notes.push(touched);
                    footnotes += &self.footnote(notes.len(), &start.slot, note);
                    notes.len() - 1
                });
                text += &format!("   [{}]", number + 1);
            }
            text.push('\n');
        }
        if footnotes.is_empty() { text } else { format!("{text}\n{footnotes}") }
    }

    fn line(&self, start: &Start) -> String {
        let Times { zone, now, style, .. } = self;
        let full = style.full(start.due, zone);
        if let Some(calendar) = &start.closed {
            return format!("  {full}   skipped: calendar {calendar}");
        }
        let shown = style.zone.as_ref().unwrap_or(zone);
        let utc = match shown.offset(start.due).1 == "UTC" {
            true => String::new(),
            false => format!("   {}", start.due.datetime().format("%Y-%m-%d %H:%M:%S UTC")),
        };
        let away = if start.due >= *now {
            format!("in {}", phrase::about(start.due.since(*now)))
        } else {
            format!("{} ago", phrase::about(now.since(start.due)))
        };
        let jitter = match start.due.since(start.slot.at) {
            Duration::ZERO => String::new(),
            share => format!(
                "   {} + {} jitter (the same on every replica)",
                start.slot.nominal.format("%H:%M:%S"),
                phrase::span(share)
            ),
        };
        format!("  {full}{utc}   {away}{jitter}")
    }

    /// What a change of clocks does to an occurrence, and what would be the other choice.
    fn footnote(&self, number: usize, slot: &Slot, note: &DstNote) -> String {
        let (time, rules) = (slot.nominal.format("%H:%M"), slot.rules);
        let what = match note.kind {
            Change::Gap => "does not exist",
            Change::Overlap => "comes twice",
        };
        let rule = match (note.kind, rules.gap, rules.overlap) {
            (Change::Gap, GapRule::Shift, _) => {
                "dst_gap = \"shift\": it runs at the first moment that exists; \"skip\" would leave it out."
            }
            (Change::Gap, GapRule::Skip, _) => "dst_gap = \"skip\": it is left out.",
            (_, _, OverlapRule::First) => {
                "dst_overlap = \"first\": it runs the first time; \"last\" and \"both\" are the other choices."
            }
            (_, _, OverlapRule::Last) => {
                "dst_overlap = \"last\": it runs the second time; \"first\" and \"both\" are the other choices."
            }
            (_, _, OverlapRule::Both) => "It runs both times.",
        };
        format!("  [{number}] {time} {what} on this day: clocks go from {} to {}.\n      {rule}\n", note.from, note.to)
    }
}
