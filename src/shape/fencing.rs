//! Whether a fencing token still counts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Fence, RunId};
use crate::plan::View;
use crate::record::Phase;

/// Whether a fencing token is the newest of its run, and the run may still act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fencing {
    /// Whose.
    pub job: JobName,
    /// The token that was asked about.
    pub fencing_token: Fence,
    /// Whether whoever holds it may go on.
    pub may_act: bool,
    /// Why, or why not, in one sentence.
    pub reason: String,
    /// The largest token that was ever given to a run of the job, or under its mutex.
    pub newest: Fence,
    /// Its run, while that is open.
    pub run_id: Option<RunId>,
    /// It may act until then, unless the lease is renewed.
    pub until: Option<Timestamp>,
    /// What the store's clock read. The answer is as old as the way here.
    pub now: Timestamp,
}

impl Fencing {
    /// What `view` says of `token`, with the mutex of its run if that holds one.
    pub fn of(job: &JobName, token: Fence, view: &View) -> Fencing {
        let run = view.record.open.iter().find(|run| run.fence == token && run.phase != Phase::Waiting);
        let newest = view.record.fence.max(view.mutex.fence);
        let held = run.and_then(|run| run.mutex.as_ref()).map(|_| view.mutex.held.as_ref().map(|held| held.fence));
        let (may_act, reason) = match run {
            None if token > newest => (false, "no run was ever given this token".to_owned()),
            None => {
                (false, format!("its run is over, or went on under a newer token; the newest of the job is {newest}"))
            }
            Some(run) if run.until <= view.now => {
                (false, format!("its lease ended at {}: another run may start at any moment", run.until))
            }
            Some(_) if held.is_some_and(|held| held != Some(token)) => {
                (false, "another run holds the mutex of its job".to_owned())
            }
            Some(run) if run.cancel => (true, "it holds its lease; somebody asked to stop it".to_owned()),
            Some(_) => (true, "it is the newest claim on its run, and holds its lease".to_owned()),
        };
        let until = run.map(|run| run.until);
        let (job, fencing_token) = (job.clone(), token);
        Fencing { job, fencing_token, may_act, reason, newest, run_id: run.map(|run| run.run_id), until, now: view.now }
    }
}
