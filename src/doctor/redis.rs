//! The Redis that holds the state.

use std::time::Duration;

use super::servers::times_in_words;
use super::{Care, Findings, Level, Store};
use crate::config::{Config, Process};
use crate::phrase::{count, span};
use crate::store::Durability;
use crate::store::redis::{Address, Exam, examine, never_evict};

/// Slower than this, starts are late and many replicas get in each other's way.
const SLOW: Duration = Duration::from_millis(50);

/// A clock that is off by more is told.
const SKEW: i64 = 500_000;

/// Of a hundred parts of what may be used.
const NEARLY_FULL: u64 = 90;

pub(super) async fn look(
    findings: &mut Findings,
    address: &Address,
    process: &Process,
    config: Option<&Config>,
    care: Care,
) -> Store {
    let exam = match examine(address.clone(), &process.cluster, care.times()).await {
        Ok(exam) => exam,
        Err(why) => {
            findings.problem("redis.connection", why, "");
            return Store::Fails;
        }
    };
    let role = match exam.replicas {
        _ if exam.is_cluster => ", a cluster".to_owned(),
        Some(count) => format!(", a primary with {}", self::count(usize::try_from(count).unwrap_or(0), "replica")),
        None => String::new(),
    };
    let took = times_in_words(&exam.round_trips);
    findings.good("redis.connection", format!("{}  {}{role}  {took}", exam.place, exam.version));
    latency(findings, &exam, config);
    if let Some(why) = exam.refuses_scripts.clone() {
        findings.problem("redis.permissions", why, "");
    } else {
        findings.good("redis.permissions", "takes our scripts, writes and TIME");
    }
    if let Some(why) = exam.refuses_news.clone() {
        findings.warn("redis.news", why, "changes are noticed up to a minute later without");
    }
    eviction(findings, &exam, address, process, care).await;
    persistence(findings, &exam, process);
    room(findings, &exam);
    if exam.is_silent {
        let text = "its user may not ask INFO: it cannot be told whether the server may throw away what it keeps";
        findings.warn("redis.info", text, "allow it: ACL SETUSER USER +info");
    }
    clock(findings, &exam);
    let evicts = findings.0.iter().any(|one| one.check == "redis.eviction" && one.level == Level::Problem);
    let is_refused = exam.refuses_scripts.is_some() || evicts;
    if is_refused { Store::Fails } else { Store::Answers }
}

fn latency(findings: &mut Findings, exam: &Exam, config: Option<&Config>) {
    let worst = exam.round_trips.last().copied().unwrap_or_default();
    if worst > SLOW {
        let text = format!("an answer took {}: starts are late by a few of these", span(worst));
        findings.warn("redis.latency", text, "use a Redis that is nearer, or less busy");
    }
    // A lease is renewed at a third of it.
    let jobs = config.map(|config| config.jobs.as_slice()).unwrap_or_default();
    for job in jobs.iter().filter(|job| job.lease < worst * 9) {
        let text = format!("job `{}` has a lease of {}, which is renewed in thirds", job.name, span(job.lease));
        findings.warn("redis.latency", text, "set `lock.ttl` to ten times as long as an answer takes, at least");
    }
}

async fn eviction(findings: &mut Findings, exam: &Exam, address: &Address, process: &Process, care: Care) {
    let Some(policy) = exam.eviction.as_deref().filter(|policy| *policy != "noeviction") else { return };
    let text = format!(
        "maxmemory-policy is {policy}: short of memory, Redis throws away locks and records, and a job can run twice"
    );
    if address.allows_eviction() && !care.fix {
        return findings.warn("redis.eviction", text, "CRONCLAVE_REDIS_ALLOW_EVICTION says that this is accepted");
    }
    if !care.fix {
        let mend = "`redis-cli config set maxmemory-policy noeviction`, and in redis.conf; where Redis is rented, in its \
                    settings there; or `cronclave doctor --fix`";
        return findings.problem("redis.eviction", text, mend);
    }
    match never_evict(address.clone(), &process.cluster).await {
        Ok(None) => findings.mended("redis.eviction", "maxmemory-policy is noeviction now, also after its next start"),
        Ok(Some(why)) => {
            findings.mended("redis.eviction", "maxmemory-policy is noeviction now");
            let text = format!("after its next start it is {policy} again: {why}");
            findings.warn("redis.eviction", text, "set `maxmemory-policy noeviction` in redis.conf");
        }
        Err(why) => findings.problem(
            "redis.eviction",
            format!("{text}. It was not mended: {why}"),
            "set it where Redis is rented",
        ),
    }
}

fn persistence(findings: &mut Findings, exam: &Exam, process: &Process) {
    if exam.fails_to_save {
        let text = "it cannot save to its disk: it takes no writes, or soon none";
        findings.problem("redis.disk", text, "free some space there; its log has more");
    }
    match (exam.appends, exam.saves) {
        (Some(true), _) => findings.good("redis.persistence", "logs each write (appendonly)"),
        (Some(false), saves) => {
            let what = match saves {
                Some(false) => {
                    "it keeps nothing on disk: after its end all that was decided is gone, but for what replicas give back"
                }
                _ => "appendonly is off: after its end the last minutes are gone, but for what replicas give back",
            };
            findings.warn("redis.persistence", what, "set `appendonly yes` (docs/REDIS.md says what is at stake)");
        }
        (None, _) => {}
    }
    let durability = process.redis.as_ref().map(Address::durability).unwrap_or_default();
    match durability {
        Durability::Replicated(wanted) if exam.replicas.is_some_and(|has| has < wanted) => {
            let text = format!(
                "CRONCLAVE_DURABILITY asks for {}, and it has {}: nothing can start",
                count(usize::try_from(wanted).unwrap_or(0), "replica"),
                exam.replicas.unwrap_or(0)
            );
            findings.problem("redis.durability", text, "connect a replica to it, or choose `memory`");
        }
        Durability::Fsync if exam.appends == Some(false) => {
            let text = "CRONCLAVE_DURABILITY=fsync needs `appendonly yes`: nothing can start";
            findings.problem("redis.durability", text, "set it in redis.conf, or choose another level");
        }
        _ => {}
    }
    if !exam.guards_split {
        let text = "it takes writes without its replicas: cut off from them, it and one that is promoted could both start a run";
        findings.warn(
            "redis.split",
            text,
            "set `min-replicas-to-write 1` in redis.conf, and CRONCLAVE_DURABILITY=replicated",
        );
    }
}

fn room(findings: &mut Findings, exam: &Exam) {
    let is_full = |(used, most): (u64, u64)| most > 0 && used.saturating_mul(100) >= most.saturating_mul(NEARLY_FULL);
    if let Some((used, most)) = exam.memory.filter(|pair| is_full(*pair)) {
        let text = format!(
            "{} of {} MB of its memory are used: when it is full, nothing new starts",
            used / 1_000_000,
            most / 1_000_000
        );
        findings.problem(
            "redis.memory",
            text,
            "raise `maxmemory`, or keep less history (`keep` in the schedule files)",
        );
    }
    if let Some((used, most)) = exam.clients.filter(|pair| is_full(*pair)) {
        let text = format!("{used} of {most} connections are taken");
        findings.warn("redis.clients", text, "raise `maxclients`, or find who holds so many");
    }
}

fn clock(findings: &mut Findings, exam: &Exam) {
    let Some((ahead, give_or_take)) = exam.ahead else { return };
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    let far = Duration::from_micros(ahead.unsigned_abs());
    let sure = Duration::from_micros(give_or_take);
    let text = format!("this machine is {} {side} Redis, give or take {}", fine(far), fine(sure));
    match ahead.abs() {
        off if off <= SKEW => findings.good("clock.store", text),
        off if off <= 60 * 1_000_000 => {
            let mend = "run NTP on both (nothing starts early or twice because of it; times in logs are wrong)";
            findings.warn("clock.store", text, mend);
        }
        _ => findings.problem("clock.store", text + ": one of the two is wrong", "set it right, and run NTP on both"),
    }
}

fn fine(time: Duration) -> String {
    match time.as_secs_f64() {
        secs if secs < 1.0 => format!("{:.1} ms", secs * 1000.0),
        secs => span(Duration::from_secs_f64(secs.round())),
    }
}
