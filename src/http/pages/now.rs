//! The first page: is anything wrong, what runs, what comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::view::{Sheet, View};
use super::when::{When, span};
use super::{address, icons, parts};
use crate::clock::Timestamp;
use crate::desk::{Choice, Day, Desk, Detail, Slice};
use crate::http::problem::Problem;
use crate::job::JobName;
use crate::ledger::State as RunState;
use crate::record::Phase;
use crate::shape::{Health, Job, Standing};

/// Rows of each list; the rest is one link away.
const ROWS: usize = 12;

/// How far ahead is looked.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn page(State(desk): State<Arc<Desk>>, view: View) -> Result<Response, Problem> {
    let choice = Choice { detail: Detail::Brief, ..Choice::default() };
    let jobs = desk.jobs(&choice, &Slice::first(usize::MAX)).await?;
    let (open, day) = (desk.standing().await, desk.day().await?);
    let usual = usual(&desk, &jobs.items, &open).await?;
    let when = view.when(jobs.now);
    let bad: Vec<&Job> = jobs.items.iter().filter(|job| is_bad(job)).collect();
    let failing = bad.len();
    let main = html! {
        h1.hidden { "Now" }
        (summary(&jobs.items, &day))
        @if jobs.items.is_empty() {
            (no_jobs())
        } @else {
            div.now {
                div.column {
                    section.panel.pad aria-labelledby="needs" {
                        h2 #needs { "Needs you" }
                        (needs(&bad, &when, &view))
                    }
                    section.panel.pad.third aria-labelledby="coming" {
                        h2 #coming { "Coming up" }
                        (coming(&jobs.items, &when))
                    }
                }
                div.column {
                    section.panel.pad.second aria-labelledby="running" {
                        h2 #running { "Running" @if open.len() > ROWS { " " span.faint { (ROWS) " of " (open.len()) } } }
                        (running(&open, &usual, &when, &view))
                    }
                    section.panel.pad.fourth aria-labelledby="day" {
                        h2 #day { "Last 24 hours" }
                        (last_day(&day, &when))
                    }
                }
            }
        }
    };
    let title = if failing == 0 { "Now".to_owned() } else { format!("({failing}) Now") };
    let sheet =
        Sheet { title, under: address::NOW, now: jobs.now, stale_since: jobs.stale_since, about: "*".into(), main };
    Ok(view.show(&desk, sheet).await)
}

fn is_bad(job: &Job) -> bool {
    matches!(job.health, Health::Failing | Health::Overdue)
        || job.last_run.as_ref().is_some_and(|run| run.state == RunState::Retrying)
}

/// How many jobs fare how, each a link to them.
fn summary(jobs: &[Job], day: &Day) -> Markup {
    let count = |health: Health| jobs.iter().filter(|job| job.health == health).count();
    let all = [
        (Health::Failing, "failing"),
        (Health::Overdue, "overdue"),
        (Health::Running, "running"),
        (Health::Paused, "paused"),
        (Health::Ok, "ok"),
        (Health::NeverRun, "never_run"),
        (Health::Disabled, "disabled"),
    ];
    html! {
        ul.tiles {
            @for (health, word) in all {
                @let number = count(health);
                @let (icon, color, name) = parts::health_look(health);
                @if number > 0 || matches!(health, Health::Failing | Health::Overdue | Health::Running | Health::Ok) {
                    li { a.tile.(color).none[number == 0] href={ (address::JOBS) "?state=" (word) } {
                        (icons::small(icon)) span.tile-number { (number) } span.tile-name { (name) }
                    } }
                }
            }
            @if let Some(share) = day.success_rate() {
                li.last { span.tile { span.tile-number { (format!("{:.1} %", share * 100.0)) } span.tile-name { "ok in 24 h" } } }
            }
        }
    }
}

pub(super) fn no_jobs() -> Markup {
    const EXAMPLE: &str = "version = 1\n\n[jobs.hello]\nschedule = \"*/5 * * * *\"\ncommand = \"echo hello\"\n";
    parts::empty(
        "No jobs yet",
        html! {
            p { "Jobs are declared in TOML files. Put this into " code { "schedules/hello.toml" } "; it is read within seconds:" }
            pre.code #example { (EXAMPLE) }
            p.actions { button.button type="button" data-copy="example" hidden { "Copy" } a.button href=(address::EXPLAIN) { "Try a schedule" } }
        },
    )
}

/// The jobs that somebody should look at.
fn needs(bad: &[&Job], when: &When, view: &View) -> Markup {
    html! {
        @if bad.is_empty() { p.calm { (icons::small("good")) "Nothing. Every job that should have run did, and went well." } }
        ul.rows {
            @for job in bad.iter().take(ROWS) {
                @let is_retrying = job.last_run.as_ref().is_some_and(|run| run.state == RunState::Retrying);
                @let (icon, color, word) =
                    if is_retrying { ("waiting", "late", "retrying") } else { parts::health_look(job.health) };
                li id={ "needs-" (job.name) } {
                    div.row-head {
                        a.name href=(address::job(&job.name)) { (job.name) }
                        (parts::badge(icon, color, word))
                    }
                    p.row-text { (why_bad(job, when)) }
                    div.row-acts {
                        @if let Some(run) = job.last_run.as_ref() { a.button.slim href=(address::run(&run.id)) { "Log" } }
                        @if let Some(href) = &job.runbook { a.button.slim href=(href) rel="noreferrer" { "Runbook " (icons::small("out")) } }
                        (act(view, &format!("{}/run", address::job(&job.name)), "Run now"))
                        (act(view, &format!("{}/pause", address::job(&job.name)), "Pause"))
                    }
                }
            }
        }
        @if bad.len() > ROWS { p { a href={ (address::JOBS) "?state=failing" } { (bad.len() - ROWS) " more" } } }
    }
}

/// A link to a question, which a script shows as a dialog; nothing for whoever may only look.
pub(super) fn act(view: &View, href: &str, word: &str) -> Markup {
    html! {
        @if view.may_act() {
            @let and = if href.contains('?') { '&' } else { '?' };
            a.button.slim data-dialog href={ (href) (and) "back=" (address::word(view.here())) } { (word) }
        }
    }
}

fn why_bad(job: &Job, when: &When) -> Markup {
    let zone = Some(job.timezone.as_str());
    let run = job.last_run.as_ref();
    html! {
        @if let Some(since) = job.overdue_since { "Overdue since " (when.away(since, zone)) ". " }
        @if let Some(run) = run {
            @if let Some(fault) = parts::fault(run) { span.fault { (fault) } " " }
            @if let Some(next) = run.next_attempt_at {
                "Attempt " (run.attempt.unwrap_or(0) + 1) @if let Some(most) = run.max_attempts { " of " (most) } " " (when.away(next, zone)) ". "
            } @else if let Some(ended) = run.finished_at {
                span.faint { (run.state.word().replace('_', " ")) " " (when.away(ended, zone)) }
            }
        } @else { span.faint { "It has never run." } }
    }
}

fn running(open: &[Standing], usual: &BTreeMap<JobName, f64>, when: &When, view: &View) -> Markup {
    let going: Vec<&Standing> = going(open).collect();
    let waiting = open.len() - going.len();
    html! {
        @if going.is_empty() { p.calm.faint { "Nothing runs at the moment." } }
        ul.rows {
            @for run in going.iter().take(ROWS) {
                li id={ "run-" (run.id) } {
                    div.row-head {
                        a.name href=(address::run(run.id)) { (run.job) }
                        (phase(run))
                        span.num { (when.since(run.opened_at)) }
                    }
                    @if let Some(said) = &run.progress { (parts::progress(said)) }
                    p.row-text.faint {
                        (run.replica) ", fence " (run.fencing_token)
                        @if let Some(p95) = usual.get(&run.job) { ", usually up to " (span(*p95)) }
                    }
                    div.row-acts {
                        a.button.slim href=(address::run(run.id)) { "Log" }
                        (act(view, &format!("{}/cancel", address::run(run.id)), "Stop"))
                    }
                }
            }
        }
        @if waiting == 1 { p.faint { a href={ (address::RUNS) "?state=queued" } { "1 run" } " waits for its turn or its next attempt." } }
        @else if waiting > 1 { p.faint { a href={ (address::RUNS) "?state=queued" } { (crate::phrase::count(waiting, "run")) } " wait for their turn or their next attempt." } }
    }
}

/// How long the runs of those jobs take, of which one is shown: 95 of 100 took no longer.
async fn usual(desk: &Desk, jobs: &[Job], open: &[Standing]) -> Result<BTreeMap<JobName, f64>, Problem> {
    let shown: Vec<&JobName> = going(open).take(ROWS).map(|run| &run.job).collect();
    let mut jobs: Vec<Job> = jobs.iter().filter(|job| shown.contains(&&job.name)).cloned().collect();
    desk.add_recent(&mut jobs).await?;
    let spans = jobs.into_iter().filter_map(|job| Some((job.name, job.stats?.p95_seconds?)));
    Ok(spans.collect())
}

/// Those that somebody has.
fn going(open: &[Standing]) -> impl Iterator<Item = &Standing> {
    open.iter().filter(|run| run.phase != Phase::Waiting)
}

pub(super) fn phase(run: &Standing) -> Markup {
    match (run.cancelling, run.phase) {
        (true, _) => parts::badge("stopped", "late", "stopping"),
        (_, Phase::Running) => parts::badge("running", "running", "running"),
        (_, Phase::Published) => parts::badge("worker", "running", "with a worker's queue"),
        _ => parts::badge("running", "running", "claimed"),
    }
}

/// What comes next, minute by minute.
fn coming(jobs: &[Job], when: &When) -> Markup {
    let mut next: Vec<(Timestamp, &Job, bool)> = Vec::new();
    let active = jobs.iter().filter(|job| !matches!(job.health, Health::Paused | Health::Disabled));
    for job in active {
        next.extend(job.next.as_ref().map(|next| (next.at, job, false)));
        let retry = job.last_run.as_ref().and_then(|run| run.next_attempt_at);
        next.extend(retry.map(|at| (at, job, true)));
    }
    next.retain(|(at, ..)| *at > when.now && at.since(when.now) <= AHEAD);
    next.sort_by(|one, other| (one.0, &one.1.name).cmp(&(other.0, &other.1.name)));
    let mut groups: Vec<(Timestamp, Vec<(&Job, bool)>)> = Vec::new();
    for (at, job, is_retry) in next {
        match groups.last_mut().filter(|(known, _)| *known == at) {
            Some((_, group)) => group.push((job, is_retry)),
            None => groups.push((at, vec![(job, is_retry)])),
        }
    }
    html! {
        @if groups.is_empty() { p.calm.faint { "Nothing comes within 24 hours." } }
        ol.coming-rows {
            @for (at, group) in groups.iter().take(ROWS) {
                li id={ "at-" (at.as_micros()) } {
                    @let zone = group.first().map(|(job, _)| job.timezone.as_str());
                    span.num { (when.at(*at, zone)) }
                    span.coming-what {
                        @match group.as_slice() {
                            [(job, is_retry)] => { (one(job, *is_retry)) }
                            several => details id={ "several-" (at.as_micros()) } {
                                summary { (several.len()) " jobs" }
                                ul { @for (job, is_retry) in several.iter().take(50) { li { (one(job, *is_retry)) } } }
                            },
                        }
                    }
                    span.faint.num { (when.away(*at, zone)) }
                }
            }
        }
        @if groups.len() > ROWS { p { a href=(address::TIMELINE) { "All of the next 24 hours" } } }
    }
}

fn one(job: &Job, is_retry: bool) -> Markup {
    html! {
        a href=(address::job(&job.name)) { (job.name) }
        @if is_retry { " " span.note.late { (icons::small("waiting")) span { "attempt" } } }
        @if job.run_on == "worker" { " " span.note { (icons::small("worker")) span { "worker" } } }
        @if let Some(dst) = job.next.as_ref().and_then(|next| next.dst.as_ref()).filter(|_| !is_retry) { " " (parts::dst(dst)) }
    }
}

/// What became of the runs of the last day, hour by hour.
fn last_day(day: &Day, when: &When) -> Markup {
    const WIDTH: u64 = 10;
    const HEIGHT: u64 = 56;
    let most = day.hours.iter().map(|hour| hour.good + hour.bad).max().unwrap_or(0).max(1);
    let tall = |count: u64| if count == 0 { 0 } else { (count * HEIGHT / most).max(2) };
    let zone = when.zone(None);
    html! {
        p.counts {
            (parts::badge("good", "good", &format!("{} succeeded", day.good())))
            (parts::badge("bad", "bad", &format!("{} failed", day.bad())))
            (parts::badge("idle", "idle", &format!("{} passed over", day.passed_over())))
            @if day.truncated { span.faint { "the newest of them" } }
        }
        svg.day viewBox="0 0 240 72" role="img" aria-label={ (day.good()) " succeeded and " (day.bad()) " failed in the last 24 hours" } preserveAspectRatio="none" {
            @for (n, hour) in day.hours.iter().enumerate() {
                @let x = n as u64 * WIDTH;
                @let (good, bad) = (tall(hour.good), tall(hour.bad));
                g {
                    title { (zone.wall(hour.at).format("%H:%M")) ": " (hour.good) " succeeded, " (hour.bad) " failed, " (hour.passed_over) " passed over" }
                    rect.ground x=(x) y="0" width=(WIDTH - 1) height="72" {}
                    rect.good x=(x + 1) y=(64 - good) width=(WIDTH - 3) height=(good) {}
                    rect.bad x=(x + 1) y=((64 - good).saturating_sub(bad)) width=(WIDTH - 3) height=(bad) {}
                    @if hour.passed_over > 0 { rect.idle x=(x + 3) y="67" width="4" height="3" {} }
                }
            }
        }
        details.twin id="day-table" {
            summary { "As a table" }
            div.scroll { table {
                thead { tr { th scope="col" { "Hour" } th scope="col" { "Succeeded" } th scope="col" { "Failed" } th scope="col" { "Passed over" } } }
                tbody { @for hour in &day.hours { tr { th scope="row" { (zone.wall(hour.at).format("%a %H:%M")) } td.num { (hour.good) } td.num { (hour.bad) } td.num { (hour.passed_over) } } } }
            } }
        }
    }
}
