//! What a replica answers over HTTP.

pub mod access;
pub mod api;
mod asked;
mod health;
mod meter;
pub mod problem;

use std::io;
use std::sync::Arc;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

use crate::config::Listen;
use crate::desk::Desk;
use crate::metrics::Metrics;

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

/// Everything that is answered, and the document that describes it.
fn routes() -> (Router<Arc<Desk>>, utoipa::openapi::OpenApi) {
    let (api, document) = OpenApiRouter::new().nest("/api/v1", api::routes()).split_for_parts();
    (api.merge(health::routes()), document)
}

/// What `/openapi.json` says.
pub fn document() -> utoipa::openapi::OpenApi {
    routes().1
}

/// Answers until `over` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    desk: Arc<Desk>,
    metrics: Metrics,
    over: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (routes, document) = routes();
    let document = Arc::new(document);
    let routes = routes
        .route("/openapi.json", get(async move || Json(document)))
        .merge(meter::routes(metrics.clone()))
        .fallback(|| async { Problem::not_found("nothing is answered at this address; see /openapi.json") })
        .layer(from_fn(asked::identify))
        .layer(from_fn_with_state(metrics, meter::measure))
        .with_state(desk);
    axum::serve(listener, routes).with_graceful_shutdown(over).await
}
