//! A run that the host asks for.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::{Cronclave, Error, HOST};
use crate::desk::Asked;
use crate::lease::RunId;

/// A run that is asked for once this is awaited; see [`Cronclave::trigger`]. Awaited, it gives the run's id, or why not:
/// there is no such job, another run is in the way, or the store does not answer.
#[must_use = "nothing is asked for before this is awaited"]
#[derive(Debug)]
pub struct Ask {
    cron: Cronclave,
    job: String,
    asked: Asked,
}

impl Ask {
    pub(super) fn new(cron: Cronclave, job: String) -> Ask {
        Ask { cron, job, asked: Asked::default() }
    }

    /// An argument, which a handler finds in [`Context::given`](crate::Context::given) and a program in its environment.
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Ask {
        self.asked.args.insert(name.into(), value.into());
        self
    }

    /// Why, for the history.
    pub fn reason(mut self, reason: impl Into<String>) -> Ask {
        self.asked.reason = Some(reason.into());
        self
    }

    /// The same key asked again, for a day at least, is the same run.
    pub fn key(mut self, key: impl Into<String>) -> Ask {
        self.asked.key = Some(key.into());
        self
    }
}

impl IntoFuture for Ask {
    type Output = Result<RunId, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let desk = &self.cron.0.running.desk;
            Ok(desk.trigger(&self.job, self.asked, Some(HOST.into())).await?.id)
        })
    }
}
