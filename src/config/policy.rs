//! The policies of a job: retry, overlap, misfire, delivery, history.

use std::time::Duration;

use toml::de::DeValue;

use super::keys::{KEEP, LOCK, MISFIRE, RETRY};
use super::walk::{Value, Walk};
use super::words;
use crate::job::{Backoff, Delivery, Keep, Misfire, MisfirePolicy, Overlap, Retry};
use crate::schedule::{GapRule, OverlapRule};

pub(super) fn gap(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<GapRule> {
    walk.one_of("dst_gap", value, &words::GAP, &[])
}

pub(super) fn repeated(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<OverlapRule> {
    walk.one_of("dst_overlap", value, &words::REPEATED, &[])
}

pub(super) fn overlap(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Overlap> {
    walk.one_of("overlap policy", value, &words::OVERLAP, &words::OVERLAP_ELSEWHERE)
}

pub(super) fn delivery(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Delivery> {
    walk.one_of("delivery", value, &words::DELIVERY, &words::DELIVERY_ELSEWHERE)
}

fn misfire_policy(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<MisfirePolicy> {
    walk.one_of("misfire policy", value, &words::MISFIRE, &words::MISFIRE_ELSEWHERE)
}

pub(super) fn misfire(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Misfire> {
    let mut misfire = Misfire::default();
    let DeValue::Table(table) = value.get_ref() else {
        misfire.policy = misfire_policy(walk, value)?;
        return Some(misfire);
    };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "policy" => misfire.policy = misfire_policy(walk, value)?,
            "window" => misfire.window = walk.span_of_time("window", value)?,
            "max" => {
                let most = i64::try_from(Misfire::MOST).unwrap_or(i64::MAX);
                misfire.max = usize::try_from(walk.integer("max", value, 1..most + 1)?).ok()?;
            }
            _ => {
                walk.unknown_key(key, &MISFIRE, "`misfire`");
            }
        }
    }
    Some(misfire)
}

pub(super) fn retry(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Retry> {
    let mut retry = Retry::default();
    for (key, value) in walk.table("retry", value)? {
        match key.get_ref().as_ref() {
            "attempts" => retry.attempts = u32::try_from(walk.integer("attempts", value, 1..1001)?).ok()?,
            "backoff" => retry.backoff = backoff(walk, value)?,
            "initial" => retry.initial = walk.duration("initial", value)?,
            "max" => retry.max = walk.duration("max", value)?,
            "jitter" => retry.jitter = share(walk, value)?,
            "no_retry_exit_codes" => retry.no_retry_exit_codes = exit_codes(walk, value)?,
            _ => {
                walk.unknown_key(key, &RETRY, "`retry`");
            }
        }
    }
    Some(retry)
}

fn backoff(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Backoff> {
    walk.one_of("backoff", value, &words::BACKOFF, &words::BACKOFF_ELSEWHERE)
}

/// A number from 0 to 1.
fn share(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<f64> {
    let number: Option<f64> = match value.get_ref() {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(number) => number.as_str().parse().ok(),
        _ => {
            walk.wrong_type("jitter", value, "a number from 0 to 1");
            return None;
        }
    };
    let number = number.filter(|share| (0.0..=1.0).contains(share));
    if number.is_none() {
        walk.error("E0023", value.span(), "`jitter` is out of range", "must be 0 to 1: a share of the pause");
    }
    number
}

fn exit_codes(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Vec<i32>> {
    let DeValue::Array(items) = value.get_ref() else {
        walk.wrong_type("no_retry_exit_codes", value, "a list of numbers");
        return None;
    };
    let codes: Vec<_> = items.iter().map(|item| walk.integer("no_retry_exit_codes", item, 0..256)).collect();
    codes.into_iter().map(|code| code.and_then(|code| i32::try_from(code).ok())).collect()
}

/// How long a claim lasts: `lock = { ttl = "30s" }`.
pub(super) fn lock(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Duration> {
    let mut ttl = None;
    for (key, value) in walk.table_with("lock", "ttl", value)? {
        if key.get_ref() != "ttl" {
            walk.unknown_key(key, &LOCK, "`lock`");
            continue;
        }
        ttl = walk.duration("ttl", value);
        if ttl.is_some_and(|ttl| !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&ttl)) {
            walk.error("E0023", value.span(), "`ttl` is out of range", "must be 1s to 1h");
        }
    }
    ttl
}

pub(super) fn keep(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Keep> {
    let mut keep = Keep::default();
    for (key, value) in walk.table("keep", value)? {
        match key.get_ref().as_ref() {
            "runs" => keep.runs = u32::try_from(walk.integer("runs", value, 1..1_000_001)?).ok()?,
            "days" => keep.days = u32::try_from(walk.integer("days", value, 1..36_501)?).ok()?,
            _ => {
                walk.unknown_key(key, &KEEP, "`keep`");
            }
        }
    }
    Some(keep)
}

/// Units of size, each with its number of bytes.
const SIZES: [(&str, usize); 7] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000)];

/// A size such as `"1MiB"`, from 1 KiB to 1 GiB.
pub(super) fn size(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<usize> {
    if let DeValue::Integer(number) = value.get_ref() {
        let bytes: Option<usize> = number.as_str().parse().ok().filter(|bytes| *bytes > 0);
        let error = walk.error("E0026", value.span(), "a size needs a unit", "number without a unit");
        // In the largest unit that leaves nothing over.
        let units = [&SIZES[3], &SIZES[2], &SIZES[1], &SIZES[0]];
        if let Some((bytes, (unit, size))) =
            bytes.and_then(|bytes| Some((bytes, *units.into_iter().find(|(_, size)| bytes % size == 0)?)))
        {
            error.suggest("write it as text", value.span(), format!("\"{}{unit}\"", bytes / size));
        }
        return None;
    }
    let text = walk.text("log_limit", value)?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = SIZES.iter().find(|(name, _)| *name == unit.trim());
    let size = number.parse::<usize>().ok().zip(scale).and_then(|(number, (_, scale))| number.checked_mul(*scale));
    match size {
        Some(size) if (1 << 10..=1 << 30).contains(&size) => return Some(size),
        Some(_) => _ = walk.error("E0023", value.span(), "`log_limit` is out of range", "must be 1KiB to 1GiB"),
        None => {
            let label = "a number and a unit: B, KiB, MiB, GiB, kB or MB";
            let error = walk.error("E0026", value.span(), format!("{text:?} is not a size"), label);
            error.help("as in \"64KiB\" or \"1MiB\"");
            let likely =
                |name: &str| name.eq_ignore_ascii_case(unit.trim()) || name.strip_suffix("iB") == Some(unit.trim());
            if let Some((name, _)) = SIZES.iter().find(|(name, _)| likely(name) && !number.is_empty()) {
                error.suggest("write the unit like this", value.span(), format!("\"{number}{name}\""));
            }
        }
    }
    None
}
