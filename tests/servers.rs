//! The servers and the proxy that other tests lean on do what they are trusted to do.
#![allow(clippy::unwrap_used)]

#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/servers.rs"]
mod servers;

use std::time::{Duration, Instant};

use proxy::{Fault, Proxy};
use redis::Connection;
use servers::{Cluster, Redis, Sentinels};

fn connect(url: &str) -> redis::RedisResult<Connection> {
    let connection = redis::Client::open(url)?.get_connection_with_timeout(Duration::from_millis(1500))?;
    connection.set_read_timeout(Some(Duration::from_millis(1500)))?;
    Ok(connection)
}

fn count(connection: &mut Connection) -> redis::RedisResult<i64> {
    redis::cmd("INCR").arg("n").query(connection)
}

fn counted(redis: &Redis) -> i64 {
    redis.ask::<Option<i64>>(&["GET", "n"]).unwrap_or(0)
}

#[test]
fn a_server_killed_and_started_again_has_its_port_and_what_it_was_told_to_keep() {
    let keeps = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = Redis::with(&keeps);
    let _: i64 = redis.ask(&["INCR", "n"]);
    redis.kill();
    assert!(connect(&redis.url()).is_err());
    redis.start_again(&keeps);
    assert_eq!(counted(&redis), 1);
}

#[test]
fn many_servers_at_once_get_a_port_each() {
    let starting: Vec<_> = (0..8).map(|_| std::thread::spawn(Redis::plain)).collect();
    let servers: Vec<Redis> = starting.into_iter().map(|thread| thread.join().unwrap()).collect();
    for redis in &servers {
        let info: String = redis.ask(&["INFO", "server"]);
        assert!(info.contains(&format!("process_id:{}\r", redis.pid())), "another server answers: {info}");
    }
}

#[test]
fn a_cluster_sends_each_key_to_the_master_that_has_its_slot() {
    let cluster = Cluster::start();
    let answers = cluster.masters.iter().filter(|master| {
        let mut connection = connect(&master.url()).unwrap();
        count(&mut connection).is_ok()
    });
    assert_eq!(answers.count(), 1, "the others say where it has moved");
}

#[test]
fn sentinels_make_the_replica_the_master_when_that_dies() {
    let mut sentinels = Sentinels::start();
    let first = sentinels.master_port();
    assert_eq!(first, sentinels.servers[0].port);
    sentinels.master().kill();
    let began = Instant::now();
    while sentinels.master_port() == first {
        assert!(began.elapsed() < Duration::from_secs(30), "no failover");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(sentinels.master_port(), sentinels.servers[1].port);
}

#[test]
fn a_proxy_passes_everything_on_until_it_is_gone() {
    let redis = Redis::plain();
    let proxy = Proxy::before(redis.port, 1);
    let mut connection = connect(&proxy.url()).unwrap();
    let long = "x".repeat(1 << 20);
    let () = redis::cmd("SET").arg("long").arg(&long).query(&mut connection).unwrap();
    let back: String = redis::cmd("GET").arg("long").query(&mut connection).unwrap();
    assert_eq!(back, long);
    let url = proxy.url();
    drop(proxy);
    assert!(count(&mut connection).is_err());
    assert!(connect(&url).is_err());
}

#[test]
fn a_cut_closes_connections_at_once_and_new_ones_are_welcome() {
    let redis = Redis::plain();
    let proxy = Proxy::before(redis.port, 1);
    let mut connection = connect(&proxy.url()).unwrap();
    assert_eq!(count(&mut connection).unwrap(), 1);
    proxy.cut();
    assert!(!count(&mut connection).unwrap_err().is_timeout());
    assert_eq!((proxy.closed(), count(&mut connect(&proxy.url()).unwrap()).unwrap()), (1, 2));
}

#[test]
fn what_is_swallowed_is_never_heard_of_again() {
    let redis = Redis::plain();
    let proxy = Proxy::before(redis.port, 1);
    let mut connection = connect(&proxy.url()).unwrap();
    proxy.fault(Fault::Swallow);
    assert!(count(&mut connection).unwrap_err().is_timeout(), "it hangs, and is not closed");
    assert!(connect(&proxy.url()).is_err_and(|error| error.is_timeout()), "so does a new one");
    proxy.heal();
    assert!(count(&mut connection).is_err(), "it hangs for good");
    assert_eq!(count(&mut connect(&proxy.url()).unwrap()).unwrap(), 1, "nothing of it has arrived");
}

#[test]
fn what_is_held_arrives_late() {
    let redis = Redis::plain();
    let proxy = Proxy::before(redis.port, 1);
    let mut connection = connect(&proxy.url()).unwrap();
    proxy.fault(Fault::Hold);
    assert!(count(&mut connection).unwrap_err().is_timeout());
    assert_eq!(counted(&redis), 0);
    proxy.heal();
    let began = Instant::now();
    while counted(&redis) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "it has not arrived");
    }
}

#[test]
fn a_delay_holds_up_both_ways_and_not_those_behind() {
    let redis = Redis::plain();
    let proxy = Proxy::before(redis.port, 1);
    let mut connection = connect(&proxy.url()).unwrap();
    proxy.fault(Fault::Delay(Duration::from_millis(300)));
    let began = Instant::now();
    assert_eq!(count(&mut connection).unwrap(), 1);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(600) && took < Duration::from_millis(900), "{took:?}");
    proxy.heal();
    assert_eq!(count(&mut connection).unwrap(), 2);
}

#[test]
fn a_request_without_an_answer_was_carried_out() {
    let redis = Redis::plain();
    let proxy = Proxy::before(redis.port, 1);
    let mut connection = connect(&proxy.url()).unwrap();
    proxy.leave_unanswered(1);
    assert!(count(&mut connection).unwrap_err().is_connection_dropped());
    assert_eq!((counted(&redis), proxy.closed()), (1, 1));
    assert_eq!(count(&mut connect(&proxy.url()).unwrap()).unwrap(), 2);
    proxy.fault(Fault::Unanswered(0.5));
    let mut answered = 0;
    for _ in 0..100 {
        answered += i32::from(connect(&proxy.url()).and_then(|mut connection| count(&mut connection)).is_ok());
    }
    assert!((20..80).contains(&answered), "{answered} of 100 were answered");
}
