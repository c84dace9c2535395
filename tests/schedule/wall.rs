//! Days, held against what a person with a calendar on the wall would say.

use chrono::{Datelike, NaiveDate, Weekday};
use proptest::prelude::*;

use super::*;

/// One item of a day field: as written, and whether it has a day.
type Item = (String, Box<dyn Fn(NaiveDate) -> bool>);

fn length(day: NaiveDate) -> u32 {
    (28..=31).rev().find(|last| day.with_day(*last).is_some()).unwrap()
}

fn works(day: NaiveDate) -> bool {
    !matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The working day of the month of `day` that is nearest to its day number `wanted`.
fn nearest(day: NaiveDate, wanted: u32) -> Option<u32> {
    day.with_day(wanted)?;
    let working = (1..=length(day)).filter(|n| works(day.with_day(*n).unwrap()));
    working.min_by_key(|n| n.abs_diff(wanted))
}

fn of_month((kind, n, more): (u8, u32, u32)) -> Item {
    match kind {
        0 => (n.to_string(), Box::new(move |day| day.day() == n)),
        1 => ("L".to_owned(), Box::new(|day| day.day() == length(day))),
        2 => {
            let last = |day: NaiveDate| (1..=length(day)).rev().find(|n| works(day.with_day(*n).unwrap()));
            ("LW".to_owned(), Box::new(move |day| Some(day.day()) == last(day)))
        }
        3 => (format!("{n}W"), Box::new(move |day| Some(day.day()) == nearest(day, n))),
        4 => {
            let (low, high) = (n.min(more), n.max(more));
            (format!("{low}-{high}"), Box::new(move |day| (low..=high).contains(&day.day())))
        }
        _ => (format!("*/{more}"), Box::new(move |day| (day.day() - 1) % more == 0)),
    }
}

fn of_week((kind, n, more): (u8, u32, u32)) -> Item {
    let weekday = n % 7;
    let is = move |day: NaiveDate| day.weekday().num_days_from_sunday() == weekday;
    let name = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let week = more % 5 + 1;
    match kind {
        0 => (n.to_string(), Box::new(is)),
        1 => (format!("{n}#{week}"), Box::new(move |day| is(day) && (day.day() - 1) / 7 + 1 == week)),
        2 => (format!("{n}L"), Box::new(move |day| is(day) && day.day() + 7 > length(day))),
        3 => (format!("{}#L", name[weekday as usize]), Box::new(move |day| is(day) && day.day() + 7 > length(day))),
        _ => {
            // A range of names, round the end of the week if it must.
            let last = more % 7;
            let days: Vec<u32> = (0..7).map(|more| (weekday + more) % 7).collect();
            let days = days[..=days.iter().position(|day| *day == last).unwrap()].to_vec();
            let text = format!("{}-{}", name[weekday as usize], name[last as usize]);
            (text, Box::new(move |day| days.contains(&day.weekday().num_days_from_sunday())))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_days_that_match_are_those_that_one_finds_on_the_wall(
        month in prop::collection::vec((0u8..6, 1u32..=31, 1u32..=31), 0..4),
        week in prop::collection::vec((0u8..5, 0u32..=7, 0u32..35), 0..4),
        and in any::<bool>(),
        year in 1970i32..2390,
    ) {
        let (month, week): (Vec<Item>, Vec<Item>) =
            (month.into_iter().map(of_month).collect(), week.into_iter().map(of_week).collect());
        let field = |items: &[Item]| match items {
            [] => "*".to_owned(),
            items => items.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>().join(","),
        };
        let plus = if and && !week.is_empty() { "+" } else { "" };
        let text = format!("0 0 {} * {plus}{}", field(&month), field(&week));
        let schedule = parse(&text).unwrap();
        let has = |items: &[Item], day: NaiveDate| items.iter().any(|(_, has)| has(day));
        let wanted = |day: &NaiveDate| match (month.is_empty(), week.is_empty()) {
            (true, true) => true,
            (false, true) => has(&month, *day),
            (true, false) => has(&week, *day),
            _ if and => has(&month, *day) && has(&week, *day),
            _ => has(&month, *day) || has(&week, *day),
        };
        let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        let days: Vec<NaiveDate> = first.iter_days().take(800).filter(wanted).collect();
        let from = Timestamp::from(first.and_hms_opt(0, 0, 0).unwrap().and_utc()).minus(std::time::Duration::from_secs(1));
        let got = std::iter::successors(schedule.after(from), |t| schedule.after(*t)).map(|t| t.datetime().date_naive());
        let got: Vec<NaiveDate> = got.take(days.len()).collect();
        prop_assert_eq!(got, days, "{}", text);
    }
}
