//! What came of it, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Scenario, World, advice};
use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::ledger::State;
use crate::replica;

/// So many of the fullest minutes are named.
const MINUTES: usize = 5;

/// So many jobs of each.
const NAMED: usize = 3;

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// How many replicas there were.
    pub replicas: usize,
    /// Their clocks, where they are wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Clocks>,
    /// What became of all occurrences, by state.
    pub states: BTreeMap<&'static str, u64>,
    /// By job.
    pub jobs: Vec<OfJob>,
    /// The minutes in which most runs began, the fullest first.
    pub busiest: Vec<Minute>,
    /// How many runs went at once at most.
    pub at_once: usize,
    /// When that was.
    pub at_once_at: Timestamp,
    /// What would spread the fullest minutes.
    pub advice: Vec<Advice>,
    /// What became of each occurrence, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurrences: Option<Vec<Fate>>,
}

/// Clocks that are wrong, and what comes of that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clocks {
    /// By how many seconds that of each replica is ahead.
    pub ahead_seconds: Vec<f64>,
    /// So many seconds later everything begins: most of them say that the store's clock is ahead.
    pub later_seconds: f64,
}

impl Clocks {
    fn of(scenario: &Scenario) -> Option<Clocks> {
        let skews = scenario.skews();
        let seconds = |micros: i64| Duration::from_micros(micros.unsigned_abs()).as_secs_f64() * micros.signum() as f64;
        (!scenario.skew.is_zero()).then(|| Clocks {
            later_seconds: replica::held_ahead(&skews).as_secs_f64(),
            ahead_seconds: skews.into_iter().map(seconds).collect(),
        })
    }
}

/// What became of the occurrences of one job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfJob {
    /// Which.
    pub job: JobName,
    /// How many came due.
    pub occurrences: u64,
    /// By state.
    pub states: BTreeMap<&'static str, u64>,
    /// Runs that other jobs asked for.
    pub asked: u64,
    /// How often its code began.
    pub attempts: u64,
    /// How late its code began at most, in seconds.
    pub latest_seconds: f64,
}

/// A minute in which runs begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Its beginning.
    pub at: Timestamp,
    /// How many begin.
    pub starts: u32,
    /// Some of their jobs.
    pub jobs: Vec<JobName>,
}

/// What would spread the starts of a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// How many begin in the fullest minute now.
    pub now: u32,
    /// And with the advice followed.
    pub then: u32,
    /// The setting that does it.
    pub jitter_seconds: u64,
    /// The jobs that it is for.
    pub jobs: Vec<JobName>,
}

/// What became of an occurrence, or of neighbours that were passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Whose.
    pub job: JobName,
    /// Its instant.
    pub scheduled_at: Timestamp,
    /// The last instant of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<Timestamp>,
    /// How many.
    pub count: u64,
    /// What became of it.
    pub state: State,
    /// When its code first began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How often it began.
    pub attempts: u32,
}

impl Report {
    /// Of a world that was lived through; with every occurrence, or without.
    pub fn of(world: &World, scenario: &Scenario, whole: bool) -> Report {
        let jobs = world.jobs();
        let mut of_jobs: Vec<OfJob> = jobs.iter().map(|job| OfJob::none(job)).collect();
        let mut minutes: BTreeMap<i64, u32> = BTreeMap::new();
        for line in &world.lines {
            let of = &mut of_jobs[line.job];
            of.occurrences += line.count;
            of.asked += u64::from(line.count == 0);
            *of.states.entry(line.state.word()).or_default() += line.count.max(1);
            of.attempts += u64::from(line.attempts);
            if let Some(started) = line.started {
                *minutes.entry(started.as_secs().div_euclid(60)).or_default() += 1;
                if line.count > 0 {
                    let late = started.since(jobs[line.job].due(line.at)).as_secs_f64();
                    of.latest_seconds = of.latest_seconds.max(late);
                }
            }
        }
        let mut states = BTreeMap::new();
        for (state, count) in of_jobs.iter().flat_map(|of| &of.states) {
            *states.entry(*state).or_default() += count;
        }
        Report {
            from: scenario.from,
            until: scenario.until,
            replicas: scenario.replicas,
            clocks: Clocks::of(scenario),
            states,
            busiest: busiest(world, &minutes),
            at_once: world.peak.0,
            at_once_at: world.peak.1,
            advice: advice::advise(world).into_iter().collect(),
            occurrences: whole.then(|| fates(world)),
            jobs: of_jobs,
        }
    }

    /// How many occurrences there were.
    pub fn occurrences(&self) -> u64 {
        self.jobs.iter().map(|of| of.occurrences).sum()
    }

    /// How long it lasted.
    pub fn span(&self) -> Duration {
        self.until.since(self.from)
    }
}

impl OfJob {
    fn none(job: &Job) -> OfJob {
        OfJob {
            job: job.name.clone(),
            occurrences: 0,
            states: BTreeMap::new(),
            asked: 0,
            attempts: 0,
            latest_seconds: 0.0,
        }
    }

    /// How many became this.
    pub fn count(&self, states: &[State]) -> u64 {
        states.iter().filter_map(|state| self.states.get(state.word())).sum()
    }
}

fn busiest(world: &World, minutes: &BTreeMap<i64, u32>) -> Vec<Minute> {
    let mut all: Vec<(i64, u32)> = minutes.iter().map(|(minute, starts)| (*minute, *starts)).collect();
    // The first of equal ones.
    all.sort_by_key(|(minute, starts)| (std::cmp::Reverse(*starts), *minute));
    all.truncate(MINUTES);
    let mut found: Vec<Minute> = all
        .iter()
        .map(|(minute, starts)| Minute { at: Timestamp::from_secs(minute * 60), starts: *starts, jobs: Vec::new() })
        .collect();
    for line in &world.lines {
        let Some(minute) = line.started.map(|at| at.as_secs().div_euclid(60)) else { continue };
        let Some(place) = all.iter().position(|(known, _)| *known == minute) else { continue };
        let (jobs, name) = (&mut found[place].jobs, &world.jobs()[line.job].name);
        if jobs.len() < NAMED && !jobs.contains(name) {
            jobs.push(name.clone());
        }
    }
    found
}

fn fates(world: &World) -> Vec<Fate> {
    let mut all: Vec<Fate> = world
        .lines
        .iter()
        .map(|line| Fate {
            job: world.jobs()[line.job].name.clone(),
            scheduled_at: line.at,
            through: (line.count > 1).then_some(line.through),
            count: line.count,
            state: line.state,
            started_at: line.started,
            attempts: line.attempts,
        })
        .collect();
    all.sort_by(|one, other| (one.scheduled_at, &one.job).cmp(&(other.scheduled_at, &other.job)));
    all
}
