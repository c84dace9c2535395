//! Something held by one run until a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Fence, RunId};
use crate::record::Phase;
use crate::store::Snapshot;

/// Something held by one run until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lock {
    /// `run:JOB` or `mutex:NAME`.
    pub key: String,
    /// The run's job.
    pub job: JobName,
    /// The run.
    pub run_id: RunId,
    /// Who runs it.
    pub holder: String,
    /// The claim.
    pub fencing_token: Fence,
    /// Since when.
    pub acquired_at: Timestamp,
    /// Until when, unless renewed.
    pub expires_at: Timestamp,
}

impl Lock {
    /// All locks of the cluster.
    pub fn all(snapshot: &Snapshot) -> Vec<Lock> {
        let mut locks = Vec::new();
        for (job, record) in snapshot.records.busy() {
            for run in record.open.iter().filter(|run| run.phase != Phase::Waiting) {
                locks.push(Lock {
                    key: format!("run:{job}"),
                    job: job.clone(),
                    run_id: run.run_id,
                    holder: run.holder.clone(),
                    fencing_token: run.fence,
                    acquired_at: run.opened,
                    expires_at: run.until,
                });
            }
        }
        for (name, mutex) in &snapshot.mutexes {
            let Some(held) = &mutex.held else { continue };
            let record = snapshot.records.get(&held.job);
            let run = record.as_ref().and_then(|record| record.run(held.run_id));
            locks.push(Lock {
                key: format!("mutex:{name}"),
                job: held.job.clone(),
                run_id: held.run_id,
                holder: held.holder.clone(),
                fencing_token: held.fence,
                acquired_at: run.map_or(held.until, |run| run.opened),
                expires_at: held.until,
            });
        }
        locks
    }
}
