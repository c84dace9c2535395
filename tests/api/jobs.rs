//! Jobs.

use serde_json::json;

use crate::bench::Api;

#[test]
fn jobs_are_listed_in_parts_and_chosen_by_tag_state_and_text() {
    let api = Api::new();
    let first = api.ask("GET /api/v1/jobs").query("limit=2").send();
    assert_eq!(first.json()["total"], 5);
    let link = first.header("link").unwrap();
    assert!(link.ends_with("rel=\"next\"") && link.contains("limit=2&cursor="), "{link}");
    let mut names: Vec<String> = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = api.ask("GET /api/v1/jobs").query(&query).json(200);
        names.extend(page["items"].as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["daily", "fails", "hello", "remote", "slow"]);
    let only = |query: &str| {
        let page = api.ask("GET /api/v1/jobs").query(query).json(200);
        page["items"].as_array().unwrap().iter().map(|job| job["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(only("tag=ops"), ["hello"]);
    assert_eq!(only("q=LOW"), ["slow"]);
    assert_eq!(only("state=paused"), [] as [&str; 0]);
    assert_eq!(only("state=never_run").len(), 5);
}

#[test]
fn a_list_refuses_what_it_does_not_understand_and_says_where() {
    let api = Api::new();
    let wrong = api.ask("GET /api/v1/jobs").query("limt=2").refused(422, "invalid-request");
    assert_eq!((&wrong["errors"][0]["pointer"], &wrong["errors"][0]["suggestion"]), (&json!("?limt"), &json!("limit")));
    for query in ["limit=0", "limit=501", "limit=many", "cursor=%21", "cursor=_w", "state=happy"] {
        let wrong = api.ask("GET /api/v1/jobs").query(query).refused(422, "invalid-request");
        let pointer = format!("?{}", query.split('=').next().unwrap());
        assert_eq!(wrong["errors"][0]["pointer"], pointer, "{query}: {wrong}");
    }
}

#[test]
fn a_job_has_all_its_settings_and_no_secret_and_a_strong_tag() {
    let api = Api::new();
    let first = api.ask("GET /api/v1/jobs/{job}").at("fails").send();
    let job = first.json();
    assert_eq!(job["definition"]["task"]["env"], json!({"API_TOKEN": "(hidden)", "LEVEL": "debug"}));
    assert_eq!((&job["source"]["file"], &job["health"]), (&json!("schedules/jobs.toml"), &json!("never_run")));
    assert!(!first.body.contains("hush-hush"));
    let tag = first.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.len() > 10, "{tag}");
    let same = api.ask("GET /api/v1/jobs/{job}").at("fails").with("If-None-Match", tag).send();
    assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some(tag)));
    let id = api.trigger("fails");
    api.run(&id, "failed");
    let other = api.ask("GET /api/v1/jobs/{job}").at("fails").with("If-None-Match", tag).send();
    let job = other.json();
    assert_eq!((other.status, &job["health"], &job["recent"]), (200, &json!("failing"), &json!("F")));
    assert_eq!((&job["stats"]["runs"], &job["stats"]["success_rate"]), (&json!(1), &json!(0.0)));
    let unknown = api.ask("GET /api/v1/jobs/{job}").at("fial").refused(404, "not-found");
    assert!(unknown["detail"].as_str().unwrap().contains("did you mean `fails`?"), "{unknown}");
    api.ask("GET /api/v1/jobs/{job}").at("..%2f..%2fetc").refused(404, "not-found");
}

#[test]
fn occurrences_say_what_comes_and_what_a_change_of_clocks_does() {
    let api = Api::new();
    let ask = || api.ask("GET /api/v1/jobs/{job}/occurrences").at("daily");
    let page = ask().query("from=2027-03-27T12:00:00Z&count=2").json(200);
    let gap = &page["items"][0];
    assert_eq!((&gap["decision"], &gap["scheduled_at"]), (&json!("planned"), &json!("2027-03-28T01:00:00Z")));
    assert_eq!(gap["planned"]["dst"]["kind"], "gap");
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let past = ask().query("from=2020-01-01T00:00:00Z&until=2020-02-01T00:00:00Z&include=skipped").json(200);
    assert_eq!(past["total"], 0, "nothing was decided before it was known");
    let wrong = ask().query("from=yesterday").refused(422, "invalid-request");
    assert_eq!(wrong["errors"][0]["code"], "not_a_time");
    ask().query("count=0").refused(422, "invalid-request");
}

#[test]
fn a_trigger_is_accepted_with_a_place_to_look_and_its_key_asked_again_is_the_same_run() {
    let api = Api::new();
    let ask = |key: &str| {
        let body = json!({"args": {"day": "2026-11-21"}, "reason": "because"});
        api.ask("POST /api/v1/jobs/{job}/runs").at("hello").with("Idempotency-Key", key).body(&body).send()
    };
    let first = ask("abc");
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((first.status, &first.json()["new"]), (202, &json!(true)));
    assert_eq!(first.header("location"), Some(format!("/api/v1/runs/{id}").as_str()));
    let run = api.run(&id, "succeeded");
    assert_eq!(run["trigger"], json!({"kind": "manual", "by": "api-token", "reason": "because"}));
    let again = ask("abc").json();
    assert_eq!((&again["id"], &again["new"]), (&json!(id), &json!(false)));
    assert_ne!(ask("def").json()["id"], json!(id));
}

#[test]
fn a_trigger_that_cannot_be_is_refused_with_its_reason() {
    let api = Api::new();
    let ask = |job: &str| api.ask("POST /api/v1/jobs/{job}/runs").at(job);
    ask("helo").refused(404, "not-found");
    ask("hello").by_nobody().refused(401, "unauthorized");
    let wrong = ask("hello").body(&json!({"arg": {}})).refused(422, "invalid-request");
    assert_eq!((&wrong["errors"][0]["pointer"], &wrong["errors"][0]["suggestion"]), (&json!("/arg"), &json!("args")));
    let wrong = ask("hello").body(&json!({"args": {"n": 1}})).refused(422, "invalid-request");
    assert_eq!(wrong["errors"][0]["pointer"], "/args/n");
    ask("hello").text("[null, null]").refused(422, "invalid-request");
    ask("hello").text("{").refused(422, "invalid-request");
    ask("hello").text("{}").with("Content-Type", "text/plain").refused(415, "unsupported-media-type");
    let id = api.trigger("slow");
    api.run(&id, "running");
    let busy = ask("slow").refused(409, "overlap");
    assert_eq!(busy["run_id"], json!(id), "{busy}");
}

#[test]
fn a_pause_holds_until_it_is_ended_and_both_can_be_repeated() {
    let api = Api::new();
    let pause = |body| api.ask("PUT /api/v1/jobs/{job}/pause").at("daily").body(&body);
    let until = "2099-01-01T00:00:00Z";
    for _ in 0..2 {
        let paused = pause(json!({"reason": "moving", "until": until})).json(200);
        assert_eq!((&paused["paused"], &paused["until"]), (&json!(true), &json!(until)));
    }
    let job = api.ask("GET /api/v1/jobs/{job}").at("daily").json(200);
    assert_eq!(
        (&job["state"], &job["paused"]["by"], &job["paused"]["reason"]),
        (&json!("paused"), &json!("api-token"), &json!("moving"))
    );
    api.ask("POST /api/v1/jobs/{job}/runs").at("daily").refused(409, "paused");
    let past = pause(json!({"until": "2001-01-01T00:00:00Z"})).refused(422, "invalid-request");
    assert_eq!(past["errors"][0]["pointer"], "/until");
    let resume = || api.ask("DELETE /api/v1/jobs/{job}/pause").at("daily").query("catch_up=false").json(200);
    assert_eq!(resume()["was_paused"], true);
    assert_eq!(resume()["was_paused"], false);
    api.ask("DELETE /api/v1/jobs/{job}/pause").at("daily").query("catch=1").refused(422, "invalid-request");
}

#[test]
fn all_jobs_are_paused_and_resumed_at_once() {
    let api = Api::new();
    let paused = api.ask("PUT /api/v1/pause").body(&json!({"reason": "moving"})).json(200);
    assert_eq!(paused["items"].as_array().unwrap().len(), 5);
    assert_eq!(api.ask("GET /api/v1/jobs").query("state=paused").json(200)["total"], 5);
    let resumed = api.ask("DELETE /api/v1/pause").json(200);
    assert!(resumed["items"].as_array().unwrap().iter().all(|job| job["was_paused"] == true), "{resumed}");
    api.ask("PUT /api/v1/pause").by_nobody().refused(401, "unauthorized");
}
