//! Schedules: the corpus of expressions, the rules about changes of clocks, and laws that hold for all.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime};
use cronclave::clock::Timestamp;
use cronclave::schedule::{Change, GapRule, OverlapRule, Rules, Schedule, ScheduleError, Zone};
use proptest::prelude::*;

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

fn parse(text: &str) -> Result<Schedule, ScheduleError> {
    Schedule::parse(text, &Zone::utc(), Rules::default(), "job")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The occurrences after `from`, up to `count` of them.
fn runs(schedule: &Schedule, from: &str, count: usize) -> Vec<Timestamp> {
    std::iter::successors(schedule.after(at(from)), |t| schedule.after(*t)).take(count).collect()
}

fn ruled(text: &str, name: &str, gap: GapRule, overlap: OverlapRule, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, &zone(name), Rules { gap, overlap }, "job").unwrap();
    runs(&schedule, from, count).iter().map(Timestamp::to_string).collect()
}

fn plain(text: &str, name: &str, from: &str, count: usize) -> Vec<String> {
    ruled(text, name, GapRule::Shift, OverlapRule::First, from, count)
}

mod corpus {
    use super::*;

    /// Classes whose expressions need what the dialect does not have yet.
    const LATER: [&str; 7] = ["and_plus", "domL", "domLW", "domW", "dow_mix", "lastdow", "nth"];

    /// Whether the corpus was made before the law of this zone changed: Morocco left UTC+1 on 2026-09-20.
    fn stale(line: &serde_json::Value) -> bool {
        text(line, "tz") == "Africa/Casablanca" && text(line, "after") > "2026-09"
    }

    fn lines() -> Vec<serde_json::Value> {
        include_str!("data/cron.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn text<'a>(line: &'a serde_json::Value, key: &str) -> &'a str {
        line[key].as_str().unwrap_or_default()
    }

    /// Why an expression of the other classes is left out, if it is.
    fn left_out(line: &serde_json::Value, error: &ScheduleError) -> Option<&'static str> {
        match error.code {
            110 => Some("needs L, W, # or +"),
            102 if text(line, "class") == "years7" && error.message.contains("year") => Some("year beyond 2100"),
            _ => None,
        }
    }

    fn answer(line: &serde_json::Value, schedule: &Schedule, key: &str) -> Option<String> {
        let wanted: Vec<Timestamp> = line[key].as_array().unwrap().iter().map(|t| at(t.as_str().unwrap())).collect();
        let reach = at("2100-12-31T00:00:00Z");
        let wanted: Vec<_> = wanted.into_iter().take_while(|t| *t < reach).collect();
        let got = runs(schedule, text(line, "after"), wanted.len());
        (got != wanted).then(|| format!("{} {} in {}: {got:?}, not {wanted:?}", line["id"], line["expr"], line["tz"]))
    }

    #[test]
    fn every_expression_within_the_dialect_gives_the_agreed_instants() {
        let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        let mut answered = 0;
        for line in lines() {
            let (kind, class) = (text(&line, "kind"), text(&line, "class"));
            let key = match kind {
                "next" | "accept" => "next",
                "policy" => "next_vixie",
                _ => continue,
            };
            if LATER.contains(&class) {
                *skipped.entry(format!("class {class}")).or_default() += 1;
                continue;
            }
            let tz = line["tz"].as_str().unwrap_or("UTC");
            if stale(&line) {
                *skipped.entry(format!("zone {tz}: the corpus knows an older law")).or_default() += 1;
                continue;
            }
            match Schedule::parse(text(&line, "expr"), &zone(tz), Rules::default(), "job") {
                Ok(schedule) => wrong.extend(answer(&line, &schedule, key)),
                Err(error) if error.code == 112 && line["next"].as_array().is_some_and(Vec::is_empty) => {}
                Err(error) => match left_out(&line, &error) {
                    Some(why) => {
                        *skipped.entry(format!("{class}: {why}")).or_default() += 1;
                        continue;
                    }
                    None => wrong.push(format!("{} {}: {error}", line["id"], line["expr"])),
                },
            }
            answered += 1;
        }
        println!("answered {answered}, left out {skipped:?}");
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        assert!(answered > 1990, "{answered}");
    }

    #[test]
    fn every_invalid_expression_is_refused_with_a_place_inside_the_text() {
        let mut accepted = Vec::new();
        for line in lines().iter().filter(|line| line["kind"] == "reject") {
            let expr = text(line, "expr");
            match parse(expr) {
                Ok(_) => accepted.push(expr.to_owned()),
                Err(error) => assert!(error.span.end <= expr.len().max(1) + 1, "{expr:?}: {error:?}"),
            }
        }
        assert!(accepted.is_empty(), "accepted: {accepted:?}");
    }
}

mod refusals {
    use super::*;

    fn refused(text: &str) -> (u16, &str, String) {
        let error = parse(text).unwrap_err();
        (error.code, text.get(error.span).unwrap_or(""), error.message)
    }

    #[test]
    fn each_mistake_is_pointed_at() {
        let cases = [
            ("0 24 * * *", 102, "24", "24 is not a valid hour"),
            ("*/5 * * *", 101, "*/5 * * *", "a cron schedule needs 5 fields (or 6 with seconds first), found 4"),
            ("  1 2 3 4 5 6 7 8", 101, "1 2 3 4 5 6 7 8", "found 8"),
            ("5-1 * * * *", 103, "5-1", "the range 5-1 runs backwards"),
            ("0 5/15 * * *", 104, "5/15", "`5/15` has a step but no end"),
            ("0 1,,2 * * *", 105, ",", "an item of the list is empty"),
            ("*/0 * * * *", 106, "0", "a step of 0 never moves on"),
            ("0 0 * FOO *", 107, "FOO", "unknown month `FOO`"),
            ("0 0 * * MON-FRY", 107, "FRY", "unknown day-of-week `FRY`"),
            ("0~30 * * * *", 114, "0~30", "`~` picks a random value, and replicas must agree"),
            ("@reboot", 109, "@reboot", "`@reboot` means nothing in a cluster"),
            ("@dayly", 111, "@dayly", "unknown schedule `@dayly`"),
            ("@daily now", 108, "@daily now", "nothing may follow `@daily`"),
            ("0 0 30 2 *", 112, "0 0 30 2 *", "this schedule never fires"),
            ("0 0 L * *", 110, "L", "`L` is not supported by this version"),
            ("0 0 * * MON#1", 110, "MON#1", "`MON#1` is not supported by this version"),
            ("TZ=UTC 0 0 * * *", 116, "TZ=UTC", "a time zone does not belong in the schedule"),
        ];
        for (text, code, place, message) in cases {
            let (was, pointed, said) = refused(text);
            assert_eq!((was, pointed), (code, place), "{text}: {said}");
            assert!(said.contains(message), "{text}: {said}");
        }
    }

    #[test]
    fn a_help_says_what_to_write() {
        assert_eq!(parse("0 24 * * *").unwrap_err().help.unwrap(), "midnight is hour 0");
        assert_eq!(parse("5/15 * * * *").unwrap_err().help.unwrap(), "write `5-59/15`, or `5` alone");
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        assert_eq!(Zone::parse("Europe/Berln").unwrap_err().nearest.unwrap(), "Europe/Berlin");
        assert_eq!(Zone::parse("Tokio").unwrap_err().nearest.unwrap(), "Asia/Tokyo");
        assert_eq!(Zone::parse("qqqqqqqqq").unwrap_err().nearest, None);
        assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
    }

    #[test]
    fn a_period_must_be_whole_seconds() {
        assert!(Schedule::every(Duration::ZERO, &Zone::utc()).is_err());
        assert!(Schedule::every(Duration::from_millis(1500), &Zone::utc()).is_err());
    }
}

mod clocks {
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
        assert_eq!(
            got,
            ["2027-10-31T00:00:00Z", "2027-10-31T00:30:00Z", "2027-10-31T01:00:00Z", "2027-10-31T01:30:00Z"]
        );
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
}

mod shapes {
    use super::*;

    #[test]
    fn a_period_counts_from_the_epoch() {
        let every = Schedule::every(Duration::from_secs(600), &zone("Asia/Kolkata")).unwrap();
        assert_eq!(runs(&every, "2026-01-01T00:03:00Z", 2), [at("2026-01-01T00:10:00Z"), at("2026-01-01T00:20:00Z")]);
        assert_eq!(every.text(), "every 10m");
    }

    #[test]
    fn a_union_comes_due_whenever_any_does_and_once_for_equal_instants() {
        let union = Schedule::union(vec![parse("0 8 * * *").unwrap(), parse("0 8,10 * * *").unwrap()]);
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
    fn nothing_is_found_beyond_the_year_2100() {
        assert_eq!(parse("* * * * * *").unwrap().after(at("2100-12-31T23:59:59Z")), None);
        assert_eq!(parse("0 0 1 1 *").unwrap().after(Timestamp::FAR), None);
        let old = parse("0 0 0 1 1 * 2020").unwrap();
        assert_eq!(old.after(at("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn a_far_away_year_is_found_in_a_zone_with_many_changes() {
        let far = Schedule::parse("0 0 2 1 4 * 2099", &zone("Europe/Berlin"), Rules::default(), "job").unwrap();
        assert_eq!(runs(&far, "1970-01-01T00:00:00Z", 9), [at("2099-04-01T00:00:00Z")]);
    }
}

mod laws {
    use super::*;

    const ZONES: [&str; 14] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Cairo",
        "Asia/Beirut",
        "Pacific/Chatham",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Asia/Tehran",
        "America/Nuuk",
        "Antarctica/Troll",
        "Asia/Kathmandu",
    ];

    fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
        prop_oneof![
            Just("*".to_owned()),
            (1..=most).prop_map(|step| format!("*/{step}")),
            (least..=most).prop_map(|value| value.to_string()),
            (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (least..=most, least..=most).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    fn schedule() -> impl Strategy<Value = Schedule> {
        let fields = (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7));
        let gap = prop_oneof![Just(GapRule::Shift), Just(GapRule::Skip)];
        let overlap = prop_oneof![Just(OverlapRule::First), Just(OverlapRule::Last), Just(OverlapRule::Both)];
        (fields, 0..ZONES.len(), gap, overlap).prop_map(|((m, h, d, n, w), z, gap, overlap)| {
            Schedule::parse(&format!("{m} {h} {d} {n} {w}"), &zone(ZONES[z]), Rules { gap, overlap }, "job").unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn occurrences_increase_and_each_is_the_first_after_the_instant_before_it(
            schedule in schedule(), from in 0i64..4_000_000_000_000_000,
        ) {
            let mut t = Timestamp::from_micros(from);
            for _ in 0..20 {
                let Some(next) = schedule.after(t) else { break };
                prop_assert!(next > t);
                prop_assert_eq!(schedule.after(Timestamp::from_micros(next.as_micros() - 1)), Some(next));
                let middle = Timestamp::from_micros(t.as_micros().midpoint(next.as_micros()));
                prop_assert_eq!(schedule.after(middle), Some(next));
                prop_assert_eq!(schedule.next(t).map(|slot| slot.at), Some(next));
                t = next;
            }
        }

        #[test]
        fn a_fixed_daily_time_runs_exactly_once_for_each_day(
            z in 0..ZONES.len(), minute in 0u32..1440, start in 0i64..40,
        ) {
            let text = format!("{} {} * * *", minute % 60, minute / 60);
            let schedule = Schedule::parse(&text, &zone(ZONES[z]), Rules::default(), "job").unwrap();
            let mut slot = schedule.next(Timestamp::from_secs(946_684_800 + start * 31_536_000)).unwrap();
            for _ in 0..800 {
                let Some(next) = schedule.next(slot.at) else { break };
                prop_assert_eq!(next.nominal.date(), slot.nominal.date().succ_opt().unwrap());
                slot = next;
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-0-9*/,?LWH#@~()a-zA-Z \t\u{e9}]{0,30}") {
            let _ = parse(&text).map(|schedule| schedule.after(Timestamp::EPOCH));
        }
    }

    /// What a person with a calendar and a list of all minutes would say: the instants of `days` days
    /// from `start` at which a schedule of one minute and one hour, or of every `step` minutes, runs.
    fn by_hand(
        zone: &Zone,
        start: Timestamp,
        days: i64,
        rules: Rules,
        hit: &dyn Fn(NaiveDateTime) -> bool,
    ) -> Vec<Timestamp> {
        let minute = chrono::TimeDelta::minutes(1);
        let instants: Vec<_> = (0..days * 1440).map(|n| start.plus(Duration::from_secs(60 * n as u64))).collect();
        let walls: Vec<_> = instants.iter().map(|t| zone.wall(*t)).collect();
        let mut runs = std::collections::BTreeSet::new();
        for (n, (t, wall)) in instants.iter().zip(&walls).enumerate() {
            let near = |range: std::ops::Range<usize>| walls[range].contains(wall);
            let before = near(n.saturating_sub(200)..n);
            let later = near(n + 1..(n + 200).min(walls.len()));
            let chosen = match rules.overlap {
                OverlapRule::First => !before,
                OverlapRule::Last => !later,
                OverlapRule::Both => true,
            };
            if hit(*wall) && chosen {
                runs.insert(*t);
            }
            let missing = n.checked_sub(1).map(|last| walls[last] + minute).filter(|_| rules.gap == GapRule::Shift);
            let mut missing =
                missing.into_iter().flat_map(|from| std::iter::successors(Some(from), |w| Some(*w + minute)));
            if missing.by_ref().take_while(|w| w < wall).any(&hit) {
                runs.insert(*t);
            }
        }
        runs.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn around_changes_of_clocks_the_answer_is_what_one_finds_by_hand(
            z in 1..ZONES.len(), year in 2005i64..2030, pick in 0usize..4, step in 1u32..50, hour in 0u32..4,
            wild in any::<bool>(), g in any::<bool>(), o in 0usize..3,
        ) {
            use chrono::Timelike;
            let zone = zone(ZONES[z]);
            let gap = if g { GapRule::Shift } else { GapRule::Skip };
            let overlap = [OverlapRule::First, OverlapRule::Last, OverlapRule::Both][o];
            let text = if wild { format!("*/{step} {hour} * * *") } else { format!("{step},59 {hour}-3 * * *") };
            let rules = if wild { Rules { gap: GapRule::Skip, overlap: OverlapRule::Both } } else { Rules { gap, overlap } };
            let schedule = Schedule::parse(&text, &zone, Rules { gap, overlap }, "job").unwrap();
            let hit = |wall: NaiveDateTime| match wild {
                true => wall.minute().is_multiple_of(step) && wall.hour() == hour,
                false => [step, 59].contains(&wall.minute()) && (hour..=3).contains(&wall.hour()),
            };
            // A day of that year on which clocks change.
            let noon = |day: i64| Timestamp::from_secs((year - 1970) * 31_557_600 / 86_400 * 86_400 + day * 86_400);
            let changes: Vec<_> = (0..366).filter(|day| zone.offset(noon(*day)).0 != zone.offset(noon(day + 1)).0).collect();
            let Some(day) = changes.get(pick % changes.len().max(1)) else { return Ok(()) };
            let start = noon(day - 1);
            let wanted = by_hand(&zone, start, 4, rules, &hit);
            let from = start.minus(Duration::from_micros(1));
            let until = start.plus(Duration::from_secs(4 * 86_400));
            let got: Vec<_> = std::iter::successors(schedule.after(from), |t| schedule.after(*t)).take_while(|t| *t < until).collect();
            // Repeats at the very edge of the days looked at cannot be told by hand.
            let inner = |list: Vec<Timestamp>| -> Vec<_> {
                list.into_iter().filter(|t| *t > start.plus(Duration::from_secs(86_400)) && *t < until.minus(Duration::from_secs(86_400))).collect()
            };
            prop_assert_eq!(inner(got), inner(wanted), "{} in {} around {}", text, zone, start);
        }
    }

    #[test]
    fn a_fixed_daily_time_runs_on_every_existing_day_in_every_zone_of_a_year() {
        for name in ZONES {
            let schedule = Schedule::parse("30 2 * * *", &zone(name), Rules::default(), "job").unwrap();
            let days: std::collections::BTreeSet<NaiveDate> =
                runs(&schedule, "2025-12-31T12:00:00Z", 365).iter().map(|t| zone(name).wall(*t).date()).collect();
            assert_eq!(days.len(), 365, "{name}");
        }
    }
}

#[test]
#[ignore = "prints timings"]
fn timings() {
    for (text, name) in [
        ("* * * * *", "UTC"),
        ("*/5 * * * *", "Europe/Berlin"),
        ("30 2 * * *", "Europe/Berlin"),
        ("0 0 29 2 *", "America/New_York"),
        ("0 0 2 1 4 * 2099", "Europe/Berlin"),
        ("0 0 13 * FRI", "UTC"),
    ] {
        let schedule = Schedule::parse(text, &zone(name), Rules::default(), "job").unwrap();
        let start = std::time::Instant::now();
        for n in 0..1000 {
            std::hint::black_box(schedule.after(Timestamp::from_secs(1_790_000_000 + n * 7919)));
        }
        println!("{text:25} {name:20} {:?}", start.elapsed() / 1000);
    }
}
