//! The store away and back: what was last known is shown, nothing is changed, and all heals by itself.

use serde_json::{Value, json};

use crate::bench::{Api, operations};
use crate::served::until;
use crate::servers::Redis;

const KEPT: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// What is last known is made anew every few seconds.
fn let_it_be_known() {
    std::thread::sleep(std::time::Duration::from_secs(6));
}

fn goes_away(api: &Api, redis: &mut Redis) {
    redis.kill();
    until(
        || api.ask("GET /api/v1/cluster").json(200)["stale_since"].is_string(),
        || "it does not notice that its store is away".into(),
    );
}

fn comes_back(api: &Api, redis: &mut Redis) {
    redis.start_again(KEPT);
    until(
        || !api.ask("GET /api/v1/cluster").json(200)["stale_since"].is_string(),
        || "it does not notice that its store is back".into(),
    );
}

#[test]
fn the_store_away_is_survived_and_said() {
    let mut redis = Redis::with(KEPT);
    let api = Api::on(&[("CRONCLAVE_REDIS_URL", &redis.url()), ("CRONCLAVE_WEBHOOKS_ALLOW_PRIVATE", "1")]);
    // Nobody listens there: what is sent to it waits.
    let wish = json!({"url": "http://127.0.0.1:1/", "events": ["run.*"]});
    api.ask("PUT /api/v1/webhooks/{id}").at("deaf").body(&wish).json(201);
    let id = api.trigger("hello");
    let run = api.run(&id, "succeeded");
    let going = api.trigger("slow");
    api.run(&going, "running");
    until(
        || api.ask("GET /api/v1/runs").json(200)["items"][1]["state"] == "succeeded",
        || "the run is not in the list".into(),
    );
    let deliveries = || api.ask("GET /api/v1/webhooks/{id}/deliveries").at("deaf");
    until(|| deliveries().json(200)["items"][2].is_object(), || "nothing waits for the webhook".into());
    let why = || api.ask("GET /api/v1/jobs/{job}/why").at("hello");
    let instant = format!("at={}", run["scheduled_at"].as_str().unwrap());
    let told = why().query(&instant).json(200);
    let_it_be_known();
    goes_away(&api, &mut redis);
    for operation in operations(&api.document).iter().filter(|one| one.starts_with("GET ")) {
        let ask = api.ask(operation);
        let answer = match operation.as_str() {
            // A stream has no end.
            "GET /api/v1/events" => continue,
            // What was true when it was last heard of says nothing of now.
            "GET /api/v1/jobs/{job}/fence" => {
                ask.at("hello").query("token=1").refused(503, "store-unavailable");
                continue;
            }
            "GET /api/v1/runs/{run}" | "GET /api/v1/runs/{run}/logs" => ask.at(&id).send(),
            "GET /api/v1/locks/{key}" => ask.at("run:slow").send(),
            "GET /api/v1/jobs/{job}/why" => ask.at("hello").query(&instant).send(),
            path if path.contains("/webhooks/{id}") => ask.at("deaf").send(),
            path if path.contains("{job}") => ask.at("hello").send(),
            _ => ask.send(),
        };
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        match operation.as_str() {
            // These stand in no store.
            "GET /api/v1/config" | "GET /api/v1/whoami" => {}
            "GET /api/v1/runs/{run}/logs" => assert!(answer.header("cronclave-stale-since").is_some(), "{answer:?}"),
            _ => assert!(answer.json()["stale_since"].is_string(), "{operation}: {answer:?}"),
        }
    }
    assert_eq!(api.ask("GET /api/v1/cluster").json(200)["store"]["up"], false);
    assert_eq!(api.ask("GET /api/v1/jobs").json(200)["items"].as_array().unwrap().len(), 5);
    assert_eq!(api.ask("GET /api/v1/runs").json(200)["items"][1]["id"], json!(id));
    assert_eq!(api.ask("GET /api/v1/jobs/{job}").at("hello").json(200)["last_run"]["id"], json!(id));
    assert_eq!(api.ask("GET /api/v1/runs/{run}").at(&id).json(200)["state"], "succeeded");
    let log = |run: &str| api.ask("GET /api/v1/runs/{run}/logs").at(run).query("stream=stdout").send();
    assert_eq!((log(&id).body.as_str(), log(&id).header("cronclave-log-complete")), ("hello\n", Some("true")));
    assert_eq!((log("slow").body.as_str(), log("slow").header("cronclave-log-complete")), ("begun\n", Some("false")));
    let waiting = deliveries().query("state=waiting&limit=2").json(200);
    assert_eq!((waiting["items"].as_array().unwrap().len(), waiting["next_cursor"].is_string()), (2, true));
    assert_eq!(deliveries().query("state=failed").json(200)["items"], json!([]));
    let now = why().query(&instant).json(200);
    assert_eq!((&now["answer"], &now["facts"]), (&told["answer"], &told["facts"]));
    // What is not known may be there all the same.
    api.ask("GET /api/v1/runs/{run}").at("0123456789").refused(503, "store-unavailable");
    api.ask("GET /api/v1/runs/{run}/logs").at("0123456789").refused(503, "store-unavailable");
    api.ask("GET /api/v1/webhooks/{id}").at("nobody").refused(503, "store-unavailable");
    api.ask("GET /api/v1/jobs/{job}").at("nothing").refused(404, "not-found");
    let answer = api.ask("POST /api/v1/jobs/{job}/runs").at("hello").send();
    assert_eq!((answer.status, answer.code().as_str()), (503, "store-unavailable"));
    assert!(answer.header("retry-after").is_some());
    api.ask("PUT /api/v1/jobs/{job}/pause").at("hello").refused(503, "store-unavailable");
    api.ask("POST /api/v1/runs/{run}/cancel").at("0123456789").refused(503, "store-unavailable");
    // A worker that is refused with 409 stops; this one is to ask again.
    let hold = json!({"fencing_token": 1, "token": "mine"});
    api.ask("POST /api/v1/runs/{run}/renew").at(&going).body(&hold).refused(503, "store-unavailable");
    assert_eq!(api.served.get("/livez").status, 200);
    until(|| api.served.get("/readyz").status == 503, || "it says that it is ready".into());
    comes_back(&api, &mut redis);
    until(|| api.served.get("/readyz").status == 200, || "it is never ready again".into());
    until(
        || api.ask("POST /api/v1/jobs/{job}/runs").at("hello").send().status == 202,
        || "nothing can be triggered any more".into(),
    );
    api.ask("GET /api/v1/runs/{run}").at("0123456789").refused(404, "not-found");
}

#[test]
fn whoever_follows_a_log_is_told_that_the_store_is_away_and_goes_on_when_it_is_back() {
    let mut redis = Redis::with(KEPT);
    let api = Api::on(&[("CRONCLAVE_REDIS_URL", &redis.url())]);
    let id = api.trigger("slow");
    api.run(&id, "running");
    let mut events = api.ask("GET /api/v1/runs/{run}/logs").at(&id).follow();
    assert_eq!(events.find("output")["text"], "begun\n");
    redis.kill();
    let since = events.find("heartbeat")["stale_since"].clone();
    assert!(since.is_string(), "{since}");
    redis.start_again(KEPT);
    assert_eq!(events.find("heartbeat")["stale_since"], Value::Null);
    // Its lease may have ended meanwhile; if not, somebody ends it.
    std::thread::scope(|scope| {
        let following = scope.spawn(|| events.find("end"));
        until(
            || {
                api.ask("POST /api/v1/runs/{run}/cancel").at(&id).send();
                following.is_finished()
            },
            || "its end was not told".into(),
        );
        assert_eq!(following.join().unwrap()["id"], json!(id));
    });
}
