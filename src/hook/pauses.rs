//! When what was not taken is sent again.

use std::time::Duration;

/// The pauses before each try. Whatever has used them up has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pauses(pub Vec<Duration>);

impl Pauses {
    /// As Standard Webhooks has it: at once, after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h.
    pub fn standard() -> Pauses {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        let all = [0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Pauses(all.map(Duration::from_secs).into())
    }

    /// For pings, which are worth little when they are old: at once, after 5 s, 30 s and 5 min.
    pub fn pings() -> Pauses {
        Pauses([0, 5, 30, 300].map(Duration::from_secs).into())
    }

    /// The pause after so many tries, `roll` (0 to 1) of a tenth longer or shorter; `None` after the last.
    pub fn after(&self, tries: u32, roll: f64) -> Option<Duration> {
        let pause = self.0.get(usize::try_from(tries).ok()?)?;
        Some(pause.mul_f64(0.9 + 0.2 * roll.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_and_end() {
        let pauses = Pauses::standard();
        assert_eq!(pauses.after(0, 0.5), Some(Duration::ZERO));
        assert_eq!(pauses.after(1, 0.5), Some(Duration::from_secs(5)));
        assert!(pauses.after(9, 1.0) > Some(Duration::from_secs(24 * 3600)));
        assert_eq!(pauses.after(10, 0.5), None);
    }
}
