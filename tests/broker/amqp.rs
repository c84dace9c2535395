//! What is on the server, as others see it; and what is said when something there is wrong.

use std::time::Duration;

use cronclave::broker::amqp::Settings;
use cronclave::broker::{Amqp, Broker, Exchange, Message, NotPublished, Queue, Remedy};
use cronclave::clock::Timestamp;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

use tokio::time::timeout;

use super::rabbit::Rabbit;
use super::suite::{amqp, next, queue, task, until};

/// A way to the server that has nothing of ours in it.
async fn plain(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

#[track_caller]
fn has(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said:?}");
    }
}

fn with(url: &str, declare: bool, mqtt: bool) -> Amqp {
    let settings = Settings { cluster: "prod".into(), replica: "test".into(), declare, mqtt };
    Amqp::open(url.parse().unwrap(), settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_all_properties() {
    let rabbit = Rabbit::shared();
    let url = rabbit.url_of(&rabbit.vhost());
    let message = Message {
        correlation_id: Some("run-1".into()),
        headers: [("cronclave-job".into(), "report".into())].into(),
        priority: Some(3),
        expires: Some(Duration::from_millis(61_001)),
        at: Timestamp::from_millis(1_800_000_000_900),
        ..task("q", "one")
    };
    amqp(&url).publish(&message).await.unwrap();
    let (_connection, channel) = plain(&url).await;
    let got = channel.basic_get("cronclave.q.prod.q".into(), BasicGetOptions::default()).await.unwrap().unwrap();
    let text = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    let properties = &got.delivery.properties;
    assert_eq!(got.delivery.exchange.as_str(), "cronclave.tasks");
    assert_eq!(got.delivery.routing_key.as_str(), "task.prod.q.report");
    assert_eq!(text(properties.message_id()).unwrap(), "one");
    assert_eq!(text(properties.correlation_id()).unwrap(), "run-1");
    assert_eq!(text(properties.kind()).unwrap(), "dev.cronclave.task.requested.v1");
    assert_eq!(text(properties.content_type()).unwrap(), "application/json");
    assert_eq!(text(properties.expiration()).unwrap(), "61001");
    assert_eq!(text(properties.app_id()).unwrap(), concat!("cronclave/", env!("CARGO_PKG_VERSION")));
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(*properties.priority(), Some(3));
    assert_eq!(*properties.timestamp(), Some(1_800_000_000));
    let header = properties.headers().as_ref().unwrap().inner().get("cronclave-job").cloned();
    assert_eq!(header, Some(AMQPValue::LongString("report".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_named() {
    let rabbit = Rabbit::shared();
    let broker = amqp(&rabbit.url_of(&rabbit.vhost()));
    has(&broker.check().await.unwrap(), &["RabbitMQ "]);
    assert_eq!(broker.down(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_was_removed_is_put_back() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let broker = amqp(&rabbit.url_of(&vhost));
    broker.publish(&task("q", "one")).await.unwrap();
    rabbit.unbind(&vhost, "cronclave.tasks", "cronclave.q.prod.q", "task.prod.q.#");
    broker.publish(&task("q", "two")).await.unwrap();
    rabbit.delete(&vhost, "cronclave.q.prod.q");
    broker.publish(&task("q", "three")).await.unwrap();
    assert_eq!(next(&mut broker.consume(queue("q"))).await.message.id, "three");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_is_made_again_by_who_takes_from_it() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let broker = amqp(&rabbit.url_of(&vhost));
    let mut consumer = broker.consume(queue("q"));
    broker.publish(&task("q", "one")).await.unwrap();
    next(&mut consumer).await;
    consumer.ack().await;
    rabbit.delete(&vhost, "cronclave.q.prod.q");
    let (came, sent) = tokio::join!(next(&mut consumer), async {
        let gone = async || rabbit.queue(&vhost, "cronclave.q.prod.q").is_some_and(|(_, takers)| takers == 1);
        until("somebody takes from it again", gone).await;
        broker.publish(&task("q", "two")).await
    });
    sent.unwrap();
    assert_eq!(came.message.id, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_settings_is_told() {
    let rabbit = Rabbit::shared();
    let url = rabbit.url_of(&rabbit.vhost());
    let (_connection, channel) = plain(&url).await;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("cronclave.q.prod.q".into(), options, FieldTable::default()).await.unwrap();
    let Err(NotPublished::Refused(why)) = amqp(&url).publish(&task("q", "one")).await else { panic!() };
    has(&why, &["`cronclave.q.prod.q`", "other settings", "Delete it", "CRONCLAVE_DECLARE=0"]);
    // It is used as it is by who does not insist.
    with(&url, true, false).check().await.unwrap();
    let broker = with(&url, false, false);
    let Err(NotPublished::Refused(why)) = broker.publish(&task("q", "one")).await else { panic!() };
    has(&why, &["no queue is bound", "`task.prod.q.report`", "cronclave.tasks"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_declares_nothing_says_what_is_missing() {
    let rabbit = Rabbit::shared();
    let url = rabbit.url_of(&rabbit.vhost());
    let said = with(&url, false, false).check().await.unwrap_err();
    has(&said, &["the exchange `cronclave.tasks` is not there", "CRONCLAVE_DECLARE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_our_permissions_can_do_everything_and_one_without_is_told() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    // As the documentation has them.
    let ours = [r"^cronclave\..*", r"^(cronclave\..*|amq\.(default|topic))$", r"^(cronclave\..*|amq\.topic)$"];
    rabbit.user(&vhost, "ours", "sesame", ours);
    rabbit.user(&vhost, "less", "sesame", ["^nothing$"; 3]);
    let url = |user: &str| format!("amqp://{user}:sesame@127.0.0.1:{}/{vhost}", rabbit.port);
    let broker = with(&url("ours"), true, true);
    broker.check().await.unwrap();
    broker.publish(&task("q", "one")).await.unwrap();
    let mut consumer = broker.consume(queue("q"));
    while timeout(Duration::from_secs(2), consumer.next()).await.is_ok() {
        consumer.requeue().await;
        if !broker.dead_letters(1).await.unwrap().is_empty() {
            break;
        }
    }
    let dead = broker.dead_letters(1).await.unwrap();
    assert!(broker.remedy(&dead[0].id, Remedy::Resend).await.unwrap());
    next(&mut consumer).await;
    let said = with(&url("less"), true, false).check().await.unwrap_err();
    has(&said, &["cronclave.tasks", "not ours to use", "set_permissions"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_somebody_elses_has_to_be_there() {
    let rabbit = Rabbit::shared();
    let url = rabbit.url_of(&rabbit.vhost());
    let broker = amqp(&url);
    let theirs = Message { to: Exchange::Foreign("theirs".into()), key: "k".into(), ..task("", "one") };
    // What goes elsewhere at the same time is not harmed.
    let task = task("q", "two");
    let (refused, sent) = tokio::join!(broker.publish(&theirs), broker.publish(&task));
    let Err(NotPublished::Refused(why)) = refused else { panic!("{refused:?}") };
    has(&why, &["there is no exchange `theirs`", "make it"]);
    sent.unwrap();
    let (_connection, channel) = plain(&url).await;
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare("theirs".into(), ExchangeKind::Direct, options, FieldTable::default()).await.unwrap();
    let Err(NotPublished::Refused(why)) = broker.publish(&theirs).await else { panic!() };
    has(&why, &["no queue is bound for `k` on exchange theirs"]);
    broker.publish(&Message { optional: true, ..theirs.clone() }).await.unwrap();
    channel.queue_declare("x".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind("x".into(), "theirs".into(), "k".into(), options, none).await.unwrap();
    broker.publish(&theirs).await.unwrap();
    // One that goes away is noticed.
    channel.exchange_delete("theirs".into(), ExchangeDeleteOptions::default()).await.unwrap();
    assert!(matches!(broker.publish(&theirs).await, Err(NotPublished::Unknown(_))));
    assert!(matches!(broker.publish(&theirs).await, Err(NotPublished::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_rabbitmq_is_refused() {
    let rabbit = Rabbit::shared();
    let broker = amqp(&rabbit.url_of(&rabbit.vhost()));
    let Err(NotPublished::Refused(why)) = broker.publish(&task("q", &"x".repeat(256))).await else { panic!() };
    has(&why, &["the id has 256 bytes", "255 at most"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_come_from_mqtt_as_well() {
    let rabbit = Rabbit::shared();
    let url = rabbit.url_of(&rabbit.vhost());
    let broker = with(&url, true, true);
    let mut consumer = broker.consume(Queue::Triggers);
    broker.check().await.unwrap();
    let (came, sent) = tokio::join!(next(&mut consumer), async {
        let there = Message { to: Exchange::Foreign("amq.topic".into()), ..task("", "one") };
        let there = Message { key: "trigger.prod.report".into(), ..there };
        until("it is bound", async || broker.publish(&there).await.is_ok()).await;
    });
    let () = sent;
    assert_eq!((came.message.id, came.message.key), ("one".into(), "trigger.prod.report".into()));
}
