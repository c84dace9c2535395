//! Several servers: all our keys are on one of them, and the store finds it.

use std::time::{Duration, Instant};

use cronclave::store::redis::{Address, Redis as Store, Time};
use cronclave::store::{Replica, Store as _};

use super::odd;
use super::servers::Redis;

fn store(url: &str) -> Store {
    Store::open(url.parse::<Address>().unwrap(), "default", Time::Server)
}

fn replica(name: &str) -> Replica {
    let at = cronclave::clock::Timestamp::EPOCH;
    Replica {
        boot_id: name.into(),
        name: name.into(),
        version: "0".into(),
        pid: 1,
        started_at: at,
        last_seen_at: at,
        ..Replica::default()
    }
}

async fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = store.replicas().await.unwrap().into_iter().map(|one| one.name).collect();
    names.sort();
    names
}

fn slot(nodes: &[Redis]) -> String {
    odd::cli(nodes[0].port, &["CLUSTER", "KEYSLOT", "{cronclave:default}:meta"])
}

#[tokio::test(flavor = "multi_thread")]
async fn any_server_of_a_cluster_leads_to_the_one_with_our_keys() {
    let nodes = odd::cluster();
    for (index, node) in nodes.iter().enumerate() {
        store(&node.url()).beat(&replica(&format!("web.{index}"))).await.unwrap();
    }
    for node in &nodes {
        assert_eq!(names(&store(&node.url())).await, ["web.0", "web.1", "web.2"]);
    }
    let why = store(&format!("{}/1", nodes[0].url())).check().await.unwrap_err().message;
    assert!(why.contains("a cluster has database 0 only"), "{why}");
    // Moved under its hands, and with nothing known but what the server says.
    let held = store(&nodes[0].url());
    held.check().await.unwrap();
    let (slot, from) = (slot(&nodes), odd::owner(&nodes, &slot(&nodes)));
    let to = (from + 1) % 3;
    odd::move_slot(&nodes, &slot, from, to);
    let began = Instant::now();
    held.beat(&replica("web.3")).await.unwrap();
    println!("followed after {:?}", began.elapsed());
    assert_eq!(names(&held).await, ["web.0", "web.1", "web.2", "web.3"]);
    assert_eq!(odd::owner(&nodes, &slot), to);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_about_the_cluster_is_led_by_its_servers() {
    let nodes = odd::cluster();
    for node in &nodes {
        let user = ["ACL", "SETUSER", "ana", "on", ">sesame", "~*", "&*", "+@all", "-@dangerous", "-info"];
        assert_eq!(odd::cli(node.port, &user), "OK");
    }
    for node in &nodes {
        let store = store(&format!("redis://ana:sesame@127.0.0.1:{}", node.port));
        store.beat(&replica("web.1")).await.unwrap();
        assert_eq!(names(&store).await, ["web.1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_found_when_the_server_in_the_url_is_gone() {
    let mut nodes = odd::cluster();
    let ours = odd::owner(&nodes, &slot(&nodes));
    let other = (ours + 1) % 3;
    // Without a part of its slots it would stop as a whole.
    for node in &nodes {
        assert_eq!(odd::cli(node.port, &["CONFIG", "SET", "cluster-require-full-coverage", "no"]), "OK");
    }
    let store = store(&nodes[other].url());
    store.beat(&replica("web.1")).await.unwrap();
    nodes[other].kill();
    odd::cli(nodes[ours].port, &["CLIENT", "KILL", "TYPE", "normal"]);
    odd::cli(nodes[ours].port, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    let began = Instant::now();
    while let Err(error) = store.check().await {
        println!("{error}");
        assert!(began.elapsed() < Duration::from_secs(30), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(names(&store).await, ["web.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_our_server_says_so_and_comes_back() {
    let mut nodes = odd::cluster();
    let ours = odd::owner(&nodes, &slot(&nodes));
    let store = store(&nodes[(ours + 1) % 3].url());
    store.check().await.unwrap();
    nodes[ours].kill();
    let began = Instant::now();
    let why = loop {
        match store.beat(&replica("web.1")).await {
            Ok(_) => assert!(began.elapsed() < Duration::from_secs(30), "it goes on without its server"),
            Err(error) if error.message.contains("nothing listens") => break error.message,
            Err(error) => println!("{error}"),
        }
    };
    assert!(why.contains("named by"), "{why}");
    nodes[ours].start_again(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"]);
    let began = Instant::now();
    while store.beat(&replica("web.1")).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("back after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_that_change_places_the_one_that_takes_writes_is_found() {
    let [one, other] = [Redis::plain(), Redis::plain()];
    let place = |redis: &Redis| redis.port.to_string();
    let follows = |redis: &Redis, of: &Redis| {
        assert_eq!(odd::cli(redis.port, &["REPLICAOF", "127.0.0.1", &place(of)]), "OK");
        let began = Instant::now();
        while !odd::cli(redis.port, &["ROLE"]).contains("connected") {
            assert!(began.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    follows(&other, &one);
    let store = store(&format!("redis://127.0.0.1:{},127.0.0.1:{}", one.port, other.port));
    store.beat(&replica("web.1")).await.unwrap();
    // A server that changes its place at once takes with it what the other has not been told yet.
    let keys = |redis: &Redis| odd::cli(redis.port, &["DBSIZE"]);
    let began = Instant::now();
    while keys(&other) != keys(&one) {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(odd::cli(other.port, &["REPLICAOF", "NO", "ONE"]), "OK");
    follows(&one, &other);
    // The connection is as good as ever, only its server takes no writes any more.
    let began = Instant::now();
    store.beat(&replica("web.2")).await.unwrap();
    println!("followed after {:?}", began.elapsed());
    assert_eq!(names(&store).await, ["web.1", "web.2"]);
    assert!(odd::cli(other.port, &["ROLE"]).starts_with("master"));
}
