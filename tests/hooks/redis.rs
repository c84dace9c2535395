//! Over a Redis that is killed and comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cronclave::store::redis::{Address, Redis, Time};
use tokio::time::sleep;

use super::alone::{Bench, audit};
use super::receiver::Receiver;
use super::servers;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_dies_and_comes_back_loses_no_event() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = servers::Redis::with(&settings);
    let receiver = Receiver::start().await;
    receiver.take_time(Duration::from_millis(50));
    let mut bench = Bench::new(&audit(&receiver.url(), ""));
    let address: Address = server.url().parse().unwrap();
    bench.store = Arc::new(Redis::open(address, "hooks", Time::Server));
    bench.settings.hold = Duration::from_secs(2);
    bench.start().await;
    for n in 1..=40 {
        bench.happens(["a", "b"][n % 2], n).await;
    }
    receiver.wait_for("the first events", |got| got.len() > 4).await;
    server.kill();
    sleep(Duration::from_secs(1)).await;
    server.start_again(&settings);
    let numbers = |got: &[super::receiver::Got]| -> BTreeSet<usize> {
        got.iter().map(|one| one.json()["data"]["reason"].as_str().unwrap().parse().unwrap()).collect()
    };
    let got = receiver.wait_for("all events", |got| numbers(got).len() >= 40).await;
    assert_eq!(numbers(&got), (1..=40).collect());
    assert_eq!(receiver.ids().len(), 40, "a copy has the same id");
}
