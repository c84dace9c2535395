//! What the schedule files say: in force, checked, read again.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Desk;
use super::refusal::{Refusal, Why, Wrong};
use crate::config::{self, Diagnostic, Severity, SourceText};
use crate::shape::{Config, Definition, Reloaded, Validated};

/// Reading files again takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Desk {
    /// The jobs in force, with all their settings.
    pub fn config(&self) -> Config {
        let known = self.known();
        let jobs = known.by_name.values().map(|job| Definition::new(job)).collect();
        Config { digest: known.digest.clone(), jobs }
    }

    /// Checks a schedule file. What its `[secrets]` name is not looked at: whoever asks could learn from the answer.
    pub fn validate(&self, name: &str, text: &str) -> Validated {
        let sources = [SourceText { name: name.to_owned(), text: text.into() }];
        let (jobs, diagnostics) = match config::check(&sources, self.parts.clock.now()) {
            Ok(config) => (config.jobs.len(), config.warnings),
            Err(diagnostics) => (0, diagnostics),
        };
        let count = |severity| diagnostics.iter().filter(|one| one.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let diagnostics = diagnostics.iter().filter_map(|one| serde_json::to_value(one).ok()).collect();
        Validated { ok: errors == 0, jobs, errors, warnings, diagnostics }
    }

    /// Reads the schedule files of this replica again.
    ///
    /// # Errors
    /// They have mistakes, and the old ones stay in force; or this process reads none.
    pub async fn reload(&self) -> Result<Reloaded, Refusal> {
        let nobody = || Refusal::new(Why::Internal, "this process does not read its schedule files again");
        let (answer, answered) = oneshot::channel();
        self.reload.as_ref().ok_or_else(nobody)?.send(answer).await.map_err(|_| nobody())?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(Ok(reloaded))) => Ok(reloaded),
            Ok(Ok(Err(wrong))) => Err(mistakes(&wrong)),
            _ => Err(nobody()),
        }
    }
}

fn mistakes(found: &[Diagnostic]) -> Refusal {
    let wrong = |one: &Diagnostic| Wrong {
        pointer: format!("{}:{}:{}", one.file, one.line, one.column),
        code: one.code.clone(),
        detail: one.message.clone(),
        suggestion: one.help.clone(),
    };
    let detail = "the schedule files have mistakes; the old ones stay in force: see `cronclave validate`";
    Refusal { wrongs: found.iter().map(wrong).collect(), ..Refusal::new(Why::InvalidConfig, detail) }
}
