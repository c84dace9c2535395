//! Many jobs a second on several processes that share one SQLite file.
//!
//! `cargo bench --bench file [-- SECONDS [JOBS [PROCESSES]]]` (30 seconds, 1,000 jobs each due every second, 4 processes) prints
//! how late their code began, how the processes shared them, and how often one of them had trouble with the file.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/figures.rs"]
mod figures;

use std::collections::BTreeMap;
use std::time::Duration;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "replica") {
        return crowd::replica(&words[1], "bench", &words[2], &jobs(words[3].parse().unwrap()), Duration::ZERO);
    }
    let number = |at: usize, or: usize| words.get(at).map_or(or, |word| word.parse().unwrap());
    many(number(0, 30) as u64, number(1, 1000), number(2, 4));
}

fn jobs(count: usize) -> String {
    (0..count).map(|n| format!("[jobs.job-{n}]\nevery = \"1s\"\nhandler = \"note\"\nkeep = {{ runs = 5 }}\n")).collect()
}

fn many(seconds: u64, jobs: usize, processes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let outs: Vec<String> = (0..processes).map(|index| path(&format!("out-{index}"))).collect();
    let mut children: Vec<_> =
        outs.iter().map(|out| crowd::another(&["replica", &path("jobs.db"), out, &jobs.to_string()])).collect();
    // They register their jobs.
    std::thread::sleep(Duration::from_secs(5));
    let busy = |children: &[std::process::Child]| -> f64 {
        children.iter().map(|child| figures::processor(child.id().cast_signed())).sum()
    };
    let (from, before) = (crowd::micros(), busy(&children));
    std::thread::sleep(Duration::from_secs(seconds));
    let (upto, after) = (crowd::micros() - 1_000_000, busy(&children));
    crowd::end(&mut children);
    let (mut late, mut wins, mut starts) = (Vec::new(), Vec::new(), BTreeMap::<(u64, String), u32>::new());
    let mut troubles = Vec::new();
    for out in &outs {
        let (started, trouble) = crowd::written(out);
        let counted = || started.iter().filter(|(due, ..)| (from..upto).contains(due));
        wins.push(counted().count());
        late.extend(counted().map(|(due, now, _)| Duration::from_micros(now.saturating_sub(*due))));
        counted().for_each(|(due, _, job)| *starts.entry((*due, job.clone())).or_default() += 1);
        troubles.extend(trouble);
    }
    late.sort();
    let instants = upto / 1_000_000 - from / 1_000_000;
    let twice = starts.values().filter(|count| **count > 1).count();
    println!("{} of {} starts, {twice} twice, wins {wins:?}", late.len(), instants * jobs as u64);
    troubles.iter().take(10).for_each(|why| println!("trouble: {why}"));
    let at = |share: f64| figures::ms(late[((late.len() as f64 - 1.0) * share) as usize]);
    let of_all = |wins: Option<&usize>| *wins.unwrap() as f64 / late.len() as f64;
    figures::tell(
        "file",
        &format!("{jobs} jobs a second, {processes} processes, {seconds} s"),
        &[
            ("started_ratio", starts.len() as f64 / (instants * jobs as u64) as f64),
            ("twice", twice as f64),
            ("p50_ms", at(0.5)),
            ("p99_ms", at(0.99)),
            ("max_ms", at(1.0)),
            ("least_share", of_all(wins.iter().min())),
            ("largest_share", of_all(wins.iter().max())),
            ("processor_us_a_start", (after - before) / late.len() as f64 * 1e6),
            ("troubles", troubles.len() as f64),
        ],
    );
}
