//! Runs.

use serde_json::json;

use crate::bench::Api;

#[test]
fn runs_are_listed_newest_first_in_parts_none_twice_and_none_left_out() {
    let api = Api::new();
    let all: Vec<String> = (0..7)
        .map(|_| {
            let id = api.trigger("hello");
            api.run(&id, "succeeded");
            id
        })
        .collect();
    let mut seen: Vec<String> = Vec::new();
    let mut query = "job=hello&limit=3".to_owned();
    loop {
        let answer = api.ask("GET /api/v1/runs").query(&query).send();
        let page = answer.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert!(answer.header("link").unwrap().contains(cursor));
        query = format!("job=hello&limit=3&cursor={cursor}");
    }
    assert_eq!(seen, all.into_iter().rev().collect::<Vec<_>>());
    let count = |query: &str| api.ask("GET /api/v1/runs").query(query).json(200)["items"].as_array().unwrap().len();
    assert_eq!(count("state=failed,lost"), 0);
    assert_eq!(count("state=succeeded&trigger=manual"), 7);
    assert_eq!(count("since=2099-01-01T00:00:00Z"), 0);
    assert_eq!(count(&format!("id={}", &seen[0][24..])), 1);
}

#[test]
fn a_list_of_runs_refuses_what_it_does_not_understand() {
    let api = Api::new();
    for (query, code) in [
        ("state=fialed", "unknown"),
        ("trigger=me", "unknown"),
        ("since=now", "not_a_time"),
        ("cursor=AAAA", "not_a_cursor"),
    ] {
        let wrong = api.ask("GET /api/v1/runs").query(query).refused(422, "invalid-request");
        assert_eq!(wrong["errors"][0]["code"], code, "{wrong}");
    }
    api.ask("GET /api/v1/runs").query("job=nobody").refused(404, "not-found");
}

#[test]
fn a_run_is_found_by_its_id_or_a_part_of_it_or_its_job() {
    let api = Api::new();
    let id = api.trigger("hello");
    let run = api.run(&id, "succeeded");
    assert_eq!((&run["exit_code"], &run["attempts"][0]["state"]), (&json!(0), &json!("succeeded")));
    let events: Vec<&str> =
        run["timeline"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["claimed", "started", "succeeded"]);
    for name in [&id[24..], "hello"] {
        assert_eq!(api.ask("GET /api/v1/runs/{run}").at(name).json(200)["id"], json!(id));
    }
    let answer = api.ask("GET /api/v1/runs/{run}").at(&id).send();
    let tag = answer.header("etag").unwrap();
    assert_eq!(api.ask("GET /api/v1/runs/{run}").at(&id).with("If-None-Match", tag).send().status, 304);
    api.ask("GET /api/v1/runs/{run}").at("00000000-0000-7000-8000-000000000000").refused(404, "not-found");
    api.ask("GET /api/v1/runs/{run}").at("nothing").refused(404, "not-found");
}

#[test]
fn a_run_is_cancelled_and_tried_again_as_a_run_of_the_same_instant() {
    let api = Api::new();
    let id = api.trigger("slow");
    api.run(&id, "running");
    let busy = api.ask("POST /api/v1/runs/{run}/retry").at(&id).refused(409, "overlap");
    assert_eq!(busy["run_id"], json!(id));
    let cancelled = api.ask("POST /api/v1/runs/{run}/cancel").at(&id).body(&json!({"reason": "wrong day"})).json(202);
    assert_eq!((&cancelled["id"], &cancelled["open"]), (&json!(id), &json!(true)));
    let over = api.run(&id, "cancelled");
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).refused(409, "conflict");
    let again = api.ask("POST /api/v1/runs/{run}/retry").at(&id).send();
    let other = again.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((again.status, again.header("location")), (202, Some(format!("/api/v1/runs/{other}").as_str())));
    assert_eq!(api.run(&other, "running")["scheduled_at"], over["scheduled_at"]);
    api.ask("POST /api/v1/runs/{run}/cancel").at("slow").json(202);
    api.ask("POST /api/v1/runs/{run}/cancel").at("nothing").refused(404, "not-found");
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).by_nobody().refused(401, "unauthorized");
    api.ask("POST /api/v1/runs/{run}/retry").at(&id).by_nobody().refused(401, "unauthorized");
}
