//! The connection to the server: what is said when there is none, and how it comes back.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use cronclave::job::JobName;
use cronclave::record::Op;
use cronclave::store::Store as _;
use cronclave::store::redis::{Address, Redis as Store, Time};

use super::odd::{self, HTTP, Sentinel, Tls, impostor, slammer};
use super::servers::{Redis, free_port};

/// Any command of the program answers within this; a test machine may be slow.
const LIMIT: Duration = Duration::from_secs(30);

fn store(url: &str) -> Store {
    Store::open(url.parse::<Address>().unwrap(), "default", Time::Server)
}

/// What is said at `url`, and whether it was said in time.
async fn said(url: &str) -> String {
    said_by(&store(url), url).await
}

async fn said_by(store: &Store, url: &str) -> String {
    let began = Instant::now();
    let said = store.check().await.map_or_else(|error| error.message, |()| "fine".to_owned());
    println!("{:4} ms  {url}\n         {said}", began.elapsed().as_millis());
    assert!(began.elapsed() < LIMIT, "{url}: {:?}", began.elapsed());
    assert!(!said.contains("sesame"), "a password is shown: {said}");
    said
}

#[track_caller]
fn has(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_redis_is_told_for_what_it_is() {
    let closed = free_port();
    let closed_url = format!("127.0.0.1:{closed}");
    for (url, words) in [
        (format!("redis://:sesame@127.0.0.1:{closed}"), &[&*closed_url, "nothing listens", "redis-server"][..]),
        (format!("rediss://127.0.0.1:{closed}"), &[&closed_url, "nothing listens"]),
        ("redis://no-such-host.invalid".into(), &["no-such-host.invalid", "not known", "spelt"]),
        (format!("redis://127.0.0.1:{}", impostor(None)), &["does not answer"]),
        (format!("rediss://127.0.0.1:{}", impostor(None)), &["says nothing"]),
        (format!("redis://127.0.0.1:{}", impostor(Some(HTTP))), &["does not speak Redis", "port"]),
        (format!("rediss://127.0.0.1:{}", impostor(Some(HTTP))), &["does not speak TLS", "port"]),
        (format!("redis://127.0.0.1:{}", impostor(Some(b"\x00\x01garbage\r\n"))), &["does not speak Redis"]),
        (format!("redis://127.0.0.1:{}", slammer()), &["before it says anything", "port"]),
        (format!("rediss://127.0.0.1:{}", slammer()), &["does not speak TLS", "port"]),
        ("redis+unix:///no/such.sock".into(), &["/no/such.sock", "no such socket", "unixsocket"]),
        (format!("redis://127.0.0.1:{closed},127.0.0.1:{}", impostor(None)), &["nothing listens", "does not answer"]),
        (format!("redis+sentinel://127.0.0.1:{closed}/mymaster"), &["(sentinel)", "nothing listens"]),
    ] {
        has(&said(&url).await, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_with_what_the_url_should_say() {
    let redis = Redis::with(&["--requirepass", "sesame"]);
    let at = |who: &str| format!("redis://{who}127.0.0.1:{}", redis.port);
    has(&said(&at("")).await, &["wants a password", "redis://:PASSWORD@HOST"]);
    has(&said(&at("ana@")).await, &["only the user `ana`"]);
    has(&said(&at(":wrong@")).await, &["the password in the URL is wrong", "%25"]);
    has(&said(&at("ana:wrong@")).await, &["`ana` or its password is wrong", "redis://:PASSWORD@HOST"]);
    has(&said(&at(":sesame@")).await, &["fine"]);
    has(&said(&at("default:ses%61me@")).await, &["fine"]);
    // Who has none takes any.
    let open = Redis::plain();
    has(&said(&format!("redis://:sesame@127.0.0.1:{}", open.port)).await, &["fine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsuitable_server_is_told_with_what_mends_it() {
    let redis = Redis::plain();
    let url = redis.url();
    has(&said(&format!("{url}/99")).await, &["no database of this number", "databases"]);
    has(&said(&format!("{url}/3")).await, &["fine"]);
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &redis.port.to_string()]);
    has(&said(&replica.url()).await, &["it is a replica", "primary", "redis+sentinel://"]);
    has(&said(&format!("{},127.0.0.1:{}", replica.url(), redis.port)).await, &["fine"]);
    has(&said(&format!("redis+sentinel://127.0.0.1:{}/mymaster", redis.port)).await, &["no sentinel", "redis://"]);
    let lru = Redis::with(&["--maxmemory-policy", "allkeys-lru"]);
    has(&said(&lru.url()).await, &["allkeys-lru", "noeviction", "CRONCLAVE_REDIS_ALLOW_EVICTION=1", "could run twice"]);
    let allowed = lru.url().parse::<Address>().unwrap().allowing_eviction(true);
    has(&said_by(&Store::open(allowed, "default", Time::Server), "allowed").await, &["fine"]);
    let full = Redis::with(&["--maxclients", "1"]);
    let one = store(&full.url());
    until(&one, "fine").await;
    has(&said(&full.url()).await, &["as many clients as it may", "maxclients"]);
    let hung = Redis::plain();
    odd::signal(hung.pid(), "STOP");
    has(&said(&hung.url()).await, &["does not answer", "overloaded or stopped"]);
    odd::signal(hung.pid(), "CONT");
    has(&said(&hung.url()).await, &["fine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_refused_by_what_it_says() {
    let old = impostor(Some(b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"));
    has(&said(&format!("redis://127.0.0.1:{old}")).await, &["too old", "6.2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_and_the_way_out_is_named() {
    let tls = Tls::start(&[]);
    let url = format!("rediss://localhost:{}", tls.port);
    has(&said(&url).await, &["not trusted", "CRONCLAVE_REDIS_CA_FILE", "?insecure", "Heroku"]);
    has(&said(&format!("{url}?insecure")).await, &["fine"]);
    let with = |url: &str, file: &std::path::Path| {
        let address = url.parse::<Address>().unwrap().trusting(Some(file.to_owned()));
        Store::open(address, "default", Time::Server)
    };
    has(&said_by(&with(&url, &tls.ca), "with its authority").await, &["fine"]);
    let other_name = format!("rediss://127.0.0.1:{}", tls.port);
    has(&said_by(&with(&other_name, &tls.ca), &other_name).await, &["for another name", "?insecure"]);
    has(&said_by(&with(&url, "/no/such.pem".as_ref()), "no file").await, &["CRONCLAVE_REDIS_CA_FILE", "/no/such.pem"]);
    let empty = tls.ca.with_file_name("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    has(&said_by(&with(&url, &empty), "empty file").await, &["CRONCLAVE_REDIS_CA_FILE", "no certificate"]);
    has(&said(&format!("redis://localhost:{}", tls.port)).await, &["did you mean rediss://?"]);
    has(&said(&format!("rediss://localhost:{}", tls.redis.port)).await, &["did you mean redis://?"]);
    let strict = Tls::start(&["--tls-auth-clients", "yes"]);
    has(&said(&format!("rediss://localhost:{}?insecure", strict.port)).await, &["tls-auth-clients no"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_exactly_the_documented_rights_is_enough() {
    let redis = Redis::plain();
    let user =
        ["ACL", "SETUSER", "ana", "on", ">sesame", "~{cronclave:default}*", "resetchannels", "&{cronclave:default}*"];
    let rights = ["+@all", "-@dangerous", "+info", "+cluster|slots", "+cluster|myid"];
    assert_eq!(odd::cli(redis.port, &[&user[..], &rights].concat()), "OK");
    let url = format!("redis://ana:sesame@127.0.0.1:{}", redis.port);
    has(&said(&url).await, &["fine"]);
    // Without INFO and without listening it goes on; without TIME there is nothing left.
    assert_eq!(odd::cli(redis.port, &["ACL", "SETUSER", "ana", "-info", "resetchannels"]), "OK");
    has(&said(&url).await, &["fine"]);
    assert_eq!(odd::cli(redis.port, &["ACL", "SETUSER", "ana", "-time"]), "OK");
    has(
        &said(&url).await,
        &["time", "ACL SETUSER ana on >PASSWORD ~{cronclave:default}* resetchannels &{cronclave:default}* +@all"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_comes_back_by_itself() {
    let mut redis = Redis::with(&["--requirepass", "sesame"]);
    let store = store(&format!("redis://:sesame@127.0.0.1:{}", redis.port));
    has(&said_by(&store, "up").await, &["fine"]);
    redis.kill();
    until(&store, "nothing listens").await;
    redis.start_again(&["--requirepass", "other"]);
    until(&store, "the password in the URL is wrong").await;
    redis.kill();
    redis.start_again(&["--requirepass", "sesame"]);
    until(&store, "fine").await;
    odd::signal(redis.pid(), "STOP");
    has(&said_by(&store, "hung").await, &["does not answer"]);
    odd::signal(redis.pid(), "CONT");
    until(&store, "fine").await;
    // Somebody closes it while nobody asks: found out before the next request is sent.
    odd::cli(redis.port, &["-a", "sesame", "CLIENT", "KILL", "TYPE", "normal"]);
    odd::cli(redis.port, &["-a", "sesame", "CLIENT", "KILL", "TYPE", "pubsub"]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    has(&said_by(&store, "closed").await, &["fine"]);
}

async fn until(store: &Store, words: &str) {
    let began = Instant::now();
    while !said_by(store, words).await.contains(words) {
        assert!(began.elapsed() < Duration::from_secs(60), "never {words}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_a_silent_server_share_one_connection() {
    let silent = impostor(None);
    let store = std::sync::Arc::new(store(&format!("redis://127.0.0.1:{silent}")));
    let began = Instant::now();
    let all: Vec<_> = (0..100)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.check().await.unwrap_err().message })
        })
        .collect();
    for one in all {
        has(&one.await.unwrap(), &["does not answer"]);
    }
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_new_master() {
    let mut master = Redis::plain();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::watching(master.port, 2)).collect();
    let places: Vec<String> = sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
    let url = format!("redis+sentinel://127.0.0.1:{},{}/mymaster", free_port(), places.join(","));
    let store = store(&url);
    until(&store, "fine").await;
    has(&said(&format!("redis+sentinel://{}/nobody", places[0])).await, &["knows no master `nobody`", "mymaster"]);
    has(&said(&format!("redis://{}", places[0])).await, &["it is a sentinel", "redis+sentinel://"]);
    odd::have_met(&sentinels);
    master.kill();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    until(&store, "fine").await;
    println!("followed after {:?}", began.elapsed());
    assert!(odd::cli(replica.port, &["ROLE"]).starts_with("master"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_or_loading_is_told() {
    let redis = Redis::with(&["--lua-time-limit", "50"]);
    let held = store(&redis.url());
    held.check().await.unwrap();
    let port = redis.port;
    let script = std::thread::spawn(move || odd::cli(port, &["EVAL", "while true do end", "0"]));
    tokio::time::sleep(Duration::from_millis(500)).await;
    has(&said_by(&held, "busy, connected before").await, &["busy with a script", "script kill"]);
    has(&said(&redis.url()).await, &["busy with a script", "script kill"]);
    odd::cli(port, &["SCRIPT", "KILL"]);
    script.join().unwrap();
    until(&held, "fine").await;

    let mut slow = Redis::with(&[]);
    // It looks up from loading after every 2 MB.
    odd::cli(slow.port, &["CONFIG", "SET", "rdbcompression", "no"]);
    odd::cli(slow.port, &["EVAL", "for i = 1, 200 do redis.call('SET', i, string.rep('x', 100000)) end", "0"]);
    assert_eq!(odd::cli(slow.port, &["SAVE"]), "OK");
    slow.kill();
    let url = slow.url();
    // It returns when all is loaded, after some seconds.
    let starting = std::thread::spawn(move || {
        slow.start_again(&["--key-load-delay", "30000"]);
        slow
    });
    let held = store(&url);
    until(&held, "still loading").await;
    let _slow = starting.join().unwrap();
    until(&held, "fine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_version_6_will_do() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 here");
        return;
    }
    let redis = Redis::with(&["--bind", "127.0.0.1", "::1"]);
    has(&said(&format!("redis://[::1]:{}", redis.port)).await, &["fine"]);
    has(&said(&format!("redis://[::1]:{}", free_port())).await, &["redis://[::1]:", "nothing listens"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_in_the_file_system_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("redis.sock").to_str().unwrap().to_owned();
    let _redis = Redis::with(&["--unixsocket", &path, "--requirepass", "sesame"]);
    has(&said(&format!("redis+unix://{path}?db=2&password=sesame")).await, &["fine"]);
    has(&said(&format!("redis+unix://{path}")).await, &[&path, "wants a password"]);
}

/// As when a program drops its runtime while a replica within it still asks.
#[test]
fn who_asks_in_a_runtime_that_has_ended_is_answered_at_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _inside = handle.enter();
        let (store, job) = (store("redis://127.0.0.1:1"), JobName::new("a").unwrap());
        let op = Op::Register { spec: 1 };
        let asking = pin!(store.apply(&job, &op));
        let _ = tell.send(asking.poll(&mut Context::from_waker(Waker::noop())));
    });
    let answer = told.recv_timeout(Duration::from_secs(60)).expect("it hangs");
    assert!(matches!(answer, Poll::Ready(Err(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_dropped_leaves_no_task_behind() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let redis = Redis::plain();
    let before = tasks();
    for url in [redis.url(), format!("redis://127.0.0.1:{}", impostor(None))] {
        let store = store(&url);
        // One is connected, the other in the middle of it.
        let _ = tokio::time::timeout(Duration::from_millis(300), store.check()).await;
        assert!(tasks() > before);
        drop(store);
        let began = Instant::now();
        while tasks() > before {
            assert!(began.elapsed() < Duration::from_secs(30), "{} tasks are left", tasks() - before);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_servers_have_passwords_of_their_own() {
    let redis = Redis::with(&["--requirepass", "sesame"]);
    let more = "sentinel auth-pass mymaster sesame\nrequirepass watch+sesame";
    let sentinel = Sentinel::with(redis.port, 1, more);
    let at = |who: &str, more: &str| format!("redis+sentinel://{who}127.0.0.1:{}/mymaster/2{more}", sentinel.port);
    has(&said(&at(":sesame@", "?sentinel_password=watch+sesame")).await, &["fine"]);
    has(&said(&at(":sesame@", "?sentinel_password=watch%2Bsesame&sentinel_user=default")).await, &["fine"]);
    has(&said(&at(":sesame@", "")).await, &["(sentinel)", "wants a password", "?sentinel_password="]);
    has(&said(&at(":sesame@", "?sentinel_password=x")).await, &["sentinel's password in the URL is wrong"]);
    has(&said(&at("", "?sentinel_password=watch+sesame")).await, &["says the sentinel", "wants a password"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_was_replaced_behind_its_back_is_left() {
    let (old, sentinels) = (Redis::plain(), |port| (0..3).map(|_| Sentinel::watching(port, 2)).collect::<Vec<_>>());
    let new = Redis::with(&["--replicaof", "127.0.0.1", &old.port.to_string()]);
    let sentinels = sentinels(old.port);
    odd::have_met(&sentinels);
    let places: Vec<String> = sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
    let store = store(&format!("redis+sentinel://{}/mymaster", places.join(",")));
    store.check().await.unwrap();
    let connected = |port| odd::cli(port, &["-a", "x", "CLIENT", "LIST"]).contains("name=cronclave");
    assert!(connected(old.port));
    // As if the sentinels alone were cut off from it: a password that who is connected need not know.
    odd::cli(old.port, &["CONFIG", "SET", "requirepass", "x"]);
    for line in odd::cli(old.port, &["-a", "x", "CLIENT", "LIST"]).lines().filter(|line| line.contains("name=sentinel"))
    {
        let id = line.split([' ', '=']).nth(1).unwrap();
        odd::cli(old.port, &["-a", "x", "CLIENT", "KILL", "ID", id]);
    }
    let began = Instant::now();
    while !odd::cli(new.port, &["ROLE"]).starts_with("master") {
        assert!(began.elapsed() < Duration::from_secs(60), "no failover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(odd::cli(old.port, &["-a", "x", "ROLE"]).starts_with("master"), "there should be two now");
    let began = Instant::now();
    while !connected(new.port) {
        let _ = store.check().await;
        assert!(began.elapsed() < Duration::from_secs(30), "it stays with the old master");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("left after {:?}", began.elapsed());
    assert!(!connected(old.port));
}
