//! Stopping in two steps: softly, which starts nothing new, then hard, which ends what is going.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Shared by everything that has to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
    hurry: Option<Duration>,
}

impl Stop {
    /// Nothing new from now on.
    pub fn softly(&self) {
        self.soft.cancel();
    }

    /// End what is going as well.
    pub fn hard(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// The same, where what is going has so long at most between being asked to end and being killed.
    #[must_use]
    pub fn hurrying(self, hurry: Option<Duration>) -> Stop {
        Stop { hurry, ..self }
    }

    /// How long code that may take `kill_after` to end has for it, once everything is to end.
    pub fn last(&self, kill_after: Duration) -> Duration {
        self.hurry.map_or(kill_after, |hurry| hurry.min(kill_after))
    }

    /// Whether nothing new is to start.
    pub fn is_soft(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether what is going is to end as well.
    pub fn is_hard(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// Waits for the first step.
    pub async fn soft(&self) {
        self.soft.cancelled().await;
    }

    /// Waits for the second step.
    pub async fn ended(&self) {
        self.hard.cancelled().await;
    }
}
