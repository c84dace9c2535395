//! `cronclave run JOB`: one run, now, in this process, under the same lock as the cluster's runs.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::logs::{self, Printer};
use super::place::Place;
use super::refusal::code;
use super::{Context, Failure, find, out, trigger};
use crate::attempt::Carried;
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::desk::{Desk, Part, in_the_way};
use crate::handover;
use crate::job::{Action, Completion, Job, Task, Text};
use crate::lease::{Lease, RunId, Trigger};
use crate::occurrence::{May, Seen};
use crate::parts::Parts;
use crate::race::{self, Race};
use crate::record::{Reply, Target};
use crate::replica::Jobs;
use crate::runner::{Handlers, Stream};
use crate::service;
use crate::stop::Stop;
use crate::store::Create;

/// Run one job now, here: same code, configuration and lock as the scheduler. Exits as the job does.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave run db-backup                 as the scheduler would, but here and now
  cronclave run db-backup --wait          after the run that is going, if one is
  cronclave run report --at 2026-11-21T06:00:00Z          that occurrence itself, if it has not run
  cronclave run report --at 2026-11-21T06:00:00Z --again  another run for the same instant
  cronclave run import -- --verbose       with one more argument
  cronclave run -n report                 only say what would be run

The job's output stays what it is; messages of cronclave go to standard error. Exits as the job
does; with 128+n when a signal ended it, 124 when it ran into its timeout, 126 or 127 when it could
not be started, and 75 when another run is in the way.")]
pub(super) struct Run {
    /// The job's name
    job: String,
    /// Run the occurrence of this time (RFC 3339), once: refused if it has run. At a time that is none of the schedule's
    /// it only stands for it
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Whether or not the occurrence has run: this run has an identity of its own, and only stands for the time
    #[arg(long, requires = "at")]
    again: bool,
    /// While another run of the job is going, wait for its end, at most so long [default when given: for ever]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true)]
    wait: Option<Option<String>>,
    /// Take no lock and leave no record; the job may overlap with itself
    #[arg(long, conflicts_with = "wait")]
    no_lock: bool,
    /// Add a variable to the job's environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::pair)]
    env: Vec<(String, String)>,
    /// Hand an argument to the job, as CRONCLAVE_ARG_NAME
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::pair)]
    arg: Vec<(String, String)>,
    /// Say what would be run, and run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Added to the command's arguments
    #[arg(last = true, value_name = "ARGS")]
    extra: Vec<String>,
}

/// Between two looks whether the run in the way is over.
const LOOK: Duration = Duration::from_millis(500);

/// How long a server that refuses is asked again. A claim is good for no longer, which is ample to start.
const PATIENCE: Duration = Duration::from_secs(3);

impl Run {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let at = self.at.as_deref().map(|text| {
            text.parse::<Timestamp>().map_err(|error| {
                Failure::new(Failure::USAGE, format!("--at {text}: {error}; write a time as in 2026-11-22T06:00:00Z"))
            })
        });
        let at = at.transpose()?;
        let patience = match &self.wait {
            None => None,
            Some(None) => Some(Duration::MAX),
            Some(Some(text)) => Some(
                config::duration(text).map_err(|why| Failure::new(Failure::USAGE, format!("--wait={text}: {why}")))?,
            ),
        };
        let config = context.config(&process.config)?;
        let job = self.changed(find::job(&config, &self.job)?)?;
        if self.dry_run {
            out::line(format_args!("would run {}: {}", job.name, crate::shape::action_text(&job)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let is_reported = matches!(&job.task, Task::Publish(publish) if publish.complete_on == Completion::Result);
        if self.no_lock && is_reported {
            let why =
                format!("--no-lock leaves no record that the result of {} could be put into: leave it out", job.name);
            return Err(Failure::new(Failure::USAGE, why));
        }
        let backends = if self.no_lock {
            service::open_without_record(&process)
        } else {
            process.must_last()?;
            service::reach(&process, Create::IfMissing).await?
        };
        let mut parts = service::parts(&process, backends, Handlers::default());
        if process.redis.is_some() {
            // A server answers or refuses at once; whoever types this is not kept waiting for a change of its mind.
            parts.claim_ttl = PATIENCE;
        }
        // It is asked to end at once, so that it has all the time there is for that.
        parts.stop = Stop::default().hurrying(process.hurry.map(|hurry| process.grace + hurry));
        parts.tap = Some(Arc::new(|_, chunk| {
            // Whoever reads us may have gone; the job goes on.
            let _ = match chunk.stream {
                Stream::Stdout => std::io::stdout().write_all(&chunk.bytes).and_then(|()| std::io::stdout().flush()),
                Stream::Stderr => std::io::stderr().write_all(&chunk.bytes),
            };
        }));
        let signalled = Arc::new(AtomicI32::new(0));
        tokio::spawn(stop_on_signal(parts.stop.clone(), signalled.clone()));
        let own = at.filter(|at| !self.again && !self.no_lock && is_occurrence(&job, *at));
        let asked = Asked {
            run_id: own.map(|at| RunId::of_occurrence(&job.name, at)),
            at,
            args: self.arg.iter().cloned().collect(),
        };
        let lease = win(&parts, &job, &asked, patience).await?;
        let (run, fence) = (lease.work.run_id, lease.work.fence);
        out::note(format_args!("{}  run {}  fencing token {fence}", job.name, run.short()));
        let began = Instant::now();
        let carried = handover::carry(&parts, &job, lease).await;
        if carried == Carried::HandedOver {
            return await_result(&parts, run).await;
        }
        Ok(tell(&carried, began.elapsed(), signalled.load(Ordering::SeqCst)))
    }

    /// The job with what the command line adds.
    fn changed(&self, job: &Job) -> Result<Job, Failure> {
        let mut job = job.clone();
        // By hand it is done here, wherever the schedule has it done.
        if let Task::Queue(_, action) = job.task {
            job.task = Task::Run(action);
        }
        if let Task::Run(Action::Command(command)) = &mut job.task {
            let env = self.env.iter().map(|(name, value)| (name.clone(), Text::Plain(value.clone())));
            Arc::make_mut(&mut command.env).extend(env);
            if command.is_shell && !self.extra.is_empty() {
                // The shell's own name comes first: the text sees the rest as "$@".
                command.argv.push(job.name.as_str().into());
            }
            command.argv.extend(self.extra.iter().map(|word| word.as_str().into()));
        } else if !self.env.is_empty() || !self.extra.is_empty() {
            return Err(Failure::new(
                Failure::USAGE,
                format!("{} runs no command: --env and further arguments mean nothing to it", job.name),
            ));
        }
        Ok(job)
    }
}

/// The end of a run whose end others report.
async fn await_result(parts: &Parts, run: RunId) -> Result<ExitCode, Failure> {
    out::note("sent; waiting for its result");
    let mut printer = Printer::default();
    let place = Place::Here(Box::new(Desk::with_jobs(parts.clone(), Jobs::default())));
    let id = run.to_string();
    tokio::select! {
        ended = logs::follow(&place, &id, Part::default(), &mut printer) => Ok(trigger::tell(&ended?)),
        () = parts.stop.soft() => {
            out::note(format_args!("not waited for any longer; cronclave history {} has its end", run.short()));
            Ok(ExitCode::from(130))
        }
    }
}

/// Whether the job's schedule has this instant.
fn is_occurrence(job: &Job, at: Timestamp) -> bool {
    job.schedule.after(Timestamp::from_micros(at.as_micros() - 1)) == Some(at)
}

/// The run that was asked for.
struct Asked {
    /// The identity of an occurrence, which it takes.
    run_id: Option<RunId>,
    at: Option<Timestamp>,
    args: BTreeMap<String, String>,
}

impl Asked {
    /// What to bid for. That of an occurrence is refused when it has run.
    async fn target(&self, parts: &Parts, job: &Job) -> Result<Target, Failure> {
        let expect = match self.run_id.and(self.at) {
            None => None,
            Some(at) => match Seen::look(&*parts.store, &job.name, at).await?.may_run(&job.name) {
                May::Run(fence) => Some(fence),
                other => {
                    let (why, hint) =
                        (crate::shape::stands(&other), "to have another run for the same time say --again");
                    return Err(Failure::new(
                        Failure::NO,
                        format!("{} at {at}: {why}\ncronclave: nothing started; {hint}", job.name),
                    ));
                }
            },
        };
        Ok(Target::Request {
            run_id: self.run_id.unwrap_or_else(|| RunId::fresh(self.at.unwrap_or(Clock::system().now()))),
            at: self.at,
            trigger: Trigger::Cli { by: super::user() },
            args: self.args.clone(),
            expect,
        })
    }
}

/// Wins the run, or says who is in the way.
async fn win(parts: &Parts, job: &Job, asked: &Asked, patience: Option<Duration>) -> Result<Lease, Failure> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let answer = match race::run(parts, job, asked.target(parts, job).await?, parts.clock.now(), 1).await? {
            Race::Won(lease, _) => return Ok(*lease),
            // Something started since it was looked: perhaps this very occurrence.
            Race::Lost(answer) if answer.reply == Reply::Moved => continue,
            Race::Lost(answer) => answer,
        };
        let why = in_the_way(&job.name, &answer);
        let waits = patience.is_some_and(|patience| began.elapsed() < patience);
        if !waits {
            let hint = if patience.is_none() { "wait for it with --wait" } else { "waited long enough" };
            return Err(Failure::new(Failure::TEMPFAIL, format!("{why}\ncronclave: nothing started; {hint}")));
        }
        if !std::mem::replace(&mut told, true) {
            out::note(format_args!("{why}; waiting"));
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = parts.stop.soft() => return Err(Failure::new(Failure::TEMPFAIL, "stopped while waiting; nothing started")),
        }
    }
}

/// Ends the run on the first signal and notes its number; ends this process on the second.
async fn stop_on_signal(stop: Stop, noted: Arc<AtomicI32>) {
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return;
    };
    loop {
        let number = tokio::select! {
            _ = int.recv() => 2,
            _ = term.recv() => 15,
        };
        if noted.swap(number, Ordering::SeqCst) != 0 {
            std::process::exit(128 + number);
        }
        stop.hard();
    }
}

/// Says how it ended; answers with the job's own exit code where it has one.
fn tell(carried: &Carried, took: Duration, signal: i32) -> ExitCode {
    let (ended, settled) = match carried {
        Carried::Settled(ended) => (ended, true),
        Carried::Unsettled(ended) => (ended, false),
        Carried::NotStarted(why) | Carried::Unanswered(why) | Carried::GivenBack(why) => {
            return Failure::new(Failure::TEMPFAIL, format!("not started: {why}")).tell();
        }
        Carried::HandedOver => return ExitCode::SUCCESS,
    };
    let message = ended.message.as_deref().map(|text| format!(" ({text})")).unwrap_or_default();
    let word = crate::ledger::State::from(ended.outcome).word();
    out::note(format_args!("{word} in {:.1} s{message}", took.as_secs_f64()));
    if !settled {
        out::note("this outcome could not be recorded; the history will show the run as lost");
    }
    ExitCode::from(code(ended, signal))
}
