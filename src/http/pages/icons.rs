//! Pictures, drawn here: a state is told by its shape and its word, never by its colour alone.

use maud::{Markup, PreEscaped, html};

fn picture(class: &str, inner: &'static str) -> Markup {
    html! {
        svg class=(class) viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" { (PreEscaped(inner)) }
    }
}

/// The mark of the program: a dial with one hand, held.
pub(super) fn brand() -> Markup {
    picture(
        "i brand-mark",
        r#"<circle cx="8" cy="8" r="6.6"/><path d="M8 4v4l2.8 1.7"/><path class="fill" d="M8 0l1.3 2.2H6.7z"/>"#,
    )
}

/// Of a page in the bar.
pub(super) fn page(name: &str) -> Markup {
    picture(
        "i",
        match name {
            "now" => r#"<path d="M1.5 9h3l2-6 3 10 2-6 1 2h2"/>"#,
            "jobs" => r#"<path d="M2 4h12M2 8h12M2 12h8"/>"#,
            "runs" => r#"<path d="M4 2.8v10.4L13 8z"/>"#,
            "timeline" => r#"<path d="M1.5 4h6M5 8h8M3 12h5M10 1v14"/>"#,
            "cluster" => {
                r#"<circle cx="8" cy="3.5" r="2"/><circle cx="3.5" cy="12" r="2"/><circle cx="12.5" cy="12" r="2"/><path d="M7 5.4L4.4 10.2M9 5.4l2.6 4.8M5.5 12h5"/>"#
            }
            _ => r#"<path d="M5.6 6a2.4 2.4 0 1 1 3.6 2.1C8.3 8.7 8 9.1 8 10.2M8 12.8v.4"/>"#,
        },
    )
}

/// Beside a word.
pub(super) fn small(name: &str) -> Markup {
    picture(
        "i",
        match name {
            "good" => r#"<path d="M3 8.5l3.3 3.3L13 4.8"/>"#,
            "bad" => r#"<path d="M4 4l8 8M12 4l-8 8"/>"#,
            "late" => r#"<path d="M8 2.5v7M8 12.6v.6"/>"#,
            "running" => r#"<path class="fill" d="M5 3.2v9.6L12.5 8z"/>"#,
            "paused" => r#"<path d="M5.5 3.5v9M10.5 3.5v9"/>"#,
            "idle" => r#"<path d="M3.5 8h9"/>"#,
            "waiting" => r#"<circle cx="8" cy="8" r="5.5"/><path d="M8 5v3.2l2 1.2"/>"#,
            "lost" => r#"<path d="M5.6 6a2.4 2.4 0 1 1 3.6 2.1C8.3 8.7 8 9.1 8 10.2M8 12.8v.4"/>"#,
            "stopped" => r#"<rect x="4" y="4" width="8" height="8" rx="1"/>"#,
            "find" => r#"<circle cx="7" cy="7" r="4.3"/><path d="M10.3 10.3L14 14"/>"#,
            "auto" => r#"<circle cx="8" cy="8" r="5.5"/><path class="fill" d="M8 2.5a5.5 5.5 0 0 1 0 11z"/>"#,
            "dark" => r#"<path d="M13 9.8A5.6 5.6 0 0 1 6.2 3 5.6 5.6 0 1 0 13 9.8z"/>"#,
            "light" => {
                r#"<circle cx="8" cy="8" r="2.8"/><path d="M8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M3.2 12.8l1.1-1.1M11.7 4.3l1.1-1.1"/>"#
            }
            "out" => r#"<path d="M6 3H3v10h10v-3M9 2.5h4.5V7M13.5 2.5L7.5 8.5"/>"#,
            "worker" => r#"<rect x="2.5" y="4" width="11" height="8" rx="1.5"/><path d="M5 7h2M5 9.5h4"/>"#,
            "lock" => r#"<rect x="3.5" y="7" width="9" height="6.5" rx="1"/><path d="M5.5 7V5a2.5 2.5 0 0 1 5 0v2"/>"#,
            _ => r#"<circle cx="8" cy="8" r="1.5"/>"#,
        },
    )
}
