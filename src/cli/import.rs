//! `cronclave import`: from a crontab to a schedule file.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, out, show};
use crate::clock::Clock;
use crate::config;
use crate::crontab::{self, Crontab, MachineZone, Target, Written};
use crate::phrase;
use crate::schedule::Zone;

/// Turn a crontab into a schedule file
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  crontab -l | cronclave import crontab -                            look at it first
  crontab -l | cronclave import crontab - -o schedules/mine.toml     write it
  cronclave import crontab --help                                    all of it")]
pub(super) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Read the crontab of Vixie's cron, cronie and their kin
    Crontab(FromCrontab),
}

/// Turn a crontab into a schedule file that starts the same commands at the same times.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  crontab -l | cronclave import crontab -                            look at it first
  crontab -l | cronclave import crontab - -o schedules/mine.toml     write it
  cronclave import crontab /etc/crontab --system -o schedules/etc.toml
  cronclave import crontab old.txt --timezone Europe/Berlin          a crontab of another machine

What cannot be kept is left out, and said with its line and the reason on standard error; nothing is guessed.
Times are meant in the zone of CRON_TZ, else of --timezone, else of this machine; the file says which.
TZ is a variable of the jobs only, as in cron. A job that starts later by RANDOM_DELAY has jitter.
A replica starts everything as its own user: entries of another user get `enabled = false`.

Exits with 0 when there is a file, 66 when there is no such crontab, and 78 when nothing in it can be used.")]
struct FromCrontab {
    /// The crontab, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// A system crontab: its entries name a user before the command, as in /etc/crontab and /etc/cron.d
    #[arg(long)]
    system: bool,
    /// Where its times are meant, unless CRON_TZ says [default: this machine's zone]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Who will run the replicas that read the file [default: who types this]
    #[arg(long, value_name = "NAME", requires = "system")]
    user: Option<String>,
    /// Write the file there instead of printing it; never over another
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// No crontab is larger: 4 MiB.
const LARGEST: u64 = 4 << 20;

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let From::Crontab(command) = self.from;
        command.run(context)
    }
}

impl FromCrontab {
    fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let source = if self.file == Path::new("-") { "<stdin>".into() } else { self.file.display().to_string() };
        let text = text(&self.file, &source)?;
        let has_users = self.file == Path::new("/etc/crontab") || self.file.starts_with("/etc/cron.d");
        if has_users && !self.system {
            return Err(Failure::new(
                Failure::USAGE,
                format!("the entries of {source} name a user before the command: add --system"),
            ));
        }
        let tab = crontab::read(&text, self.system);
        let zone = self.zone(&tab)?;
        let user = self.user.clone().or_else(typist);
        let now = Clock::system().now();
        let target = Target { source: &source, zone: &zone, user: user.as_deref(), now };
        let written = crontab::write(&tab, &target);
        if let Some(path) = self.output.as_deref().filter(|_| written.jobs > 0) {
            create(path, &written.text)?;
        }
        tell(&source, &tab, &written);
        if written.jobs == 0 {
            return Err(Failure::new(
                Failure::CONFIG,
                format!("{source} holds no entry that could be imported: nothing was written"),
            ));
        }
        match &self.output {
            _ if context.global.json => out::json(&as_json(&tab, &written))?,
            Some(path) => out::line(format_args!(
                "wrote {}: {}\n\nlook at their times:   cronclave --config {0} next",
                path.display(),
                phrase::count(written.jobs, "job")
            ))?,
            None => out::print(&written.text)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn zone(&self, tab: &Crontab) -> Result<MachineZone, Failure> {
        if let Some(name) = &self.timezone {
            let zone = show::zone(name).map_err(|why| Failure::new(Failure::USAGE, format!("--timezone: {why}")))?;
            return Ok(MachineZone { zone, origin: "as --timezone said".into() });
        }
        if tab.entries.iter().all(|entry| entry.zone.is_some()) {
            return Ok(MachineZone { zone: Zone::utc(), origin: "every job says its own".into() });
        }
        let found = crontab::machine_zone(&config::environment, Path::new("/")).ok_or_else(|| {
            let looked = "neither $TZ nor /etc/timezone nor the link /etc/localtime names it";
            let way = "say where the crontab's times are meant, as in --timezone Europe/Berlin";
            Failure::new(Failure::USAGE, format!("this machine's time zone is not known: {looked}; {way}"))
        })?;
        out::note(format_args!(
            "times are meant in {}, this machine's zone ({}); --timezone says another",
            found.zone, found.origin
        ));
        Ok(MachineZone { origin: format!("this machine's zone, by {}", found.origin), ..found })
    }
}

/// Who types this, if that is certain enough to start commands by it.
fn typist() -> Option<String> {
    if rustix::process::geteuid().is_root() {
        return Some("root".into());
    }
    super::user().filter(|name| name != "root")
}

fn text(path: &Path, source: &str) -> Result<String, Failure> {
    let missing = |why: String| Failure::new(Failure::NO_INPUT, format!("{source}: {why}"));
    let strange = |why: String| Failure::new(Failure::CONFIG, format!("{source}: {why}"));
    if path.is_dir() {
        return Err(missing("is a directory; name a crontab in it".into()));
    }
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing("there is no such file; `crontab -l` prints a user's crontab".into()),
        _ => missing(format!("cannot be read: {error}")),
    })?;
    if bytes.len() as u64 > LARGEST {
        return Err(strange("larger than 4 MiB: surely not a crontab".into()));
    }
    if bytes.contains(&0) {
        return Err(strange("holds NUL bytes: surely not a crontab".into()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|c| **c == b'\n').count();
        strange(format!("line {line} is not UTF-8 text: convert it first, as with `iconv -f latin1 -t utf-8`"))
    })
}

fn create(path: &Path, text: &str) -> Result<(), Failure> {
    let made = out::new_file(path, text);
    made.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AlreadyExists => {
                "is already there and stays as it is: name another, or move it away first".into()
            }
            ErrorKind::NotFound => "cannot be written: its directory does not exist; make it first".into(),
            _ => format!("cannot be written: {error}"),
        };
        Failure::new(Failure::NO, format!("{}: {why}", path.display()))
    })
}

/// What was changed or lost, by line, and the sum.
fn tell(source: &str, tab: &Crontab, written: &Written) {
    let left_out = written.left_out.iter().map(|one| (one.line, format!("left out: {}\n    {}", one.why, one.text)));
    let notes = written.notes.iter().map(|one| (one.line, format!("note: {}", one.text)));
    let mut all: Vec<(usize, String)> = left_out.chain(notes).collect();
    all.sort_by_key(|(line, _)| *line);
    for (line, text) in all {
        out::bare_note(format_args!("{source}:{line}: {text}"));
    }
    let old = match tab.commented_out {
        0 => String::new(),
        count => format!("; {count} commented out are not kept"),
    };
    out::note(format_args!(
        "{}: {}, {} left out{old}",
        phrase::count(tab.lines, "line"),
        phrase::count(written.jobs, "job"),
        written.left_out.len()
    ));
}

fn as_json(tab: &Crontab, written: &Written) -> serde_json::Value {
    json!({
        "lines": tab.lines,
        "jobs": written.jobs,
        "left_out": written.left_out.iter()
            .map(|one| json!({"line": one.line, "text": one.text, "reason": one.why})).collect::<Vec<_>>(),
        "notes": written.notes.iter().map(|one| json!({"line": one.line, "text": one.text})).collect::<Vec<_>>(),
        "commented_out": tab.commented_out,
        "toml": written.text,
    })
}
