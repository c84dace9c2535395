//! Who passes events on, by the server's own clock, and with no more rights than the manual asks for.

use std::time::Duration;

use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Outbox, Store};

use super::servers;

#[tokio::test]
async fn the_user_of_the_manual_may_take_the_outbox() {
    let server = servers::Redis::plain();
    let manual = include_str!("../../docs/REDIS.md");
    let line = manual.lines().find(|line| line.trim_start().starts_with("ACL SETUSER")).unwrap();
    let line = line.replace(">PASSWORD", ">secret");
    server.ask::<()>(&line.split_whitespace().collect::<Vec<_>>());
    let store = |user: &str| {
        let url = format!("redis://{user}:secret@127.0.0.1:{}", server.port);
        Redis::open(url.parse().unwrap(), "default", Time::Server)
    };
    let (first, second) = (store("cronclave"), store("cronclave"));
    let long = Duration::from_secs(60);
    assert_eq!(first.take_outbox(Outbox::Announcements, "a", long).await.unwrap(), Some(0));
    assert_eq!(second.take_outbox(Outbox::Announcements, "b", long).await.unwrap(), None);
    assert!(first.mark_outbox(Outbox::Announcements, "a", 3, Duration::ZERO).await.unwrap(), "given back");
    assert_eq!(second.take_outbox(Outbox::Announcements, "b", long).await.unwrap(), Some(3));
}
