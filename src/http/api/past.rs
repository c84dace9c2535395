//! Occurrences that are over: why they are as they are, and whether they run after all.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::take::{self, Asked, At, Sent};
use crate::clock::Timestamp;
use crate::desk::{Desk, Fill, Refusal};
use crate::http::access::{Caller, Role};
use crate::http::problem::{self, Problem};
use crate::shape::{Backfill, Seen, Waits, Why};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(why)).routes(routes!(backfill))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The instant it was scheduled for.
    #[param(value_type = Timestamp, required = true)]
    at: Option<String>,
}

/// Say why
///
/// What happened to one occurrence, and why, in words: who ran it, or why nobody did.
#[utoipa::path(get, path = "/jobs/{job}/why", tag = "jobs", params(("job" = String, Path, description = "Its name"), Which),
    responses((status = 200, description = "What is known", body = Seen<Why>),
        (status = 404, description = "There is no such job", body = problem::Document, content_type = "application/problem+json")))]
async fn why(
    State(desk): State<Arc<Desk>>,
    At(job): At<String>,
    Asked(query): Asked<Which>,
) -> Result<Json<Seen<Why>>, Problem> {
    let missing = || Refusal::wrong("?at", "missing_field", "`at` is missing: the instant that is asked about");
    let at = take::time("at", query.at.as_ref())?.ok_or_else(missing)?;
    Ok(Json(desk.why(&job, at).await?))
}

/// A span whose occurrences are to run after all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BackfillBody {
    /// Those at this instant or later.
    from: Timestamp,
    /// Those before this one.
    until: Timestamp,
    /// What happens to one while a run of the job is open. Default `queue_all`.
    #[serde(default)]
    overlap: Waits,
    /// Why; it is kept in the history.
    reason: Option<String>,
    /// Only lists them. Default `false`.
    #[serde(default)]
    dry_run: bool,
}

/// Backfill a span
///
/// Past occurrences that have not run come to run, each under its own identity: what ran before does not run again. Ask
/// with `dry_run` first: it lists them.
#[utoipa::path(post, path = "/jobs/{job}/backfill", tag = "jobs", request_body = BackfillBody,
    params(("job" = String, Path, description = "Its name")),
    responses((status = 200, description = "What it would do", body = Backfill),
        (status = 202, description = "Those that are to run wait for their turn", body = Backfill)))]
async fn backfill(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(job): At<String>,
    Sent(body): Sent<BackfillBody>,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    let BackfillBody { from, until, overlap, reason, dry_run } = body;
    let fill = Fill { from, until, overlap, reason };
    if dry_run {
        return Ok(Json(desk.backfill_plan(&job, &fill).await?).into_response());
    }
    let done = desk.backfill(&job, fill, Some(caller.name)).await?;
    Ok((StatusCode::ACCEPTED, Json(done)).into_response())
}
