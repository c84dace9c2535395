//! Functions of the embedding program.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cronclave::job::Action;
use cronclave::lease::Outcome;
use cronclave::runner::{CommandRunner, Context, Handlers};
use serde_json::json;

use crate::bench::{LONG, Running, job, runners, start, until};

fn call(handlers: Handlers, name: &str) -> Running {
    let action = Action::Handler { name: name.to_owned(), args: json!({"to": "world"}) };
    start(runners(CommandRunner::new(BTreeMap::new()), handlers), job("called", action), LONG)
}

#[tokio::test]
async fn a_handler_gets_its_work_and_arguments_and_may_print() {
    let handlers = Handlers::new().register("greet", |context: Context| async move {
        assert!(context.remaining() > Duration::from_secs(1));
        context.print(format!("{} {} {}", context.args["to"], context.work.job, context.work.fence)).await;
        Ok::<(), String>(())
    });
    let done = call(handlers, "greet").done().await;
    assert_eq!(done.ended.outcome, Outcome::Succeeded);
    assert_eq!(done.stdout, "\"world\" called 77\n");
}

#[tokio::test]
async fn an_error_and_a_panic_fail_the_run_in_their_words() {
    let handlers = Handlers::new()
        .register("fail", |_| async { Err(anyhow::anyhow!("no disk").context("cannot save")) })
        .register("panic", |_| async {
            if LONG.is_zero() {
                return Ok::<(), String>(());
            }
            panic!("out of {}", "luck")
        });
    let done = call(handlers.clone(), "fail").done().await;
    assert_eq!((done.ended.outcome, done.message()), (Outcome::Failed, "cannot save: no disk"));
    let done = call(handlers, "panic").done().await;
    assert_eq!((done.ended.outcome, done.message()), (Outcome::Failed, "handler panicked: out of luck"));
}

#[tokio::test]
async fn a_handler_that_is_asked_to_end_may_do_so_itself() {
    let handlers = Handlers::new().register("wait", |context: Context| async move {
        context.print("ready").await;
        context.cancelled.cancelled().await;
        context.print("bye").await;
        Err::<(), _>("cancelled")
    });
    let running = call(handlers, "wait");
    running.prints("ready").await;
    running.stop(10 * LONG);
    let done = running.done().await;
    assert_eq!((done.message(), done.stdout.as_str()), ("cancelled", "ready\nbye\n"));
}

/// Sets the flag when dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn deaf(dropped: &Arc<AtomicBool>) -> Handlers {
    let dropped = dropped.clone();
    Handlers::new().register("deaf", move |context: Context| {
        let guard = Dropped(dropped.clone());
        async move {
            let _guard = guard;
            context.print("ready").await;
            std::future::pending::<Result<(), String>>().await
        }
    })
}

#[tokio::test]
async fn a_handler_that_does_not_end_is_dropped_after_the_grace() {
    let dropped = Arc::default();
    let running = call(deaf(&dropped), "deaf");
    running.prints("ready").await;
    running.stop(Duration::from_millis(100));
    let done = running.done().await;
    assert_eq!(done.ended.outcome, Outcome::Failed);
    assert!(done.message().contains("was dropped"), "{}", done.message());
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn dropping_the_run_drops_the_handler() {
    let dropped = Arc::default();
    let running = call(deaf(&dropped), "deaf");
    running.prints("ready").await;
    running.task.abort();
    until("it is dropped", || dropped.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn an_unknown_handler_names_the_nearest_or_all() {
    let done = call(Handlers::new(), "greet").done().await;
    assert!(done.message().contains("registers none"), "{}", done.message());
    let handlers = Handlers::new().register("greet", |_| async { Ok::<(), String>(()) });
    let done = call(handlers.clone(), "gret").done().await;
    assert_eq!(done.message(), "there is no handler `gret`; is it `greet`?");
    let done = call(handlers, "backup").done().await;
    assert_eq!(done.message(), "there is no handler `backup`; this program registers greet");
}
