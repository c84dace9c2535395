//! Too much, too large, too slow.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::TICK;
use super::served::{LONG, Served, TOKEN, until};

/// Opens a connection and sends these bytes.
fn open(served: &Served, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(served.address()).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// What comes until the other side ends the connection.
fn rest(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(![ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()), "it stays open");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\nHost: localhost\r\nContent-Type: application/json\r\n")
}

#[test]
fn a_body_that_is_too_large_is_refused_announced_or_not_and_headers_as_well() {
    let served = Served::start(TICK, &[("CRONCLAVE_API_TOKEN", TOKEN)]);
    let path = "/api/v1/jobs/tick/pause";
    let announced = format!("PUT {path} HTTP/1.1\r\n{}Content-Length: 1000000000\r\n\r\n", bearer());
    let answer = rest(open(&served, announced.as_bytes()));
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"too-large\""), "{answer}");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = format!("PUT {path} HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n", bearer()) + &chunk.repeat(6);
    let answer = served.raw(chunked.as_bytes());
    assert!(answer.status == 413 || answer.status == 0, "{answer:?}");
    let headers = format!("GET /version HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(300 * 1024));
    let answer = served.raw(headers.as_bytes());
    assert!([0, 400, 431].contains(&answer.status), "{answer:?}");
    let many = format!("GET /version HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(1000));
    assert!([0, 400, 431].contains(&served.raw(many.as_bytes()).status));
    assert_eq!(served.get("/livez").status, 200);
}

#[test]
fn whoever_is_slow_is_let_go() {
    let served = Served::start(TICK, &[("CRONCLAVE_API_TOKEN", TOKEN)]);
    let begun = Instant::now();
    let silent = open(&served, b"");
    let mut slow_head = open(&served, b"GET /version HTTP/1.1\r\nX-A: ");
    let body = format!("PUT /api/v1/jobs/tick/pause HTTP/1.1\r\n{}Content-Length: 1000\r\n\r\n{{", bearer());
    let mut slow_body = open(&served, body.as_bytes());
    let dripping = std::thread::spawn({
        let (mut head, mut body) = (slow_head.try_clone().unwrap(), slow_body.try_clone().unwrap());
        move || {
            // A byte now and then does not help.
            while begun.elapsed() < LONG {
                let gone = [head.write(b"x").is_err(), body.write(b" ").is_err()];
                if gone == [true, true] {
                    return;
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    });
    assert!(rest(silent).is_empty());
    let _ = slow_head.flush();
    assert!(!rest(slow_head).contains("200 OK"));
    let _ = slow_body.flush();
    let told = rest(slow_body);
    assert!(told.is_empty() || told.contains("408"), "{told}");
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    drop(dripping);
    assert_eq!(served.get("/livez").status, 200);
}

/// As many files as this process may open at all.
fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// So many connections, as far as it is allowed, half of them in the middle of a header.
fn flood(served: &Served, count: usize) -> Vec<TcpStream> {
    let count = count.min(raise().saturating_sub(500));
    let mut all = Vec::new();
    for n in 0..count {
        let Ok(stream) = TcpStream::connect(served.address()) else { continue };
        if n % 2 == 0 {
            let _ = (&stream).write_all(b"GET /api/v1/jobs HTTP/1.1\r\nX-A: ");
        }
        all.push(stream);
    }
    all
}

/// While that lasts, jobs run and health answers.
fn goes_on(served: &Served) {
    let before = served.count("succeeded");
    let mut asked = 0;
    until(
        || {
            assert_eq!(served.get("/livez").status, 200);
            assert_eq!(served.get("/readyz").status, 200);
            asked += 1;
            served.count("succeeded") >= before + 5
        },
        || format!("the schedule stands still: {:#?}", served.lines()),
    );
    assert!(asked > 0);
    assert_eq!(served.count("missed") + served.count("failed"), 0, "{:#?}", served.lines());
}

#[test]
fn ten_thousand_connections_keep_nothing_from_running_and_health_from_answering() {
    let served = Served::start(TICK, &[]);
    let held = flood(&served, 10_000);
    assert!(held.len() > 500, "{}", held.len());
    goes_on(&served);
}

#[test]
fn connections_do_not_take_the_files_that_runs_need() {
    let jobs = TICK.to_owned() + "[jobs.tack]\nevery = \"1s\"\ncommand = \"echo tack\"\n";
    let served = Served::start_with_files(&jobs, &[("CRONCLAVE_MAX_PARALLEL", "40")], 512);
    let held = flood(&served, 2_000);
    goes_on(&served);
    let open = std::fs::read_dir(format!("/proc/{}/fd", served.child.id())).unwrap().count();
    assert!(open < 450, "{open} of 512 files are in use");
    drop(held);
}

#[test]
fn too_many_listeners_are_sent_elsewhere_and_leave_room_for_questions() {
    let served = Served::start(TICK, &[("CRONCLAVE_MAX_CONNECTIONS", "20")]);
    let ask = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let listeners: Vec<TcpStream> = (0..10).map(|_| open(&served, ask)).collect();
    for stream in &listeners {
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut some = [0; 12];
        (&*stream).read_exact(&mut some).unwrap();
        assert_eq!(&some, b"HTTP/1.1 200");
    }
    let refused = served.get("/api/v1/events");
    assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(served.get("/api/v1/jobs").status, 200);
    drop(listeners);
    let again = || {
        let mut some = [0; 12];
        let stream = open(&served, ask);
        stream.set_read_timeout(Some(LONG)).unwrap();
        (&stream).read_exact(&mut some).unwrap();
        &some == b"HTTP/1.1 200"
    };
    until(again, || "no seat becomes free".into());
}
