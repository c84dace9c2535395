//! What pages are dressed in: one style sheet, a few scripts, one picture. All of it is ours, and within the program.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::http::asked;
use crate::http::problem::Problem;

/// Name, type, text.
const ALL: &[(&str, &str, &str)] = &[
    (
        "style.css",
        "text/css; charset=utf-8",
        concat!(
            include_str!("assets/base.css"),
            include_str!("assets/parts.css"),
            include_str!("assets/pages.css"),
            include_str!("assets/cluster.css"),
            include_str!("assets/explain.css"),
            include_str!("assets/runs.css"),
            include_str!("assets/timeline.css"),
            include_str!("assets/job.css"),
            include_str!("assets/narrow.css")
        ),
    ),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("app.js", SCRIPT, include_str!("assets/app.js")),
    ("base.js", SCRIPT, include_str!("assets/base.js")),
    ("dialog.js", SCRIPT, include_str!("assets/dialog.js")),
    ("explain.js", SCRIPT, include_str!("assets/explain.js")),
    ("keys.js", SCRIPT, include_str!("assets/keys.js")),
    ("live.js", SCRIPT, include_str!("assets/live.js")),
    ("log.js", SCRIPT, include_str!("assets/log.js")),
    ("palette.js", SCRIPT, include_str!("assets/palette.js")),
    ("patch.js", SCRIPT, include_str!("assets/patch.js")),
    ("timeline.js", SCRIPT, include_str!("assets/timeline.js")),
    ("time.js", SCRIPT, include_str!("assets/time.js")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// They change with the program only, and have another address then.
const KEPT: &str = "public, max-age=31536000, immutable";

/// The part of their address that stands for what is in them.
static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let mut all = Sha256::new();
    for (name, _, text) in ALL {
        all.update(name);
        all.update(text);
    }
    all.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// Where one of them is.
pub(super) fn address(name: &str) -> String {
    asked::address(&format!("/assets/{}/{name}", *DIGEST))
}

/// Open to everybody: the page to sign in needs them, and they say nothing.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{digest}/{name}", get(asset))
}

async fn asset(Path((digest, name)): Path<(String, String)>) -> Response {
    let Some((_, kind, text)) = ALL.iter().find(|(known, ..)| *known == name) else {
        return Problem::not_found("there is no such asset").into_response();
    };
    // A replica of another version may have made the page: it takes what there is, and keeps it from being kept.
    let kept = if digest == *DIGEST { KEPT } else { "no-store" };
    ([(CONTENT_TYPE, *kind), (CACHE_CONTROL, kept)], *text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_styles_stay_under_90_kb_in_all() {
        let bytes: usize = ALL.iter().map(|(.., text)| text.len()).sum();
        assert!(bytes < 90_000, "{bytes} bytes");
    }
}
