//! A replica whose every answer is held against its own OpenAPI document.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use crate::served::{Answer, LONG, Served, TOKEN, until};

pub(crate) const JOBS: &str = r#"
[jobs.hello]
schedule = "@manual"
command  = "echo hello; echo wrong >&2"
tags     = ["ops", "greeting"]
owner    = "team-data"

[jobs.slow]
schedule = "@manual"
command  = "echo begun; sleep 60"
lock     = { ttl = "2s" }
kill_after = "1s"

[jobs.fails]
schedule = "@manual"
command  = "exit 3"
env      = { API_TOKEN = "hush-hush", LEVEL = "debug" }

[jobs.daily]
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
command  = "true"

[jobs.remote]
schedule = "@manual"
command  = "true"
run_on   = "worker"
queue    = "elsewhere"
timeout  = "1m"
"#;

pub(crate) struct Api {
    pub(crate) served: Served,
    pub(crate) document: Value,
}

/// Something that is asked: the route as the document writes it, and what stands in its places.
pub(crate) struct Ask<'a> {
    api: &'a Api,
    method: &'a str,
    template: &'a str,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Api {
    pub(crate) fn new() -> Api {
        Api::on(&[])
    }

    /// With more in its environment.
    pub(crate) fn on(env: &[(&str, &str)]) -> Api {
        let env = [&[("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_RATE_LIMIT", "0")], env].concat();
        Api::of(Served::start(JOBS, &env))
    }

    pub(crate) fn of(served: Served) -> Api {
        let document = served.get("/openapi.json").json();
        Api { served, document }
    }

    /// `api.on("GET /api/v1/jobs/{job}")`
    pub(crate) fn ask<'a>(&'a self, operation: &'a str) -> Ask<'a> {
        let (method, template) = operation.split_once(' ').unwrap();
        let headers = vec![("Authorization".to_owned(), format!("Bearer {TOKEN}"))];
        Ask { api: self, method, template, path: template.to_owned(), headers, body: String::new() }
    }

    /// Triggers a job; the id of its run.
    pub(crate) fn trigger(&self, job: &str) -> String {
        let answer = self.ask("POST /api/v1/jobs/{job}/runs").at(job).send();
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// The run, once it is in this state.
    pub(crate) fn run(&self, id: &str, state: &str) -> Value {
        let mut seen = Value::Null;
        until(
            || {
                let answer = self.ask("GET /api/v1/runs/{run}").at(id).send();
                seen = if answer.status == 200 { answer.json() } else { Value::Null };
                seen["state"] == state
            },
            || format!("run {id} never was {state}"),
        );
        seen
    }

    /// What the document says of an answer to this operation.
    fn documented(&self, ask: &Ask<'_>, answer: &Answer) {
        let operation = &self.document["paths"][ask.template][ask.method.to_lowercase()];
        assert!(operation.is_object(), "{} {} is not in the document", ask.method, ask.template);
        let named = |name: &str, place: &str| {
            let all = operation["parameters"].as_array().into_iter().flatten();
            let mut of_place = all.filter(|one| one["in"] == place);
            of_place.any(|one| one["name"].as_str().unwrap().eq_ignore_ascii_case(name))
        };
        let words = ask.path.split_once('?').map_or("", |(_, query)| query).split('&').filter(|word| !word.is_empty());
        let words = words.map(|word| (word.split('=').next().unwrap(), "query"));
        let heeded = ["last-event-id", "idempotency-key", "if-match"];
        let heeded = ask.headers.iter().filter(|(name, _)| heeded.contains(&name.to_lowercase().as_str()));
        for (name, place) in words.chain(heeded.map(|(name, _)| (name.as_str(), "header"))) {
            assert!(named(name, place) || answer.status == 422, "`{name}` of the {place} is heeded, not documented");
        }
        let responses = &operation["responses"];
        let named = &responses[answer.status.to_string()];
        let response = if named.is_object() { named } else { &responses["default"] };
        assert!(response.is_object(), "an answer {} is not documented: {answer:?}", answer.status);
        let kind = answer.header("content-type").unwrap_or_default();
        let kinds: Vec<&String> = response["content"].as_object().map(|all| all.keys().collect()).unwrap_or_default();
        let is_known = kinds.iter().any(|known| *known == kind || known.split(';').next() == kind.split(';').next());
        assert!(is_known || (kinds.is_empty() && answer.body.is_empty()), "{kind} is not one of {kinds:?}: {answer:?}");
        assert!(answer.status < 400 || answer.json()["request_id"].is_string(), "{answer:?}");
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
    }
}

impl Ask<'_> {
    /// What stands in the next place of the path.
    pub(crate) fn at(mut self, name: &str) -> Self {
        let (before, after) = self.path.split_once('{').unwrap();
        self.path = format!("{before}{name}{}", after.split_once('}').unwrap().1);
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn by_nobody(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "Authorization");
        self
    }

    pub(crate) fn body(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self
    }

    pub(crate) fn text(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// The answer, after it was held against the document.
    pub(crate) fn send(self) -> Answer {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.api.served.ask(self.method, &self.path, &headers, &self.body);
        self.api.documented(&self, &answer);
        answer
    }

    /// What comes without end, after its beginning was held against the document.
    pub(crate) fn follow(self) -> Events {
        let address = self.api.served.address();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut lead = format!("GET {} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n", self.path);
        self.headers.iter().for_each(|(name, value)| lead += &format!("{name}: {value}\r\n"));
        write!(stream, "{lead}\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        let head: Vec<String> = lines.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Answer { status, head: head.join("\r\n"), body: String::new() };
        self.api.documented(&self, &answer);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        Events { lines, kinds: Vec::new() }
    }

    /// The problem that it must be.
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        let answer = self.send();
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        answer.json()
    }

    /// The JSON of an answer that is as wished.
    pub(crate) fn json(self, status: u16) -> Value {
        let answer = self.send();
        assert_eq!(answer.status, status, "{answer:?}");
        answer.json()
    }
}

/// A stream of events, as it comes.
pub(crate) struct Events {
    lines: Lines<BufReader<TcpStream>>,
    /// All that came so far.
    pub(crate) kinds: Vec<String>,
}

impl Events {
    /// The data of the next event of this kind.
    pub(crate) fn find(&mut self, kind: &str) -> Value {
        let given_up = Instant::now() + LONG;
        while let Some(Ok(line)) = self.lines.next().filter(|_| Instant::now() < given_up) {
            if let Some(kind) = line.strip_prefix("event: ") {
                self.kinds.push(kind.to_owned());
            }
            let is_it = self.kinds.last().is_some_and(|last| last == kind);
            if let Some(data) = line.strip_prefix("data: ").filter(|_| is_it) {
                return serde_json::from_str(data).unwrap();
            }
        }
        panic!("no {kind} after {:?}", self.kinds);
    }
}

/// `METHOD /path` of each route.
pub(crate) fn operations(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods =
            item.as_object().unwrap().keys().filter(|key| ["get", "put", "post", "delete"].contains(&key.as_str()));
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}
