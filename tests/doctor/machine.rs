//! What may be wrong with settings, files, and the machine.

use std::net::TcpListener;
use std::process::Command;

use crate::bench::Place;
use crate::servers::{Redis, free_port};
use crate::{Found, sound};

fn doctor(env: &[(&str, &str)]) -> Found {
    Found::of(&sound(), env, &[])
}

#[test]
fn on_a_laptop_nothing_is_wrong() {
    let place = sound();
    let found = Found::of(&place, &[], &[]);
    found.tells("config.files", "good", &["1 file, 1 job"]).tells("tzdata.version", "good", &["built in"]);
    found.tells("database.file", "good", &["cronclave.db"]).tells("rabbitmq.connection", "skipped", &["AMQP_URL"]);
    found.and_no_more(&[]);
    assert!(!place.path("cronclave.db").exists(), "it made a database");
    place.ask(&["run", "hello"]).expect(0, &[]);
    Found::of(&place, &[], &[]).tells("database.file", "good", &["share it"]).and_no_more(&[]);
    // For people: one line a finding, and what it comes to.
    let said = place.ask(&["doctor"]).expect(0, &["config ", "✓ 1 file, 1 job", "0 problems, 0 warnings"]);
    assert!(!said.out.contains('\x1b'), "{said:?}");
}

#[test]
fn files_with_mistakes_are_told_with_their_place() {
    let place = sound();
    place.write("schedules/bad.toml", "version = 1\n[jobs.bad]\nschedule = \"61 * * * *\"\ncommand = \"true\"\n");
    Found::of(&place, &[], &[]).tells("config.files", "problem", &["schedules/bad.toml:3", "61"]);
    let empty = Place::empty();
    Found::of(&empty, &[], &[]).tells("config.files", "problem", &["no schedule file", "--config"]);
}

#[test]
fn secrets_that_are_not_set_here_are_told() {
    let place = sound();
    let text = "version = 1\n[secrets]\ncrm = { env = \"CRM_TOKEN\" }\n[jobs.sync]\nschedule = \"@manual\"\n\
                command = \"true\"\nenv = { TOKEN = { secret = \"crm\" } }\n";
    place.write("schedules/sync.toml", text);
    Found::of(&place, &[], &[])
        .tells("config.secrets", "warning", &["crm", "no value here"])
        .and_no_more(&["config.secrets"]);
    Found::of(&place, &[("CRM_TOKEN", "x")], &[]).and_no_more(&[]);
}

#[test]
fn jobs_for_workers_without_a_broker_are_told() {
    let redis = Redis::with(&["--appendonly", "yes"]);
    let place = sound();
    place.write(
        "schedules/more.toml",
        "version = 1\n[jobs.report]\nschedule = \"@manual\"\ncommand = \"true\"\nrun_on = \"worker\"\nqueue = \"q\"\n",
    );
    let found = Found::of(&place, &[("REDIS_URL", &redis.url())], &[]);
    found.tells("config.broker", "problem", &["report", "AMQP_URL"]).and_no_more(&["config.broker"]);
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let both = [("CRONCLAVE_REDIS_URL", "redis://localhost"), ("CRONCLAVE_DB", "state.db")];
    doctor(&both).tells("settings.usable", "problem", &["choose one"]);
    doctor(&[("PORT", "http")]).tells("settings.usable", "problem", &["PORT", "not a port"]);
}

#[test]
fn a_disk_that_cannot_be_written_to_is_told() {
    doctor(&[("CRONCLAVE_DB", "/proc/cronclave.db")]).tells("database.file", "problem", &["/proc", "CRONCLAVE_DB"]);
    doctor(&[("CRONCLAVE_DB", "/no/such/directory/x.db")]).tells("database.file", "problem", &["/no/such/directory"]);
    let place = sound();
    place.write("foreign.db", "This is no database, but it is long enough to be looked at as one.".repeat(40));
    Found::of(&place, &[("CRONCLAVE_DB", "foreign.db")], &[]).tells("database.file", "problem", &["foreign.db"]);
}

#[test]
fn a_disk_that_does_not_last_is_told() {
    doctor(&[("DYNO", "web.1")]).tells(
        "database.lasts",
        "problem",
        &["a dyno", "REDIS_URL", "CRONCLAVE_DB_EPHEMERAL=1"],
    );
    let allowed = doctor(&[("DYNO", "web.1"), ("CRONCLAVE_DB_EPHEMERAL", "1")]);
    assert!(allowed.told("database.lasts").is_empty(), "{:#}", allowed.report);
}

#[test]
fn a_port_that_is_taken_is_told_unless_a_replica_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    doctor(&[("CRONCLAVE_LISTEN", &listen)]).tells("http.port", "problem", &[&listen, "--listen or PORT"]);
    let place = sound();
    let listen = format!("127.0.0.1:{}", free_port());
    let _replica = place.start(place.command(&["serve", "--listen", &listen]));
    let given_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while Found::of(&place, &[("CRONCLAVE_LISTEN", &listen)], &[]).told("http.port")[0].1.contains("is free") {
        assert!(std::time::Instant::now() < given_up, "the replica never listens");
    }
    Found::of(&place, &[("CRONCLAVE_LISTEN", &listen)], &[]).tells("http.port", "good", &["a replica answers"]);
}

#[test]
fn a_collector_that_this_build_sends_nothing_to_is_told() {
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    doctor(&[collector]).tells("traces.sent", "warning", &["feature `otlp`"]).and_no_more(&["traces.sent"]);
    let off = doctor(&[collector, ("OTEL_SDK_DISABLED", "true")]);
    assert!(off.told("traces.sent").is_empty(), "{:#}", off.report);
}

#[test]
fn an_open_address_without_a_token_is_told() {
    let port = free_port().to_string();
    doctor(&[("PORT", &port)])
        .tells("http.token", "warning", &["CRONCLAVE_API_TOKEN_FILE"])
        .and_no_more(&["http.token"]);
    let token = "0123456789abcdef0123456789abcdef";
    let found = doctor(&[("PORT", &port), ("CRONCLAVE_API_TOKEN", token)]);
    found.and_no_more(&[]);
    assert!(!found.report.to_string().contains(token), "the token is shown");
}

#[test]
fn too_few_descriptors_are_told() {
    let place = sound();
    let mut command = Command::new("sh");
    place.set_up(&mut command);
    let program = env!("CARGO_BIN_EXE_cronclave");
    command.args(["-c", &format!("ulimit -n 100; exec {program} doctor --json")]);
    Found::by(&place, command, &[], &[]).tells("limits.files", "warning", &["100 files", "ulimit -n"]);
}

#[test]
fn more_time_to_stop_than_the_platform_gives_is_told() {
    let redis = Redis::with(&["--appendonly", "yes"]);
    let url = redis.url();
    let on = |platform, grace| doctor(&[("REDIS_URL", &*url), (platform, "x1"), ("CRONCLAVE_GRACE", grace)]);
    on("DYNO", "60s").tells("limits.grace", "problem", &["Heroku kills after 30 s", "CRONCLAVE_GRACE"]);
    on("CF_INSTANCE_GUID", "12s").tells("limits.grace", "problem", &["Cloud Foundry kills after 10 s"]);
    on("FLY_MACHINE_ID", "60s").tells("limits.grace", "warning", &["Fly.io", "kill_timeout"]);
    on("KUBERNETES_SERVICE_HOST", "60s").tells("limits.grace", "warning", &["terminationGracePeriodSeconds"]);
    on("DYNO", "25s").tells("limits.grace", "good", &["25s"]).and_no_more(&[]);
}
