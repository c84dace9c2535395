//! What a job's page says of its runs: those that are open, what they hold, and the newest lines of history.

use maud::{Markup, html};

use super::told;
use crate::http::pages::view::View;
use crate::http::pages::when::{When, span};
use crate::http::pages::{address, now, parts};
use crate::record::Phase;
use crate::shape::{Job, Lock, Run, Standing};

pub(super) fn table(runs: &[Run], job: &Job, when: &When) -> Markup {
    let zone = Some(job.timezone.as_str());
    html! {
        @if runs.is_empty() { p.faint { "Nothing has happened yet." } }
        @else {
            table.list.job-runs {
                thead { tr { th scope="col" { "Scheduled" } th scope="col" { "State" } th scope="col" { "Took" } th scope="col" { "Trigger" } th scope="col" { "By" } th scope="col" { "More" } } }
                tbody { @for run in runs {
                    tr id={ "line-" (run.id) } data-row=(address::outcome(run)) {
                        th.main scope="row" { a.name href=(address::outcome(run)) { (when.at(run.scheduled_at, zone)) } @if run.count > 1 { span.sub { (run.count) " occurrences" } } }
                        td data-label="State" { (parts::state(run.state)) @if let Some(next) = run.next_attempt_at { span.sub { "next attempt " (when.away(next, zone)) } } }
                        td data-label="Took" { @match (run.duration_seconds, run.started_at) {
                            (Some(took), _) => (span(took)),
                            (None, Some(at)) if !run.state.is_final() => (when.since(at)),
                            _ => "–",
                        } @if run.attempts.len() > 1 { span.sub { "attempt " (run.attempt.unwrap_or(1)) } } }
                        td data-label="Trigger" { (run.trigger.kind) @if let Some(by) = &run.trigger.by { span.sub { "by " bdi { (by) } } } }
                        td data-label="By" { @match &run.replica { Some(replica) => { (replica) } None => "–" } }
                        td data-label="More" { @if let Some(text) = told(run) { span.fault.cut dir="auto" { (text.chars().take(300).collect::<String>()) } } }
                    }
                } }
            }
        }
    }
}

pub(super) fn open<'a>(runs: impl Iterator<Item = &'a Standing>, when: &When, view: &View) -> Markup {
    let runs: Vec<&Standing> = runs.collect();
    html! {
        @if runs.is_empty() { p.faint { "None is open." } }
        ul.rows {
            @for run in runs.iter().take(20) {
                li id={ "open-" (run.id) } {
                    div.row-head {
                        a.name href=(address::run(run.id)) { "Run " (run.id.short()) }
                        @if run.phase == Phase::Waiting { (parts::badge("waiting", "idle", "waiting")) } @else { (now::phase(run)) }
                        span.num { (when.since(run.opened_at)) }
                    }
                    @if let Some(said) = &run.progress { (parts::progress(said)) }
                    p.row-text.faint {
                        @if run.phase == Phase::Waiting { "waits until " (when.at(run.until, None)) " or for its turn" }
                        @else { "with " (run.replica) ", fence " (run.fencing_token) }
                    }
                    div.row-acts { (now::act(view, &format!("{}/cancel", address::run(run.id)), "Stop")) }
                }
            }
        }
        @if runs.len() > 20 { p.faint { (runs.len() - 20) " more" } }
    }
}

pub(super) fn locks<'a>(locks: impl Iterator<Item = &'a Lock>, when: &When, view: &View) -> Markup {
    let locks: Vec<&Lock> = locks.collect();
    html! {
        @if !locks.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Locks" { table.plain {
                thead { tr { th scope="col" { "Lock" } th scope="col" { "Held by" } th scope="col" { "Token" } th scope="col" { "Since" } th scope="col" { "Ends, unless renewed" } @if view.may_release() { th scope="col" { span.hidden { "Actions" } } } } }
                tbody { @for lock in locks.iter().take(20) {
                    tr id={ "lock-" (lock.key) "-" (lock.fencing_token) } {
                        th scope="row" { code { (lock.key) } }
                        td { (lock.holder) }
                        td { (lock.fencing_token) }
                        td { (when.instant(lock.acquired_at, None)) }
                        td { (when.away(lock.expires_at, None)) }
                        @if view.may_release() {
                            td { a data-dialog href={ (address::RELEASE) "?key=" (address::word(&lock.key)) "&token=" (lock.fencing_token) "&back=" (address::word(view.here())) } { "Release" } }
                        }
                    }
                } }
            } }
        }
    }
}
