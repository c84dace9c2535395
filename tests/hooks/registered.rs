//! Webhooks that are registered while the cluster runs.

use std::time::Duration;

use cronclave::hook::{self, Refused, Secret, Verdict, Wish};
use cronclave::job::{JobName, Reach};
use tokio::time::sleep;

use super::alone::{Bench, OLD, SECRET};
use super::receiver::Receiver;

fn bench() -> Bench {
    let mut bench = Bench::new("");
    bench.settings.reach = Reach { http: true, private: true };
    bench
}

fn wish(url: &str) -> Wish {
    Wish { url: url.to_owned(), events: vec!["job.*".into()], ..Wish::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_again_renews_and_keeps_the_secret() {
    let receiver = Receiver::start().await;
    let bench = bench();
    bench.start().await;
    let desk = bench.registry();
    let first = desk.put("my-app", &wish(&receiver.url()), "me").await.unwrap();
    assert!(first.is_new && first.secret.as_ref().is_some_and(|secret| secret.0.starts_with("whsec_")));
    let again = desk.put("my-app", &wish(&receiver.url()), "me").await.unwrap();
    assert!(!again.is_new && again.secret.is_none(), "shown once");
    assert_eq!(desk.list().await.unwrap().len(), 1, "restarts do not pile up");
    bench.happens("a", 1).await;
    let got = receiver.wait_for("the event", |got| !got.is_empty()).await;
    assert_eq!(got[0].headers["webhook-signature"].split(' ').count(), 1);
    let turned = Wish { rotate_secret: true, job: JobName::new("b").ok(), ..wish(&receiver.url()) };
    assert!(desk.put("my-app", &turned, "me").await.unwrap().secret.is_some());
    bench.happens("a", 2).await;
    bench.happens("b", 3).await;
    let got = receiver.wait_for("the next", |got| got.len() >= 2).await;
    assert_eq!(got[1].json()["data"]["job"], "b", "of that job only");
    assert_eq!(got[1].headers["webhook-signature"].split(' ').count(), 2, "both secrets sign for a while");
    desk.remove("my-app").await.unwrap();
    assert!(matches!(desk.get("my-app").await, Err(Refused::NotFound(_))));
    bench.happens("b", 4).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_ends_unless_it_is_renewed() {
    let bench = bench();
    let desk = bench.registry();
    let short = Wish { expires_in: Some("1s".into()), ..wish("http://127.0.0.1:1/") };
    desk.put("short", &short, "me").await.unwrap();
    desk.put("long", &wish("http://127.0.0.1:1/"), "me").await.unwrap();
    assert!(desk.get("short").await.is_ok());
    sleep(Duration::from_millis(1100)).await;
    assert!(matches!(desk.get("short").await, Err(Refused::NotFound(_))));
    assert_eq!(desk.list().await.unwrap().len(), 1);
    assert!(desk.put("short", &short, "me").await.unwrap().is_new);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_reason() {
    let mut bench = Bench::new("");
    let desk = bench.registry();
    let good = wish("https://app.example/hooks");
    let cases = [
        ("My.App", good.clone(), "id", "a-z"),
        ("x", wish("app.example"), "url", "https://"),
        ("x", wish("http://app.example/"), "url", "HTTP"),
        ("x", wish("https://169.254.169.254/"), "url", "never called"),
        ("x", wish("https://[::ffff:10.0.0.1]/"), "url", "not a public address"),
        ("x", Wish { events: vec![], ..good.clone() }, "events", "1 to 50"),
        ("x", Wish { events: vec!["run.crashed".into()], ..good.clone() }, "events", "run.crashed"),
        ("x", Wish { secret: Some(Secret("geheim".into())), ..good.clone() }, "secret", "whsec_"),
        ("x", Wish { expires_in: Some("soon".into()), ..good.clone() }, "expires_in", "1h"),
    ];
    for (id, wish, field, word) in cases {
        let Err(Refused::Invalid { field: at, message }) = desk.put(id, &wish, "me").await else {
            panic!("{id} {wish:?} is taken");
        };
        assert!(at == field && message.contains(word), "{at}: {message}");
        assert!(!message.contains("geheim"));
    }
    desk.put("x", &good, "me").await.unwrap();
    bench.settings.reach = Reach { http: true, private: true };
    let inside = bench.registry().put("x", &wish("http://10.0.0.1/"), "me").await;
    assert!(inside.is_ok(), "where the process allows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_at_once_and_signed() {
    let receiver = Receiver::start().await;
    let bench = bench();
    let desk = bench.registry();
    let own = Wish { secret: Some(Secret(SECRET.into())), ..wish(&receiver.url()) };
    assert!(desk.put("x", &own, "me").await.unwrap().secret.is_none(), "one's own is not shown");
    let parts = bench.parts("desk");
    let one = desk.get("x").await.unwrap();
    assert_eq!(hook::test_webhook(&parts, &bench.settings, &one).await.unwrap(), Verdict::Taken(200));
    let got = receiver.got();
    assert_eq!(got[0].kind(), "hook.test");
    assert!(got[0].headers["webhook-signature"].starts_with("v1,"));
    receiver.answer([503]);
    let verdict = hook::test_webhook(&parts, &bench.settings, &one).await.unwrap();
    assert!(matches!(&verdict, Verdict::Not { status: Some(503), .. }), "{verdict:?}");
    assert!(!format!("{one:?}").contains(SECRET) && !format!("{one:?}").contains(OLD), "no secret is shown by chance");
}
