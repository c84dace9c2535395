//! How far runs are, and whoever does one saying so.

use std::collections::BTreeMap;

use super::Desk;
use super::refusal::Refusal;
use super::work::{Hold, Kept, refused};
use crate::lease::RunId;
use crate::ledger::State;
use crate::progress::{self, Progress};
use crate::record::{Phase, Reply};
use crate::shape::Run;

impl Desk {
    /// Keeps how far a run is. Whoever has a token renews the lease with it.
    ///
    /// # Errors
    /// The run is not going under this fencing token (any more), or the store does not answer.
    pub async fn report(&self, run_id: RunId, hold: &Hold, percent: f64, message: String) -> Result<Kept, Refusal> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(Refusal::wrong("/percent", "out_of_range", "`percent` may be from 0 to 100"));
        }
        let (job, open) = self.going(run_id, hold).await?;
        if open.phase != Phase::Running {
            return Err(refused(run_id, hold.fence, &Reply::Fenced));
        }
        let kept = match hold.token {
            Some(_) => self.renew(run_id, hold).await?,
            None => Kept { lease_until: open.until, cancel: open.cancel },
        };
        let at = self.parts.clock.now();
        let said = Progress { job: job.name.clone(), run_id, percent, message, at };
        self.in_time(progress::write(&self.parts, said)).await?;
        Ok(kept)
    }

    /// How far a run is, if it goes on and said so.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn progress(&self, run_id: RunId) -> Result<Option<Progress>, Refusal> {
        Ok(self.in_time(progress::of(&*self.parts.store, run_id)).await?)
    }

    /// Adds to those that go on how far they are. A store that does not say so now keeps nothing else from being shown.
    pub(super) async fn add_progress(&self, runs: &mut [Run]) {
        if !runs.iter().any(|run| run.state == State::Running) {
            return;
        }
        let Ok(all) = self.in_time(progress::all(&*self.parts.store)).await else { return };
        let said: BTreeMap<String, Progress> = all.into_iter().map(|one| (one.run_id.to_string(), one)).collect();
        for run in runs.iter_mut().filter(|run| run.state == State::Running) {
            run.progress = said.get(&run.id).cloned();
        }
    }

    /// What a run said is of no use once it is over.
    pub(super) async fn forget_progress(&self, run_id: RunId) {
        if let Err(error) = self.in_time(progress::forget(&*self.parts.store, run_id)).await {
            tracing::debug!(%run_id, %error, "how far it was is forgotten later");
        }
    }
}
