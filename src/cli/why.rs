//! `cronclave why JOB@TIME`: what happened to one occurrence, and why.

use std::process::ExitCode;

use clap::Args;

use super::place::{Files, Place};
use super::{Context, Failure, out, show};
use crate::desk::{Choice, Why as Cause};
use crate::ledger::State;
use crate::phrase;
use crate::schedule::Zone;
use crate::shape::Why as Answer;

/// Say what happened to one occurrence of a job, and why: who ran it, or why nobody did.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave why db-backup@2026-11-22T02:30          in the job's own zone
  cronclave why db-backup@2026-11-22T01:30:00Z
  cronclave why report@2026-11-22 --json

Exits with 0 when it succeeded, and 1 when it did not, or has not yet.")]
pub(super) struct Why {
    /// The job and the instant that it was scheduled for
    #[arg(value_name = "JOB@TIME")]
    occurrence: String,
}

impl Why {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Helpful).await?;
        let usage = |why: String| Failure::new(Failure::USAGE, format!("`{}`: {why}", self.occurrence));
        let Some((name, time)) = self.occurrence.split_once('@') else {
            return Err(usage("write a job and a time, as in db-backup@2026-11-22T02:30".into()));
        };
        let zone = match &context.style.zone {
            Some(zone) => zone.clone(),
            None => zone_of(&place, name).await?,
        };
        let at = phrase::moment(time, &zone).map_err(usage)?;
        let seen = place.why(name, at).await?;
        out::stale(seen.stale_since);
        let answer = &seen.it;
        if context.global.json {
            out::json(&seen)?;
        } else {
            out::print(text(answer, context))?;
        }
        Ok(if answer.state == Some(State::Succeeded) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The zone of a job; UTC where its file is not known.
async fn zone_of(place: &Place, name: &str) -> Result<Zone, Failure> {
    let mine = Choice { names: vec![name.to_owned()], ..Choice::default() };
    match place.jobs(&mine).await {
        Ok(page) => Ok(show::known_zone(page.items.first().map(|job| job.timezone.as_str()))),
        // It may be one that only the store knows; if not, that is told next.
        Err(refusal) if refusal.why == Cause::NotFound => Ok(Zone::utc()),
        Err(refusal) => Err(refusal.into()),
    }
}

fn text(answer: &Answer, context: &Context) -> String {
    let style = &context.style;
    let zone = &show::known_zone(answer.timezone.as_deref());
    let mut text = format!("{} at {}\n{}\n", answer.job, style.time(answer.at, zone), answer.answer);
    text += if answer.facts.is_empty() { "" } else { "\n" };
    for fact in &answer.facts {
        let when = fact.at.map(|at| style.instant(at, answer.at, zone)).unwrap_or_default();
        let clean: String = fact.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text += format!("  {when:<15}  {clean}").trim_end();
        text.push('\n');
    }
    text
}
