//! A replica, and somebody who looks at its pages.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::served::{Answer, LONG, Served, TOKEN, until};

pub(crate) struct Site {
    pub(crate) served: Served,
}

impl Site {
    pub(crate) fn new(jobs: &str) -> Site {
        Site { served: Served::start(jobs, &[("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_RATE_LIMIT", "0")]) }
    }

    pub(crate) fn ask(&self, path: &str) -> Answer {
        let token = format!("Bearer {TOKEN}");
        self.served.ask("GET", path, &[("Authorization", &token), ("Accept", "text/html")], "")
    }

    /// The markup of a page that there is.
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.ask(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.body.contains(" style="), "the policy forbids it");
        answer.body
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.served.get_as(TOKEN, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// The body as it came.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.served.address()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let host = self.served.address();
        let lead = format!("Host: {host}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close");
        write!(stream, "GET {path} HTTP/1.1\r\n{lead}\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        answer.split_off(body)
    }

    /// Asks for a run; its id.
    pub(crate) fn trigger(&self, job: &str) -> String {
        let answer = self.served.ask(
            "POST",
            &format!("/api/v1/jobs/{job}/runs"),
            &[("Authorization", &format!("Bearer {TOKEN}"))],
            "",
        );
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the run stands like this.
    pub(crate) fn wait(&self, run: &str, state: &str) {
        let stands = || self.json(&format!("/api/v1/runs/{run}"))["state"] == state;
        until(stands, || format!("run {run} never was {state}"));
    }

    /// A run of a job that is over.
    pub(crate) fn run(&self, job: &str, state: &str) -> String {
        let run = self.trigger(job);
        self.wait(&run, state);
        run
    }

    /// A part of a log, and its lines as they are shown.
    pub(crate) fn part(&self, run: &str, query: &str) -> (Value, Vec<String>) {
        let part = self.json(&format!("/runs/{run}/log?{query}"));
        let html = part["html"].as_str().unwrap_or_default();
        let lines = html.split("<span class=\"tx\">").skip(1).map(|row| row.split("</span></div>").next().unwrap());
        let lines = lines.map(str::to_owned).collect();
        (part, lines)
    }
}
