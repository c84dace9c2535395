//! What a schedule means, as it is typed.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::view::{Sheet, View};
use super::when::When;
use super::{address, icons, parts};
use crate::clock::Timestamp;
use crate::desk::{self, Desk, Meaning, Question, Texts, Unclear};
use crate::http::api::take::Asked;
use crate::http::problem::Problem;
use crate::phrase;
use crate::schedule::{self, GapRule, OverlapRule};

/// Times that are listed.
const TIMES: u32 = 10;

/// What is in the address, so that it can be passed on.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    #[serde(default)]
    schedule: String,
    #[serde(default)]
    tz: String,
    #[serde(default)]
    job: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    dst_gap: GapRule,
    #[serde(default)]
    dst_overlap: OverlapRule,
}

/// To begin with.
const EXAMPLES: [(&str, &str); 6] = [
    ("30 2 * * *", "once a night"),
    ("*/15 9-17 * * MON-FRI", "each quarter of an hour at work"),
    ("0 6 LW * *", "the last weekday of a month"),
    ("H H(1-5) * * *", "some time in the night, for each job another"),
    ("0 9 * * MON#1", "each first Monday"),
    ("every 90m", "each 90 minutes"),
];

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    Asked(asking): Asked<Asking>,
) -> Result<Response, Problem> {
    let now = desk.parts.clock.now();
    let when = view.when(now);
    let own = Some(asking.tz.trim().to_owned()).filter(|zone| !zone.is_empty());
    let text = asking.schedule.trim().to_owned();
    let answer = (!text.is_empty()).then(|| {
        // Several texts between bars: any of them.
        let texts: Vec<String> = text.split('|').map(|text| text.trim().to_owned()).collect();
        let question = Question {
            schedule: if texts.len() == 1 { Texts::One(text.clone()) } else { Texts::Many(texts) },
            timezone: own.clone(),
            from: Some(asking.from.trim().to_owned()).filter(|from| !from.is_empty()),
            before: None,
            count: Some(TIMES),
            job: asking.job.trim().to_owned(),
            dst_gap: asking.dst_gap,
            dst_overlap: asking.dst_overlap,
        };
        desk::explain(question, now, phrase::moment)
    });
    let main = html! {
        (parts::heading(html! { "Explain a schedule" }, html! {}))
        form.panel.pad.explain method="get" action=(address::EXPLAIN) data-typed {
            (form(&asking, &view))
        }
        div #meaning aria-live="polite" {
            @match &answer {
                None => (examples()),
                Some(Ok(meaning)) => (meant(meaning, &asking, &when)),
                Some(Err(unclear)) => (mistaken(unclear)),
            }
        }
    };
    let title = if text.is_empty() { "Explain".to_owned() } else { text.chars().take(40).collect() };
    let sheet = Sheet { title, under: address::EXPLAIN, now, stale_since: None, about: String::new(), main };
    Ok(view.show(&desk, sheet).await)
}

fn form(asking: &Asking, view: &View) -> Markup {
    let zone = view.prefs.mine.as_ref().map_or("UTC", schedule::Zone::name);
    html! {
        div.explain-text {
            label for="schedule" { "Schedule" }
            input #schedule name="schedule" value=(asking.schedule) autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="1000" placeholder="30 2 * * *" autofocus;
        }
        div { label for="tz" { "Time zone" } input #tz name="tz" value=(asking.tz) placeholder=(zone) list="zones" autocomplete="off" spellcheck="false"; }
        div { label for="job" { "Job " span.faint { "(for H)" } } input #job name="job" value=(asking.job) autocomplete="off" maxlength="200"; }
        div { label for="dst_gap" { "If its time does not exist" } select #dst_gap name="dst_gap" {
            option value="shift" selected[asking.dst_gap == GapRule::Shift] { "at the first moment after" }
            option value="skip" selected[asking.dst_gap == GapRule::Skip] { "leave it out" }
        } }
        div { label for="dst_overlap" { "If its time comes twice" } select #dst_overlap name="dst_overlap" {
            option value="first" selected[asking.dst_overlap == OverlapRule::First] { "the first time" }
            option value="last" selected[asking.dst_overlap == OverlapRule::Last] { "the second time" }
            option value="both" selected[asking.dst_overlap == OverlapRule::Both] { "both times" }
        } }
        div { label for="from" { "After " span.faint { "(default: now)" } } input #from name="from" value=(asking.from) placeholder="2027-03-27" autocomplete="off"; }
        button.button.first { "Explain" }
        datalist #zones { @for name in ["UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney"] { option value=(name) {} } }
    }
}

fn examples() -> Markup {
    html! {
        section.panel.pad {
            h2 { "Try one" }
            ul.examples { @for (text, words) in EXAMPLES {
                li { a href={ (address::EXPLAIN) "?schedule=" (address::word(text)) } { code { (text) } } " " span.faint { (words) } }
            } }
        }
    }
}

fn meant(meaning: &Meaning, asking: &Asking, when: &When) -> Markup {
    let zone = meaning.schedule.zone();
    let name = Some(zone.name());
    html! {
        section.panel.pad {
            p.words-large { (meaning.words()) }
            p.faint { "On the clock of " (zone.name()) }
            @for note in meaning.notes() { p.note.late { (icons::small("late")) span { (note.message) @if let Some(help) = &note.help { ". " (help) } } } }
            @for parts in meaning.fields() {
                @if !parts.is_empty() {
                    ol.fields { @for part in parts {
                        li.field data-field {
                            code { (part.text) } span.faint { (part.field.replace('-', " ")) }
                            @if let Some(values) = &part.values { span.field-values { (list(values)) } }
                        }
                    } }
                }
            }
        }
        section.panel.pad {
            h2 { "Next times" }
            @if meaning.starts.is_empty() { p.said-bad { "It never comes, up to the year 2399." } }
            div.scroll tabindex="0" role="group" aria-label="Next times" { table.times {
                thead { tr { th scope="col" { "On its clock" } th scope="col" { "In UTC" } th scope="col" { "Away" } th scope="col" { "Clocks" } } }
                tbody { @for start in &meaning.starts {
                    @let shape = start.shape(zone);
                    tr {
                        td { (full(start.due, zone)) }
                        td.faint { (start.due.datetime().format("%Y-%m-%d %H:%M:%S")) }
                        td.faint { (when.away(start.due, name)) }
                        td { @if let Some(dst) = &shape.dst { (parts::dst(dst)) span.sub { "clocks go from " (dst.from) " to " (dst.to) } } }
                    }
                } }
            } }
            @let lost = meaning.lost_days(when.now);
            @if !lost.is_empty() {
                p.note.late { (icons::small("late")) span { "Clocks go forward over all of its times on " (lost.join(", ")) "." } }
            }
        }
        section.panel.pad {
            h2 { "In a schedule file" }
            pre.code #snippet { (snippet(asking)) }
            p.actions { button.button.slim type="button" data-copy="snippet" hidden { "Copy" } }
        }
    }
}

fn full(at: Timestamp, zone: &schedule::Zone) -> String {
    let (offset, abbreviation) = zone.offset(at);
    format!("{} {abbreviation} ({})", zone.wall(at).format("%a %Y-%m-%d %H:%M:%S"), phrase::distance(offset))
}

/// `0, 15, 30, 45`; of many the first and the last.
fn list(values: &[u32]) -> String {
    let words: Vec<String> = values.iter().map(u32::to_string).collect();
    match words.as_slice() {
        many if many.len() > 12 => format!("{}, … {}", many[..6].join(", "), many[many.len() - 1]),
        few => few.join(", "),
    }
}

fn snippet(asking: &Asking) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = String::from("[jobs.my-job]\n");
    let one = asking.schedule.trim();
    text += &match one.strip_prefix("every ") {
        Some(period) if !one.contains('|') => format!("every = {}\n", quoted(period.trim())),
        _ if one.contains('|') => {
            let texts: Vec<String> = one.split('|').map(|text| quoted(text.trim())).collect();
            format!("schedule = [{}]\n", texts.join(", "))
        }
        _ => format!("schedule = {}\n", quoted(one)),
    };
    if !asking.tz.trim().is_empty() {
        text += &format!("timezone = {}\n", quoted(asking.tz.trim()));
    }
    if asking.dst_gap == GapRule::Skip {
        text += "dst_gap = \"skip\"\n";
    }
    match asking.dst_overlap {
        OverlapRule::First => {}
        OverlapRule::Last => text += "dst_overlap = \"last\"\n",
        OverlapRule::Both => text += "dst_overlap = \"both\"\n",
    }
    text + "command = \"echo hello\"\n"
}

/// What is wrong, and where.
fn mistaken(unclear: &Unclear) -> Markup {
    let error = &unclear.error;
    let (text, span) = (unclear.text.as_str(), error.span.clone());
    let whole = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (start, end) = (whole(span.start), whole(span.end.max(span.start)));
    html! {
        section.panel.pad {
            p.said-bad role="alert" { (icons::small("bad")) strong { (error.message) } }
            @if !text.is_empty() {
                pre.code.wrong dir="auto" { (text[..start]) mark { (text[start..end]) } (text[end..]) }
            }
            @if !error.label.is_empty() { p { (error.label) } }
            @if let Some(help) = &error.help { p { strong { "Help: " } (help) } }
            p { a href={ (address::Place("/problems")) "/" (error.name()) } { "More about " (error.name()) } }
        }
    }
}
