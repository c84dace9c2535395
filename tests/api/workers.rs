//! Workers that speak HTTP.

use serde_json::{Value, json};

use crate::bench::Api;
use crate::served::until;

/// A run that waits for a worker: its id and its fencing token.
fn published(api: &Api) -> (String, Value) {
    let id = api.trigger("remote");
    let run = api.run(&id, "published");
    (id, run["fencing_token"].clone())
}

#[test]
fn a_worker_starts_renews_and_finishes_a_run_by_its_fencing_token() {
    let api = Api::new();
    let (id, fence) = published(&api);
    let hold = json!({"fencing_token": fence, "token": "mine", "worker": "py-1"});
    let start = |body: &Value| api.ask("POST /api/v1/runs/{run}/start").at(&id).body(body);
    start(&json!({"fencing_token": 1})).refused(409, "conflict");
    let begun = start(&hold).json(200);
    assert_eq!((&begun["job"], &begun["attempt"]), (&json!("remote"), &json!(1)));
    assert_eq!(start(&hold).json(200)["run_id"], json!(id), "a lost answer is asked for again");
    start(&json!({"fencing_token": fence, "token": "theirs"})).refused(409, "conflict");
    let renew = |body: &Value| api.ask("POST /api/v1/runs/{run}/renew").at(&id).body(body);
    assert_eq!(renew(&hold).json(200)["cancel"], false);
    renew(&json!({"fencing_token": fence})).refused(409, "conflict");
    assert_eq!(api.run(&id, "running")["replica"], "py-1");
    let say = |body: &Value| api.ask("POST /api/v1/runs/{run}/progress").at(&id).body(body).send();
    let mut far = hold.clone();
    (far["percent"], far["message"]) = (json!(42.5), json!("copying"));
    assert_eq!(say(&far).status, 204);
    let said = api.ask("GET /api/v1/runs/{run}").at(&id).json(200)["progress"].clone();
    assert_eq!((&said["percent"], &said["message"]), (&json!(42.5), &json!("copying")));
    assert_eq!(api.ask("GET /api/v1/cluster").json(200)["runs"][0]["progress"], said);
    far["percent"] = json!(101);
    assert_eq!(say(&far).status, 422);
    (far["percent"], far["token"]) = (json!(43), json!("theirs"));
    assert_eq!(say(&far).status, 409);
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).json(202);
    assert_eq!(renew(&hold).json(200)["cancel"], true);
    let finish = |body: &Value| api.ask("POST /api/v1/runs/{run}/finish").at(&id).body(body);
    let mut end = hold.clone();
    end["outcome"] = json!("cancelled");
    assert_eq!(finish(&end).json(200)["final"], true);
    assert!(api.run(&id, "cancelled")["progress"].is_null());
    finish(&end).refused(409, "conflict");
    end["outcome"] = json!("perhaps");
    finish(&end).refused(422, "invalid-request");
    start(&hold).by_nobody().refused(401, "unauthorized");
}

#[test]
fn a_worker_without_a_token_of_its_own_has_the_whole_timeout() {
    let api = Api::new();
    let (id, fence) = published(&api);
    let hold = json!({"fencing_token": fence});
    let begun = api.ask("POST /api/v1/runs/{run}/start").at(&id).body(&hold).json(200);
    assert_eq!(begun["lease_seconds"], 60.0);
    let end = json!({"fencing_token": fence, "outcome": "failed", "exit_code": 4, "message": "no disk"});
    api.ask("POST /api/v1/runs/{run}/finish").at(&id).body(&end).json(200);
    let run = api.run(&id, "failed");
    assert_eq!((&run["exit_code"], &run["message"]), (&json!(4), &json!("no disk")));
}

#[test]
fn a_request_that_is_taken_away_can_be_started_by_nobody() {
    let api = Api::new();
    let (id, fence) = published(&api);
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).json(202);
    let start = || api.ask("POST /api/v1/runs/{run}/start").at(&id).body(&json!({"fencing_token": fence})).send();
    until(|| start().status == 409, || "a cancelled run can still be started".into());
    api.ask("POST /api/v1/runs/{run}/start")
        .at("not-a-run")
        .body(&json!({"fencing_token": 1}))
        .refused(404, "not-found");
}

#[test]
fn the_code_of_a_run_says_how_far_it_is_by_its_fencing_token() {
    let api = Api::new();
    let id = api.trigger("slow");
    let run = api.run(&id, "running");
    let say = |body: &Value| api.ask("POST /api/v1/runs/{run}/progress").at(&id).body(body);
    let fence = run["fencing_token"].clone();
    assert_eq!(say(&json!({"fencing_token": fence, "percent": 42.5, "message": "copying"})).send().status, 204);
    let said = api.ask("GET /api/v1/runs/{run}").at(&id).json(200)["progress"].clone();
    assert_eq!((&said["percent"], &said["message"]), (&json!(42.5), &json!("copying")));
    say(&json!({"fencing_token": fence, "percent": 101})).refused(422, "invalid-request");
    say(&json!({"fencing_token": 1, "percent": 1})).refused(409, "conflict");
    say(&json!({"fencing_token": fence, "percent": 1})).by_nobody().refused(401, "unauthorized");
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).json(202);
    api.run(&id, "cancelled");
    say(&json!({"fencing_token": fence, "percent": 50})).refused(409, "conflict");
}
