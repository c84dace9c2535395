//! What schedules cost: parsing and finding the next times, beside the crates `cron` and `croner` in the same run; the
//! slowest of many odd texts; and reading 100,000 jobs.
//!
//! `cargo bench --bench schedule` prints times and ratios of one run on one machine. The expressions are those of the
//! corpus that all three take and answer alike.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/strings.rs"]
mod strings;

use std::hint::black_box;
use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cronclave::clock::Timestamp;
use cronclave::config::{self, SourceText};
use cronclave::schedule::{Rules, Schedule, Zone};

const ROUND: Duration = Duration::from_millis(700);
const NEXT: usize = 5;

fn main() {
    side_by_side();
    slowest();
    reading();
}

fn start() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

fn ours(text: &str) -> Option<Schedule> {
    Schedule::parse(text, &Zone::utc(), Rules::default(), "job").ok()
}

/// `cron` wants seconds, and counts Sunday as 1: where a weekday has a number it means another day, which shows.
fn theirs(text: &str) -> Option<cron::Schedule> {
    let five = text.split_whitespace().count() == 5;
    cron::Schedule::from_str(&if five { format!("0 {text}") } else { text.to_owned() }).ok()
}

fn croners(text: &str) -> Option<croner::Cron> {
    croner::Cron::from_str(text).ok()
}

fn after_ours(one: &Schedule) -> Vec<DateTime<Utc>> {
    let all = std::iter::successors(one.after(start()), |at| one.after(*at));
    all.take(NEXT).map(Timestamp::datetime).collect()
}

fn after_theirs(one: &cron::Schedule) -> Vec<DateTime<Utc>> {
    one.after(&start().datetime()).take(NEXT).collect()
}

fn after_croners(one: &croner::Cron) -> Vec<DateTime<Utc>> {
    one.iter_after(start().datetime()).take(NEXT).collect()
}

/// Nanoseconds for one item of `list`, on average over as many rounds as there is time for.
fn each<T, R>(list: &[T], work: impl Fn(&T) -> R) -> f64 {
    let (mut rounds, began) = (0u32, Instant::now());
    while began.elapsed() < ROUND {
        list.iter().for_each(|one| drop(black_box(work(black_box(one)))));
        rounds += 1;
    }
    began.elapsed().as_nanos() as f64 / f64::from(rounds) / list.len() as f64
}

fn side_by_side() {
    let mut texts = strings::corpus();
    texts.sort();
    texts.dedup();
    let all = texts.len();
    texts.retain(|text| {
        let (Some(one), Some(two), Some(three)) = (ours(text), theirs(text), croners(text)) else { return false };
        let times = after_ours(&one);
        times.len() == NEXT && times == after_theirs(&two) && times == after_croners(&three)
    });
    println!("{} of {all} expressions, which all three answer alike", texts.len());
    let row = |what: &str, times: [f64; 3]| {
        let [one, two, three] = times;
        figures::tell(
            "schedule",
            what,
            &[
                ("ours_ns", one),
                ("cron_ns", two),
                ("croner_ns", three),
                ("cron_ratio", one / two),
                ("croner_ratio", one / three),
            ],
        );
    };
    row(
        "parse",
        [each(&texts, |text| ours(text)), each(&texts, |text| theirs(text)), each(&texts, |text| croners(text))],
    );
    let one: Vec<_> = texts.iter().filter_map(|text| ours(text)).collect();
    let two: Vec<_> = texts.iter().filter_map(|text| theirs(text)).collect();
    let three: Vec<_> = texts.iter().filter_map(|text| croners(text)).collect();
    row("next 5", [each(&one, after_ours), each(&two, after_theirs), each(&three, after_croners)]);
    row(
        "next 1",
        [
            each(&one, |one| one.after(start())),
            each(&two, |one| one.after(&start().datetime()).next()),
            each(&three, |one| one.find_next_occurrence(&start().datetime(), false).ok()),
        ],
    );
    let zone = Zone::parse("Europe/Berlin").unwrap();
    let berlin: Vec<_> =
        texts.iter().filter_map(|text| Schedule::parse(text, &zone, Rules::default(), "job").ok()).collect();
    figures::tell("schedule", "next 5, Europe/Berlin", &[("ours_ns", each(&berlin, after_ours))]);
    figures::tell("schedule", "before", &[("ours_ns", each(&one, |one| one.before(start())))]);
}

/// Asked again before it counts: what the machine did meanwhile is not the expression's fault.
fn timed<R>(work: impl Fn() -> R) -> Duration {
    let once = || {
        let began = Instant::now();
        drop(black_box(work()));
        began.elapsed()
    };
    let first = once();
    if first < Duration::from_micros(200) { first } else { first.min(once()).min(once()) }
}

fn slowest() {
    let (good, mut numbers) = (strings::corpus(), strings::Numbers(20_261_122));
    let mut most: [(Duration, String); 4] = Default::default();
    let mut note = |place: usize, took: Duration, text: &str| {
        if took > most[place].0 {
            most[place] = (took, text.to_owned());
        }
    };
    for n in 0..100_000 {
        let text = strings::text(&good, n, &mut numbers);
        let took = timed(|| ours(&text));
        match ours(&text) {
            None => note(0, took, &text),
            Some(schedule) => {
                note(1, took, &text);
                note(2, timed(|| schedule.after(start())), &text);
                note(3, timed(|| schedule.before(start())), &text);
            }
        }
    }
    println!("\nthe slowest of 100,000 odd texts");
    for (what, (took, text)) in ["to refuse", "to accept", "next", "before"].iter().zip(&most) {
        println!("{what:<24} {:>9.1} us  {:?}", took.as_secs_f64() * 1e6, text.chars().take(60).collect::<String>());
    }
}

/// 100,000 jobs, 500 expressions, ten files.
fn reading() {
    let schedule = |n: usize| format!("{} {} * * {}", n % 60, n / 60 % 24, ["*", "MON-FRI", "SAT", "1,3,5"][n % 4]);
    let sources: Vec<SourceText> = (0..10)
        .map(|file| {
            let jobs = (0..10_000).map(|n| {
                let (n, schedule) = (file * 10_000 + n, schedule(n % 500));
                format!("[jobs.job-{n}]\nschedule = \"{schedule}\"\ntimezone = \"Europe/Berlin\"\ncommand = \"true\"\n")
            });
            SourceText {
                name: format!("{file}.toml"),
                text: format!("version = 1\n{}", jobs.collect::<String>()).into(),
            }
        })
        .collect();
    let before = memory();
    let began = Instant::now();
    let config = config::load(&sources, &|_| None, start()).unwrap();
    let took = began.elapsed();
    let bytes = (memory() - before) as f64 / config.jobs.len() as f64;
    let began = Instant::now();
    let due = config.jobs.iter().filter(|job| job.next_open(start()).is_some()).count();
    assert_eq!(due, config.jobs.len());
    figures::tell(
        "schedule",
        &format!("{due} jobs of 500 expressions"),
        &[
            ("read_ms", figures::ms(took)),
            ("next_of_each_ms", figures::ms(began.elapsed())),
            ("resident_bytes_a_job", bytes),
        ],
    );
}

/// Resident memory in bytes.
fn memory() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 1024
}
