//! `cronclave status`: who is there, what is going on, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::locks::Lock;
use super::queues::{self, Queues};
use super::show::{self, Mark, Table};
use super::{Context, Failure, out, shape};
use crate::clock::Timestamp;
use crate::record::{Open, Phase};
use crate::service::Backends;
use crate::store::{Replica, Snapshot, Store};

/// Show the replicas of the cluster, its open runs and locks, and what is wrong with it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave status                      for people
  cronclave status --check --json       for monitoring: exits with 1 when something is wrong

There is no leader: any replica may take the next occurrence.")]
pub(super) struct Status {
    /// Exit with 1 when something is wrong
    #[arg(long)]
    check: bool,
}

/// Replicas report every 5 s; whoever missed two reports is marked.
const SILENT: Duration = Duration::from_secs(15);

/// Whoever is silent for longer is taken for gone, and no problem any more.
const GONE: Duration = Duration::from_secs(600);

/// A clock that is off by more wins more, or fewer, races than its share.
const SKEW: f64 = 0.5;

/// Whether a replica reported lately.
pub(super) fn is_live(replica: &Replica, now: Timestamp) -> bool {
    now.since(replica.last_seen_at) <= SILENT
}

/// Whether anybody is there to start runs.
pub(super) async fn somebody_is_there(store: &dyn Store, now: Timestamp) -> Result<bool, Failure> {
    Ok(store.replicas().await?.iter().any(|one| is_live(one, now) && !one.is_worker()))
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
struct Problem {
    code: &'static str,
    severity: &'static str,
    detail: String,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let Backends { store, broker } = context.backends(&process).await?;
        let snapshot = store.snapshot().await?;
        let replicas = store.replicas().await?;
        let queues = Queues::ask(&*broker, &process, &replicas).await;
        let (workers, replicas) = replicas.into_iter().partition(Replica::is_worker);
        let seen = Seen { now: snapshot.now, snapshot, replicas, workers, queues };
        let problems = seen.problems();
        let about = [("store", store.describe()), ("cluster", process.cluster)];
        if context.global.json {
            seen.json(&about, &problems)?;
        } else {
            out::print(seen.text(&about, &problems, context))?;
        }
        Ok(ExitCode::from(u8::from(self.check && !problems.is_empty())))
    }
}

/// What the store knows at one instant.
struct Seen {
    now: Timestamp,
    snapshot: Snapshot,
    replicas: Vec<Replica>,
    workers: Vec<Replica>,
    queues: Option<Queues>,
}

impl Seen {
    fn live(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| is_live(replica, self.now))
    }

    /// Whether it is in order that nobody takes the run over.
    fn has_to_wait(&self, run: &Open) -> bool {
        let records = self.snapshot.records.values();
        let paused =
            records.filter(|record| record.paused(self.now).is_some()).any(|record| record.run(run.run_id).is_some());
        let mutex = run.mutex.as_ref().and_then(|name| self.snapshot.mutexes.get(name));
        paused || mutex.is_some_and(|mutex| mutex.keeps_out(run.run_id, self.now).is_some())
    }

    fn processes(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().chain(&self.workers)
    }

    fn digests(&self) -> BTreeSet<&str> {
        self.live().map(|replica| replica.config_digest.as_str()).collect()
    }

    fn open(&self) -> impl Iterator<Item = (&str, &Open)> {
        let records = self.snapshot.records.iter();
        records.flat_map(|(job, record)| record.open.iter().map(move |run| (job.as_str(), run)))
    }

    // ---- what is wrong -------------------------------------------------------------------------

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |code, detail: String| problems.push(Problem { code, severity: "warning", detail });
        if self.live().next().is_none() {
            add("no_replica", "no replica is running: nothing is started until `cronclave serve` is".into());
        }
        for replica in self.processes().filter(|process| !is_live(process, self.now)) {
            let silent = self.now.since(replica.last_seen_at);
            if silent < GONE {
                let name = &replica.name;
                let text = format!("{name} has not been heard of for {}: did its process end?", show::about(silent));
                add("replica_silent", text);
            }
        }
        if let Some(text) = self.differing("configuration", |replica| &replica.config_digest) {
            add("config_drift", format!("{text}. Is a deployment going on?"));
        }
        if let Some(text) = self.differing("time zone database", |replica| &replica.tzdb) {
            add("tzdb_differs", format!("{text}. Run the same version of cronclave everywhere"));
        }
        for replica in self.live().filter(|replica| replica.clock_skew_seconds.abs() > SKEW) {
            add("clock_skew", skew_in_words(replica));
        }
        for (job, run) in self.open().filter(|(_, run)| is_stuck(run, self.now) && !self.has_to_wait(run)) {
            let late = show::about(self.now.since(run.until));
            let text = format!(
                "run {} of {job}: its holder's time is over since {late}, and nobody took over",
                run.run_id.short()
            );
            add("run_stuck", text);
        }
        let live = self.workers.iter().filter(|worker| is_live(worker, self.now));
        let served = live.flat_map(|worker| worker.queues.iter().map(String::as_str)).collect();
        for (code, text) in self.queues.iter().flat_map(|queues| queues.problems(&served)) {
            add(code, text);
        }
        problems
    }

    /// Which live replicas and workers have another one than the most have.
    fn differing(&self, what: &str, of: impl Fn(&Replica) -> &str) -> Option<String> {
        let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for replica in self.processes().filter(|process| is_live(process, self.now)) {
            by.entry(of(replica)).or_default().push(&replica.name);
        }
        let most = by.iter().max_by_key(|(_, names)| names.len()).map(|(value, _)| *value)?;
        let others: Vec<&str> =
            by.iter().filter(|(value, _)| **value != most).flat_map(|(_, names)| names.clone()).collect();
        let verb = if others.len() == 1 { "has" } else { "have" };
        (!others.is_empty()).then(|| format!("{} {verb} another {what} than the other replicas", others.join(", ")))
    }

    // ---- showing -------------------------------------------------------------------------------

    fn json(&self, about: &[(&str, String); 2], problems: &[Problem]) -> Result<(), Failure> {
        let [(_, store), (_, cluster)] = about;
        let replicas = self.replicas.iter().map(|one| shape::replica(one, self.now, is_live(one, self.now)));
        let workers = self.workers.iter().map(|one| shape::replica(one, self.now, is_live(one, self.now)));
        let runs = self.open().map(|(job, run)| {
            json!({
                "id": run.run_id, "job": job, "phase": run.phase, "scheduled_at": run.scheduled_at,
                "trigger": run.trigger, "attempt": run.attempt, "replica": run.holder,
                "opened_at": run.opened, "until": run.until, "cancelling": run.cancel,
            })
        });
        let digest = self.live().next().map(|replica| &replica.config_digest);
        out::json(&json!({
            "cluster": cluster,
            "now": self.now,
            "store": {"description": store, "up": true},
            "config": {"digest": digest, "drift": self.digests().len() > 1},
            "replicas": replicas.collect::<Vec<_>>(),
            "workers": workers.collect::<Vec<_>>(),
            "broker": self.queues.as_ref().map(Queues::json),
            "runs": runs.collect::<Vec<_>>(),
            "locks": Lock::all(&self.snapshot),
            "problems": problems,
        }))
    }

    fn text(&self, about: &[(&str, String); 2], problems: &[Problem], context: &Context) -> String {
        let [(_, store), (_, cluster)] = about;
        let digests: Vec<&str> = self.digests().into_iter().collect();
        let config = if digests.is_empty() { "unknown".to_owned() } else { digests.join(", ") };
        let live = show::count(self.live().count(), "replica");
        let mut text = format!("cluster {cluster}   {live}   {store}   config {config}\n\n");
        if !self.replicas.is_empty() {
            text += &self.replica_table(context);
            text.push('\n');
        }
        if !self.workers.is_empty() {
            text += &queues::workers(&self.workers.iter().collect::<Vec<_>>(), self.now, is_live, context);
            text.push('\n');
        }
        if let Some(table) = self.queues.as_ref().and_then(|queues| queues.table(&context.style)) {
            text += &table;
            text.push('\n');
        }
        let locks = Lock::all(&self.snapshot);
        if !locks.is_empty() {
            text += &Lock::table(&locks, self.now, &context.style);
            text.push('\n');
        }
        let waiting = self.open().filter(|(_, run)| run.phase == Phase::Waiting).count();
        if waiting > 0 {
            text += &format!("{} for their turn or their next attempt\n", show::count(waiting, "run") + " waiting");
        }
        for problem in problems {
            text += &format!("! {}\n", problem.detail);
        }
        if problems.is_empty() {
            text += "nothing is wrong\n";
        }
        text
    }

    fn replica_table(&self, context: &Context) -> String {
        let header = ["", "REPLICA", "VERSION", "UP", "CONFIG", "CLOCK", "SEEN", "JOBS", "RUNNING"];
        let mut table = Table::new(&context.style, &header);
        for replica in &self.replicas {
            let silent = self.now.since(replica.last_seen_at);
            let (mark, word) = match silent {
                _ if is_live(replica, self.now) => (Mark::Good, ""),
                _ if silent < GONE => (Mark::Bad, ": silent"),
                _ => (Mark::Idle, ": gone"),
            };
            let seen = format!("{} ago{word}", show::about(silent));
            table.row(
                Some(mark),
                [
                    replica.name.clone(),
                    replica.version.clone(),
                    show::about(self.now.since(replica.started_at)),
                    replica.config_digest.clone(),
                    format!("{:+.0}ms", replica.clock_skew_seconds * 1000.0),
                    seen,
                    replica.jobs.to_string(),
                    replica.running.to_string(),
                ],
            );
        }
        table.text()
    }
}

/// Its time is over for so long that a replica should have taken notice.
fn is_stuck(run: &Open, now: Timestamp) -> bool {
    run.phase != Phase::Waiting && now.since(run.until) > SILENT
}

fn skew_in_words(replica: &Replica) -> String {
    let (skew, name) = (replica.clock_skew_seconds, &replica.name);
    let side = if skew > 0.0 { "ahead of" } else { "behind" };
    format!("{name}'s clock is {:.1} s {side} the store's. Nothing starts twice or early, but set it right", skew.abs())
}
