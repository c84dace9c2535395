//! What each kind of schedule means.

use std::time::Duration;

use super::*;

#[test]
fn a_period_counts_from_the_epoch() {
    let every = Schedule::every(Duration::from_secs(600), &zone("Asia/Kolkata")).unwrap();
    assert_eq!(runs(&every, "2026-01-01T00:03:00Z", 2), [at("2026-01-01T00:10:00Z"), at("2026-01-01T00:20:00Z")]);
    assert_eq!(every.text(), "every 10m");
}

#[test]
fn a_union_comes_due_whenever_any_does_and_once_for_equal_instants() {
    let union = Schedule::union(vec![parse("0 8 * * *").unwrap(), parse("0 8,10 * * *").unwrap()], &Zone::utc());
    let got = runs(&union, "2026-01-01T00:00:00Z", 3);
    assert_eq!(got, [at("2026-01-01T08:00:00Z"), at("2026-01-01T10:00:00Z"), at("2026-01-02T08:00:00Z")]);
}

#[test]
fn manual_never_comes_due() {
    let manual = parse("@manual").unwrap();
    assert!(manual.is_manual() && manual.after(Timestamp::EPOCH).is_none());
}

#[test]
fn h_is_spread_by_name_and_stays_within_its_limits() {
    let with = |seed: &str| Schedule::parse("H H(2-5) * * *", &Zone::utc(), Rules::default(), seed).unwrap();
    let minute = |seed: &str| with(seed).after(Timestamp::EPOCH).unwrap();
    let some: std::collections::BTreeSet<_> = (0..50).map(|n| minute(&format!("job-{n}"))).collect();
    assert!(some.len() > 40);
    assert!(some.iter().all(|t| (2..6).contains(&(t.as_secs() / 3600))));
    assert_eq!(minute("tmp-cleanup"), minute("tmp-cleanup"));
    assert_eq!(minute("tmp-cleanup").to_string(), "1970-01-01T04:27:00Z");
}

#[test]
fn nothing_is_found_beyond_the_year_2399() {
    assert_eq!(parse("* * * * * *").unwrap().after(at("2399-12-31T23:59:58Z")), Some(at("2399-12-31T23:59:59Z")));
    assert_eq!(parse("* * * * * *").unwrap().after(at("2399-12-31T23:59:59Z")), None);
    assert_eq!(parse("0 0 1 1 *").unwrap().after(Timestamp::FAR), None);
    let old = parse("0 0 0 1 1 * 2020").unwrap();
    assert_eq!(old.after(at("2026-01-01T00:00:00Z")), None);
}

#[test]
fn a_far_away_year_is_found_in_a_zone_with_many_changes() {
    let far = Schedule::parse("0 0 2 1 4 * 2099", &zone("Europe/Berlin"), Rules::default(), "job").unwrap();
    assert_eq!(runs(&far, "1970-01-01T00:00:00Z", 9), [at("2099-04-01T00:00:00Z")]);
}

#[test]
fn a_range_of_names_may_go_round_the_end_of_the_week_or_the_year() {
    let days = |text: &str| {
        let schedule = parse(text).unwrap();
        let days = runs(&schedule, "2026-11-21T12:00:00Z", 7);
        days.iter().map(|t| t.datetime().format("%a %d").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(days("0 0 * * FRI-MON"), ["Sun 22", "Mon 23", "Fri 27", "Sat 28", "Sun 29", "Mon 30", "Fri 04"]);
    assert_eq!(days("0 0 * * SAT-SUN"), days("0 0 * * 6,0"));
    assert_eq!(days("0 0 * * sun-sun"), days("0 0 * * 7"));
    assert_eq!(days("0 0 1 NOV-FEB *"), days("0 0 1 11,12,1,2 *"));
    assert_eq!(days("0 0 * * FRI-MON/2"), days("0 0 * * FRI,SUN"));
}

#[test]
fn a_zone_in_front_of_the_text_overrules_the_one_beside_it() {
    let text = "CRON_TZ=Asia/Tokyo 0 9 * * *";
    let schedule = Schedule::parse(text, &zone("Europe/Berlin"), Rules::default(), "job").unwrap();
    assert_eq!(runs(&schedule, "2026-11-22T12:00:00Z", 1), [at("2026-11-23T00:00:00Z")]);
    assert_eq!((schedule.zone().name(), schedule.text().as_str()), ("Asia/Tokyo", text));
    // Each member of a union keeps its own.
    let union = Schedule::union(vec![parse("0 9 * * *").unwrap(), schedule], &Zone::utc());
    assert_eq!(runs(&union, "2026-11-22T12:00:00Z", 2), [at("2026-11-23T00:00:00Z"), at("2026-11-23T09:00:00Z")]);
    let slot = union.next(at("2026-11-22T12:00:00Z")).unwrap();
    assert_eq!(slot.nominal.to_string(), "2026-11-23 09:00:00");
}

#[test]
fn a_window_begins_and_ends_with_the_times_it_names() {
    let local = |text: &str| Some(text.parse().unwrap());
    let schedule = || Schedule::parse("0 * * * *", &zone("Europe/Berlin"), Rules::default(), "job").unwrap();
    let window = schedule().within(local("2026-12-01T00:00:00"), local("2026-12-01T02:00:00"));
    let all = [at("2026-11-30T23:00:00Z"), at("2026-12-01T00:00:00Z"), at("2026-12-01T01:00:00Z")];
    assert_eq!(runs(&window, "2026-11-22T12:00:00Z", 9), all);
    assert_eq!(window.before(at("2027-01-01T00:00:00Z")), Some(all[2]));
    // An hour that comes twice is inside with both passes; one that is left out stands for the next instant.
    let twice = schedule().within(local("2027-10-31T02:00:00"), local("2027-10-31T02:59:59"));
    assert_eq!(runs(&twice, "2027-01-01T00:00:00Z", 9), [at("2027-10-31T00:00:00Z"), at("2027-10-31T01:00:00Z")]);
    let missing = schedule().within(local("2027-03-28T02:30:00"), local("2027-03-28T03:30:00"));
    assert_eq!(runs(&missing, "2027-01-01T00:00:00Z", 9), [at("2027-03-28T01:00:00Z")]);
}

#[test]
fn what_never_fires_is_told_from_what_is_rare() {
    for never in ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 31 2 +MON", "0 0 0 29 2 * 2027"] {
        let schedule = parse(never).unwrap();
        assert_eq!(schedule.after(Timestamp::EPOCH), None, "{never}");
        assert!(cronclave::schedule::lints(never).iter().any(|lint| lint.code == 202), "{never}");
    }
    // 29 February on a Monday: 28 years apart, 40 over the turn of most centuries.
    let rare = runs(&parse("0 0 29 2 +MON").unwrap(), "2026-01-01T00:00:00Z", 4);
    assert_eq!(
        rare.iter().map(|t| t.datetime().format("%Y").to_string()).collect::<Vec<_>>(),
        ["2044", "2072", "2112", "2140"]
    );
    assert!(cronclave::schedule::lints("0 0 29 2 +MON").is_empty());
}

#[test]
fn a_union_has_the_zone_that_its_members_share_and_the_rules_of_those_with_fixed_times() {
    let berlin = zone("Europe/Berlin");
    let rules = Rules { gap: GapRule::Skip, overlap: OverlapRule::Last };
    let read = |text: &str| Schedule::parse(text, &berlin, rules, "job").unwrap();
    let mixed = Schedule::union(vec![read("*/15 8 * * *"), read("30 2 * * *")], &berlin);
    assert_eq!(mixed.rules(), rules);
    let slot = mixed.next(at("2027-03-27T08:00:00Z")).unwrap();
    assert_ne!(slot.rules, rules, "a rhythm has its own");
    let tokyo =
        Schedule::union(vec![read("CRON_TZ=Asia/Tokyo 0 9 * * *"), read("CRON_TZ=Asia/Tokyo 0 8 * * *")], &berlin);
    assert_eq!(tokyo.zone().name(), "Asia/Tokyo");
    let both = Schedule::union(vec![read("CRON_TZ=Asia/Tokyo 0 9 * * *"), read("0 20 * * *")], &berlin);
    assert_eq!(both.zone().name(), "Europe/Berlin");
    assert_eq!(both.words("job"), "At 09:00 every day (Asia/Tokyo), or at 20:00 every day");
}

#[test]
fn a_window_beyond_all_times_leaves_nothing() {
    let wall = |text: &str| Some(text.parse().unwrap());
    let never = |start, end| parse("@daily").unwrap().within(start, end).after(at("2026-11-22T00:00:00Z"));
    assert_eq!(never(wall("2500-01-01T00:00:00"), None), None);
    assert_eq!(never(None, wall("1960-12-31T00:00:00")), None);
    assert!(never(wall("1960-12-31T00:00:00"), wall("2500-01-01T00:00:00")).is_some());
}

#[test]
fn nothing_is_found_before_1970() {
    let kiritimati = Schedule::parse("0 9 * * *", &zone("Pacific/Kiritimati"), Rules::default(), "job").unwrap();
    let last = std::iter::successors(kiritimati.before(at("1970-01-04T00:00:00Z")), |t| kiritimati.before(*t)).last();
    assert!(last.unwrap() >= Timestamp::EPOCH);
}
