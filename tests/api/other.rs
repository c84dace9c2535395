//! The cluster as a whole, and who asks.

use serde_json::json;

use crate::bench::Api;
use crate::served::TOKEN;

#[test]
fn the_cluster_is_shown_as_status_prints_it() {
    let api = Api::new();
    let seen = api.ask("GET /api/v1/cluster").json(200);
    assert_eq!((&seen["cluster"], &seen["store"]["up"]), (&json!("default"), &json!(true)));
    assert_eq!((&seen["replicas"][0]["live"], &seen["problems"]), (&json!(true), &json!([])));
    api.ask("GET /api/v1/cluster").by_nobody().refused(401, "unauthorized");
}

#[test]
fn a_span_of_time_is_counted_in_buckets() {
    let api = Api::new();
    let id = api.trigger("hello");
    api.run(&id, "succeeded");
    let now = api.ask("GET /api/v1/timeline").json(200);
    let hello = now["jobs"].as_array().unwrap().iter().find(|lane| lane["job"] == "hello").unwrap();
    assert_eq!(hello["cells"][0]["succeeded"], 1, "{now}");
    let later = api.ask("GET /api/v1/timeline").query("from=2099-01-01T00:00:00Z&until=2099-01-11T00:00:00Z").json(200);
    let daily = later["jobs"].as_array().unwrap().iter().find(|lane| lane["job"] == "daily").unwrap();
    let planned: u64 = daily["cells"].as_array().unwrap().iter().map(|cell| cell["planned"].as_u64().unwrap()).sum();
    assert_eq!((planned, &later["truncated"]), (10, &json!(false)));
    api.ask("GET /api/v1/timeline")
        .query("from=2099-01-01T00:00:00Z&until=2098-01-01T00:00:00Z")
        .refused(422, "invalid-request");
}

#[test]
fn changes_are_listed_with_who_made_them() {
    let api = Api::new();
    let body = json!({"reason": "moving"});
    api.ask("PUT /api/v1/jobs/{job}/pause").at("hello").body(&body).json(200);
    api.ask("DELETE /api/v1/jobs/{job}/pause").at("hello").json(200);
    let first = api.ask("GET /api/v1/audit").query("limit=1").json(200);
    assert_eq!((&first["items"][0]["method"], &first["items"][0]["who"]), (&json!("DELETE"), &json!("api-token")));
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = api.ask("GET /api/v1/audit").query(&format!("cursor={cursor}")).json(200);
    assert_eq!((&next["items"][0]["method"], &next["items"][0]["reason"]), (&json!("PUT"), &json!("moving")));
    api.ask("GET /api/v1/audit").by_nobody().refused(401, "unauthorized");
}

#[test]
fn who_asks_is_told_and_a_browser_signs_in_and_out() {
    let api = Api::new();
    let me = api.ask("GET /api/v1/whoami").json(200);
    assert_eq!((&me["name"], &me["role"]), (&json!("api-token"), &json!("admin")), "{me}");
    let signed = api.ask("POST /api/v1/session").by_nobody().body(&json!({"token": TOKEN})).send();
    assert!(signed.status < 300, "{signed:?}");
    let cookie = signed.cookie();
    assert_eq!(api.ask("GET /api/v1/whoami").by_nobody().with("Cookie", &cookie).json(200)["role"], "admin");
    let out = api.ask("DELETE /api/v1/session").by_nobody().with("Cookie", &cookie).send();
    assert!(out.status < 300, "{out:?}");
    api.ask("POST /api/v1/session")
        .by_nobody()
        .body(&json!({"token": "wrong-horse-battery-staple"}))
        .refused(401, "unauthorized");
}

#[test]
fn the_documents_of_the_api_and_of_schedule_files_are_served() {
    let api = Api::new();
    let document = api.served.get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let schema = api.served.get("/schema/cronclave-1.json").json();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let nothing = api.served.get_as(TOKEN, "/api/v1/nothing");
    assert_eq!((nothing.status, nothing.code().as_str()), (404, "not-found"));
    let wrong = api.served.ask("PATCH", "/api/v1/jobs", &[("Authorization", &format!("Bearer {TOKEN}"))], "");
    assert_eq!((wrong.status, wrong.code().as_str()), (405, "method-not-allowed"));
}
