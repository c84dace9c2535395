//! Fencing tokens: whether one still counts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::take::{Asked, At};
use crate::desk::{Desk, Refusal};
use crate::http::problem::{self, Problem};
use crate::lease::Fence;
use crate::shape::Fencing;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(fence))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The fencing token, as the run was given it.
    #[param(value_type = Fence, required = true)]
    token: Option<String>,
}

/// Check a fencing token
///
/// Whether it is the newest claim on its run, and the run may still act. Always asks the store: while that is away the
/// answer is 503. By the time it is read it may be outdated, so a resource that compares tokens itself is safer.
#[utoipa::path(get, path = "/jobs/{job}/fence", tag = "locks",
    params(("job" = String, Path, description = "Its name"), Which),
    responses((status = 200, description = "Whether it counts: `may_act`", body = Fencing),
        (status = 404, description = "There is no such job", body = problem::Document, content_type = "application/problem+json"),
        (status = 422, description = "`token` is missing or no number", body = problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer", body = problem::Document, content_type = "application/problem+json")))]
async fn fence(
    State(desk): State<Arc<Desk>>,
    At(job): At<String>,
    Asked(query): Asked<Which>,
) -> Result<Json<Fencing>, Problem> {
    let missing = || Refusal::wrong("?token", "missing_field", "`token` is missing: the number that the run was given");
    let text = query.token.ok_or_else(missing)?;
    let wrong = |_| Refusal::wrong("?token", "not_a_number", format!("`{text}` is no fencing token: write a number"));
    let token: u64 = text.parse().map_err(wrong)?;
    Ok(Json(desk.fence(&job, Fence(token)).await?))
}
