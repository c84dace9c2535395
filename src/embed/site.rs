//! What is served within the host's site: feature `http`.

use std::sync::{Mutex, PoisonError};

use axum::Router;

use super::{Builder, Cronclave, Error, Task, until_over};
use crate::config::{Role, Web};
use crate::http::Guest;
use crate::service::Running;

/// All that is answered, and what goes on behind it.
pub(super) struct Site {
    router: Router,
    /// What is to go on while somebody serves the router.
    behind: Mutex<Vec<Task>>,
}

impl Site {
    pub(super) fn open(web: &Web, running: &Running) -> Result<Site, Error> {
        let guest = Guest::open(web).map_err(|wrong| vec![wrong])?;
        let (router, keeping) = guest.routes(running.desk.clone(), running.metrics.clone());
        let behind = Mutex::new(vec![Box::pin(keeping) as Task, Box::pin(running.remember())]);
        Ok(Site { router, behind })
    }
}

impl Builder {
    /// What everybody may whom this program lets through to [`Cronclave::router`]: put its own sign-in before that.
    /// Default: nothing, without a [`token`](Builder::token).
    pub fn visitors(mut self, role: Role) -> Builder {
        self.visitors = Some(role);
        self
    }

    /// Makes its bearer an admin of [`Cronclave::router`]; 16 characters at least.
    pub fn token(mut self, token: impl Into<String>) -> Builder {
        self.token = Some(token.into());
        self
    }
}

impl Cronclave {
    /// The dashboard, the API, the metrics and the probes, as a router without state for `nest_service` or for a listener
    /// of its own: links, forms and streams find their way below whatever path it is mounted at.
    ///
    /// Nobody is let in unless [`Builder::visitors`], [`Builder::token`] or the environment says who.
    ///
    /// ```
    /// # use cronclave::{Cronclave, Role};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cronclave::Error> {
    /// # let place = tempfile::tempdir().unwrap();
    /// let cron = Cronclave::builder()
    ///     .toml("jobs.toml", "version = 1\n[jobs.tick]\nevery = \"1h\"\ncommand = \"true\"\n")
    /// #   .sqlite(place.path().join("cron.db"))
    ///     .visitors(Role::Viewer)
    ///     .start()
    ///     .await?;
    /// let app: axum::Router = axum::Router::new().nest_service("/cron", cron.router());
    /// # cron.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        let behind = std::mem::take(&mut *self.0.site.behind.lock().unwrap_or_else(PoisonError::into_inner));
        for task in behind {
            tokio::spawn(until_over(self.0.over.clone(), task));
        }
        self.0.site.router.clone()
    }
}
