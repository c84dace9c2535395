//! What systemd hears of this process where it asks to: `sd_notify(3)`. That it is ready, what it does, that its loop
//! turns, that it reads its files again, that it stops and needs time for it. Whoever does not listen holds up nothing.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::clock::Timestamp;
use crate::config::Env;
use crate::parts::Nudges;
use crate::phrase::count;
use crate::replica::{Jobs, Pulse};
use crate::stop::Stop;

/// Between two looks at what there is to say; what this process does is told no more often.
const LOOK: Duration = Duration::from_secs(5);

/// While it drains it asks for so much time again and again: one that hangs is killed soon after.
const MORE: Duration = Duration::from_secs(15);

/// From ending the last code to the end of the process: what is left to record and to tell.
const LAST: Duration = Duration::from_secs(15);

/// How systemd is told.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    /// Its socket: a path, or an abstract name behind an `@`.
    to: Option<String>,
    /// Within this time it wants to hear that the loop turns.
    watchdog: Option<Duration>,
    /// Whether it was told that this process is ready.
    ready: Arc<AtomicBool>,
}

impl Notify {
    /// As the environment asks for.
    pub fn of(env: Env<'_>) -> Notify {
        let is_ours = env("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let usec = env("WATCHDOG_USEC").and_then(|text| text.parse().ok()).filter(|usec| is_ours && *usec > 0);
        Notify { to: env("NOTIFY_SOCKET"), watchdog: usec.map(Duration::from_micros), ..Notify::default() }
    }

    /// Says so much in one message, if somebody listens.
    fn say(&self, lines: &[String]) {
        let Some(to) = &self.to else { return };
        let send = || {
            let socket = UnixDatagram::unbound()?;
            // A manager that does not read must not hold us up.
            socket.set_nonblocking(true)?;
            match to.strip_prefix('@') {
                Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
                None => socket.connect(to)?,
            }
            socket.send(lines.join("\n").as_bytes())
        };
        if let Err(error) = send() {
            tracing::debug!(to, %error, "systemd was not told");
        }
    }

    /// The schedule files are about to be read again, because somebody asked for it.
    pub fn reloading(&self) {
        if self.ready.load(Ordering::Relaxed) {
            let now = clock_gettime(ClockId::Monotonic);
            let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            // Without the time `systemctl reload` would wait until it gives up.
            self.say(&["RELOADING=1".to_owned(), format!("MONOTONIC_USEC={usec}")]);
        }
    }

    /// They were read, for better or worse.
    pub fn reloaded(&self) {
        if self.ready.load(Ordering::Relaxed) {
            self.say(&["READY=1".to_owned()]);
        }
    }
}

/// What there is to tell about.
#[derive(Debug, Clone)]
pub struct Scene {
    /// How the replica is.
    pub pulse: watch::Receiver<Pulse>,
    /// The runs that go on here.
    pub runs: Nudges,
    /// The jobs.
    pub jobs: watch::Receiver<Arc<Jobs>>,
    /// Whether it is told to stop.
    pub stop: Stop,
    /// How long runs then may go on.
    pub grace: Duration,
}

impl Scene {
    /// What this process does, in a line.
    fn status(&self, over: Option<Instant>) -> String {
        let pulse = self.pulse.borrow();
        status(&pulse, self.runs.leases().0, over.map(|over| over.saturating_duration_since(Instant::now())))
    }

    /// How long stopping may take from now on: the grace, then the time of the slowest job between TERM and KILL, and
    /// what comes after.
    fn longest_end(&self) -> Duration {
        let jobs = self.jobs.borrow();
        let last = jobs.by_name.values().map(|job| job.kill_after.min(job.lease / 3)).max().unwrap_or_default();
        self.grace + self.stop.last(last) + LAST
    }
}

/// Tells it all, for as long as this process lives. Without anybody to tell it to, this does nothing.
pub async fn keep_telling(notify: Notify, mut scene: Scene) {
    if notify.to.is_none() {
        return;
    }
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Three chances within the time that systemd gives.
    let third = notify.watchdog.map_or(LOOK, |within| within / 3);
    let mut beat = interval_at(Instant::now() + third, third);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    // When runs that go on are ended, and when at the latest this process is gone.
    let mut end: Option<(Instant, Instant)> = None;
    loop {
        let mut news = Vec::new();
        let mut is_turn = false;
        tokio::select! {
            biased;
            () = scene.stop.soft(), if end.is_none() => {
                let now = Instant::now();
                end = Some((now + scene.grace, now + scene.longest_end()));
                news.push("STOPPING=1".to_owned());
            }
            Ok(()) = scene.pulse.changed() => {
                let ready = scene.pulse.borrow_and_update().ready;
                if !ready || notify.ready.swap(true, Ordering::Relaxed) {
                    continue;
                }
                news.push("READY=1".to_owned());
            }
            _ = beat.tick(), if notify.watchdog.is_some() => {
                if scene.pulse.borrow().stuck().is_none() {
                    notify.say(&["WATCHDOG=1".to_owned()]);
                }
                continue;
            }
            _ = look.tick() => is_turn = true,
        }
        if let Some((_, gone)) = end {
            let more = MORE.min(gone.saturating_duration_since(Instant::now()));
            if !more.is_zero() {
                news.push(format!("EXTEND_TIMEOUT_USEC={}", more.as_micros()));
            }
        }
        let status = scene.status(end.map(|(over, _)| over));
        if status != told && (is_turn || !news.is_empty()) {
            news.push(format!("STATUS={status}"));
            told = status;
        }
        if !news.is_empty() {
            notify.say(&news);
        }
    }
}

/// `over`: how long runs that go on have left, once this process is stopping.
fn status(pulse: &Pulse, running: usize, over: Option<Duration>) -> String {
    let runs = if running == 0 { "idle".to_owned() } else { format!("{} going", count(running, "run")) };
    if let Some(left) = over {
        return match running {
            0 => "stopping".to_owned(),
            _ if left.is_zero() => format!("stopping: ending {}", count(running, "run")),
            _ => format!("stopping: {runs}, {} s left", left.as_secs() + 1),
        };
    }
    if let Some(stuck) = pulse.stuck() {
        return format!("the scheduler's loop has not turned for {} s; {runs}", stuck.as_secs());
    }
    if pulse.turned.is_some() && !pulse.store_up {
        return format!("waits for the store; {runs}");
    }
    match &pulse.next {
        Some((job, at)) => format!("{runs}, next {job} at {}", moment(*at, pulse.now)),
        None => runs,
    }
}

/// With no more than is needed to find it: `02:30 UTC` today, `2026-11-30 02:30 UTC` on another day.
fn moment(at: Timestamp, now: Option<Timestamp>) -> String {
    let (at, today) = (at.datetime(), now.map(|now| now.datetime().date_naive()));
    let day = if today == Some(at.date_naive()) { "" } else { "%Y-%m-%d " };
    let second = if at.timestamp() % 60 == 0 { "" } else { ":%S" };
    at.format(&format!("{day}%H:%M{second} UTC")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobName;
    use crate::replica::STUCK;

    fn pulse() -> Pulse {
        let next = Some((JobName::new("db-backup").unwrap(), "2026-11-29T02:30:00Z".parse().unwrap()));
        let now = Some("2026-11-29T01:00:00Z".parse().unwrap());
        Pulse { ready: true, store_up: true, turned: Some(Instant::now()), next, now, ..Pulse::default() }
    }

    #[test]
    fn what_it_does_stands_in_one_line() {
        let good = pulse();
        assert_eq!(status(&good, 3, None), "3 runs going, next db-backup at 02:30 UTC");
        assert_eq!(status(&good, 0, None), "idle, next db-backup at 02:30 UTC");
        let at = |at: &str| {
            let next = good.next.clone().map(|(job, _)| (job, at.parse().unwrap()));
            status(&Pulse { next, ..good.clone() }, 0, None)
        };
        assert_eq!(at("2026-11-30T02:30:05Z"), "idle, next db-backup at 2026-11-30 02:30:05 UTC");
        assert_eq!(status(&Pulse { next: None, ..good.clone() }, 1, None), "1 run going");
        assert_eq!(status(&Pulse { store_up: false, ..good.clone() }, 1, None), "waits for the store; 1 run going");
        // A worker has no loop of its own.
        assert_eq!(status(&Pulse { ready: true, ..Pulse::default() }, 2, None), "2 runs going");
        assert_eq!(status(&good, 2, Some(Duration::from_millis(3500))), "stopping: 2 runs going, 4 s left");
        assert_eq!(status(&good, 2, Some(Duration::ZERO)), "stopping: ending 2 runs");
        assert_eq!(status(&good, 0, Some(Duration::from_secs(9))), "stopping");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_is_told_by_silence_unless_it_need_not_turn() {
        let turned = Some(Instant::now());
        let pulse = |stopping, turned| Pulse { stopping, turned, ..Pulse::default() };
        tokio::time::advance(STUCK).await;
        assert_eq!(pulse(false, turned).stuck(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pulse(false, turned).stuck(), Some(STUCK + Duration::from_secs(1)));
        assert_eq!(pulse(true, turned).stuck(), None, "it drains");
        assert_eq!(pulse(false, None).stuck(), None, "it has not begun, or is a worker");
    }

    /// A real socket, and what is told to it second by second, in a time that passes as fast as it can.
    struct Manager {
        _dir: tempfile::TempDir,
        socket: UnixDatagram,
        pulse: watch::Sender<Pulse>,
        stop: Stop,
        _jobs: watch::Sender<Arc<Jobs>>,
        began: Instant,
    }

    impl Manager {
        fn of(watchdog: Option<&str>, grace: Duration) -> Manager {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let env = |name: &str| match name {
                "NOTIFY_SOCKET" => Some(path.to_str().unwrap().to_owned()),
                "WATCHDOG_USEC" => watchdog.map(str::to_owned),
                _ => None,
            };
            let (pulse, seen) = watch::channel(Pulse::default());
            let (keep, jobs) = watch::channel(Arc::default());
            let stop = Stop::default();
            let scene = Scene { pulse: seen, runs: Nudges::default(), jobs, stop: stop.clone(), grace };
            tokio::spawn(keep_telling(Notify::of(&env), scene));
            Manager { _dir: dir, socket, pulse, stop, _jobs: keep, began: Instant::now() }
        }

        /// What comes within so many seconds, each with the second it came in.
        async fn hears(&self, seconds: u64) -> Vec<(u64, String)> {
            let mut all = Vec::new();
            for _ in 0..seconds {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let mut piece = [0; 4096];
                while let Ok(size) = self.socket.recv(&mut piece) {
                    let message = String::from_utf8_lossy(&piece[..size]).into_owned();
                    all.push((self.began.elapsed().as_secs(), message));
                }
            }
            all
        }
    }

    fn with(messages: &[(u64, String)], word: &str) -> usize {
        messages.iter().filter(|(_, message)| message.contains(word)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_a_loop_that_turns_and_nothing_of_one_that_is_stuck() {
        let manager = Manager::of(Some("3000000"), Duration::from_secs(5));
        manager.pulse.send_replace(pulse());
        assert!(with(&manager.hears(10).await, "WATCHDOG=1") >= 9);
        // It turns no more: once that is certain, silence, and why.
        let told = manager.hears(20).await;
        let late: Vec<_> = told.iter().filter(|(second, _)| *second > STUCK.as_secs() + 1).cloned().collect();
        assert_eq!(with(&late, "WATCHDOG=1"), 0, "{told:?}");
        assert!(with(&late, "STATUS=the scheduler's loop has not turned for") > 0, "{told:?}");
        manager.pulse.send_replace(pulse());
        assert!(with(&manager.hears(5).await, "WATCHDOG=1") > 0);
        // Nor need it turn while the process stops.
        manager.pulse.send_replace(Pulse { stopping: true, ..pulse() });
        assert!(with(&manager.hears(60).await, "WATCHDOG=1") >= 59);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_does_is_told_when_it_changes_and_no_oftener_than_every_five_seconds() {
        let manager = Manager::of(None, Duration::from_secs(5));
        let mut all = Vec::new();
        for second in 0..60 {
            let at: Timestamp = "2026-11-29T02:30:00Z".parse().unwrap();
            let next = Some((JobName::new("tick").unwrap(), at.plus(Duration::from_secs(second))));
            manager.pulse.send_replace(Pulse { next, ..pulse() });
            all.extend(manager.hears(1).await);
        }
        assert_eq!(with(&all, "READY=1"), 1, "{all:?}");
        assert!((11..=13).contains(&with(&all, "STATUS=idle, next tick at ")), "{all:?}");
        // Nothing changes: nothing is told.
        let mut quiet = Vec::new();
        for second in 0..60 {
            manager.pulse.send_replace(pulse());
            let heard = manager.hears(1).await;
            quiet.extend(heard.into_iter().filter(|_| second > 5));
        }
        assert_eq!(quiet, []);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_takes_no_longer_than_grace_needs() {
        let grace = Duration::from_secs(20);
        let manager = Manager::of(None, grace);
        manager.pulse.send_replace(pulse());
        manager.hears(7).await;
        manager.stop.softly();
        let (from, told) = (manager.began.elapsed().as_secs(), manager.hears(120).await);
        assert!(told[0].1.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=stopping"), "{told:?}");
        let asked = |(second, message): &(u64, String)| {
            let usec = message.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="))?;
            Some((*second, usec.parse::<u64>().ok()? / 1_000_000))
        };
        let asked: Vec<(u64, u64)> = told.iter().filter_map(asked).collect();
        for pair in asked.windows(2) {
            assert!(pair[1].0 <= pair[0].0 + pair[0].1, "time ran out in between: {asked:?}");
        }
        let longest = from + (grace + LAST).as_secs() + 1;
        assert!(asked.iter().all(|(second, more)| second + more <= longest), "{asked:?}");
        assert!(asked.last().unwrap().0 <= longest);
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let with = |pid: Option<u32>, usec: &str| {
            let env = |name: &str| match name {
                "WATCHDOG_PID" => pid.map(|pid| pid.to_string()),
                "WATCHDOG_USEC" => Some(usec.to_owned()),
                _ => None,
            };
            Notify::of(&env).watchdog
        };
        let own = Some(std::process::id());
        assert_eq!(with(own, "30000000"), Some(Duration::from_secs(30)));
        assert_eq!(with(None, "30000000"), Some(Duration::from_secs(30)));
        assert_eq!((with(Some(1), "30000000"), with(own, "0"), with(own, "soon")), (None, None, None));
    }
}
