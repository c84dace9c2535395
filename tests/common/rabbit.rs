//! A real RabbitMQ for tests: on free ports, with a directory of its own, gone when its handle is dropped or the
//! process ends, however it ends.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::servers::free_port;

/// Keeps one server and its epmd, told what to do line by line. Where the pipe ends, so does the process that held
/// it: nothing is left behind.
const WATCHDOG: &str = r#"
cd "$1"
server=; epmd=
[ -z "$2" ] || { epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 </dev/null >/dev/null 2>&1 & epmd=$!; }
while read -r word; do
    case $word in
        start) "$0" -noinput </dev/null >>out 2>&1 & server=$!; echo up >state ;;
        stop) kill -9 "$server"; wait "$server"; echo down >state ;;
    esac
done
kill -9 $server $epmd
wait
cd / && rm -rf "$1"
"#;

/// A small machine; limits of time are looked at every second instead of every minute.
const ERL_ARGS: &str = "+S 1:1 +A 1 +sbt u -rabbit channel_tick_interval 1000";

/// Longer than a boot takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A boot takes no longer than that, or will not come to its end.
const BOOT: Duration = Duration::from_secs(60);

/// Of its log, when a test has failed.
const LINES: usize = 80;

/// `guest:guest`.
const LOGIN: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// A RabbitMQ of our own, with its management API.
pub(crate) struct Rabbit {
    /// Where AMQP is spoken.
    pub(crate) port: u16,
    /// Where MQTT is spoken.
    pub(crate) mqtt: u16,
    http: u16,
    epmd: u16,
    node: String,
    dir: PathBuf,
    watchdog: Child,
}

impl Rabbit {
    /// A server that nobody else uses.
    pub(crate) fn start() -> Rabbit {
        Rabbit::with("")
    }

    /// The same with more lines for its `rabbitmq.conf`.
    pub(crate) fn with(lines: &str) -> Rabbit {
        Rabbit::begin(lines, None, &format!("test{}@localhost", free_port()))
    }

    /// The one that all tests of this process share, each with a vhost of its own: [`Rabbit::vhost`].
    pub(crate) fn shared() -> &'static Rabbit {
        static SHARED: OnceLock<Rabbit> = OnceLock::new();
        SHARED.get_or_init(Rabbit::start)
    }

    /// Three nodes that are one cluster.
    pub(crate) fn cluster() -> Vec<Rabbit> {
        let nodes: Vec<String> = (0..3).map(|_| format!("test{}@localhost", free_port())).collect();
        let mut lines = "cluster_formation.peer_discovery_backend = classic_config\n".to_owned();
        for (index, node) in nodes.iter().enumerate() {
            let _ = writeln!(lines, "cluster_formation.classic_config.nodes.{} = {node}", index + 1);
        }
        let mut all: Vec<Rabbit> = Vec::new();
        for node in &nodes {
            // One after the other: the first has to be there for the next to join it.
            let epmd = all.first().map(|first| first.epmd);
            all.push(Rabbit::begin(&lines, epmd, node));
        }
        until("three nodes know each other", || {
            all[0].ask("GET", "/api/nodes", None).1.as_array().is_some_and(|nodes| nodes.len() == 3)
        });
        all
    }

    /// A port that was free may be taken by another test before the server has it: then it takes others.
    fn begin(lines: &str, epmd: Option<u16>, node: &str) -> Rabbit {
        let mut rabbit = Rabbit::prepare(lines, epmd, node);
        rabbit.tell("start", "up");
        if !holds_within(BOOT, || rabbit.is_up()) {
            println!("{node} did not come up: {}", fs::read_to_string(rabbit.dir.join("out")).unwrap_or_default());
            rabbit = Rabbit::prepare(lines, epmd, node);
            rabbit.start_again();
        }
        rabbit
    }

    fn is_up(&self) -> bool {
        self.try_ask("GET", "/api/overview", None).is_some_and(|(code, _)| code == 200)
            && TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    fn prepare(lines: &str, epmd: Option<u16>, node: &str) -> Rabbit {
        let name = format!("cronclave-rabbit-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(dir.join("home")).unwrap();
        let (port, http, mqtt) = (free_port(), free_port(), free_port());
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {http}\n\
             mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}\nloopback_users = none\nlog.console = false\n\
             collect_statistics_interval = 500\nvm_memory_high_watermark.absolute = 2GB\n\
             disk_free_limit.absolute = 10MB\n{lines}"
        );
        fs::write(dir.join("rabbitmq.conf"), config).unwrap();
        fs::write(dir.join("enabled_plugins"), "[rabbitmq_management,rabbitmq_mqtt].").unwrap();
        let cookie = dir.join("home/.erlang.cookie");
        fs::write(&cookie, "ofcronclavestests").unwrap();
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).unwrap();
        let own_epmd = epmd.is_none();
        let epmd = epmd.unwrap_or_else(free_port);
        let mut command = Command::new("sh");
        command.arg("-c").arg(WATCHDOG).arg(program("rabbitmq-server")).arg(&dir);
        command.arg(if own_epmd { "epmd" } else { "" });
        environment(&mut command, &dir, epmd, node);
        let dist = free_port().to_string();
        let watchdog = command
            .env("RABBITMQ_DIST_PORT", dist)
            // It becomes the server instead of keeping it as a child.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERL_ARGS)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Rabbit { port, mqtt, http, epmd, node: node.to_owned(), dir, watchdog }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.tell("stop", "down");
    }

    /// Starts it again where it was, after [`Rabbit::kill`].
    pub(crate) fn start_again(&mut self) {
        self.tell("start", "up");
        until("RabbitMQ is up: is rabbitmq-server installed?", || self.is_up());
    }

    fn tell(&mut self, word: &str, state: &str) {
        writeln!(self.watchdog.stdin.as_mut().unwrap(), "{word}").unwrap();
        until("the server is told", || {
            fs::read_to_string(self.dir.join("state")).is_ok_and(|text| text.trim() == state)
        });
    }

    /// Of the default vhost.
    pub(crate) fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.port)
    }

    /// Of one vhost.
    pub(crate) fn url_of(&self, vhost: &str) -> String {
        format!("{}/{vhost}", self.url())
    }

    /// Of the management API.
    pub(crate) fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// A fresh vhost that `guest` may use.
    pub(crate) fn vhost(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("v{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (code, said) = self.ask("PUT", &format!("/api/vhosts/{name}"), Some(json!({})));
        assert!((200..300).contains(&code), "no vhost {name}: {code} {said}");
        self.permit(&name, "guest", [".*"; 3]);
        name
    }

    /// A user with this password, who may configure, write and read what matches these patterns in a vhost.
    pub(crate) fn user(&self, vhost: &str, user: &str, password: &str, patterns: [&str; 3]) {
        self.ask("PUT", &format!("/api/users/{user}"), Some(json!({"password": password, "tags": ""})));
        self.permit(vhost, user, patterns);
    }

    fn permit(&self, vhost: &str, user: &str, [configure, write, read]: [&str; 3]) {
        let body = json!({"configure": configure, "write": write, "read": read});
        let (code, said) = self.ask("PUT", &format!("/api/permissions/{vhost}/{user}"), Some(body));
        assert!((200..300).contains(&code), "{user} is not permitted: {code} {said}");
    }

    /// Closes every connection to a vhost by force.
    pub(crate) fn close_connections(&self, vhost: &str) {
        self.ctl(&["close_all_connections", "--vhost", vhost, "for a test"]);
    }

    /// Throws away what waits in a queue.
    pub(crate) fn purge(&self, vhost: &str, queue: &str) {
        let (code, said) = self.ask("DELETE", &format!("/api/queues/{vhost}/{queue}/contents"), None);
        assert!((200..300).contains(&code), "{queue} is not purged: {code} {said}");
    }

    /// Deletes a queue.
    pub(crate) fn delete(&self, vhost: &str, queue: &str) {
        let (code, said) = self.ask("DELETE", &format!("/api/queues/{vhost}/{queue}"), None);
        assert!((200..300).contains(&code), "{queue} is not deleted: {code} {said}");
    }

    /// Removes the binding of a queue to an exchange.
    pub(crate) fn unbind(&self, vhost: &str, exchange: &str, queue: &str, key: &str) {
        let key = key.replace('#', "%23").replace('*', "%2A");
        let (code, said) = self.ask("DELETE", &format!("/api/bindings/{vhost}/e/{exchange}/q/{queue}/{key}"), None);
        assert!((200..300).contains(&code), "{queue} is not unbound: {code} {said}");
    }

    /// How many messages wait in a queue and who takes from it, as it was half a second ago; `None` when there is no
    /// such queue.
    pub(crate) fn queue(&self, vhost: &str, queue: &str) -> Option<(u64, u64)> {
        let (code, said) = self.ask("GET", &format!("/api/queues/{vhost}/{queue}"), None);
        let number = |name: &str| said[name].as_u64().unwrap_or(0);
        (code == 200).then(|| (number("messages_ready"), number("consumers")))
    }

    /// Has queues of a vhost refuse what does not fit in so many messages.
    pub(crate) fn limit(&self, vhost: &str, messages: u32) {
        let definition = format!("{{\"max-length\":{messages},\"overflow\":\"reject-publish\"}}");
        self.ctl(&["set_policy", "--vhost", vhost, "limit", "cronclave.q.*", &definition]);
    }

    /// The channels of a vhost on which messages are confirmed.
    pub(crate) fn confirming(&self, vhost: &str) -> Vec<String> {
        let all = self.ctl(&["list_channels", "vhost", "confirm", "pid"]);
        let of = format!("{vhost}\ttrue\t");
        all.lines().filter_map(|line| line.strip_prefix(&of)).map(str::to_owned).collect()
    }

    /// Stops taking messages, as when its memory is full; or takes them again.
    pub(crate) fn block(&self, blocked: bool) {
        self.ctl(&["set_vm_memory_high_watermark", if blocked { "0.0000001" } else { "0.9" }]);
    }

    /// Waits until a new quorum queue would outlive `kill -9`: the server writes down which there are once in
    /// three seconds only.
    pub(crate) fn remembers(&self, queue: &str) {
        let file = self.dir.join("mnesia").join(&self.node).join("quorum").join(&self.node).join("names.dets");
        let holds = |text: &[u8]| text.windows(queue.len()).any(|part| part == queue.as_bytes());
        until("the queue is written down", || fs::read(&file).is_ok_and(|text| holds(&text)));
    }

    /// What the server wrote to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log").join(format!("{}.log", self.node))).unwrap_or_default()
    }

    /// Runs `rabbitmqctl`.
    pub(crate) fn ctl(&self, words: &[&str]) -> String {
        let mut command = Command::new(program("rabbitmqctl"));
        command.args(["-q", "-n", &self.node]).args(words);
        environment(&mut command, &self.dir, self.epmd, &self.node);
        let done = command.output().unwrap();
        assert!(done.status.success(), "rabbitmqctl {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Asks the management API.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.try_ask(method, path, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    fn try_ask(&self, method: &str, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut socket = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic {LOGIN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n")?.1;
        Some((code, serde_json::from_str(body).unwrap_or(Value::Null)))
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the log of {}\n{}", self.node, lines[lines.len().saturating_sub(LINES)..].join("\n"));
        }
        // The watchdog ends with its pipe, after all that it keeps.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// The programs themselves: what stands in the usual place wants to be root, and changes to another user.
fn program(name: &str) -> PathBuf {
    let found = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.path().join("sbin").join(name)).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("{name} is missing: sudo apt-get install rabbitmq-server"))
}

fn environment(command: &mut Command, dir: &std::path::Path, epmd: u16, node: &str) {
    command
        .env("HOME", dir.join("home"))
        .env("RABBITMQ_NODENAME", node)
        .env("ERL_EPMD_PORT", epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", dir.join("log"))
        .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
}

/// HAProxy in front of some servers: the first that is well gets new connections.
pub(crate) struct Haproxy {
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
    child: Child,
}

impl Haproxy {
    pub(crate) fn before(servers: &[u16]) -> Haproxy {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let mut config = format!(
            "defaults\n mode tcp\n timeout connect 2s\n timeout client 1h\n timeout server 1h\n\
             listen rabbit\n bind 127.0.0.1:{port}\n balance first\n"
        );
        for server in servers {
            let _ = writeln!(config, " server s{server} 127.0.0.1:{server} check inter 200 fall 2 rise 2");
        }
        let file = dir.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let child = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .or_else(|_| Command::new("/usr/sbin/haproxy").arg("-db").arg("-f").arg(&file).spawn())
            .expect("haproxy is missing: sudo apt-get install haproxy");
        until("HAProxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Haproxy { port, _dir: dir, child }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, holds), "waited in vain until {what}");
}

fn holds_within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let given_up = Instant::now() + limit;
    while !holds() {
        if Instant::now() >= given_up {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}
