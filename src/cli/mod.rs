//! The command line: one file a command.

mod backfill;
mod cancel;
mod client;
mod completions;
mod dead;
mod diff;
mod doctor;
mod events;
mod explain;
mod failure;
mod fence;
mod find;
mod healthcheck;
mod heard;
mod history;
mod hooks;
mod import;
mod init;
mod jobs;
mod locks;
mod logs;
mod man;
mod next;
mod out;
mod pause;
mod place;
mod queues;
mod refusal;
mod resume;
mod run;
mod sarif;
mod schema;
mod serve;
mod show;
mod simulate;
mod status;
mod times;
mod trigger;
mod validate;
mod verify;
mod why;
mod worker;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Config, Flags, Process};
use crate::schedule::Zone;
use crate::service::{self, Backends};
use crate::store::{Create, Store};
use crate::thrift;
use failure::Failure;
use show::Style;

/// The version, the commit if whoever built this named it, and what it was built for.
fn long_version() -> String {
    let commit = option_env!("CRONCLAVE_COMMIT").map(|commit| format!("commit {commit}, ")).unwrap_or_default();
    let (machine, system) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{} ({commit}{machine} {system})", env!("CARGO_PKG_VERSION"))
}

/// What is typed.
#[derive(Debug, Parser)]
#[command(
    name = "cronclave",
    version,
    long_version = long_version(),
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
    /// Redis that holds the state instead [env: CRONCLAVE_REDIS_URL, REDIS_URL and the like, better than here: a
    /// password on the command line is seen by all]
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    /// RabbitMQ that carries messages to workers [env: CRONCLAVE_AMQP_URL, AMQP_URL and the like, better than here: a
    /// password on the command line is seen by all]
    #[arg(long, global = true, value_name = "URL")]
    amqp: Option<String>,
    /// Name of the cluster [env: CRONCLAVE_CLUSTER] [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    cluster: Option<String>,
    /// Ask this replica over HTTP, instead of the store: http://HOST:PORT [env: CRONCLAVE_SERVER]
    #[arg(long, global = true, value_name = "URL", conflicts_with_all = ["db", "redis"])]
    server: Option<String>,
    /// File that holds the token to show to it [env: CRONCLAVE_TOKEN_FILE, or the token itself in CRONCLAVE_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
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
    /// Carry out the requests of jobs for workers
    Worker(worker::Worker),
    /// Run one job now, here, in this process
    Run(run::Run),
    /// Write a first schedule file, and the schema for editors
    Init(init::Init),
    /// Turn a crontab into a schedule file
    Import(import::Import),
    /// Check schedule files
    #[command(visible_alias = "check")]
    Validate(validate::Validate),
    /// Show when jobs will run, and why (changes of clocks, calendars, jitter)
    Next(next::Next),
    /// Say what a cron expression means; or an error code
    Explain(explain::Explain),
    /// Live through the coming days with these files, in a moment
    Simulate(simulate::Simulate),
    /// Show what a change of schedule files would change
    Diff(diff::Diff),
    /// Print the schema of schedule files for editors, or the reference page
    Schema(schema::Schema),
    /// List jobs
    #[command(visible_alias = "ls")]
    Jobs(jobs::Jobs),
    /// Show replicas, open runs, locks and problems
    Status(status::Status),
    /// Show past runs
    History(history::History),
    /// Show what happens in the cluster, live
    Events(events::Events),
    /// Show the output of a run
    Logs(logs::Logs),
    /// Ask the cluster to run a job now
    Trigger(trigger::Trigger),
    /// Say what happened to one occurrence, and why
    Why(why::Why),
    /// Check that every occurrence started once and none was missed in silence
    Verify(verify::Verify),
    /// Have the past occurrences of a span run after all
    Backfill(backfill::Backfill),
    /// Stop a run
    Cancel(cancel::Cancel),
    /// Stop starting a job
    Pause(pause::Pause),
    /// Start a paused job again
    Resume(resume::Resume),
    /// Show locks, release a stuck one
    Locks(locks::Locks),
    /// Check whether a run may still act, by its fencing token
    Fence(fence::Fence),
    /// Show dead letters, send them again, drop them
    Dead(dead::Dead),
    /// Show hooks, test them, send again what they did not take
    Hooks(hooks::Hooks),
    /// Test settings, files, servers, clocks and limits, and say what mends them
    Doctor(doctor::Doctor),
    /// Exit with 0 when the replica of this machine is ready (for containers)
    Healthcheck(healthcheck::Healthcheck),
    /// Print what a shell needs to complete commands, flags and jobs
    Completions(completions::Completions),
    /// Print or write the manual pages
    Man(man::Man),
    /// Print the names of jobs, for the shells
    #[command(name = "__complete", hide = true)]
    Complete(completions::Complete),
}

impl Command {
    /// Whether it can ask a replica over HTTP: the others work on files, or are the server themselves.
    fn speaks(&self) -> bool {
        matches!(
            self,
            Command::Jobs(_)
                | Command::Events(_)
                | Command::Status(_)
                | Command::History(_)
                | Command::Logs(_)
                | Command::Trigger(_)
                | Command::Cancel(_)
                | Command::Pause(_)
                | Command::Resume(_)
                | Command::Locks(_)
                | Command::Fence(_)
        )
    }

    async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        if context.global.server.is_some() && !self.speaks() {
            let why = "this command cannot ask a server: leave --server out";
            return Err(Failure::new(Failure::USAGE, why));
        }
        match self {
            Command::Serve(command) => command.run(context).await,
            Command::Worker(command) => command.run(context).await,
            Command::Run(command) => command.run(context).await,
            Command::Init(command) => command.run(),
            Command::Import(command) => command.run(context),
            Command::Validate(command) => command.run(context),
            Command::Next(command) => command.run(context),
            Command::Explain(command) => command.run(context),
            Command::Simulate(command) => command.run(context),
            Command::Diff(command) => command.run(context),
            Command::Schema(command) => command.run(),
            Command::Jobs(command) => command.run(context).await,
            Command::Status(command) => command.run(context).await,
            Command::History(command) => command.run(context).await,
            Command::Events(command) => command.run(context).await,
            Command::Logs(command) => command.run(context).await,
            Command::Trigger(command) => command.run(context).await,
            Command::Why(command) => command.run(context).await,
            Command::Verify(command) => command.run(context).await,
            Command::Backfill(command) => command.run(context).await,
            Command::Cancel(command) => command.run(context).await,
            Command::Pause(command) => command.run(context).await,
            Command::Resume(command) => command.run(context).await,
            Command::Locks(command) => command.run(context).await,
            Command::Fence(command) => command.run(context).await,
            Command::Dead(command) => command.run(context).await,
            Command::Hooks(command) => command.run(context).await,
            Command::Doctor(command) => command.run(context).await,
            Command::Healthcheck(command) => command.run(context).await,
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
            Command::Complete(command) => command.run(context),
        }
    }
}

/// What the commands work with.
struct Context {
    global: Global,
    host: String,
    /// How standard output is written for people.
    style: Style,
}

impl Context {
    fn new(global: Global) -> Result<Context, Failure> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let named = global
            .tz
            .as_deref()
            .map(|name| show::zone(name).map_err(|why| Failure::new(Failure::USAGE, format!("--tz: {why}"))));
        let zone = if global.utc { Some(Zone::utc()) } else { named.transpose()? };
        let color = colors(global.color, std::io::stdout().is_terminal());
        Ok(Context { global, host, style: Style { zone, color, unicode: Style::has_unicode() } })
    }

    /// How this process is set up, given a command's own flags.
    fn process(&self, own: Flags) -> Result<Process, Failure> {
        Ok(Process::load(&self.flags(own), &config::environment, &self.host)?)
    }

    /// The same for a command that serves nothing.
    fn quiet(&self) -> Result<Process, Failure> {
        self.process(Flags { no_http: true, ..Flags::default() })
    }

    fn flags(&self, own: Flags) -> Flags {
        Flags {
            config: self.global.config.clone(),
            db: self.global.db.clone(),
            redis: self.global.redis.clone(),
            amqp: self.global.amqp.clone(),
            cluster: self.global.cluster.clone(),
            ..own
        }
    }

    /// Where schedule files are, for a command that needs nothing else.
    fn paths(&self) -> Vec<PathBuf> {
        Process::paths(&self.flags(Flags::default()), &config::environment)
    }

    /// The schedule files, understood. Warnings are for `validate` and `serve` to tell.
    fn config(&self, paths: &[PathBuf]) -> Result<Config, Failure> {
        Ok(service::read_config(paths).map_err(|wrong| Failure::config(&wrong, self.colored()))?.1)
    }

    /// Store and broker, for a command that only looks or steers.
    async fn backends(&self, process: &Process) -> Result<Backends, Failure> {
        // What somebody put there all the same may be looked at; where nothing can be, a Redis is what is missing.
        let found = service::reach(process, Create::Never).await;
        found.or_else(|error| process.must_last().map_err(Failure::from).and(Err(error.into())))
    }

    /// The store alone.
    async fn store(&self, process: &Process) -> Result<Arc<dyn Store>, Failure> {
        Ok(self.backends(process).await?.store)
    }

    /// Whether standard error takes colours.
    fn colored(&self) -> bool {
        colors(self.global.color, std::io::stderr().is_terminal())
    }
}

fn colors(wanted: Color, terminal: bool) -> bool {
    match wanted {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => config::environment("FORCE_COLOR").is_some() || (!environment_is_plain() && terminal),
    }
}

/// Help and mistakes are written before what was typed is understood: `--color` holds for them as well.
fn color_of_help() -> ColorChoice {
    let words: Vec<String> = std::env::args().skip(1).take_while(|word| word != "--").collect();
    let asked = words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--color")? {
        "" => words.get(at + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    });
    match asked {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ if environment_is_plain() => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

fn environment_is_plain() -> bool {
    config::environment("NO_COLOR").is_some() || config::environment("TERM").is_some_and(|term| term == "dumb")
}

/// Who types this, as far as the environment tells.
fn user() -> Option<String> {
    config::environment("USER").or_else(|| config::environment("LOGNAME"))
}

/// One `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

/// What goes on inside, for whoever looks for a fault: CRONCLAVE_LOG sets how much. What lapin calls errors are
/// connections that ended, which we tell ourselves.
fn log_to_stderr() -> Result<(), Failure> {
    let filter = config::environment("CRONCLAVE_LOG").unwrap_or_else(|| "warn,lapin=off".into());
    let parsed = tracing_subscriber::EnvFilter::try_new(&filter).map_err(|error| {
        let hint = "write a level as in debug, or cronclave=debug,info";
        Failure::new(Failure::CONFIG, format!("CRONCLAVE_LOG: `{filter}`: {error}; {hint}"))
    })?;
    tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr).init();
    Ok(())
}

/// Parses what was typed, does it, and answers with the exit code of the table in the manual.
pub fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&Cli::command().color(color_of_help()).get_matches())
        .unwrap_or_else(|error| error.exit());
    if let Err(failure) = log_to_stderr() {
        return failure.tell();
    }
    let context = match Context::new(cli.global) {
        Ok(context) => context,
        Err(failure) => return failure.tell(),
    };
    thrift::begin();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::unavailable(format!("cannot start: {error}")).tell(),
    };
    let done = runtime.block_on(cli.command.run(&context));
    // Nothing is left to wait for: what a blocking thread still does is of no use any more.
    runtime.shutdown_background();
    done.unwrap_or_else(|failure| failure.tell())
}
