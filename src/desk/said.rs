//! How far runs say they are.

use std::collections::BTreeMap;

use super::Desk;
use super::refusal::Refusal;
use super::work::Hold;
use crate::lease::RunId;
use crate::progress;
use crate::record::Phase;
use crate::shape::{Progress, Run, Standing};

impl Desk {
    /// Keeps how far a run is: as its worker says, who has a token, or as its own code does, which knows the fence.
    ///
    /// # Errors
    /// The run is not going under this fence and token (any more), or the store does not answer.
    pub async fn say(&self, run_id: RunId, hold: &Hold, percent: f64, message: String) -> Result<(), Refusal> {
        let (job, open) = self.going(run_id, hold).await?;
        let is_other = hold.token.is_some() && open.token.as_ref() != Some(&hold.key(run_id).token);
        if open.phase != Phase::Running || is_other {
            return Err(hold.refused(run_id));
        }
        let at = self.parts.clock.now();
        let said = progress::Progress { job: job.name.clone(), run_id, percent, message, at };
        self.in_time(progress::write(&self.parts, said)).await?;
        Ok(())
    }

    /// Adds to runs that are going how far they say they are. Where that is not known it is left out.
    pub(super) async fn add_progress(&self, runs: &mut [&mut Run]) {
        if runs.iter().any(|run| !run.state.is_final()) {
            let known = self.said().await;
            for run in runs.iter_mut().filter(|run| !run.state.is_final()) {
                run.progress = run.id.parse().ok().and_then(|id: RunId| known.get(&id).cloned());
            }
        }
    }

    /// The same for open runs.
    pub(super) async fn add_progress_to_open(&self, runs: &mut [Standing]) {
        if !runs.is_empty() {
            let known = self.said().await;
            for run in runs {
                run.progress = known.get(&run.id).cloned();
            }
        }
    }

    async fn said(&self) -> BTreeMap<RunId, Progress> {
        let all = self.in_time(progress::all(&*self.parts.store)).await.unwrap_or_default();
        all.iter().map(|said| (said.run_id, Progress::from(said))).collect()
    }
}
