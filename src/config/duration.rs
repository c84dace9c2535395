//! Spans of time as people write them: `90s`, `1h30m`, `2d`.

use std::time::Duration;

/// No setting may be longer than this: 10 years.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Reads numbers with the units `ms`, `s`, `m`, `h` and `d`, one after the other.
///
/// # Errors
/// What is wrong with the text, to be written beneath it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("expected a number and a unit".into());
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err("expected whole numbers with units, as in \"1h30m\"".into());
        }
        let size_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if tail.starts_with('.') => return Err("expected whole numbers, as in \"1h30m\"".into()),
            "" => return Err("number without a unit".into()),
            other => return Err(format!("unknown unit `{other}`: write ms, s, m, h or d")),
        };
        let part = number.parse().ok().and_then(|n: u64| n.checked_mul(size_ms)).map(Duration::from_millis);
        sum =
            part.and_then(|part| sum.checked_add(part)).filter(|sum| *sum <= LONGEST).ok_or("longer than 10 years")?;
        rest = tail.trim_start();
    }
    Ok(sum)
}

/// What was probably meant by a text that is no duration: one number, with a fraction, alone, or with a unit in full.
pub(super) fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let (number, word) = text.split_at(text.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count());
    let unit = match word.trim().to_ascii_lowercase().trim_end_matches('s') {
        "" | "s" | "sec" | "second" => "s",
        "millisecond" => "ms",
        "m" | "min" | "minute" => "m",
        "h" | "hr" | "hour" => "h",
        "d" | "day" => "d",
        _ => return None,
    };
    let Some((whole, part)) = number.split_once('.') else {
        let text = format!("{number}{unit}");
        return duration(&text).is_ok().then_some(text);
    };
    // A fraction is some of the next smaller units.
    let tenths: u32 = part.parse().ok().filter(|_| part.len() == 1)?;
    let whole = duration(&format!("{whole}{unit}")).ok()?;
    Some(written(whole + duration(&format!("1{unit}")).ok()? * tenths / 10))
}

/// The same the other way round, as in `1h30m`.
pub(super) fn written(span: Duration) -> String {
    let mut rest_ms = span.as_millis();
    let mut text = String::new();
    for (unit, size_ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest_ms >= size_ms {
            text += &format!("{}{unit}", rest_ms / size_ms);
            rest_ms %= size_ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, ms) in
            [("90s", 90_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("250ms", 250), ("1h 5 m", 3_900_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(duration(&written(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn units_in_full_are_understood_but_not_accepted() {
        for (text, said) in [
            ("30", "30s"),
            ("5 minutes", "5m"),
            ("1 Hour", "1h"),
            ("2 days", "2d"),
            ("9 secs", "9s"),
            ("1.5h", "1h30m"),
        ] {
            assert!(duration(text).is_err());
            assert_eq!(meant(text).as_deref(), Some(said));
        }
        assert_eq!([meant("soon"), meant("3 weeks"), meant("99999 days"), meant("")], [const { None }; 4]);
    }

    #[test]
    fn anything_else_says_why() {
        assert_eq!(duration("30").unwrap_err(), "number without a unit");
        assert_eq!(duration("3y").unwrap_err(), "unknown unit `y`: write ms, s, m, h or d");
        for text in ["", "s", "-1s", "1.5h", "99999999999999999999s", "99999d", "1h30", "é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
