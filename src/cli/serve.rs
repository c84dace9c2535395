//! `cronclave serve`: a replica, until it is told to stop.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Args;
use serde_json::json;

use super::{Context, Failure, out};
use crate::clock::Clock;
use crate::config::{Config, Flags, LogFormat, Process};
use crate::daemon;
use crate::http::{self, Front};
use crate::parts::Parts;
use crate::phrase;
use crate::report::Reporter;
use crate::runner::Handlers;
use crate::schedule::tzdb_version;
use crate::service::{self, Role, Service};
use crate::store::Create;

/// Run a scheduler replica: start as many as you like on one database.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave serve                                  one replica, on the files in ./schedules
  cronclave serve --replica b --listen :8081       another beside it, on the same database
  cronclave serve -c /etc/jobs --db /var/lib/cronclave/cronclave.db

TERM or Ctrl-C: nothing new is started, what runs may end within --grace. Twice: at once. HUP reads
the schedule files again.")]
pub(super) struct Serve {
    /// Where to answer HTTP [env: CRONCLAVE_LISTEN, or PORT for all addresses] [default: 127.0.0.1:8080, or any free port]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Answer no HTTP [env: CRONCLAVE_LISTEN=none]
    #[arg(long, conflicts_with = "listen")]
    no_http: bool,
    /// Change nothing over HTTP, whoever asks [env: CRONCLAVE_READ_ONLY]
    #[arg(long)]
    read_only: bool,
    /// Name of this replica [env: CRONCLAVE_REPLICA] [default: the platform's name for it, or host and process id]
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// Runs side by side at most [env: CRONCLAVE_MAX_PARALLEL] [default: 100]
    #[arg(long, value_name = "N")]
    max_parallel: Option<usize>,
    /// How long what runs may go on when told to stop [env: CRONCLAVE_GRACE] [default: 25s]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Carry out requests for workers as well, so many at once from each queue [env: CRONCLAVE_WORKERS] [default: 0]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Do not read schedule files again when they change (a HUP signal still does) [env: CRONCLAVE_WATCH=0]
    #[arg(long)]
    no_watch: bool,
    /// How lines are written [env: CRONCLAVE_LOG_FORMAT] [default: text on a terminal, json elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<Format>,
    /// What becomes of what jobs print: off, lines, or raw without anything around it [env: CRONCLAVE_LOG_OUTPUT]
    /// [default: lines]
    #[arg(long, value_name = "WHAT")]
    log_output: Option<String>,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Logfmt,
}

/// What was asked for, or what the place that standard output leads to asks for.
pub(super) fn format(asked: Option<Format>, process: &Process) -> LogFormat {
    match asked {
        Some(Format::Text) => LogFormat::Text,
        Some(Format::Json) => LogFormat::Json,
        Some(Format::Logfmt) => LogFormat::Logfmt,
        None if std::io::stdout().is_terminal() => process.log_format.unwrap_or(LogFormat::Text),
        None => process.log_format.unwrap_or(LogFormat::Json),
    }
}

impl Serve {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.process(Flags {
            listen: self.listen,
            no_http: self.no_http,
            read_only: self.read_only,
            replica: self.replica,
            max_parallel: self.max_parallel,
            workers: self.workers,
            grace: self.grace,
            log_output: self.log_output,
            no_watch: self.no_watch,
            ..Flags::default()
        })?;
        let (sources, config) =
            service::read_config(&process.config).map_err(|wrong| Failure::config(&wrong, context.colored()))?;
        for warning in &config.warnings {
            out::bare_note(format_args!("{}\n", warning.render(context.colored())));
        }
        process.must_last()?;
        let role = Role { slots: process.workers, ..Role::default() };
        let front = front(&process).await?;
        // After the address: whoever cannot serve makes no file.
        let backends = service::open(&process, Create::IfMissing)?;
        let format = format(self.log_format, &process);
        let parts = service::parts(&process, backends, Handlers::default());
        warn_of_no_broker(&process, &config);
        if format == LogFormat::Text {
            // A reader that went away must not end the scheduler.
            let _ = out::print(greeting(&process, &config, &parts, front.as_ref()));
        }
        let reporter = reporter(&process, format);
        if format != LogFormat::Text {
            let http = front.as_ref().map(Front::address);
            let begun = json!({
                "jobs": config.jobs.len(), "config_digest": config.digest, "store": parts.store.describe(), "broker": parts.broker.describe(),
                "http": http.map(|address| address.to_string()), "tzdb": tzdb_version(),
                "version": env!("CARGO_PKG_VERSION"),
            });
            reporter.began("replica.started", begun);
        }
        let watch = process.watch;
        let service = Service { process, parts, config, sources, inline: Vec::new(), watch, role };
        service_until_told(service, front, reporter).await
    }
}

/// The place where HTTP is asked, if it is to be served.
pub(super) async fn front(process: &Process) -> Result<Option<Front>, Failure> {
    let Some(listen) = process.listen else { return Ok(None) };
    let listener = http::bind(listen).await.map_err(|error| {
        Failure::unavailable(format!(
            "cannot listen on {}: {error}; name another address with --listen, or none with --no-http",
            listen.address
        ))
    })?;
    Ok(Some(Front::open(listener, process).map_err(|wrong| vec![wrong])?))
}

/// Runs a service and reports what it does; says so at the end.
pub(super) async fn service_until_told(
    service: Service,
    front: Option<Front>,
    reporter: Reporter,
) -> Result<ExitCode, Failure> {
    let format = reporter.format;
    let reporting = tokio::spawn(reporter.report(service.parts.bus.listen(), service.parts.bus.meter()));
    daemon::run(service, front).await.map_err(|error| Failure::unavailable(format!("cannot hear signals: {error}")))?;
    // All who could tell something are gone: this ends with the last line.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), reporting).await;
    if format == LogFormat::Text {
        println!("stopped");
    }
    Ok(ExitCode::SUCCESS)
}

/// Who writes the lines of this process.
pub(super) fn reporter(process: &Process, format: LogFormat) -> Reporter {
    Reporter {
        format,
        output: process.log_output,
        replica: process.replica.clone(),
        cluster: process.cluster.clone(),
        clock: Clock::system(),
        recall: Mutex::default(),
    }
}

/// Jobs that need a broker fail without one; whoever starts this hears of it before they do.
fn warn_of_no_broker(process: &Process, config: &Config) {
    let names = service::without_broker(process, config);
    if !names.is_empty() {
        out::note(format_args!("no run of {} can begin: set AMQP_URL to the address of a RabbitMQ", names.join(", ")));
    }
}

/// Where messages go, and what it takes to have workers.
pub(super) fn broker(process: &Process, parts: &Parts) -> String {
    let more = match (&process.redis, process.workers) {
        _ if process.amqp.is_some() => "",
        (Some(_), _) => "  (set AMQP_URL to have workers and to publish)",
        (None, 0) => "  (workers on this machine: cronclave worker; AMQP_URL for many machines)",
        (None, _) => "  (AMQP_URL for workers on many machines)",
    };
    parts.broker.describe() + more
}

fn greeting(process: &Process, config: &Config, parts: &Parts, front: Option<&Front>) -> String {
    let (files, jobs) = (phrase::count(config.files.len(), "file"), phrase::count(config.jobs.len(), "job"));
    let mut text =
        format!("cronclave {}  replica {}  cluster {}\n", env!("CARGO_PKG_VERSION"), process.replica, process.cluster);
    text += &format!("config    {files}, {jobs}, digest {}\n", config.digest);
    let store = parts.store.describe();
    let reach = match process.redis {
        Some(_) => "any number of replicas on any number of machines",
        None => "one machine; start more replicas on the same file as you like",
    };
    text += &format!("store     {store}  ({reach})\n");
    text += &format!("broker    {}\n", broker(process, parts));
    text += &format!("tzdata    {}\n", tzdb_version());
    if let Some(front) = front {
        text += format!("http      http://{}/  {}", front.address(), front.describe()).trim_end();
        text.push('\n');
        if let Some(link) = front.sign_in() {
            text += &format!("sign in   {link}  (once, as admin)\n");
        }
    }
    text
}
