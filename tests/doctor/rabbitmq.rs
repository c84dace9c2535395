//! What may be wrong with a RabbitMQ.

use serde_json::json;

use crate::Found;
use crate::bench::Place;
use crate::rabbit::Rabbit;
use crate::servers::free_port;

const JOBS: &str = "version = 1\n[jobs.report]\nschedule = \"@manual\"\ncommand = \"true\"\nrun_on = \"worker\"\nqueue = \"reports\"\n";

/// With a job for workers, on one machine.
fn place() -> Place {
    let place = Place::empty();
    place.write("schedules/jobs.toml", JOBS);
    place
}

fn doctor(url: &str, args: &[&str]) -> Found {
    Found::of(&place(), &[("AMQP_URL", url)], args)
}

#[test]
fn of_a_sound_server_nothing_is_said_and_nothing_is_made_unless_asked() {
    let rabbit = Rabbit::shared();
    let (vhost, queue) = (rabbit.vhost(), "cronclave.q.default.reports");
    let url = rabbit.url_of(&vhost);
    let found = doctor(&url, &[]);
    found.tells("rabbitmq.connection", "good", &["amqp://guest@127.0.0.1", "RabbitMQ 3", "confirms in"]);
    found.tells("rabbitmq.permissions", "good", &["configure, write and read"]);
    found.tells("rabbitmq.topology", "skipped", &["cronclave.tasks", queue]).and_no_more(&[]);
    assert!(!found.report.to_string().contains("guest:guest"), "a password is shown");
    let queues = || rabbit.ask("GET", &format!("/api/queues/{vhost}"), None).1;
    // The queue of its trial is gone with its connection.
    let given_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while queues().as_array().is_none_or(|all| !all.is_empty()) {
        assert!(std::time::Instant::now() < given_up, "it left something there: {}", queues());
    }
    let found = doctor(&url, &["--fix"]);
    found.tells("rabbitmq.topology", "mended", &["made", "cronclave.tasks", queue]).and_no_more(&[]);
    let found = doctor(&url, &[]);
    found.tells("rabbitmq.topology", "good", &["are as they should be"]).and_no_more(&[]);
    assert!(found.told("rabbitmq.topology").iter().all(|(level, _)| level == "good"), "{:#}", found.report);
    assert!(queues().as_array().unwrap().iter().any(|one| one["name"] == queue));
}

#[test]
fn what_keeps_us_from_connecting_is_told() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    rabbit.user(&vhost, "stranger", "secret", ["", "", ""]);
    let (port, closed) = (rabbit.port, free_port());
    for (url, words) in [
        (format!("amqp://127.0.0.1:{closed}"), &["nothing listens there", "systemctl start rabbitmq-server"][..]),
        (format!("amqp://guest:wrong@127.0.0.1:{port}"), &["password is wrong"]),
        (format!("amqp://127.0.0.1:{port}/no-such-vhost"), &["no vhost `no-such-vhost`", "rabbitmqctl add_vhost"]),
        (format!("amqps://localhost:{port}"), &["does not speak TLS", "amqp://"]),
        ("amqp://no-such-host.invalid".into(), &["no-such-host.invalid", "not known"]),
    ] {
        doctor(&url, &[]).tells("rabbitmq.connection", "problem", words).and_no_more(&["rabbitmq.connection"]);
    }
}

#[test]
fn what_a_user_may_not_do_is_told_with_the_line_that_allows_it() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    doctor(&rabbit.url_of(&vhost), &["--fix"]).and_no_more(&[]);
    let (configure, write, read) =
        (r"^cronclave\..*", r"^(cronclave\..*|amq\.(default|topic))$", r"^(cronclave\..*|amq\.topic)$");
    for (name, patterns) in [
        ("no-configure", ["", write, read]),
        ("no-write", [configure, "", read]),
        ("no-read", [configure, write, ""]),
        ("no-default", [configure, r"^cronclave\..*", read]),
    ] {
        rabbit.user(&vhost, name, "secret", patterns);
        let found = doctor(&format!("amqp://{name}:secret@127.0.0.1:{}/{vhost}", rabbit.port), &[]);
        found.tells("rabbitmq.permissions", "problem", &["rabbitmqctl set_permissions"]);
    }
    rabbit.user(&vhost, "enough", "secret", [configure, write, read]);
    doctor(&format!("amqp://enough:secret@127.0.0.1:{}/{vhost}", rabbit.port), &[]).and_no_more(&[]);
}

#[test]
fn a_queue_with_a_short_acknowledgement_limit_or_of_another_kind_is_told() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let queue = "cronclave.q.default.reports";
    let url = rabbit.url_of(&vhost);
    let make = |body| {
        let (code, said) = rabbit.ask("PUT", &format!("/api/queues/{vhost}/{queue}"), Some(body));
        assert!((200..300).contains(&code), "{code} {said}");
    };
    let own = json!({"x-queue-type": "quorum", "x-delivery-limit": 20, "x-dead-letter-exchange": "cronclave.dead",
        "x-dead-letter-routing-key": "dead.default.reports"});
    let mut short = own.clone();
    short["x-consumer-timeout"] = json!(10_000);
    make(json!({"durable": true, "arguments": short}));
    let api = rabbit.api();
    let env = [("AMQP_URL", &*url), ("CRONCLAVE_AMQP_MANAGEMENT_URL", &*api)];
    let told = Found::of(&place(), &env, &[]);
    told.tells("rabbitmq.acknowledgement", "problem", &["`reports`", "after 10s", "x-consumer-timeout"]);
    rabbit.delete(&vhost, queue);
    make(json!({"durable": true, "arguments": {}}));
    doctor(&url, &[]).tells("rabbitmq.topology", "problem", &[queue, "other settings than ours", "Delete it"]);
    rabbit.delete(&vhost, queue);
    make(json!({"durable": true, "arguments": own}));
    let found = doctor(&url, &[]);
    found.tells("rabbitmq.acknowledgement", "good", &["acknowledged within 45s"]).and_no_more(&[]);
}

#[test]
fn a_server_that_takes_no_messages_is_told() {
    let rabbit = Rabbit::start();
    rabbit.block(true);
    doctor(&rabbit.url(), &[]).tells("rabbitmq.blocked", "problem", &["memory"]);
    rabbit.block(false);
}

#[test]
fn with_nothing_to_be_made_what_is_missing_is_a_problem() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let env = [("AMQP_URL", &*rabbit.url_of(&vhost)), ("CRONCLAVE_DECLARE", "0")];
    let found = Found::of(&place(), &env, &[]);
    found.tells("rabbitmq.topology", "problem", &["CRONCLAVE_DECLARE=0", "cronclave.tasks", "docs/RABBITMQ.md"]);
}
