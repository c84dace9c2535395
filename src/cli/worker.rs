//! `cronclave worker`: carries out requests from queues, until it is told to stop.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::serve::{self, Format};
use super::{Context, Failure, out};
use crate::config::{self, Flags, LogFormat};
use crate::job::QueueName;
use crate::phrase;
use crate::runner::Handlers;
use crate::service::{self, Role, Service};
use crate::store::Create;
use crate::worker;

/// Carry out the requests of jobs with `run_on = "worker"`: start as many as you like.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave worker                                 four runs at once from each queue that the jobs name
  cronclave worker --queue ledger --concurrency 1  one after the other, from one queue

A worker runs its own copy of the schedule files: a request says which run to start, never what to
run. It needs the same store as the replicas, and the same broker: AMQP_URL, or without one the
SQLite file. TERM or Ctrl-C: no new request is taken, what runs may end within --grace, what was
not begun goes to another worker.")]
pub(super) struct Worker {
    /// Take requests from this queue only; repeatable [env: CRONCLAVE_QUEUES, separated by ,] [default: every queue
    /// that the jobs name]
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,
    /// Runs at once from each queue [env: CRONCLAVE_CONCURRENCY] [default: 4]
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Name of this worker [env: CRONCLAVE_REPLICA] [default: the platform's name for it, or host and process id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How long what runs may go on when told to stop [env: CRONCLAVE_GRACE] [default: 25s]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Answer HTTP here, for health and metrics [env: CRONCLAVE_LISTEN] [default: nowhere]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
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

/// RabbitMQ has 2047 channels for a connection, and each slot has one.
const SLOTS: usize = 2000;

impl Worker {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.process(Flags {
            // Only where it is asked to: PORT is for replicas.
            no_http: self.listen.is_none() && config::environment("CRONCLAVE_LISTEN").is_none(),
            listen: self.listen,
            replica: self.name,
            concurrency: self.concurrency,
            grace: self.grace,
            log_output: self.log_output,
            no_watch: self.no_watch,
            ..Flags::default()
        })?;
        let listed = config::environment("CRONCLAVE_QUEUES").filter(|_| self.queue.is_empty()).unwrap_or_default();
        let listed = listed.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let queues =
            self.queue.into_iter().chain(listed).map(|name| queue(&name)).collect::<Result<BTreeSet<_>, _>>()?;
        let (sources, config) =
            service::read_config(&process.config).map_err(|wrong| Failure::config(&wrong, context.colored()))?;
        if process.redis.is_some() && process.amqp.is_none() {
            let why = "a worker takes requests from a RabbitMQ: set AMQP_URL to its address";
            return Err(Failure::new(Failure::CONFIG, why.to_owned()));
        }
        process.must_last()?;
        let front = serve::front(&process).await?;
        let backends = service::open(&process, Create::IfMissing)?;
        let format = serve::format(self.log_format, &process);
        let parts = service::parts(&process, backends, Handlers::default());
        let named = worker::queues(&service::jobs(&config));
        let all = if queues.is_empty() { named.len() } else { queues.len() };
        if all * process.concurrency > SLOTS {
            let why = format!(
                "{all} queues with {} slots each are more than {SLOTS}: lower --concurrency, or name fewer queues",
                process.concurrency
            );
            return Err(Failure::new(Failure::USAGE, why));
        }
        let taken: Vec<String> =
            if queues.is_empty() { &named } else { &queues }.iter().map(QueueName::to_string).collect();
        for name in queues.difference(&named) {
            out::note(format_args!("no job of these files is for the queue {name}"));
        }
        let reporter = serve::reporter(&process, format);
        if format == LogFormat::Text {
            let (files, jobs) = (phrase::count(config.files.len(), "file"), phrase::count(config.jobs.len(), "job"));
            let head = format!("cronclave {}  worker {}", env!("CARGO_PKG_VERSION"), process.replica);
            let _ = out::print(format!(
                "{head}  cluster {}\nconfig    {files}, {jobs}, digest {}\nstore     {}\nbroker    {}\nqueues    {}  ({} at once from each)\n",
                process.cluster,
                config.digest,
                parts.store.describe(),
                parts.broker.describe(),
                if taken.is_empty() { "none: no job says run_on = \"worker\"".to_owned() } else { taken.join(", ") },
                process.concurrency,
            ));
            if let Some(front) = &front {
                let _ = out::print(format!("http      http://{}/metrics\n", front.address()));
            }
        } else {
            let begun = json!({
                "queues": taken, "concurrency": process.concurrency, "config_digest": config.digest,
                "store": parts.store.describe(), "broker": parts.broker.describe(),
                "http": front.as_ref().map(|front| front.address().to_string()), "version": env!("CARGO_PKG_VERSION"),
            });
            reporter.began("worker.started", begun);
        }
        let queues = Some(queues).filter(|queues| !queues.is_empty());
        let role = Role { replica: false, slots: process.concurrency, queues };
        let watch = process.watch;
        let service = Service { process, parts, config, sources, inline: Vec::new(), watch, role };
        serve::service_until_told(service, front, reporter).await
    }
}

fn queue(name: &str) -> Result<QueueName, Failure> {
    QueueName::new(name).ok_or_else(|| {
        let rule = "only a-z, 0-9, `-` and `_`, at most 63 characters, not `-` or `_` first";
        Failure::new(Failure::USAGE, format!("--queue {name}: no queue can have this name: {rule}"))
    })
}
