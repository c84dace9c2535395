//! A Redis that cannot be used, is not there, or goes away: told in words, in time, and outlived.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::bench::{Place, Running, Said};
use super::odd::{self, HTTP, Sentinel, Tls, impostor, slammer};
use super::servers::{Redis, free_port};

/// Every command answers within five seconds; a machine that is busy with tests may be much slower.
const LIMIT: Duration = Duration::from_secs(30);

/// All that need a store.
const COMMANDS: [&[&str]; 12] = [
    &["status"],
    &["jobs"],
    &["history"],
    &["logs", "hello"],
    &["events"],
    &["locks"],
    &["dead"],
    &["trigger", "hello"],
    &["cancel", "hello"],
    &["pause", "hello"],
    &["resume", "hello"],
    &["run", "hello"],
];

fn ask(place: &Place, url: &str, args: &[&str]) -> Said {
    let mut command = place.command(args);
    command.env("REDIS_URL", url);
    let began = Instant::now();
    let said = place.finish(command);
    println!("{:5} ms  {args:?} {}", began.elapsed().as_millis(), said.err.trim_end());
    assert!(began.elapsed() < LIMIT, "{args:?} at {url}: {:?}", began.elapsed());
    assert!(!said.err.contains("sesame") && !said.out.contains("sesame"), "a password is shown: {said:#?}");
    said
}

/// What each command says at `url`. All at once: some servers make each wait.
fn all_refused(url: &str, code: i32, words: &[&str]) {
    println!("---- {url}");
    let place = Place::new();
    std::thread::scope(|scope| {
        for args in COMMANDS {
            let place = &place;
            scope.spawn(move || {
                let said = ask(place, url, args).expect(code, words);
                assert_eq!(said.out, "", "{args:?}");
            });
        }
    });
    assert!(!place.path("cronclave.db").exists(), "nobody makes a second truth");
}

#[test]
fn what_cannot_be_reached_is_told_by_every_command() {
    let closed = free_port();
    let place = format!("127.0.0.1:{closed}");
    all_refused(&format!("redis://:sesame@{place}"), 69, &[&place, "nothing listens", "redis-server"]);
    all_refused("redis://:sesame@no-such-host.invalid", 69, &["no-such-host.invalid", "not known"]);
    all_refused(&format!("redis+sentinel://:sesame@{place}/mymaster"), 69, &[&place, "nothing listens"]);
    all_refused("redis+unix:///no/such.sock", 69, &["/no/such.sock", "no such socket"]);
}

#[test]
fn what_says_nothing_is_given_up() {
    all_refused(&format!("redis://:sesame@127.0.0.1:{}", impostor(None)), 69, &["does not answer"]);
    all_refused(&format!("rediss://:sesame@127.0.0.1:{}", impostor(None)), 69, &["says nothing"]);
    let redis = Redis::plain();
    odd::signal(redis.pid(), "STOP");
    all_refused(&redis.url(), 69, &["does not answer", "stopped"]);
    odd::signal(redis.pid(), "CONT");
}

#[test]
fn what_is_no_redis_is_told_by_every_command() {
    all_refused(&format!("redis://:sesame@127.0.0.1:{}", impostor(Some(HTTP))), 69, &["does not speak Redis"]);
    all_refused(&format!("redis://:sesame@127.0.0.1:{}", slammer()), 69, &["ends the connection"]);
    let tls = Tls::start(&[]);
    all_refused(&format!("redis://:sesame@localhost:{}", tls.port), 69, &["did you mean rediss://?"]);
    all_refused(&format!("rediss://localhost:{}", tls.redis.port), 69, &["did you mean redis://?"]);
    all_refused(
        &format!("rediss://localhost:{}", tls.port),
        69,
        &["not trusted", "CRONCLAVE_REDIS_CA_FILE", "?insecure"],
    );
}

#[test]
fn what_is_not_as_it_should_be_is_told_by_every_command() {
    let redis = Redis::with(&["--requirepass", "sesame"]);
    let at = |who: &str| format!("redis://{who}127.0.0.1:{}", redis.port);
    all_refused(&at(""), 69, &["wants a password", "redis://:PASSWORD@HOST"]);
    all_refused(&at(":wrong@"), 69, &["password in the URL is wrong"]);
    all_refused(&at("ana:wrong@"), 69, &["`ana` or its password"]);
    all_refused(&format!("{}/99", at(":sesame@")), 69, &["no database of this number"]);
    let lru = Redis::with(&["--maxmemory-policy", "volatile-lru"]);
    all_refused(&lru.url(), 69, &["volatile-lru", "noeviction", "CRONCLAVE_REDIS_ALLOW_EVICTION=1"]);
    let master = Redis::plain();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    all_refused(&replica.url(), 69, &["it is a replica", "primary", "redis+sentinel://"]);
    let sentinel = Sentinel::watching(master.port, 1);
    let url = format!("redis+sentinel://127.0.0.1:{}/nobody", sentinel.port);
    all_refused(&url, 69, &["no master `nobody`"]);
    all_refused(&format!("redis://127.0.0.1:{}", sentinel.port), 69, &["it is a sentinel", "redis+sentinel://"]);
}

#[test]
fn a_url_that_cannot_be_read_is_a_mistake_in_the_settings() {
    for (url, words) in [
        ("redis://:ses/ame@cache", &["REDIS_URL", "%2F"][..]),
        ("rdis://cache", &["REDIS_URL", "did you mean `redis://`?"]),
        ("redis://cache:port", &["REDIS_URL", "`port`", "65535"]),
        ("redis://cache/first", &["REDIS_URL", "`first`", "database"]),
        ("redis+sentinel://cache", &["REDIS_URL", "mymaster"]),
    ] {
        all_refused(url, 78, words);
    }
}

#[test]
fn a_file_and_a_redis_are_not_both_the_truth() {
    let place = Place::new();
    let redis = Redis::plain();
    let ask = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = place.command(args);
        command.envs(env.iter().copied());
        place.finish(command)
    };
    let url = &*redis.url();
    ask(&["--redis", url, "--db", "x.db", "status"], &[]).expect(78, &["--redis", "--db", "choose one"]);
    ask(&["--redis", url, "status"], &[("CRONCLAVE_DB", "x.db")]).expect(78, &["--redis", "CRONCLAVE_DB"]);
    let both = [("CRONCLAVE_REDIS_URL", url), ("CRONCLAVE_DB", "x.db")];
    ask(&["status"], &both).expect(78, &["CRONCLAVE_REDIS_URL", "CRONCLAVE_DB", "choose one"]);
    // What a provider sets by itself gives way, and so does the environment to a flag.
    ask(&["--db", "x.db", "run", "hello"], &[("REDIS_URL", url)]).expect(0, &["hello"]);
    ask(&["--db", "x.db", "status"], &[("CRONCLAVE_REDIS_URL", url)]).expect(0, &["sqlite x.db"]);
    ask(&["status"], &[("REDIS_URL", url), ("CRONCLAVE_DB", "x.db")]).expect(0, &["sqlite x.db"]);
    // In the order in which they are named.
    let several = [("CRONCLAVE_REDIS_URL", url), ("REDIS_URL", "redis://127.0.0.1:1")];
    ask(&["status"], &several).expect(0, &["redis redis://127.0.0.1"]);
    ask(&["status"], &[("REDIS_TLS_URL", url)]).expect(0, &["redis redis://127.0.0.1"]);
    ask(&["status"], &[("REDISCLOUD_URL", url)]).expect(0, &["redis redis://127.0.0.1"]);
    place.write("secret", format!("{url}\n"));
    ask(&["status"], &[("CRONCLAVE_REDIS_URL_FILE", "secret")]).expect(0, &["redis redis://127.0.0.1"]);
    ask(&["status"], &[("CRONCLAVE_REDIS_URL_FILE", "none")]).expect(78, &["CRONCLAVE_REDIS_URL_FILE", "none"]);
    ask(&["status"], &[("AMQP_URL", "amqp://mq"), ("REDIS_URL", url)]).expect(0, &["redis redis://127.0.0.1"]);
    // What needs no store asks for none.
    for args in [&["validate"][..], &["next"]] {
        ask(args, &[("REDIS_URL", "redis://127.0.0.1:1")]).expect(0, &[]);
    }
}

#[test]
fn commands_work_on_a_redis_as_on_a_file() {
    let place = Place::new();
    let tls = Tls::start(&["--requirepass", "sesame"]);
    let url = format!("rediss://:sesame@localhost:{}/1?insecure", tls.port);
    ask(&place, &url, &["jobs"]).expect(0, &["4 jobs: 4 never run"]);
    ask(&place, &url, &["run", "hello"]).expect(0, &["hello", "succeeded"]);
    ask(&place, &url, &["run", "fails"]).expect(3, &["wrong"]);
    ask(&place, &url, &["history"]).expect(0, &["ok", "failed  exit code 3"]);
    ask(&place, &url, &["logs", "fails"]).expect(0, &["before", "wrong"]);
    ask(&place, &url, &["pause", "slow"]).expect(0, &["paused slow"]);
    ask(&place, &url, &["trigger", "slow"]).expect(75, &["slow is paused"]);
    ask(&place, &url, &["status"]).expect(0, &["redis rediss://localhost", "no replica is running"]);
    assert!(!place.path("cronclave.db").exists());
}

#[test]
fn settings_beside_the_url_come_from_the_environment() {
    let place = Place::new();
    let tls = Tls::start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut command = place.command(&["run", "hello"]);
    command.env("CRONCLAVE_REDIS_URL", format!("rediss://localhost:{}", tls.port));
    command.env("CRONCLAVE_REDIS_CA_FILE", &tls.ca).env("CRONCLAVE_REDIS_ALLOW_EVICTION", "1");
    place.finish(command).expect(0, &["hello", "succeeded"]);
}

#[test]
fn a_redis_that_lost_its_disk_is_told() {
    let place = Place::new();
    let disk = tempfile::tempdir().unwrap();
    let redis = Redis::with(&["--save", "3600", "1", "--dir", disk.path().to_str().unwrap()]);
    drop(disk);
    odd::cli(redis.port, &["SET", "x", "y"]);
    odd::cli(redis.port, &["BGSAVE"]);
    let began = Instant::now();
    while !odd::cli(redis.port, &["INFO", "persistence"]).contains("rdb_last_bgsave_status:err") {
        assert!(began.elapsed() < Duration::from_secs(120));
    }
    ask(&place, &redis.url(), &["run", "hello"]).expect(69, &["cannot save to its disk", "free some space"]);
    ask(&place, &redis.url(), &["history"]).expect(0, &[]);
}

#[test]
fn the_documented_rights_are_enough_and_less_is_told() {
    let place = Place::new();
    let redis = Redis::plain();
    let user =
        ["ACL", "SETUSER", "ana", "on", ">sesame", "~{cronclave:default}*", "resetchannels", "&{cronclave:default}*"];
    let rights = ["+@all", "-@dangerous", "+info", "+cluster|slots", "+cluster|myid"];
    assert_eq!(odd::cli(redis.port, &[&user[..], &rights].concat()), "OK");
    let url = format!("redis://ana:sesame@127.0.0.1:{}", redis.port);
    let mut replica = place.command(&["serve", "--no-http", "--replica", "web.1", "--log-format", "text"]);
    replica.env("REDIS_URL", &url);
    let replica = place.start(replica);
    let began = Instant::now();
    while !ask(&place, &url, &["status"]).out.contains("web.1") {
        assert!(began.elapsed() < Duration::from_secs(120), "never ready: {}", replica.so_far());
    }
    ask(&place, &url, &["trigger", "hello"]).expect(0, &[]);
    replica.until("succeeded");
    ask(&place, &url, &["run", "fails"]).expect(3, &[]);
    // What was triggered may still be going, or over.
    for args in COMMANDS.iter().filter(|args| !["cancel", "run", "dead"].contains(&args[0])) {
        ask(&place, &url, args).expect(0, &[]);
    }
    assert!(!replica.so_far().contains("store down"), "{}", replica.so_far());
    assert_eq!(odd::cli(redis.port, &["ACL", "SETUSER", "ana", "-eval", "-evalsha"]), "OK");
    let line =
        "ACL SETUSER ana on >PASSWORD ~{cronclave:default}* resetchannels &{cronclave:default}* +@all -@dangerous";
    for args in [&["trigger", "hello"][..], &["pause", "hello"], &["resume", "hello"], &["run", "hello"]] {
        ask(&place, &url, args).expect(69, &["eval", line]);
    }
    assert_eq!(odd::cli(redis.port, &["ACL", "SETUSER", "ana", "+eval", "+evalsha", "-hset"]), "OK");
    ask(&place, &url, &["pause", "slow"]).expect(69, &["the user may not do this", line]);
    replica.until("store down");
    assert!(replica.so_far().contains(line), "{}", replica.so_far());
    assert_eq!(odd::cli(redis.port, &["ACL", "SETUSER", "ana", "+hset"]), "OK");
    replica.until("store up");
}

#[test]
fn a_redis_out_of_memory_is_told_and_what_is_known_can_still_be_seen() {
    let place = Place::new();
    let redis = Redis::plain();
    ask(&place, &redis.url(), &["run", "hello"]).expect(0, &[]);
    assert_eq!(odd::cli(redis.port, &["CONFIG", "SET", "maxmemory", "1"]), "OK");
    for args in [&["trigger", "hello"][..], &["run", "hello"]] {
        ask(&place, &redis.url(), args).expect(69, &["out of memory", "maxmemory"]);
    }
    ask(&place, &redis.url(), &["history"]).expect(0, &["ok"]);
    ask(&place, &redis.url(), &["status"]).expect(0, &[]);
    assert_eq!(odd::cli(redis.port, &["CONFIG", "SET", "maxmemory", "0"]), "OK");
    ask(&place, &redis.url(), &["run", "hello"]).expect(0, &[]);
}

#[test]
fn a_log_that_is_followed_goes_on_when_the_store_was_away() {
    let place = Place::new();
    let kept = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = Redis::with(&kept);
    let start = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("REDIS_URL", redis.url());
        place.start(command)
    };
    let _replica = start(&["serve", "--no-http", "--log-format", "text"]);
    ask(&place, &redis.url(), &["trigger", "slow"]).expect(0, &[]);
    let began = Instant::now();
    while !ask(&place, &redis.url(), &["history"]).out.contains("running") {
        assert!(began.elapsed() < Duration::from_secs(120), "it is not started");
    }
    let following = start(&["logs", "-f", "slow"]);
    following.until("tick");
    redis.kill();
    following.until("cronclave: ");
    redis.start_again(&kept);
    following.end().expect(0, &["tick"]);
}

// ---- a replica ---------------------------------------------------------------------------------

/// A replica with a job that runs each second.
struct Served {
    place: Place,
    listen: String,
    replica: Running,
}

impl Served {
    fn at(url: &str) -> Served {
        Served::with(url, &[])
    }

    fn with(url: &str, settings: &[(&str, &str)]) -> Served {
        let place = Place::new();
        place.write("schedules/jobs.toml", "version = 1\n[jobs.often]\nevery = \"1s\"\ncommand = \"true\"\n");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = place.command(&["serve", "--listen", &listen, "--replica", "web.1", "--log-format", "text"]);
        command.env("CRONCLAVE_REDIS_URL", url).envs(settings.iter().copied());
        let replica = place.start(command);
        Served { place, listen, replica }
    }

    fn count(&self, word: &str) -> usize {
        self.replica.so_far().matches(word).count()
    }

    /// Until it was said so often, and then no more than that.
    #[track_caller]
    fn until(&self, word: &str, times: usize) {
        let began = Instant::now();
        while self.count(word) < times {
            assert!(began.elapsed() < Duration::from_secs(60), "not {times} x {word:?} in {}", self.replica.so_far());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.count(word), times, "{word:?} in {}", self.replica.so_far());
        println!("{:5} ms until {word:?} no {times}", began.elapsed().as_millis());
    }

    /// It is down for the `times`th time: said once, and not ready.
    #[track_caller]
    fn is_down(&self, times: usize) {
        self.until("store down", times);
        let began = Instant::now();
        while ready(&self.listen) {
            assert!(began.elapsed() < LIMIT, "ready without a store");
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{:5} ms until not ready", began.elapsed().as_millis());
    }

    /// It is up again for the `times`th time, and works.
    #[track_caller]
    fn is_up(&self, times: usize) {
        self.until("store up", times);
        let done = self.count("succeeded");
        let began = Instant::now();
        while self.count("succeeded") < done + 2 || !ready(&self.listen) {
            assert!(began.elapsed() < Duration::from_secs(60), "it does nothing: {}", self.replica.so_far());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Neither more nor less was said than going down and coming up.
    fn ends(self, downs: usize) {
        self.replica.signal("TERM");
        let said = self.replica.end().expect(0, &["stopped"]);
        assert_eq!(said.out.matches("store down").count(), downs, "{}", said.out);
        assert_eq!(said.out.matches("store up").count(), downs, "{}", said.out);
        // A master whose replica is promoted when it dies could go on without it.
        let known = |line: &&str| !line.starts_with("stopping") && !line.contains("takes writes without them");
        let noise: Vec<&str> = said.err.lines().filter(known).collect();
        assert!(noise.is_empty(), "{noise:#?}");
        assert!(!self.place.path("cronclave.db").exists(), "nobody makes a second truth");
    }
}

fn ready(address: &str) -> bool {
    use std::io::{Read, Write};
    let Ok(mut there) = std::net::TcpStream::connect(address) else { return false };
    there.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = there.read_to_string(&mut answer);
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn a_replica_starts_before_its_redis_and_waits_for_it() {
    let mut redis = Redis::plain();
    redis.kill();
    let served = Served::at(&redis.url());
    served
        .replica
        .until(&format!("store     redis {}  (any number of replicas on any number of machines)", redis.url()));
    let began = Instant::now();
    served.is_down(1);
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    assert!(served.replica.so_far().contains("nothing listens"), "{}", served.replica.so_far());
    served.until("store away", 1);
    served.is_down(1);
    redis.start_again(&[]);
    served.is_up(1);
    served.ends(1);
}

#[test]
fn a_replica_says_once_that_its_redis_is_full_and_once_that_it_goes_on() {
    let redis = Redis::plain();
    let served = Served::at(&redis.url());
    served.until("succeeded", 1);
    assert_eq!(odd::cli(redis.port, &["CONFIG", "SET", "maxmemory", "1"]), "OK");
    served.is_down(1);
    // Its reports of being alive go through all the while.
    std::thread::sleep(Duration::from_secs(14));
    assert_eq!((served.count("store down"), served.count("store up")), (1, 0), "{}", served.replica.so_far());
    assert!(!ready(&served.listen));
    assert_eq!(odd::cli(redis.port, &["CONFIG", "SET", "maxmemory", "0"]), "OK");
    served.is_up(1);
    served.ends(1);
}

#[test]
fn starts_that_no_replica_of_the_redis_can_confirm_are_not_made_and_the_reason_is_told() {
    let redis = Redis::plain();
    let served = Served::with(&redis.url(), &[("CRONCLAVE_DURABILITY", "replicated")]);
    served.replica.until("the start is not confirmed: 0 of its replicas have it, and 1 must");
    assert_eq!(served.count("succeeded"), 0, "{}", served.replica.so_far());
    served.replica.signal("TERM");
    served.replica.end().expect(0, &["warning", "released"]);
}

#[test]
fn a_replica_stops_although_its_redis_hangs() {
    let redis = Redis::plain();
    let served = Served::at(&redis.url());
    served.replica.until("succeeded");
    odd::signal(redis.pid(), "STOP");
    served.is_down(1);
    let began = Instant::now();
    served.replica.signal("TERM");
    served.replica.end().expect(0, &["stopped"]);
    println!("stopped after {:?}", began.elapsed());
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    odd::signal(redis.pid(), "CONT");
}

#[test]
fn a_replica_outlives_its_redis_being_killed_replaced_and_frozen() {
    let own: &[&str] = &["--requirepass", "sesame"];
    let mut redis = Redis::with(own);
    let served = Served::at(&format!("redis://:sesame@127.0.0.1:{}", redis.port));
    served.replica.until("succeeded");
    redis.kill();
    served.is_down(1);
    redis.start_again(own);
    served.is_up(1);
    assert_eq!((served.count("store other"), served.count("store whole")), (1, 1), "{}", served.replica.so_far());
    // Another one in its place, which does not know us.
    redis.kill();
    redis.start_again(&["--requirepass", "other"]);
    served.is_down(2);
    redis.kill();
    redis.start_again(own);
    served.is_up(2);
    odd::signal(redis.pid(), "STOP");
    served.is_down(3);
    odd::signal(redis.pid(), "CONT");
    served.is_up(3);
    served.ends(3);
}

#[test]
fn a_replica_follows_the_sentinels_to_the_new_master() {
    let mut master = Redis::plain();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::watching(master.port, 2)).collect();
    let places: Vec<String> = sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
    let served = Served::at(&format!("redis+sentinel://{}/mymaster", places.join(",")));
    served.replica.until("succeeded");
    odd::have_met(&sentinels);
    master.kill();
    let began = Instant::now();
    served.is_down(1);
    served.is_up(1);
    println!("followed after {:?}", began.elapsed());
    assert!(odd::cli(replica.port, &["ROLE"]).starts_with("master"));
    served.ends(1);
}
