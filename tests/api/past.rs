//! Occurrences that are over.

use serde_json::json;

use crate::bench::Api;

#[test]
fn one_occurrence_is_explained_in_words() {
    let api = Api::new();
    let ask = || api.ask("GET /api/v1/jobs/{job}/why").at("daily");
    let why = ask().query("at=2020-01-02T01:30:00Z").json(200);
    assert_eq!((&why["job"], &why["at"]), (&json!("daily"), &json!("2020-01-02T01:30:00Z")));
    assert!(!why["answer"].as_str().unwrap().is_empty(), "{why}");
    for (query, code) in [("at=yesterday", "not_a_time"), ("", "missing_field")] {
        let wrong = ask().query(query).refused(422, "invalid-request");
        assert_eq!((&wrong["errors"][0]["pointer"], &wrong["errors"][0]["code"]), (&json!("?at"), &json!(code)));
    }
    api.ask("GET /api/v1/jobs/{job}/why").at("nobody").query("at=2020-01-02T01:30:00Z").refused(404, "not-found");
}

#[test]
fn a_span_is_listed_before_it_is_backfilled_and_its_occurrences_run_once() {
    let api = Api::new();
    let ask = || api.ask("POST /api/v1/jobs/{job}/backfill").at("daily");
    let mut body = json!({"from": "2020-01-01T00:00:00Z", "until": "2020-01-03T00:00:00Z", "dry_run": true});
    let plan = ask().body(&body).json(200);
    assert_eq!((&plan["asked"], plan["items"].as_array().unwrap().len()), (&json!(false), 2), "{plan}");
    body["dry_run"] = json!(false);
    let done = ask().body(&body).json(202);
    assert_eq!(done["asked"], true, "{done}");
    for item in done["items"].as_array().unwrap().iter().filter(|item| item["runs"] == true) {
        let run = api.run(item["run_id"].as_str().unwrap(), "succeeded");
        assert_eq!((&run["scheduled_at"], &run["trigger"]["kind"]), (&item["at"], &json!("backfill")));
    }
    let again = ask().body(&body).json(202);
    assert!(again["items"].as_array().unwrap().iter().all(|item| item["runs"] == false), "{again}");
    body["until"] = json!("2019-01-01T00:00:00Z");
    assert_eq!(ask().body(&body).refused(422, "invalid-request")["errors"][0]["pointer"], "/until");
    ask().body(&body).by_nobody().refused(401, "unauthorized");
}
