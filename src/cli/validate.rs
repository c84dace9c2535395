//! `cronclave validate`: are the schedule files right?

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Context, Failure, out, sarif};
use crate::clock::Clock;
use crate::config::{self, Diagnostic, FileInfo, Severity, SourceText};
use crate::phrase;

/// Check schedule files: all mistakes at once, each with its place and what to do about it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave validate                          what `serve` would read
  cronclave validate schedules/ops.toml       one file
  cat jobs.toml | cronclave validate -        standard input
  cronclave validate --strict --format github in a pipeline: warnings count, shown at their lines
  cronclave validate --format sarif > a.sarif for code hosts that show SARIF beside the lines

Exits with 0 when the files can be used and with 78 when not.")]
pub(super) struct Validate {
    /// Files, directories, or - for standard input [default: what --config says]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take warnings for mistakes
    #[arg(long)]
    strict: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// Annotations for GitHub Actions
    Github,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

/// What was found.
struct Found {
    files: Vec<FileInfo>,
    diagnostics: Vec<Diagnostic>,
}

impl Found {
    fn in_files(paths: &[PathBuf]) -> Found {
        let sources = match config::find(paths, &mut std::io::stdin()) {
            Ok(sources) => sources,
            Err(diagnostics) => return Found { files: Vec::new(), diagnostics },
        };
        match config::load(&sources, &config::environment, Clock::system().now()) {
            Ok(config) => Found { files: config.files, diagnostics: config.warnings },
            Err(diagnostics) => Found { files: sources.iter().map(named).collect(), diagnostics },
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|one| one.severity == severity).count()
    }

    fn jobs(&self) -> usize {
        self.files.iter().map(|file| file.jobs).sum()
    }

    /// One line a file.
    fn list(&self) -> String {
        let width = self.files.iter().map(|file| file.path.chars().count()).max().unwrap_or(0);
        let line = |file: &FileInfo| {
            let of = |severity| {
                let here = |one: &&Diagnostic| one.file == file.path && one.severity == severity;
                self.diagnostics.iter().filter(here).count()
            };
            let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
            let verdict = if errors > 0 { phrase::count(errors, "error") } else { "ok".into() };
            let more = if warnings > 0 { format!(", {}", phrase::count(warnings, "warning")) } else { String::new() };
            // Of files with mistakes it is not known what they would declare.
            let is_known = self.count(Severity::Error) == 0;
            let jobs = if is_known { format!("{:<8}  ", phrase::count(file.jobs, "job")) } else { String::new() };
            format!("{:<width$}  {jobs}{verdict}{more}\n", file.path)
        };
        self.files.iter().map(line).collect()
    }
}

fn named(source: &SourceText) -> FileInfo {
    FileInfo { path: source.name.clone(), jobs: 0 }
}

impl Validate {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let paths = if self.paths.is_empty() { context.paths() } else { self.paths };
        let found = Found::in_files(&paths);
        let (errors, warnings) = (found.count(Severity::Error), found.count(Severity::Warning));
        let good = errors == 0 && (warnings == 0 || !self.strict);
        let format = if context.global.json { Format::Json } else { self.format };
        match format {
            Format::Text => text(&found, context, good)?,
            Format::Github => out::print(found.diagnostics.iter().map(annotation).collect::<String>())?,
            Format::Sarif => out::json(&sarif::log(&found.diagnostics))?,
            Format::Json => out::json(&json!({
                "ok": good,
                "files": found.files,
                "errors": errors,
                "warnings": warnings,
                "diagnostics": found.diagnostics,
            }))?,
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(Failure::CONFIG) })
    }
}

/// The list of files on standard output, what is wrong with them on standard error.
fn text(found: &Found, context: &Context, good: bool) -> Result<(), Failure> {
    out::print(found.list())?;
    let (errors, warnings) = (found.count(Severity::Error), found.count(Severity::Warning));
    if errors > 0 {
        // It ends with its own count.
        out::bare_note(config::report(&found.diagnostics, context.colored()).trim_end());
        return Ok(());
    }
    for warning in &found.diagnostics {
        out::bare_note(format_args!("\n{}", warning.render(context.colored())));
    }
    let (jobs, files) = (phrase::count(found.jobs(), "job"), phrase::count(found.files.len(), "file"));
    out::line(format_args!("\n{jobs} in {files}, 0 errors, {}", phrase::count(warnings, "warning")))?;
    if !good {
        out::note("--strict: warnings count as errors; mend what they point at, or leave --strict out");
    }
    Ok(())
}

/// As GitHub Actions reads it.
fn annotation(one: &Diagnostic) -> String {
    let level = if one.severity == Severity::Error { "error" } else { "warning" };
    let text = one.sentence().replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let file =
        one.file.replace('%', "%25").replace(',', "%2C").replace(':', "%3A").replace('\r', "%0D").replace('\n', "%0A");
    let place = if one.line == 0 { String::new() } else { format!(",line={},col={}", one.line, one.column) };
    format!("::{level} file={file}{place},title={}::{text}\n", one.code)
}
