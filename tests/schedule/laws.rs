//! Laws that hold for every schedule in every zone.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime};
use proptest::prelude::*;

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
        let mut missing = missing.into_iter().flat_map(|from| std::iter::successors(Some(from), |w| Some(*w + minute)));
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

/// Texts of the whole dialect that can be read and that fire.
fn any_text() -> impl Strategy<Value = String> {
    let day = prop_oneof![
        field(1, 28),
        (1u32..=28).prop_map(|day| format!("{day}W")),
        Just("L".to_owned()),
        Just("LW".to_owned()),
        Just("1,15,L".to_owned()),
        Just("H".to_owned()),
    ];
    let weekday = prop_oneof![
        field(0, 7),
        (0u32..7, 1u32..=5).prop_map(|(day, n)| format!("{day}#{n}")),
        (0u32..7).prop_map(|day| format!("{day}L")),
        (0u32..7).prop_map(|day| format!("+{day}")),
        Just("FRI-MON".to_owned()),
        Just("SAT,SUN#1".to_owned()),
    ];
    (field(0, 59), field(0, 23), day, field(1, 12), weekday).prop_map(|(m, h, d, n, w)| format!("{m} {h} {d} {n} {w}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn next_and_before_agree_in_every_zone_from_2020_to_2037(
        text in any_text(), z in any::<proptest::sample::Index>(), from in 1_577_836_800i64..2_145_916_800,
        g in any::<bool>(), o in 0usize..3,
    ) {
        let zones = Zone::all();
        let zone = zones[z.index(zones.len())].clone();
        let gap = if g { GapRule::Shift } else { GapRule::Skip };
        let overlap = [OverlapRule::First, OverlapRule::Last, OverlapRule::Both][o];
        let schedule = Schedule::parse(&text, &zone, Rules { gap, overlap }, "job").unwrap();
        let second = Duration::from_secs(1);
        let mut t = Timestamp::from_secs(from);
        for _ in 0..10 {
            let Some(next) = schedule.after(t) else { break };
            prop_assert!(next > t, "{} in {}", text, zone);
            prop_assert_eq!(schedule.after(next.minus(second)), Some(next), "{} in {}", &text, &zone);
            if let Some(later) = schedule.after(next) {
                prop_assert_eq!(schedule.before(later), Some(next), "{} in {}", &text, &zone);
                prop_assert_eq!(schedule.before(later.minus(second).max(next.plus(second))), Some(next));
            }
            prop_assert!(schedule.before(next).is_none_or(|before| schedule.after(before) == Some(next)));
            t = next;
        }
    }
}

#[test]
fn a_fixed_daily_job_runs_once_on_every_day_that_exists_in_every_zone_from_2020_to_2037() {
    let zones = Zone::all();
    assert!(zones.len() > 500, "{}", zones.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in zones.chunks(zones.len().div_ceil(threads)) {
            scope.spawn(|| part.iter().for_each(runs_daily));
        }
    });
}

fn runs_daily(zone: &Zone) {
    for text in ["0 0 * * *", "30 2 * * *", "59 23 * * *"] {
        let schedule = Schedule::parse(text, zone, Rules::default(), "job").unwrap();
        let mut days = Vec::new();
        let mut slot = schedule.next(at("2019-12-31T00:00:00Z")).unwrap();
        let first = slot.nominal.date();
        while slot.at < at("2038-01-01T00:00:00Z") {
            days.push(slot.nominal.date());
            slot = schedule.next(slot.at).unwrap();
        }
        let all: Vec<NaiveDate> = first.iter_days().take(days.len()).collect();
        assert!(days == all && days.len() > 6574, "{text} in {zone}: {} days", days.len());
    }
}
