//! Many jobs that are due at the same instant, again and again, on several processes: what they did and what it took.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Child;
use std::time::Duration;

use super::servers::Redis;
use super::{crowd, figures};

/// Seconds between two herds, as `HERD_PERIOD` says, or 5.
pub(crate) fn period() -> u64 {
    std::env::var("HERD_PERIOD").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Herds that count; one before them warms up.
pub(crate) const HERDS: u64 = 6;

/// Each is due at every herd.
pub(crate) fn jobs(numbers: Range<usize>) -> String {
    let period = period();
    numbers.map(|n| format!("[jobs.job-{n}]\nevery = \"{period}s\"\nhandler = \"note\"\n")).collect()
}

/// What was seen of all herds that count.
pub(crate) struct Seen {
    /// Of each start, in order.
    late: Vec<Duration>,
    /// Of each process.
    pub(crate) wins: Vec<u32>,
    /// Occurrences that started, and those of them that started more than once.
    pub(crate) started: usize,
    pub(crate) twice: usize,
    /// Seconds of processor time, of all processes and of each server.
    processor: f64,
    servers: Vec<f64>,
    /// That the servers were asked to run.
    scripts: f64,
}

/// Looks at processes that have just been started and write to `outs`, and at their servers; then ends them.
pub(crate) fn watch(mut children: Vec<Child>, outs: &[String], servers: &[Redis]) -> Seen {
    let period = period();
    // Between two herds, after the first one that all of them saw.
    std::thread::sleep(Duration::from_secs(2 * period) + Duration::from_millis(100) * outs.len() as u32);
    let phase = crowd::micros() / 1000 % (period * 1000);
    std::thread::sleep(Duration::from_millis((period * 1500 - phase) % (period * 1000)));
    let now = || {
        let busy: Vec<f64> = servers.iter().map(|server| figures::processor(server.pid())).collect();
        let processor: f64 = children.iter().map(|child| figures::processor(child.id().cast_signed())).sum();
        (crowd::micros(), processor, busy, servers.iter().map(scripts).sum::<f64>())
    };
    let before = now();
    std::thread::sleep(Duration::from_secs(period * HERDS));
    let after = now();
    crowd::end(&mut children);
    let (mut late, mut wins, mut starts) = (Vec::new(), Vec::new(), BTreeMap::<(u64, String), u32>::new());
    for out in outs {
        let mut won = 0;
        for (due, now, job) in crowd::written(out).0 {
            if (before.0..after.0).contains(&due) {
                won += 1;
                late.push(Duration::from_micros(now.saturating_sub(due)));
                *starts.entry((due, job)).or_default() += 1;
            }
        }
        wins.push(won);
    }
    late.sort();
    Seen {
        late,
        wins,
        started: starts.len(),
        twice: starts.values().filter(|count| **count > 1).count(),
        processor: after.1 - before.1,
        servers: after.2.iter().zip(&before.2).map(|(after, before)| after - before).collect(),
        scripts: after.3 - before.3,
    }
}

impl Seen {
    pub(crate) fn starts(&self) -> usize {
        self.late.len()
    }

    /// How late such a share of the starts was at most, in milliseconds.
    pub(crate) fn late(&self, share: f64) -> f64 {
        figures::ms(self.late[((self.late.len() as f64 - 1.0) * share) as usize])
    }

    /// Processor time of all processes, in microseconds a start.
    pub(crate) fn processor(&self) -> f64 {
        self.each(self.processor) * 1e6
    }

    /// That of all servers.
    pub(crate) fn of_servers(&self) -> f64 {
        self.each(self.servers.iter().sum()) * 1e6
    }

    /// That of the server with the most, a start of all.
    #[allow(dead_code, reason = "one server is the busiest")]
    pub(crate) fn of_busiest(&self) -> f64 {
        self.each(self.servers.iter().copied().fold(0.0, f64::max)) * 1e6
    }

    pub(crate) fn scripts(&self) -> f64 {
        self.each(self.scripts)
    }

    pub(crate) fn largest_share(&self) -> f64 {
        self.wins.iter().max().map_or(0.0, |most| self.each(f64::from(*most)))
    }

    fn each(&self, total: f64) -> f64 {
        total / self.late.len() as f64
    }
}

/// How many scripts the server was asked to run so far.
fn scripts(server: &Redis) -> f64 {
    let text: String = server.ask(&["INFO", "commandstats"]);
    let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<f64>().ok();
    text.lines().filter(|line| line.starts_with("cmdstat_eval")).filter_map(calls).sum()
}
