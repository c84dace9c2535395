//! The way to the server: what is said when there is none, and what is left of a try.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cronclave::broker::amqp::{Address, Settings};
use cronclave::broker::{Amqp, Broker, NotPublished};
use tokio::time::timeout;

use super::rabbit::{Haproxy, Rabbit};
use super::servers::free_port;
use super::suite::{PATIENCE, amqp, next, queue, task, until};

/// Anything is told within this; a test machine may be slow.
const LIMIT: Duration = Duration::from_secs(30);

/// Accepts connections, says `words`, and nothing more.
fn impostor(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.write_all(words);
            all.push(client);
        }
    });
    port
}

/// Threads of lapin's in this process.
fn threads() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "lapin-io-loop").count()
}

async fn said(url: &str) -> String {
    let began = Instant::now();
    let said = amqp(url).check().await.unwrap_or_else(|why| why);
    println!("{:5} ms  {url}\n          {said}", began.elapsed().as_millis());
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
async fn what_is_no_rabbitmq_is_told_for_what_it_is() {
    let closed = free_port();
    let silent = impostor(b"");
    for (url, words) in [
        (format!("amqp://u:sesame@127.0.0.1:{closed}"), &["nothing listens", "is RabbitMQ running"][..]),
        (format!("amqps://u:sesame@127.0.0.1:{closed}"), &["nothing listens"]),
        ("amqp://no-such-host.invalid".into(), &["no-such-host.invalid", "not known", "spelt"]),
        (format!("amqp://u:sesame@127.0.0.1:{silent}"), &["does not answer", "port"]),
        (format!("amqps://127.0.0.1:{silent}"), &["says nothing", "TLS"]),
        (format!("amqp://127.0.0.1:{}", impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n")), &["does not speak AMQP"]),
        (format!("amqps://127.0.0.1:{}", impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n")), &["does not speak TLS"]),
        (format!("amqp://127.0.0.1:{closed},127.0.0.1:{silent}"), &["nothing listens", "does not answer"]),
    ] {
        has(&said(&url).await, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rabbitmq_has_against_us_is_told() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    rabbit.user(&vhost, "elsewhere", "sesame", [".*"; 3]);
    let host = format!("127.0.0.1:{}", rabbit.port);
    let other = rabbit.vhost();
    for (url, words) in [
        (format!("amqp://nobody:sesame@{host}"), &["user `nobody`", "password is wrong"][..]),
        (format!("amqp://guest:sesame@{host}"), &["user `guest`", "own machine"]),
        (format!("amqp://{host}/no-such"), &["no vhost `no-such`", "add_vhost"]),
        (format!("amqp://elsewhere:sesame@{host}/{other}"), &["user `elsewhere`", &other, "set_permissions"]),
    ] {
        has(&said(&url).await, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_place_and_a_silent_one_are_passed_over() {
    let rabbit = Rabbit::shared();
    let (dead, silent, vhost) = (free_port(), impostor(b""), rabbit.vhost());
    let broker = amqp(&format!("amqp://127.0.0.1:{dead},127.0.0.1:{silent},127.0.0.1:{}/{vhost}", rabbit.port));
    broker.publish(&task("q", "one")).await.unwrap();
    assert_eq!(next(&mut broker.consume(queue("q"))).await.message.id, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_told_and_used_once_it_is_there() {
    let mut rabbit = Rabbit::start();
    rabbit.kill();
    let broker = amqp(&rabbit.url());
    let mut consumer = broker.consume(queue("q"));
    let refused = broker.publish(&task("q", "one")).await.unwrap_err();
    let NotPublished::Away(why) = refused else { panic!("{refused:?}") };
    has(&why, &["nothing listens"]);
    has(&broker.down().unwrap(), &["nothing listens"]);
    has(&broker.queues(&[]).await.unwrap_err(), &["nothing listens"]);
    let (came, ()) = tokio::join!(timeout(2 * PATIENCE, consumer.next()), async {
        rabbit.start_again();
        timeout(2 * PATIENCE, broker.up()).await.unwrap();
        assert_eq!(broker.down(), None);
        broker.publish(&task("q", "two")).await.unwrap();
    });
    assert_eq!(came.unwrap().message.id, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_connections_that_failed_or_are_over() {
    // Other tests of this process have connections as well: this one looks from a process of its own.
    if !std::env::args().any(|arg| arg == "--exact") {
        let own = std::env::current_exe().unwrap();
        let name = "dialing::nothing_is_left_of_connections_that_failed_or_are_over";
        let done = Command::new(own).args([name, "--exact", "--nocapture"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    let silent = impostor(b"");
    for _ in 0..3 {
        // Given up by who waits, before its own limit.
        let broker = amqp(&format!("amqp://127.0.0.1:{silent}"));
        let _ = timeout(Duration::from_millis(300), broker.publish(&task("q", "one"))).await;
    }
    said(&format!("amqp://127.0.0.1:{silent}")).await;
    until("their threads end", async || threads() == 0).await;
    let rabbit = Rabbit::start();
    let broker = amqp(&rabbit.url());
    broker.publish(&task("q", "one")).await.unwrap();
    let mut consumer = broker.consume(queue("q"));
    next(&mut consumer).await;
    assert_eq!(threads(), 2);
    drop((broker, consumer));
    until("their threads end", async || threads() == 0).await;
}

/// An authority, and a certificate of its for `localhost`, as PEM files.
fn certificates(dir: &Path) {
    let openssl = |words: &str| {
        let done = Command::new("openssl").args(words.split(' ')).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ours");
    openssl("req -newkey rsa:2048 -nodes -keyout key.pem -out own.csr -subj /CN=localhost");
    fs::write(dir.join("ext"), "subjectAltName=DNS:localhost").unwrap();
    openssl("x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out own.pem -days 2 -extfile ext");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_a_server_whose_authority_is_trusted() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    certificates(dir.path());
    let path = |name: &str| dir.path().join(name);
    let rabbit = Rabbit::with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
        path("ca.pem").display(),
        path("own.pem").display(),
        path("key.pem").display()
    ));
    let open = |url: String, ca: Option<&str>| {
        let address = url.parse::<Address>().unwrap().trusting(ca.map(path));
        let settings = Settings { cluster: "prod".into(), replica: "test".into(), declare: true, mqtt: false };
        Amqp::open(address, settings)
    };
    // The server opens its ports one after the other.
    until("it speaks TLS", async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    let broker = open(format!("amqps://localhost:{port}"), Some("ca.pem"));
    has(&broker.check().await.unwrap(), &["RabbitMQ"]);
    broker.publish(&task("q", "one")).await.unwrap();
    assert_eq!(next(&mut broker.consume(queue("q"))).await.message.id, "one");
    for (url, ca, words) in [
        (format!("amqps://localhost:{port}"), None, &["not trusted", "CRONCLAVE_AMQP_CA_FILE"][..]),
        (format!("amqps://127.0.0.1:{port}"), Some("ca.pem"), &["another name"]),
        (format!("amqps://localhost:{port}"), Some("none.pem"), &["CRONCLAVE_AMQP_CA_FILE", "none.pem"]),
        (format!("amqp://localhost:{port}"), None, &["amqps://"]),
        (format!("amqps://localhost:{}", rabbit.port), Some("ca.pem"), &["does not speak TLS", "amqp://"]),
    ] {
        has(&open(url, ca).check().await.unwrap_err(), words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_the_next_node_takes_over() {
    let mut nodes = Rabbit::cluster();
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let haproxy = Haproxy::before(&ports);
    let broker = amqp(&format!("amqp://127.0.0.1:{}", haproxy.port));
    broker.publish(&task("q", "one")).await.unwrap();
    nodes[0].kill();
    let began = Instant::now();
    // What stands in the way is shown, should it stay there.
    until("another node takes messages", async || match broker.publish(&task("q", "two")).await {
        Ok(()) => true,
        Err(why) => {
            println!("{:5} ms  {why}", began.elapsed().as_millis());
            false
        }
    })
    .await;
    println!("{:5} ms  taken", began.elapsed().as_millis());
    let mut consumer = broker.consume(queue("q"));
    // What was confirmed was on two nodes at least.
    let first = next(&mut consumer).await.message.id;
    assert_eq!(first, "one");
}
