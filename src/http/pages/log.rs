//! What a run printed: a part of it on its page, with links to the others; and line by line for a script, that gets
//! markup made here and only puts it in its place.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::lines::{self, Rows};
use super::view::View;
use super::{address, icons};
use crate::desk::{Desk, Printout, Refusal, Selection, Why};
use crate::http::api::take::{Asked, At};
use crate::http::problem::Problem;
use crate::phrase;
use crate::runner::Stream;
use crate::shape::Run;

/// Lines of a part, and at most.
const PART: usize = 500;
const MOST: usize = 2_000;

/// Places that are told of what was found.
const FOUND: usize = 5_000;

/// Lines that were found and are shown without a script.
const FOUND_SHOWN: usize = 200;

/// Which part of a log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    /// The place of the first line, from 1.
    from: Option<usize>,
    count: Option<usize>,
    #[serde(default)]
    attempt: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    find: String,
    /// As text: this line whole.
    line: Option<usize>,
    /// So many bytes are known: without more there is nothing to tell.
    known: Option<usize>,
}

impl Asking {
    fn selection(&self) -> Result<Selection, Refusal> {
        let stream = match self.stream.as_str() {
            "" => None,
            "stdout" => Some(Stream::Stdout),
            "stderr" => Some(Stream::Stderr),
            other => {
                return Err(Refusal::wrong("?stream", "unknown", format!("`{other}` is no stream: stdout or stderr")));
            }
        };
        let wrong = |_| Refusal::wrong("?attempt", "not_a_number", format!("`{}` is no attempt", self.attempt));
        let attempt = Some(self.attempt.as_str()).filter(|text| !text.is_empty()).map(str::parse).transpose();
        Ok(Selection { attempt: attempt.map_err(wrong)?, stream })
    }

    fn query(&self, from: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("attempt", &self.attempt), ("stream", &self.stream)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("from", &from.to_string());
        query.finish()
    }
}

/// A part of a log, for the script.
#[derive(Debug, Serialize)]
struct Part {
    /// The place of the first line that is here, from 1.
    from: usize,
    /// How many there are in all that are selected, and which of them will not change.
    total: usize,
    settled: usize,
    bytes: usize,
    /// The same in words.
    size: String,
    /// When it is another, lines have other numbers.
    edition: String,
    over: bool,
    attempts: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    /// Places, when something was looked for; and how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<(Vec<usize>, usize)>,
}

/// Lines from a place on, or the places of those with a text, or one line as text.
pub(super) async fn part(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(run): At<String>,
    Asked(asking): Asked<Asking>,
) -> Result<Response, Problem> {
    let of = asking.selection()?;
    let printout = desk.printout(&run).await?;
    if let Some(number) = asking.line {
        let at = number.checked_sub(1).ok_or_else(|| Problem::not_found("lines are numbered from 1"))?;
        let line = printout.lines(Selection::default(), at).next().map(|line| line.bytes.to_vec());
        let line = line.ok_or_else(|| Problem::not_found(format!("there is no line {number}")))?;
        return Ok(plain(line, None));
    }
    let from = asking.from.unwrap_or(1).max(1);
    let count = asking.count.unwrap_or(PART).min(MOST);
    let mut part = Part {
        from,
        total: printout.count(of),
        settled: printout.settled(of),
        bytes: printout.bytes(),
        size: size(&printout, printout.count(of)),
        edition: format!("{:x}", printout.edition()),
        over: printout.is_over(),
        attempts: printout.attempts().collect(),
        html: None,
        found: None,
    };
    if !asking.find.is_empty() {
        // Many lines take a while: others are answered meanwhile.
        let looking = tokio::task::spawn_blocking(move || find(&printout, of, &asking.find, FOUND));
        part.found = Some(looking.await.map_err(|error| Problem::internal(error.to_string()))?);
    } else if count > 0 && (asking.known != Some(part.bytes) || part.over) {
        let when = view.when(desk.parts.clock.now());
        let rows = Rows { when: &when, zone: printout.zone(), id: &run, several: part.attempts.len() > 1 };
        part.html = Some(rows.show(printout.lines(of, from - 1).take(count)).into_string());
    }
    let mut response = Json(part).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The places of the lines with this text, from 1, whatever the case of its letters; and how many there are.
fn find(printout: &Printout, of: Selection, text: &str, most: usize) -> (Vec<usize>, usize) {
    let text = text.to_lowercase();
    let (mut places, mut all) = (Vec::new(), 0);
    for (at, line) in printout.lines(of, 0).enumerate() {
        if lines::plain(line.bytes).to_lowercase().contains(&text) {
            all += 1;
            if places.len() < most {
                places.push(at + 1);
            }
        }
    }
    (places, all)
}

/// All of it, as it was printed.
pub(super) async fn whole(State(desk): State<Arc<Desk>>, _: View, At(run): At<String>) -> Result<Response, Problem> {
    let (entry, bytes) = desk.output(&run).await?;
    let name = format!("attachment; filename=\"{}-{}.log\"", entry.job, entry.id);
    Ok(plain(bytes, HeaderValue::try_from(name).ok()))
}

fn plain(bytes: Vec<u8>, name: Option<HeaderValue>) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    let mut response =
        ([(CONTENT_TYPE, kind), (CACHE_CONTROL, HeaderValue::from_static("no-store"))], bytes).into_response();
    if let Some(name) = name {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}

/// The log on the page of a run: the last lines, or those that were asked for.
pub(super) async fn section(desk: &Desk, view: &View, run: &Run, asking: &Asking) -> Result<Markup, Problem> {
    let of = asking.selection()?;
    let printout = match desk.printout(&run.id).await {
        Ok(printout) => printout,
        // Without it the rest of the page is of use.
        Err(refusal) if refusal.why == Why::StoreDown => return Ok(away(&refusal)),
        Err(refusal) => return Err(refusal.into()),
    };
    let when = view.when(desk.parts.clock.now());
    let several = printout.attempts().count() > 1;
    let rows = Rows { when: &when, zone: run.timezone.as_deref(), id: &run.id, several };
    let total = printout.count(of);
    let first = asking.from.map_or(total.saturating_sub(PART), |from| from.saturating_sub(1)).min(total);
    let found = (!asking.find.is_empty()).then(|| find(&printout, of, &asking.find, FOUND_SHOWN));
    let path = address::run(&run.id);
    let link = |from: usize| format!("{path}?{}#log", asking.query(from));
    Ok(html! {
        section #log.log.panel data-keep data-src={ (path) "/log" } data-total=(total) data-over=(printout.is_over())
            data-edition={ (format!("{:x}", printout.edition())) } aria-labelledby="log-title" {
            (bar(&printout, run, asking, total))
            @if let Some((places, all)) = &found {
                p.log-say { (phrase::count(*all, "line")) " with “" bdi { (asking.find) } "”" @if *all > places.len() { ", the first " (places.len()) } ". " a href={ (path) "#log" } { "Show the log" } }
            }
            p.log-say #log-none hidden[total > 0] { (nothing(run, &printout, of)) }
            div.log-lines #log-lines tabindex="0" role="region" aria-label="Lines of the log" hidden[total == 0] {
                @match &found {
                    Some((places, _)) => (rows.show(places.iter().filter_map(|at| printout.lines(of, at - 1).next()))),
                    None => (rows.show(printout.lines(of, first).take(PART))),
                }
            }
            @if found.is_none() && total > PART {
                nav.pager.log-parts aria-label="Parts of the log" {
                    @if first > 0 { a.button.slim rel="prev" href=(link((first + 1).saturating_sub(PART).max(1))) { "← Earlier lines" } }
                    span.faint { (first + 1) " to " (total.min(first + PART)) " of " (total) }
                    @if first + PART < total { a.button.slim rel="next" href=(link(first + PART + 1)) { "Later lines →" } }
                }
            }
            @if printout.is_full() {
                p.log-say { (icons::small("late")) " This is too long to be shown whole: the rest is in the download." }
            }
            @if printout.stale_since().is_some() { p.log-say { (icons::small("late")) " The store is away: there may be more." } }
        }
    })
}

fn away(refusal: &Refusal) -> Markup {
    html! {
        section #log.log.panel aria-labelledby="log-title" {
            div.log-bar { h2 #log-title { "Log" } }
            p.log-say { "What it printed cannot be read while the store is away: " (refusal.detail) }
        }
    }
}

/// Why there are no lines.
fn nothing(run: &Run, printout: &Printout, of: Selection) -> Markup {
    let is_whole = of.attempt.is_none() && of.stream.is_none();
    html! {
        @if !is_whole && printout.count(Selection::default()) > 0 {
            "Nothing of this attempt and stream."
        } @else if run.attempts.iter().all(|attempt| attempt.started_at.is_none()) {
            "It has not been started yet. What it prints is shown here as it comes."
        } @else if printout.is_over() {
            "It printed nothing. What a program writes to stdout and stderr is kept with its run, up to the job's " code { "log_limit" } "; of what is longer the middle is cut."
        } @else {
            "It has printed nothing yet. What it prints is shown here as it comes."
        }
    }
}

/// What can be done with the log. Without a script it is a form for what the server does.
fn bar(printout: &Printout, run: &Run, asking: &Asking, total: usize) -> Markup {
    let attempts: Vec<u32> = printout.attempts().collect();
    html! {
        div.log-bar {
            h2 #log-title { "Log" }
            form.filters #log-form method="get" action={ (address::run(&run.id)) "#log" } role="search" aria-label="Look within the log" {
                label.hidden for="log-find" { "Find in the log" }
                input #log-find type="search" name="find" value=(asking.find) placeholder="Find" maxlength="200" autocomplete="off";
                span.log-found #log-found role="status" {}
                button.icon type="button" #log-up hidden title="Match before" aria-label="Match before" { "↑" }
                button.icon type="button" #log-down hidden title="Next match" aria-label="Next match" { "↓" }
                label.hidden for="log-stream" { "Stream" }
                select #log-stream name="stream" {
                    @for (value, name) in [("", "Both streams"), ("stdout", "stdout"), ("stderr", "stderr")] {
                        option value=(value) selected[asking.stream == value] { (name) }
                    }
                }
                span #log-attempts hidden[attempts.len() < 2] {
                    label.hidden for="log-attempt" { "Attempt" }
                    select #log-attempt name="attempt" {
                        option value="" { "All attempts" }
                        @for number in attempts { option value=(number) selected[asking.attempt == number.to_string()] { "Attempt " (number) } }
                    }
                }
                button.button.slim #log-show { "Show" }
                label.check hidden { input type="checkbox" #log-wrap; " Wrap" }
                label.check hidden { input type="checkbox" #log-times; " Times" }
                button.button.slim type="button" #log-follow aria-pressed="false" hidden { "Follow" }
            }
            span.faint.log-size #log-size { (size(printout, total)) }
            a.button.slim href={ (address::run(&run.id)) "/log.txt" } download { "Download" }
        }
    }
}

/// So many lines are selected, of so much.
fn size(printout: &Printout, lines: usize) -> String {
    let lines = phrase::count(lines, "line");
    match printout.bytes() {
        bytes @ 0..1024 => format!("{lines}, {}", phrase::count(bytes, "byte")),
        bytes @ 1024..1_048_576 => format!("{lines}, {:.1} KiB", bytes as f64 / 1024.0),
        bytes => format!("{lines}, {:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
