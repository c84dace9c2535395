//! Secrets are looked for in everything that a replica says.

use std::fs;

use serde_json::json;

use super::served::{Served, TOKEN, until};
use super::servers::Redis;

const PASSWORD: &str = "p4ssw0rd-of-the-redis";
const SECRET: &str = "s3cret-of-a-job";
const SIGNING: &str = "whsec_c2VjcmV0LW9mLWEtaG9vay1mb3ItdGVzdHM=";
const IN_ADDRESS: &str = "t0ken-in-an-address";
const GUESS: &str = "a-guess-at-a-token-1234";

#[test]
fn no_secret_is_in_any_line_page_or_error() {
    let redis = Redis::with(&["--requirepass", PASSWORD]);
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", redis.port);
    let jobs = "[secrets]\nkey = { env = \"JOB_KEY\" }\nhook = { env = \"HOOK_KEY\" }\n\
                [hooks.audit]\nurl = \"http://127.0.0.1:9/?token=t0ken-in-an-address\"\nsecret = \"hook\"\nevents = [\"run.*\"]\nallow_private = true\n\
                [jobs.tick]\nevery = \"1s\"\ncommand = \"echo $CRONCLAVE_API_TOKEN-$CRONCLAVE_REDIS_URL.\"\n\
                env = { KEY = { secret = \"key\" } }\n\
                [jobs.post]\nschedule = \"@manual\"\nhttp = { url = \"http://127.0.0.1:9/\", headers = { Authorization = { secret = \"key\", prefix = \"Bearer \" } } }\n";
    let env = [
        ("CRONCLAVE_API_TOKEN", TOKEN),
        ("CRONCLAVE_REDIS_URL", url.as_str()),
        ("JOB_KEY", SECRET),
        ("HOOK_KEY", SIGNING),
        ("CRONCLAVE_LOG", "debug"),
    ];
    let mut served = Served::start(jobs, &env);
    let bearer = format!("Bearer {TOKEN}");
    let signed_in = served.ask("POST", "/api/v1/session", &[], &json!({"token": TOKEN}).to_string());
    let signature = signed_in.cookie().rsplit_once('.').unwrap().1.to_owned();
    served.ask("POST", "/api/v1/jobs/post/runs", &[("Authorization", &bearer)], "{\"reason\":\"look\"}");
    until(|| served.count("succeeded") > 0 && served.count("failed") > 0, || format!("{:#?}", served.lines()));
    let mut said = Vec::new();
    let document = served.get("/openapi.json").json();
    let run = served.get_as(TOKEN, "/api/v1/runs").json()["items"][0]["id"].as_str().unwrap().to_owned();
    for path in document["paths"].as_object().unwrap().keys().filter(|path| !path.ends_with("/events")) {
        for job in ["tick", "post"] {
            let path = path.replace("{job}", job).replace("{run}", &run).replace("{key}", "run:tick");
            said.push(format!("{:?}", served.get_as(TOKEN, &path)));
        }
        said.push(format!("{:?}", served.get_as(GUESS, path)));
        said.push(format!("{:?}", served.ask("POST", path, &[("Authorization", &bearer)], "{\"reason\":1}")));
    }
    for path in ["/livez?verbose", "/readyz?verbose", "/version", "/metrics", "/problems/unauthorized"] {
        said.push(format!("{:?}", served.get_as(TOKEN, path)));
    }
    let wrong = json!({"token": GUESS}).to_string();
    said.push(format!("{:?}", served.ask("POST", "/api/v1/session", &[], &wrong)));
    drop(redis);
    until(|| served.count("store down") > 0, || format!("{:#?}", served.lines()));
    said.push(format!("{:?}", served.get_as(TOKEN, "/api/v1/jobs")));
    said.push(format!("{:?}", served.ask("PUT", "/api/v1/jobs/tick/pause", &[("Authorization", &bearer)], "{}")));
    served.child.kill().unwrap();
    served.ends();
    let lines = served.lines().join("\n");
    for secret in [TOKEN, PASSWORD, SECRET, SIGNING, IN_ADDRESS, GUESS, &signature] {
        for text in said.iter().chain([&lines]) {
            assert!(!text.contains(secret), "`{secret}` in {text}");
        }
    }
    assert!(lines.contains("output      tick             -."), "jobs do not inherit ours: {lines}");
}

#[test]
fn a_token_on_the_disk_is_only_where_it_was_put() {
    let served = Served::start(super::TICK, &[("CRONCLAVE_API_TOKEN", TOKEN)]);
    let body = json!({"token": TOKEN}).to_string();
    assert_eq!(served.ask("POST", "/api/v1/session", &[], &body).status, 200);
    for entry in fs::read_dir(served.path()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let bytes = fs::read(entry.path()).unwrap();
        let held = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
        assert!(!held, "{}", entry.path().display());
    }
}
