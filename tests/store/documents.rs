//! Documents, and outboxes beside each other.

use cronclave::store::{Collection, Document, Draft, Expect, Outbox, Span};

use super::{Bench, TTL};

fn draft(key: &str, expect: Expect, body: Option<&str>) -> Draft {
    Draft { collection: Collection::Webhooks, key: key.into(), expect, body: body.map(str::to_owned) }
}

impl Bench {
    async fn write(&self, key: &str, expect: Expect, body: Option<&str>) -> Option<u64> {
        self.store.write_document(&draft(key, expect, body)).await.unwrap()
    }

    async fn read(&self, key: &str) -> Option<Document> {
        self.store.document(Collection::Webhooks, key).await.unwrap()
    }

    async fn keys(&self, prefix: &str, after: Option<&str>, newest_first: bool, limit: usize) -> Vec<String> {
        let span = Span { prefix: prefix.into(), after: after.map(str::to_owned), newest_first, limit };
        let found = self.store.documents(Collection::Webhooks, &span).await.unwrap();
        found.into_iter().map(|document| document.key).collect()
    }
}

pub(super) async fn outboxes_do_not_know_each_other(bench: Bench) {
    let bench = bench.registered().await;
    assert_eq!(bench.store.take_outbox(Outbox::Announcements, "a", TTL).await.unwrap(), Some(1));
    assert_eq!(bench.store.take_outbox(Outbox::Hooks, "b", TTL).await.unwrap(), Some(1));
    assert!(!bench.store.mark_outbox(Outbox::Hooks, "a", 7, TTL).await.unwrap());
    assert!(bench.store.mark_outbox(Outbox::Hooks, "b", 7, TTL).await.unwrap());
    assert_eq!(bench.store.take_outbox(Outbox::Announcements, "a", TTL).await.unwrap(), Some(1));
}

pub(super) async fn a_document_is_kept_until_it_is_removed(bench: Bench) {
    assert_eq!(bench.read("ä b").await, None);
    assert_eq!(bench.keys("", None, false, 0).await, [""; 0]);
    let body = r#"{"text":"größer\n\u0000"}"#;
    let version = bench.write("ä b", Expect::Any, Some(body)).await.unwrap();
    assert_eq!(bench.read("ä b").await, Some(Document { key: "ä b".into(), version, body: body.into() }));
    let other = bench.store.document(Collection::Audit, "ä b").await.unwrap();
    assert_eq!(other, None, "collections are apart");
    assert_eq!(bench.write("ä b", Expect::Any, None).await, Some(0));
    assert_eq!(bench.read("ä b").await, None);
    assert_eq!(bench.write("ä b", Expect::Any, None).await, Some(0), "removing it again is fine");
    bench.go_to(1);
    assert!(bench.write("ä b", Expect::Any, Some("{}")).await.unwrap() > version, "no version comes again");
}

pub(super) async fn a_document_changes_only_for_who_knows_it(bench: Bench) {
    let first = bench.write("a", Expect::Absent, Some("1")).await.unwrap();
    assert_eq!(bench.write("a", Expect::Absent, Some("2")).await, None);
    assert_eq!(bench.write("a", Expect::Version(first + 1), Some("2")).await, None);
    assert_eq!(bench.write("b", Expect::Version(first), Some("2")).await, None, "there is none");
    assert_eq!(bench.read("a").await.unwrap().body, "1");
    let second = bench.write("a", Expect::Version(first), Some("2")).await.unwrap();
    assert!(second > first);
    assert_eq!(bench.write("a", Expect::Version(first), None).await, None);
    assert_eq!(bench.write("a", Expect::Version(second), None).await, Some(0));
    assert!(bench.write("a", Expect::Absent, Some("3")).await.is_some());
}

pub(super) async fn of_many_who_change_a_document_one_does(bench: Bench) {
    let version = bench.write("a", Expect::Any, Some("0")).await.unwrap();
    let writers = (0..8).map(|n| {
        let store = bench.store.clone();
        let body = n.to_string();
        tokio::spawn(async move {
            store.write_document(&draft("a", Expect::Version(version), Some(&body))).await.unwrap().is_some()
        })
    });
    let mut done = 0;
    for writer in writers.collect::<Vec<_>>() {
        done += usize::from(writer.await.unwrap());
    }
    assert_eq!(done, 1);
}

pub(super) async fn documents_come_in_the_order_of_their_keys(bench: Bench) {
    for key in ["b/2", "a", "b/10", "c", "b/1", "b", "B", "b0"] {
        bench.write(key, Expect::Any, Some("{}")).await.unwrap();
    }
    assert_eq!(bench.keys("", None, false, 0).await, ["B", "a", "b", "b/1", "b/10", "b/2", "b0", "c"]);
    assert_eq!(bench.keys("", None, true, 3).await, ["c", "b0", "b/2"]);
    assert_eq!(bench.keys("b/", None, false, 0).await, ["b/1", "b/10", "b/2"]);
    assert_eq!(bench.keys("b/", None, true, 2).await, ["b/2", "b/10"]);
    assert_eq!(bench.keys("b/", Some("b/1"), false, 1).await, ["b/10"]);
    assert_eq!(bench.keys("b/", Some("b/2"), true, 0).await, ["b/10", "b/1"]);
    assert_eq!(bench.keys("b/", Some("a"), false, 1).await, ["b/1"], "what is beyond it and begins so");
    assert_eq!(bench.keys("b/", Some("z"), true, 1).await, ["b/2"]);
    assert_eq!(bench.keys("b/", Some("z"), false, 0).await, [""; 0]);
    for n in 0..450 {
        bench.write(&format!("n/{n:03}"), Expect::Any, Some("{}")).await.unwrap();
    }
    assert_eq!(bench.keys("n/", None, false, 0).await.len(), 450, "over several pages");
    assert_eq!(bench.keys("n/", Some("n/441"), false, 5).await, ["n/442", "n/443", "n/444", "n/445", "n/446"]);
}
