//! Requests that say something else than they seem to, and texts that want to be more than text.

use super::TICK;
use super::served::{Served, until};

#[test]
fn no_path_leads_to_a_file() {
    let served = Served::start(TICK, &[]);
    for path in [
        "/../../../../etc/passwd",
        "/problems/../../Cargo.toml",
        "/problems/..%2f..%2fCargo.toml",
        "/problems/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/problems/E0102.md",
        "/problems/api%2fnot-found",
        "/schema/..%2fcronclave-1.json",
        "/api/v1/jobs/..%2f..%2fcluster",
        "/api/v1/jobs/%00",
        "/api/v1/runs/..%2f..%2f..%2fetc%2fpasswd/logs",
        "//etc/passwd",
    ] {
        let answer = served.get(path);
        assert!([400, 404, 422].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.body.contains("root:") && !answer.body.contains("[package]"), "{path}: {answer:?}");
    }
}

#[test]
fn nothing_that_is_sent_becomes_a_header_of_an_answer() {
    let served = Served::start(TICK, &[]);
    for path in [
        "/problems/x%0d%0aSet-Cookie:%20a=b",
        "/api/v1/jobs/x%0d%0aSet-Cookie:%20a=b",
        "/api/v1/jobs?cursor=%0d%0aSet-Cookie:%20a=b",
        "/signin?code=%0d%0aSet-Cookie:%20a=b",
    ] {
        let answer = served.get(path);
        assert!(answer.status >= 400 && answer.header("set-cookie").is_none(), "{path}: {answer:?}");
    }
    for id in ["<script>", "a b", "é", &"x".repeat(200), "a\tb"] {
        let answer = served.ask("GET", "/version", &[("X-Request-Id", id)], "");
        assert_ne!(answer.header("x-request-id"), Some(id), "{answer:?}");
    }
    assert_eq!(
        served.ask("GET", "/version", &[("X-Request-Id", "abc-123")], "").header("x-request-id"),
        Some("abc-123")
    );
    // What two readers may understand differently is refused.
    for bytes in [
        "GET /version HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n\x00X-C: d\r\n\r\n",
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, x\r\n\r\n",
        "GET /version\r\n\r\n",
    ] {
        let answer = served.raw(bytes.as_bytes());
        assert!(answer.status == 400 || answer.status == 0, "{bytes:?}: {answer:?}");
    }
}

#[test]
fn what_a_job_prints_stays_text_whatever_it_holds() {
    let command = r#"printf '<script>alert(1)</script>\033[31mred\033[0m\r\n\r\nevent: bye\n\n'"#;
    let job = format!("[jobs.bad]\nevery = \"1s\"\ncommand = '''{command}'''\n");
    let job = job + "description = \"<img src=x onerror=alert(1)>\"\n";
    let served = Served::start(&job, &[]);
    let run = || served.get("/api/v1/runs?state=succeeded").json()["items"][0]["id"].as_str().map(str::to_owned);
    until(|| run().is_some(), || format!("no run: {:?}", served.lines()));
    let run = run().unwrap();
    let log = served.get(&format!("/api/v1/runs/{run}/logs"));
    assert!(log.body.contains("<script>alert(1)</script>"), "it is all there: {log:?}");
    let kind = log.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain"), "{kind}");
    for answer in [log, served.get("/api/v1/jobs"), served.get("/api/v1/jobs/bad"), served.get("/nothing/%3Cscript%3E")]
    {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        assert!(!answer.header("content-type").unwrap().contains("html"), "{answer:?}");
    }
    // As a stream of lines, none of them can pass for another event.
    let path = format!("/api/v1/runs/{run}/logs");
    let followed = served.ask("GET", &path, &[("Accept", "text/event-stream")], "");
    assert!(followed.body.contains("script"), "{followed:?}");
    assert!(!followed.body.lines().any(|line| line == "event: bye"), "{followed:?}");
}
