//! A month in the life of a cluster, put into a store as replicas would have: by asking `plan` and the store's own
//! operations, under a clock that is stepped through the month.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cronclave::clock::{Clock, Timestamp};
use cronclave::config::Config;
use cronclave::job::Job;
use cronclave::lease::{Ended, Outcome, Token};
use cronclave::plan::{self, Step};
use cronclave::record::{Bid, Key, Op, Open, Reply};
use cronclave::runner::Stream;
use cronclave::store::{Piece, Store, StoreError, Trouble};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Who runs what.
const REPLICAS: [&str; 3] = ["web.1", "web.2", "web.3"];

/// Jobs whose files are read, with how long their runs usually take in seconds, and how many of 100 fail.
pub(crate) const JOBS: &str = include_str!("../data/month.toml");

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// How a job's runs go: their usual seconds, how many of 100 fail, and how far back its history goes.
fn habits(job: &Job) -> (u64, u64, Duration) {
    let days = |n| DAY * n;
    match job.name.as_str() {
        "search-reindex" => (2700, 8, days(30)),
        "db-backup" => (1500, 4, days(30)),
        "invoices" => (900, 0, days(30)),
        "warehouse-load" => (3900, 6, days(30)),
        "ledger-check" => (140, 2, days(4)),
        "crm-sync" => (35, 14, days(3)),
        "fraud-scan" => (20, 1, days(2)),
        "metrics-rollup" => (75, 1, days(30)),
        "ftp-pull" => (50, 100, days(2)),
        "newsletter" => (1200, 10, days(30)),
        "health-ping" => (1, 1, days(2)),
        _ => (90, 3, days(30)),
    }
}

/// What happens next to a job.
enum Due {
    /// A replica looks at it.
    Look,
    /// A run of it ends, started at this time.
    End(Box<Open>, Key, Timestamp, bool),
}

/// Puts the month before `now` into a store that goes by `clock`, which does not go back.
pub(crate) async fn live(store: &dyn Store, clock: &Clock, config: &Config, now: Timestamp) {
    let mut dice = Dice(7);
    // By time; the number keeps apart what is due at once.
    let mut due: BTreeMap<(Timestamp, usize), (usize, Due)> = BTreeMap::new();
    for (n, job) in config.jobs.iter().enumerate() {
        due.insert((now.minus(habits(job).2), n), (n, Due::Look));
    }
    let mut count = due.len();
    while let Some(((at, _), (n, what))) = due.pop_first() {
        let ahead = at.as_micros() - clock.now().as_micros();
        if ahead > 0 {
            clock.step(ahead);
        }
        let job = &config.jobs[n];
        let (again, what) = match what {
            Due::Look => match look(store, clock, job, now, &mut dice).await {
                Some(next) => next,
                None => continue,
            },
            Due::End(open, key, began, is_cut) => {
                end(store, job, (&open, key, began, is_cut), &mut dice).await;
                (at, Due::Look)
            }
        };
        count += 1;
        due.insert((again, count), (n, what));
    }
}

/// A server that gets no time on a busy machine is asked again: every call may be repeated.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let given_up = Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.kind == Trouble::Passing && Instant::now() < given_up, "{error}"),
        }
    }
}

/// Does the next thing for a job, as a replica would; what is due then, and when.
async fn look(
    store: &dyn Store,
    clock: &Clock,
    job: &Job,
    now: Timestamp,
    dice: &mut Dice,
) -> Option<(Timestamp, Due)> {
    let soon = |clock: &Clock, millis| clock.now().plus(Duration::from_millis(millis));
    let view = patiently(async || store.view(&job.name, job.mutex.as_deref()).await).await;
    let op = match plan::next(job, &view) {
        Step::Register => Op::Register { spec: job.spec() },
        Step::Decide { expect, passes, due } => Op::Decide { expect, passes, due },
        Step::Overdue { expect, due } => Op::Overdue { expect, due },
        Step::Slow { run_id, fence } => Op::Slow { run_id, fence },
        Step::Reap { run_id, fence, phase } => Op::Reap { run_id, fence, phase },
        Step::Cancel(run_id) => Op::Cancel { run_id, by: "ana".into() },
        Step::Wait(until) | Step::Race(until) if until < now => {
            // Now and then nobody is there for a while.
            let late = if dice.roll(400) == 0 { 700_000 } else { 4 + dice.roll(60) };
            return Some((until.plus(Duration::from_millis(late)), Due::Look));
        }
        Step::Wait(_) | Step::Race(_) | Step::Finished => return None,
        Step::Claim(target) => {
            let bid = Bid {
                target,
                token: Token::fresh(),
                holder: REPLICAS[usize::try_from(dice.roll(3)).unwrap()].to_owned(),
                ttl: Duration::from_secs(10),
                overlap: job.overlap,
                delivery: job.delivery,
                mutex: job.mutex.clone(),
                start: None,
            };
            let token = bid.token.clone();
            let claim = Op::Claim(bid);
            let answer = patiently(async || store.apply(&job.name, &claim).await).await;
            let Reply::Won(open) = answer.reply else { return Some((soon(clock, 5000), Due::Look)) };
            let key = Key { run_id: open.run_id, fence: open.fence, token };
            let took = Duration::from_millis(habits(job).0 * (700 + dice.roll(600)));
            let ttl = took + Duration::from_secs(5);
            let start = Op::Start { key: key.clone(), holder: open.holder.clone(), ttl };
            let began = patiently(async || store.apply(&job.name, &start).await).await.view.now;
            // A run that would end after the month is cut short.
            let is_cut = began.plus(took) > now;
            let ends = if is_cut { now.max(began) } else { began.plus(took) };
            return Some((ends, Due::End(open, key, began, is_cut)));
        }
    };
    patiently(async || store.apply(&job.name, &op).await).await;
    Some((soon(clock, 1), Due::Look))
}

/// Ends a run, with what it printed.
async fn end(store: &dyn Store, job: &Job, (open, key, began, is_cut): (&Open, Key, Timestamp, bool), dice: &mut Dice) {
    let fails = dice.roll(100) < habits(job).1;
    let ended = match dice.roll(30) {
        _ if is_cut => Ended::because(Outcome::Cancelled, "cancelled by ana: end of the month"),
        0 if fails => Ended::because(Outcome::TimedOut, "timed out after 30m"),
        1 if fails => Ended { signal: Some(9), ..Ended::because(Outcome::Failed, "killed by signal 9") },
        _ if fails => Ended { exit_code: Some(3), ..Ended::because(Outcome::Failed, "HTTP 503 from upstream") },
        _ => Ended { exit_code: Some(0), ..Ended::succeeded() },
    };
    let text = format!(
        "{} starting\n\x1b[36mconnected\x1b[0m to primary in 12 ms\n{} rows\n{}\n",
        job.name,
        1000 + dice.roll(90_000),
        if fails { "\x1b[31merror:\x1b[0m HTTP 503 from upstream" } else { "\x1b[32mdone\x1b[0m" }
    );
    let piece = Piece { seq: 0, at: began, stream: Stream::Stdout, bytes: text.into_bytes() };
    let run = (open.run_id, open.fence);
    patiently(async || store.write_output(run, vec![piece.clone()], 0..0).await).await;
    let more = fails && !is_cut && open.attempt < job.retry.attempts;
    let next = more.then(|| (open.attempt + 1, job.retry.pause(open.attempt, 0.5)));
    let settle = Op::Settle { key, ended, next };
    patiently(async || store.apply(&job.name, &settle).await).await;
}
