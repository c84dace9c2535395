//! The store away and back: what was last known is shown, nothing is changed, and all heals by itself.

use serde_json::json;

use crate::bench::Api;
use crate::served::until;
use crate::servers::Redis;

#[test]
fn the_store_away_is_survived_and_said() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let api = Api::on(&[("CRONCLAVE_REDIS_URL", &redis.url())]);
    let id = api.trigger("hello");
    api.run(&id, "succeeded");
    // What is last known is made anew every few seconds.
    until(
        || api.ask("GET /api/v1/runs").json(200)["items"][0]["state"] == "succeeded",
        || "the run is not in the list".into(),
    );
    std::thread::sleep(std::time::Duration::from_secs(6));
    redis.kill();
    let stale = |operation: &str| {
        let seen = api.ask(operation).json(200);
        assert!(seen["stale_since"].is_string(), "{operation}: {seen}");
        seen
    };
    until(
        || api.ask("GET /api/v1/cluster").json(200)["stale_since"].is_string(),
        || "it does not notice that its store is away".into(),
    );
    assert_eq!(stale("GET /api/v1/cluster")["store"]["up"], false);
    assert_eq!(stale("GET /api/v1/jobs")["items"].as_array().unwrap().len(), 5);
    assert_eq!(stale("GET /api/v1/runs")["items"][0]["id"], json!(id));
    stale("GET /api/v1/locks");
    stale("GET /api/v1/timeline");
    stale("GET /api/v1/webhooks");
    stale("GET /api/v1/audit");
    let job = api.ask("GET /api/v1/jobs/{job}").at("hello").json(200);
    assert_eq!((&job["last_run"]["id"], job["stale_since"].is_string()), (&json!(id), true));
    assert_eq!(api.ask("GET /api/v1/runs/{run}").at(&id).json(200)["state"], "succeeded");
    let answer = api.ask("POST /api/v1/jobs/{job}/runs").at("hello").send();
    assert_eq!((answer.status, answer.code().as_str()), (503, "store-unavailable"));
    assert!(answer.header("retry-after").is_some());
    api.ask("PUT /api/v1/jobs/{job}/pause").at("hello").refused(503, "store-unavailable");
    assert_eq!(api.served.get("/livez").status, 200);
    until(|| api.served.get("/readyz").status == 503, || "it says that it is ready".into());
    redis.start_again(&["--appendonly", "yes", "--appendfsync", "always"]);
    until(
        || !api.ask("GET /api/v1/cluster").json(200)["stale_since"].is_string(),
        || "it does not notice that its store is back".into(),
    );
    until(|| api.served.get("/readyz").status == 200, || "it is never ready again".into());
    until(
        || api.ask("POST /api/v1/jobs/{job}/runs").at("hello").send().status == 202,
        || "nothing can be triggered any more".into(),
    );
}
