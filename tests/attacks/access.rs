//! Without a token, with another's, with a cookie of one's own making.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::TICK;
use super::served::{Served, TOKEN, directory, until};

pub(super) const VIEWER: &str = "a-token-that-only-looks";
const OPERATOR: &str = "a-token-that-operates";

/// Nobody's.
const RUN: &str = "01935a6e-7c1b-7c3e-9b1f-0d5c7a4e1f22";

fn line(name: &str, role: &str, token: &str) -> String {
    let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} {role} sha256:{hash}\n")
}

/// A replica that knows an admin, a viewer and an operator.
pub(super) fn replica() -> Served {
    let dir = directory(TICK);
    fs::write(dir.path().join("tokens"), line("vic", "viewer", VIEWER) + &line("oda", "operator", OPERATOR)).unwrap();
    Served::start_in(
        dir,
        &[("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_API_TOKENS_FILE", "tokens"), ("CRONCLAVE_REPLICA", "web.seven")],
    )
}

/// Every change that the document lists, with names filled in: method and path.
fn changes(served: &Served) -> Vec<(String, String)> {
    let document = served.get("/openapi.json").json();
    let questions = ["/api/v1/session", "/api/v1/explain", "/api/v1/config/validate"];
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|method| *method != "get") {
            if ["post", "put", "delete", "patch"].contains(&method.as_str()) && !questions.contains(&path.as_str()) {
                let path = path.replace("{job}", "tick").replace("{key}", "run:tick").replace("{run}", RUN);
                // Any name will do for what comes later.
                let path = path.replace(['{', '}'], "");
                found.push((method.to_uppercase(), path));
            }
        }
    }
    assert!(found.len() >= 10, "{found:?}");
    found
}

#[test]
fn nobody_changes_or_sees_anything_without_a_token_and_a_viewer_changes_nothing() {
    let served = replica();
    for (method, path) in changes(&served) {
        let nobody = served.ask(&method, &path, &[], "{}");
        assert_eq!((nobody.status, nobody.code().as_str()), (401, "unauthorized"), "{method} {path}: {nobody:?}");
        assert!(nobody.header("www-authenticate").is_some());
        let viewer = served.ask(&method, &path, &[("Authorization", &format!("Bearer {VIEWER}"))], "{}");
        assert_eq!((viewer.status, viewer.code().as_str()), (403, "forbidden"), "{method} {path}: {viewer:?}");
    }
    for path in ["/api/v1/jobs", "/api/v1/whoami", "/api/v1/events", "/api/v1/cluster"] {
        assert_eq!(served.get(path).status, 401, "{path}");
        assert_eq!(served.get(&format!("{path}?token={TOKEN}")).status, 401, "{path}: no token in an address");
    }
    for shown in ["Bearer", "Bearer ", "Basic YTpi", &format!("Basic {TOKEN}"), &format!("Bearer {TOKEN}x")] {
        assert_eq!(served.ask("GET", "/api/v1/jobs", &[("Authorization", shown)], "").status, 401, "{shown}");
    }
    assert_eq!(served.get_as(VIEWER, "/api/v1/jobs").status, 200);
    for path in ["/livez", "/readyz", "/healthz", "/version", "/problems/unauthorized", "/openapi.json"] {
        assert_eq!(served.get(path).status, 200, "{path} is open");
    }
}

#[test]
fn a_cookie_that_was_forged_or_whose_token_is_gone_is_nobodys() {
    let served = replica();
    let who = |cookie: &str| served.ask("GET", "/api/v1/whoami", &[("Cookie", cookie)], "");
    let signed_in = served.ask("POST", "/api/v1/session", &[], &json!({"token": OPERATOR}).to_string());
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let set = signed_in.header("set-cookie").unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    assert!(!set.contains(OPERATOR));
    let cookie = signed_in.cookie();
    assert_eq!(who(&cookie).json()["name"], "oda");
    // Another replica that has the same tokens knows it as well; behind another name it is for TLS only.
    let env = [("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_API_TOKENS_FILE", "tokens")];
    let other = served.beside(&env);
    assert_eq!(other.ask("GET", "/api/v1/whoami", &[("Cookie", &cookie)], "").json()["role"], "operator");
    let body = json!({"token": OPERATOR}).to_string();
    let elsewhere = other.ask("POST", "/api/v1/session", &[("Host", "cron.example.com")], &body);
    assert!(elsewhere.header("set-cookie").unwrap().ends_with("; Secure"), "{elsewhere:?}");
    let promoted = cookie.replace(".oda.", ".api-token.");
    let longer = cookie.replace(".oda.1", ".oda.9");
    let unsigned = cookie.rsplit_once('.').unwrap().0.to_owned();
    for forged in [promoted, longer, unsigned.clone(), format!("{unsigned}."), "cronclave_session=".into()] {
        assert_eq!(who(&forged).status, 401, "{forged}");
    }
    fs::write(served.path().join("tokens"), line("vic", "viewer", VIEWER)).unwrap();
    until(|| who(&cookie).status == 401, || "the token is gone, the cookie is not".into());
    assert_eq!(served.get_as(OPERATOR, "/api/v1/whoami").status, 401);
    let out = served.ask("DELETE", "/api/v1/session", &[("Cookie", &cookie)], "");
    assert!(out.status == 204 && out.header("set-cookie").unwrap().contains("Max-Age=0"), "{out:?}");
    // What cannot be read changes nothing.
    fs::write(served.path().join("tokens"), "vic root sha256:00").unwrap();
    served.wait_for("the tokens stay as they were: tokens:1:");
    assert_eq!(served.get_as(VIEWER, "/api/v1/whoami").status, 200);
}

#[test]
fn whoever_tries_tokens_is_stopped_soon_and_keeps_nobody_else_out() {
    let served = replica();
    let sign_in = |token: &str| served.ask("POST", "/api/v1/session", &[], &json!({"token": token}).to_string());
    let mut answers: Vec<u16> = (0..20).map(|n| sign_in(&format!("guess number {n}")).status).collect();
    answers.dedup();
    assert_eq!(answers, [401, 429]);
    let right = sign_in(TOKEN);
    assert_eq!(right.status, 429, "not even a right guess is told from a wrong one");
    assert!(right.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(served.get_as("another guess", "/api/v1/whoami").status, 429);
    // Whoever has a token goes on; where they come from is not taken from anybody's word.
    assert_eq!(served.get_as(TOKEN, "/api/v1/whoami").status, 200);
    let body = json!({"token": TOKEN}).to_string();
    assert_eq!(served.ask("POST", "/api/v1/session", &[("X-Forwarded-For", "192.0.2.9")], &body).status, 429);
}

#[test]
fn one_caller_who_asks_on_and_on_is_slowed_down() {
    let served = Served::start(TICK, &[("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_RATE_LIMIT", "1")]);
    let answers: Vec<u16> = (0..8).map(|_| served.get_as(TOKEN, "/api/v1/whoami").status).collect();
    assert!(answers[0] == 200 && answers.contains(&429), "{answers:?}");
    assert_eq!(served.get("/livez").status, 200, "health is not counted");
}

#[test]
fn a_link_signs_in_once() {
    let served = Served::start(TICK, &[]);
    served.wait_for("sign in");
    let line = served.lines().into_iter().find(|line| line.starts_with("sign in")).unwrap();
    let path = line.split_once(served.address()).unwrap().1.split(' ').next().unwrap().to_owned();
    let pause = |headers: &[(&str, &str)]| served.ask("PUT", "/api/v1/jobs/tick/pause", headers, "{\"reason\":\"x\"}");
    let nobody = pause(&[]);
    assert_eq!((nobody.status, nobody.code().as_str()), (403, "read-only"), "{nobody:?}");
    assert_eq!(served.get("/signin?code=").status, 401);
    assert_eq!(served.get("/signin?code=0123456789").status, 401);
    assert_eq!(served.ask("HEAD", &path, &[], "").status, 204, "a look does not use it up");
    let opened = served.get(&path);
    assert_eq!(opened.status, 303, "{opened:?}");
    assert_eq!(served.get(&path).status, 401, "twice");
    let cookie = opened.cookie();
    let who = served.ask("GET", "/api/v1/whoami", &[("Cookie", &cookie)], "").json();
    assert_eq!((&who["role"], &who["read_only"]), (&json!("admin"), &json!(false)), "{who}");
    assert_eq!(pause(&[("Cookie", &cookie)]).status / 100, 2);
}

#[test]
fn a_replica_that_others_reach_shows_nothing_without_a_token_unless_told_to() {
    let listen = [("CRONCLAVE_LISTEN", "0.0.0.0:0")];
    let served = Served::start(TICK, &listen);
    assert_eq!(served.count("sign in"), 0, "no link for everybody");
    let refused = served.get("/api/v1/jobs");
    assert!(refused.status == 401 && refused.body.contains("CRONCLAVE_API_TOKEN"), "{refused:?}");
    let public = served.beside(&[listen[0], ("CRONCLAVE_PUBLIC_READ", "1")]);
    assert_eq!(public.get("/api/v1/jobs").status, 200);
    assert_eq!(public.ask("POST", "/api/v1/jobs/tick/runs", &[], "{}").code(), "read-only");
}

#[test]
fn a_read_only_replica_changes_nothing_for_anybody() {
    let served = Served::start(TICK, &[("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_READ_ONLY", "1")]);
    let bearer = format!("Bearer {TOKEN}");
    for (method, path) in changes(&served) {
        let refused = served.ask(&method, &path, &[("Authorization", &bearer)], "{}");
        assert_eq!((refused.status, refused.code().as_str()), (403, "read-only"), "{method} {path}");
    }
    assert_eq!(served.get_as(TOKEN, "/api/v1/whoami").json()["read_only"], true);
}

#[test]
fn only_a_trusted_proxy_says_who_is_signed_in_and_where_they_are() {
    let env = |proxies| {
        [
            ("CRONCLAVE_AUTH_PROXY_HEADER", "X-Forwarded-User"),
            ("CRONCLAVE_AUTH_PROXY_ROLE", "operator"),
            ("CRONCLAVE_TRUSTED_PROXIES", proxies),
        ]
    };
    let headers = [("X-Forwarded-User", "ana"), ("X-Forwarded-For", "198.51.100.7, 10.0.0.1")];
    let trusting = Served::start(TICK, &env("127.0.0.1, 10.0.0.0/8"));
    let who = trusting.ask("GET", "/api/v1/whoami", &headers, "").json();
    let expected =
        json!({"name": "ana", "role": "operator", "how": "proxy", "address": "198.51.100.7", "read_only": false});
    assert_eq!(who, expected);
    let site = [headers[0], ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(trusting.ask("POST", "/api/v1/jobs/tick/runs", &site, "{}").code(), "cross-site");
    assert_eq!(trusting.get("/api/v1/whoami").status, 401);
    let other = trusting.beside(&env("10.0.0.0/8"));
    assert_eq!(other.ask("GET", "/api/v1/whoami", &headers, "").status, 401);
}

#[test]
fn every_change_and_every_refused_one_is_written_down_with_who_where_and_why() {
    let served = replica();
    let bearer = |token| format!("Bearer {token}");
    let pause = "/api/v1/jobs/tick/pause";
    let reason = json!({"reason": "a <b>move</b>"}).to_string();
    let id = [("Authorization", bearer(OPERATOR)), ("X-Request-Id", "my-own-id".into())];
    let id: Vec<(&str, &str)> = id.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(served.ask("PUT", pause, &id, &reason).status / 100, 2);
    assert_eq!(served.ask("DELETE", pause, &[("Authorization", &bearer(VIEWER))], "").status, 403);
    assert_eq!(served.ask("DELETE", pause, &[], "").status, 401);
    for _ in 0..60 {
        served.ask("DELETE", pause, &[("Authorization", &bearer(VIEWER))], "");
    }
    let audit = served.get_as(TOKEN, "/api/v1/audit?limit=500").json();
    let mut entries: Vec<Value> = audit["items"].as_array().unwrap().clone();
    entries.reverse();
    assert_eq!(served.get_as(OPERATOR, "/api/v1/audit").status, 403);
    let first = &entries[0];
    for (member, value) in [
        ("who", json!("oda")),
        ("role", json!("operator")),
        ("how", json!("token")),
        ("address", json!("127.0.0.1")),
        ("method", json!("PUT")),
        ("path", json!(pause)),
        ("reason", json!("a <b>move</b>")),
        ("request_id", json!("my-own-id")),
        ("code", Value::Null),
    ] {
        assert_eq!(first[member], value, "{member} of {first}");
    }
    assert_eq!((&entries[1]["who"], &entries[1]["code"]), (&json!("vic"), &json!("forbidden")));
    assert_eq!((&entries[2]["who"], &entries[2]["code"]), (&json!("anonymous"), &json!("unauthorized")));
    assert!(entries.len() < 50, "being refused does not fill the store: {}", entries.len());
}

#[test]
fn a_setting_of_access_that_cannot_be_used_keeps_it_from_starting() {
    for (env, word) in [
        (("CRONCLAVE_API_TOKEN", "short"), "at least 16"),
        (("CRONCLAVE_API_TOKENS_FILE", "nowhere"), "nowhere"),
        (("CRONCLAVE_PUBLIC_READ", "perhaps"), "neither yes nor no"),
    ] {
        let mut served = Served::begin(directory(TICK), &[env]);
        assert_eq!(served.ends(), 78, "{:?}", served.lines());
        served.wait_for(env.0);
        served.wait_for(word);
    }
}
