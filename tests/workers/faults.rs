//! What may befall replicas, workers, and the broker between them, in the same load.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cronclave::ledger::State;
use futures_core::Stream;
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use rustix::process::Signal;

use super::cluster::{Cluster, WORKERS, say, signal};
use super::disturb::disturb;
use super::handed::{QUEUE, cluster, start};
use super::load;
use super::proxy::{Fault, Proxy};
use super::rabbit::Rabbit;

fn sleep(secs: f64) {
    std::thread::sleep(Duration::from_secs_f64(secs));
}

/// Started runs that nobody can know the end of are lost, and said to be; nothing else is amiss. What was claimed ahead of
/// its instant by a replica that was killed may still wait for its claim to lapse.
pub(crate) fn only_lost(tally: &load::Tally) {
    let fine = [State::Succeeded, State::Queued, State::Claimed, State::Published, State::Lost];
    assert!(tally.outcomes.keys().all(|state| fine.contains(state)), "{tally}");
}

#[test]
fn replicas_and_workers_that_are_killed_at_any_moment_start_nothing_twice() {
    let (mut cluster, _) = cluster("");
    start(&mut cluster, 3, 4);
    let mut turn = 0;
    let tally = disturb(
        "replicas and workers killed",
        &mut cluster,
        |cluster| {
            sleep(rand::random_range(0.3..0.7));
            turn += 1;
            let index = if turn % 2 == 0 { rand::random_range(0..3) } else { WORKERS + rand::random_range(0..4) };
            cluster.kill(index);
            sleep(rand::random_range(0.0..0.3));
            if index < WORKERS {
                cluster.serve(index)
            } else {
                cluster.work(index - WORKERS)
            };
        },
        || {},
    );
    only_lost(&tally);
}

#[test]
fn workers_frozen_past_their_leases_start_nothing_twice() {
    let (mut cluster, _) = cluster("");
    start(&mut cluster, 2, 0);
    let pids: Vec<i32> = (0..4).map(|index| cluster.work(index)).collect();
    let freeze = |_: &mut Cluster| {
        let frozen = [pids[rand::random_range(0..2)], pids[rand::random_range(2..4)]];
        sleep(rand::random_range(0.2..1.2));
        frozen.iter().for_each(|pid| signal(*pid, Signal::STOP));
        sleep(6.0);
        frozen.iter().for_each(|pid| signal(*pid, Signal::CONT));
    };
    only_lost(&disturb("workers frozen", &mut cluster, freeze, || {}));
}

#[test]
fn a_broker_that_loses_connections_messages_and_bindings_loses_no_occurrence() {
    let (mut cluster, vhost) = cluster("");
    start(&mut cluster, 3, 4);
    let rabbit = Rabbit::shared();
    let mut turn = 0;
    let tally = disturb(
        "connections closed, queue purged, exchange unbound",
        &mut cluster,
        |_| {
            sleep(2.0);
            turn += 1;
            match turn % 3 {
                0 => rabbit.close_connections(&vhost),
                1 => rabbit.purge(&vhost, QUEUE),
                _ => rabbit.unbind(&vhost, "cronclave.tasks", QUEUE, "task.default.default.#"),
            }
        },
        || {},
    );
    only_lost(&tally);
}

#[test]
fn a_broker_that_is_killed_and_started_again_loses_no_occurrence() {
    let (mut cluster, _) = cluster("");
    let mut rabbit = Rabbit::start();
    cluster.amqp = Some(rabbit.url());
    start(&mut cluster, 3, 4);
    let kill = |_: &mut Cluster| {
        sleep(4.0);
        rabbit.kill();
        sleep(2.0);
        rabbit.start_again();
    };
    only_lost(&disturb("broker killed", &mut cluster, kill, || {}));
}

#[test]
fn confirmations_that_are_cut_off_and_messages_that_come_three_times_start_nothing_twice() {
    let (mut cluster, vhost) = cluster("");
    let proxies: Vec<Proxy> = (0..3).map(|index| Proxy::before(Rabbit::shared().port, index)).collect();
    for (index, proxy) in proxies.iter().enumerate() {
        cluster.give(index, "AMQP_URL", &format!("amqp://127.0.0.1:{}/{vhost}", proxy.port));
    }
    start(&mut cluster, 3, 4);
    let copying = Copying::begin(&Rabbit::shared().url_of(&vhost));
    let cut = |_: &mut Cluster| {
        for (proxy, probability) in proxies.iter().zip([0.02, 0.05, 0.1]) {
            proxy.fault(Fault::Unanswered(probability));
        }
        sleep(1.0);
    };
    let tally = disturb("confirms cut, messages copied", &mut cluster, cut, || proxies.iter().for_each(Proxy::heal));
    let closed: usize = proxies.iter().map(Proxy::closed).sum();
    let copies = copying.end();
    say(&format!("{closed} connections cut, {copies} requests copied twice"));
    assert!(closed > 0 && copies > 100);
    only_lost(&tally);
}

/// Sends a copy of each request twice.
struct Copying {
    over: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Copying {
    fn begin(url: &str) -> Copying {
        let over = Arc::<AtomicBool>::default();
        let (url, told) = (url.to_owned(), over.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(copy(&url, &told)).unwrap()
        });
        Copying { over, thread }
    }

    fn end(self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// Takes a copy of every request and puts it into the workers' queue twice.
async fn copy(url: &str, over: &AtomicBool) -> lapin::Result<usize> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare("cronclave.tasks".into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    let own = channel
        .queue_declare("".into(), QueueDeclareOptions { exclusive: true, ..Default::default() }, FieldTable::default())
        .await?;
    let name = own.name().clone();
    let none = FieldTable::default;
    channel.queue_bind(name.clone(), "cronclave.tasks".into(), "task.#".into(), Default::default(), none()).await?;
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let mut requests = channel.basic_consume(name, "copying".into(), options, none()).await?;
    let mut copies = 0;
    while !over.load(Ordering::SeqCst) {
        let next = std::future::poll_fn(|context| Pin::new(&mut requests).poll_next(context));
        let Ok(next) = tokio::time::timeout(Duration::from_millis(200), next).await else { continue };
        let Some(request) = next.transpose()? else { break };
        for _ in 0..2 {
            let properties = request.properties.clone();
            channel.basic_publish("".into(), QUEUE.into(), Default::default(), &request.data, properties).await?;
        }
        copies += 1;
    }
    Ok(copies)
}
