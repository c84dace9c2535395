//! Who asks, and what they may. Every request passes here before anything else looks at it.

mod origin;
mod session;
mod tokens;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::NOWHERE;
use super::limit::Rates;
use super::pages::{SETTINGS, SIGN_OUT};
use super::problem::{Code, Problem};
use crate::clock::Clock;
use crate::config::{Web, WrongSetting};
use session::Link;
use tokens::{Known, Tokens};

pub use crate::config::Role;
pub(super) use origin::Peer;
pub(super) use session::{LINK_PATH, admit, cookies, follow, no_cookie};

/// What an expression means, which has nothing to do with anything here.
const EXPLAIN: &str = "/api/v1/explain";

/// Questions with a body, and what only the asking browser keeps: a viewer may ask them.
const HARMLESS: [&str; 3] = [EXPLAIN, "/api/v1/config/validate", SETTINGS];

/// Where one signs in and out: whoever is not signed in may ask for it.
const SESSION: [&str; 3] = ["/api/v1/session", LINK_PATH, SIGN_OUT];

/// Who stands for all whom the program around us lets in.
const VISITOR: &str = "visitor";

/// The longest name that is taken from a proxy.
const NAME: usize = 200;

/// How it is known who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is not: there is no token, so everybody may look, as far as this replica can be reached.
    Open,
    /// It is not: everybody may look.
    Public,
    /// A bearer token.
    Token,
    /// A cookie.
    Cookie,
    /// A proxy says so, or the program that this is within.
    Proxy,
}

/// Who asks. A handler takes it as an argument.
#[derive(Debug, Clone)]
pub struct Caller {
    /// As its token is called, or a person's name from a proxy.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// Where they ask from, as far as trusted proxies tell.
    pub address: IpAddr,
    /// How that is known.
    pub how: How,
}

impl Caller {
    /// Refuses who has a lower role.
    ///
    /// # Errors
    /// `forbidden`; `unauthorized` or `read-only` for somebody who is not signed in.
    pub fn may(&self, least: Role) -> Result<(), Problem> {
        if self.role >= least {
            return Ok(());
        }
        Err(match self.how {
            How::Open => Problem::new(
                Code::ReadOnly,
                "nothing can be changed here until CRONCLAVE_API_TOKEN is set, or the sign-in link that `serve` \
                 printed is opened",
            ),
            How::Public => {
                Problem::new(Code::Unauthorized, format!("this takes the role {least}: send a token or sign in"))
            }
            _ => Problem::forbidden(format!("this takes the role {least}; `{}` has the role {}", self.name, self.role)),
        })
    }

    /// Somebody of whom nothing is known.
    pub(super) fn unknown() -> Caller {
        Caller::nobody(IpAddr::from([0, 0, 0, 0]), How::Public)
    }

    fn nobody(address: IpAddr, how: How) -> Caller {
        Caller { name: "anonymous".into(), role: Role::Viewer, address, how }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        // A route that is not guarded must not take anybody for somebody.
        parts.extensions.get().cloned().ok_or_else(|| Problem::internal("this route is not guarded"))
    }
}

/// What decides.
pub(super) struct Access {
    web: Web,
    /// Where this replica listens.
    at: SocketAddr,
    known: watch::Receiver<Arc<Known>>,
    link: Link,
    pub(super) rates: Rates,
    clock: Clock,
}

/// What is to be started once, beside [`Access`].
pub(super) struct Opened {
    pub(super) access: Arc<Access>,
    pub(super) tokens: Tokens,
    /// The address of the one-time link, when there is one.
    pub(super) link: Option<String>,
}

impl Access {
    /// For a replica that listens at `at`.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub(super) fn open(web: &Web, at: SocketAddr) -> Result<Opened, WrongSetting> {
        let has_token = web.token.is_some() || web.tokens_file.is_some() || web.proxy_header.is_some();
        let wants_link = !has_token && !web.read_only && at.ip().is_loopback();
        let (tokens, known) = Tokens::open(web, wants_link)
            .map_err(|message| WrongSetting { place: "CRONCLAVE_API_TOKENS_FILE".into(), message })?;
        let (link, code) = if wants_link { Link::new() } else { (Link::default(), String::new()) };
        let rates = Rates::new(web.rate);
        let access = Access { web: web.clone(), at, known, link, rates, clock: Clock::system() };
        let link = wants_link.then(|| format!("http://{at}{LINK_PATH}?code={code}"));
        Ok(Opened { access: Arc::new(access), tokens, link })
    }

    /// Who may ask, for people.
    pub(super) fn describe(&self) -> &'static str {
        match (self.has_callers(), self.web.read_only, self.at.ip().is_loopback()) {
            (_, true, _) => "read-only: CRONCLAVE_READ_ONLY is set",
            (true, ..) => "",
            (false, _, true) => "read-only, for this machine: no CRONCLAVE_API_TOKEN set",
            (false, ..) if self.web.public_read => "read-only, for everybody: no CRONCLAVE_API_TOKEN set",
            (false, ..) => "health only: no CRONCLAVE_API_TOKEN set",
        }
    }

    fn known(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }

    /// Until those who are known are others.
    pub(super) fn changes(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut known = self.known.clone();
        known.mark_unchanged();
        async move {
            if known.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether anybody could be told from anybody else.
    fn has_callers(&self) -> bool {
        self.web.proxy_header.is_some() || self.known().is_anybody()
    }

    /// Cookies do not tell ports apart, and each process without tokens has a link of its own.
    fn cookie(&self) -> String {
        match self.has_callers() {
            true => "cronclave_session".into(),
            false => format!("cronclave_session_{}", self.at.port()),
        }
    }

    /// Whether a browser on this very machine asks, without TLS: it would not send a secure cookie back.
    fn is_plain_loopback(&self, headers: &HeaderMap) -> bool {
        let is_public = self.web.public_url.as_ref().is_some_and(|url| url.scheme_str() == Some("https"));
        (self.at.ip().is_loopback() || self.at == NOWHERE)
            && !is_public
            && origin::names_loopback(headers, &Uri::default())
    }

    /// Who asks. What is wrong about it comes with who it would be.
    fn who(&self, request: &Request) -> (Caller, Result<(), Problem>) {
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer(SocketAddr::from(([0, 0, 0, 0], 0))));
        let address = origin::address(peer, headers, &self.web.proxies);
        let known = self.known();
        let signed_in = |name: &str, role, how| (Caller { name: name.into(), role, address, how }, Ok(()));
        let nobody = |how| Caller::nobody(address, how);
        let visitor = self.web.visitors.map(|role| signed_in(VISITOR, role, How::Proxy));
        if let Some(shown) = headers.get(AUTHORIZATION) {
            let token = shown.to_str().ok().and_then(|shown| {
                let (scheme, token) = shown.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
            });
            // What a visitor shows may be for the program around us.
            return match (token.and_then(|token| known.bearer(token)), visitor) {
                (Some(token), _) => signed_in(&token.name, token.role, How::Token),
                (None, Some(visitor)) => visitor,
                (None, None) => {
                    let wrong = Problem::new(Code::Unauthorized, "the token in `Authorization` is not known here");
                    (nobody(How::Public), Err(self.rates.may_try(address).err().unwrap_or(wrong)))
                }
            };
        }
        let now = self.clock.now();
        let cookies = session::cookies(headers, &self.cookie());
        if let Some(token) = cookies.into_iter().find_map(|value| session::check(&known, value, now)) {
            return signed_in(&token.name, token.role, How::Cookie);
        }
        if let Some((name, role)) = &self.web.proxy_header
            && peer.is_proxy(&self.web.proxies)
            && let Some(person) = headers.get(name).and_then(|value| value.to_str().ok())
            && (1..=NAME).contains(&person.trim().len())
        {
            return signed_in(person.trim(), *role, How::Proxy);
        }
        if let Some(visitor) = visitor {
            return visitor;
        }
        let how = if self.has_callers() { How::Public } else { How::Open };
        if self.web.public_read || (how == How::Open && self.at.ip().is_loopback()) {
            return (nobody(how), Ok(()));
        }
        let why = match how {
            _ if self.at == NOWHERE => {
                "nobody is known here: give Cronclave's builder `visitors(Role::Viewer)` where the program around it lets in \
                 only whom it knows, or a token"
            }
            How::Open => {
                "this replica can be reached from elsewhere and has no token: set CRONCLAVE_API_TOKEN, or \
                 CRONCLAVE_PUBLIC_READ=1 to let everybody look"
            }
            _ => "send `Authorization: Bearer TOKEN`, or sign in",
        };
        (nobody(how), Err(Problem::new(Code::Unauthorized, why)))
    }

    /// Whether `caller` may ask this at all. What takes more than this is for the handler to say.
    fn admit(&self, caller: &Caller, request: &Request) -> Result<(), Problem> {
        self.rates.may_ask(caller)?;
        if !self.has_callers()
            && self.at.ip().is_loopback()
            && !origin::names_loopback(request.headers(), request.uri())
        {
            return Err(Problem::new(
                Code::UnknownHost,
                "without a token this replica answers only for localhost, 127.0.0.1 or [::1]",
            ));
        }
        let is_change = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        if !is_change {
            return Ok(());
        }
        // A token is sent on purpose; everything else a browser adds by itself.
        if caller.how != How::Token && !origin::is_same_site(request.headers(), self.web.public_url.as_ref()) {
            return Err(Problem::new(Code::CrossSite, "a page of another site asked for this change"));
        }
        let path = request.uri().path();
        if SESSION.contains(&path) || is_harmless(path) {
            return Ok(());
        }
        if self.web.read_only {
            return Err(Problem::new(Code::ReadOnly, "CRONCLAVE_READ_ONLY is set: nothing can be changed here"));
        }
        // Handlers ask for more where it takes more; none can forget to ask for this.
        caller.may(Role::Operator)
    }
}

/// Whether it is a question, although it looks like a change.
pub(super) fn is_harmless(path: &str) -> bool {
    HARMLESS.contains(&path)
}

/// Lets in who may, with who they are.
pub(super) async fn guard(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let (caller, known) = access.who(&request);
    let path = request.uri().path();
    let is_open = SESSION.contains(&path) || path == EXPLAIN || path == SETTINGS;
    let admitted = access.admit(&caller, &request);
    let verdict = if is_open { admitted } else { known.and(admitted) };
    let mut response = match verdict {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    // A handler that signs somebody in says whom.
    if response.extensions().get::<Caller>().is_none() {
        response.extensions_mut().insert(caller);
    }
    response
}

/// The routes below `/api/v1` about who asks.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> utoipa_axum::router::OpenApiRouter<S> {
    session::routes()
}
