//! How full each hour is, as a picture: a row a day, a column an hour, in UTC.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Scenario, World};
use crate::clock::Timestamp;

/// The side of an hour, in pixels.
const CELL: i64 = 22;

/// Room for the names of the days, and of the hours.
const LEFT: i64 = 92;
const TOP: i64 = 28;

/// A row a day at most.
const DAYS: i64 = 366;

/// An SVG of how many runs begin in each hour.
pub fn picture(world: &World, scenario: &Scenario) -> String {
    let mut hours: BTreeMap<i64, u64> = BTreeMap::new();
    for started in world.lines.iter().filter_map(|line| line.started) {
        *hours.entry(started.as_secs().div_euclid(3600)).or_default() += 1;
    }
    let most = hours.values().copied().max().unwrap_or(1).max(1);
    let first = scenario.from.as_secs().div_euclid(86_400);
    let days = (scenario.until.as_secs().div_euclid(86_400) - first + 1).clamp(1, DAYS);
    let (width, height) = (LEFT + 24 * CELL + 8, TOP + days * CELL + 8);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<title>Runs that begin, by day and hour in UTC: at most {most} in an hour</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for hour in (0..24).step_by(3) {
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{hour:02}</text>", LEFT + hour * CELL, TOP - 8);
    }
    for day in 0..days {
        let date = Timestamp::from_secs((first + day) * 86_400).datetime().format("%a %Y-%m-%d").to_string();
        let y = TOP + day * CELL;
        let _ = writeln!(svg, "<text x=\"4\" y=\"{}\">{date}</text>", y + 15);
        for hour in 0..24 {
            let count = hours.get(&((first + day) * 24 + hour)).copied().unwrap_or(0);
            #[allow(clippy::cast_precision_loss, reason = "a shade")]
            let shade = if count == 0 { 0.0 } else { 0.15 + 0.85 * count as f64 / most as f64 };
            let x = LEFT + hour * CELL;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"#0b5cad\" fill-opacity=\"{shade:.2}\" \
                 stroke=\"#ccd\"><title>{date} {hour:02}:00 UTC: {count}</title></rect>",
                side = CELL - 2
            );
        }
    }
    svg + "</svg>\n"
}
