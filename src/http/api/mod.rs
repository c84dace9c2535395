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

/// Makes the routes of a resource, with what their document says.
pub(super) type Make = fn() -> OpenApiRouter<Arc<Desk>>;

/// All of them.
pub(super) const RESOURCES: [Make; 11] = [
    jobs::routes,
    past::routes,
    runs::routes,
    logs::routes,
    work::routes,
    webhooks::routes,
    cluster::routes,
    audit::routes,
    locks::routes,
    fences::routes,
    config::routes,
];
