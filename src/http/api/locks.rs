//! Locks: looked at, and released by force.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::give;
use super::take::{self, At, Sent};
use crate::desk::Desk;
use crate::http::access::{Caller, Role};
use crate::http::problem::{self, Problem};
use crate::shape::{Lock, Page, Released};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one, release))
}

/// List locks
#[utoipa::path(get, path = "/locks", tag = "locks",
    responses((status = 200, description = "All that is held", body = Page<Lock>)))]
async fn list(State(desk): State<Arc<Desk>>) -> Result<Json<Page<Lock>>, Problem> {
    Ok(Json(desk.locks().await?))
}

/// Look at a lock
///
/// Several runs hold it when they may stand side by side. With one, its fencing token is the `ETag`.
#[utoipa::path(get, path = "/locks/{key}", tag = "locks",
    params(("key" = String, Path, description = "`run:JOB` or `mutex:NAME`", example = "run:db-backup")),
    responses((status = 200, description = "Who holds it", body = Page<Lock>),
        (status = 304, description = "It is held as the caller knows it"),
        (status = 404, description = "Nobody holds it", body = problem::Document, content_type = "application/problem+json")))]
async fn one(State(desk): State<Arc<Desk>>, At(key): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let page = desk.lock(&key).await?;
    let [lock] = page.items.as_slice() else { return Ok(give::tagged(&headers, &page)) };
    let tag = format!("\"{}\"", lock.fencing_token);
    Ok(give::with_tag(&headers, &tag, serde_json::to_vec(&page).unwrap_or_default()))
}

/// Why a lock is released.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReleaseBody {
    /// It is kept in the history.
    reason: String,
}

/// Release a lock
///
/// Ends a hold by force. Its run is recorded as lost; if its process lives, it is fenced off at its next renewal.
#[utoipa::path(delete, path = "/locks/{key}", tag = "locks", request_body = ReleaseBody,
    params(("key" = String, Path, description = "`run:JOB` or `mutex:NAME`", example = "run:db-backup"),
        ("If-Match" = String, Header, description = "The fencing token of the hold to end, in quotes: a newer one is left alone")),
    responses((status = 200, description = "It is free", body = Released),
        (status = 404, description = "Nobody holds it", body = problem::Document, content_type = "application/problem+json"),
        (status = 412, description = "It is held under another fencing token by now", body = problem::Document, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing", body = problem::Document, content_type = "application/problem+json")))]
async fn release(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(key): At<String>,
    headers: HeaderMap,
    Sent(body): Sent<ReleaseBody>,
) -> Result<Json<Released>, Problem> {
    caller.may(Role::Admin)?;
    let token = take::fence(&headers)?;
    Ok(Json(desk.release(&key, token, format!("{}: {}", caller.name, body.reason)).await?))
}
