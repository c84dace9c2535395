//! The load of the workers' tests: twenty jobs that come due every second, disturbed in turns.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, duration, say, until};
use super::load::{JOBS, Tally, caught_up, reckon};

/// The replicas had this many occurrences to decide, give or take their start and stop.
pub(crate) fn lasted(tally: &Tally, time: Duration) {
    let least = JOBS * usize::try_from(time.as_secs()).unwrap() * 2 / 3;
    assert!(tally.occurrences() >= least, "{tally}");
}

/// How long it is disturbed.
const ROUND: Duration = Duration::from_secs(12);

/// Disturbs a cluster in turns of its choice for as long as a load test lasts, then sees that it gets over it.
pub(crate) fn disturb(
    what: &str,
    cluster: &mut Cluster,
    mut turn: impl FnMut(&mut Cluster),
    heal: impl FnOnce(),
) -> Tally {
    // First everything is well: that a replica cannot start without its store is another matter.
    until("every job has run", || (0..JOBS).all(|n| !cluster.history(&format!("job-{n}")).is_empty()));
    let (time, began) = (duration(ROUND), Instant::now());
    while began.elapsed() < time {
        turn(cluster);
    }
    heal();
    let took = caught_up(cluster);
    cluster.stop();
    let tally = reckon(cluster);
    say(&format!("{what}: {tally}; got over it in {took:.1?}"));
    lasted(&tally, time);
    tally
}
