//! Why one occurrence is as it is, and past ones that are to run after all.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::acts::Act;
use super::address;
use super::fields::{self, Fields};
use super::parts;
use super::said::Done;
use super::view::{Sheet, View};
use crate::clock::Timestamp;
use crate::desk::{Desk, Fill, Refusal};
use crate::http::api::take::{Asked, At};
use crate::http::problem::Problem;
use crate::job::Job;
use crate::phrase::{self, count};
use crate::schedule::Zone;
use crate::shape::{Backfill, Waits};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    at: String,
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(name): At<String>,
    Asked(which): Asked<Which>,
) -> Result<Response, Problem> {
    let job = desk.job(&name).ok();
    let zone = job.as_ref().map_or_else(Zone::utc, |job| job.schedule.zone().clone());
    let now = desk.parts.clock.now();
    let when = view.when(now);
    let at = match which.at.trim() {
        "" => None,
        text => Some(
            phrase::moment(text, &zone)
                .map_err(|why| Refusal::wrong("?at", "not_a_time", format!("`{text}`: {why}")))?,
        ),
    };
    let answer = match at {
        Some(at) => Some(desk.why(&name, at).await?),
        None => None,
    };
    let stale_since = answer.as_ref().and_then(|seen| seen.stale_since);
    let answer = answer.map(|seen| seen.it);
    let own = Some(zone.name());
    let main = html! {
        (parts::heading(html! { "Why? " a.name href={ (address::JOBS) "/" (address::word(&name)) } { (name) } }, html! {
            form.filters method="get" aria-label="Another occurrence" {
                label for="at" { "Occurrence at" }
                input #at name="at" value=(which.at) placeholder="2026-11-22 06:00" autocomplete="off" aria-describedby="at-help";
                span #at-help.faint { "on the clock of " (zone.name()) ", or with a zone" }
                button.button.slim { "Ask" }
            }
        }))
        @if let (Some(why), Some(at)) = (&answer, at) {
            section.panel.pad.why {
                p.faint { "The occurrence of " (when.full(at, own)) }
                p.words-large { @if let Some(state) = why.state { (parts::state(state)) " " } (why.answer) }
                @if let Some(run) = &why.run_id { p { a.button.slim href=(address::run(run)) { "Look at the run" } } }
                ol.why-facts { @for fact in &why.facts {
                    li { span.faint.num { @match fact.at { Some(at) => (when.at(at, own)), None => "always" } } span dir="auto" { (fact.text) } }
                } }
            }
        } @else {
            section.panel.pad { p { "Name the instant that is asked about: what happened to it, and why, is told from the ledger." } }
        }
        @if let Some(job) = &job { (neighbours(job, at.unwrap_or(now), &when, own)) }
    };
    let sheet = Sheet { title: format!("Why {name}"), under: address::JOBS, now, stale_since, about: name, main };
    Ok(view.show(&desk, sheet).await)
}

/// The occurrences around one.
fn neighbours(job: &Job, at: Timestamp, when: &super::when::When, own: Option<&str>) -> Markup {
    let mut before: Vec<Timestamp> =
        std::iter::successors(job.schedule.before(at), |at| job.schedule.before(*at)).take(5).collect();
    before.reverse();
    let after: Vec<Timestamp> =
        std::iter::successors(job.schedule.after(at), |at| job.schedule.after(*at)).take(5).collect();
    html! {
        section.panel.pad {
            h2 { "Its schedule around then" }
            ol.around {
                @for one in before.into_iter().chain(after) {
                    li { a href=(address::why(&job.name, one)) { (when.at(one, own)) } }
                }
            }
        }
    }
}

/// What a span asks for, as it is in the address or in the form.
struct Span {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    overlap: Waits,
    reason: Option<String>,
}

fn span(fields: &Fields, zone: &Zone) -> Result<Span, Refusal> {
    let overlap = match fields.get("overlap") {
        None | Some("queue_all") => Waits::QueueAll,
        Some("queue_one") => Waits::QueueOne,
        Some("skip") => Waits::Skip,
        Some(_) => return Err(Refusal::wrong("overlap", "unknown", "`overlap` is queue_all, queue_one or skip")),
    };
    let (from, until) = (fields.time("from", zone)?, fields.time("until", zone)?);
    Ok(Span { from, until, overlap, reason: fields.text("reason") })
}

/// Asks for a span, and lists what would be done.
pub(super) async fn ask_backfill(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(name): At<String>,
) -> Result<Response, Problem> {
    let job = desk.job(&name)?;
    let zone = job.schedule.zone().clone();
    let query = Fields::parse(view.uri.query().unwrap_or_default().as_bytes());
    let back =
        query.get("back").filter(|path| fields::is_local(path)).map_or_else(|| address::job(&job.name), str::to_owned);
    let asked = span(&query, &zone)?;
    let plan = match (asked.from, asked.until) {
        (Some(from), Some(until)) => {
            let fill = Fill { from, until, overlap: asked.overlap, reason: None };
            Some(desk.backfill_plan(&name, &fill).await?)
        }
        _ => None,
    };
    let now = desk.parts.clock.now();
    let when = view.when(now);
    let field = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let action = format!("{}/backfill", address::job(&job.name));
    let main = html! {
        section.sheet {
            h1 { "Backfill " (job.name) }
            p.faint { "Past occurrences of a span that have not run come to run, each under its own identity. What ran before does not run again." }
            form method="get" action=(action) {
                label for="from" { "From " span.faint { "(on the clock of " (zone.name()) ")" } }
                input #from name="from" value=(field("from")) required placeholder="2026-11-20" autocomplete="off";
                label for="until" { "Before" }
                input #until name="until" value=(field("until")) required placeholder="2026-11-22" autocomplete="off";
                (waits(asked.overlap))
                input type="hidden" name="back" value=(back);
                div.actions { button.button.first[plan.is_none()] { "List them" } a.button href=(back) { "Back" } }
            }
            @if let Some(plan) = &plan { (planned(plan, &field, &action, &back, &when, &view)) }
        }
    };
    let sheet = Sheet {
        title: format!("Backfill {name}"),
        under: address::JOBS,
        now,
        stale_since: None,
        about: String::new(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

fn waits(chosen: Waits) -> Markup {
    html! {
        label for="overlap" { "While a run of the job is open" }
        select #overlap name="overlap" {
            option value="queue_all" selected[chosen == Waits::QueueAll] { "all wait for their turn" }
            option value="queue_one" selected[chosen == Waits::QueueOne] { "one waits" }
            option value="skip" selected[chosen == Waits::Skip] { "none is started" }
        }
    }
}

fn planned(
    plan: &Backfill,
    field: &impl Fn(&str) -> String,
    action: &str,
    back: &str,
    when: &super::when::When,
    view: &View,
) -> Markup {
    let runs = plan.items.iter().filter(|item| item.runs).count();
    html! {
        h2.space { (count(runs, "occurrence")) " of " (plan.items.len()) " would run" }
        div.scroll.tall tabindex="0" role="group" aria-label="Occurrences" { table.times {
            thead { tr { th scope="col" { "Occurrence" } th scope="col" { "What becomes of it" } } }
            tbody { @for item in &plan.items { tr {
                td { (when.at(item.at, Some(&plan.timezone))) }
                td { @if item.runs { (parts::badge("running", "running", "to run")) } @else { span.faint { (item.detail) } } }
            } } }
        } }
        @if runs > 0 {
            form method="post" action=(action) data-act {
                @for name in ["from", "until", "overlap"] { input type="hidden" name=(name) value=(field(name)); }
                label for="reason" { "Reason " span.faint { "(kept in the history)" } }
                input #reason name="reason" maxlength="1000" autocomplete="off";
                input type="hidden" name="back" value=(back);
                div.actions { button.button.first disabled[!view.may_act()] { "Run them" } }
            }
        }
    }
}

pub(super) async fn backfill(
    State(desk): State<Arc<Desk>>,
    At(name): At<String>,
    act: Act,
) -> Result<Response, Problem> {
    let zone = desk.job(&name)?.schedule.zone().clone();
    let Span { from, until, overlap, reason } = span(&act.fields, &zone)?;
    let missing = |which: &str| Refusal::wrong(which, "missing_field", format!("`{which}` is missing"));
    let fill = Fill {
        from: from.ok_or_else(|| missing("from"))?,
        until: until.ok_or_else(|| missing("until"))?,
        overlap,
        reason,
    };
    let done = desk.backfill(&name, fill, act.by()).await?;
    let runs = done.items.iter().filter(|item| item.run_id.is_some()).count();
    Ok(act.done(&Done::Backfilled { job: done.job, runs }))
}
