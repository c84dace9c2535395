//! The API, route by route: what is promised of each, asked of a real replica. Every answer must be one that the
//! OpenAPI document tells of, and every route of that document must be asked for here.
#![allow(clippy::unwrap_used)]

#[path = "api/bench.rs"]
mod bench;
#[path = "api/config.rs"]
mod config;
#[path = "api/jobs.rs"]
mod jobs;
#[path = "api/locks.rs"]
mod locks;
#[path = "api/logs.rs"]
mod logs;
#[path = "api/other.rs"]
mod other;
#[path = "api/past.rs"]
mod past;
#[path = "api/redis.rs"]
mod redis;
#[path = "api/runs.rs"]
mod runs;
#[path = "common/served.rs"]
mod served;
#[path = "common/servers.rs"]
mod servers;
#[path = "api/webhooks.rs"]
mod webhooks;
#[path = "api/workers.rs"]
mod workers;

use bench::operations;

/// Everything that is asked here.
const ASKED: &[&str] = &[
    include_str!("api/config.rs"),
    include_str!("api/jobs.rs"),
    include_str!("api/locks.rs"),
    include_str!("api/logs.rs"),
    include_str!("api/other.rs"),
    include_str!("api/past.rs"),
    include_str!("api/redis.rs"),
    include_str!("api/runs.rs"),
    include_str!("api/webhooks.rs"),
    include_str!("api/workers.rs"),
];

#[test]
fn every_route_of_the_document_is_asked_for_by_a_test() {
    let all = operations(&serde_json::to_value(cronclave::http::document()).unwrap());
    assert!(all.len() >= 30, "{all:#?}");
    let is_asked = |operation: &String| ASKED.iter().any(|text| text.contains(&format!("\"{operation}\"")));
    let missing: Vec<&String> = all.iter().filter(|one| !is_asked(one)).collect();
    assert!(missing.is_empty(), "no contract test asks for {missing:#?}");
}

#[test]
fn every_route_has_a_name_of_its_own_for_programs_that_are_made_from_the_document() {
    let document = serde_json::to_value(cronclave::http::document()).unwrap();
    let items = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<&str> = items.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let is_word = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    assert!(names.iter().all(|name| !name.is_empty() && is_word(name)), "{names:?}");
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!((names.len(), names.contains(&"look_at_job")), (all, true), "{names:?}");
}
