//! How far a run is, said by whoever does it, and looked at.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::take::{At, Sent};
use crate::desk::{Desk, Hold, Kept};
use crate::http::access::{Caller, Role};
use crate::http::problem::{self, Code, Problem};
use crate::lease::{Fence, RunId};
use crate::progress::Progress;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(look, report))
}

/// How far a run is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProgressBody {
    /// As its message, or its environment (`CRONCLAVE_FENCING_TOKEN`), says.
    fencing_token: Fence,
    /// As when it was started: the lease is renewed as well.
    #[schema(max_length = 200)]
    token: Option<String>,
    /// From 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    percent: f64,
    /// What it is at; the first 200 characters are kept.
    message: Option<String>,
}

/// Look at the progress of a run
#[utoipa::path(get, path = "/runs/{run}/progress", tag = "runs",
    params(("run" = RunId, Path, description = "Its id")),
    responses((status = 200, description = "The last that it said", body = Progress),
        (status = 404, description = "It said nothing, or is over", body = problem::Document, content_type = "application/problem+json")))]
async fn look(State(desk): State<Arc<Desk>>, At(run): At<RunId>) -> Result<Json<Progress>, Problem> {
    let none = || Problem::new(Code::NotFound, format!("run {run} said nothing of how far it is, or is over"));
    Ok(Json(desk.progress(run).await?.ok_or_else(none)?))
}

/// Say how far a run is
#[utoipa::path(post, path = "/runs/{run}/progress", tag = "workers", request_body = ProgressBody,
    params(("run" = RunId, Path, description = "Its id")),
    responses((status = 200, description = "It is kept", body = Kept),
        (status = 409, description = "The run is not going under this fencing token (any more)", body = problem::Document, content_type = "application/problem+json"),
        (status = 422, description = "It cannot be understood", body = problem::Document, content_type = "application/problem+json")))]
async fn report(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(run): At<RunId>,
    Sent(body): Sent<ProgressBody>,
) -> Result<Json<Kept>, Problem> {
    caller.may(Role::Operator)?;
    let ProgressBody { fencing_token, token, percent, message } = body;
    let token = token.map(|token| token.chars().take(200).collect());
    let hold = Hold { fence: fencing_token, token, worker: caller.name.clone() };
    Ok(Json(desk.report(run, &hold, percent, message.unwrap_or_default()).await?))
}
