//! Jobs: looked at, triggered, paused, resumed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::give;
use super::take::{self, Asked, At, Sent};
use crate::clock::Timestamp;
use crate::desk::{self, AfterPause, Choice, Desk, Detail, PassedOver, Slice, Span};
use crate::http::access::{Caller, Role};
use crate::http::asked;
use crate::http::problem::{self, Problem};
use crate::shape::{All, Job, JobDetail, Occurrence, Page, Paused, Resumed, Seen, Triggered, Wanted};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(occurrences))
        .routes(routes!(trigger))
        .routes(routes!(pause, resume))
        .routes(routes!(pause_all, resume_all))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Those that fare so.
    #[param(inline)]
    state: Option<Wanted>,
    /// Those with one of these tags, separated by commas.
    tag: Option<String>,
    /// Those in whose name or description this stands.
    q: Option<String>,
    /// At most so many. Default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// What follows the part that gave this.
    cursor: Option<String>,
}

/// List jobs
///
/// By name, each with how it fares, its newest run and its next occurrence.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(Listed),
    responses((status = 200, description = "A part of the list", body = Page<Job>)))]
async fn list(
    State(desk): State<Arc<Desk>>,
    OriginalUri(uri): OriginalUri,
    Asked(query): Asked<Listed>,
) -> Result<Response, Problem> {
    let Listed { state, tag, q, limit, cursor } = query;
    let choice = Choice { names: Vec::new(), tags: take::words(tag.as_ref()), state, text: q, detail: Detail::Full };
    Ok(give::page(&uri, &desk.jobs(&choice, &Slice::new(limit, cursor)).await?))
}

/// Look at a job
///
/// With all its settings and where it was declared. Secrets are only named.
#[utoipa::path(get, path = "/jobs/{job}", tag = "jobs", params(("job" = String, Path, description = "Its name", example = "db-backup")),
    responses((status = 200, description = "The job", body = Seen<JobDetail>),
        (status = 304, description = "It is as the caller knows it"),
        (status = 404, description = "There is no such job", body = problem::Document, content_type = "application/problem+json")))]
async fn one(State(desk): State<Arc<Desk>>, At(job): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(give::tagged(&headers, &desk.one_job(&job).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Spanned {
    /// At this time or later. Default: from now on.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Before this time.
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
    /// So many of the past, and so many to come. Default 20.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<usize>,
    /// `skipped`: those passed over as well.
    #[param(inline)]
    include: Option<Include>,
}

/// What is shown beyond what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// What was, or will be, passed over.
    Skipped,
}

/// List occurrences
///
/// Oldest first: what became of those in the past and why, and those to come.
#[utoipa::path(get, path = "/jobs/{job}/occurrences", tag = "jobs",
    params(("job" = String, Path, description = "Its name", example = "db-backup"), Spanned),
    responses((status = 200, description = "The occurrences", body = Page<Occurrence>)))]
async fn occurrences(
    State(desk): State<Arc<Desk>>,
    At(job): At<String>,
    Asked(query): Asked<Spanned>,
) -> Result<Json<Page<Occurrence>>, Problem> {
    let span = Span {
        from: take::time("from", query.from.as_ref())?,
        until: take::time("until", query.until.as_ref())?,
        count: query.count,
        passed_over: if query.include.is_some() { PassedOver::Shown } else { PassedOver::Hidden },
    };
    Ok(Json(desk.occurrences(&job, &span).await?))
}

/// A run that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerBody {
    /// What its code is given.
    #[serde(default)]
    args: BTreeMap<String, String>,
    /// Why; it is kept in the history.
    reason: Option<String>,
    /// The instant it stands for. Default: now.
    scheduled_at: Option<Timestamp>,
}

/// Asks twice, runs once.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Trigger a job
///
/// The first replica to see it starts it. A request with the `Idempotency-Key` of another asks for the same run.
#[utoipa::path(post, path = "/jobs/{job}/runs", tag = "jobs", request_body = TriggerBody,
    params(("job" = String, Path, description = "Its name", example = "db-backup"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key asked again is the same run, for a day at least", max_length = 200)),
    responses((status = 202, description = "It will be started, or was asked for before", body = Triggered,
            headers(("Location" = String, description = "The run"))),
        (status = 409, description = "Something is in the way", body = problem::Document, content_type = "application/problem+json")))]
async fn trigger(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(job): At<String>,
    headers: HeaderMap,
    Sent(body): Sent<TriggerBody>,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    let key = take::text(&headers, &IDEMPOTENCY_KEY).map(str::to_owned);
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 200) {
        let detail = "`Idempotency-Key` has 1 to 200 characters";
        return Err(desk::Refusal::wrong("Idempotency-Key", "out_of_range", detail).into());
    }
    let TriggerBody { args, reason, scheduled_at } = body;
    let asked = desk::Asked { args, reason, scheduled_at, key };
    Ok(accepted(desk.trigger(&job, asked, Some(caller.name)).await?))
}

/// 202, and where the run is found.
pub(super) fn accepted(triggered: Triggered) -> Response {
    let place = asked::address(&format!("/api/v1/runs/{}", triggered.id));
    (StatusCode::ACCEPTED, [(LOCATION, place)], Json(triggered)).into_response()
}

/// A pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    /// Why; shown to everybody.
    reason: Option<String>,
    /// Until then. Default: until resumed.
    until: Option<Timestamp>,
}

/// Pause a job
///
/// What runs goes on; what comes due meanwhile is skipped.
#[utoipa::path(put, path = "/jobs/{job}/pause", tag = "jobs", request_body = PauseBody,
    params(("job" = String, Path, description = "Its name", example = "db-backup")),
    responses((status = 200, description = "It is paused", body = Paused)))]
async fn pause(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(job): At<String>,
    Sent(body): Sent<PauseBody>,
) -> Result<Json<Paused>, Problem> {
    caller.may(Role::Operator)?;
    Ok(Json(desk.pause(&job, body.until, body.reason, Some(caller.name)).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Back {
    /// Leave what came due meanwhile to the job's `misfire` instead of skipping it. Default `false`.
    #[serde(default)]
    catch_up: bool,
}

impl Back {
    fn after(&self) -> AfterPause {
        if self.catch_up { AfterPause::CatchUp } else { AfterPause::Skip }
    }
}

/// Resume a job
#[utoipa::path(delete, path = "/jobs/{job}/pause", tag = "jobs",
    params(("job" = String, Path, description = "Its name", example = "db-backup"), Back),
    responses((status = 200, description = "It is started again when it is due", body = Resumed)))]
async fn resume(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(job): At<String>,
    Asked(back): Asked<Back>,
) -> Result<Json<Resumed>, Problem> {
    caller.may(Role::Operator)?;
    Ok(Json(desk.resume(&job, back.after(), Some(caller.name)).await?))
}

/// Pause all jobs
#[utoipa::path(put, path = "/pause", tag = "jobs", request_body = PauseBody,
    responses((status = 200, description = "They are paused", body = All<Paused>)))]
async fn pause_all(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Sent(body): Sent<PauseBody>,
) -> Result<Json<All<Paused>>, Problem> {
    caller.may(Role::Operator)?;
    Ok(Json(desk.pause_all(body.until, body.reason, Some(caller.name)).await?))
}

/// Resume all jobs
#[utoipa::path(delete, path = "/pause", tag = "jobs", params(Back),
    responses((status = 200, description = "They are started again when they are due", body = All<Resumed>)))]
async fn resume_all(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Asked(back): Asked<Back>,
) -> Result<Json<All<Resumed>>, Problem> {
    caller.may(Role::Operator)?;
    Ok(Json(desk.resume_all(back.after(), Some(caller.name)).await?))
}
