//! User code that only pretends: it takes its time, fails, ignores being asked to end, and is
//! watched over by something that outlives its replica's freezes and, on some machines, its crash.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cronclave::job::Job;
use cronclave::lease::{Ended, Outcome, Work};
use cronclave::runner::{Chunk, Control, Halt, Runner, Stream};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, sleep_until};

use crate::faulty::Machine;
use crate::invariants::Ran;
use crate::world::Journal;

pub(crate) struct Code {
    pub(crate) machine: Arc<Machine>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) holder: String,
    /// No run takes longer by itself.
    pub(crate) longest: Duration,
}

/// What one execution is going to be like.
struct Nature {
    length: Duration,
    exit_code: i32,
    stubborn: bool,
}

#[async_trait]
impl Runner for Code {
    async fn run(&self, job: &Job, work: &Work, control: Control) -> Ended {
        let dice = &self.machine.dice;
        let nature = Nature {
            length: if dice.roll() < 0.1 { Duration::ZERO } else { dice.pause(self.longest) },
            exit_code: if dice.roll() < 0.3 { 1 } else { 0 },
            stubborn: dice.roll() < 0.3,
        };
        let ran = Ran {
            job: job.name.clone(),
            run_id: work.run_id,
            fence: work.fence,
            holder: self.holder.clone(),
            from: self.journal.clock.now(),
            // Until it has ended.
            to: cronclave::clock::Timestamp::FAR,
        };
        let index = {
            let mut all = self.journal.ran.lock().unwrap();
            all.push(ran);
            all.len() - 1
        };
        let (report, reported) = oneshot::channel();
        // Dropped with this future, when the replica crashes.
        let (_string, cut) = watch::channel(());
        let (machine, journal) = (self.machine.clone(), self.journal.clone());
        tokio::spawn(async move {
            let ended = live(&machine, nature, control, cut).await;
            journal.ran.lock().unwrap()[index].to = journal.clock.now();
            let _ = report.send(ended);
        });
        let ended = reported.await.unwrap_or_else(|_| Ended::because(Outcome::Failed, "nothing came back"));
        self.machine.thawed().await;
        ended
    }
}

async fn live(machine: &Machine, nature: Nature, mut control: Control, mut string: watch::Receiver<()>) -> Ended {
    let crash = async {
        while string.changed().await.is_ok() {}
        if machine.supervised {
            std::future::pending::<()>().await;
        }
    };
    let mut trusted = control.trusted_until.clone();
    let lease_over = async {
        loop {
            let until = *trusted.borrow_and_update();
            tokio::select! {
                biased;
                () = sleep_until(until) => return,
                Ok(()) = trusted.changed() => {}
            }
        }
    };
    let halted = async {
        let asked = control.halt.wait_for(|halt| *halt != Halt::Go).await.map(|halt| *halt);
        let Ok(Halt::Stop { grace }) = asked else { return std::future::pending().await };
        // A frozen replica cannot ask.
        machine.thawed().await;
        sleep(if nature.stubborn { grace } else { grace / 4 }).await;
    };
    let killed = |signal| Ended { signal: Some(signal), ..Ended::because(Outcome::Failed, "killed") };
    let _ = control.output.try_send(Chunk { stream: Stream::Stdout, bytes: b"at work\n".to_vec() });
    tokio::select! {
        biased;
        () = crash => killed(9),
        () = lease_over => killed(9),
        () = halted => killed(15),
        () = sleep(nature.length) => match nature.exit_code {
            0 => Ended { exit_code: Some(0), ..Ended::succeeded() },
            code => Ended { exit_code: Some(code), ..Ended::because(Outcome::Failed, "exit code 1") },
        },
    }
}
