//! Webhooks: registered and renewed, looked at, tested; what they did not take, sent again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::give;
use super::take::{Asked, At, Sent};
use crate::desk::{Desk, Slice};
use crate::hook::shape::{Shown, ShownDelivery, ShownRegistered, Tested};
use crate::hook::{Standing, Wish};
use crate::http::access::{Caller, Role};
use crate::http::problem::{self, Problem};
use crate::shape::{Page, Seen};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one, register, remove))
        .routes(routes!(test))
        .routes(routes!(enable))
        .routes(routes!(deliveries))
        .routes(routes!(resend))
}

/// List webhooks
///
/// Those that were registered, and the hooks of the schedule files. No secret is shown.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks",
    responses((status = 200, description = "All of them", body = Page<Shown>)))]
async fn list(State(desk): State<Arc<Desk>>) -> Result<Json<Page<Shown>>, Problem> {
    Ok(Json(desk.webhooks().await?))
}

/// Look at a webhook
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "Itself", body = Seen<Shown>),
        (status = 304, description = "It is as the caller knows it"),
        (status = 404, description = "There is none", body = problem::Document, content_type = "application/problem+json")))]
async fn one(State(desk): State<Arc<Desk>>, At(id): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(give::tagged(&headers, &desk.webhook(&id).await?))
}

/// Register or renew a webhook
///
/// Under a name of the caller's choice: a client that restarts renews what it had. The first time a secret is made,
/// and shown once; what is sent is signed with it, as Standard Webhooks has it.
#[utoipa::path(put, path = "/webhooks/{id}", tag = "webhooks", request_body = Wish,
    params(("id" = String, Path, description = "Its name: a-z, 0-9, `-` and `_`")),
    responses((status = 200, description = "It is renewed", body = ShownRegistered),
        (status = 201, description = "It is registered", body = ShownRegistered),
        (status = 409, description = "The schedule files have a hook of this name, or there are too many", body = problem::Document, content_type = "application/problem+json"),
        (status = 422, description = "It cannot be registered like this", body = problem::Document, content_type = "application/problem+json")))]
async fn register(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(id): At<String>,
    Sent(wish): Sent<Wish>,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    let (shown, is_new) = desk.register(&id, &wish, &caller.name).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown)).into_response())
}

/// Remove a webhook
///
/// And what waits for it.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "It is gone", body = Shown),
        (status = 404, description = "There is none", body = problem::Document, content_type = "application/problem+json"),
        (status = 409, description = "It is declared in the schedule files", body = problem::Document, content_type = "application/problem+json")))]
async fn remove(State(desk): State<Arc<Desk>>, caller: Caller, At(id): At<String>) -> Result<Json<Shown>, Problem> {
    caller.may(Role::Operator)?;
    Ok(Json(desk.unregister(&id).await?))
}

/// Test a webhook
///
/// Sends a `hook.test` event now, once, and says what was answered.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "What came of it", body = Tested),
        (status = 404, description = "There is none", body = problem::Document, content_type = "application/problem+json")))]
async fn test(State(desk): State<Arc<Desk>>, caller: Caller, At(id): At<String>) -> Result<Json<Tested>, Problem> {
    caller.may(Role::Operator)?;
    Ok(Json(desk.test_webhook(&id).await?))
}

/// Switch a webhook on
///
/// One that answered 410 Gone, and is told nothing since.
#[utoipa::path(post, path = "/webhooks/{id}/enable", tag = "webhooks",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "It is on", body = Shown),
        (status = 404, description = "There is none", body = problem::Document, content_type = "application/problem+json")))]
async fn enable(State(desk): State<Arc<Desk>>, caller: Caller, At(id): At<String>) -> Result<Json<Shown>, Problem> {
    caller.may(Role::Operator)?;
    Ok(Json(desk.enable_webhook(&id).await?))
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Only those that stand so.
    state: Option<Standing>,
    /// At most so many, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// `next_cursor` of the part before.
    cursor: Option<String>,
}

/// List deliveries
///
/// What waits for a webhook, and what it did not take: the newest first. What was taken is not kept.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path, description = "Its name"), Which),
    responses((status = 200, description = "A part of them", body = Page<ShownDelivery>),
        (status = 404, description = "There is no such webhook", body = problem::Document, content_type = "application/problem+json"),
        (status = 422, description = "The query cannot be understood", body = problem::Document, content_type = "application/problem+json")))]
async fn deliveries(
    State(desk): State<Arc<Desk>>,
    At(id): At<String>,
    Asked(which): Asked<Which>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let page = desk.deliveries(&id, which.state, &Slice::new(which.limit, which.cursor)).await?;
    Ok(give::page(&uri, &page))
}

/// Send a delivery again
///
/// At once, and then as often as the first time, with the same id.
#[utoipa::path(post, path = "/webhooks/{id}/deliveries/{delivery}/resend", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's name"),
        ("delivery" = String, Path, description = "The id of the event")),
    responses((status = 202, description = "A replica sends it now", body = ShownDelivery),
        (status = 404, description = "There is no such delivery", body = problem::Document, content_type = "application/problem+json")))]
async fn resend(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At((id, delivery)): At<(String, String)>,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    let shown = desk.resend(&id, &delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(shown)).into_response())
}
