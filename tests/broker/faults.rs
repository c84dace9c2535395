//! Faults while messages are on their way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cronclave::broker::{Broker, NotPublished};
use tokio::time::timeout;

use super::proxy::{Fault, Proxy};
use super::rabbit::Rabbit;
use super::suite::{PATIENCE, amqp, next, queue, queue_name, task, until};

/// Sends it until the broker has it.
async fn send(broker: &dyn Broker, id: &str) {
    until("it is sent", async || broker.publish(&task("q", id)).await.is_ok()).await;
}

/// Takes messages until each of these came.
async fn take(broker: &dyn Broker, mut wanted: BTreeSet<String>) {
    let mut consumer = broker.consume(queue("q"));
    while !wanted.is_empty() {
        wanted.remove(&next(&mut consumer).await.message.id);
        consumer.ack().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_outlives_a_server_that_is_killed() {
    let mut rabbit = Rabbit::start();
    let broker = amqp(&rabbit.url());
    let mut consumer = broker.consume(queue("q"));
    send(&broker, "one").await;
    assert_eq!(next(&mut consumer).await.message.id, "one");
    rabbit.remembers("cronclave.q.prod.q");
    rabbit.kill();
    // The message is no longer ours to acknowledge.
    consumer.ack().await;
    rabbit.start_again();
    let again = timeout(2 * PATIENCE, consumer.next()).await.unwrap();
    assert_eq!((&*again.message.id, again.redelivered), ("one", true));
    consumer.ack().await;
    send(&broker, "two").await;
    assert_eq!(next(&mut consumer).await.message.id, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_closed_by_force_are_made_again() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let broker = amqp(&rabbit.url_of(&vhost));
    let mut consumer = broker.consume(queue("q"));
    for id in ["one", "two", "three"] {
        send(&broker, id).await;
        assert_eq!(next(&mut consumer).await.message.id, id);
        consumer.ack().await;
        rabbit.close_connections(&vhost);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_no_confirmation_does_not_know() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let proxy = Proxy::before(rabbit.port, 1);
    let broker = amqp(&format!("amqp://127.0.0.1:{}/{vhost}", proxy.port));
    send(&broker, "one").await;
    proxy.leave_unanswered(1);
    let lost = broker.publish(&task("q", "two")).await.unwrap_err();
    assert!(matches!(lost, NotPublished::Unknown(_)), "{lost:?}");
    // It was taken all the same.
    send(&broker, "three").await;
    take(&broker, ["one", "two", "three"].map(String::from).into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_left_in_time() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let proxy = Proxy::before(rabbit.port, 1);
    let broker = amqp(&format!("amqp://127.0.0.1:{}/{vhost}?heartbeat=2", proxy.port));
    send(&broker, "one").await;
    proxy.fault(Fault::Swallow);
    let lost = timeout(Duration::from_secs(12), broker.publish(&task("q", "two"))).await.unwrap().unwrap_err();
    assert!(matches!(lost, NotPublished::Unknown(_)), "{lost:?}");
    until("it is noticed", async || broker.down().is_some()).await;
    let away = broker.publish(&task("q", "two")).await.unwrap_err();
    assert!(matches!(away, NotPublished::Away(_)), "{away:?}");
    proxy.heal();
    send(&broker, "three").await;
    take(&broker, ["one", "three"].map(String::from).into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_memory_takes_no_messages_and_gives_those_it_has() {
    let rabbit = Rabbit::start();
    let broker = amqp(&rabbit.url());
    for id in ["one", "two"] {
        send(&broker, id).await;
    }
    rabbit.block(true);
    // The server says so to who sends, and only then; that message hangs.
    let first = broker.publish(&task("q", "three")).await.unwrap_err();
    assert!(matches!(first, NotPublished::Unknown(_) | NotPublished::Away(_)), "{first:?}");
    let away = broker.publish(&task("q", "four")).await.unwrap_err();
    let NotPublished::Away(why) = away else { panic!("{away:?}") };
    assert!(why.contains("takes no messages for now"), "{why}");
    assert!(broker.down().is_some_and(|why| why.contains("memory")));
    // Work goes on, and is acknowledged.
    let mut consumer = broker.consume(queue("q"));
    for id in ["one", "two"] {
        assert_eq!(next(&mut consumer).await.message.id, id);
        consumer.ack().await;
    }
    drop(consumer);
    let empty = async || broker.queues(&[queue_name("q")]).await.unwrap()[0].ready == Some(0);
    until("all is acknowledged", empty).await;
    rabbit.block(false);
    timeout(PATIENCE, broker.up()).await.unwrap();
    send(&broker, "five").await;
    take(&broker, ["five"].map(String::from).into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_are_on_their_way_at_the_same_time_and_none_is_lost_to_cuts() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    let proxy = Proxy::before(rabbit.port, 1);
    let broker = Arc::new(amqp(&format!("amqp://127.0.0.1:{}/{vhost}", proxy.port)));
    send(&*broker, "first").await;
    let mut senders = tokio::task::JoinSet::new();
    for id in 0..200 {
        let broker = broker.clone();
        senders.spawn(async move {
            let id = id.to_string();
            let sending = async { while broker.publish(&task("q", &id)).await.is_err() {} };
            timeout(2 * PATIENCE, sending).await.expect("it is sent");
            id
        });
    }
    let mut sent = BTreeSet::new();
    while let Some(id) = senders.join_next().await {
        sent.insert(id.unwrap());
        if [20, 90].contains(&sent.len()) {
            proxy.cut();
        }
    }
    assert_eq!(sent.len(), 200);
    take(&*broker, sent).await;
}

/// One that refused once may go on refusing for ever, though its queue is well again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_tried_again_on_another_channel() {
    let rabbit = Rabbit::shared();
    let vhost = rabbit.vhost();
    rabbit.limit(&vhost, 1);
    let broker = amqp(&rabbit.url_of(&vhost));
    broker.publish(&task("q", "one")).await.unwrap();
    let first = rabbit.confirming(&vhost);
    assert_eq!(first.len(), 1, "{first:?}");
    // A queue may take a message or two beyond its limit.
    let mut refused = None;
    for n in 0..100 {
        if let Err(why) = broker.publish(&task("q", &n.to_string())).await {
            refused = Some(why);
            break;
        }
    }
    assert!(matches!(refused, Some(NotPublished::Unknown(_))), "{refused:?}");
    rabbit.purge(&vhost, "cronclave.q.prod.q");
    until("it takes messages again", async || broker.publish(&task("q", "two")).await.is_ok()).await;
    until("the first channel is left", async || rabbit.confirming(&vhost).iter().all(|pid| !first.contains(pid))).await;
}
