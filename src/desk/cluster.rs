//! Who is there, what is going on, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::timeout;

use super::refusal::Refusal;
use super::{Desk, Look};
use crate::check::Check;
use crate::clock::Timestamp;
use crate::job::{JobName, QueueName};
use crate::ledger::State;
use crate::record::{Open, Phase};
use crate::schedule::brief;
use crate::shape::{
    Backend, Broker, Cluster, Drift, GONE, Lock, Process, Queue, Run, SILENT, Seen, Standing, Trouble, is_live,
};
use crate::store::{Query, Replica};
use crate::worker;

/// Races that are looked back at.
const RACES: usize = 50;

/// A broker is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A clock that is off by more wins more, or fewer, races than its share.
const SKEW: f64 = 0.5;

impl Desk {
    /// What `status` shows.
    ///
    /// # Errors
    /// The store does not answer, and never did.
    pub async fn status(&self) -> Result<Seen<Cluster>, Refusal> {
        let look = self.look().await?;
        let broker = self.queues(&look).await;
        let (now, snapshot) = (look.snapshot.now, &look.snapshot);
        let live = look.replicas.iter().filter(|one| is_live(one, now) && !one.is_worker());
        let digests: BTreeSet<&str> = live.map(|replica| replica.config_digest.as_str()).collect();
        let shaped = |workers: bool| {
            let these = present(&look).filter(|one| one.is_worker() == workers);
            these.map(|one| Process::new(one, now)).collect()
        };
        let mut runs: Vec<Standing> = open(&look).map(|(job, run)| Standing::new(job, run)).collect();
        self.add_progress_to_open(&mut runs).await;
        let it = Cluster {
            cluster: self.parts.cluster.clone(),
            now,
            store: Backend { description: self.parts.store.describe(), up: look.stale_since.is_none() },
            config: Drift { digest: digests.first().map(|one| (*one).to_owned()), drift: digests.len() > 1 },
            replicas: shaped(false),
            workers: shaped(true),
            problems: problems(&look, broker.as_ref()),
            broker,
            runs,
            locks: Lock::all(snapshot),
        };
        Ok(Seen { it, stale_since: look.stale_since })
    }

    /// What was wrong when the cluster was last looked at; the broker is not asked.
    pub async fn troubles(&self) -> Vec<Trouble> {
        self.seen().await.map(|look| problems(&look, None)).unwrap_or_default()
    }

    /// The runs that were not over when the cluster was last looked at, the oldest first.
    pub async fn standing(&self) -> Vec<Standing> {
        let Some(look) = self.seen().await else { return Vec::new() };
        let mut runs: Vec<Standing> = open(&look).map(|(job, run)| Standing::new(job, run)).collect();
        runs.sort_by_key(|run| run.opened_at);
        self.add_progress_to_open(&mut runs).await;
        runs
    }

    /// The newest runs that came of a schedule and were claimed, newest first: who won the last races.
    ///
    /// # Errors
    /// The store does not answer, and never did.
    pub async fn races(&self) -> Result<Vec<Run>, Refusal> {
        let states = State::ALL.into_iter().filter(|state| state.is_run()).collect();
        let query = Query { trigger: Some("schedule".into()), states, limit: RACES * 2, ..Query::default() };
        let lines = self.lines(&query).await?;
        let claimed = lines.entries.iter().filter(|entry| !entry.attempts.is_empty());
        Ok(claimed.take(RACES).map(|entry| self.run_of(entry)).collect())
    }

    /// The queues that workers take from and jobs name. `None` when there are none to ask for.
    async fn queues(&self, look: &Look) -> Option<Broker> {
        let taken = look.replicas.iter().flat_map(|replica| &replica.queues);
        let mut names: BTreeSet<QueueName> = taken.filter_map(|name| QueueName::new(name)).collect();
        names.extend(worker::queues(&self.known()));
        let names: Vec<QueueName> = names.into_iter().collect();
        if names.is_empty() && !self.distributed {
            return None;
        }
        let asked = timeout(PATIENCE, self.parts.broker.queues(&names)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        let description = self.parts.broker.describe();
        Some(match answer {
            Ok(queues) => {
                let queues = Some(queues.into_iter().map(Queue::from).collect());
                Broker { description, up: true, queues, trouble: None }
            }
            Err(why) => Broker { description, up: false, queues: None, trouble: Some(why) },
        })
    }
}

fn open(look: &Look) -> impl Iterator<Item = (&JobName, &Open)> {
    look.snapshot.records.busy().flat_map(|(job, record)| record.open.iter().map(move |run| (job, run)))
}

/// Whole seconds, in at most two units.
fn about(span: Duration) -> String {
    let secs = span.as_secs().max(1);
    brief(match secs {
        0..3_600 => secs,
        3_600..86_400 => secs - secs % 60,
        _ => secs - secs % 3_600,
    })
}

/// All processes, but those of before that were started again under their name: they are not missed.
fn present(look: &Look) -> impl Iterator<Item = &Replica> {
    let now = look.snapshot.now;
    let replaces = move |new: &Replica, old: &Replica| {
        (&new.name, new.is_worker()) == (&old.name, old.is_worker())
            && new.started_at > old.started_at
            && is_live(new, now)
    };
    let is_replaced = move |old: &Replica| !is_live(old, now) && look.replicas.iter().any(|new| replaces(new, old));
    look.replicas.iter().filter(move |process| !is_replaced(process))
}

fn problems(look: &Look, broker: Option<&Broker>) -> Vec<Trouble> {
    let now = look.snapshot.now;
    let mut problems = Vec::new();
    let mut add =
        |code: &str, detail: String| problems.push(Trouble { code: code.into(), severity: "warning".into(), detail });
    let live = || look.replicas.iter().filter(|process| is_live(process, now));
    if live().all(Replica::is_worker) {
        add("no_replica", "no replica is running: nothing is started until `cronclave serve` is".into());
    }
    for replica in present(look).filter(|process| !is_live(process, now)) {
        let silent = now.since(replica.last_seen_at);
        if silent < GONE {
            let name = &replica.name;
            let text = format!("{name} has not been heard of for {}: did its process end?", about(silent));
            add("replica_silent", text);
        }
    }
    if let Some(text) = differing(live(), "configuration", |replica| &replica.config_digest) {
        add("config_drift", format!("{text}. Is a deployment going on?"));
    }
    for (code, text) in found_by_replicas(live()) {
        add(code, text);
    }
    if let Some(text) = differing(live(), "time zone database", |replica| &replica.tzdb) {
        add("tzdb_differs", format!("{text}. Run the same version of cronclave everywhere"));
    }
    for replica in live().filter(|one| !one.is_worker() && one.clock_skew_seconds.abs() > SKEW) {
        add("clock_skew", skew_in_words(replica));
    }
    for (job, run) in open(look).filter(|(_, run)| is_stuck(run, now) && !has_to_wait(look, run)) {
        let late = about(now.since(run.until));
        let text = format!(
            "run {} of {job}: its holder's time is over since {late}, and nobody took over",
            run.run_id.short()
        );
        add("run_stuck", text);
    }
    let workers = live().filter(|one| one.is_worker());
    let served: BTreeSet<&str> = workers.flat_map(|worker| worker.queues.iter().map(String::as_str)).collect();
    for (code, text) in broker.iter().flat_map(|broker| queue_problems(broker, &served)) {
        add(code, text);
    }
    problems
}

/// What is wrong with queues. Those that are `served` have workers, which may only be busy.
fn queue_problems(broker: &Broker, served: &BTreeSet<&str>) -> Vec<(&'static str, String)> {
    let Some(queues) = &broker.queues else {
        let why = broker.trouble.as_deref().unwrap_or("it does not answer");
        return vec![("broker_down", format!("broker {}: {why}", broker.description))];
    };
    let count = |number: u64, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let mut found = Vec::new();
    for queue in queues {
        match (&queue.queue, queue.ready.unwrap_or(0), queue.consumers) {
            (Some(name), ready @ 1.., 0) if !served.contains(name.as_str()) => {
                let text = format!("{} in queue {name}, and no worker takes from it", count(ready, "request"));
                found.push(("no_worker", text));
            }
            (None, dead @ 1.., _) => {
                let text = format!("{}: look at them with `cronclave dead`", count(dead, "dead letter"));
                found.push(("dead_letters", text));
            }
            _ => {}
        }
    }
    found
}

/// What replicas find wrong themselves. Of what they have in common one says it for all; what is seen from here, too, is left out.
fn found_by_replicas<'a>(live: impl Iterator<Item = &'a Replica>) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for replica in live {
        for check in [Check::Stalled, Check::Lagging, Check::StoreClock] {
            let Some(text) = replica.failing.get(check.word()) else { continue };
            if check != Check::StoreClock {
                found.push((check.word(), format!("{}: {text}", replica.name)));
            } else if !found.iter().any(|(code, _)| *code == check.word()) {
                found.push((check.word(), text.clone()));
            }
        }
    }
    found
}

/// Which live replicas and workers have another one than the most have.
fn differing<'a>(live: impl Iterator<Item = &'a Replica>, what: &str, of: impl Fn(&Replica) -> &str) -> Option<String> {
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for replica in live {
        by.entry(of(replica)).or_default().push(&replica.name);
    }
    let most = by.iter().max_by_key(|(_, names)| names.len()).map(|(value, _)| *value)?;
    let others: Vec<&str> =
        by.iter().filter(|(value, _)| **value != most).flat_map(|(_, names)| names.clone()).collect();
    let verb = if others.len() == 1 { "has" } else { "have" };
    (!others.is_empty()).then(|| format!("{} {verb} another {what} than the other replicas", others.join(", ")))
}

/// Its time is over for so long that a replica should have taken notice.
fn is_stuck(run: &Open, now: Timestamp) -> bool {
    run.phase != Phase::Waiting && now.since(run.until) > SILENT
}

/// Whether it is in order that nobody takes the run over.
fn has_to_wait(look: &Look, run: &Open) -> bool {
    let (snapshot, now) = (&look.snapshot, look.snapshot.now);
    let mut paused = snapshot.records.busy().filter(|(_, record)| record.paused(now).is_some());
    let mutex = run.mutex.as_ref().and_then(|name| snapshot.mutexes.get(name));
    paused.any(|(_, record)| record.run(run.run_id).is_some())
        || mutex.is_some_and(|mutex| mutex.keeps_out(run.run_id, now).is_some())
}

fn skew_in_words(replica: &Replica) -> String {
    let (skew, name) = (replica.clock_skew_seconds, &replica.name);
    let side = if skew > 0.0 { "ahead of" } else { "behind" };
    format!("{name}'s clock is {:.1} s {side} the store's. Nothing starts twice or early, but set it right", skew.abs())
}
