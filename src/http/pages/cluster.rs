//! Who is there, what they hold, and who won lately.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::now::act;
use super::view::{Sheet, View};
use super::when::{When, span};
use super::{address, icons, parts, races};
use crate::desk::Desk;
use crate::http::problem::Problem;
use crate::shape::{Broker, Cluster, Lock, Process};

/// A clock that is off by this much is at the edge of its gauge, in seconds.
const GAUGE: f64 = 1.0;

/// From here on it wins more, or fewer, races than its share.
const SKEW: f64 = 0.5;

pub(super) async fn page(State(desk): State<Arc<Desk>>, view: View) -> Result<Response, Problem> {
    let status = desk.status().await?;
    let races = desk.races().await?;
    let cluster = &status.it;
    let when = view.when(cluster.now);
    let main = html! {
        (parts::heading(html! { "Cluster" }, html! {
            (parts::badge(if cluster.store.up { "good" } else { "bad" }, if cluster.store.up { "good" } else { "bad" }, if cluster.store.up { "store answers" } else { "store away" }))
        }))
        (problems(cluster))
        div.cluster {
            section.panel.pad aria-labelledby="replicas" {
                h2 #replicas { "Replicas " span.faint { (cluster.replicas.iter().filter(|one| one.live).count()) } }
                (processes(&cluster.replicas, cluster, &when))
            }
            section.panel.pad aria-labelledby="locks" {
                h2 #locks { "Who holds what " span.faint { (cluster.locks.len()) } }
                (locks(&cluster.locks, &view, &when))
            }
            section.panel.pad aria-labelledby="races" {
                h2 #races { "Who won the last races" }
                (races::show(&races, &when))
            }
            @if !cluster.workers.is_empty() || cluster.broker.is_some() {
                section.panel.pad aria-labelledby="workers" {
                    h2 #workers { "Workers and queues" }
                    @if let Some(broker) = &cluster.broker { (queues(broker)) }
                    @if !cluster.workers.is_empty() { (processes(&cluster.workers, cluster, &when)) }
                }
            }
            section.panel.pad aria-labelledby="backends" {
                h2 #backends { "Where the truth is kept" }
                dl.facts {
                    dt { "Store" } dd { code { (cluster.store.description) } }
                    @if let Some(broker) = &cluster.broker { dt { "Broker" } dd { code { (broker.description) } } }
                    dt { "Its clock" } dd { (when.full(cluster.now, None)) }
                    @if let Some(digest) = &cluster.config.digest { dt { "Schedule files" } dd { code { (digest) } @if cluster.config.drift { " " (parts::badge("late", "late", "replicas differ")) } } }
                }
            }
        }
    };
    let sheet = Sheet {
        title: "Cluster".into(),
        under: address::CLUSTER,
        now: cluster.now,
        stale_since: status.stale_since,
        about: "*".into(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

fn problems(cluster: &Cluster) -> Markup {
    html! {
        @if cluster.problems.is_empty() {
            p.calm.space { (icons::small("good")) "Nothing is wrong with the cluster." }
        } @else {
            ul.problems {
                @for problem in &cluster.problems {
                    li { (parts::badge("late", "late", &problem.code.replace('_', " "))) span { (problem.detail) } }
                }
            }
        }
    }
}

fn processes(all: &[Process], cluster: &Cluster, when: &When) -> Markup {
    let digests: BTreeSet<&str> = all.iter().filter(|one| one.live).map(|one| one.config_digest.as_str()).collect();
    let is_worker = all.iter().any(|one| !one.queues.is_empty());
    html! {
        @if all.is_empty() { p.faint { "Nobody has reported within a day: start one with " code { "cronclave serve" } "." } }
        @else {
            div.scroll { table.list {
                thead { tr {
                    th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "Its clock" }
                    @if is_worker { th scope="col" { "Queues" } } @else { th scope="col" { "Files" } }
                    th.num scope="col" { "Runs" } th scope="col" { "Up" } th scope="col" { "Version" }
                } }
                tbody { @for one in all {
                    tr id={ "process-" (one.boot_id) } {
                        th.main scope="row" { span.name { (one.name) } span.sub { "pid " (one.pid) } }
                        td data-label="State" {
                            @if one.live { (parts::badge("good", "good", "there")) }
                            @if one.live && !one.failing.is_empty() { @for check in one.failing.keys() { " " (parts::badge("late", "late", &check.replace('_', " "))) } }
                            @else if !one.live { (parts::badge("bad", "bad", "silent")) span.sub { "heard of " (when.away(one.last_seen_at, None)) } }
                        }
                        td data-label="Its clock" { (gauge(one.clock_skew_seconds)) }
                        @if is_worker {
                            td data-label="Queues" { @for queue in &one.queues { code { (queue) } " " } span.sub { (one.slots) " at once from each" } }
                        } @else {
                            td data-label="Files" {
                                code { (one.config_digest) }
                                @if digests.len() > 1 && Some(&one.config_digest) != cluster.config.digest.as_ref() { " " (parts::badge("late", "late", "other files")) }
                                span.sub { (one.jobs) " jobs, tzdb " (one.tzdb) }
                            }
                        }
                        td.num data-label="Runs" { (one.running) }
                        td data-label="Up" { (when.since(one.started_at)) }
                        td data-label="Version" { (one.version) }
                    }
                } }
            } }
        }
    }
}

/// How far a clock is from the store's.
fn gauge(seconds: f64) -> Markup {
    let place = 40.0 + (seconds / GAUGE).clamp(-1.0, 1.0) * 38.0;
    let color = if seconds.abs() > SKEW { "late" } else { "good" };
    let way = if seconds < 0.0 { "behind" } else { "ahead" };
    let words = if seconds.abs() < 0.002 { "in step".to_owned() } else { format!("{} {way}", span(seconds.abs())) };
    html! {
        span.gauge {
            svg viewBox="0 0 80 12" width="80" height="12" aria-hidden="true" {
                rect.ground x="0" y="5" width="80" height="2" {}
                rect.ground x="39.5" y="1" width="1" height="10" {}
                circle.(color) cx=(format!("{place:.1}")) cy="6" r="4" {}
            }
            span { (words) }
        }
    }
}

fn locks(all: &[Lock], view: &View, when: &When) -> Markup {
    html! {
        @if all.is_empty() { p.faint { "Nobody holds anything at the moment. A lock is taken when a run is claimed, and ends with it." } }
        @else {
            div.scroll { table.list {
                thead { tr { th scope="col" { "Lock" } th scope="col" { "Held by" } th scope="col" { "Fence" } th scope="col" { "Time left" } th scope="col" { span.hidden { "Actions" } } } }
                tbody { @for lock in all.iter().take(100) {
                    tr id={ "lock-" (lock.key) "-" (lock.fencing_token) } {
                        th.main scope="row" { span.name { (icons::small("lock")) " " (lock.key) } @if !lock.key.starts_with("run:") { span.sub { (lock.job) } } }
                        td data-label="Held by" { (lock.holder) a.sub href=(address::run(lock.run_id)) { "run " (lock.run_id.short()) } }
                        td data-label="Fence" { code { (lock.fencing_token) } span.sub { "since " (when.away(lock.acquired_at, None)) } }
                        td data-label="Time left" { (left(lock, when)) }
                        td.acts { (act(view, &format!("{}?key={}&token={}", address::RELEASE, address::word(&lock.key), lock.fencing_token), "Release")) }
                    }
                } }
            } }
            @if all.len() > 100 { p.faint { (all.len() - 100) " more" } }
        }
    }
}

/// How much of a hold is left; it is renewed each third of it.
fn left(lock: &Lock, when: &When) -> Markup {
    let left = if lock.expires_at > when.now { lock.expires_at.since(when.now).as_secs_f64() } else { 0.0 };
    // What a lease is in all is not told; the usual one is half a minute.
    let all = left.max(30.0);
    html! {
        span.left {
            meter min="0" max=(format!("{all:.0}")) value=(format!("{left:.1}")) aria-label={ "Time left of " (lock.key) } {}
            @if left > 0.0 { (when.away(lock.expires_at, None)) } @else { span.note.late { "over" } }
        }
    }
}

fn queues(broker: &Broker) -> Markup {
    html! {
        @match &broker.queues {
            Some(queues) if queues.is_empty() => p.faint { "No job names a queue." },
            Some(queues) => {
                div.scroll { table.list {
                    thead { tr { th scope="col" { "Queue" } th.num scope="col" { "Waiting" } th.num scope="col" { "Taken by" } th scope="col" { "State" } } }
                    tbody { @for queue in queues {
                        tr id={ "queue-" (queue.name) } {
                            th.main scope="row" { span.name { (queue.queue.as_deref().unwrap_or("dead letters")) } span.sub { (queue.name) } }
                            td.num data-label="Waiting" { @match queue.ready { Some(ready) => (ready), None => span.faint { "no such queue" } } }
                            td.num data-label="Taken by" { (queue.consumers) }
                            td data-label="State" {
                                @match (&queue.queue, queue.ready.unwrap_or(0), queue.consumers) {
                                    (None, 1.., _) => (parts::badge("late", "late", "look at them")),
                                    (Some(_), 1.., 0) => (parts::badge("bad", "bad", "no worker")),
                                    (Some(_), _, 0) => (parts::badge("idle", "idle", "no worker yet")),
                                    _ => (parts::badge("good", "good", "served")),
                                }
                            }
                        }
                    } }
                } }
            }
            None => p.said-bad { (icons::small("bad")) span { (broker.trouble.as_deref().unwrap_or("The broker does not answer.")) } },
        }
    }
}

/// How often each replica won.
pub(super) fn shares<'a>(winners: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut shares = BTreeMap::new();
    for winner in winners {
        *shares.entry(winner).or_default() += 1;
    }
    shares
}
