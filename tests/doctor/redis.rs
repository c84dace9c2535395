//! What may be wrong with a Redis.

use crate::bench::Place;
use crate::odd::{Tls, cli, impostor};
use crate::servers::{Redis, free_port};
use crate::{Found, sound};

fn doctor(url: &str) -> Found {
    Found::of(&sound(), &[("REDIS_URL", url)], &[])
}

/// Settings of a server of which there is nothing to say.
const SOUND: [&str; 2] = ["--appendonly", "yes"];

#[test]
fn of_a_sound_server_nothing_is_said() {
    let redis = Redis::with(&SOUND);
    let found = doctor(&redis.url());
    found.tells("redis.connection", "good", &["redis://127.0.0.1", "Redis ", "ms"]);
    found.tells("redis.permissions", "good", &["scripts"]).tells("redis.persistence", "good", &["appendonly"]);
    found.tells("clock.store", "good", &["this machine is"]).and_no_more(&[]);
    assert_eq!(found.code, 0);
    // Nothing was left there.
    assert_eq!(cli(redis.port, &["KEYS", "*doctor*"]), "");
}

#[test]
fn a_server_that_may_throw_away_locks_is_found_and_mended_if_asked() {
    let redis = Redis::with(&[&SOUND[..], &["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"]].concat());
    let found = doctor(&redis.url());
    found.tells("redis.eviction", "problem", &["allkeys-lru", "config set maxmemory-policy noeviction"]);
    found.and_no_more(&["redis.eviction"]);
    assert_eq!(cli(redis.port, &["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nallkeys-lru");
    let place = sound();
    let found = Found::of(&place, &[("REDIS_URL", &redis.url())], &["--fix"]);
    // This one was started without a file to write it into.
    found.tells("redis.eviction", "mended", &["noeviction now"]);
    found.tells("redis.eviction", "warning", &["after its next start", "redis.conf"]).and_no_more(&["redis.eviction"]);
    assert_eq!(cli(redis.port, &["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nnoeviction");
    doctor(&redis.url()).and_no_more(&[]);
}

#[test]
fn a_closed_port_a_wrong_password_and_an_unknown_name_are_told_apart() {
    let redis = Redis::with(&[&SOUND[..], &["--requirepass", "right"]].concat());
    let (port, closed) = (redis.port, free_port());
    for (url, words) in [
        (format!("redis://127.0.0.1:{closed}"), &["nothing listens there"][..]),
        (format!("redis://127.0.0.1:{port}"), &["wants a password", "redis://:PASSWORD@HOST"]),
        (format!("redis://:wrong@127.0.0.1:{port}"), &["password in the URL is wrong"]),
        ("redis://no-such-host.invalid:6379".into(), &["no-such-host.invalid", "name"]),
        (format!("redis://127.0.0.1:{}", impostor(None)), &["does not answer"]),
    ] {
        let found = doctor(&url);
        found.tells("redis.connection", "problem", words).and_no_more(&["redis.connection"]);
        assert!(!found.report.to_string().contains("wrong@"), "a password is shown");
    }
}

#[test]
fn tls_on_one_side_only_and_an_authority_that_is_not_trusted_are_told() {
    let tls = Tls::start(&SOUND);
    let plain = tls.redis.port;
    for (url, words) in [
        (format!("redis://localhost:{}", tls.port), &["did you mean rediss://?"][..]),
        (format!("rediss://localhost:{plain}"), &["redis://"]),
        (format!("rediss://localhost:{}", tls.port), &["CRONCLAVE_REDIS_CA_FILE"]),
    ] {
        doctor(&url).tells("redis.connection", "problem", words);
    }
    let ca = tls.ca.to_str().unwrap();
    let url = format!("rediss://localhost:{}", tls.port);
    let found = Found::of(&sound(), &[("REDIS_URL", &url), ("CRONCLAVE_REDIS_CA_FILE", ca)], &[]);
    found.tells("redis.connection", "good", &["rediss://"]).and_no_more(&[]);
}

#[test]
fn what_a_user_may_not_do_is_told_with_the_line_that_allows_it() {
    let redis = Redis::with(&SOUND);
    let may = |rules: &[&str]| {
        cli(redis.port, &[&["ACL", "SETUSER", "cron", "reset", "on", ">secret", "~{cronclave:*"], rules].concat());
        doctor(&format!("redis://cron:secret@127.0.0.1:{}", redis.port))
    };
    may(&["&{cronclave:*", "+@all", "-@scripting"])
        .tells("redis.permissions", "problem", &["ACL SETUSER cron"])
        .and_no_more(&["redis.permissions"]);
    may(&["&{cronclave:*", "+@all", "-time"]).tells("redis.connection", "problem", &["ACL SETUSER cron"]);
    may(&["resetchannels", "+@all"]).tells("redis.news", "warning", &["ACL SETUSER cron", "later"]);
    may(&["&{cronclave:*", "+@all", "-info"]).tells("redis.info", "warning", &["+info"]);
    may(&["&{cronclave:*", "+@all", "-@dangerous", "+info"]).and_no_more(&[]);
}

#[test]
fn a_replica_of_a_primary_is_no_place_to_write_to() {
    let primary = Redis::with(&SOUND);
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    doctor(&replica.url()).tells("redis.connection", "problem", &["it is a replica", "redis+sentinel://"]);
    let given_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !cli(primary.port, &["INFO", "replication"]).contains("connected_slaves:1") {
        assert!(std::time::Instant::now() < given_up, "the replica never connects");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let found = doctor(&primary.url());
    found.tells("redis.connection", "good", &["a primary with 1 replica"]);
    found.tells("redis.split", "warning", &["min-replicas-to-write"]).and_no_more(&["redis.split"]);
}

#[test]
fn a_clock_that_is_an_hour_off_is_told() {
    let redis = Redis::with_clock();
    for (ahead, words) in [(3600, "behind Redis"), (-3600, "ahead of Redis")] {
        redis.set_clock(ahead);
        doctor(&redis.url()).tells("clock.store", "problem", &["1h 0m", words, "NTP"]);
    }
    redis.set_clock(5);
    doctor(&redis.url()).tells("clock.store", "warning", &["behind Redis", "NTP"]);
}

#[test]
fn what_is_lost_when_the_server_ends_is_told() {
    let redis = Redis::plain();
    doctor(&redis.url()).tells("redis.persistence", "warning", &["keeps nothing on disk", "appendonly yes"]);
    cli(redis.port, &["CONFIG", "SET", "save", "60 1000"]);
    doctor(&redis.url()).tells("redis.persistence", "warning", &["appendonly is off"]);
    let place = sound();
    let durable = |level: &str| Found::of(&place, &[("REDIS_URL", &redis.url()), ("CRONCLAVE_DURABILITY", level)], &[]);
    durable("fsync").tells("redis.durability", "problem", &["appendonly yes"]);
    durable("replicated").tells("redis.durability", "problem", &["asks for 1 replica", "it has 0"]);
}

#[test]
fn a_server_that_is_nearly_full_is_told() {
    let redis = Redis::with(&[&SOUND[..], &["--maxmemory", "3mb"]].concat());
    cli(redis.port, &["SET", "big", &"x".repeat(100_000)]);
    let used: u64 = cli(redis.port, &["INFO", "memory"])
        .lines()
        .find_map(|line| line.trim().strip_prefix("used_memory:").map(str::to_owned))
        .unwrap()
        .parse()
        .unwrap();
    // As much more as it takes to need nine tenths of what there is.
    cli(redis.port, &["CONFIG", "SET", "maxmemory", &(used + used / 20).to_string()]);
    doctor(&redis.url()).tells("redis.memory", "problem", &["maxmemory"]);
    cli(redis.port, &["CONFIG", "SET", "maxmemory", "0"]);
    cli(redis.port, &["CONFIG", "SET", "maxclients", "2"]);
    let _others = [(); 2].map(|()| std::net::TcpStream::connect(("127.0.0.1", redis.port)).unwrap());
    doctor(&redis.url()).tells("redis.connection", "problem", &["maxclients"]);
}

#[test]
fn a_server_that_cannot_save_is_told() {
    let redis = Redis::with(&["--save", "1 1"]);
    // As root it could save anywhere but into what is no directory.
    let dump = redis.dir.path().join("dump.rdb");
    std::fs::create_dir_all(dump.join("in the way")).unwrap();
    cli(redis.port, &["SET", "key", "value"]);
    cli(redis.port, &["BGSAVE"]);
    let given_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !cli(redis.port, &["INFO", "persistence"]).contains("rdb_last_bgsave_status:err") {
        assert!(std::time::Instant::now() < given_up, "it saves all the same");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    doctor(&redis.url()).tells("redis.disk", "problem", &["cannot save", "free some space"]);
}

#[test]
fn other_replicas_and_their_files_are_seen() {
    let redis = Redis::with(&SOUND);
    let place = sound();
    let mut command = place.command(&["serve", "--no-http", "--replica", "web.1"]);
    command.env("REDIS_URL", redis.url());
    let _replica = place.start(command);
    let look = |place: &Place| Found::of(place, &[("REDIS_URL", &redis.url())], &[]);
    let given_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while look(&place).told("cluster.replicas").iter().all(|(_, text)| !text.contains("1 replica")) {
        assert!(std::time::Instant::now() < given_up, "the replica never reports");
    }
    look(&place).and_no_more(&[]);
    let other = sound();
    other.write("schedules/jobs.toml", "version = 1\n[jobs.other]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    look(&other).tells("cluster.config", "warning", &["other schedule files", "web.1"]);
    // Those who are in a hurry do not look.
    Found::of(&other, &[("REDIS_URL", &redis.url())], &["--fast"]).tells("cluster.replicas", "skipped", &["--fast"]);
}
