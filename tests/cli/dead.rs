//! Dead letters as they are seen, sent again and dropped: here in the file. tests/messages has them in RabbitMQ.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cronclave::broker::{Broker, Delivery, Exchange, Local, Message, Queue, dead_letter};
use cronclave::clock::{Clock, Timestamp};
use cronclave::store::{Create, Sqlite};

use super::bench::Place;
use super::servers::Redis;

/// The broker in the file of a place.
fn broker(place: &Place) -> Local {
    let file = Sqlite::open(&place.path("cronclave.db"), Create::IfMissing, Clock::system()).unwrap();
    Local::new(Arc::new(file), Clock::system())
}

/// A wish to run `job`.
fn wish(id: &str, job: &str) -> Message {
    Message {
        to: Exchange::Triggers,
        key: format!("trigger.default.{job}"),
        id: id.into(),
        at: Timestamp::from_secs(1_795_372_800),
        body: format!("{{\"reason\":\"{id}\"}}").into_bytes(),
        ..Message::default()
    }
}

/// Makes a wish a dead letter.
async fn die(broker: &Local, wish: Message) {
    let delivery = Delivery { message: wish, redelivered: false };
    dead_letter(broker, "default", &delivery, &Queue::Triggers, "nobody \x1b[31mlikes\nit").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_with_all_that_helps() {
    let place = Place::with_history();
    assert_eq!(place.ask(&["dead"]).expect(0, &[]).out, "no dead letters\n");
    let broker = broker(&place);
    for id in ["one", "two", "three"] {
        die(&broker, wish(id, "hello")).await;
    }
    let said =
        place.ask(&["dead"]).expect(0, &["ID", "2026-11-22 18:40:00 UTC", "triggers", "16", "{\"reason\":\"one\"}"]);
    assert!(said.out.contains("nobody  [31mlikes it") && said.out.lines().count() == 4, "{said:#?}");
    place.ask(&["dead", "ls", "-n", "2"]).expect(0, &["there may be more", "oldest 2"]);
    let items = place.ask(&["dead", "--json"]).expect(0, &[]).json()["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 3);
    assert_eq!((&items[2]["excerpt"], &items[2]["size"]), (&"{\"reason\":\"three\"}".into(), &18.into()));
    place.ask(&["status"]).expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_dropped_by_who_means_it_and_a_mistake_changes_nothing() {
    let place = Place::with_history();
    let broker = broker(&place);
    for id in ["one", "two", "three"] {
        die(&broker, wish(id, "hello")).await;
    }
    let letters = broker.dead_letters(9).await.unwrap();
    let (first, second) = (letters[0].id.as_str(), letters[1].id.as_str());
    place.ask(&["dead", "drop"]).expect(2, &["ID"]);
    place.ask(&["dead", "drop", first, "--all"]).expect(2, &["--all"]);
    place.ask(&["dead", "drop", first]).expect(2, &["would be gone for good", "--yes"]);
    place.ask(&["dead", "drop", first, "no-such-letter", "--yes"]).expect(66, &["no dead letter `no-such-letter`"]);
    assert_eq!(broker.dead_letters(9).await.unwrap().len(), 3);
    place.ask(&["dead", "drop", first, second, "--yes"]).expect(0, &["dropped 2 dead letters. This cannot be undone."]);
    place.ask(&["dead", "drop", first, "--yes"]).expect(66, &["no dead letter"]);
    place.ask(&["dead", "drop", "--all", "--yes"]).expect(0, &["dropped 1 dead letter."]);
    place.ask(&["dead", "drop", "--all"]).expect(0, &["no dead letters: nothing changed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_died_is_sent_again_as_it_came() {
    let place = Place::with_history();
    let broker = broker(&place);
    die(&broker, wish("order-1", "hello")).await;
    place.ask(&["dead", "resend", "--all"]).expect(0, &["sent 1 dead letter again"]);
    let came = broker.consume(Queue::Triggers).next().await.message;
    assert_eq!((&*came.key, &*came.id, came.headers.len()), ("trigger.default.hello", "order-1", 0));
    assert_eq!(place.ask(&["dead"]).expect(0, &[]).out, "no dead letters\n");
}

#[test]
fn a_broker_that_is_away_or_missing_is_said_to_be() {
    let (place, redis) = (Place::with_history(), Redis::plain());
    let ask = |args: &[&str], name: &str, value: &str| {
        let mut command = place.command(args);
        command.env(name, value);
        let began = Instant::now();
        let said = place.finish(command);
        assert!(began.elapsed() < Duration::from_secs(60), "{args:?} took {:?}", began.elapsed());
        said
    };
    std::thread::scope(|scope| {
        for args in [&["dead"][..], &["dead", "resend", "--all"], &["dead", "drop", "x", "--yes"]] {
            let (ask, redis) = (&ask, &redis);
            scope.spawn(move || {
                let away = ask(args, "AMQP_URL", "amqp://:sesame@127.0.0.1:9");
                away.expect(69, &["127.0.0.1:9", "nothing listens"]);
                ask(args, "REDIS_URL", &redis.url()).expect(69, &["there is no broker: set AMQP_URL"]);
            });
        }
    });
}
