//! `cronclave man`: the manual pages, made of what the commands say of themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, Failure, out};

/// Print the manual page of a command, or write all pages.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave man | man -l -             the page of the program
  cronclave man serve | man -l -       that of a command
  cronclave man --out /usr/local/share/man/man1")]
pub(super) struct Man {
    /// Of this command [default: of the program]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Write all pages into this directory instead, as cronclave.1, cronclave-serve.1 and so on
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// What exit codes mean, for all commands alike.
const EXITS: [(&str, &str); 12] = [
    ("0", "Done."),
    ("1", "The answer is no: a run failed, something was found."),
    ("2", "It was typed wrong."),
    ("3", "Of fence check: the run may not act any more."),
    ("66", "There is no such job, run, lock or file."),
    ("69", "Redis, RabbitMQ, the database or a server cannot be reached."),
    ("70", "A fault of cronclave's own."),
    ("75", "Not now: a lock is held, a run is still going, the job is paused."),
    ("77", "Whoever asks may not."),
    ("78", "Schedule files or settings are invalid."),
    ("124, 125, 126, 127", "Of run: it timed out, could not be started, is not executable, is not there."),
    ("1 to 123, 128 and more", "Of run: the program's own."),
];

/// Where more is told.
const FILES: [(&str, &str); 3] = [
    ("schedules/*.toml", "The jobs; else /etc/cronclave/*.toml. cronclave schema --docs prints every key."),
    ("cronclave.db", "The state of a single machine; under systemd in /var/lib/cronclave."),
    ("/usr/share/doc/cronclave", "More about schedules, guarantees, servers and platforms."),
];

impl Man {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        // The commands are pages of their own; `help` is no page.
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        match (self.out, self.command) {
            (Some(dir), _) => write_all(&program, &dir)?,
            (None, None) => out::print(page(&program, None)?)?,
            (None, Some(name)) => {
                let found = program.find_subcommand(&name).filter(|command| !command.is_hide_set());
                let unknown = || format!("there is no command `{name}`: `cronclave help` lists them");
                let command = found.ok_or_else(|| Failure::new(Failure::USAGE, unknown()))?;
                out::print(page(command, Some("cronclave"))?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write_all(program: &Command, dir: &Path) -> Result<(), Failure> {
    let failed =
        |path: &Path, error: &std::io::Error| Failure::new(Failure::NO, format!("{}: {error}", path.display()));
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for (name, text) in pages(program, None)? {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// The pages of a command and of those below it, with their names.
fn pages(command: &Command, of: Option<&str>) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let name = full_name(command, of);
    let mut all = vec![(format!("{name}.1"), page(command, of)?)];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        all.extend(pages(below, Some(&name))?);
    }
    Ok(all)
}

fn full_name(command: &Command, of: Option<&str>) -> String {
    of.map_or_else(|| command.get_name().to_owned(), |of| format!("{of}-{}", command.get_name()))
}

/// The page of a command; of the program itself without one above it.
fn page(command: &Command, of: Option<&str>) -> Result<Vec<u8>, Failure> {
    let name = full_name(command, of);
    let page = Page::new(command.clone().display_name(name.clone()).name(name))
        .source(format!("cronclave {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text)
        .and_then(|()| {
            let mut more = Roff::default();
            if of.is_none() {
                section(&mut more, "EXIT STATUS", &EXITS);
                section(&mut more, "FILES", &FILES);
            }
            more.to_writer(&mut text)
        })
        .map_err(|error| Failure::new(Failure::NO, error.to_string()))?;
    Ok(text)
}

fn section(page: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (term, meaning) in rows {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}
