//! How somebody wants pages to look. Their browser keeps it in cookies; nobody else does.

use axum::extract::FromRequestParts;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::address;
use super::fields::Fields;
use crate::http::access::cookies;
use crate::http::problem::Problem;
use crate::schedule::Zone;

/// Where a preference is set. It changes nothing here, so everybody may.
pub(in crate::http) const PATH: &str = "/settings";

/// A browser keeps them for a year.
const LASTS: u64 = 365 * 24 * 60 * 60;

/// Light or dark, where the browser is not to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub(super) fn word(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}

/// On whose wall clock times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Wall {
    /// Each on its job's.
    #[default]
    Job,
    /// On that of whoever looks.
    Mine,
    /// On none.
    Utc,
}

impl Wall {
    pub(super) const ALL: [Wall; 3] = [Wall::Job, Wall::Mine, Wall::Utc];

    pub(super) fn word(self) -> &'static str {
        match self {
            Wall::Job => "job",
            Wall::Mine => "mine",
            Wall::Utc => "utc",
        }
    }
}

/// What was chosen.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefs {
    /// `None`: as the browser has it.
    pub(super) theme: Option<Theme>,
    /// On whose wall clock times are shown.
    pub(super) wall: Wall,
    /// The zone of whoever looks, once their browser has told it.
    pub(super) mine: Option<Zone>,
}

impl Prefs {
    pub(super) fn read(headers: &HeaderMap) -> Prefs {
        let cookie = |name: &str| cookies(headers, name).into_iter().next();
        let mine = cookie("cronclave_tz").and_then(|name| Zone::parse(&name.replace("%2F", "/")).ok());
        let wall = match cookie("cronclave_zone") {
            Some("utc") => Wall::Utc,
            Some("mine") if mine.is_some() => Wall::Mine,
            _ => Wall::Job,
        };
        let theme = match cookie("cronclave_theme") {
            Some("light") => Some(Theme::Light),
            Some("dark") => Some(Theme::Dark),
            _ => None,
        };
        Prefs { theme, wall, mine }
    }
}

impl<S: Sync> FromRequestParts<S> for Prefs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Prefs, Problem> {
        Ok(Prefs::read(&parts.headers))
    }
}

/// Keeps what a form says and nothing else, and goes back to where it was.
pub(super) async fn set(fields: Fields) -> Response {
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, fields.back())]).into_response();
    for (field, words) in [("theme", &["light", "dark", "auto"]), ("zone", &["job", "mine", "utc"])] {
        if let Some(word) = fields.get(field).filter(|word| words.contains(word)) {
            let cookie = format!("cronclave_{field}={word}; Path={}; Max-Age={LASTS}; SameSite=Strict", address::NOW);
            if let Ok(cookie) = HeaderValue::try_from(cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
        }
    }
    response
}
