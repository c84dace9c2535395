//! The dashboard. Every page is made here, whole: it can be read and used without a script, and scripts of ours only
//! keep it true. They ask for the page again when something happens and take over what differs.

mod acts;
mod address;
mod assets;
mod changes;
mod cluster;
mod explain;
mod fields;
mod frame;
mod icons;
mod job;
mod jobs;
mod lines;
mod log;
mod now;
mod parts;
mod prefs;
mod races;
mod run;
mod runs;
mod said;
mod signin;
mod sought;
mod timeline;
mod trouble;
mod view;
mod when;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::access::LINK_PATH;
use crate::desk::Desk;

pub(super) use prefs::PATH as SETTINGS;
pub(super) use trouble::explain;

/// Where one signs out.
pub(super) const SIGN_OUT: &str = "/signout";

/// Pages for callers who are known.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route(address::NOW.0, get(now::page))
        .route(address::JOBS.0, get(jobs::page).post(acts::several))
        .route(address::TIMELINE.0, get(timeline::page))
        .route("/timeline/{job}", get(timeline::lane))
        .route("/jobs/{job}", get(job::page))
        .route("/jobs/{job}/durations", get(job::durations))
        .route("/jobs/{job}/run", get(acts::ask_run).post(acts::run))
        .route("/jobs/{job}/pause", get(acts::ask_pause).post(acts::pause))
        .route("/jobs/{job}/resume", post(acts::resume))
        .route("/jobs/{job}/why", get(why::page))
        .route("/jobs/{job}/backfill", get(why::ask_backfill).post(why::backfill))
        .route(address::RUNS.0, get(runs::page))
        .route("/runs/{run}", get(run::page))
        .route("/runs/{run}/log", get(log::part))
        .route("/runs/{run}/log.txt", get(log::whole))
        .route("/runs/{run}/cancel", get(acts::ask_cancel).post(acts::cancel))
        .route("/runs/{run}/retry", get(acts::ask_retry).post(acts::retry))
        .route("/locks/release", get(acts::ask_release).post(acts::release))
        .route(address::CLUSTER.0, get(cluster::page))
        .route(address::EXPLAIN.0, get(explain::page))
        .route("/changes", get(changes::changes))
        .route(SETTINGS, post(prefs::set))
        .route(LINK_PATH, get(signin::page).post(signin::sign_in))
        .route(SIGN_OUT, post(signin::sign_out))
}

/// What is open to everybody.
pub(super) fn open() -> Router<Arc<Desk>> {
    assets::routes()
}
