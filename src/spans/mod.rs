//! Spans of what this process does, sent over OTLP beside it: nothing waits for them, and nothing depends on them.
//! Only built with the feature `otlp`.

#[cfg(feature = "otlp")]
mod made;
#[cfg(feature = "otlp")]
mod sent;
#[cfg(feature = "otlp")]
mod taken;

use std::sync::Arc;

use tokio::sync::watch;

use crate::config;
use crate::parts::Parts;
use crate::replica::Jobs;

/// Whether this process is asked to send any: the variables of OpenTelemetry name a collector, and do not switch it off.
pub fn are_wanted() -> bool {
    let named = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    !off && named.iter().any(|name| set(name).is_some())
}

fn set(name: &str) -> Option<String> {
    config::environment(name).filter(|value| !value.trim().is_empty())
}

/// Sends spans.
#[derive(Default)]
pub struct Spans {
    #[cfg(feature = "otlp")]
    going: Option<taken::Going>,
}

impl Spans {
    /// Those of a process that works with the parts that come back: they are the ones given, but traced.
    #[cfg(feature = "otlp")]
    pub fn of(parts: Parts, jobs: watch::Receiver<Arc<Jobs>>) -> (Spans, Parts) {
        let Some((going, parts)) = taken::Going::begin(&parts, jobs) else { return (Spans::default(), parts) };
        (Spans { going: Some(going) }, parts)
    }

    /// There are none.
    #[cfg(not(feature = "otlp"))]
    pub fn of(parts: Parts, _: watch::Receiver<Arc<Jobs>>) -> (Spans, Parts) {
        (Spans::default(), parts)
    }

    /// Sends them until `over`, and then what is left, for a moment.
    pub async fn run(self, over: impl Future<Output = ()>) {
        #[cfg(feature = "otlp")]
        if let Some(going) = self.going {
            return going.run(over).await;
        }
        over.await;
    }
}
