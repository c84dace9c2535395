//! Schedule files and what expressions mean.

use std::fs;

use serde_json::json;

use crate::bench::{Api, JOBS};

#[test]
fn the_files_in_force_are_shown_without_secrets() {
    let api = Api::new();
    let answer = api.ask("GET /api/v1/config").send();
    let config = answer.json();
    assert_eq!(config["jobs"].as_array().unwrap().len(), 5);
    assert!(!answer.body.contains("hush-hush"));
    let tag = answer.header("etag").unwrap();
    assert_eq!(api.ask("GET /api/v1/config").with("If-None-Match", tag).send().status, 304);
}

#[test]
fn a_reload_takes_good_files_and_refuses_bad_ones() {
    let api = Api::new();
    let file = api.served.path().join("schedules/jobs.toml");
    let reload = || api.ask("POST /api/v1/config/reload");
    fs::write(&file, format!("version = 1\n{JOBS}\n[jobs.new]\nschedule = \"@manual\"\ncommand = \"true\"\n")).unwrap();
    assert_eq!(reload().json(200)["jobs"], 6);
    fs::write(&file, format!("version = 1\n{JOBS}\n[jobs.new]\nschedule = \"61 * * * *\"\ncommand = \"true\"\n"))
        .unwrap();
    let wrong = reload().refused(422, "invalid-config");
    assert!(wrong["errors"][0]["pointer"].as_str().unwrap().starts_with("schedules/jobs.toml:"), "{wrong}");
    assert_eq!(api.ask("GET /api/v1/jobs").json(200)["total"], 6, "the old ones stay in force");
    reload().by_nobody().refused(401, "unauthorized");
}

#[test]
fn a_file_is_checked_without_looking_at_anything_here() {
    let api = Api::new();
    let check = |text: &str| {
        api.ask("POST /api/v1/config/validate").with("Content-Type", "application/toml").text(text).json(200)
    };
    let good = check("version = 1\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n");
    assert_eq!((&good["ok"], &good["jobs"]), (&json!(true), &json!(1)));
    let bad = check("version = 1\n[jobs.a]\nschedul = \"@daily\"\ncommand = \"true\"\n");
    assert_eq!((&bad["ok"], &bad["diagnostics"][0]["line"]), (&json!(false), &json!(3)), "{bad}");
    // It would never end.
    let secret = check(
        "version = 1\n[secrets]\nx = { file = \"/dev/zero\" }\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n",
    );
    assert_eq!((&secret["ok"], &secret["warnings"]), (&json!(true), &json!(0)), "{secret}");
}

#[test]
fn a_schedule_is_explained_to_everybody() {
    let api = Api::new();
    let ask = |body| api.ask("POST /api/v1/explain").by_nobody().body(&body);
    let body =
        json!({"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "from": "2027-03-27T00:00:00Z", "count": 2});
    let meaning = ask(body).json(200);
    assert_eq!(
        (&meaning["description"], meaning["occurrences"].as_array().unwrap().len()),
        (&json!("At 02:30 every day"), 2)
    );
    assert_eq!(meaning["occurrences"][1]["dst"]["kind"], "gap");
    let wrong = ask(json!({"schedule": "61 * * * *"})).refused(422, "invalid-request");
    assert_eq!((&wrong["errors"][0]["pointer"], &wrong["span"]), (&json!("/schedule"), &json!([0, 2])), "{wrong}");
    let wrong = ask(json!({"timezone": "UTC"})).refused(422, "invalid-request");
    assert_eq!(wrong["errors"][0]["pointer"], "/schedule", "{wrong}");
    ask(json!({"schedule": "* * * * *", "count": 10_001})).refused(422, "invalid-request");
}
