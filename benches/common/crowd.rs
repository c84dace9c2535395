//! Replicas as processes of their own that all meet on one store, and note what they start.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cronclave::broker::NoBroker;
use cronclave::clock::Clock;
use cronclave::config::{self, Flags, Process, SourceText};
use cronclave::event::Told;
use cronclave::runner::{Context, Handlers};
use cronclave::service::{self, Backends, Role, Service};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Create, Sqlite, Store};

/// By this machine's clock.
pub(crate) fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// What a replica wrote down of a start: when it was due, when its code began, whose.
pub(crate) type Start = (u64, u64, String);

/// The same executable as another process, told to be what `args` say. Should this one fail, it does not stay behind.
pub(crate) fn another(args: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args).stdout(Stdio::null()).spawn().unwrap()
}

/// Ends this process when the one that started it does.
pub(crate) fn follow() {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
}

/// Asks all to end, and waits until they have.
pub(crate) fn end(children: &mut [Child]) {
    for child in children.iter() {
        rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM).unwrap();
    }
    for child in children {
        assert!(child.wait().unwrap().success());
    }
}

/// One replica of `cluster` on the Redis or the file at `place`, until it is told to stop. Each run of `jobs`, all of a
/// handler `note`, takes `length`. Writes a line for each start to `out`, and one `trouble` for each time the store did not
/// answer or somebody should look at something.
pub(crate) fn replica(place: &str, cluster: &str, out: &str, jobs: &str, length: Duration) {
    follow();
    let started: Arc<Mutex<Vec<Start>>> = Arc::default();
    let notes = started.clone();
    let note = move |context: Context| {
        let now = micros();
        let due = u64::try_from(context.work.scheduled_at.as_micros()).unwrap();
        notes.lock().unwrap().push((due, now, context.work.job.to_string()));
        async move {
            if !length.is_zero() {
                tokio::time::sleep(length).await;
            }
            Ok::<(), String>(())
        }
    };
    let flags = Flags { no_http: true, max_parallel: Some(10_000), ..Flags::default() };
    let process = Process::load(&flags, &|_| None, &format!("bench-{}", std::process::id())).unwrap();
    let sources = vec![SourceText { name: "bench".into(), text: format!("version = 1\n{jobs}").into() }];
    let config = config::load(&sources, &|_| None, Clock::system().now())
        .unwrap_or_else(|wrong| panic!("{}", config::report(&wrong[..1], false)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let troubles: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = troubles.clone();
    runtime.block_on(async move {
        let store: Arc<dyn Store> = match place.strip_prefix("redis://") {
            Some(_) => Arc::new(Redis::open(place.parse().unwrap(), cluster, Time::Server)),
            None => Arc::new(Sqlite::open(place.as_ref(), Create::IfMissing, Clock::system()).unwrap()),
        };
        let backends = Backends { store, broker: Arc::new(NoBroker) };
        let parts = service::parts(&process, backends, Handlers::new().register("note", note));
        let mut told = parts.bus.listen();
        tokio::spawn(async move {
            loop {
                match told.recv().await.as_deref() {
                    Ok(Told::StoreDown(why) | Told::Warning(why) | Told::Failing(_, why)) => {
                        noted.lock().unwrap().push(why.replace('\n', " "));
                    }
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                    _ => {}
                }
            }
        });
        let service =
            Service { process, parts, config, sources, inline: Vec::new(), watch: false, role: Role::default() };
        cronclave::daemon::run(service, None).await.unwrap();
    });
    let mut file = std::io::BufWriter::new(fs::File::create(out).unwrap());
    for (due, now, job) in started.lock().unwrap().iter() {
        writeln!(file, "{due} {now} {job}").unwrap();
    }
    for why in troubles.lock().unwrap().iter() {
        writeln!(file, "trouble {why}").unwrap();
    }
    file.flush().unwrap();
}

/// What a replica wrote: its starts, and its troubles.
pub(crate) fn written(out: &str) -> (Vec<Start>, Vec<String>) {
    let text = fs::read_to_string(out).unwrap();
    let (mut starts, mut troubles) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.strip_prefix("trouble ") {
            Some(why) => troubles.push(why.to_owned()),
            None => {
                let words: Vec<&str> = line.split(' ').collect();
                starts.push((words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].to_owned()));
            }
        }
    }
    (starts, troubles)
}
