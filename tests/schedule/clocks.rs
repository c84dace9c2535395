//! Changes of clocks.

use chrono::NaiveDateTime;
use cronclave::schedule::{Change, GapRule, OverlapRule, Rules, Schedule};

use super::*;
use GapRule::{Shift, Skip};
use OverlapRule::{Both, First, Last};

#[test]
fn a_time_in_the_gap_runs_once_right_after_it() {
    let got = plain("15,45 2 * * *", "Europe/Berlin", "2027-03-27T23:00:00Z", 3);
    assert_eq!(got, ["2027-03-28T01:00:00Z", "2027-03-29T00:15:00Z", "2027-03-29T00:45:00Z"]);
}

#[test]
fn a_hit_in_the_gap_and_one_right_after_it_are_one_run() {
    let got = plain("0 2,3 * * *", "Europe/Berlin", "2027-03-27T23:00:00Z", 2);
    assert_eq!(got, ["2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"]);
}

#[test]
fn skip_leaves_the_gap_out() {
    let got = ruled("30 2 * * *", "Europe/Berlin", Skip, First, "2027-03-27T12:00:00Z", 1);
    assert_eq!(got, ["2027-03-29T00:30:00Z"]);
}

#[test]
fn a_time_that_exists_twice_runs_first_last_or_in_both_passes() {
    let (first, second) = ("2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z");
    let from = "2027-10-30T12:00:00Z";
    let next = "2027-11-01T01:30:00Z";
    assert_eq!(ruled("30 2 * * *", "Europe/Berlin", Shift, First, from, 2), [first, next]);
    assert_eq!(ruled("30 2 * * *", "Europe/Berlin", Shift, Last, from, 2), [second, next]);
    assert_eq!(ruled("30 2 * * *", "Europe/Berlin", Shift, Both, from, 3), [first, second, next]);
    assert_eq!(ruled("30 2 * * *", "Europe/Berlin", Shift, First, second, 1), [next]);
    assert_eq!(ruled("30 2 * * *", "Europe/Berlin", Shift, First, "2027-10-31T01:10:00Z", 1), [next]);
}

#[test]
fn both_passes_of_several_times_come_in_the_order_of_real_time() {
    let got = ruled("0,30 2 * * *", "Europe/Berlin", Shift, Both, "2027-10-30T12:00:00Z", 4);
    assert_eq!(got, ["2027-10-31T00:00:00Z", "2027-10-31T00:30:00Z", "2027-10-31T01:00:00Z", "2027-10-31T01:30:00Z"]);
}

#[test]
fn a_wildcard_schedule_follows_real_time() {
    let gap = plain("*/30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 1);
    assert_eq!(gap, ["2027-03-29T00:00:00Z"]);
    let overlap = plain("*/30 2 * * *", "Europe/Berlin", "2027-10-31T00:10:00Z", 3);
    assert_eq!(overlap, ["2027-10-31T00:30:00Z", "2027-10-31T01:00:00Z", "2027-10-31T01:30:00Z"]);
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    let gap = plain("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2);
    assert_eq!(gap, ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
    let overlap = ruled("45 1 * * *", "Australia/Lord_Howe", Shift, Both, "2026-04-04T12:00:00Z", 2);
    assert_eq!(overlap, ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"]);
}

#[test]
fn apia_skipped_a_whole_day() {
    let got = plain("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3);
    assert_eq!(got, ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"]);
    let got = ruled("0 12 * * *", "Pacific/Apia", Skip, First, "2011-12-29T12:00:00Z", 2);
    assert_eq!(got, ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"]);
}

#[test]
fn a_gap_at_midnight_does_not_lose_the_day() {
    let got = plain("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", 2);
    assert_eq!(got, ["2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"]);
    let got = plain("30 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z", 2);
    assert_eq!(got, ["2026-03-28T22:00:00Z", "2026-03-29T21:30:00Z"]);
}

#[test]
fn a_touched_occurrence_says_so() {
    let daily = Schedule::parse("30 2 * * *", &zone("Europe/Berlin"), Rules::default(), "job").unwrap();
    let plain = daily.next(at("2027-03-26T12:00:00Z")).unwrap();
    assert_eq!(plain.shift, None);
    let gap = daily.next(plain.at).unwrap();
    assert_eq!(gap.nominal.to_string(), "2027-03-28 02:30:00");
    let note = gap.shift.unwrap();
    assert_eq!((note.kind, note.from.as_str(), note.to.as_str()), (Change::Gap, "02:00 CET", "03:00 CEST"));
    let overlap = daily.next(at("2027-10-30T12:00:00Z")).unwrap().shift.unwrap();
    assert_eq!(
        (overlap.kind, overlap.from.as_str(), overlap.to.as_str()),
        (Change::Overlap, "03:00 CEST", "02:00 CET")
    );
}

#[test]
fn once_follows_the_same_rules() {
    let local = |text: &str| text.parse::<NaiveDateTime>().unwrap();
    let berlin = zone("Europe/Berlin");
    let gap = Schedule::at(local("2027-03-28T02:30:00"), &berlin, Rules::default());
    assert_eq!(runs(&gap, "2026-01-01T00:00:00Z", 9), [at("2027-03-28T01:00:00Z")]);
    let both = Schedule::at(local("2027-10-31T02:30:00"), &berlin, Rules { gap: Shift, overlap: Both });
    assert_eq!(runs(&both, "2026-01-01T00:00:00Z", 9).len(), 2);
}

#[test]
fn a_change_after_the_last_that_the_rule_in_force_knows_of_repeats_its_hour_once() {
    // Clocks in Ciudad Juarez went back at midnight of 30 November 2022, after those of its new rule had.
    let got = plain("59 23 * * *", "America/Ciudad_Juarez", "2022-11-29T12:00:00Z", 2);
    assert_eq!(got, ["2022-11-30T05:59:00Z", "2022-12-01T06:59:00Z"]);
}

#[test]
fn a_rhythm_that_falls_into_the_gap_as_a_whole_has_a_lost_day() {
    let lost = |text: &str| {
        let schedule = Schedule::parse(text, &zone("Europe/Berlin"), Rules::default(), "job").unwrap();
        schedule
            .lost_days(at("2027-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z"))
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(lost("*/15 2 * * *"), ["2027-03-28"]);
    assert_eq!(lost("H/15 2 * * *"), ["2027-03-28"]);
    for safe in ["30 2 * * *", "*/15 * * * *", "*/15 2,3 * * *", "*/15 2 * * MON"] {
        assert!(lost(safe).is_empty(), "{safe}");
    }
}
