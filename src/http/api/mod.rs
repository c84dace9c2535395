//! The routes below `/api/v1`.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::desk::Desk;

/// All of them, with what their document says.
pub fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
}
