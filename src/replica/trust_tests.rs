use super::*;

/// A replica's heartbeats, five seconds apart, with clocks that only the test sets. All in seconds.
struct Bench {
    trust: Trust,
    /// How long it lives.
    at: i64,
    /// How far the store's clock is ahead of the true time.
    store: i64,
    /// The same of our own wall clock.
    own: i64,
    /// The same of those of the others.
    others: Vec<i64>,
    /// How long an answer is on its way.
    way: i64,
}

const DAY: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

fn secs(secs: i64) -> Duration {
    Duration::from_secs(secs.unsigned_abs())
}

impl Bench {
    fn with(others: &[i64]) -> Bench {
        let trust = Trust::new(Timestamp::from_secs(DAY), Duration::ZERO);
        let mut bench = Bench { trust, at: 0, store: 0, own: 0, others: others.to_vec(), way: 0 };
        assert_eq!(bench.beats(3), Verdict::Right);
        bench
    }

    fn beat(&mut self) -> Verdict {
        self.at += 5;
        let true_time = DAY + self.at;
        let skew = |wall: i64| (wall - self.store) * 1_000_000;
        self.trust.take(&Seen {
            store: Timestamp::from_secs(true_time + self.store),
            asked: secs(self.at),
            answered: secs(self.at + self.way) + Duration::from_millis(2),
            own: Timestamp::from_secs(true_time + self.own + self.way),
            others: self.others.iter().map(|wall| skew(*wall)).collect(),
        })
    }

    fn beats(&mut self, count: usize) -> Verdict {
        (0..count).map(|_| self.beat()).last().unwrap()
    }

    /// By how many seconds what is believed now is ahead of the true time.
    fn error(&self) -> i64 {
        let true_time = DAY + self.at;
        let store = Timestamp::from_secs(true_time + self.store);
        let believed = self.trust.believe(store, secs(self.at));
        (micros(believed, Timestamp::from_secs(true_time)) as f64 / 1e6).round() as i64
    }
}

fn is_forward(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::SetForward(by) if by.as_secs().abs_diff(3600) < 5)
}

#[test]
fn a_clock_that_is_set_forward_is_not_believed_even_before_the_next_heartbeat() {
    let mut bench = Bench::with(&[0, 0]);
    bench.store = HOUR;
    assert_eq!(bench.error(), 0);
    // What the others said is of before the step at first.
    assert!(is_forward(bench.beat()));
    assert!(is_forward(bench.beats(1000)));
    assert_eq!(bench.error(), 0);
    bench.store = 0;
    assert_eq!(bench.beat(), Verdict::Right);
    assert_eq!(bench.error(), 0);
}

#[test]
fn what_the_others_said_before_the_step_does_not_count() {
    let mut bench = Bench::with(&[]);
    bench.store = HOUR;
    bench.others = vec![HOUR, HOUR];
    assert!(is_forward(bench.beat()));
    bench.others = vec![0, 0];
    assert!(is_forward(bench.beats(100)));
}

#[test]
fn a_clock_that_goes_over_to_what_the_replicas_say_is_believed() {
    // It was an hour behind all the time, and is set right.
    let mut bench = Bench::with(&[]);
    (bench.own, bench.others) = (HOUR, vec![HOUR, HOUR]);
    assert!(matches!(bench.beats(2), Verdict::Behind(_, 3, 3)));
    bench.store = HOUR;
    assert_eq!(bench.beat(), Verdict::Right);
    assert_eq!(bench.error(), HOUR);
}

#[test]
fn a_replica_whose_own_clock_is_wrong_believes_the_majority() {
    let mut bench = Bench::with(&[0, 0]);
    bench.own = -HOUR;
    assert_eq!(bench.beats(10), Verdict::Right);
    assert_eq!(bench.error(), 0);
    bench.own = HOUR;
    assert_eq!(bench.beats(10), Verdict::Right);
    // The store was wrong and is set right, which only the others know.
    let mut bench = Bench::with(&[]);
    (bench.own, bench.others) = (-HOUR, vec![HOUR, HOUR]);
    bench.beats(2);
    bench.store = HOUR;
    assert!(is_forward(bench.beat()));
    assert_eq!(bench.beats(4), Verdict::Right);
}

#[test]
fn the_clocks_of_most_replicas_hold_a_store_that_was_ahead_from_the_beginning() {
    for (others, held) in [
        (vec![-300, -300, 0, 0], true),
        (vec![-300, 0, 0, 0], false),
        (vec![0, 0, 0, 300], false),
        (vec![-300], true),
        (vec![0], false),
        (vec![], true),
    ] {
        let mut bench = Bench::with(&[]);
        (bench.own, bench.others) = (-300, others.clone());
        let verdict = bench.beats(2);
        assert_eq!(matches!(verdict, Verdict::AheadOf(..)), held, "{others:?}: {verdict:?}");
        assert_eq!(bench.error(), if held { -300 } else { 0 }, "{others:?}");
    }
}

#[test]
fn a_difference_of_less_than_a_minute_holds_nothing() {
    let mut bench = Bench::with(&[0, 0]);
    for store in [3, 50, -20, -59, 0] {
        bench.store = store;
        assert_eq!(bench.beats(20), Verdict::Right);
        assert_eq!(bench.error(), store);
    }
}

#[test]
fn a_clock_that_is_set_back_is_told_and_forward_again_is_right_at_once() {
    let mut bench = Bench::with(&[0, 0]);
    bench.store = -HOUR;
    assert!(matches!(bench.beat(), Verdict::SetBack(_)));
    assert_eq!(bench.error(), -HOUR, "nothing is believed that the store does not say");
    assert!(matches!(bench.beats(500), Verdict::SetBack(_)));
    bench.store = 0;
    assert_eq!(bench.error(), 0);
    assert_eq!(bench.beat(), Verdict::Right);
}

#[test]
fn one_clock_for_store_and_replica_is_believed_once_it_was_left_for_ten_minutes() {
    let mut bench = Bench::with(&[]);
    (bench.store, bench.own) = (HOUR, HOUR);
    assert!(is_forward(bench.beat()));
    assert!(bench.trust.went_along());
    assert!(is_forward(bench.beats(118)));
    assert_eq!(bench.error(), 0);
    assert_eq!(bench.beats(3), Verdict::Right);
    assert_eq!(bench.error(), HOUR);
}

#[test]
fn a_file_whose_time_stands_still_until_the_clock_has_caught_up_is_told() {
    // A clock that is set back an hour, and a store whose time never goes back.
    let mut bench = Bench::with(&[]);
    bench.own = -HOUR;
    let mut wrong = 0;
    for beat in 0..730 {
        bench.store = if beat < 719 { -5 * (beat + 1) } else { -HOUR };
        wrong += i32::from(bench.beat() != Verdict::Right);
        assert!(bench.error() <= 0);
    }
    assert!(wrong > 700, "{wrong}");
    assert_eq!(bench.beat(), Verdict::Right);
}

#[test]
fn an_answer_that_took_long_is_no_step() {
    let mut bench = Bench::with(&[0, 0]);
    bench.at += 120;
    let late = Seen {
        store: Timestamp::from_secs(DAY + bench.at - 110),
        asked: secs(bench.at - 115),
        answered: secs(bench.at),
        own: Timestamp::from_secs(DAY + bench.at),
        others: vec![0, 0],
    };
    let _ = bench.trust.take(&late);
    assert_eq!(bench.beat(), Verdict::Right);
    assert_eq!(bench.error(), 0);
}

#[test]
fn a_store_that_answers_late_and_is_ahead_is_not_believed_to_be_later_than_it_is() {
    let mut bench = Bench::with(&[]);
    bench.trust = Trust::new(Timestamp::from_secs(DAY + bench.at), secs(bench.at));
    (bench.store, bench.way) = (HOUR, 2);
    assert!(matches!(bench.beat(), Verdict::AheadOf(..)));
    assert_eq!(bench.error(), 0);
}
