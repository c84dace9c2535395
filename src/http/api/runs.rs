//! Runs: looked at, cancelled, tried again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::give;
use super::jobs::accepted;
use super::take::{self, Asked, At, Sent};
use crate::clock::Timestamp;
use crate::config::nearest;
use crate::desk::{self, Desk, Filter, Refusal, Slice};
use crate::http::access::{Caller, Role};
use crate::http::problem::{self, Problem};
use crate::ledger::State as RunState;
use crate::shape::{Cancelled, Page, Run, RunDetail, Seen, Triggered};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(cancel)).routes(routes!(retry))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Of this job.
    job: Option<String>,
    /// Whose id is this, or begins or ends with it.
    id: Option<String>,
    /// In one of these states, separated by commas.
    state: Option<String>,
    /// Triggered so: `schedule`, `manual`, `cli`, `backfill` or `chain`.
    trigger: Option<String>,
    /// Scheduled at this time or later.
    #[param(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// Scheduled before this time.
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
    /// At most so many. Default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// What follows the part that gave this.
    cursor: Option<String>,
}

/// Words for why a run exists.
const TRIGGERS: [&str; 5] = ["schedule", "manual", "cli", "backfill", "chain"];

impl Listed {
    fn filter(self) -> Result<(Filter, Slice), Problem> {
        let states = take::words(self.state.as_ref());
        let states = states.iter().map(|word| {
            desk::state(word).map_err(|why| {
                let best = nearest(word, RunState::ALL.map(RunState::word)).unwrap_or("failed");
                Refusal::wrong("?state", "unknown", format!("`{word}` is no state: {why}")).suggest(best)
            })
        });
        let states = states.collect::<Result<_, _>>()?;
        if let Some(word) = self.trigger.as_ref().filter(|word| !TRIGGERS.contains(&word.as_str())) {
            let detail = format!("`{word}` is no trigger: write one of {}", TRIGGERS.join(", "));
            return Err(Refusal::wrong("?trigger", "unknown", detail).suggest("schedule").into());
        }
        let since = take::time("since", self.since.as_ref())?;
        let until = take::time("until", self.until.as_ref())?;
        let filter = Filter { job: self.job, id: self.id, states, trigger: self.trigger, since, until, on: None };
        Ok((filter, Slice::new(self.limit, self.cursor)))
    }
}

/// List runs
///
/// Newest first, with the occurrences that did not become a run.
#[utoipa::path(get, path = "/runs", tag = "runs", params(Listed),
    responses((status = 200, description = "A part of the list", body = Page<Run>)))]
async fn list(
    State(desk): State<Arc<Desk>>,
    OriginalUri(uri): OriginalUri,
    Asked(query): Asked<Listed>,
) -> Result<Response, Problem> {
    let (filter, slice) = query.filter()?;
    Ok(give::page(&uri, &desk.runs(&filter, &slice).await?))
}

/// Look at a run
///
/// By its id, any unique beginning or end of that, or the name of a job: then its newest run.
#[utoipa::path(get, path = "/runs/{run}", tag = "runs", params(("run" = String, Path, description = "Its id, a unique beginning or end of that, or the name of its job", example = "db-backup")),
    responses((status = 200, description = "The run", body = Seen<RunDetail>),
        (status = 304, description = "It is as the caller knows it"),
        (status = 404, description = "There is no such run", body = problem::Document, content_type = "application/problem+json")))]
async fn one(State(desk): State<Arc<Desk>>, At(run): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(give::tagged(&headers, &desk.run(&run).await?))
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// It is kept.
    pub(super) reason: Option<String>,
}

/// Cancel a run
///
/// Whoever runs it notices at its next renewal, a third of the lease, and stops it.
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "runs", request_body = Reason,
    params(("run" = String, Path, description = "Its id, a unique beginning or end of that, or the name of its job", example = "db-backup")),
    responses((status = 202, description = "It is asked to stop", body = Cancelled),
        (status = 409, description = "It is over", body = problem::Document, content_type = "application/problem+json")))]
async fn cancel(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(run): At<String>,
    Sent(body): Sent<Reason>,
) -> Result<(StatusCode, Json<Cancelled>), Problem> {
    caller.may(Role::Operator)?;
    let by = match body.reason {
        Some(reason) => format!("{}: {reason}", caller.name),
        None => caller.name,
    };
    Ok((StatusCode::ACCEPTED, Json(desk.cancel(&run, by).await?)))
}

/// Try a run again
///
/// A new run that stands for the same instant. The old one must be over.
#[utoipa::path(post, path = "/runs/{run}/retry", tag = "runs", request_body = Reason,
    params(("run" = String, Path, description = "Its id, a unique beginning or end of that, or the name of its job", example = "db-backup")),
    responses((status = 202, description = "A new run will be started", body = Triggered,
            headers(("Location" = String, description = "The new run"))),
        (status = 409, description = "Something is in the way", body = problem::Document, content_type = "application/problem+json")))]
async fn retry(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    At(run): At<String>,
    Sent(body): Sent<Reason>,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    Ok(accepted(desk.retry(&run, body.reason, Some(caller.name)).await?))
}
