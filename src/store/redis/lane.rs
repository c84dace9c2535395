//! Joins what is asked at the same time into one call of a script: while one call is on its way,
//! the next batch gathers. It only goes before the answer if that takes long.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::batch::{Asking, Batch, Raw, Request, TAKEN};
use super::fold::fold;
use super::known::{Header, Turn};
use super::link::Script;
use super::server::{GENTLE, Server};
use super::teach;
use super::words::Fault;
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::record::{Bid, Op, Target};
use crate::store::{StoreError, Trouble};

/// Operations in one call at most: the server answers nobody else meanwhile, a few milliseconds.
const MOST: usize = 200;

/// No further operation joins a call that has so many bytes: a thousand occurrences decided at once
/// are one operation, and as much work as many.
const BYTES: usize = 256 * 1024;

/// An answer of so many bytes was too much for one call.
const LARGE: usize = 2 * 1024 * 1024;

/// What is to be so long from now is not urgent.
const AT_EASE: Duration = Duration::from_millis(20);

/// Calls on their way at once at most, and the time between two: a server that is far away need not
/// be waited for, one that is near answers sooner.
const CALLS: usize = 32;
const GAP: Duration = Duration::from_millis(25);

/// A call waits so long for more to come along, unless something in it is urgent: it costs as much as several operations.
const MOMENT: Duration = Duration::from_millis(1);

/// How soon an operation is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// At once.
    Now,
    /// It has time until nothing is urgent.
    Later,
}

/// What may go together in one call.
pub(super) struct Lane {
    pub(super) server: Arc<Server>,
    /// For calls that are carried out although the server's memory is full, and for those that are not: each for servers that
    /// know flags, and for those that do not.
    gentle: [Script; 2],
    wary: [Script; 2],
    queue: Mutex<Queue>,
    /// Something came that is to be carried out at once.
    hurry: Notify,
}

struct Queue {
    urgent: VecDeque<Asked>,
    /// What has time until nothing is urgent.
    calm: VecDeque<Asked>,
    /// Operations that go in the next call at most.
    most: usize,
    /// Tasks at work on it, with a call each.
    calls: usize,
    /// A task waits to see whether one more is needed.
    coming: bool,
    /// When the last call was sent.
    sent: Option<Instant>,
}

struct Asked {
    request: Request,
    answer: oneshot::Sender<Result<Raw, StoreError>>,
}

impl Lane {
    pub(super) fn new(server: Arc<Server>) -> Arc<Lane> {
        let body = concat!(
            include_str!("reads.lua"),
            "\nlocal function carrying()\n",
            include_str!("records.lua"),
            "\n",
            include_str!("redo.lua"),
            "\nlocal function granting()\n",
            include_str!("grant.lua"),
            "\nend\n",
            include_str!("carry.lua"),
            "\nend\n",
            include_str!("batch.lua")
        );
        let body = fold(body);
        let [gentle, wary] =
            [GENTLE, ["#!lua\n", ""]].map(|heads| heads.map(|head| Script::new(format!("{head}{body}"))));
        Arc::new(Lane { server, gentle, wary, queue: Mutex::default(), hurry: Notify::new() })
    }

    /// Asks one operation. Whoever waits for the answer keeps nothing of the request.
    pub(super) fn ask(self: &Arc<Self>, request: Request) -> impl Future<Output = Result<Raw, StoreError>> + use<'_> {
        let told = self.take(request);
        async { told.await.unwrap_or_else(|_| Err(self.server.no_answer("the process was stopping"))) }
    }

    fn take(self: &Arc<Self>, request: Request) -> oneshot::Receiver<Result<Raw, StoreError>> {
        let (tell, told) = oneshot::channel();
        let is_urgent = request.haste == Haste::Now;
        let (work, second) = {
            let mut queue = self.queue();
            let line = if is_urgent { &mut queue.urgent } else { &mut queue.calm };
            line.push_back(Asked { request, answer: tell });
            match queue.calls {
                0 => {
                    queue.calls = 1;
                    (Some(Work::on(self.clone())), None)
                }
                calls if calls < CALLS && !queue.coming => {
                    queue.coming = true;
                    (None, Some(Second { lane: self.clone(), done: false }))
                }
                _ => (None, None),
            }
        };
        if is_urgent {
            self.hurry.notify_waiters();
        }
        // Every call has a limit, so these tasks end soon after the last of their askers. The queue is not held
        // meanwhile: a runtime that is being dropped drops what is given to it at once, and that asks for the queue.
        if let Some(work) = work {
            tokio::spawn(work.all());
        }
        if let Some(second) = second {
            tokio::spawn(second.wait());
        }
        told
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(self: &Arc<Self>, asked: &[&Request]) -> Result<Vec<Raw>, Fault> {
        let link = &self.server.link;
        let scripts = if asked.iter().any(|request| request.is_wary) { &self.wary } else { &self.gentle };
        let script = link.fitting(scripts).await.map_err(Fault::nowhere)?;
        let batch = Batch::of(asked);
        let mut head = vec![self.server.given_time(), self.server.channel.clone().into_bytes()];
        head.extend(self.server.known.args());
        head.extend(batch.about());
        let args: Vec<&[u8]> = head.iter().map(Vec::as_slice).chain(batch.args()).collect();
        let answer = link.try_run(script, &self.server.keys, &args).await?;
        let (header, raws) = batch.unpack(answer).ok_or_else(|| Fault::nowhere(self.server.garbled()))?;
        self.remember(&header, asked, &raws);
        match self.server.known.note(&header) {
            Turn::None => {}
            Turn::Closed => teach::begin(self.clone(), header),
            Turn::Opened => {
                let server = self.server.clone();
                tokio::spawn(async move { server.report(&header).await });
            }
        }
        Ok(raws)
    }

    /// Each by itself: what is refused is no hindrance to the others then.
    async fn call_apart(self: &Arc<Self>, asked: &[&Request]) -> Vec<Result<Raw, StoreError>> {
        let mut answers = Vec::new();
        for request in asked {
            let called = self.call(&[request]).await.map_err(|fault| fault.error);
            answers.push(called.and_then(|raws| raws.into_iter().next().ok_or_else(|| self.server.garbled())));
        }
        answers
    }

    /// What was answered is known, also where nobody tells it to all.
    fn remember(&self, header: &Header, asked: &[&Request], raws: &[Raw]) {
        if header.told == 0 || self.server.known.has(header.position) {
            return;
        }
        let mut records: BTreeMap<&JobName, &[u8]> = BTreeMap::new();
        let mut events = Vec::new();
        // In the order in which they were carried out.
        for which in [true, false] {
            for (request, raw) in asked.iter().zip(raws) {
                let (is_rehearsed, told) = match &request.asked {
                    Asking::Rehearsed(packed) if raw.reply == TAKEN => (true, &packed.events),
                    Asking::Rehearsed(_) => (true, &raw.events),
                    Asking::Op(_) => (false, &raw.events),
                };
                if let Some(job) = request.job.as_ref().filter(|_| is_rehearsed == which) {
                    records.insert(job, &raw.record);
                    events.extend_from_slice(told);
                }
            }
        }
        self.server.known.answered(header, &records, &events);
    }
}

/// How soon `op` is to be carried out. Whoever is late already goes before what is only to be written down, and before who
/// bids for what is due later than [`AT_EASE`].
pub(super) fn haste(op: &Op, now: Option<Timestamp>) -> Haste {
    match op {
        Op::Claim(Bid { target: Target::Next { due, .. }, .. }) if now.is_some_and(|now| due.since(now) >= AT_EASE) => {
            Haste::Later
        }
        Op::Claim(_) | Op::Start { .. } | Op::Renew { .. } => Haste::Now,
        _ => Haste::Later,
    }
}

/// A task at work on a lane. However it ends, nobody waits in vain.
struct Work {
    lane: Arc<Lane>,
    /// It has signed off, in the same step in which it saw that nothing is left.
    done: bool,
}

impl Work {
    fn on(lane: Arc<Lane>) -> Work {
        Work { lane, done: false }
    }

    async fn all(mut self) {
        // Whoever was woken at the same time comes along.
        tokio::task::yield_now().await;
        loop {
            self.gather().await;
            let Some(batch) = self.next() else { return };
            let requests: Vec<&Request> = batch.iter().map(|asked| &asked.request).collect();
            let called = self.lane.call(&requests).await;
            self.learn(&called);
            let answers = match called {
                Ok(raws) => raws.into_iter().map(Ok).collect(),
                // One of them cannot be answered, or must wait: the others are not to suffer for it.
                Err(fault) if batch.len() > 1 && (fault.error.kind == Trouble::Lasting || fault.is("OOM")) => {
                    self.lane.call_apart(&requests).await
                }
                Err(fault) => batch.iter().map(|_| Err(fault.error.clone())).collect(),
            };
            batch.into_iter().zip(answers).for_each(|(asked, answer)| drop(asked.answer.send(answer)));
        }
    }

    /// Waits for more to come along, while nothing is urgent.
    async fn gather(&self) {
        let mut hurry = pin!(self.lane.hurry.notified());
        hurry.as_mut().enable();
        let may_wait = {
            let queue = self.lane.queue();
            queue.urgent.is_empty() && !queue.calm.is_empty()
        };
        if may_wait {
            let _ = timeout(MOMENT, hurry).await;
        }
    }

    /// Makes batches smaller when one was too much, and larger again as long as none is.
    fn learn(&self, called: &Result<Vec<Raw>, Fault>) {
        let mut queue = self.lane.queue();
        let large = |raws: &Vec<Raw>| raws.iter().map(|raw| raw.record.len() + raw.events.len()).sum::<usize>() > LARGE;
        queue.most = match called {
            Ok(raws) if !large(raws) => (queue.most * 2).min(MOST),
            _ => (queue.most / 2).max(1),
        };
    }

    /// The next batch, without those whose asker has gone.
    fn next(&mut self) -> Option<Vec<Asked>> {
        let mut queue = self.lane.queue();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < queue.most && bytes < BYTES {
            let next = queue.urgent.pop_front();
            let Some(asked) = next.or_else(|| queue.calm.pop_front()) else { break };
            if !asked.answer.is_closed() {
                bytes += asked.request.size();
                batch.push(asked);
            }
        }
        if batch.is_empty() {
            // A crowd comes seldom.
            queue.urgent.shrink_to(MOST);
            queue.calm.shrink_to(MOST);
            queue.calls -= 1;
            self.done = true;
            return None;
        }
        queue.sent = Some(Instant::now());
        Some(batch)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.done {
            // Cut short, as when the process stops.
            let mut queue = self.lane.queue();
            queue.calls -= 1;
            queue.give_up();
        }
    }
}

/// A task that waits whether the call that is under way takes long; if so it makes another beside it.
struct Second {
    lane: Arc<Lane>,
    done: bool,
}

impl Second {
    async fn wait(mut self) {
        let sent = self.lane.queue().sent;
        sleep_until(sent.unwrap_or_else(Instant::now) + GAP).await;
        {
            let mut queue = self.lane.queue();
            queue.coming = false;
            self.done = true;
            if queue.urgent.is_empty() && queue.calm.is_empty() {
                return;
            }
            queue.calls += 1;
        }
        Work::on(self.lane.clone()).all().await;
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        if !self.done {
            let mut queue = self.lane.queue();
            queue.coming = false;
            queue.give_up();
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Queue { urgent: VecDeque::new(), calm: VecDeque::new(), most: MOST, calls: 0, coming: false, sent: None }
    }
}

impl Queue {
    /// Lets nobody wait for a task that there is none of.
    fn give_up(&mut self) {
        if self.calls == 0 && !self.coming {
            self.urgent.clear();
            self.calm.clear();
        }
    }
}

impl Server {
    /// A request that was given up.
    fn no_answer(&self, why: &str) -> StoreError {
        StoreError { kind: Trouble::Passing, message: format!("{}: no answer: {why}", self.link.describe()) }
    }
}
