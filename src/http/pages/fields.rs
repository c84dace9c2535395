//! What a form says.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderValue;

use super::address;
use crate::clock::Timestamp;
use crate::desk::Refusal;
use crate::http::api::take;
use crate::http::problem::Problem;
use crate::phrase;
use crate::schedule::Zone;

/// The fields of a form, in its order; a name may come several times.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Fields, Problem> {
        let body = take::body(request, state).await?;
        Ok(Fields::parse(&body))
    }
}

impl Fields {
    pub(super) fn parse(text: &[u8]) -> Fields {
        Fields(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// What a field says, unless that is nothing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    }

    /// Everything that the fields of this name say.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of = self.0.iter().filter(move |(known, _)| known == name);
        of.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The same as a text of its own.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// The time that a field says, on the wall of `zone` unless it names another.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn time(&self, name: &str, zone: &Zone) -> Result<Option<Timestamp>, Refusal> {
        let read = |text: &str| {
            phrase::moment(text, zone).map_err(|why| Refusal::wrong(name, "not_a_time", format!("`{text}`: {why}")))
        };
        self.get(name).map(read).transpose()
    }

    /// The page that the form was on: a path of this site, and of no other.
    pub(super) fn back(&self) -> HeaderValue {
        HeaderValue::try_from(local(self.get("back"))).unwrap_or(HeaderValue::from_static("/"))
    }
}

/// The page that is named, if it is one of this site; or the front page.
pub(super) fn local(path: Option<&str>) -> String {
    path.filter(|path| is_local(path)).map_or_else(|| address::NOW.to_string(), str::to_owned)
}

/// The front page.
pub(super) fn front() -> HeaderValue {
    HeaderValue::try_from(address::NOW.to_string()).unwrap_or(HeaderValue::from_static("/"))
}

/// Whether it leads to a page of ours: browsers take `//host` and `/\host` for other sites.
pub(super) fn is_local(path: &str) -> bool {
    path.starts_with('/') && !path[1..].starts_with(['/', '\\']) && path.bytes().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_a_page_of_this_site_only() {
        let back = |path: &str| {
            let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("back", path).finish();
            Fields::parse(query.as_bytes()).back()
        };
        assert_eq!(back("/jobs?state=failing"), "/jobs?state=failing");
        for elsewhere in ["//evil.example", "/\\evil.example", "https://evil.example", "", "jobs", "/a\r\nX: 1", "/ä"]
        {
            assert_eq!(back(elsewhere), "/", "{elsewhere}");
        }
    }
}
