//! `cronclave doctor`: what would hurt later, told now.

use std::process::ExitCode;

use clap::Args;

use super::show::Style;
use super::{Context, Failure, out};
use crate::config::{Flags, Process, environment};
use crate::doctor::{self, Care, Finding, Level, Report};
use crate::phrase::{Mark, count};

/// Test settings, schedule files, servers, clocks, permissions and limits, as this process would use them.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave doctor                  everything, in a few seconds
  cronclave doctor --fast           before a release, as in a Procfile: release: cronclave doctor --fast
  cronclave doctor --fix            also mend what is safe to mend
  cronclave doctor --json | jq '.findings[] | select(.level == \"problem\")'

Run it where a replica runs: with its environment, its files and its network. --fix sets Redis' maxmemory-policy to
noeviction, and makes exchanges and queues that are missing on RabbitMQ; nothing else is ever changed.

Exits with 0 when there is no problem, whatever the warnings, and with 1 when there is one. docs/DOCTOR.md lists what
is looked at.")]
pub(super) struct Doctor {
    /// Only what takes a moment: fewer round trips, nobody else of the cluster
    #[arg(long)]
    fast: bool,
    /// Mend what can be mended without a risk
    #[arg(long)]
    fix: bool,
}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let report = match Process::load(&context.flags(Flags::default()), &environment, &context.host) {
            Ok(process) => doctor::examine(&process, Care { fast: self.fast, fix: self.fix }).await,
            Err(wrong) => doctor::unusable(&wrong),
        };
        if context.global.json {
            out::json(&report)?;
        } else {
            out::print(text(&report, &context.style))?;
        }
        Ok(ExitCode::from(u8::from(report.problems > 0)))
    }
}

fn text(report: &Report, style: &Style) -> String {
    let (mut text, mut last) = (String::new(), "");
    // Without more letters than ASCII marks are words.
    let width = if style.unicode { 1 } else { 4 };
    for Finding { area, level, text: words, mend, .. } in &report.findings {
        let heading = if *area == last { "" } else { area };
        last = area;
        let mark = match level {
            Level::Good | Level::Mended => Mark::Good,
            Level::Skipped => Mark::Idle,
            Level::Warning => Mark::Late,
            Level::Problem => Mark::Bad,
        };
        let word = if *level == Level::Mended { "mended: " } else { "" };
        // What a server said must neither break the line nor reach the terminal as a command.
        let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        text += &format!("{heading:<11} {} {word}{}\n", style.marked(mark, width), clean(words));
        if let Some(mend) = mend {
            text += &format!("{:<11} {:<width$} {} {}\n", "", "", if style.unicode { "→" } else { "=>" }, clean(mend));
        }
    }
    let (problems, warnings) = (count(report.problems, "problem"), count(report.warnings, "warning"));
    text + &format!("\n{problems}, {warnings}\n")
}
