//! A service as a process of its own: it hears signals, listens, and talks to systemd.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::http::Front;
use crate::notify::{self, Notify, Scene};
use crate::service::{Running, Service};
use crate::thrift;

/// Answers that are still going at the end are waited for this long.
const LAST: Duration = Duration::from_secs(2);

/// Runs until a signal, then drains. A second signal ends the process at once.
///
/// # Errors
/// When signals cannot be heard.
pub async fn run(service: Service, front: Option<Front>) -> std::io::Result<()> {
    let signals = Signals::hear()?;
    let (running, work) = service.begin();
    let served = CancellationToken::new();
    let remembering = front.is_some().then(|| tokio::spawn(running.remember()));
    let http = front
        .map(|front| tokio::spawn(front.serve(Arc::clone(&running.desk), running.metrics.clone(), served.clone())));
    let notify = Notify::of(&config::environment);
    let thrift = tokio::spawn(thrift::live_thriftily());
    let telling = tokio::spawn(notify::keep_telling(notify.clone(), running.scene.clone()));
    let steering = tokio::spawn(steer(signals, running, notify));
    work.await;
    steering.abort();
    served.cancel();
    if let Some(remembering) = remembering {
        remembering.abort();
    }
    if let Some(http) = http {
        let _ = tokio::time::timeout(LAST, http).await;
    }
    telling.abort();
    thrift.abort();
    Ok(())
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr2: Signal,
}

impl Signals {
    fn hear() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Hears signals for as long as the service lives.
async fn steer(mut signals: Signals, running: Running, notify: Notify) {
    loop {
        tokio::select! {
            _ = signals.term.recv() => stopping(&running.scene, 15),
            _ = signals.int.recv() => stopping(&running.scene, 2),
            _ = signals.hup.recv() => reload(&running, &notify).await,
            _ = signals.usr2.recv() => reload(&running, &notify).await,
        }
    }
}

/// Has the files read because of a signal, which systemd may have had sent.
async fn reload(running: &Running, notify: &Notify) {
    notify.reloading();
    running.reload().await;
    notify.reloaded();
}

/// The first signal drains; the second ends the process with the code a shell gives it.
fn stopping(scene: &Scene, number: i32) {
    if scene.stop.is_soft() {
        // What still runs is ended by its supervisor, which notices that we are gone.
        std::process::exit(128 + number);
    }
    // Some are about to begin, and some are a worker's.
    let text = match scene.pulse.borrow().running.max(scene.runs.leases().0) {
        0 => "stopping".to_owned(),
        running => format!("stopping: {running} going, waiting up to {:?} (signal again to stop at once)", scene.grace),
    };
    // That nobody reads it must not keep us from stopping.
    let _ = writeln!(std::io::stderr(), "{text}");
    scene.stop.softly();
}
