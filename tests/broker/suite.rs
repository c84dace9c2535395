//! What every broker promises, asked of each home.

use std::sync::Arc;
use std::time::Duration;

use cronclave::broker::amqp::Settings;
use cronclave::broker::{
    Amqp, Broker, Consumer, DIED_IN, Delivery, Exchange, Local, Message, NotPublished, Queue, REASON, Remedy,
};
use cronclave::clock::{Clock, Timestamp};
use cronclave::job::QueueName;
use cronclave::store::{Create, Sqlite};
use tokio::time::timeout;

use super::rabbit::Rabbit;

/// Longer than anything takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for a message to come if it is to come.
const A_WHILE: Duration = Duration::from_millis(600);

pub(crate) fn queue(name: &str) -> Queue {
    Queue::Tasks(queue_name(name))
}

pub(crate) fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A task for a queue of cluster `prod`.
pub(crate) fn task(queue: &str, id: &str) -> Message {
    Message {
        key: format!("task.prod.{queue}.report"),
        id: id.into(),
        kind: "dev.cronclave.task.requested.v1".into(),
        content_type: "application/json".into(),
        body: format!("{{\"id\":\"{id}\"}}").into_bytes(),
        ..Message::default()
    }
}

pub(crate) async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    timeout(PATIENCE, consumer.next()).await.expect("a message comes")
}

pub(crate) async fn nothing_comes(consumer: &mut Box<dyn Consumer>) {
    let came = timeout(A_WHILE, consumer.next()).await;
    assert!(came.is_err(), "a message came: {came:?}");
}

/// Until `what` holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

async fn what_is_sent_comes_as_it_was(broker: Arc<dyn Broker>) {
    let sent = Message {
        correlation_id: Some("run-1".into()),
        headers: [("cronclave-job".into(), "report".into()), ("traceparent".into(), "00-ä".into())].into(),
        priority: Some(3),
        expires: Some(Duration::from_secs(60)),
        at: Timestamp::from_secs(1_800_000_000),
        body: vec![0, 255, 10, 13],
        ..task("q", "one")
    };
    broker.publish(&sent).await.unwrap();
    let mut consumer = broker.consume(queue("q"));
    let came = next(&mut consumer).await;
    assert_eq!(came, Delivery { message: sent, redelivered: false });
    consumer.ack().await;
    nothing_comes(&mut consumer).await;
}

async fn a_message_without_anything_comes_as_well(broker: Arc<dyn Broker>) {
    let sent = Message { key: "task.prod.q.j".into(), transient: true, ..Message::default() };
    broker.publish(&sent).await.unwrap();
    assert_eq!(next(&mut broker.consume(queue("q"))).await.message, sent);
}

async fn a_message_is_taken_by_one(broker: Arc<dyn Broker>) {
    let mut consumers: Vec<_> = (0..3).map(|_| broker.consume(queue("q"))).collect();
    for index in 0..12 {
        broker.publish(&task("q", &index.to_string())).await.unwrap();
    }
    let mut came = Vec::new();
    for round in 0..12 {
        let consumer = &mut consumers[round % 3];
        came.push(next(consumer).await.message.id);
        consumer.ack().await;
    }
    came.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(came, (0..12).map(|id| id.to_string()).collect::<Vec<_>>());
    for consumer in &mut consumers {
        nothing_comes(consumer).await;
    }
}

async fn queues_do_not_mix(broker: Arc<dyn Broker>) {
    for name in ["results", "triggers", "dead"] {
        broker.publish(&task(name, name)).await.unwrap();
    }
    let result = Message { to: Exchange::Results, key: "result.prod.report.succeeded".into(), ..task("", "r") };
    broker.publish(&result).await.unwrap();
    let trigger = Message { to: Exchange::Triggers, key: "trigger.prod.report".into(), ..task("", "t") };
    broker.publish(&trigger).await.unwrap();
    for (from, id) in [
        (queue("results"), "results"),
        (queue("triggers"), "triggers"),
        (queue("dead"), "dead"),
        (Queue::Results, "r"),
        (Queue::Triggers, "t"),
    ] {
        let mut consumer = broker.consume(from);
        assert_eq!(next(&mut consumer).await.message.id, id);
        consumer.ack().await;
        nothing_comes(&mut consumer).await;
    }
}

async fn what_was_not_settled_comes_back_when_its_consumer_goes(broker: Arc<dyn Broker>) {
    broker.publish(&task("q", "one")).await.unwrap();
    let mut first = broker.consume(queue("q"));
    assert!(!next(&mut first).await.redelivered);
    let mut second = broker.consume(queue("q"));
    nothing_comes(&mut second).await;
    drop(first);
    let again = next(&mut second).await;
    assert_eq!((&*again.message.id, again.redelivered), ("one", true));
    second.ack().await;
    nothing_comes(&mut second).await;
}

async fn what_is_given_back_comes_again(broker: Arc<dyn Broker>) {
    broker.publish(&task("q", "one")).await.unwrap();
    let mut consumer = broker.consume(queue("q"));
    next(&mut consumer).await;
    consumer.requeue().await;
    assert!(next(&mut consumer).await.redelivered);
    consumer.ack().await;
    nothing_comes(&mut consumer).await;
}

async fn the_next_message_comes_once_the_last_is_settled(broker: Arc<dyn Broker>) {
    for id in ["one", "two"] {
        broker.publish(&task("q", id)).await.unwrap();
    }
    let (mut first, mut second) = (broker.consume(queue("q")), broker.consume(queue("q")));
    assert_eq!(next(&mut first).await.message.id, "one");
    // The first keeps its message and gets no other: the second has it.
    assert_eq!(next(&mut second).await.message.id, "two");
    second.ack().await;
    nothing_comes(&mut second).await;
    first.ack().await;
    nothing_comes(&mut first).await;
}

async fn who_gives_up_waiting_loses_nothing(broker: Arc<dyn Broker>) {
    let mut consumer = broker.consume(queue("q"));
    for index in 0..20 {
        let id = index.to_string();
        // It comes at any time before, while and after it is waited for.
        let (sent, early) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_millis(index % 7)).await;
                broker.publish(&task("q", &id)).await
            },
            timeout(Duration::from_millis(index % 5), consumer.next()),
        );
        sent.unwrap();
        let came = match early {
            Ok(came) => came,
            Err(_) => next(&mut consumer).await,
        };
        assert_eq!(came.message.id, id);
        consumer.ack().await;
    }
}

async fn who_acknowledges_early_gets_no_other_until_it_asks(broker: Arc<dyn Broker>) {
    for id in ["one", "two"] {
        broker.publish(&task("q", id)).await.unwrap();
    }
    let (mut busy, mut free) = (broker.consume(queue("q")), broker.consume(queue("q")));
    assert_eq!(next(&mut busy).await.message.id, "one");
    busy.ack_early().await;
    assert_eq!(next(&mut free).await.message.id, "two");
    drop(free);
    let two = next(&mut busy).await;
    assert_eq!((&*two.message.id, two.redelivered), ("two", true));
    busy.ack().await;
    nothing_comes(&mut busy).await;
}

async fn what_has_expired_does_not_come(broker: Arc<dyn Broker>) {
    let brief = Message { expires: Some(Duration::from_millis(1)), ..task("q", "old") };
    broker.publish(&brief).await.unwrap();
    until("it has expired", async || broker.queues(&[queue_name("q")]).await.unwrap()[0].ready == Some(0)).await;
    broker.publish(&Message { expires: Some(PATIENCE), ..task("q", "new") }).await.unwrap();
    let mut consumer = broker.consume(queue("q"));
    assert_eq!(next(&mut consumer).await.message.id, "new");
    consumer.ack().await;
    nothing_comes(&mut consumer).await;
}

async fn what_no_queue_takes_is_refused_unless_that_is_fine(broker: Arc<dyn Broker>) {
    let event = Message { to: Exchange::Events, key: "cronclave.prod.run.failed.report".into(), ..task("", "e") };
    let refused = broker.publish(&event).await.unwrap_err();
    let NotPublished::Refused(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains(&event.key), "{why}");
    broker.publish(&Message { optional: true, ..event }).await.unwrap();
    let nowhere = Message { to: Exchange::Foreign("theirs".into()), key: "x".into(), ..task("", "f") };
    assert!(matches!(broker.publish(&nowhere).await, Err(NotPublished::Refused(_))));
}

/// A message that could not be understood, as a worker passes it on.
fn bad(id: &str, queue: &str) -> Message {
    Message {
        to: Exchange::Dead,
        key: format!("dead.prod.{queue}"),
        headers: [(REASON.into(), "it is no JSON".into()), (DIED_IN.into(), queue.into())].into(),
        at: Timestamp::from_secs(1_800_000_000),
        ..task(queue, id)
    }
}

async fn dead_letters_are_listed_sent_again_and_dropped(broker: Arc<dyn Broker>) {
    assert!(broker.dead_letters(10).await.unwrap().is_empty());
    for id in ["one", "two", "three"] {
        broker.publish(&bad(id, "q")).await.unwrap();
    }
    until("they are there", async || broker.dead_letters(10).await.unwrap().len() == 3).await;
    let all = broker.dead_letters(10).await.unwrap();
    assert_eq!(all[0].reason, "it is no JSON");
    assert_eq!((&*all[0].queue, all[0].size), ("q", 12));
    assert_eq!(all[0].excerpt, "{\"id\":\"one\"}");
    assert_eq!(all[0].at, Some(Timestamp::from_secs(1_800_000_000)));
    // They stay where they are, in their order.
    assert_eq!(broker.dead_letters(10).await.unwrap(), all);
    assert_eq!(broker.dead_letters(2).await.unwrap(), all[..2]);
    assert!(broker.remedy(&all[1].id, Remedy::Drop).await.unwrap());
    assert!(!broker.remedy(&all[1].id, Remedy::Drop).await.unwrap(), "it is gone");
    assert!(!broker.remedy("no such", Remedy::Resend).await.unwrap());
    let mut consumer = broker.consume(queue("q"));
    nothing_comes(&mut consumer).await;
    assert!(broker.remedy(&all[2].id, Remedy::Resend).await.unwrap());
    assert_eq!(next(&mut consumer).await.message.id, "three");
    consumer.ack().await;
    let left = broker.dead_letters(10).await.unwrap();
    assert_eq!(left, all[..1]);
    // A server counts a moment later.
    let counted = async || {
        let states = broker.queues(&[]).await.unwrap();
        (states[0].queue.as_deref(), states[0].ready) == (None, Some(1))
    };
    until("the one that is left is counted", counted).await;
}

async fn what_comes_back_too_often_is_dead(broker: Arc<dyn Broker>) {
    broker.publish(&task("q", "poison")).await.unwrap();
    let mut consumer = broker.consume(queue("q"));
    let mut times = 0;
    while let Ok(came) = timeout(Duration::from_secs(2), consumer.next()).await {
        assert_eq!(came.message.id, "poison");
        times += 1;
        assert!(times < 30, "it comes for ever");
        consumer.requeue().await;
    }
    assert!((20..=21).contains(&times), "it came {times} times");
    until("it is a dead letter", async || broker.dead_letters(10).await.unwrap().len() == 1).await;
    let all = broker.dead_letters(10).await.unwrap();
    assert_eq!((&*all[0].queue, &*all[0].reason), ("q", "it came back too often"));
    assert!(broker.remedy(&all[0].id, Remedy::Resend).await.unwrap());
    assert_eq!(next(&mut consumer).await.message.id, "poison");
    consumer.ack().await;
}

async fn queues_are_counted(broker: Arc<dyn Broker>) {
    for id in ["one", "two", "three"] {
        broker.publish(&task("q", id)).await.unwrap();
    }
    let counts = async || {
        let all = broker.queues(&[queue_name("q")]).await.unwrap();
        assert_eq!((all.len(), all[0].queue.as_deref(), all[1].queue.as_deref()), (2, Some("q"), None));
        (all[0].ready, all[0].consumers)
    };
    assert_eq!(counts().await, (Some(3), 0));
    let mut consumer = broker.consume(queue("q"));
    next(&mut consumer).await;
    until("one is taken", async || counts().await == (Some(2), 1)).await;
    consumer.ack().await;
}

async fn a_broker_that_is_well_says_so(broker: Arc<dyn Broker>) {
    timeout(PATIENCE, broker.up()).await.unwrap();
    assert_eq!(broker.down(), None);
    assert!(!broker.describe().contains("guest:"), "{}", broker.describe());
}

/// A broker in RabbitMQ for cluster `prod`.
pub(crate) fn amqp(url: &str) -> Amqp {
    let settings = Settings { cluster: "prod".into(), replica: "test".into(), declare: true, mqtt: false };
    Amqp::open(url.parse().unwrap(), settings)
}

async fn on_local(case: impl AsyncFnOnce(Arc<dyn Broker>)) {
    let dir = tempfile::tempdir().unwrap();
    let file = Sqlite::open(&dir.path().join("x.db"), Create::IfMissing, Clock::system()).unwrap();
    case(Arc::new(Local::new(Arc::new(file), Clock::system()))).await;
}

async fn on_rabbit(case: impl AsyncFnOnce(Arc<dyn Broker>)) {
    let rabbit = Rabbit::shared();
    case(Arc::new(amqp(&rabbit.url_of(&rabbit.vhost())))).await;
}

macro_rules! suite {
    ($($case:ident)*) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::on_local(super::$case).await;
            })*
        }
        mod rabbitmq {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::on_rabbit(super::$case).await;
            })*
        }
    };
}

suite! {
    what_is_sent_comes_as_it_was
    a_message_without_anything_comes_as_well
    a_message_is_taken_by_one
    queues_do_not_mix
    what_was_not_settled_comes_back_when_its_consumer_goes
    what_is_given_back_comes_again
    the_next_message_comes_once_the_last_is_settled
    who_gives_up_waiting_loses_nothing
    who_acknowledges_early_gets_no_other_until_it_asks
    what_has_expired_does_not_come
    what_no_queue_takes_is_refused_unless_that_is_fine
    dead_letters_are_listed_sent_again_and_dropped
    what_comes_back_too_often_is_dead
    queues_are_counted
    a_broker_that_is_well_says_so
}
