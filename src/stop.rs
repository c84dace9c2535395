//! Stopping in two steps: softly, which starts nothing new, then hard, which ends what is going.

use tokio_util::sync::CancellationToken;

/// Shared by everything that has to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
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
