//! The routes below `/api/v1`, one file a resource. Each takes what a request says, asks the desk, and gives its answer.

mod audit;
mod cluster;
mod config;
pub(in crate::http) mod document;
mod fences;
pub(in crate::http) mod give;
mod jobs;
mod locks;
mod logs;
mod past;
mod runs;
pub(in crate::http) mod take;
mod webhooks;
mod work;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::desk::Desk;

/// All of them, with what their document says.
pub fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .merge(jobs::routes())
        .merge(past::routes())
        .merge(runs::routes())
        .merge(logs::routes())
        .merge(work::routes())
        .merge(webhooks::routes())
        .merge(cluster::routes())
        .merge(audit::routes())
        .merge(locks::routes())
        .merge(fences::routes())
        .merge(config::routes())
}
