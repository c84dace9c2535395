//! What is around every page: the bar, the banners, and what was just done.

use maud::{DOCTYPE, Markup, html};

use super::address::Place;
use super::prefs::{Theme, Wall};
use super::said::Done;
use super::view::{Sheet, View};
use super::{address, assets, icons};
use crate::http::access::How;
use crate::http::asked;
use crate::shape::Trouble;

/// The pages in the bar: address, name, picture, key.
const PAGES: [(Place, &str, &str); 6] = [
    (address::NOW, "Now", "now"),
    (address::JOBS, "Jobs", "jobs"),
    (address::RUNS, "Runs", "runs"),
    (address::TIMELINE, "Timeline", "timeline"),
    (address::CLUSTER, "Cluster", "cluster"),
    (address::EXPLAIN, "Explain", "explain"),
];

/// What the frame shows beside the page.
pub(super) struct Framed<'a> {
    pub(super) view: &'a View,
    pub(super) cluster: &'a str,
    pub(super) replica: &'a str,
    pub(super) troubles: &'a [Trouble],
    pub(super) done: Option<&'a Done>,
}

/// The whole document.
pub(super) fn page(framed: &Framed<'_>, sheet: &Sheet) -> Markup {
    let Framed { view, cluster, replica, .. } = framed;
    let is_in = view.is_in;
    let title = if is_in {
        format!("{} · {cluster} · Cronclave", sheet.title)
    } else {
        format!("{} · Cronclave", sheet.title)
    };
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[view.prefs.theme.map(Theme::word)] data-now=(sheet.now) data-about=(sheet.about)
            data-replica=[is_in.then_some(replica)] data-base=[Some(asked::address("")).filter(|base| !base.is_empty())] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg"));
                link rel="stylesheet" href=(assets::address("style.css"));
                script type="module" src=(assets::address("app.js")) {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (bar(framed, sheet))
                aside #banners aria-label="What everybody should know" { (banners(framed, sheet)) }
                main #main tabindex="-1" { (sheet.main) }
                div #said.toasts role="status" aria-live="polite" {
                    @if let Some(done) = framed.done { (done.show(view.here())) }
                }
                @if is_in { (foot(framed)) }
            }
        }
    }
}

fn bar(framed: &Framed<'_>, sheet: &Sheet) -> Markup {
    let view = framed.view;
    if !view.is_in {
        return html! {
            header.bar {
                a.brand href=(address::NOW) { (icons::brand()) span.brand-name { "Cronclave" } }
                div.tools.alone { (themes(view)) }
            }
        };
    }
    html! {
        header.bar {
            a.brand href=(address::NOW) aria-label={ "Cronclave, cluster " (framed.cluster) } {
                (icons::brand()) span.brand-name { (framed.cluster) }
            }
            nav.pages aria-label="Pages" {
                @for (path, name, icon) in PAGES {
                    a href=(path) aria-current=[(sheet.under == path).then_some("page")] { (icons::page(icon)) span { (name) } }
                }
            }
            form.find role="search" action=(address::JOBS) {
                label.hidden for="find" { "Find a job" }
                (icons::small("find"))
                input #find type="search" name="q" placeholder="Find a job or run" autocomplete="off" maxlength="200";
                kbd aria-hidden="true" { "/" }
            }
            div.tools {
                span #live.live data-state="off" { span.dot aria-hidden="true" {} span #live-word.live-word role="status" {} }
                (zones(view))
                (themes(view))
                (who(view))
            }
        }
    }
}

/// The switch between walls. Without a script it is a form with a button of its own.
fn zones(view: &View) -> Markup {
    let known = |wall: &Wall| *wall != Wall::Mine || view.prefs.mine.is_some();
    let name = |wall: Wall| match (wall, &view.prefs.mine) {
        (Wall::Job, _) => "Job's zone".to_owned(),
        (Wall::Mine, Some(zone)) => format!("Mine ({})", zone.name()),
        (Wall::Mine, None) => "Mine".to_owned(),
        (Wall::Utc, _) => "UTC".to_owned(),
    };
    html! {
        form.zones method="post" action=(address::SETTINGS) {
            label.hidden for="zone" { "Times in" }
            select #zone name="zone" data-submit title="On whose clock times are shown" {
                @for wall in Wall::ALL.into_iter().filter(known) {
                    option value=(wall.word()) selected[wall == view.prefs.wall] { (name(wall)) }
                }
            }
            input type="hidden" name="back" value=(view.here());
            noscript { button { "Set" } }
        }
    }
}

fn themes(view: &View) -> Markup {
    let (next, icon) = match view.prefs.theme {
        None => ("dark", "auto"),
        Some(Theme::Dark) => ("light", "dark"),
        Some(Theme::Light) => ("auto", "light"),
    };
    html! {
        form method="post" action=(address::SETTINGS) {
            input type="hidden" name="theme" value=(next);
            input type="hidden" name="back" value=(view.here());
            button #theme.icon title={ "Colours: " (icon) ". Change to " (next) } aria-label={ "Change colours to " (next) } { (icons::small(icon)) }
        }
    }
}

fn who(view: &View) -> Markup {
    let caller = &view.caller;
    match caller.how {
        How::Open | How::Public => html! {
            span.role title="Nobody is signed in: you may look" { "viewer" }
            a.button.slim href={ (address::SIGN_IN) "?next=" (address::word(view.here())) } { "Sign in" }
        },
        How::Token | How::Proxy => html! { span.who title={ "Role: " (caller.role) } { (caller.name) } },
        How::Cookie => html! {
            form method="post" action=(address::SIGN_OUT) {
                span.who title={ "Role: " (caller.role) } { (caller.name) }
                button.quiet { "Sign out" }
            }
        },
    }
}

/// What everybody should know, whatever they look at.
fn banners(framed: &Framed<'_>, sheet: &Sheet) -> Markup {
    let when = framed.view.when(sheet.now);
    html! {
        @if let Some(since) = sheet.stale_since {
            div.banner.bad role="alert" {
                (icons::small("bad"))
                div {
                    strong { "The store does not answer." }
                    " This is what was known at " (when.at(since, None)) ", " (when.away(since, None))
                    ". Nothing can be changed until it is back; this page heals by itself."
                }
            }
        }
        @for trouble in framed.troubles.iter().take(4) {
            div.banner.late {
                (icons::small("late"))
                div { (sentence(&trouble.detail)) }
                a.quiet href=(address::CLUSTER) { "Cluster" }
            }
        }
        @if framed.troubles.len() > 4 {
            div.banner.late { (icons::small("late")) a href=(address::CLUSTER) { (framed.troubles.len() - 4) " more" } }
        }
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn foot(framed: &Framed<'_>) -> Markup {
    html! {
        footer.foot {
            span { "Cronclave " (env!("CARGO_PKG_VERSION")) }
            span { "answered by " code { (framed.replica) } }
            a href=(Place("/openapi.json")) { "API" }
            button.quiet #help type="button" hidden { "Keys " kbd { "?" } }
        }
    }
}
