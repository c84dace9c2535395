//! `cronclave verify` over real clusters, in a file and on Redis: silent where all holds, and naming what somebody
//! tampered with.

use cronclave::ledger::{Entry, State, What};
use serde_json::Value;

use super::cluster::{Cluster, Found, on_each_store, until};

const JOBS: &str = "[jobs.tick]\nevery = \"1s\"\ncommand = 'true'\n[jobs.tock]\nevery = \"1s\"\ncommand = 'true'\nkeep = { runs = 3 }\n";

/// What the command says, and its exit status.
fn verify(cluster: &Cluster, args: &[&str]) -> (i32, Value) {
    let said = cluster.cronclave(&[&["verify", "--json"], args].concat()).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&said.stderr)));
    (said.status.code().unwrap(), value)
}

#[track_caller]
fn holds(cluster: &Cluster, args: &[&str]) -> Value {
    let (code, report) = verify(cluster, args);
    assert_eq!((code, &report["findings"]), (0, &serde_json::json!([])), "{report:#}");
    assert_eq!(report["holds"], true);
    report
}

/// The findings of one invariant; there is one, and the exit status says so.
#[track_caller]
fn found(cluster: &Cluster, invariant: &str) -> Vec<Value> {
    let (code, report) = verify(cluster, &[]);
    let of = |one: &&Value| one["invariant"] == invariant;
    let found: Vec<Value> = report["findings"].as_array().unwrap().iter().filter(of).cloned().collect();
    assert_eq!((code, found.is_empty()), (1, false), "{invariant} in {report:#}");
    found
}

/// After some runs, at rest.
fn at_rest(make: Found) -> Cluster {
    let mut cluster = make(JOBS);
    cluster.serve(0);
    cluster.serve(1);
    until("some runs are over", || cluster.counts("tick").get("succeeded").is_some_and(|count| *count >= 4));
    cluster.stop();
    cluster
}

/// A run of `tick` that has others before and after it.
fn middle(cluster: &Cluster) -> Entry {
    cluster.history("tick").into_iter().filter(|line| line.state == State::Succeeded).nth(1).unwrap()
}

fn sqlite(cluster: &Cluster, sql: &str) {
    let db = rusqlite::Connection::open(cluster.path("cronclave.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let changed = db.execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

fn key(name: &str) -> String {
    format!("{{cronclave:default}}:{name}")
}

on_each_store! {
    a_cluster_that_goes_on_gives_no_false_findings
    an_entry_that_is_taken_away_is_named
    a_start_that_is_told_twice_is_named
    a_cursor_that_is_set_back_is_named
    what_is_exported_is_judged_alike_elsewhere
}

fn a_cluster_that_goes_on_gives_no_false_findings(make: Found) {
    let mut cluster = make(JOBS);
    cluster.serve(0);
    cluster.serve(1);
    until("there are runs", || cluster.counts("tick").contains_key("succeeded"));
    let mut most = 0;
    for _ in 0..6 {
        let report = holds(&cluster, &[]);
        most = report["counts"]["occurrences"].as_u64().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    assert!(most > 2, "{most}");
    cluster.kill(0);
    holds(&cluster, &["--since", "1h"]);
    cluster.stop();
    let report = holds(&cluster, &["--job", "tick"]);
    assert_eq!(report["jobs"].as_array().unwrap().len(), 1);
    let said = cluster.cronclave(&["verify"]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("of 2 jobs: 0 double starts, 0 silent misses, "), "{text}");
    assert!(text.contains("all explained"), "{text}");
}

fn an_entry_that_is_taken_away_is_named(make: Found) {
    let mut cluster = at_rest(make);
    let line = middle(&cluster);
    if cluster.redis.is_some() {
        let run: cronclave::lease::RunId = line.id.parse().unwrap();
        // The server's own client would not take bytes that are no text.
        let script =
            "local id = '' for pair in string.gmatch(ARGV[1], '..') do id = id .. string.char(tonumber(pair, 16)) end
            for _, member in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
              if string.sub(member, -16) == id then redis.call('ZREM', KEYS[3], member) end
            end
            redis.call('ZREM', KEYS[2], id)
            return redis.call('HDEL', KEYS[1], id)";
        let hex: String = run.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let names = ["entries", "entries-by-time", "entries-by-job"].map(key);
        let redis = cluster.redis();
        let gone: i64 = redis.ask(&["EVAL", script, "3", &names[0], &names[1], &names[2], &hex]);
        assert_eq!(gone, 1);
    } else {
        sqlite(&cluster, &format!("DELETE FROM entries WHERE id = '{}'", line.id));
    }
    let found = found(&cluster, "history_keeps_what_happened");
    assert_eq!((&found[0]["job"], &found[0]["run_id"]), (&"tick".into(), &line.id.as_str().into()));
    let said = cluster.cronclave(&["verify"]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(text.contains(&format!("tick@{}", line.scheduled_at)) && text.contains("What to do:"), "{text}");
}

fn a_start_that_is_told_twice_is_named(make: Found) {
    let mut cluster = at_rest(make);
    let line = middle(&cluster);
    let events = cluster.events();
    let started = |what: &What| matches!(what, What::Started { run_id, .. } if run_id.to_string() == line.id);
    let (position, _) = events.iter().find(|(_, event)| started(&event.what)).unwrap();
    if cluster.redis.is_some() {
        let head = events.last().unwrap().0;
        // The call that holds it, once more, with positions of its own.
        let script = "local call = redis.call('XRANGE', KEYS[1], ARGV[1] .. '-0', '+', 'COUNT', 1)[1]
            local count = tonumber(call[2][2])
            return redis.call('XADD', KEYS[1], (tonumber(ARGV[2]) + count) .. '-0', unpack(call[2]))";
        let (position, head) = (position.to_string(), head.to_string());
        let _: String = cluster.redis().ask(&["EVAL", script, "1", &key("feed"), &position, &head]);
    } else {
        let at = events.last().unwrap().1.at;
        sqlite(
            &cluster,
            &format!(
                "INSERT INTO events (at, job, body) SELECT at, job, json_set(body, '$.at', '{at}') FROM events WHERE position = {position}"
            ),
        );
    }
    let found = found(&cluster, "starts_once");
    assert_eq!((&found[0]["job"], &found[0]["run_id"]), (&"tick".into(), &line.id.as_str().into()));
}

fn a_cursor_that_is_set_back_is_named(make: Found) {
    let mut cluster = at_rest(make);
    let line = middle(&cluster);
    if cluster.redis.is_some() {
        // A record as it was while the others had gone on: that of the job that stands still at its first sight.
        let script = "local record = cmsgpack.unpack(redis.call('HGET', KEYS[1], 'tick'))
            record[1] = tonumber(ARGV[1])
            return redis.call('HSET', KEYS[1], 'tick', cmsgpack.pack(record))";
        let at = line.scheduled_at.as_micros().to_string();
        let _: i64 = cluster.redis().ask(&["EVAL", script, "1", &key("records"), &at]);
    } else {
        let set = format!("json_set(body, '$.cursor', '{}')", line.scheduled_at);
        sqlite(&cluster, &format!("UPDATE jobs SET body = {set} WHERE name = 'tick'"));
    }
    let found = found(&cluster, "cursor_moves_on");
    assert_eq!(found[0]["job"], "tick");
    assert!(found[0]["detail"].as_str().unwrap().contains(&line.scheduled_at.to_string()), "{found:?}");
}

fn what_is_exported_is_judged_alike_elsewhere(make: Found) {
    let cluster = at_rest(make);
    let report = holds(&cluster, &["--export", "evidence.jsonl"]);
    let elsewhere = Cluster::beside_others("");
    std::fs::copy(cluster.path("evidence.jsonl"), elsewhere.path("evidence.jsonl")).unwrap();
    assert_eq!(holds(&elsewhere, &["evidence.jsonl"]), report);
    assert_eq!(holds(&elsewhere, &["evidence.jsonl", "--job", "tock"])["jobs"].as_array().unwrap().len(), 1);
    let said = |args: &[&str]| {
        let said = elsewhere.cronclave(&[&["verify"], args].concat()).output().unwrap();
        (said.status.code().unwrap(), String::from_utf8(said.stderr).unwrap())
    };
    let (code, why) = said(&["evidence.jsonl", "--job", "nobody"]);
    assert_eq!((code, why.contains("no job `nobody`")), (66, true), "{why}");
    let text = std::fs::read_to_string(elsewhere.path("evidence.jsonl")).unwrap();
    std::fs::write(elsewhere.path("cut.jsonl"), &text[..text.len() / 2]).unwrap();
    let (code, why) = said(&["cut.jsonl"]);
    assert_eq!((code, why.contains("cut.jsonl: line ") && why.contains("cut off")), (66, true), "{why}");
    let (code, why) = said(&["nowhere.jsonl"]);
    assert_eq!((code, why.contains("nowhere.jsonl: cannot be read")), (66, true), "{why}");
    let (code, why) = said(&["evidence.jsonl", "--since", "1h", "--until", "2h"]);
    assert_eq!((code, why.contains("nothing lies between")), (2, true), "{why}");
    let again = cluster.cronclave(&["verify", "--export", "evidence.jsonl"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stderr).unwrap().contains("it is there already"));
}
