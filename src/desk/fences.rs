//! Whether a fencing token still counts. Never answered from memory: what was true a moment ago may not be.

use tokio::time::timeout;

use super::refusal::Refusal;
use super::{Desk, PATIENCE, nearest_job};
use crate::job::JobName;
use crate::lease::Fence;
use crate::plan::View;
use crate::shape::Fencing;

impl Desk {
    /// Whether `token` is the newest claim on its run of `job`, and the run may still act.
    ///
    /// # Errors
    /// There is no such job, or the store does not answer.
    pub async fn fence(&self, job: &str, token: Fence) -> Result<Fencing, Refusal> {
        let jobs = self.known();
        let unknown = || nearest_job(job, jobs.by_name.keys().map(JobName::as_str));
        let name = JobName::new(job).map_err(|_| unknown())?;
        let mut view = self.view_of(&name, None).await?;
        if view.record.cursor.is_none() && view.record.fence == Fence::default() && !jobs.by_name.contains_key(&name) {
            return Err(unknown());
        }
        let run = view.record.open.iter().find(|run| run.fence == token);
        if let Some(mutex) = run.and_then(|run| run.mutex.clone()) {
            // Both in one look: between two, the mutex may go on.
            view = self.view_of(&name, Some(&mutex)).await?;
        }
        Ok(Fencing::of(&name, token, &view))
    }

    async fn view_of(&self, job: &JobName, mutex: Option<&str>) -> Result<View, Refusal> {
        let asking = self.parts.store.view(job, mutex);
        Ok(timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(self.silent(PATIENCE)))?)
    }
}
