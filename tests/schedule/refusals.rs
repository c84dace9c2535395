//! Texts that are no schedules.

use std::time::Duration;

use super::*;

fn refused(text: &str) -> (u16, &str, String) {
    let error = parse(text).unwrap_err();
    (error.code, text.get(error.span).unwrap_or(""), error.message)
}

#[test]
fn each_mistake_is_pointed_at() {
    let cases = [
        ("0 24 * * *", 102, "24", "24 is not a valid hour"),
        ("*/5 * * *", 101, "*/5 * * *", "a cron schedule needs 5 fields (or 6 with seconds first), found 4"),
        ("  1 2 3 4 5 6 7 8", 101, "1 2 3 4 5 6 7 8", "found 8"),
        ("5-1 * * * *", 103, "5-1", "the range 5-1 runs backwards"),
        ("0 5/15 * * *", 104, "5/15", "`5/15` has a step but no end"),
        ("0 1,,2 * * *", 105, ",", "an item of the list is empty"),
        ("*/0 * * * *", 106, "0", "a step of 0 never moves on"),
        ("0 0 * FOO *", 107, "FOO", "unknown month `FOO`"),
        ("0 0 * * MON-FRY", 107, "FRY", "unknown day-of-week `FRY`"),
        ("0~30 * * * *", 114, "0~30", "`~` picks a random value, and replicas must agree"),
        ("@reboot", 109, "@reboot", "`@reboot` means nothing in a cluster"),
        ("@dayly", 111, "@dayly", "unknown schedule `@dayly`"),
        ("@daily now", 108, "@daily now", "nothing may follow `@daily`"),
        ("0 0 * * L", 110, "L", "`L` alone is not a weekday"),
        ("0 0 L-3 * *", 110, "L-3", "`L-3` counts back from the last day"),
        ("0 0 1-5W * *", 113, "1-5W", "`1-5W`: `W` goes with a single day"),
        ("0 0 * * MON#6", 113, "#6", "`#6` is not a week of the month"),
        ("0 0 * * FRU#1", 107, "FRU", "unknown day-of-week `FRU`"),
        ("0 0 * * FRI-1", 103, "FRI-1", "the range FRI-1 runs backwards"),
        ("0 ? * * *", 108, "?", "`?` stands for any day, not for any hour"),
        ("TZ=UTC 0 0 * * *", 116, "TZ=UTC", "a schedule's own zone is written `CRON_TZ=`"),
        ("CRON_TZ=Europe/Berln 0 0 * * *", 30, "CRON_TZ=Europe/Berln", "unknown time zone \"Europe/Berln\""),
        ("CRON_TZ=UTC", 101, "CRON_TZ=UTC", "the schedule is empty"),
        ("CRON_TZ=UTC 0 0 * *", 101, "0 0 * *", "found 4"),
    ];
    for (text, code, place, message) in cases {
        let (was, pointed, said) = refused(text);
        assert_eq!((was, pointed), (code, place), "{text}: {said}");
        assert!(said.contains(message), "{text}: {said}");
    }
}

#[test]
fn a_help_says_what_to_write() {
    assert_eq!(parse("0 24 * * *").unwrap_err().help.unwrap(), "midnight is hour 0");
    assert_eq!(parse("0 0 * * 5-1").unwrap_err().help.unwrap(), "with names it may: `FRI-MON`");
    assert_eq!(parse("0 0 * * Friday").unwrap_err().help.unwrap(), "names have three letters: `FRI`");
    assert_eq!(parse("5/15 * * * *").unwrap_err().help.unwrap(), "write `5-59/15`, or `5` alone");
}

#[test]
fn an_unknown_zone_names_the_nearest() {
    assert_eq!(Zone::parse("Europe/Berln").unwrap_err().nearest.unwrap(), "Europe/Berlin");
    assert_eq!(Zone::parse("Tokio").unwrap_err().nearest.unwrap(), "Asia/Tokyo");
    assert_eq!(Zone::parse("qqqqqqqqq").unwrap_err().nearest, None);
    assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
}

#[test]
fn a_period_must_be_whole_seconds() {
    assert!(Schedule::every(Duration::ZERO, &Zone::utc()).is_err());
    assert!(Schedule::every(Duration::from_millis(1500), &Zone::utc()).is_err());
}
