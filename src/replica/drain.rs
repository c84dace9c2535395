//! The end of a replica: what it won and did not begin is given back, what runs comes to its end.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::Replica;
use super::look::Looked;
use crate::job::JobName;
use crate::lease::Lease;
use crate::race::ask;
use crate::record::{Key, Op};

impl Replica {
    /// Starts nothing more; gives back what was won and not begun; waits for what runs, then ends it.
    pub(super) async fn drain(&mut self, grace: Duration) {
        self.tell();
        self.watchdog.rest();
        // Nobody is looked at any more.
        self.parts.waiting.set_crowd(false);
        // Counted from here: a store that is slow now must not keep us beyond what a platform allows.
        let deadline = Instant::now() + grace;
        let brief = Duration::from_secs(3).min(grace.max(Duration::from_secs(1)));
        let _ = timeout(brief, async {
            while let Some(done) = self.loops.join_next().await {
                if let Ok((name, Looked::Won(lease, ..))) = done {
                    self.give_back(&name, &lease).await;
                }
            }
        })
        .await;
        self.loops.shutdown().await;
        let mut told = false;
        // A replica that drains is not a lost one.
        let mut upkeep = std::pin::pin!(self.health.clone().keep_up());
        while !self.runs.is_empty() {
            tokio::select! {
                biased;
                _ = self.runs.join_next() => self.tell(),
                () = &mut upkeep => {}
                () = self.parts.stop.ended(), if !told => told = true,
                () = sleep_until(deadline), if !told => {
                    told = true;
                    self.parts.stop.hard();
                }
            }
        }
        self.health.leave().await;
    }

    async fn give_back(&self, name: &JobName, lease: &Lease) {
        let Some(job) = self.jobs.by_name.get(name) else { return };
        let key = Key { run_id: lease.work.run_id, fence: lease.work.fence, token: lease.token.clone() };
        // Should it fail: the claim lapses by itself.
        if let Ok(answer) = ask(&self.parts, job, &Op::Release { key }, lease.trusted_until).await {
            self.parts.bus.tell_all(answer.events);
        }
    }
}
