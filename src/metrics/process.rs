//! The standard metrics of a process, as Linux tells them.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::book::Book;
use super::series::Series;

/// Reads them anew. What cannot be read is left as it was.
pub(super) fn read(book: &Book) {
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        take(book, &stat);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The one that reads the directory is among them.
        book.set(Series::OpenFds, [], float(open.count().saturating_sub(1) as u64));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        book.set(Series::MaxFds, [], float(most));
    }
}

/// From the fields of `stat`, counted from behind the name, which may hold anything.
fn take(book: &Book, stat: &str) -> Option<()> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = float(clock_ticks_per_second());
    book.total(Series::Cpu, float(field(11)? + field(12)?) / ticks);
    book.set(Series::Threads, [], float(field(17)?));
    book.set(Series::Virtual, [], float(field(20)?));
    book.set(Series::Resident, [], float(field(21)? * page_size() as u64));
    let booted = fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    book.set(Series::Started, [], float(booted) + float(field(19)?) / ticks);
    Some(())
}

#[allow(clippy::cast_precision_loss, reason = "shown to people")]
fn float(number: u64) -> f64 {
    number as f64
}
