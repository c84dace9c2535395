//! Webhooks, and how far runs are.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::bench::Api;
use crate::served::until;

/// Somebody who is told: the address, and the events that came, while the status that he answers is 2xx.
fn receiver(status: Arc<Mutex<u16>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let taken = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut text, mut piece) = (String::new(), [0; 4096]);
            let whole = |text: &str| {
                let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                body.len() >= length.parse::<usize>().unwrap()
            };
            while !whole(&text) {
                let read = stream.read(&mut piece).unwrap();
                text += &String::from_utf8_lossy(&piece[..read]);
            }
            let status = *status.lock().unwrap();
            write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            taken.lock().unwrap().push(text);
        }
    });
    (url, seen)
}

fn api() -> Api {
    Api::on(&[("CRONCLAVE_WEBHOOKS_ALLOW_PRIVATE", "1")])
}

#[test]
fn a_webhook_is_registered_renewed_told_and_removed() {
    let api = api();
    let (url, seen) = receiver(Arc::new(Mutex::new(200)));
    let wish = json!({"url": format!("{url}?token=geheim"), "events": ["job.*"], "expires_in": "1h"});
    let put = |wish: &Value| api.ask("PUT /api/v1/webhooks/{id}").at("my-app").body(wish);
    let first = put(&wish).json(201);
    assert!(first["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!((&first["source"], &first["by"].is_string()), (&json!("api"), &true));
    assert!(put(&wish).json(200)["secret"].is_null(), "shown once");
    put(&json!({"url": "ftp://x", "events": ["job.*"]})).refused(422, "invalid-request");
    put(&json!({"url": url, "events": ["job.exploded"]})).refused(422, "invalid-request");
    put(&json!({"url": url, "events": ["job.*"], "color": "red"})).refused(422, "invalid-request");
    put(&json!({"url": "http://169.254.169.254/", "events": ["*"]})).refused(422, "invalid-request");
    put(&wish).by_nobody().refused(401, "unauthorized");
    let one = api.ask("GET /api/v1/webhooks/{id}").at("my-app").send();
    assert!(one.status == 200 && !one.body.contains("whsec_") && !one.body.contains("geheim"), "{one:?}");
    let tag = one.header("etag").unwrap().to_owned();
    let again = api.ask("GET /api/v1/webhooks/{id}").at("my-app").with("If-None-Match", &tag).send();
    assert_eq!(again.status, 304);
    api.ask("GET /api/v1/webhooks/{id}").at("my-ap").refused(404, "not-found");
    assert_eq!(api.ask("GET /api/v1/webhooks").json(200)["total"], 1);
    let tested = api.ask("POST /api/v1/webhooks/{id}/test").at("my-app").json(200);
    assert_eq!((&tested["taken"], &tested["status"]), (&json!(true), &json!(200)));
    assert!(seen.lock().unwrap()[0].contains("dev.cronclave.hook.test.v1"));
    api.ask("PUT /api/v1/jobs/{job}/pause").at("hello").json(200);
    until(|| seen.lock().unwrap().iter().any(|text| text.contains("job.paused")), || "it was never told".into());
    assert_eq!(api.ask("DELETE /api/v1/webhooks/{id}").at("my-app").json(200)["id"], "my-app");
    api.ask("DELETE /api/v1/webhooks/{id}").at("my-app").refused(404, "not-found");
}

#[test]
fn what_a_webhook_did_not_take_is_listed_and_sent_again() {
    let api = api();
    let status = Arc::new(Mutex::new(410));
    let (url, seen) = receiver(status.clone());
    let wish = json!({"url": url, "events": ["run.*"]});
    api.ask("PUT /api/v1/webhooks/{id}").at("gone").body(&wish).json(201);
    let id = api.trigger("hello");
    api.run(&id, "succeeded");
    let mut failed = Value::Null;
    let list = || api.ask("GET /api/v1/webhooks/{id}/deliveries").at("gone").query("state=failed&limit=1").json(200);
    until(
        || {
            failed = list()["items"][0].clone();
            failed.is_object()
        },
        || "nothing failed".into(),
    );
    assert_eq!(
        (&failed["state"], &failed["last"]["status"], &failed["to"]),
        (&json!("failed"), &json!(410), &json!("webhook/gone"))
    );
    api.ask("GET /api/v1/webhooks/{id}/deliveries").at("gone").query("state=taken").refused(422, "invalid-request");
    api.ask("GET /api/v1/webhooks/{id}/deliveries").at("nobody").refused(404, "not-found");
    let one = api.ask("GET /api/v1/webhooks/{id}").at("gone").json(200);
    assert_eq!((&one["enabled"], &one["off_reason"]), (&json!(false), &json!("it answered 410 Gone")));
    *status.lock().unwrap() = 200;
    assert_eq!(api.ask("POST /api/v1/webhooks/{id}/enable").at("gone").json(200)["enabled"], true);
    let before = seen.lock().unwrap().len();
    let resend = |id: &str| api.ask("POST /api/v1/webhooks/{id}/deliveries/{delivery}/resend").at("gone").at(id);
    let event = failed["id"].as_str().unwrap();
    assert_eq!(resend(event).json(202)["id"], event);
    let comes = || seen.lock().unwrap().iter().skip(before).any(|text| text.contains(event));
    until(comes, || "it was not sent again".into());
    resend("0").refused(404, "not-found");
    api.ask("POST /api/v1/webhooks/{id}/test").at("nobody").refused(404, "not-found");
    api.ask("POST /api/v1/webhooks/{id}/enable").at("nobody").refused(404, "not-found");
}
