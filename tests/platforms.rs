//! Each platform as it shows itself to a process: real samples of its environment in `tests/data/platforms`, the real
//! program in them, on real servers. It finds its store, its broker, its port, its name and its time to stop by itself.
#![allow(missing_docs, clippy::unwrap_used, dead_code)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "common/servers.rs"]
mod servers;
#[path = "common/tree.rs"]
mod tree;

use rabbit::Rabbit;
use servers::{Redis, free_port};

const LONG: Duration = Duration::from_secs(60);

/// As a provider makes them: not all of it may stand in a URL as it is. `@` would end the place in a sample.
const REDIS_PASSWORD: &str = "p7Jx0-rZ_q.L9";
const AMQP_USER: &str = "5e2b3c1d-user";
const AMQP_PASSWORD: &str = "Kf3_z~81mQ";
const TOKEN: &str = "correct-horse-battery-staple";

const JOBS: &str = "version = 1\n[jobs.tick]\nevery = \"1s\"\nlock = { ttl = \"5s\" }\ncommand = \"sleep 600\"\n[jobs.rest]\nschedule = \"@yearly\"\ncommand = \"true\"\n";

/// A platform with a Redis and a RabbitMQ of this test's own, and a directory as it is there.
struct Platform {
    dir: TempDir,
    redis: Redis,
    vhost: String,
    port: u16,
    env: Vec<(String, String)>,
}

fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("schedules")).unwrap();
    fs::write(dir.path().join("schedules/jobs.toml"), JOBS).unwrap();
    dir
}

/// The variables of a sample, its places filled in.
fn sample(name: &str, fill: impl Fn(String) -> String) -> Vec<(String, String)> {
    let path = format!("{}/tests/data/platforms/{name}.env", env!("CARGO_MANIFEST_DIR"));
    let text = fill(fs::read_to_string(path).unwrap());
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()).collect()
}

/// The program with these variables and no others.
fn program(dir: &Path, env: &[(String, String)], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
    command.args(args).current_dir(dir).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.envs(env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command
}

fn ask(dir: &Path, env: &[(String, String)], args: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = program(dir, env, args).output().unwrap();
    let words = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap_or(-1), words)
}

impl Platform {
    fn new(name: &str) -> Platform {
        let redis = Redis::with(&["--requirepass", REDIS_PASSWORD]);
        let rabbit = Rabbit::shared();
        let (vhost, dir, port) = (rabbit.vhost(), directory(), free_port());
        rabbit.user(&vhost, AMQP_USER, AMQP_PASSWORD, [".*"; 3]);
        let fill = |text: String| {
            text.replace("@REDIS_PASSWORD@", REDIS_PASSWORD)
                .replace("@REDIS_PORT@", &redis.port.to_string())
                .replace("@AMQP_USER@", AMQP_USER)
                .replace("@AMQP_PASSWORD@", AMQP_PASSWORD)
                .replace("@AMQP_PORT@", &rabbit.port.to_string())
                .replace("@AMQP_VHOST@", &vhost)
                .replace("@DIR@", dir.path().to_str().unwrap())
                .replace("@PORT@", &port.to_string())
        };
        let env = sample(name, fill);
        let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
        if name == "kubernetes" || name == "systemd" {
            write("redis_url", format!("redis://:{REDIS_PASSWORD}@127.0.0.1:{}\n", redis.port));
            write("amqp_url", format!("amqp://{AMQP_USER}:{AMQP_PASSWORD}@127.0.0.1:{}/{vhost}", rabbit.port));
            write("api_token", format!("{TOKEN}\n"));
        }
        if name == "systemd" {
            let digest: String =
                Sha256::digest("another-token-of-ana").iter().map(|byte| format!("{byte:02x}")).collect();
            write("api_tokens", format!("ana viewer sha256:{digest}\n"));
        }
        Platform { dir, redis, vhost, port, env }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    fn ask(&self, args: &[&str]) -> (i32, String) {
        ask(self.dir.path(), &self.env, args)
    }

    fn serve(&self) -> Served {
        Served::of(program(self.dir.path(), &self.env, &["serve"]))
    }

    /// The replica finds everything by itself, can be asked without a server from beside it, and keeps to the time it has.
    fn holds(&self, name: &str, http: &str, grace: &str) {
        let mut served = self.serve();
        let begun = served.line("replica.started");
        let text = |key: &str| begun[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("replica"), name);
        let [store, broker] = ["store", "broker"].map(text);
        let port = self.redis.port.to_string();
        assert!(store.starts_with("redis ") && store.contains(&format!("127.0.0.1:{port}")), "{store}");
        let place = format!("127.0.0.1:{}/{}", Rabbit::shared().port, self.vhost);
        assert!(broker.starts_with("RabbitMQ at amqp://") && broker.ends_with(&place), "{broker}");
        assert_eq!(text("http"), http);
        // It is in, with its password: jobs are found there, and run.
        served.runs();
        assert_eq!(get(self.port_of(http), "/livez", None).0, 200);
        let (code, words) = self.ask(&["status", "--json"]);
        let status = serde_json::Deserializer::from_str(&words).into_iter::<Value>().next();
        let status = status.and_then(Result::ok).unwrap_or_else(|| panic!("{code}: {words}"));
        assert_eq!((code, &status["replicas"][0]["name"]), (0, &name.into()), "{words}");
        let (code, words) = self.ask(&["trigger", "rest"]);
        assert_eq!(code, 0, "{words}");
        served.line("run.succeeded");
        served.signal(Signal::TERM);
        served.says(&format!("waiting up to {grace} ("));
        served.signal(Signal::TERM);
        assert_eq!(served.end(), 143);
        for secret in [REDIS_PASSWORD, AMQP_PASSWORD, TOKEN] {
            assert!(!served.all().contains(secret), "a secret is among its lines");
        }
    }

    fn port_of(&self, http: &str) -> u16 {
        http.rsplit(':').next().unwrap().parse().unwrap()
    }
}

/// A process that serves, and its lines.
struct Served {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn of(mut command: Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let lines = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            });
        }
        Served { child, lines }
    }

    fn all(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    fn find<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        let given_up = Instant::now() + LONG;
        loop {
            if let Some(found) = self.lines.lock().unwrap().iter().find_map(|line| look(line)) {
                return found;
            }
            assert!(Instant::now() < given_up, "waited in vain for {what} in\n{}", self.all());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The first line about this event.
    fn line(&self, event: &str) -> Value {
        self.find(event, |line| serde_json::from_str::<Value>(line).ok().filter(|line| line["event"] == event))
    }

    /// The long run goes on.
    fn runs(&self) {
        self.find("a run of tick", |line| {
            let line = serde_json::from_str::<Value>(line).ok()?;
            (line["event"] == "run.started" && line["job"] == "tick").then_some(())
        });
    }

    fn says(&self, word: &str) {
        self.find(word, |line| line.contains(word).then_some(()));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    fn end(&mut self) -> i32 {
        let given_up = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < given_up, "does not end:\n{}", self.all());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(port: u16, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{token}Connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let code = text.split(' ').nth(1).unwrap().parse().unwrap();
    (code, text.split("\r\n\r\n").nth(1).unwrap_or("").to_owned())
}

#[test]
fn a_dyno_of_heroku_finds_its_add_ons() {
    let platform = Platform::new("heroku");
    platform.holds("clock.1", &format!("[::]:{}", platform.port), "25s");
}

#[test]
fn an_instance_of_cloud_foundry_finds_its_services_among_those_that_are_bound() {
    let platform = Platform::new("cloudfoundry");
    platform.holds("cron.2", &format!("[::]:{}", platform.port), "8s");
}

#[test]
fn services_that_users_provided_are_found_in_the_variable_and_in_a_file() {
    let mut platform = Platform::new("cloudfoundry-user-provided");
    platform.holds("night-shift.0", &format!("[::]:{}", platform.port), "8s");
    let (name, list) = platform.env.iter().find(|(name, _)| name == "VCAP_SERVICES").unwrap().clone();
    platform.env.retain(|(known, _)| *known != name);
    let file = platform.dir.path().join("vcap_services");
    fs::write(&file, list).unwrap();
    platform.set("VCAP_SERVICES_FILE_PATH", file.to_str().unwrap());
    platform.holds("night-shift.0", &format!("[::]:{}", platform.port), "8s");
}

#[test]
fn of_several_services_the_one_that_is_named_is_taken() {
    let mut platform = Platform::new("cloudfoundry");
    let list = platform.env.iter().find(|(name, _)| name == "VCAP_SERVICES").unwrap().1.clone();
    let mut list: Value = serde_json::from_str(&list).unwrap();
    let mut other = list["p.redis"][0].clone();
    other["name"] = "our-cache".into();
    other["instance_name"] = "our-cache".into();
    other["credentials"]["port"] = 1.into();
    list["p.redis"].as_array_mut().unwrap().insert(0, other);
    platform.set("VCAP_SERVICES", &list.to_string());
    for args in [&["serve"][..], &["worker"], &["status"], &["run", "rest"]] {
        let (code, words) = platform.ask(args);
        assert_eq!(code, 78, "{args:?}: {words}");
        assert!(words.contains("our-cache, our-state") && words.contains("CRONCLAVE_REDIS_SERVICE"), "{words}");
        assert!(!words.contains(REDIS_PASSWORD), "{words}");
    }
    platform.set("CRONCLAVE_REDIS_SERVICE", "our-state");
    platform.holds("cron.2", &format!("[::]:{}", platform.port), "8s");
}

#[test]
fn a_list_that_is_broken_is_told_once_and_by_its_name() {
    let dir = directory();
    let env = [("CF_INSTANCE_GUID", "8e2b"), ("VCAP_SERVICES", r#"{"p.redis": [{"name": "our"#)];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (code, words) = ask(dir.path(), &env, &["status"]);
    assert_eq!(code, 78, "{words}");
    assert_eq!(words.matches("VCAP_SERVICES: this is no JSON").count(), 1, "{words}");
}

#[test]
fn a_machine_of_fly_is_called_by_its_id_and_stops_within_five_seconds() {
    let mut platform = Platform::new("fly");
    // As fly.toml would have it, for there is no PORT.
    platform.set("CRONCLAVE_LISTEN", &format!(":{}", platform.port));
    platform.holds("148e445b911389", &format!("[::]:{}", platform.port), "4s");
}

#[test]
fn an_instance_of_render_finds_what_it_was_given() {
    let platform = Platform::new("render");
    platform.holds("srv-cq8k1f5ds78s73fkvlsg-7c9d5b8f6d-x2x4l", &format!("[::]:{}", platform.port), "25s");
}

#[test]
fn a_pod_reads_its_secrets_from_a_volume() {
    let platform = Platform::new("kubernetes");
    platform.holds("cronclave-7d9c6b8f55-x2x4l", &format!("[::]:{}", platform.port), "25s");
}

#[test]
fn a_unit_of_systemd_reads_its_credentials() {
    let mut platform = Platform::new("systemd");
    platform.set("CRONCLAVE_REPLICA", "unit");
    platform.holds("unit", &format!("127.0.0.1:{}", platform.port), "25s");
    let served = platform.serve();
    served.runs();
    let who = |token: &str| {
        let (code, text) = get(platform.port, "/api/v1/whoami", Some(token));
        (code, serde_json::from_str::<Value>(&text).unwrap()["role"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(who(TOKEN), (200, "admin".to_owned()));
    assert_eq!(who("another-token-of-ana"), (200, "viewer".to_owned()));
    // Our own variable outdoes a credential, which outdoes what providers set.
    let mut elsewhere = Platform::new("systemd");
    elsewhere.set("REDIS_URL", "redis://127.0.0.1:1");
    elsewhere.set("CRONCLAVE_REPLICA", "unit");
    elsewhere.holds("unit", &format!("127.0.0.1:{}", elsewhere.port), "25s");
    elsewhere.set("CRONCLAVE_REDIS_URL", "redis://127.0.0.1:1");
    let (code, words) = elsewhere.ask(&["status"]);
    assert!(code == 69 && words.contains("127.0.0.1:1"), "{code}: {words}");
}

/// What each command says with the state in a file that does not last.
fn refuses(dir: &Path, env: &[(String, String)], disk: &str) {
    for args in [&["serve"][..], &["worker"], &["run", "rest"], &["trigger", "rest"], &["status"]] {
        let (code, words) = ask(dir, env, args);
        assert_eq!(code, 78, "{args:?}: {words}");
        for word in [disk, "REDIS_URL", "CRONCLAVE_DB_EPHEMERAL=1"] {
            assert!(words.contains(word), "{word} in {args:?}: {words}");
        }
        assert!(!dir.join("cronclave.db").exists(), "{args:?} made a database");
    }
    for args in [&["validate"][..], &["next"], &["run", "--no-lock", "rest"]] {
        let (code, words) = ask(dir, env, args);
        assert_eq!(code, 0, "{args:?} needs no database: {words}");
    }
}

#[test]
fn a_database_on_a_disk_that_is_emptied_is_refused_unless_it_may_be_lost() {
    let (dir, port) = (directory(), free_port().to_string());
    for (name, disk) in [("heroku", "the disk of a dyno"), ("cloudfoundry", "the disk of an app's instance")] {
        let keep = |(name, _): &(String, String)| !name.ends_with("_URL") && name != "VCAP_SERVICES";
        let mut env: Vec<_> = sample(name, |text| text.replace("@PORT@", &port)).into_iter().filter(keep).collect();
        refuses(dir.path(), &env, disk);
        env.push(("CRONCLAVE_DB_EPHEMERAL".to_owned(), "1".to_owned()));
        let served = Served::of(program(dir.path(), &env, &["serve"]));
        assert!(served.line("replica.started")["store"].as_str().unwrap().starts_with("sqlite "));
        served.runs();
        let (code, words) = ask(dir.path(), &env, &["trigger", "rest"]);
        assert_eq!(code, 0, "{words}");
        drop(served);
        // Somebody put it there: it may be looked at.
        env.pop();
        let (code, words) = ask(dir.path(), &env, &["history"]);
        assert_eq!(code, 0, "{words}");
        for file in ["cronclave.db", "cronclave.db-wal", "cronclave.db-shm"] {
            let _ = fs::remove_file(dir.path().join(file));
        }
    }
}

/// A pod, a Machine or a Render instance without its servers.
fn bare(name: &str) -> Vec<(String, String)> {
    let keep =
        |(name, _): &(String, String)| !name.contains("_URL") && name != "PORT" && !name.starts_with("CRONCLAVE");
    sample(name, |text| text).into_iter().filter(keep).collect()
}

#[test]
fn memory_is_no_place_for_a_database_where_pods_come_and_go() {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        return eprintln!("there is no /dev/shm here");
    }
    let (dir, shm) = (directory(), tempfile::tempdir_in(memory).unwrap());
    for name in ["kubernetes", "fly", "render"] {
        let mut env = bare(name);
        env.push(("CRONCLAVE_DB".to_owned(), shm.path().join("cronclave.db").to_str().unwrap().to_owned()));
        let (code, words) = ask(dir.path(), &env, &["serve"]);
        assert!(code == 78 && words.contains("CRONCLAVE_DB_EPHEMERAL=1"), "{name}: {code} {words}");
    }
}

#[test]
fn a_database_on_a_volume_is_taken_on_every_platform_that_has_volumes() {
    let (dir, volume) = (directory(), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    // A mount of our own, which nobody else sees.
    let within = |place: &Path, env: &[(String, String)]| {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" \"$0\" && exec \"$@\"";
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(place);
        command.args([env!("CARGO_BIN_EXE_cronclave"), "run", "rest"]).current_dir(dir.path());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(env.iter().cloned());
        let said = command.env("CRONCLAVE_DB", volume.path().join("cronclave.db")).output().unwrap();
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    let (_, words) = within(volume.path(), &[]);
    if words.contains("unshare") || words.contains("mount:") {
        return eprintln!("nothing can be mounted here: {words}");
    }
    for name in ["kubernetes", "fly", "render"] {
        let (code, words) = within(volume.path(), &bare(name));
        assert_eq!(code, Some(0), "{name}: {words}");
    }
}

/// The words of a text that could be variables of ours.
fn variables(text: &str) -> std::collections::BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("CRONCLAVE_") && !word.ends_with('_') && !word.contains("_ARG_"))
        .collect()
}

#[test]
fn the_page_names_every_variable_that_is_read() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PLATFORMS.md")).unwrap();
    let known = variables(&page);
    let mut missing = std::collections::BTreeSet::new();
    for path in tree::files("src", "") {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        // Those that are given to jobs are another page's; the commit is whoever builds it's to say.
        let given = ["runner", "cli/fence.rs", "problems"].iter().any(|part| path.to_str().unwrap().contains(part));
        let quoted: String = code.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" ");
        missing.extend(
            variables(&quoted)
                .into_iter()
                .filter(|name| !given && !known.contains(name) && *name != "CRONCLAVE_COMMIT")
                .map(str::to_owned),
        );
    }
    assert!(missing.is_empty(), "docs/PLATFORMS.md does not name {missing:?}");
}
