//! Signing in: a token, or the one-time link, against a cookie that any replica can check by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::Extension;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hmac::Mac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::tokens::{Known, LINK, Token, hash};
use super::{Access, Caller, How};
use crate::clock::Timestamp;
use crate::config::Role;
use crate::http::api::take::Sent;
use crate::http::asked;
use crate::http::problem::{Code, Problem};

/// A cookie is good for this long.
const LASTS: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the one-time link leads.
pub(crate) const LINK_PATH: &str = "/signin";

/// The one-time link's secret part, until it is used.
#[derive(Default)]
pub(super) struct Link(Mutex<Option<[u8; 32]>>);

impl Link {
    /// A link, and what it must be shown.
    pub(super) fn new() -> (Link, String) {
        let code: String = rand::random::<[u8; 24]>().iter().map(|byte| format!("{byte:02x}")).collect();
        (Link(Mutex::new(Some(hash(&code)))), code)
    }

    /// Whether it is the right one, for the first time.
    fn take(&self, code: &str) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_right = left.as_ref().is_some_and(|right| bool::from(right.ct_eq(&hash(code))));
        if is_right {
            *left = None;
        }
        is_right
    }
}

/// The value of a cookie for `token`: `1.NAME.UNTIL.SIGNATURE`.
pub(super) fn issue(known: &Known, token: &Token, now: Timestamp) -> (String, Timestamp) {
    let until = now.plus(LASTS);
    let said = format!("1.{}.{}", token.name, until.as_secs());
    let mut signer = known.signer(token);
    signer.update(said.as_bytes());
    let signature: String = signer.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("{said}.{signature}"), until)
}

/// Whom a cookie stands for, if it is one of ours, still good, and its token still known.
pub(super) fn check<'a>(known: &'a Known, value: &str, now: Timestamp) -> Option<&'a Token> {
    let (said, signature) = value.rsplit_once('.')?;
    let mut parts = said.split('.');
    let ("1", name, until, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let token = known.named(name)?;
    let bytes: Option<Vec<u8>> = (0..signature.len())
        .step_by(2)
        .map(|at| signature.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    let mut signer = known.signer(token);
    signer.update(said.as_bytes());
    signer.verify_slice(&bytes?).ok()?;
    (until.parse::<i64>().ok()? > now.as_secs()).then_some(token)
}

/// The values of the cookies called `name`.
pub(in crate::http) fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lists = headers.get_all(COOKIE).iter().filter_map(|list| list.to_str().ok());
    let pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(known, _)| *known == name).map(|(_, value)| value).collect()
}

/// What signs somebody in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// A token that is configured.
    token: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
struct SignedIn {
    /// As the token is called.
    name: String,
    /// What they may.
    role: Role,
    /// When the cookie ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Who asks, as the replica sees it.
#[derive(Debug, Serialize, ToSchema)]
struct Whoami {
    /// As the token is called, or the person's name with the proxy; `anonymous` for everybody else.
    name: String,
    /// What they may.
    role: Role,
    /// How that is known.
    how: How,
    /// Where they ask from.
    address: String,
    /// Whether nobody may change anything here.
    read_only: bool,
}

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(sign_in, sign_out)).routes(routes!(whoami))
}

/// Sign in with a token: gives a cookie for a browser
#[utoipa::path(post, path = "/session", tag = "access", request_body = SignIn, responses(
    (status = 200, description = "signed in: the cookie is in `Set-Cookie`", body = SignedIn),
))]
async fn sign_in(
    Extension(access): Extension<Arc<Access>>,
    caller: Caller,
    headers: HeaderMap,
    Sent(SignIn { token }): Sent<SignIn>,
) -> Result<Response, Problem> {
    let signed_in = admit(&access, caller, &headers, &token)?;
    let Caller { name, role, .. } = signed_in.caller.clone();
    let answer = SignedIn { name, role, expires_at: signed_in.until };
    let mut response = Json(answer).into_response();
    signed_in.into(&mut response);
    Ok(response)
}

/// Somebody with a cookie, which an answer has yet to carry.
pub(in crate::http) struct Admitted {
    caller: Caller,
    cookie: HeaderValue,
    until: Timestamp,
}

impl Admitted {
    /// Puts the cookie into an answer, and who they are now, for the audit.
    pub(in crate::http) fn into(self, response: &mut Response) {
        response.headers_mut().insert(SET_COOKIE, self.cookie);
        response.extensions_mut().insert(self.caller);
    }
}

/// A token against a cookie.
///
/// # Errors
/// Nobody has this token, or it was tried too often.
pub(in crate::http) fn admit(
    access: &Access,
    caller: Caller,
    headers: &HeaderMap,
    token: &str,
) -> Result<Admitted, Problem> {
    access.rates.may_try(caller.address)?;
    let known = access.known();
    let Some(token) = known.bearer(token) else {
        return Err(Problem::new(Code::Unauthorized, "no such token is known here"));
    };
    Ok(admitted(access, caller, headers, (&known, token)))
}

fn admitted(access: &Access, caller: Caller, headers: &HeaderMap, (known, token): (&Known, &Token)) -> Admitted {
    let (value, until) = issue(known, token, access.clock.now());
    let cookie = cookie(access, headers, &value, LASTS);
    Admitted { caller: Caller { name: token.name.clone(), role: token.role, ..caller }, cookie, until }
}

/// Sign out: takes the cookie back
#[utoipa::path(delete, path = "/session", tag = "access", responses(
    (status = 204, description = "signed out"),
))]
async fn sign_out(Extension(access): Extension<Arc<Access>>, headers: HeaderMap) -> Response {
    (StatusCode::NO_CONTENT, [(SET_COOKIE, no_cookie(&access, &headers))]).into_response()
}

/// Who asks, and what they may
#[utoipa::path(get, path = "/whoami", tag = "access", responses(
    (status = 200, description = "who asks", body = Whoami),
))]
async fn whoami(Extension(access): Extension<Arc<Access>>, caller: Caller) -> Json<Whoami> {
    let read_only = access.web.read_only || caller.how == How::Open;
    Json(Whoami {
        name: caller.name,
        role: caller.role,
        how: caller.how,
        address: caller.address.to_string(),
        read_only,
    })
}

/// Follows the one-time link of a terminal.
///
/// # Errors
/// It was used, or is of another process.
pub(in crate::http) fn follow(
    access: &Access,
    caller: Caller,
    headers: &HeaderMap,
    code: &str,
) -> Result<Admitted, Problem> {
    access.rates.may_try(caller.address)?;
    let known = access.known();
    let (Some(token), true) = (known.named(LINK), access.link.take(code)) else {
        let why = "the link was used, or is of another process; start `cronclave serve` again for a new one";
        return Err(Problem::new(Code::Unauthorized, why));
    };
    Ok(admitted(access, caller, headers, (&known, token)))
}

/// What takes a cookie back.
pub(in crate::http) fn no_cookie(access: &Access, headers: &HeaderMap) -> HeaderValue {
    cookie(access, headers, "", Duration::ZERO)
}

/// A cookie for an answer.
fn cookie(access: &Access, headers: &HeaderMap, value: &str, lasts: Duration) -> HeaderValue {
    let secure = if access.is_plain_loopback(headers) { "" } else { "; Secure" };
    let name = access.cookie();
    let cookie = format!(
        "{name}={value}; Path={}; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        asked::address("/"),
        lasts.as_secs()
    );
    // Names of tokens are plain words: there is nothing in it that no header may have.
    HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::super::tokens::Tokens;
    use super::*;
    use crate::config::{Secret, Web};

    fn known(token: &str) -> Arc<Known> {
        let web = Web { token: Some(Secret(token.into())), ..Web::default() };
        Tokens::open(&web, false).unwrap().1.borrow().clone()
    }

    #[test]
    fn a_cookie_is_good_for_a_day_on_every_replica_that_knows_its_token_and_nowhere_else() {
        let (one, other) = (known("0123456789abcdef"), known("0123456789abcdef"));
        let now = Timestamp::from_secs(1_800_000_000);
        let (cookie, until) = issue(&one, one.bearer("0123456789abcdef").unwrap(), now);
        let name = |known: &Known, value: &str, at| check(known, value, at).map(|token| token.name.clone());
        assert_eq!(name(&other, &cookie, now).as_deref(), Some("api-token"));
        assert_eq!(name(&other, &cookie, until), None, "it ended");
        assert_eq!(name(&known("another-token-of-16"), &cookie, now), None, "its token is gone");
        let later = cookie.replace(&until.as_secs().to_string(), &(until.as_secs() + 1).to_string());
        let flipped = format!("{}{}", &cookie[..cookie.len() - 1], if cookie.ends_with('0') { '1' } else { '0' });
        for forged in
            [later.as_str(), &flipped, "", ".", "1.api-token.1", &cookie[..cookie.len() - 2], "1.x.9999999999.é0"]
        {
            assert_eq!(name(&one, forged, now), None, "{forged}");
        }
    }

    #[test]
    fn a_link_is_good_once() {
        let (link, code) = Link::new();
        assert!(!link.take("") && !link.take("another"));
        assert!(link.take(&code) && !link.take(&code));
        assert!(!Link::default().take(""));
    }
}
