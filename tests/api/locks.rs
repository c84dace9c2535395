//! Locks.

use serde_json::json;

use crate::bench::Api;

#[test]
fn a_lock_is_released_under_its_own_fencing_token_only() {
    let api = Api::new();
    let id = api.trigger("slow");
    api.run(&id, "running");
    let list = api.ask("GET /api/v1/locks").json(200);
    assert_eq!((&list["items"][0]["key"], &list["items"][0]["run_id"]), (&json!("run:slow"), &json!(id)));
    let one = || api.ask("GET /api/v1/locks/{key}").at("run:slow");
    let answer = one().send();
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", answer.json()["items"][0]["fencing_token"]));
    assert_eq!(one().with("If-None-Match", &tag).send().status, 304);
    api.ask("GET /api/v1/locks/{key}").at("run:slwo").refused(404, "not-found");
    let release = || api.ask("DELETE /api/v1/locks/{key}").at("run:slow").body(&json!({"reason": "it is gone"}));
    release().refused(428, "precondition-required");
    release().with("If-Match", "*").refused(412, "precondition-failed");
    release().with("If-Match", "\"1\"").refused(412, "lock-moved");
    release().with("If-Match", &tag).by_nobody().refused(401, "unauthorized");
    api.ask("DELETE /api/v1/locks/{key}").at("run:slow").with("If-Match", &tag).refused(422, "invalid-request");
    let released = release().with("If-Match", &tag).json(200);
    assert_eq!((&released["released"], &released["run_id"]), (&json!(true), &json!(id)));
    api.run(&id, "lost");
    release().with("If-Match", &tag).refused(404, "not-found");
}

#[test]
fn a_fencing_token_counts_while_its_run_holds_its_lease() {
    let api = Api::new();
    let id = api.trigger("slow");
    let token = api.run(&id, "running")["fencing_token"].as_u64().unwrap();
    let ask = |token: &str| api.ask("GET /api/v1/jobs/{job}/fence").at("slow").query(&format!("token={token}"));
    let answer = ask(&token.to_string()).json(200);
    assert_eq!((&answer["may_act"], &answer["run_id"], &answer["newest"]), (&json!(true), &json!(id), &json!(token)));
    for other in [token - 1, token + 1] {
        assert_eq!(ask(&other.to_string()).json(200)["may_act"], false, "{other}");
    }
    ask("seven").refused(422, "invalid-request");
    api.ask("GET /api/v1/jobs/{job}/fence").at("slow").refused(422, "invalid-request");
    api.ask("GET /api/v1/jobs/{job}/fence").at("slwo").query("token=1").refused(404, "not-found");
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).json(202);
    api.run(&id, "cancelled");
    let answer = ask(&token.to_string()).json(200);
    assert_eq!((&answer["may_act"], &answer["run_id"]), (&json!(false), &json!(null)));
}
