//! What happens, for pages: which jobs it was about, at most twice a second, however much happens.

use std::sync::Arc;

use axum::extract::Extension;
use axum::http::HeaderMap;
use axum::response::Response;

use super::view::View;
use crate::http::access::Access;
use crate::http::limit::Seats;
use crate::http::live::{self, Live};
use crate::http::problem::Problem;

/// A stream of `changed`, each with the names of jobs, or with none where they were many.
pub(super) async fn changes(
    Extension(live): Extension<Arc<Live>>,
    Extension(seats): Extension<Seats>,
    Extension(access): Extension<Arc<Access>>,
    _: View,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    live::gathered(&live, &seats, &access, &headers)
}
