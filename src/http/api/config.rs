//! Schedule files: in force, checked, read again; and what expressions mean.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::give;
use super::take::{self, Sent};
use crate::desk::{self, Desk, Question, Refusal};
use crate::http::access::{Caller, Role};
use crate::http::problem::{self, Problem};
use crate::schedule::{ScheduleError, Zone};
use crate::shape::{Config, Explanation, Reloaded, Validated};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(config))
        .routes(routes!(reload))
        .routes(routes!(validate))
        .routes(routes!(explain))
}

/// Look at the schedule files in force
///
/// Each job with all its settings, defaults filled in. Secrets are only named.
#[utoipa::path(get, path = "/config", tag = "config",
    responses((status = 200, description = "The jobs in force on this replica", body = Config),
        (status = 304, description = "They are as the caller knows them")))]
async fn config(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    give::tagged(&headers, &desk.config())
}

/// Read the schedule files again
///
/// On this replica. With a mistake in them the old ones stay in force.
#[utoipa::path(post, path = "/config/reload", tag = "config",
    responses((status = 200, description = "They are in force", body = Reloaded),
        (status = 422, description = "They have mistakes", body = problem::Document, content_type = "application/problem+json")))]
async fn reload(State(desk): State<Arc<Desk>>, caller: Caller) -> Result<Json<Reloaded>, Problem> {
    caller.may(Role::Admin)?;
    Ok(Json(desk.reload().await?))
}

/// Check a schedule file
///
/// The body is the file, in TOML. Nothing is changed, and nothing of this machine is looked at.
#[utoipa::path(post, path = "/config/validate", tag = "config",
    request_body(content((String = "application/toml"), (String = "text/plain")), description = "A schedule file"),
    responses((status = 200, description = "What was found", body = Validated)))]
async fn validate(State(desk): State<Arc<Desk>>, request: Request) -> Result<Json<Validated>, Problem> {
    let body = take::body(request, &()).await?;
    let text = String::from_utf8(body.to_vec());
    if body.trim_ascii().is_empty() {
        return Err(Refusal::wrong("", "missing", "send the schedule file as the body").into());
    }
    let text = text.map_err(|_| Refusal::wrong("", "not_utf8", "a schedule file is text in UTF-8"))?;
    let found = tokio::task::spawn_blocking(move || desk.validate("request.toml", &text)).await;
    found.map(Json).map_err(|error| Problem::internal(format!("the file was not checked: {error}")))
}

/// Explain a schedule
///
/// In words, field by field, with its next times. Open to everybody.
#[utoipa::path(post, path = "/explain", tag = "config", request_body = Question, security(()),
    responses((status = 200, description = "What it means", body = Explanation),
        (status = 422, description = "What is wrong with it", body = problem::Document, content_type = "application/problem+json")))]
async fn explain(State(desk): State<Arc<Desk>>, Sent(question): Sent<Question>) -> Result<Json<Explanation>, Problem> {
    let now = desk.parts.clock.now();
    let moment = |text: &str, _: &Zone| text.parse().map_err(|_| "write it as 2026-11-22T00:00:00Z".to_owned());
    let answer = tokio::task::spawn_blocking(move || {
        desk::explain(question, now, moment).map(|meaning| meaning.shape(now)).map_err(|unclear| {
            let ScheduleError { message, help, span, .. } = &unclear.error;
            let mut refusal = Refusal::wrong("/schedule", &unclear.error.name(), message.clone());
            if let Some(help) = help {
                refusal = refusal.suggest(help.clone());
            }
            Problem::from(refusal).with("span", [span.start, span.end]).with("schedule", &unclear.text)
        })
    });
    answer.await.map_err(|error| Problem::internal(format!("it was not explained: {error}")))?.map(Json)
}
