//! What a listener works out itself the server takes only if nothing is other than it was known to be.

use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::{Delivery, JobName, Overlap};
use cronclave::lease::{Ended, Fence, RunId, Token};
use cronclave::ledger::{Entry, What};
use cronclave::record::{Bid, Key, Op, Reply, Target};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Query, Store};

use super::{proxy, servers};

/// A job with an occurrence that may be bid for, on a server that knows a user who tells others nothing.
struct Scene {
    server: servers::Redis,
    job: JobName,
    since: Timestamp,
}

impl Scene {
    async fn new(clock: &Clock) -> Scene {
        let server = servers::Redis::plain();
        server.ask::<()>(&["ACL", "SETUSER", "mute", "on", ">secret", "~*", "&*", "+@all", "-publish"]);
        let (job, since) = (JobName::new("backup").unwrap(), clock.now());
        let scene = Scene { server, job, since };
        scene.mute(clock).apply(&scene.job, &Op::Register { spec: 1 }).await.unwrap();
        clock.step(10_000_000);
        scene
    }

    fn mute(&self, clock: &Clock) -> Redis {
        let url = format!("redis://mute:secret@127.0.0.1:{}", self.server.port);
        Redis::open(url.parse().unwrap(), "rehearsal", Time::Given(clock.clone()))
    }

    /// Who has heard how the job stands.
    async fn listener(&self, clock: &Clock) -> Redis {
        let store = Redis::open(self.server.url().parse().unwrap(), "rehearsal", Time::Given(clock.clone()));
        store.changed(0).await.unwrap();
        store.view(&self.job, None).await.unwrap();
        assert!(store.heard(&self.job).is_some());
        store
    }

    fn bid(&self, token: &str) -> Op {
        let at = self.since.plus(Duration::from_secs(5));
        Op::Claim(Bid {
            target: Target::Next { expect: self.since, passes: Vec::new(), at, due: at },
            token: Token(token.into()),
            holder: token.into(),
            ttl: Duration::from_secs(30),
            overlap: Overlap::Skip,
            delivery: Delivery::AtMostOnce,
            mutex: None,
            start: Some(Duration::from_secs(30)),
        })
    }
}

#[tokio::test]
async fn a_run_is_won_and_settled_by_rehearsal_and_stands_in_the_history() {
    let clock = Clock::standing_at("2026-11-30T12:00:00Z".parse().unwrap());
    let scene = Scene::new(&clock).await;
    let store = scene.listener(&clock).await;
    let won = store.apply(&scene.job, &scene.bid("one")).await.unwrap();
    let Reply::Won(run) = &won.reply else { panic!("{:?}", won.reply) };
    let key = Key { run_id: run.run_id, fence: run.fence, token: Token("one".into()) };
    let op = Op::Settle { key, ended: Ended::succeeded(), next: None };
    let settled = store.apply(&scene.job, &op).await.unwrap();
    assert_eq!((settled.reply, store.rehearsed()), (Reply::Done, 2));
    // Whoever heard nothing reads the same.
    let other = scene.mute(&clock);
    assert_eq!(other.view(&scene.job, None).await.unwrap().record, settled.view.record);
    let told: Vec<_> = other.events(0, 10).await.unwrap().into_iter().map(|(_, event)| event).collect();
    assert_eq!(told[1..], [won.events, settled.events].concat());
    let folded = told[1..].iter().fold(None, Entry::fold);
    assert_eq!(other.history(&Query::default()).await.unwrap().first(), folded.as_ref());
}

#[tokio::test]
async fn what_was_rehearsed_with_an_outdated_record_the_server_decides_itself() {
    let clock = Clock::standing_at("2026-11-30T12:00:00Z".parse().unwrap());
    let scene = Scene::new(&clock).await;
    let store = scene.listener(&clock).await;
    let first = scene.mute(&clock).apply(&scene.job, &scene.bid("other")).await.unwrap();
    assert!(matches!(first.reply, Reply::Won(_)), "{:?}", first.reply);
    let late = store.apply(&scene.job, &scene.bid("one")).await.unwrap();
    assert!(!matches!(late.reply, Reply::Won(_)), "two have won the same occurrence");
    assert_eq!((late.view.record, store.rehearsed()), (first.view.record, 0));
}

#[tokio::test]
async fn of_what_travels_together_only_what_is_outdated_is_not_taken_and_all_hear_of_the_rest() {
    // As few as are told in one part, and so many that they are told in several.
    for count in [3, 60] {
        let clock = Clock::standing_at("2026-11-30T12:00:00Z".parse().unwrap());
        let scene = Scene::new(&clock).await;
        let jobs: Vec<JobName> = (0..count).map(|n| JobName::new(&format!("job-{n}")).unwrap()).collect();
        let (mute, store, other) = (scene.mute(&clock), scene.listener(&clock).await, scene.listener(&clock).await);
        for job in &jobs {
            mute.apply(job, &Op::Register { spec: 1 }).await.unwrap();
            for listener in [&store, &other] {
                listener.view(job, None).await.unwrap();
            }
        }
        let outdated = |index: usize| index % 5 == 1;
        clock.step(10_000_000);
        let at = clock.now().minus(Duration::from_secs(5));
        let bid = |token: &str| match scene.bid(token) {
            Op::Claim(bid) => {
                let expect = clock.now().minus(Duration::from_secs(10));
                Op::Claim(Bid { target: Target::Next { expect, passes: Vec::new(), at, due: at }, ..bid })
            }
            op => op,
        };
        let (theirs, ours) = (bid("other"), bid("one"));
        for (index, job) in jobs.iter().enumerate() {
            if outdated(index) {
                mute.apply(job, &theirs).await.unwrap();
            }
        }
        let mut heard = other.changed(0).await.unwrap().0;
        let answers = futures_util::future::join_all(jobs.iter().map(|job| store.apply(job, &ours))).await;
        let won: Vec<bool> =
            answers.iter().map(|answer| matches!(answer.as_ref().unwrap().reply, Reply::Won(_))).collect();
        assert_eq!(won, (0..count).map(|index| !outdated(index)).collect::<Vec<_>>());
        assert_eq!(store.rehearsed(), won.iter().filter(|won| **won).count() as u64);
        // A claim invites nobody, so whoever waits is woken by the end of one of them.
        let Reply::Won(run) = &answers[0].as_ref().unwrap().reply else { panic!("it was won") };
        let key = Key { run_id: run.run_id, fence: run.fence, token: Token("one".into()) };
        store.apply(&jobs[0], &Op::Settle { key, ended: Ended::succeeded(), next: None }).await.unwrap();
        let mut hints = Vec::new();
        while hints.is_empty() {
            (heard, hints) = other.changed(heard).await.unwrap();
        }
        assert_eq!(hints, [jobs[0].clone()]);
        let reader = scene.mute(&clock);
        for (index, job) in jobs.iter().enumerate().filter(|(index, _)| !outdated(*index)) {
            let truth = reader.view(job, None).await.unwrap().record;
            assert_eq!(other.heard(job).map(|view| view.record), Some(truth), "{index} of {count}");
        }
        let told: Vec<_> = reader.events(0, 10_000).await.unwrap().into_iter().map(|(_, event)| event).collect();
        for (job, answer) in
            jobs.iter().zip(answers).filter(|(_, answer)| answer.as_ref().is_ok_and(|a| !a.events.is_empty()))
        {
            let of_job: Vec<_> = told.iter().filter(|event| event.job == *job).skip(1).cloned().collect();
            assert!(of_job.starts_with(&answer.unwrap().events), "{of_job:?}");
        }
        assert_eq!(reader.history(&Query::default()).await.unwrap().len(), jobs.len());
    }
}

#[tokio::test]
async fn what_was_rehearsed_before_another_was_refused_the_server_decides_itself() {
    let clock = Clock::standing_at("2026-11-30T12:00:00Z".parse().unwrap());
    let scene = Scene::new(&clock).await;
    let store = scene.listener(&clock).await;
    // It changes nothing, but it happened, and what happens to a job is told in order.
    let key =
        Key { run_id: RunId::of_occurrence(&scene.job, scene.since), fence: Fence(1), token: Token("late".into()) };
    let late = Op::Settle { key, ended: Ended::succeeded(), next: None };
    assert_eq!(scene.mute(&clock).apply(&scene.job, &late).await.unwrap().reply, Reply::Fenced);
    let won = store.apply(&scene.job, &scene.bid("one")).await.unwrap();
    assert!(matches!(won.reply, Reply::Won(_)), "{:?}", won.reply);
    assert_eq!(store.rehearsed(), 0);
}

#[tokio::test]
async fn a_rehearsal_whose_answer_is_lost_is_asked_again_and_counts_once() {
    let clock = Clock::standing_at("2026-11-30T12:00:00Z".parse().unwrap());
    let scene = Scene::new(&clock).await;
    let proxy = proxy::Proxy::before(scene.server.port, 1);
    let store = Redis::open(proxy.url().parse().unwrap(), "rehearsal", Time::Given(clock.clone()));
    store.changed(0).await.unwrap();
    store.view(&scene.job, None).await.unwrap();
    assert!(store.heard(&scene.job).is_some());
    let reader = scene.mute(&clock);
    proxy.leave_unanswered(1);
    let bid = scene.bid("one");
    store.apply(&scene.job, &bid).await.unwrap_err();
    let stands = reader.view(&scene.job, None).await.unwrap().record;
    assert_eq!(stands.open.len(), 1, "it was carried out");
    let again = store.apply(&scene.job, &bid).await.unwrap();
    let Reply::Won(run) = &again.reply else { panic!("{:?}", again.reply) };
    assert_eq!(**run, stands.open[0]);
    // The end of the run as well.
    store.changed(0).await.unwrap();
    store.view(&scene.job, None).await.unwrap();
    let key = Key { run_id: run.run_id, fence: run.fence, token: Token("one".into()) };
    let op = Op::Settle { key, ended: Ended::succeeded(), next: None };
    proxy.leave_unanswered(1);
    store.apply(&scene.job, &op).await.unwrap_err();
    assert_eq!(store.apply(&scene.job, &op).await.unwrap().reply, Reply::Done);
    let told = reader.events(0, 10).await.unwrap();
    let [_, (_, claimed), (_, started), (_, ended)] = &told[..] else { panic!("{told:?}") };
    let kinds = (&claimed.what, &started.what, &ended.what);
    assert!(matches!(kinds, (What::Claimed { .. }, What::Started { .. }, What::Ended { .. })), "{told:?}");
}

#[tokio::test]
async fn what_was_rehearsed_by_a_clock_that_is_behind_the_server_decides_itself() {
    let clock = Clock::standing_at("2026-11-30T12:00:00Z".parse().unwrap());
    let scene = Scene::new(&clock).await;
    let behind = Clock::standing_at(clock.now());
    let store = scene.listener(&behind).await;
    clock.step(1_000_000);
    // The server's clock has been seen to read more.
    let other = JobName::new("other").unwrap();
    scene.mute(&clock).apply(&other, &Op::Register { spec: 1 }).await.unwrap();
    let won = store.apply(&scene.job, &scene.bid("one")).await.unwrap();
    let Reply::Won(run) = &won.reply else { panic!("{:?}", won.reply) };
    assert_eq!(store.rehearsed(), 0);
    assert!(
        run.until.since(behind.now()) > Duration::from_secs(30),
        "its lease counts from what the server's clock read"
    );
    // What is not taken travels twice, so for a while nothing is rehearsed, although it would be taken.
    behind.step(1_000_000);
    let key = Key { run_id: run.run_id, fence: run.fence, token: Token("one".into()) };
    let op = Op::Settle { key, ended: Ended::succeeded(), next: None };
    assert_eq!(store.apply(&scene.job, &op).await.unwrap().reply, Reply::Done);
    assert_eq!(store.rehearsed(), 0);
}

#[tokio::test]
async fn what_was_rehearsed_by_a_clock_that_is_ahead_the_server_decides_itself() {
    let clock = Clock::standing_at("2026-11-30T12:00:00Z".parse().unwrap());
    let scene = Scene::new(&clock).await;
    let store = scene.listener(&clock).await;
    let bid = scene.bid("one");
    let mut asking = std::pin::pin!(store.apply(&scene.job, &bid));
    // It is on its way when the clock is set back, which the server sees first.
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context))).await.is_pending());
    clock.step(-5_000);
    let won = asking.await.unwrap();
    assert!(matches!(won.reply, Reply::Won(_)), "{:?}", won.reply);
    assert_eq!(store.rehearsed(), 0);
}
