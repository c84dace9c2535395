//! What a replica answers over HTTP.
//!
//! A request passes, from outside in: the door (connections), its id, the headers of every answer, the audit, who asks
//! and what they may, how large and how slow it is; then its handler. Handlers in [`api`] think of none of that.

pub mod access;
pub mod api;
mod asked;
pub mod audit;
mod door;
mod dress;
mod guest;
mod health;
mod limit;
mod live;
mod meter;
mod pages;
pub mod problem;

use std::any::Any;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, Method};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::config::{self, Listen, Process, Web, WrongSetting};
use crate::desk::Desk;
use crate::metrics::Metrics;
use access::{Access, Opened};
use audit::Audit;
use limit::Seats;
use live::Live;

pub use access::{Caller, Role};
pub use problem::{Code, Problem};

/// Takes the address; when nobody asked for just this one and it is taken, any free port of its host.
///
/// # Errors
/// When the address cannot be had.
pub async fn bind(listen: Listen) -> io::Result<TcpListener> {
    match TcpListener::bind(listen.address).await {
        Err(error) if listen.is_default && error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind((listen.address.ip(), 0)).await
        }
        bound => bound,
    }
}

/// Where a replica is asked, before it answers.
pub struct Front {
    listener: TcpListener,
    at: SocketAddr,
    web: Web,
    room: usize,
    opened: Opened,
}

/// What is answered within another program, which has the listener, the connections and their limits.
pub struct Guest {
    web: Web,
    opened: Opened,
}

impl Guest {
    /// As it is set up. Where it will be found nobody says, so it may be anywhere.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub fn open(web: &Web) -> Result<Guest, WrongSetting> {
        Ok(Guest { web: web.clone(), opened: Access::open(web, NOWHERE)? })
    }

    /// All that is answered, to be mounted anywhere; and what keeps the tokens as their file says, while it is awaited.
    pub fn routes(self, desk: Arc<Desk>, metrics: Metrics) -> (Router, impl Future<Output = ()> + Send) {
        let keeping = self.opened.tokens.keep(desk.parts.bus.clone());
        let routes = framed(desk, metrics, self.opened.access, Seats::new(self.web.streams), &self.web);
        let visited = guest::of(routes);
        let all = Router::new().route_service("/", visited.clone()).route_service("/{*rest}", visited);
        (all, keeping)
    }
}

/// No address of ours: another program listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Front {
    /// On a listener, as `process` is set up.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub fn open(listener: TcpListener, process: &Process) -> Result<Front, WrongSetting> {
        let at = listener.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        let opened = Access::open(&process.web, at)?;
        let room = door::room(process.web.connections, process.max_parallel);
        Ok(Front { listener, at, web: process.web.clone(), room, opened })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// A link that signs in, once, whoever opens it first.
    pub fn sign_in(&self) -> Option<&str> {
        self.opened.link.as_deref()
    }

    /// Who may ask, for people.
    pub fn describe(&self) -> &'static str {
        self.opened.access.describe()
    }

    /// Answers until `over` is done.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, desk: Arc<Desk>, metrics: Metrics, over: CancellationToken) -> io::Result<()> {
        let keeping = self.opened.tokens.keep(desk.parts.bus.clone());
        // Streams leave room for questions.
        let seats = Seats::new(self.web.streams.min(self.room / 2));
        let routes = framed(desk, metrics, self.opened.access, seats, &self.web);
        let serving = door::serve(self.listener, routes, self.room, over);
        tokio::pin!(serving);
        tokio::select! {
            served = &mut serving => served,
            () = keeping => serving.await,
        }
    }
}

/// What is answered below `/api/v1` to callers who are known.
fn resources() -> impl Iterator<Item = api::Make> {
    let beside: [api::Make; 2] = [access::routes, live::routes];
    api::RESOURCES.into_iter().chain(beside)
}

/// The same to be served. What describes it goes at once, a resource at a time: it is large, and seldom asked for.
fn routes() -> Router<Arc<Desk>> {
    let all = resources().fold(Router::new(), |all, make| all.merge(Router::from(make())));
    Router::new().nest("/api/v1", all)
}

/// What `/openapi.json` says.
pub fn document() -> OpenApi {
    let all = resources().fold(OpenApiRouter::new(), |all, make| all.merge(make()));
    api::document::finish(OpenApiRouter::new().nest("/api/v1", all).into_openapi())
}

/// All routes, with everything that a request passes before them.
fn framed(desk: Arc<Desk>, metrics: Metrics, access: Arc<Access>, seats: Seats, web: &Web) -> Router {
    let document = Arc::new(LazyLock::new(document as fn() -> OpenApi));
    let audit = Arc::new(Audit::new(desk.parts.clone()));
    // Whoever may look at it.
    let page = meter::routes(metrics.clone());
    let (meter, open_meter) = if web.metrics_public { (Router::new(), page) } else { (page, Router::new()) };
    let guarded = routes()
        .merge(meter)
        .merge(pages::routes())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(Extension(Live::new(desk.parts.clone())))
        .layer(Extension(seats))
        .layer(from_fn(limit::whole))
        .layer(from_fn_with_state(access, access::guard))
        .layer(from_fn_with_state(audit, audit::record));
    let guarded = if web.origins.is_empty() { guarded } else { guarded.layer(cors(web)) };
    guarded
        .merge(health::routes())
        .route("/openapi.json", get(async move || Json(api::document::here(&document))))
        .merge(open_meter)
        .merge(pages::open())
        .route("/schema/cronclave-1.json", get(|| async { Json(config::schema()) }))
        .fallback(|| async { Problem::not_found("nothing is answered at this address; see /openapi.json") })
        .layer(from_fn_with_state(desk.clone(), pages::explain))
        .layer(from_fn(dress::dress))
        .layer(from_fn(asked::identify))
        .layer(from_fn_with_state(metrics, meter::measure))
        .with_state(desk)
}

/// Pages of these sites may ask, with a token. A cookie never goes along.
fn cors(web: &Web) -> CorsLayer {
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(web.origins.clone())
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            name("idempotency-key"),
            name("last-event-id"),
            asked::X_REQUEST_ID,
        ])
        .expose_headers([ETAG, LINK, LOCATION, RETRY_AFTER, asked::X_REQUEST_ID])
}

/// A mistake of ours is told as one, and ends nothing but the request.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or_default(), "a handler panicked");
    Problem::internal("a handler panicked; its log has more").into_response()
}
