//! The timeline's picture is right: what is drawn is what the ledger and the schedules say, where the clocks say it is.

use std::collections::BTreeMap;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::job::Job;
use cronclave::lease::{Ended, Outcome};
use cronclave::ledger::{Fate, State};

use crate::bench::{Bench, Tag, at, occurrences, with};

/// A change of clocks.
struct Change {
    zone: &'static str,
    /// Its first instant after it.
    at: &'static str,
    /// The wall just before it, and just after.
    from: &'static str,
    to: &'static str,
    is_gap: bool,
    /// How far the clocks go, in minutes.
    minutes: u64,
}

const CHANGES: [Change; 4] = [
    Change {
        zone: "America/New_York",
        at: "2026-03-08T07:00:00Z",
        from: "02:00 EST",
        to: "03:00 EDT",
        is_gap: true,
        minutes: 60,
    },
    Change {
        zone: "America/New_York",
        at: "2026-11-01T06:00:00Z",
        from: "02:00 EDT",
        to: "01:00 EST",
        is_gap: false,
        minutes: 60,
    },
    Change {
        zone: "Australia/Lord_Howe",
        at: "2026-10-03T15:30:00Z",
        from: "02:00 +1030",
        to: "02:30 +11",
        is_gap: true,
        minutes: 30,
    },
    Change {
        zone: "Australia/Lord_Howe",
        at: "2026-04-04T15:00:00Z",
        from: "02:00 +11",
        to: "01:30 +1030",
        is_gap: false,
        minutes: 30,
    },
];

impl Change {
    fn at(&self) -> Timestamp {
        self.at.parse().unwrap()
    }

    /// Jobs of this zone: daily within the change, for every policy, hourly, and every ten minutes.
    fn jobs(&self) -> String {
        let daily = if self.is_gap { "15 2 * * *" } else { "45 1 * * *" };
        let mut text = format!("[defaults]\ntimezone = \"{}\"\n", self.zone);
        let mut add = |name: &str, schedule: &str, more: &str| {
            text += &format!("[jobs.{name}]\nschedule = \"{schedule}\"\ncommand = \"true\"\n{more}");
        };
        for gap in ["shift", "skip"] {
            for overlap in ["first", "last", "both"] {
                let more = format!("dst_gap = \"{gap}\"\ndst_overlap = \"{overlap}\"\n");
                add(&format!("daily-{gap}-{overlap}"), daily, &more);
            }
        }
        add("hourly", "0 * * * *", "");
        add("half-past", "30 * * * *", "");
        add("tens", "*/10 * * * *", "");
        text
    }

    fn cookies(&self) -> String {
        format!("cronclave_zone=mine; cronclave_tz={}", self.zone.replace('/', "%2F"))
    }

    /// Of the page around it.
    fn path(&self, zoom: &str) -> String {
        format!("/timeline?zoom={zoom}&at={}", self.at)
    }
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// The lane of each job, as it stands in the page.
fn lanes(page: &str) -> BTreeMap<String, String> {
    let pieces = page.split("<tr class=\"lane\" id=\"lane-").skip(1);
    let lane = |piece: &str| {
        let (name, rest) = piece.split_once('"').unwrap();
        (name.to_owned(), rest.split("</tr>").next().unwrap().to_owned())
    };
    pieces.map(lane).collect()
}

/// The span that the page shows.
fn span(page: &str) -> (Timestamp, Timestamp) {
    let region = with(page, "data-timeline").into_iter().chain(with(page, "data-zone")).next().unwrap();
    (at(&region, "data-from"), at(&region, "data-until"))
}

fn percent(tag: &Tag, name: &str) -> f64 {
    tag[name].trim_end_matches('%').parse().unwrap()
}

/// Whether an element is where the instant is, on an axis that is linear in real time.
fn assert_at(tag: &Tag, at: Timestamp, (from, until): (Timestamp, Timestamp)) {
    let share = at.since(from).as_secs_f64() / until.since(from).as_secs_f64() * 100.0;
    assert!((percent(tag, "x") - share).abs() < 0.002, "{at} is at {share} %, not where {tag:?} is");
}

/// Compares a lane with what the job's schedule says of a span.
fn assert_to_come(job: &Job, lane: &str, span: (Timestamp, Timestamp)) {
    let before = span.0.minus(Duration::from_micros(1));
    let expected = occurrences(job, before, span.1);
    let drawn = with(lane, "data-to-come");
    let instants: Vec<Timestamp> = drawn.iter().map(|tag| at(tag, "data-to-come")).collect();
    assert_eq!(instants, expected, "{}", job.name);
    for tag in &drawn {
        let instant = at(tag, "data-to-come");
        assert_at(tag, instant, span);
        let slot = job.schedule.next(instant.minus(Duration::from_micros(1))).unwrap();
        let kind = slot.shift.map(|note| format!("{:?}", note.kind).to_lowercase());
        assert_eq!(tag.get("data-dst"), kind.as_ref(), "{} at {instant}", job.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_come_is_drawn_where_its_schedule_has_it_over_changes_of_clocks() {
    for change in &CHANGES {
        let bench = Bench::new(&change.jobs(), &change.at().minus(hours(72)).to_string()).await;
        for zoom in ["24h", "12h", "3h"] {
            let page = bench.page(&change.path(zoom), &change.cookies()).await;
            let (lanes, span) = (lanes(&page), span(&page));
            assert_eq!(lanes.len(), bench.jobs().len());
            for job in bench.jobs() {
                let lane = &lanes[job.name.as_str()];
                if with(lane, "data-coming").is_empty() {
                    assert_to_come(job, lane, span);
                }
            }
            // What is left out is marked, and nothing else is.
            for job in bench.jobs() {
                let is_left_out = change.is_gap && job.name.as_str().contains("-skip-");
                let marks = with(&lanes[job.name.as_str()], "data-left-out");
                let instants: Vec<Timestamp> = marks.iter().map(|tag| at(tag, "data-left-out")).collect();
                assert_eq!(instants, if is_left_out { vec![change.at()] } else { vec![] }, "{}", job.name);
                marks.iter().for_each(|tag| assert_at(tag, change.at(), span));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_to_be_drawn_is_counted_and_none_is_lost() {
    for change in &CHANGES {
        let bench = Bench::new(&change.jobs(), &change.at().minus(hours(72)).to_string()).await;
        let page = bench.page(&change.path("24h"), &change.cookies()).await;
        let span = span(&page);
        let lane = &lanes(&page)["tens"];
        let cells = with(lane, "data-coming");
        let mut begins: Vec<Timestamp> = cells.iter().map(|cell| at(cell, "data-coming")).collect();
        begins.push(span.1);
        let expected = occurrences(bench.job("tens"), span.0.minus(Duration::from_micros(1)), span.1);
        for (cell, edges) in cells.iter().zip(begins.windows(2)) {
            let inside = expected.iter().filter(|at| (edges[0]..edges[1]).contains(at)).count();
            assert_eq!(cell["data-planned"], inside.to_string(), "from {} to {}", edges[0], edges[1]);
        }
        let counted: usize = cells.iter().map(|cell| cell["data-planned"].parse::<usize>().unwrap()).sum();
        assert_eq!(counted, expected.len());
        // A time that comes twice, or not at all, changes no rhythm in real time.
        assert_eq!(counted, 48 * 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_band_is_where_the_change_of_clocks_is() {
    for change in &CHANGES {
        let bench = Bench::new(&change.jobs(), &change.at().minus(hours(72)).to_string()).await;
        let page = bench.page(&change.path("12h"), &change.cookies()).await;
        let (bands, span) = (with(&page, "data-turn"), span(&page));
        let [band] = bands.as_slice() else { panic!("{bands:?}") };
        assert_eq!(at(band, "data-turn"), change.at());
        let twice = if change.is_gap { Duration::ZERO } else { Duration::from_secs(change.minutes * 60) };
        let edges = (at(band, "data-from"), at(band, "data-until"));
        assert_eq!(edges, (change.at().minus(twice), change.at().plus(twice)));
        let within = page.split("data-turn=").nth(1).unwrap();
        let drawn = with(within.split("</g>").next().unwrap(), "width").remove(0);
        assert_at(&drawn, edges.0, span);
        let word = if change.is_gap { "forward" } else { "back" };
        let words = format!("Clocks go {word}: {} → {}", change.from, change.to);
        assert!(page.contains(&words), "{words}");
        // On another wall nothing changes.
        let page = bench.page(&change.path("12h"), "cronclave_zone=utc").await;
        assert!(with(&page, "data-turn").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hours_of_the_axis_are_those_of_the_wall_and_linear_in_real_time() {
    for change in &CHANGES {
        let bench = Bench::new(&change.jobs(), &change.at().minus(hours(72)).to_string()).await;
        let page = bench.page(&change.path("3h"), &change.cookies()).await;
        let span = span(&page);
        let axis = page.split("class=\"axis\"").nth(1).unwrap().split("</svg>").next().unwrap();
        let ticks = with(axis, "data-at");
        assert!(ticks.len() >= 10, "{ticks:?}");
        let zone = bench.job("tens").schedule.zone().clone();
        for tick in &ticks {
            let at = at(tick, "data-at");
            assert_at(tick, at, span);
            let label = axis.split(&format!("data-at=\"{at}\">")).nth(1).unwrap();
            assert!(label.starts_with(&zone.wall(at).format("%H:%M").to_string()), "{at}: {}", &label[..12]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_is_drawn_over_its_real_time_as_the_ledger_has_it() {
    for change in &CHANGES {
        let start = change.at().minus(hours(6));
        let bench = Bench::new(&change.jobs(), &start.to_string()).await;
        let end = change.at().plus(hours(5));
        for (n, at) in occurrences(bench.job("hourly"), start, end).into_iter().enumerate() {
            let ended = match n % 3 {
                0 => Ended::because(Outcome::Failed, "exit code 1"),
                1 => Ended::because(Outcome::TimedOut, "after 20 minutes"),
                _ => Ended::succeeded(),
            };
            bench.run("hourly", at, Duration::from_secs(600 + 60 * n as u64), ended).await;
        }
        bench.go_to(end);
        let through = *occurrences(bench.job("half-past"), start, end).last().unwrap();
        bench.pass("half-past", through, Fate::Missed).await;
        let page = bench.page(&change.path("12h"), &change.cookies()).await;
        let (lanes, span) = (lanes(&page), span(&page));

        let ledger = bench.ledger("hourly").await;
        let bars = with(&lanes["hourly"], "data-run");
        assert_eq!(bars.len(), ledger.len());
        assert!(bars.len() >= 10, "{}", bars.len());
        for (bar, line) in bars.iter().zip(&ledger) {
            let attempt = line.latest().unwrap();
            assert_eq!(bar["data-run"], line.id);
            assert_eq!(bar["data-state"], line.state.word());
            assert_eq!(Some(at(bar, "data-from")), attempt.started_at);
            assert_eq!(Some(at(bar, "data-until")), attempt.finished_at);
            assert_at(bar, attempt.started_at.unwrap(), span);
            let took = attempt.finished_at.unwrap().since(attempt.started_at.unwrap()).as_secs_f64();
            let wide = took / span.1.since(span.0).as_secs_f64() * 100.0;
            assert!((percent(bar, "width") - wide).abs() < 0.002, "{bar:?} is not {wide} wide");
            let color = if line.state == State::Succeeded { "good" } else { "bad" };
            assert!(bar["class"].split(' ').any(|class| class == color), "{bar:?}");
            assert!(lanes["hourly"].contains(&format!("href=\"/runs/{}\"", line.id)), "{}", line.id);
        }

        let missed = bench.ledger("half-past").await;
        let marks = with(&lanes["half-past"], "data-count");
        assert_eq!((marks.len(), missed.len()), (1, 1));
        assert_eq!(at(&marks[0], "data-at"), missed[0].scheduled_at);
        assert_eq!(marks[0]["data-count"], missed[0].count.to_string());
        assert_eq!(marks[0]["data-state"], "missed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_still_seen_among_many_runs() {
    let job = "[jobs.often]\nschedule = \"* * * * *\"\ncommand = \"true\"\n";
    let bench = Bench::new(job, "2026-11-22T05:59:30Z").await;
    let start: Timestamp = "2026-11-22T06:00:00Z".parse().unwrap();
    for n in 0..240 {
        let ended = if n == 77 { Ended::because(Outcome::Failed, "exit code 1") } else { Ended::succeeded() };
        bench.run("often", start.plus(Duration::from_secs(60 * n)), Duration::from_secs(5), ended).await;
    }
    let page = bench.page("/timeline", "").await;
    let cells = with(&lanes(&page)["often"], "data-cell");
    let sum = |name: &str| cells.iter().map(|cell| cell[name].parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!((sum("data-good"), sum("data-bad")), (239, 1));
    let bad: Vec<&Tag> = cells.iter().filter(|cell| cell["data-bad"] == "1").collect();
    let failed = start.plus(Duration::from_secs(60 * 77));
    assert_eq!(bad.len(), 1);
    assert!(at(bad[0], "data-cell") <= failed && failed < at(bad[0], "data-cell").plus(hours(1)), "{bad:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_calendars_close_are_hatched_in_the_jobs_own_zone() {
    let jobs = "[calendars.weekend]\nweekdays = [\"SAT\", \"SUN\"]\n[jobs.a]\nschedule = \"0 9 * * *\"\n\
                timezone = \"Asia/Tokyo\"\nskip_on = [\"weekend\"]\ncommand = \"true\"\n";
    let bench = Bench::new(jobs, "2026-11-27T00:00:00Z").await;
    let page = bench.page("/timeline?zoom=3d&at=2026-11-28T00:00:00Z", "").await;
    let lane = &lanes(&page)["a"];
    let closed = with(lane, "data-closed");
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0]["data-closed"], "weekend");
    assert_eq!(closed[0]["data-from"], "2026-11-27T15:00:00Z");
    assert_eq!(closed[0]["data-until"], "2026-11-29T15:00:00Z");
    assert_eq!(with(lane, "data-skipped").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_says_the_same_as_a_table() {
    let bench = Bench::new(&CHANGES[0].jobs(), "2026-03-06T00:00:00Z").await;
    let page = bench.page("/timeline/daily-skip-first?zoom=24h&at=2026-03-08T07:00:00Z", "").await;
    assert!(page.contains("2026-03-08 02:15:00 does not exist"), "{page}");
    // The days before and after.
    for at in ["2026-03-07T07:15:00Z", "2026-03-09T06:15:00Z"] {
        let why = format!("/why?at={at}\">to come</a>");
        assert!(page.contains(&why), "{why} is not in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_is_refused_with_what_can() {
    let bench = Bench::new("[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n", "2026-11-22T06:00:00Z").await;
    let head = "Authorization: Bearer correct-horse-battery-staple\r\nAccept: text/html\r\n";
    for (path, word) in
        [("/timeline?zoom=2h", "24h"), ("/timeline?at=never", "not a time"), ("/timeline?zom=1h", "zoom")]
    {
        let (status, body) = bench.send("GET", path, head, "").await;
        assert!(status == 400 || status == 422, "{path}: {status}");
        assert!(body.contains(word), "{path}: {body}");
    }
    let page = bench.page("/timeline?q=nothing", "").await;
    assert!(page.contains("No job is like that"), "{page}");
}
