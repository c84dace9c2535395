//! The systemd units: sound by systemd's own word, closed as far as they say, and run by a real systemd.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/machine.rs"]
mod machine;
#[path = "common/python.rs"]
mod python;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "common/servers.rs"]
mod servers;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_cronclave");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The units in a directory of their own, for the program that was built.
fn units() -> TempDir {
    machine::need("systemd-analyze", "systemd");
    let dir = tempfile::tempdir().unwrap();
    for name in ["cronclave.service", "cronclave-worker@.service"] {
        let text = fs::read_to_string(root().join("systemd").join(name)).unwrap();
        assert_eq!(text.matches("ExecStart=cronclave ").count(), 1, "{name} is found wherever it is installed");
        let text = text.replace("ExecStart=cronclave ", &format!("ExecStart={BINARY} "));
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn analyze(args: &[&str], dir: &Path) -> (bool, String) {
    let done = Command::new("systemd-analyze").args(args).current_dir(dir).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), said)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_nor_with_the_drop_in() {
    let dir = units();
    // Whether the manual pages are there is asked where the package is installed: tests/package.rs.
    let all = ["verify", "--man=no", "./cronclave.service", "./cronclave-worker@ledger.service"];
    let (good, said) = analyze(&all, dir.path());
    assert!(good && said.is_empty(), "{said}");
    let drop_in = dir.path().join("cronclave.service.d");
    fs::create_dir(&drop_in).unwrap();
    fs::copy(root().join("systemd/cronclave.service.d/run-commands.conf"), drop_in.join("run-commands.conf")).unwrap();
    let (good, said) = analyze(&all[..3], dir.path());
    assert!(good && said.is_empty(), "{said}");
}

#[test]
fn a_replica_without_programs_is_exposed_by_two_of_ten_at_most() {
    let dir = units();
    let exposure =
        |unit: &str| analyze(&["security", "--offline=true", "--no-pager", "--threshold=20", unit], dir.path());
    let (good, said) = exposure("./cronclave.service");
    assert!(good, "{said}");
    println!("measured: {}", said.lines().last().unwrap());
    // Programs of jobs are to work under the other.
    let (good, said) = exposure("./cronclave-worker@.service");
    assert!(!good, "{said}");
}

/// Makes the program, its user and its units be there, as by hand.
fn installed() -> String {
    let root = root().display();
    format!(
        "install -m 755 {BINARY} /usr/local/bin/cronclave
         install -D -m 644 {root}/systemd/cronclave.sysusers /etc/sysusers.d/cronclave.conf
         systemd-sysusers cronclave.conf
         install -m 644 {root}/systemd/*.service /etc/systemd/system/
         install -d /etc/cronclave /etc/credstore
         systemctl daemon-reload
        "
    )
}

const JOBS: &str = r#"
version = 1

[jobs.call]
every = "1s"
http  = { url = "http://localhost:PORT/" }

[jobs.tell]
every   = "1s"
publish = { exchange = "amq.topic", routing_key = "told", payload = { job = "{{ job }}" } }

[jobs.program]
every   = "1s"
command = "grep -e NoNewPrivs -e CapEff /proc/self/status; echo stays in $PWD; touch kept"

[jobs.stray]
every   = "1s"
command = "touch /usr/stray || touch /home/stray || touch /etc/stray"
"#;

#[test]
fn under_systemd_a_closed_replica_calls_publishes_runs_reloads_is_started_again_and_drains() {
    if !machine::can_be_had() {
        return;
    }
    let rabbit = rabbit::Rabbit::start();
    rabbit.ask("PUT", "/api/queues/%2F/told", Some(json!({ "durable": true })));
    rabbit.ask("POST", "/api/bindings/%2F/e/amq.topic/q/told", Some(json!({ "routing_key": "told" })));
    let (port, http) = (servers::free_port(), servers::free_port());
    let jobs = JOBS.replace("PORT", &port.to_string());
    let environment = format!("AMQP_URL={}\nCRONCLAVE_LISTEN=127.0.0.1:{http}\n", rabbit.url());
    let more = "\n[jobs.later]\nschedule = \"@manual\"\ncommand = \"true\"\n";
    let script = format!(
        r#"{installed}
python3 -m http.server {port} --bind 127.0.0.1 --directory /usr/share/doc >/dev/null 2>&1 &
cp jobs.toml /etc/cronclave/jobs.toml
install -m 600 environment /etc/cronclave/environment
echo correct-horse-battery-staple >/etc/credstore/api_token
chmod 600 /etc/credstore/api_token
export CRONCLAVE_SERVER=http://127.0.0.1:{http} CRONCLAVE_TOKEN_FILE=/etc/credstore/api_token

# It is started when it says that it is ready.
systemctl start cronclave
[ "$(of cronclave SubState)" = running ]
holds says "✓.*call" cronclave history call
holds says "✓.*tell" cronclave history tell
holds says "✓.*program" cronclave history program
printed() {{ [ "$(cronclave logs program | grep -c -e "NoNewPrivs:.1" -e "CapEff:.0000000000000000" -e "stays in /var/lib/cronclave")" = 3 ]; }}
holds printed
holds says "✗.*stray" cronclave history stray
[ ! -e /usr/stray ]
[ ! -e /home/stray ]
[ ! -e /etc/stray ]
[ -e /var/lib/cronclave/kept ]
not says "✗" cronclave history call
not says "✗" cronclave history tell
not says "✗" cronclave history program
# The token is a credential; whoever has none is refused.
not cronclave --token-file /dev/null jobs
[ "$(stat -c %U:%a /var/lib/cronclave/cronclave.db)" = cronclave:600 ]

cp more.toml /etc/cronclave/more.toml
systemctl reload cronclave
holds says later cronclave jobs

restarted() {{ [ "$(of cronclave NRestarts)" = "$1" ] && [ "$(of cronclave SubState)" = running ]; }}
kill -9 "$(of cronclave MainPID)"
holds restarted 1

# One whose loop turns is left alone by the watchdog, and says what it does; one that is stuck is started again.
mkdir /etc/systemd/system/cronclave.service.d
printf '[Service]\nWatchdogSec=6\n' >/etc/systemd/system/cronclave.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart cronclave
began=$(date +%s)
longer() {{ [ "$(date +%s)" -gt $((began + 9)) ]; }}
holds longer
restarted 0
of cronclave StatusText | grep -q next
kill -STOP "$(of cronclave MainPID)"
holds restarted 1
holds says "✓.*call" cronclave history call

systemctl stop cronclave
[ "$(of cronclave Result)" = success ]
[ "$(of cronclave ExecMainStatus)" = 0 ]
not pgrep -u cronclave

# A file with mistakes does not get better by starting again.
echo mistake >>/etc/cronclave/jobs.toml
not systemctl start cronclave
[ "$(of cronclave ActiveState)" = failed ]
[ "$(of cronclave ExecMainStatus)" = 78 ]
[ "$(of cronclave NRestarts)" = 0 ]
"#,
        installed = installed(),
    );
    machine::run(
        &[("jobs.toml", &jobs), ("environment", &environment), ("more.toml", &format!("version = 1\n{more}"))],
        &script,
    );
}

const PROGRAMS: &str = r#"
version = 1

# What interpreters do that compile as they go.
[jobs.compiles]
schedule = "@manual"
command  = ["python3", "-c", "import mmap; mmap.mmap(-1, 4096, prot=7); open('/srv/jobs/written', 'w')"]

[jobs.becomes-another]
schedule = "@manual"
command  = ["grep", "-q", "NoNewPrivs:.0", "/proc/self/status"]

[jobs.works]
every    = "2s"
run_on   = "worker"
queue    = "ledger"
command  = "touch begun; sleep 2; echo done by a worker; touch /srv/jobs/worked"
"#;

#[test]
fn under_systemd_programs_do_what_they_must_with_the_drop_in_or_on_a_worker_that_lets_them_end() {
    if !machine::can_be_had() {
        return;
    }
    let environment = format!("CRONCLAVE_LISTEN=127.0.0.1:{}\n", servers::free_port());
    let script = format!(
        r#"{installed}
cp jobs.toml /etc/cronclave/jobs.toml
install -m 600 environment /etc/cronclave/environment
install -d -o cronclave /srv/jobs
mine() {{ cronclave --db /var/lib/cronclave/cronclave.db --config /etc/cronclave "$@"; }}

systemctl start cronclave
for job in compiles becomes-another; do
    mine trigger $job
    holds says "✗.*$job" mine history $job
done
install -D -m 644 {root}/systemd/cronclave.service.d/run-commands.conf /etc/systemd/system/cronclave.service.d/run-commands.conf
systemctl daemon-reload
systemctl restart cronclave
for job in compiles becomes-another; do
    mine trigger $job
    holds says "✓.*$job" mine history $job
done
[ -e /srv/jobs/written ]

# A one-off run, as docs/DEPLOY.md has it (which waits, for what it takes a bus).
systemd-run --quiet --uid=cronclave -p StateDirectory=cronclave -p EnvironmentFile=-/etc/cronclave/environment cronclave run becomes-another
holds says '"kind":"cli"' mine history becomes-another --json

systemctl enable cronclave-worker@ledger
systemctl start cronclave-worker@ledger
holds test -e /var/lib/cronclave/begun
holds says "✓.*works" mine history works
[ -e /srv/jobs/worked ]
rm /var/lib/cronclave/begun
holds test -e /var/lib/cronclave/begun
# What it has begun may end; it takes no more.
systemctl stop cronclave-worker@ledger
[ "$(of cronclave-worker@ledger Result)" = success ]
systemctl stop cronclave
not says "interrupted" mine history works
not says "lost" mine history works
not pgrep -u cronclave
"#,
        installed = installed(),
        root = root().display(),
    );
    machine::run(&[("jobs.toml", PROGRAMS), ("environment", &environment)], &script);
}
