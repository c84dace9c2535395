//! The cluster as a whole: who is there, what happened and will happen.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::take::{self, Asked};
use crate::clock::Timestamp;
use crate::desk::{Desk, Window};
use crate::http::problem::Problem;
use crate::shape::{Cluster, Seen, Timeline};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(timeline))
}

/// Look at the cluster
///
/// Its replicas and workers, its open runs and locks, and what is wrong with it.
#[utoipa::path(get, path = "/cluster", tag = "cluster",
    responses((status = 200, description = "The cluster", body = Seen<Cluster>)))]
async fn status(State(desk): State<Arc<Desk>>) -> Result<Json<Seen<Cluster>>, Problem> {
    Ok(Json(desk.status().await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Spanned {
    /// At this time or later. Default: a day ago.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Before this time. Default: an hour from now, or a day after `from`.
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
}

/// Look at a span of time
///
/// All runs and planned occurrences, job by job, counted in buckets.
#[utoipa::path(get, path = "/timeline", tag = "cluster", params(Spanned),
    responses((status = 200, description = "What happens in it", body = Seen<Timeline>)))]
async fn timeline(
    State(desk): State<Arc<Desk>>,
    Asked(query): Asked<Spanned>,
) -> Result<Json<Seen<Timeline>>, Problem> {
    let window =
        Window { from: take::time("from", query.from.as_ref())?, until: take::time("until", query.until.as_ref())? };
    Ok(Json(desk.timeline(&window).await?))
}
