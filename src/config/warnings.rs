//! What can be used as it stands, but someone should look at.

use std::collections::HashMap;
use std::time::Duration;

use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Place};
use super::duration::written;
use super::walk::{Key, Value, Walk};
use crate::clock::Timestamp;
use crate::job::{Job, Overlap};
use crate::schedule::{self, Schedule};

/// What a job's settings lead to when they are taken together. `limited`: somebody wrote its timeout.
pub(super) fn job(walk: &mut Walk<'_>, key: &Key<'_>, table: &DeTable<'_>, job: &Job, limited: bool, now: Timestamp) {
    let value = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.span());
    let place = |names: [&str; 2]| names.into_iter().find_map(value).unwrap_or_else(|| key.span());
    if job.overlap == Overlap::Allow && !limited {
        let label = format!("runs that hang pile up, each for {}", written(job.timeout));
        let message = format!("job `{}` may overlap itself and has no `timeout`", job.name);
        walk.error("W0201", place(["overlap", "overlap"]), message, label)
            .help("say how long a run may take, as in `timeout = \"10m\"`");
    }
    if job.overlap == Overlap::QueueAll
        && let Some(period) = period(&job.schedule, now).filter(|period| *period < job.timeout)
    {
        let label = format!("a run may take {}, and one comes due every {}", written(job.timeout), written(period));
        let message = format!("the queue of job `{}` may grow without end", job.name);
        walk.error("W0203", place(["timeout", "overlap"]), message, label)
            .help("make `timeout` shorter than the period, or write overlap = \"queue_one\"");
    }
    if let Some(limit) = job.must_succeed_within
        && let Some(period) = period(&job.schedule, now).filter(|period| limit < 2 * *period)
    {
        let label = format!("one comes due every {}: a single late run is told as overdue", written(period));
        let message = format!("`must_succeed_within` of job `{}` is shorter than two periods", job.name);
        walk.error("W0206", place(["must_succeed_within", "schedule"]), message, label)
            .help(format!("write at least must_succeed_within = \"{}\"", written(2 * period)));
    }
}

/// The mean distance of the next few occurrences.
fn period(schedule: &Schedule, now: Timestamp) -> Option<Duration> {
    let first = schedule.after(now)?;
    let later: Vec<Timestamp> =
        std::iter::successors(schedule.after(first), |at| schedule.after(*at)).take(4).collect();
    let count = u32::try_from(later.len()).ok()?;
    let mean = later.last()?.since(first) / count.max(1);
    Some(Duration::from_secs(mean.as_secs()))
}

/// Names of zones that are offsets, or the rules of one country at one time, and a city that may be meant.
const ABBREVIATIONS: [(&str, &str); 26] = [
    ("AEST", "Australia/Sydney"),
    ("AKST", "America/Anchorage"),
    ("BST", "Europe/London"),
    ("CDT", "America/Chicago"),
    ("CEST", "Europe/Berlin"),
    ("CET", "Europe/Berlin"),
    ("CST", "America/Chicago"),
    ("CST6CDT", "America/Chicago"),
    ("EDT", "America/New_York"),
    ("EET", "Europe/Athens"),
    ("EST", "America/New_York"),
    ("EST5EDT", "America/New_York"),
    ("HST", "Pacific/Honolulu"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("KST", "Asia/Seoul"),
    ("MDT", "America/Denver"),
    ("MET", "Europe/Berlin"),
    ("MSK", "Europe/Moscow"),
    ("MST", "America/Denver"),
    ("MST7MDT", "America/Denver"),
    ("NZST", "Pacific/Auckland"),
    ("PDT", "America/Los_Angeles"),
    ("PST", "America/Los_Angeles"),
    ("PST8PDT", "America/Los_Angeles"),
    ("WET", "Europe/Lisbon"),
];

/// A city whose clocks may be meant by an abbreviation.
pub(super) fn city(name: &str) -> Option<&'static str> {
    ABBREVIATIONS.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)).map(|(_, city)| *city)
}

/// Notes a zone's name that is an abbreviation.
pub(super) fn zone(walk: &mut Walk<'_>, name: &str, value: &Value<'_>) {
    if let Some(offset @ ("+" | "-")) = name.to_ascii_uppercase().strip_prefix("ETC/GMT").and_then(|rest| rest.get(..1))
    {
        let way = if offset == "+" { "behind" } else { "ahead of" };
        let label = format!("this is {way} Greenwich: the sign is the other way round");
        walk.error("W0207", value.span(), format!("{name:?} is an offset, not a place"), label)
            .help("name a city that keeps the time you mean, such as \"Europe/Berlin\"");
    }
    let Some(city) = city(name) else { return };
    let fixed = matches!(name.to_ascii_uppercase().as_str(), "EST" | "MST" | "HST");
    let label =
        if fixed { "an offset that never changes its clocks" } else { "an old name, for no place in particular" };
    let message = format!("{name:?} is an abbreviation, not a place");
    walk.error("W0207", value.span(), message, label).suggest(
        "name a city that keeps the time you mean, as in",
        value.span(),
        format!("{city:?}"),
    );
}

/// More jobs than this in one minute are worth a word.
const CROWD: usize = 20;

/// How often schedules are asked in all for [`crowd`]: what that finds is a lower bound, never too much.
const QUESTIONS: usize = 20_000;

const MINUTE: Duration = Duration::from_secs(60);

/// The minute of the coming day in which most jobs start, when they are too many. Jobs with jitter do not count.
pub(super) fn crowd(jobs: &[(&Job, &Place)], now: Timestamp) -> Option<Diagnostic> {
    // Jobs that share a schedule share its occurrences: a few hundred schedules stand for thousands of jobs.
    let mut groups: HashMap<_, Vec<usize>> = HashMap::new();
    for (n, (job, _)) in jobs.iter().enumerate().filter(|(_, (job, _))| job.enabled && job.jitter.is_zero()) {
        // `H` makes equal texts differ by job: those are spread already.
        if !schedule::uses_seed(&job.schedule.text()) {
            let [skip_on, only_on] =
                [&job.skip_on, &job.only_on].map(|list| list.iter().map(|one| &one.name).collect::<Vec<_>>());
            groups.entry((job.spec(), skip_on, only_on)).or_default().push(n);
        }
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group.first().copied()));
    groups.truncate(QUESTIONS);
    let each = (QUESTIONS / groups.len().max(1)).clamp(1, 1440);
    let mut minutes: HashMap<i64, Vec<usize>> = HashMap::new();
    for (n, group) in groups.iter().enumerate() {
        let job = jobs.get(*group.first()?)?.0;
        let open = |minute: &i64| job.closed(Timestamp::from_secs(minute * 60)).is_none();
        for minute in minutes_of(&job.schedule, now).take(each).filter(open) {
            minutes.entry(minute).or_default().push(n);
        }
    }
    let size = |found: &Vec<usize>| found.iter().filter_map(|n| groups.get(*n)).map(Vec::len).sum::<usize>();
    let (minute, found) = minutes.iter().max_by_key(|(minute, found)| (size(found), std::cmp::Reverse(**minute)))?;
    if size(found) <= CROWD {
        return None;
    }
    let mut crowd: Vec<usize> = found.iter().filter_map(|n| groups.get(*n)).flatten().copied().collect();
    crowd.sort_unstable();
    let first = crowd.first().and_then(|n| jobs.get(*n))?.1;
    let names: Vec<&str> =
        crowd.iter().take(3).filter_map(|n| jobs.get(*n)).map(|(job, _)| job.name.as_str()).collect();
    let at = Timestamp::from_secs(minute * 60);
    let mut warning = Diagnostic::at(
        "W0205",
        first,
        format!("{} jobs start in the same minute", crowd.len()),
        format!("{} and {} more at {at}", names.join(", "), crowd.len() - names.len()),
    );
    warning.help("spread them: write `H` for the minute, which each job's name decides, or `jitter = \"10m\"`");
    Some(warning)
}

/// The minutes of the coming day in which a schedule has an occurrence.
fn minutes_of(schedule: &Schedule, now: Timestamp) -> impl Iterator<Item = i64> {
    let minute = |at: Timestamp| at.as_secs().div_euclid(60);
    let end = now.plus(Duration::from_secs(86_400));
    let next = move |after: Timestamp| schedule.after(after).filter(|at| *at <= end).map(minute);
    std::iter::successors(next(now), move |before| {
        next(Timestamp::from_secs(before * 60).plus(MINUTE).minus(Duration::from_micros(1)))
    })
}
