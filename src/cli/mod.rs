//! The command line: one file a command.

mod failure;
mod run;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Flags, Process};
use crate::job::{Action, Job, Task};
use crate::service;
use crate::store::{Create, Store};
use failure::Failure;

/// What is typed.
#[derive(Debug, Parser)]
#[command(
    name = "cronclave",
    version,
    about = "Cluster-safe cron. Run any number of replicas; every occurrence starts once.",
    after_help = "Start here:   cronclave init && cronclave serve",
    max_term_width = 100,
    disable_help_subcommand = false,
    propagate_version = true
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Global {
    /// Schedule file, directory, or - for standard input; repeatable [env: CRONCLAVE_CONFIG, separated by :]
    /// [default: ./schedules/*.toml, then /etc/cronclave/*.toml]
    #[arg(short, long, global = true, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// SQLite file that holds the state [env: CRONCLAVE_DB] [default: ./cronclave.db]
    #[arg(long, global = true, value_name = "PATH")]
    db: Option<PathBuf>,
    /// Name of the cluster [env: CRONCLAVE_CLUSTER] [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    cluster: Option<String>,
    /// Print one JSON document instead of text for people
    #[arg(long, global = true)]
    json: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Show times in this IANA zone instead of each job's own
    #[arg(long, global = true, value_name = "ZONE", conflicts_with = "utc")]
    tz: Option<String>,
    /// Show times in UTC
    #[arg(long, global = true)]
    utc: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scheduler replica
    Serve(serve::Serve),
    /// Run one job now, here, in this process
    Run(run::Run),
}

/// What the commands work with.
struct Context {
    global: Global,
    host: String,
}

impl Context {
    /// How this process is set up, given a command's own flags.
    fn process(&self, own: Flags) -> Result<Process, Failure> {
        let flags = Flags {
            config: self.global.config.clone(),
            db: self.global.db.clone(),
            cluster: self.global.cluster.clone(),
            ..own
        };
        Ok(Process::load(&flags, &config::environment, &self.host)?)
    }

    /// The schedule files, understood. Warnings go to standard error unless they were asked for.
    fn config(&self, process: &Process) -> Result<Config, Failure> {
        Ok(service::read_config(&process.config).map_err(|wrong| Failure::config(&wrong, self.colored()))?.1)
    }

    /// The store, for a command that only looks or steers.
    fn store(&self, process: &Process) -> Result<Arc<dyn Store>, Failure> {
        Ok(service::open_store(process, Create::Never)?)
    }

    /// Whether standard error takes colours.
    fn colored(&self) -> bool {
        use std::io::IsTerminal;
        match self.global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let set = |name: &str| config::environment(name).is_some();
                let plain = set("NO_COLOR") || config::environment("TERM").is_some_and(|term| term == "dumb");
                set("FORCE_COLOR") || (!plain && std::io::stderr().is_terminal())
            }
        }
    }
}

/// The job with this name.
fn find_job<'a>(config: &'a Config, name: &str) -> Result<&'a Arc<Job>, Failure> {
    config.jobs.iter().find(|job| job.name.as_str() == name).ok_or_else(|| {
        let nearest = config::nearest(name, config.jobs.iter().map(|job| job.name.as_str()));
        let hint = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "`cronclave jobs` lists them".to_owned(),
        };
        Failure::new(Failure::NO_INPUT, format!("there is no job `{name}`: {hint}"))
    })
}

/// What a job does, in a line.
fn shown_action(job: &Job) -> String {
    match &job.task {
        Task::Run(Action::Command(command)) => command.shown.clone(),
        Task::Run(Action::Http(http)) => format!("{} {}", http.method, http.url),
        Task::Run(Action::Handler { name, .. }) => format!("handler {name}"),
    }
}

/// Parses what was typed, does it, and answers with the exit code of the table in the manual.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let context = Context { global: cli.global, host };
    let filter = config::environment("CRONCLAVE_LOG").unwrap_or_else(|| "warn".into());
    match tracing_subscriber::EnvFilter::try_new(&filter) {
        Ok(filter) => tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init(),
        Err(error) => {
            let message =
                format!("CRONCLAVE_LOG: `{filter}`: {error}; write a level as in debug, or cronclave=debug,info");
            return Failure::new(Failure::CONFIG, message).tell();
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::unavailable(format!("cannot start: {error}")).tell(),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => command.run(&context).await,
            Command::Run(command) => command.run(&context).await,
        }
    });
    // Nothing is left to wait for: what a blocking thread still does is of no use any more.
    runtime.shutdown_background();
    done.unwrap_or_else(|failure| failure.tell())
}
