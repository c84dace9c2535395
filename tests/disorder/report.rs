//! The report: all rows that are there, as Markdown, JSON and pictures. `tests/chaos` asks for it.

use std::fmt::Write as _;
use std::fs;

use super::rows::{Row, out};
use super::soak;

const CONTENDERS: [(&str, &str); 3] = [("ours", "#1b7837"), ("lock", "#d95f02"), ("occkey", "#7570b3")];

/// Not a test: makes the report of what the scenarios left behind.
#[test]
#[ignore = "run by tests/chaos, after the scenarios"]
fn the_table() {
    let out = out();
    let mut rows: Vec<Row> = Vec::new();
    for entry in fs::read_dir(out.join("rows")).expect("no scenario was run").flatten() {
        rows.push(serde_json::from_str(&fs::read_to_string(entry.path()).unwrap()).unwrap());
    }
    rows.sort_by_key(|row| (order(&row.scenario), CONTENDERS.iter().position(|(word, _)| *word == row.contender)));
    fs::write(out.join("report.json"), serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    fs::write(out.join("faults.svg"), faults(&rows)).unwrap();
    fs::write(out.join("lateness.svg"), lateness(&rows)).unwrap();
    let soaked = out.join("soak.csv");
    let soak = fs::read_to_string(&soaked).ok().map(|text| soak::read(&text));
    if let Some(samples) = &soak {
        fs::write(out.join("soak.svg"), soak::picture(samples)).unwrap();
    }
    let text = markdown(&rows, soak.map(|samples| soak::verdict(&samples)).as_deref());
    fs::write(out.join("report.md"), &text).unwrap();
    println!("{text}");
}

/// `X4a` after `X4` and before `X10`.
fn order(scenario: &str) -> (u32, String) {
    let digits: String = scenario.chars().filter(char::is_ascii_digit).collect();
    (digits.parse().unwrap_or(0), scenario.to_owned())
}

/// The scenarios in their order, each with the rows of its contenders.
fn scenarios(rows: &[Row]) -> Vec<[Option<&Row>; 3]> {
    let mut all: Vec<[Option<&Row>; 3]> = Vec::new();
    for row in rows {
        let place = CONTENDERS.iter().position(|(word, _)| *word == row.contender).unwrap();
        let known = all.iter_mut().find(|of| of.iter().flatten().any(|other| other.scenario == row.scenario));
        match known {
            Some(of) => of[place] = Some(row),
            None => {
                all.push([None; 3]);
                all.last_mut().unwrap()[place] = Some(row);
            }
        }
    }
    all
}

fn milliseconds(ms: i64) -> String {
    match ms {
        -9999..=9999 => format!("{ms} ms"),
        _ => format!("{} s", ms / 1000),
    }
}

fn markdown(rows: &[Row], soak: Option<&str>) -> String {
    let mut text = String::from(
        "# Chaos\n\n20 jobs due every second; what each contender made of the same faults at the same moments. `ours` is this \
         program, `lock` a lock on the job's name, `occkey` a key for each job and instant.\n\nFor `ours`, what did not run is \
         on record; the others keep none, so what did not run there is a silent miss.\n\n\
         | | faults | contender | due | faults injected | double starts | silent misses | on record as not run, or lost | early | late p50 / p99 | all on time again after |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for of in scenarios(rows) {
        let first = of.iter().flatten().next().unwrap();
        for (index, (contender, _)) in CONTENDERS.iter().enumerate() {
            let (scenario, title) = if index == 0 { (first.scenario.as_str(), first.title.as_str()) } else { ("", "") };
            let Some(row) = of[index] else {
                let _ = writeln!(text, "| {scenario} | {title} | {contender} | - | - | - | - | - | - | - | - |");
                continue;
            };
            let recorded: Vec<String> = row.recorded.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let recorded = match (*contender, recorded.is_empty()) {
                ("ours", true) => "0".to_owned(),
                ("ours", false) => recorded.join(", "),
                _ => "-".to_owned(),
            };
            let bold = |count: usize| if count > 0 { format!("**{count}**") } else { "0".to_owned() };
            let recovery = row.recovery.map_or("not in time".to_owned(), |secs| format!("{secs:.1} s"));
            let _ = writeln!(
                text,
                "| {scenario} | {title} | {contender} | {} | {} | {} | {} | {recorded} | {} | {} / {} | {recovery} |",
                row.due,
                row.faults,
                bold(row.doubles),
                bold(row.silent),
                bold(row.early),
                milliseconds(row.late_p50),
                milliseconds(row.late_p99),
            );
        }
    }
    if !rows.iter().any(|row| row.scenario.starts_with("X10")) {
        text += "| X10 | split brain, starts that wait for a replica | | - | - | - | - | - | - | - | - |\n";
    }
    text += "\n![what went wrong](faults.svg)\n\n![lateness](lateness.svg)\n";
    if let Some(verdict) = soak {
        let _ = write!(text, "\n## Soak\n\n{verdict}\n\n![memory, descriptors, keys](soak.svg)\n");
    }
    text
}

pub(super) fn head(width: i64, height: i64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    )
}

pub(super) fn words(x: i64, y: i64, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x}\" y=\"{y}\">{text}</text>\n")
}

/// A bar for each contender of each scenario: starts and misses that are wrong, as a part of what was due.
fn faults(rows: &[Row]) -> String {
    let all = scenarios(rows);
    let height = 40 + 52 * i64::try_from(all.len()).unwrap();
    let mut text = head(900, height)
        + &words(10, 20, "double, missed in silence, or early, of all that was due (the bar ends at 100 %)");
    let mut y = 40;
    for of in all {
        let first = of.iter().flatten().next().unwrap();
        text += &words(10, y + 22, &format!("{} {}", first.scenario, first.title));
        for (row, (contender, colour)) in of.iter().zip(CONTENDERS) {
            if let Some(row) = row {
                let wrong = row.doubles + row.silent + row.early;
                let part = (wrong as f64 / row.due.max(1) as f64).min(1.0);
                let _ = writeln!(
                    text,
                    "<rect x=\"400\" y=\"{y}\" width=\"{:.1}\" height=\"12\" fill=\"{colour}\"/>",
                    (part * 300.0).max(if wrong > 0 { 2.0 } else { 0.0 })
                );
                let label = format!("{contender}: {} + {} + {}", row.doubles, row.silent, row.early);
                text += &words(410 + (part * 300.0) as i64, y + 11, &label);
            }
            y += 15;
        }
        y += 7;
    }
    text + "</svg>\n"
}

/// For each scenario, the latest start of each second.
fn lateness(rows: &[Row]) -> String {
    let all = scenarios(rows);
    let (wide, high) = (290, 130);
    let lines = i64::try_from(all.len().div_ceil(3)).unwrap();
    let mut text = head(3 * wide + 30, 40 + lines * high)
        + &words(10, 20, "the latest start of each second of the round: 10 ms to 100 s, logarithmic");
    for (index, of) in all.iter().enumerate() {
        let index = i64::try_from(index).unwrap();
        let (x0, y0) = (20 + index % 3 * wide, 40 + index / 3 * high);
        let first = of.iter().flatten().next().unwrap();
        let title: String = format!("{} {}", first.scenario, first.title).chars().take(44).collect();
        text += &words(x0, y0 + 12, &title);
        let (bottom, room) = (y0 + high - 15, (high - 35) as f64);
        let _ = writeln!(text, "<path d=\"M{x0} {bottom}h{}\" stroke=\"#999\"/>", wide - 30);
        for decade in 1..4 {
            let y = bottom as f64 - room * f64::from(decade) / 4.0;
            let _ = writeln!(text, "<path d=\"M{x0} {y:.1}h{}\" stroke=\"#ddd\"/>", wide - 30);
        }
        for (row, (_, colour)) in of.iter().zip(CONTENDERS) {
            let Some(row) = row else { continue };
            let step = (wide - 30) as f64 / row.latest.len().max(1) as f64;
            for (second, late) in row.latest.iter().enumerate() {
                let Some(late) = late else { continue };
                let part = ((late.unsigned_abs().max(10) as f64).log10() - 1.0).clamp(0.0, 4.0) / 4.0;
                let (x, y) = (x0 as f64 + second as f64 * step, bottom as f64 - part * room);
                let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{colour}\"/>");
            }
        }
    }
    text + "</svg>\n"
}

/// A line of points over time, in a field of the picture.
pub(super) fn line(points: &[(f64, f64)], field: [f64; 4], largest: (f64, f64), colour: &str) -> String {
    let [x, y, width, height] = field;
    let mut path = String::new();
    for (index, (at, value)) in points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let (px, py) = (x + width * at / largest.0.max(1e-9), y + height - height * value / largest.1.max(1e-9));
        let _ = write!(path, "{letter}{px:.1} {py:.1}");
    }
    format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n")
}
