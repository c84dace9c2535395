//! What a benchmark says: a line for people, and the same in JSON for `benches/run` and `benches/compare`.

use std::time::Duration;

/// Says what was measured of `case`. A figure's name ends in its unit: `p99_ms`, `starts_per_second`; a `_ratio` is of
/// two things that were measured in the same run.
pub(crate) fn tell(bench: &str, case: &str, figures: &[(&str, f64)]) {
    let words: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
    println!("{case}: {}", words.join(", "));
    let figures: serde_json::Map<_, _> =
        figures.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    println!("{}", serde_json::json!({ "bench": bench, "case": case, "figures": figures }));
}

/// Three digits that count.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.0 => 0,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// That of several measurements in the middle.
#[allow(dead_code, reason = "not every benchmark repeats itself")]
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// In milliseconds.
#[allow(dead_code, reason = "not every benchmark times")]
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Seconds of processor time that a process has used so far.
#[allow(dead_code, reason = "not every benchmark asks")]
pub(crate) fn processor(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The kernel counts a hundred ticks a second for user space, whatever its own rate.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
