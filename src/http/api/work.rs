//! Workers that speak HTTP: they start, hold and finish runs by their fencing tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::take::{At, Sent};
use crate::desk::{self, Begun, Desk, Hold, Kept, Settled};
use crate::http::access::{Caller, Role};
use crate::http::problem::{self, Problem};
use crate::lease::{Fence, Outcome, RunId};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(start)).routes(routes!(renew)).routes(routes!(progress)).routes(routes!(finish))
}

/// By which right a worker asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    /// As its message says.
    fencing_token: Fence,
    /// A secret that the worker makes up for this run, and then always names: it renews the lease. Without one nobody
    /// has to renew, and the run is to be finished within the job's `timeout`.
    #[schema(max_length = 200)]
    token: Option<String>,
    /// What the worker is called. Default: the caller's name.
    #[schema(max_length = 100)]
    worker: Option<String>,
}

/// How far a run is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProgressBody {
    /// As its message says.
    fencing_token: Fence,
    /// As when it was started.
    #[schema(max_length = 200)]
    token: Option<String>,
    /// What the worker is called. Default: the caller's name.
    #[schema(max_length = 100)]
    worker: Option<String>,
    /// From 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    percent: f64,
    /// What it is at.
    #[serde(default)]
    message: String,
}

/// How a run ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FinishBody {
    /// As its message says.
    fencing_token: Fence,
    /// As when it was started.
    #[schema(max_length = 200)]
    token: Option<String>,
    /// What the worker is called. Default: the caller's name.
    #[schema(max_length = 100)]
    worker: Option<String>,
    /// Whether it did what it should.
    outcome: Ending,
    /// The program's exit code.
    exit_code: Option<i32>,
    /// In words.
    message: Option<String>,
}

/// How a worker may say that a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Ending {
    /// It did what it should.
    Succeeded,
    /// It did not; it may be tried again.
    Failed,
    /// It was stopped because somebody asked for that.
    Cancelled,
}

fn hold(caller: &Caller, fence: Fence, token: Option<String>, worker: Option<String>) -> Hold {
    let worker = worker.unwrap_or_else(|| caller.name.clone());
    let plain: String = worker.chars().filter(|c| !c.is_control()).take(100).collect();
    Hold { fence, token: token.map(|token| token.chars().take(200).collect()), worker: plain }
}

/// Start a run
///
/// From the message that was sent for it. Asked again with the same token it is the same start.
#[utoipa::path(post, path = "/runs/{run}/start", tag = "workers", request_body = HoldBody,
    params(("run" = RunId, Path, description = "Its id")),
    responses((status = 200, description = "It is the worker's", body = Begun),
        (status = 409, description = "It is not: drop the message", body = problem::Document, content_type = "application/problem+json")))]
async fn start(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(run): At<RunId>,
    Sent(body): Sent<HoldBody>,
) -> Result<Json<Begun>, Problem> {
    caller.may(Role::Operator)?;
    let hold = hold(&caller, body.fencing_token, body.token, body.worker);
    Ok(Json(desk.start(run, &hold).await?))
}

/// Renew a lease
///
/// At a third of it. A run that is to stop says so here.
#[utoipa::path(post, path = "/runs/{run}/renew", tag = "workers", request_body = HoldBody,
    params(("run" = RunId, Path, description = "Its id")),
    responses((status = 200, description = "It still is the worker's", body = Kept),
        (status = 409, description = "It is not: stop", body = problem::Document, content_type = "application/problem+json")))]
async fn renew(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(run): At<RunId>,
    Sent(body): Sent<HoldBody>,
) -> Result<Json<Kept>, Problem> {
    caller.may(Role::Operator)?;
    let hold = hold(&caller, body.fencing_token, body.token, body.worker);
    Ok(Json(desk.renew(run, &hold).await?))
}

/// Say how far a run is
#[utoipa::path(post, path = "/runs/{run}/progress", tag = "workers", request_body = ProgressBody,
    params(("run" = RunId, Path, description = "Its id")),
    responses((status = 204, description = "It is shown"),
        (status = 409, description = "It is not the worker's", body = problem::Document, content_type = "application/problem+json")))]
async fn progress(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(run): At<RunId>,
    Sent(body): Sent<ProgressBody>,
) -> Result<StatusCode, Problem> {
    caller.may(Role::Operator)?;
    let ProgressBody { fencing_token, token, worker, percent, message } = body;
    if !(0.0..=100.0).contains(&percent) {
        let detail = format!("`percent` is {percent}, and may be from 0 to 100");
        return Err(desk::Refusal::wrong("/percent", "out_of_range", detail).into());
    }
    desk.say(run, &hold(&caller, fencing_token, token, worker), percent, message).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Finish a run
#[utoipa::path(post, path = "/runs/{run}/finish", tag = "workers", request_body = FinishBody,
    params(("run" = RunId, Path, description = "Its id")),
    responses((status = 200, description = "It is recorded", body = Settled),
        (status = 409, description = "It is not the worker's any more", body = problem::Document, content_type = "application/problem+json")))]
async fn finish(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(run): At<RunId>,
    Sent(body): Sent<FinishBody>,
) -> Result<Json<Settled>, Problem> {
    caller.may(Role::Operator)?;
    let FinishBody { fencing_token, token, worker, outcome, exit_code, message } = body;
    let outcome = match outcome {
        Ending::Succeeded => Outcome::Succeeded,
        Ending::Failed => Outcome::Failed,
        Ending::Cancelled => Outcome::Cancelled,
    };
    let hold = hold(&caller, fencing_token, token, worker);
    Ok(Json(desk.finish(run, &hold, desk::Finish { outcome, exit_code, message }).await?))
}
