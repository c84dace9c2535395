//! Who changed what, from where and why.

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::give;
use super::take::Asked;
use crate::desk::{Desk, Slice};
use crate::http::access::{Caller, Role};
use crate::http::audit::Entry;
use crate::http::problem::Problem;
use crate::shape::Page;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// At most so many. Default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// What follows the part that gave this.
    cursor: Option<String>,
}

/// List changes
///
/// Newest first: who asked for what, from where and why, and what was answered. For admins.
#[utoipa::path(get, path = "/audit", tag = "cluster", params(Listed),
    responses((status = 200, description = "A part of the list", body = Page<Entry>)))]
async fn list(
    State(desk): State<Arc<Desk>>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    Asked(query): Asked<Listed>,
) -> Result<Response, Problem> {
    caller.may(Role::Admin)?;
    let page = desk.audit(&Slice::new(query.limit, query.cursor)).await?;
    let read = |body: String| serde_json::from_str::<Entry>(&body);
    let Page { items, next_cursor, total, now, stale_since } = page.map(read);
    // What a later version wrote may not be for us.
    let items = items.into_iter().filter_map(Result::ok).collect();
    Ok(give::page(&uri, &Page { items, next_cursor, total, now, stale_since }))
}
