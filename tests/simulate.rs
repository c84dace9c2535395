//! `cronclave simulate`: what it says will happen is what happens.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod bench;

use std::collections::BTreeMap;
use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::config::SourceText;
use cronclave::simulate::{Scenario, Took, World};
use serde_json::Value;

use bench::Place;

/// A place with these jobs.
fn place(jobs: &str) -> Place {
    let place = Place::empty();
    place.write("schedules/jobs.toml", format!("version = 1\n{jobs}"));
    place
}

fn simulate(place: &Place, args: &[&str]) -> Value {
    place.ask(&[&["simulate", "--json"], args].concat()).expect(0, &[]).json()
}

/// How many occurrences of a job became what.
fn of(report: &Value, job: &str) -> BTreeMap<String, u64> {
    let jobs = report["jobs"].as_array().unwrap();
    let found = jobs.iter().find(|one| one["job"] == job).unwrap_or_else(|| panic!("no {job} in {report:#}"));
    serde_json::from_value(found["states"].clone()).unwrap()
}

#[track_caller]
fn became(report: &Value, job: &str, states: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> = states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect();
    assert_eq!(of(report, job), expected, "{job}");
}

const DAY: [&str; 4] = ["--from", "2027-03-01", "--until", "2027-03-02"];

#[test]
fn each_policy_does_in_an_outage_what_it_says() {
    let job = |name: &str, misfire: &str| {
        format!("[jobs.{name}]\nschedule = \"*/10 * * * *\"\ncommand = \"true\"\nmisfire = {misfire}\n")
    };
    let place = place(
        &[
            job("skips", "\"skip\""),
            job("once", "\"run_once\""),
            job("all", "\"run_all\""),
            job("some", "{ policy = \"run_all\", max = 2 }"),
            job("recent", "{ policy = \"run_all\", window = \"15m\" }"),
        ]
        .concat(),
    );
    let report = simulate(&place, &[&DAY[..], &["--outage", "02:05+40m"]].concat());
    // 02:10, 02:20, 02:30 and 02:40 come due meanwhile; the day has 143 after its first instant.
    became(&report, "skips", &[("missed", 4), ("succeeded", 139)]);
    became(&report, "once", &[("coalesced", 3), ("succeeded", 140)]);
    became(&report, "all", &[("succeeded", 143)]);
    became(&report, "some", &[("missed", 2), ("succeeded", 141)]);
    became(&report, "recent", &[("missed", 2), ("succeeded", 141)]);
}

#[test]
fn runs_that_take_longer_than_their_period_meet_the_overlap_policy() {
    let job = |name: &str, overlap: &str| {
        format!(
            "[jobs.{name}]\nschedule = \"0 * * * *\"\ncommand = \"true\"\noverlap = \"{overlap}\"\ntimeout = \"5h\"\n"
        )
    };
    let names = ["skip", "queue_one", "queue_all", "replace", "allow"];
    let place = place(&names.map(|name| job(name, name)).concat());
    let report = simulate(&place, &[&DAY[..], &["--took", "90m"]].concat());
    became(&report, "skip", &[("running", 1), ("skipped_overlap", 11), ("succeeded", 11)]);
    became(&report, "allow", &[("running", 1), ("succeeded", 22)]);
    became(&report, "replace", &[("cancelled", 22), ("running", 1)]);
    let queued = of(&report, "queue_all");
    assert_eq!(queued["succeeded"] + queued["running"] + queued["queued"], 23, "{queued:?}");
    assert!(of(&report, "queue_one")["skipped_overlap"] > 0, "{report:#}");
}

#[test]
fn replicas_that_die_lose_what_may_start_once_and_start_again_what_must_end() {
    let place = place(
        "[jobs.once]\nevery = \"1m\"\ncommand = \"true\"\n\
         [jobs.least]\nevery = \"1m\"\ncommand = \"true\"\ndelivery = \"at_least_once\"\n",
    );
    let args = [&DAY[..], &["--kill", "0.05", "--took", "20s"]].concat();
    let report = simulate(&place, &args);
    assert!(of(&report, "once")["lost"] > 20, "{report:#}");
    assert!(!of(&report, "least").contains_key("lost"), "{report:#}");
    // The same dice fall the same way, others do not.
    assert_eq!(simulate(&place, &args), report);
    assert_ne!(simulate(&place, &[&args[..], &["--seed", "2"]].concat())["jobs"], report["jobs"]);
}

#[test]
fn mutexes_chains_and_failures_are_lived_through() {
    let place = place(
        "[jobs.load]\nschedule = \"0 * * * *\"\ncommand = \"true\"\nmutex = \"db\"\non_success = [\"job:after\"]\n\
         [jobs.vacuum]\nschedule = \"0 * * * *\"\ncommand = \"true\"\nmutex = \"db\"\n\
         [jobs.after]\nschedule = \"@manual\"\ncommand = \"true\"\n\
         [jobs.shaky]\nschedule = \"30 * * * *\"\ncommand = \"true\"\nretry = { attempts = 3 }\n",
    );
    let report = simulate(&place, &[&DAY[..], &["--took", "10m", "--fail", "0.3", "--occurrences"]].concat());
    let all = report["occurrences"].as_array().unwrap();
    let begun = |job: &str| -> Vec<Timestamp> {
        let of = all.iter().filter(|one| one["job"] == job);
        of.filter_map(|one| one["started_at"].as_str()?.parse().ok()).collect()
    };
    for (one, other) in begun("load").iter().zip(begun("vacuum")) {
        assert!(one.since(other).max(other.since(*one)) >= Duration::from_secs(600), "both at {one} and {other}");
    }
    let asked = report["jobs"].as_array().unwrap().iter().find(|one| one["job"] == "after").unwrap();
    assert_eq!(asked["asked"].as_u64(), of(&report, "load").get("succeeded").copied());
    let shaky = of(&report, "shaky");
    assert!(
        shaky["succeeded"] > 15 && all.iter().any(|one| one["job"] == "shaky" && one["attempts"] == 2),
        "{shaky:?}"
    );
}

#[test]
fn a_crowd_at_one_minute_is_told_with_what_spreads_it() {
    let jobs: String =
        (0..30).map(|n| format!("[jobs.crowd-{n}]\nschedule = \"0 3 * * *\"\ncommand = \"true\"\n")).collect();
    let place = place(&jobs);
    let report = simulate(&place, &DAY);
    assert_eq!(report["busiest"][0]["at"], "2027-03-01T03:00:00Z");
    assert_eq!(report["busiest"][0]["starts"], 30);
    assert_eq!(report["at_once"], 30);
    let (now, then) = (&report["advice"][0]["now"], report["advice"][0]["then"].as_u64().unwrap());
    assert!(*now == 30 && (6..15).contains(&then), "{report:#}");
    // It is as it says.
    let spread = jobs.replace("command", "jitter = \"300s\"\ncommand");
    place.write("schedules/jobs.toml", format!("version = 1\n{spread}"));
    assert_eq!(simulate(&place, &DAY)["busiest"][0]["starts"], then);
    let said =
        place.ask(&["simulate", "--days", "2", "--svg", "load.svg"]).expect(0, &["busiest", "3 replicas", "30 jobs"]);
    assert!(said.err.is_empty(), "{said:?}");
    let svg = std::fs::read_to_string(place.path("load.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("03:00 UTC: "), "{svg}");
}

#[test]
fn what_is_typed_wrong_is_explained() {
    let place = place("[jobs.hello]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    for (args, words) in [
        (&["--outage", "02:00"][..], &["--outage 02:00", "02:00+40m"][..]),
        (&["--outage", "25:00+1h"], &["--outage"]),
        (&["--took", "long"], &["--took long"]),
        (&["--kill", "2"], &["a number from 0 to 1"]),
        (&["--from", "2027-01-02", "--until", "2027-01-01"], &["--until", "later"]),
        (&["--replicas", "0"], &["--replicas"]),
    ] {
        place.ask(&[&["simulate"], args].concat()).expect(2, words);
    }
    place.ask(&["simulate", "--took", "nobody=3s"]).expect(66, &["no such job"]);
}

#[test]
fn more_than_fits_into_memory_ends_early_and_says_when() {
    let text = "version = 1\n[jobs.tick]\nevery = \"1s\"\ncommand = \"true\"\n".into();
    let from: Timestamp = "2027-03-01T00:00:00Z".parse().unwrap();
    let config = cronclave::config::check(&[SourceText { name: "jobs".into(), text }], from).unwrap();
    let scenario = Scenario {
        from,
        until: from.plus(Duration::from_secs(86_400)),
        replicas: 1,
        max_parallel: 1,
        grace: Duration::ZERO,
        outages: Vec::new(),
        took: Took { others: Duration::ZERO, named: Vec::new() },
        fail: 0.0,
        kill: 0.0,
        skew: Duration::ZERO,
        seed: 1,
        most: 100,
    };
    let world = World::live(&cronclave::service::jobs(&config), &scenario);
    assert!(world.lines.len() < 105, "{}", world.lines.len());
    assert!(world.cut.is_some_and(|at| at.since(from) < Duration::from_secs(110)), "{:?}", world.cut);
}

/// What became of each occurrence from `from` to `until` by a list of them; those that were passed over together, one by one.
fn fates(items: &Value, from: Timestamp, until: Timestamp, every: u64) -> BTreeMap<(String, i64), String> {
    let mut all = BTreeMap::new();
    for item in items.as_array().unwrap() {
        let time = |name: &str| item[name].as_str().map(|text| text.parse::<Timestamp>().unwrap());
        let first = time("scheduled_at").unwrap();
        let last = time("through").unwrap_or(first);
        let steps = std::iter::successors(Some(first), |at| Some(at.plus(Duration::from_secs(every))));
        for at in steps.take_while(|at| *at <= last).filter(|at| (from..until).contains(at)) {
            let state = item["state"].as_str().unwrap().to_owned();
            all.insert((item["job"].as_str().unwrap().to_owned(), at.as_secs()), state);
        }
    }
    all
}

#[test]
fn clocks_that_are_wrong_make_nothing_early_and_all_late_only_where_most_are_behind() {
    let place = place("[jobs.often]\nschedule = \"*/10 * * * *\"\ncommand = \"true\"\n");
    let straight = simulate(&place, &DAY);
    assert!(straight.get("clocks").is_none());
    let mut late = 0;
    for seed in 1..=12 {
        let report = simulate(&place, &[&DAY[..], &["--skew", "5m", "--seed", &seed.to_string()]].concat());
        let mut ahead: Vec<f64> = serde_json::from_value(report["clocks"]["ahead_seconds"].clone()).unwrap();
        assert!(ahead.len() == 3 && ahead.iter().all(|ahead| ahead.abs() <= 300.0), "{ahead:?}");
        ahead.sort_by(f64::total_cmp);
        let expected = if ahead[1] < -60.0 { -ahead[1] } else { 0.0 };
        let began = report["jobs"][0]["latest_seconds"].as_f64().unwrap();
        assert!((report["clocks"]["later_seconds"].as_f64().unwrap() - expected).abs() < 0.001, "{report:#}");
        assert!((began - expected).abs() < 0.001, "{report:#}");
        if expected == 0.0 {
            assert_eq!(report["states"], straight["states"]);
        } else {
            late += 1;
        }
    }
    assert!((1..12).contains(&late), "there are both: {late}");
    let said = place.ask(&[&["simulate"], &DAY[..], &["--skew", "5m"]].concat()).expect(0, &["clocks   "]).out;
    assert!(said.contains("changes nothing") || said.contains("and none early"), "{said}");
}

/// So often everything is due.
const EVERY: u64 = 4;

/// For so long replicas work, are stopped, and work again, in seconds. `SIMULATE_SECONDS` makes it longer.
fn length() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    let text = std::env::var("SIMULATE_SECONDS").ok();
    text.map_or(16, |text| text.parse().unwrap())
}

#[test]
fn two_replicas_with_an_outage_do_what_was_foretold_occurrence_by_occurrence() {
    // None of them waits for another that ends as something comes due: then it would be up to milliseconds.
    let policies = [
        ("skips", "misfire = \"skip\"\n", "true"),
        ("once", "misfire = \"run_once\"\n", "true"),
        ("all", "misfire = \"run_all\"\n", "true"),
        ("some", "misfire = { policy = \"run_all\", max = 2 }\n", "true"),
        ("slow", "overlap = \"skip\"\n", "sleep 6"),
        ("rude", "overlap = \"allow\"\n", "sleep 6"),
    ];
    let jobs: String = policies
        .iter()
        .map(|(name, more, command)| {
            format!("[jobs.{name}]\nevery = \"{EVERY}s\"\ncommand = \"{command}\"\nkill_after = \"1s\"\n{more}")
        })
        .collect();
    let place = place(&jobs);
    let now = || Clock::system().now();
    let sleep_until = |at: Timestamp| std::thread::sleep(at.since(now()));
    // In the middle between two occurrences, so that a busy machine changes nothing.
    let middle = |at: Timestamp| {
        let next = (at.as_secs().div_euclid(EVERY as i64) + 1) * EVERY as i64;
        Timestamp::from_secs(next).plus(Duration::from_millis(EVERY * 500))
    };
    let serve = |name: &str| place.start(place.command(&["serve", "--no-http", "--replica", name, "--grace", "1s"]));
    let registered = || place.ask(&["status"]).out.contains("2 replicas");
    sleep_until(middle(now()));
    let replicas = [serve("a"), serve("b")];
    while !registered() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let from = now();
    let stop = middle(from.plus(Duration::from_secs(length())));
    sleep_until(stop);
    replicas.iter().for_each(|replica| replica.signal("TERM"));
    for replica in replicas {
        replica.end().expect(0, &[]);
    }
    // So many are late when they are back, whatever the machine does in a second.
    sleep_until(stop.plus(Duration::from_secs(6 * EVERY)));
    let replicas = [serve("a"), serve("b")];
    let began = now();
    let until = middle(began.plus(Duration::from_secs(length())));
    sleep_until(until.plus(Duration::from_secs(1)));
    let history = place.ask(&["history", "--json", "--limit", "0"]).expect(0, &[]).json();
    drop(replicas);
    // The real ones were back when they first claimed something.
    let claims = history["items"].as_array().unwrap().iter().flat_map(|run| run["attempts"].as_array().unwrap());
    let back = claims.filter_map(|attempt| attempt["started_at"].as_str()?.parse::<Timestamp>().ok());
    let back = back.filter(|at| *at > stop.plus(Duration::from_secs(2))).min().unwrap();
    let outage = format!("{stop}+{}ms", back.since(stop).as_millis());
    let (from, until) = (from.to_string(), until.to_string());
    let mut args = vec!["--from", &from, "--until", &until, "--replicas", "2", "--grace", "1s", "--outage", &outage];
    args.extend(["--occurrences", "--took", "50ms", "--took", "slow=6s", "--took", "rude=6s"]);
    let foretold = simulate(&place, &args);
    // What was still going when the history was read is not over in either, or just so.
    let (from, until) =
        (from.parse().unwrap(), until.parse::<Timestamp>().unwrap().minus(Duration::from_secs(2 * EVERY)));
    let foretold = fates(&foretold["occurrences"], from, until, EVERY);
    let happened = fates(&history["items"], from, until, EVERY);
    println!(
        "measured: {} occurrences, of which {} as foretold",
        happened.len(),
        happened.iter().filter(|one| foretold.get(one.0) == Some(one.1)).count()
    );
    assert!(happened.len() > 6 * 6, "{happened:?}");
    assert_eq!(happened, foretold);
}
