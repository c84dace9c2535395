//! A run is one trace for everybody who has to do with it: replica, message, worker, program, logs. With the feature
//! `otlp` a collector gets its spans: `cargo test --features otlp --test traces`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let given_up = Instant::now() + LONG;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < given_up, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process and the lines it wrote.
struct Going {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Going {
    fn start(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Going {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped());
        for name in ["REDIS_URL", "AMQP_URL", "CLOUDAMQP_URL", "RABBITMQ_URL", "PORT", "TRACEPARENT"] {
            command.env_remove(name);
        }
        let mut child = command.envs(env.iter().copied()).spawn().unwrap();
        let (lines, out) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().unwrap());
        let to = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                to.lock().unwrap().push(line);
            }
        });
        Going { child, lines }
    }

    /// The fields of the first line about `event`.
    fn told(&self, event: &str) -> Option<BTreeMap<String, Value>> {
        let lines = self.lines.lock().unwrap();
        let all = lines.iter().filter_map(|line| serde_json::from_str::<BTreeMap<String, Value>>(line).ok());
        all.into_iter().find(|fields| fields["event"] == event)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The job says which trace it is part of.
const JOBS: &str = "version = 1
[jobs.report]
schedule = \"@manual\"
run_on = \"worker\"
command = \"echo parent=$TRACEPARENT\"
";

fn place() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("schedules")).unwrap();
    fs::write(dir.path().join("schedules/jobs.toml"), JOBS).unwrap();
    dir
}

/// A replica, a worker, and one run that goes from the one to the other.
fn story(dir: &Path, env: &[(&str, &str)]) -> (Going, Going) {
    let serve = ["serve", "--no-http", "--log-format", "json", "--replica", "a"];
    let work = ["worker", "--log-format", "json", "--name", "w"];
    let (replica, worker) = (Going::start(dir, &serve, env), Going::start(dir, &work, env));
    until("both began", || Some((replica.told("replica.started")?, worker.told("worker.started")?)));
    let mut asking = Going::start(dir, &["trigger", "report"], &[]);
    assert!(asking.child.wait().unwrap().success());
    until("the run is over", || worker.told("run.succeeded"));
    (replica, worker)
}

#[test]
fn replica_message_worker_and_program_agree_on_the_trace() {
    let dir = place();
    let (replica, worker) = story(dir.path(), &[]);
    let requested = until("the replica says that it sent it", || replica.told("run.requested"));
    let (started, over) = (worker.told("run.started").unwrap(), worker.told("run.succeeded").unwrap());
    let printed = until("the program printed", || worker.told("run.output"));
    let run_id = requested["run_id"].as_str().unwrap().replace('-', "");
    for line in [&requested, &started, &over, &printed] {
        assert_eq!(line["trace_id"], run_id, "{line:?}");
    }
    let span = format!("{:016x}", over["fencing_token"].as_u64().unwrap());
    for line in [&requested, &started, &over] {
        assert_eq!(line["span_id"], span, "{line:?}");
    }
    assert_eq!(printed["line"], format!("parent=00-{run_id}-{span}-01"));
    // Fields that the events themselves do not hold.
    assert_eq!((&over["trigger"], &over["queue"]), (&"manual".into(), &"default".into()));
    assert!(started["start_delay_seconds"].as_f64().is_some() && over["duration_seconds"].as_f64().is_some());
    assert!(over["scheduled_at"].as_str().is_some());
}

#[test]
fn logfmt_has_the_same_fields_and_output_may_be_raw_or_off() {
    let dir = place();
    let jobs = JOBS.replace("run_on = \"worker\"\n", "").replace("@manual", "* * * * * *");
    fs::write(dir.path().join("schedules/jobs.toml"), jobs).unwrap();
    let args = ["serve", "--no-http", "--replica", "a", "--log-format", "logfmt", "--log-output"];
    let raw = Going::start(dir.path(), &[&args[..], &["raw"]].concat(), &[]);
    let has = |going: &Going, word: &str| going.lines.lock().unwrap().iter().find(|line| line.contains(word)).cloned();
    let over = until("a run is over", || has(&raw, "event=run.succeeded"));
    for field in [
        "ts=",
        " level=info",
        " msg=\"succeeded run ",
        " job=report",
        " trigger=schedule",
        " trace_id=",
        " span_id=",
        " duration_seconds=",
        " replica=a",
        " cluster=default",
    ] {
        assert!(over.contains(field), "`{field}` in {over}");
    }
    let printed = until("it printed", || has(&raw, "parent="));
    assert!(printed.starts_with("parent=00-"), "{printed}");
    drop(raw);
    let off =
        Going::start(dir.path(), &args[..4], &[("CRONCLAVE_LOG_FORMAT", "logfmt"), ("CRONCLAVE_LOG_OUTPUT", "off")]);
    until("another run is over", || has(&off, "event=run.succeeded"));
    assert_eq!(has(&off, "parent="), None);
}

#[cfg(feature = "otlp")]
mod collected {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message;

    use super::*;

    /// A collector: what it was sent, in the order in which it came.
    struct Collector {
        url: String,
        got: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    }

    impl Collector {
        fn start() -> Collector {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (url, got) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(Mutex::new(Vec::new())));
            let to = got.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let to = to.clone();
                    std::thread::spawn(move || while take(&stream, &to).is_some() {});
                }
            });
            Collector { url, got }
        }

        fn span(&self, name: &str) -> Option<Span> {
            let got = self.got.lock().unwrap();
            let scopes = got.iter().flat_map(|request| &request.resource_spans).flat_map(|one| &one.scope_spans);
            scopes.flat_map(|scope| &scope.spans).find(|span| span.name == name).cloned()
        }
    }

    /// One request on a connection that may bring more.
    fn take(mut stream: &TcpStream, to: &Mutex<Vec<ExportTraceServiceRequest>>) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).ok().filter(|read| *read > 2).is_some() {
            head += &std::mem::take(&mut line).to_lowercase();
        }
        assert!(head.is_empty() || head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        to.lock().unwrap().push(ExportTraceServiceRequest::decode(&body[..]).unwrap());
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").ok()
    }

    fn says(span: &Span, name: &str) -> Option<String> {
        let value = span.attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value?;
        Some(match value {
            any_value::Value::StringValue(text) => text,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn a_collector_gets_the_run_the_message_and_the_work_as_one_trace() {
        let (collector, dir) = (Collector::start(), place());
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
        let (_replica, worker) = story(dir.path(), &env);
        let over = worker.told("run.succeeded").unwrap();
        let run = until("the run is told", || collector.span("run report"));
        let send = until("the message is told", || collector.span("send cronclave.tasks"));
        let work = until("the work is told", || collector.span("process default"));
        let run_id = over["run_id"].as_str().unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for span in [&run, &send, &work] {
            assert_eq!(hex(&span.trace_id), run_id.replace('-', ""), "{span:?}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0, "{span:?}");
            assert_eq!(says(span, "cronclave.run.id").as_deref(), Some(run_id));
        }
        assert!(run.parent_span_id.is_empty());
        assert_eq!((&send.parent_span_id, &work.parent_span_id), (&run.span_id, &send.span_id));
        assert_eq!(work.links.len(), 1);
        assert_eq!(work.links[0].span_id, send.span_id);
        assert_eq!(hex(&work.span_id), over["span_id"].as_str().unwrap());
        // Internal, producer, consumer.
        assert_eq!([run.kind, send.kind, work.kind], [1, 4, 5]);
        assert_eq!(says(&run, "faas.trigger").as_deref(), Some("other"));
        assert_eq!(says(&run, "cronclave.job.name").as_deref(), Some("report"));
        assert_eq!(
            says(&send, "messaging.destination.name").as_deref(),
            Some("cronclave.tasks:task.default.default.report")
        );
        assert_eq!(says(&send, "messaging.message.conversation_id").as_deref(), Some(run_id));
        let got = collector.got.lock().unwrap();
        let named = got.iter().flat_map(|request| &request.resource_spans).filter_map(|one| one.resource.as_ref());
        let names = named.flat_map(|resource| &resource.attributes).filter(|attribute| attribute.key == "service.name");
        assert!(names.count() > 0);
    }

    #[test]
    fn a_collector_that_is_away_delays_nothing() {
        let dir = place();
        // Nobody listens on this port, which was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let (replica, _worker) = story(dir.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())]);
        assert!(replica.told("run.requested").is_some());
    }
}
