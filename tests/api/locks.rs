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
