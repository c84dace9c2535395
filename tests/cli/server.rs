//! A server that is asked and has too much to do.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bench::Place;

const NOTHING: &str = r#"{"items": [], "next_cursor": null, "now": "2026-11-22T01:30:00Z"}"#;

/// Answers 429 with this `Retry-After` so often, and then with an empty list; and how often it was asked.
fn busy(times: usize, after: u64) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, asked) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut text, mut piece) = (String::new(), [0; 4096]);
            while !text.contains("\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                text += &String::from_utf8_lossy(&piece[..read]);
            }
            let is_busy = count.fetch_add(1, Ordering::SeqCst) < times;
            let (status, body) = if is_busy { ("429 Too Many Requests", "{}") } else { ("200 OK", NOTHING) };
            let lead = format!("Retry-After: {after}\r\nContent-Length: {}\r\nConnection: close", body.len());
            write!(stream, "HTTP/1.1 {status}\r\n{lead}\r\n\r\n{body}").unwrap();
        }
    });
    (url, asked)
}

#[test]
fn a_server_that_has_too_much_to_do_is_asked_again_when_it_says_so() {
    let place = Place::new();
    let (url, asked) = busy(2, 1);
    place.ask(&["--server", &url, "locks"]).expect(0, &[]);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let (url, asked) = busy(1, 3600);
    place.ask(&["--server", &url, "locks"]).expect(75, &["429"]);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody waits for an hour");
}
