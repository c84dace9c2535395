//! `explain` and `next`: times and words, around changes of clocks above all, for people and for programs.

use serde_json::{Value, json};

use crate::bench::Place;

/// A zone, a fixed daily time, an instant before the change of clocks, the occurrences that follow, and
/// what the change of clocks does.
struct Case {
    zone: &'static str,
    text: &'static str,
    from: &'static str,
    /// UTC, and the local time as people read it.
    times: &'static [(&'static str, &'static str)],
    /// Which of them the change touches, how, and the footnote.
    note: (usize, &'static str, &'static str),
}

const CASES: [Case; 8] = [
    Case {
        zone: "America/New_York",
        text: "30 2 * * *",
        from: "2027-03-13T12:00:00Z",
        times: &[
            ("2027-03-14T07:00:00Z", "Sun 2027-03-14 03:00:00 EDT  (-04:00)"),
            ("2027-03-15T06:30:00Z", "Mon 2027-03-15 02:30:00 EDT  (-04:00)"),
        ],
        note: (0, "gap", "[1] 02:30 does not exist on this day: clocks go from 02:00 EST to 03:00 EDT."),
    },
    Case {
        zone: "America/New_York",
        text: "30 1 * * *",
        from: "2027-11-06T12:00:00Z",
        times: &[
            ("2027-11-07T05:30:00Z", "Sun 2027-11-07 01:30:00 EDT  (-04:00)"),
            ("2027-11-08T06:30:00Z", "Mon 2027-11-08 01:30:00 EST  (-05:00)"),
        ],
        note: (0, "overlap", "[1] 01:30 comes twice on this day: clocks go from 02:00 EDT to 01:00 EST."),
    },
    Case {
        zone: "Australia/Lord_Howe",
        text: "15 2 * * *",
        from: "2027-10-02T00:00:00Z",
        times: &[
            ("2027-10-02T15:30:00Z", "Sun 2027-10-03 02:30:00 +11  (+11:00)"),
            ("2027-10-03T15:15:00Z", "Mon 2027-10-04 02:15:00 +11  (+11:00)"),
        ],
        note: (0, "gap", "[1] 02:15 does not exist on this day: clocks go from 02:00 +1030 to 02:30 +11."),
    },
    Case {
        zone: "Australia/Lord_Howe",
        text: "45 1 * * *",
        from: "2027-04-03T00:00:00Z",
        times: &[
            ("2027-04-03T14:45:00Z", "Sun 2027-04-04 01:45:00 +11  (+11:00)"),
            ("2027-04-04T15:15:00Z", "Mon 2027-04-05 01:45:00 +1030 (+10:30)"),
        ],
        note: (0, "overlap", "[1] 01:45 comes twice on this day: clocks go from 02:00 +11 to 01:30 +1030."),
    },
    // Ramadan ended, for the last time that clocks went forward; since September 2026 they stand still.
    Case {
        zone: "Africa/Casablanca",
        text: "30 2 * * *",
        from: "2026-03-21T12:00:00Z",
        times: &[
            ("2026-03-22T02:00:00Z", "Sun 2026-03-22 03:00:00 +01  (+01:00)"),
            ("2026-03-23T01:30:00Z", "Mon 2026-03-23 02:30:00 +01  (+01:00)"),
        ],
        note: (0, "gap", "[1] 02:30 does not exist on this day: clocks go from 02:00 +00 to 03:00 +01."),
    },
    Case {
        zone: "Africa/Casablanca",
        text: "30 2 * * *",
        from: "2026-02-14T12:00:00Z",
        times: &[
            ("2026-02-15T01:30:00Z", "Sun 2026-02-15 02:30:00 +01  (+01:00)"),
            ("2026-02-16T02:30:00Z", "Mon 2026-02-16 02:30:00 +00  (+00:00)"),
        ],
        note: (0, "overlap", "[1] 02:30 comes twice on this day: clocks go from 03:00 +01 to 02:00 +00."),
    },
    // A whole day was left out.
    Case {
        zone: "Pacific/Apia",
        text: "0 12 * * *",
        from: "2011-12-29T00:00:00Z",
        times: &[
            ("2011-12-29T22:00:00Z", "Thu 2011-12-29 12:00:00 -10  (-10:00)"),
            ("2011-12-30T10:00:00Z", "Sat 2011-12-31 00:00:00 +14  (+14:00)"),
            ("2011-12-30T22:00:00Z", "Sat 2011-12-31 12:00:00 +14  (+14:00)"),
        ],
        note: (1, "gap", "[1] 12:00 does not exist on this day: clocks go from 00:00 -10 to 00:00 +14."),
    },
    Case {
        zone: "Africa/Cairo",
        text: "0 0 * * *",
        from: "2027-04-29T12:00:00Z",
        times: &[
            ("2027-04-29T22:00:00Z", "Fri 2027-04-30 01:00:00 EEST (+03:00)"),
            ("2027-04-30T21:00:00Z", "Sat 2027-05-01 00:00:00 EEST (+03:00)"),
        ],
        note: (0, "gap", "[1] 00:00 does not exist on this day: clocks go from 00:00 EET to 01:00 EEST."),
    },
];

/// Holds one answer in JSON against the case.
fn check(case: &Case, answer: &Value) {
    let all = answer["occurrences"].as_array().unwrap();
    let at: Vec<_> = all.iter().map(|one| one["at"].as_str().unwrap()).collect();
    let wanted: Vec<_> = case.times.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, wanted, "{} in {}", case.text, case.zone);
    let (touched, kind, _) = case.note;
    for (n, one) in all.iter().enumerate() {
        let note = if n == touched { json!(kind) } else { Value::Null };
        assert_eq!(one["dst"]["kind"], note, "{} in {}: {one}", case.text, case.zone);
    }
    let policy = if kind == "gap" { "shift" } else { "first" };
    assert_eq!(all[touched]["dst"]["policy"], policy);
}

#[test]
fn explain_shows_what_a_change_of_clocks_does_to_people_and_to_programs() {
    let place = Place::empty();
    for case in &CASES {
        let count = case.times.len().to_string();
        let args = ["explain", case.text, "--tz", case.zone, "--from", case.from, "-n", &count];
        let mut words: Vec<&str> = case.times.iter().map(|(_, local)| *local).collect();
        words.push(case.note.2);
        place.ask(&args).expect(0, &words);
        check(case, &place.ask(&[&args[..], &["--json"]].concat()).expect(0, &[]).json());
    }
}

#[test]
fn next_shows_what_a_change_of_clocks_does_to_people_and_to_programs() {
    let place = Place::empty();
    for case in &CASES {
        let file = format!(
            "version = 1\n[jobs.a]\nschedule = \"{}\"\ntimezone = \"{}\"\ncommand = \"true\"\n",
            case.text, case.zone
        );
        place.write("schedules/a.toml", &file);
        let count = case.times.len().to_string();
        let args = ["next", "a", "--from", case.from, "-n", &count];
        let mut words: Vec<&str> = case.times.iter().map(|(_, local)| *local).collect();
        words.push(case.note.2);
        place.ask(&args).expect(0, &words);
        check(case, &place.ask(&[&args[..], &["--json"]].concat()).expect(0, &[]).json()["items"][0]);
    }
}

#[test]
fn next_shows_what_calendars_keep_from_running_when_asked() {
    let place = Place::empty();
    place.write(
        "schedules/a.toml",
        "version = 1\n[calendars.de-holidays]\ndates = [2026-12-25, 2026-12-26]\n[jobs.report]\n\
         schedule = [\"0 8 * * MON-FRI\", \"0 10 * * SAT\"]\nskip_on = [\"de-holidays\"]\n\
         timezone = \"Europe/Berlin\"\ncommand = \"true\"\njitter = \"2m\"\ntags = [\"ops\"]\n",
    );
    let said = place.ask(&["next", "report", "--from", "2026-12-24", "-n", "2", "--skipped"]).expect(
        0,
        &[
            "At 08:00 Monday to Friday, or at 10:00 on Saturday; not on de-holidays; up to 2m later (jitter)",
            "Thu 2026-12-24 08:0",
            "jitter (the same on every replica)",
            "skipped: calendar de-holidays",
            "Mon 2026-12-28 08:0",
        ],
    );
    assert_eq!(said.out.matches("skipped").count(), 2, "{said:?}");
    let said = place.ask(&["next", "--tag", "ops", "--from", "2026-12-25", "-n", "1", "--json"]).expect(0, &[]);
    let first = &said.json()["items"][0]["occurrences"][0];
    assert_eq!(first["scheduled_at"], "2026-12-28T07:00:00Z");
    let said = place.ask(&["next", "--skipped", "--from", "2026-12-25", "-n", "1", "--json"]).expect(0, &[]);
    let first = &said.json()["items"][0]["occurrences"][0];
    assert_eq!(first["skipped"], json!({"reason": "calendar", "calendar": "de-holidays"}));
    assert!(
        place.ask(&["next", "--tag", "dev", "--json"]).expect(0, &[]).json()["items"].as_array().unwrap().is_empty()
    );
}

#[test]
fn explain_says_in_words_what_an_expression_means() {
    let place = Place::empty();
    let cases = [
        ("0 9 13 * FRI", "At 09:00 on the 13th of the month, and on every Friday"),
        ("0 9 13 * +FRI", "At 09:00 on the 13th of the month if it is a Friday"),
        ("*/10 9-17 * * MON-FRI", "Every 10 minutes from 09:00 to 17:50 Monday to Friday"),
        ("*/10 * * * *", "Every 10 minutes"),
        ("*/35 * * * *", "At minutes 0 and 35 of every hour"),
        ("15 * * * *", "At minute 15 of every hour"),
        ("0 * * * *", "Every hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("0 9,17 * * *", "At 09:00 and 17:00 every day"),
        ("30 2 * * *", "At 02:30 every day"),
        ("0 0 L * *", "At 00:00 on the last day of the month"),
        ("0 0 1,15,LW * *", "At 00:00 on the 1st, 15th and last weekday of the month"),
        ("0 0 15W JAN-MAR *", "At 00:00 on the weekday nearest the 15th from January to March"),
        ("0 0 * * MON#1", "At 00:00 on the first Monday of the month"),
        ("0 0 * * FRIL", "At 00:00 on the last Friday of the month"),
        ("0 0 * 6 FRI-SUN", "At 00:00 Friday to Sunday in June"),
        ("0 0 2 1 4 * 2030-2099", "At 02:00 on the 1st of April from 2030 to 2099"),
        ("*/15 * * * * *", "Every 15 seconds"),
        ("* * * * *", "Every minute"),
        ("@weekly", "At 00:00 on Sunday"),
        ("@manual", "Only by hand"),
        ("every 90m", "Every 90 minutes"),
        ("*/5 */5 */5 * * *", "Every 5 seconds of every 5th minute of hours 0, 5, 10, 15 and 20"),
        ("* 0,30 9 * * *", "Every second of minutes 0 and 30 of hour 9"),
        ("*/15 0,12 * * *", "Every 15 minutes of hours 0 and 12"),
        ("0 0 0 1 1 * */2", "At 00:00 on the 1st of January in 215 of the years from 1970 to 2398"),
    ];
    for (text, words) in cases {
        let said = place.ask(&["explain", text, "-n", "1"]).expect(0, &[]);
        assert_eq!(said.out.lines().next(), Some(words), "{text}");
    }
    let json = place.ask(&["explain", "0 9 13 * FRI", "--json"]).expect(0, &[]).json();
    assert_eq!(json["description"], "At 09:00 on the 13th of the month, and on every Friday");
    assert_eq!(json["notes"][0]["code"], "W0208");
    assert_eq!(json["fields"][0][4], json!({"field": "day-of-week", "text": "FRI", "values": [5]}));
    assert_eq!(json["occurrences"].as_array().unwrap().len(), 5);
}

#[test]
fn a_wrong_expression_is_pointed_at_and_exits_with_78() {
    let place = Place::empty();
    let said = place.ask(&["explain", "0 24 * * *"]).expect(78, &["error[E0102]: 24 is not a valid hour"]);
    assert!(said.err.contains("\n  0 24 * * *\n    ^^ hour must be 0-23\n  = help: midnight is hour 0"), "{said:?}");
    let json = place.ask(&["explain", "0 24 * * *", "--json"]).expect(78, &[]).json();
    assert_eq!((&json["error"]["code"], &json["error"]["span"]), (&json!("E0102"), &json!([2, 4])));
    place.ask(&["explain", "CRON_TZ=UTC 0 0 * * *", "--tz", "UTC"]).expect(78, &["E0032", "said twice"]);
    place.ask(&["explain", "0 0 * * *", "--from", "soon"]).expect(78, &["\"soon\": not a time"]);
    place.ask(&["explain", "0 0 * * *", "--tz", "Mars/Base"]).expect(2, &["--tz", "Mars/Base"]);
    place.ask(&["explain"]).expect(2, &["EXPRESSION"]);
    place.ask(&["explain", "E9999"]).expect(66, &["there is no code E9999"]);
    place.ask(&["explain", "0 0 * * *", "--from", "1960-01-01"]).expect(78, &["only times from 1970 to 2399"]);
    place.ask(&["explain", "0 0 ?/2 * *"]).expect(78, &["`?` stands alone"]);
    place.ask(&["explain", "e0102"]).expect(0, &["# E0102", "## Right"]);
    // The shell replaced the stars by file names.
    place.ask(&["explain", "0", "0", "a.toml", "b.toml"]).expect(78, &["found 4"]);
}

#[test]
fn next_does_not_flood_with_what_is_closed() {
    let place = Place::empty();
    place.write(
        "schedules/a.toml",
        "version = 1\n[calendars.all]\nbetween = [{ from = 2026-01-01, to = 2099-01-01 }]\n[jobs.a]\n\
         schedule = \"* * * * * *\"\nskip_on = [\"all\"]\ncommand = \"true\"\n",
    );
    let said = place.ask(&["next", "--skipped", "-n", "2", "--from", "2027-01-01"]).expect(0, &["... 116 more ..."]);
    assert!(said.out.lines().count() < 12, "{said:?}");
}

#[test]
fn two_times_that_one_change_of_clocks_touches_have_a_note_each() {
    let place = Place::empty();
    let said = place.ask(&[
        "explain",
        "30 1,2 * * *",
        "--tz",
        "Antarctica/Troll",
        "--from",
        "2027-10-30T12:00:00Z",
        "-n",
        "3",
    ]);
    said.expect(0, &["[1] 01:30 comes twice", "[2] 02:30 comes twice"]);
}

#[test]
fn before_lists_the_latest_first() {
    let place = Place::empty();
    let said =
        place.ask(&["explain", "0 0 L * *", "--before", "2027-01-31", "-n", "2", "--json"]).expect(0, &[]).json();
    let at: Vec<_> = said["occurrences"].as_array().unwrap().iter().map(|one| one["at"].clone()).collect();
    assert_eq!(at, ["2026-12-31T00:00:00Z", "2026-11-30T00:00:00Z"]);
}

#[test]
fn a_batch_answers_line_by_line_and_goes_on_after_a_mistake() {
    let place = Place::empty();
    let requests = "{\"schedule\": \"0 9 * * *\", \"tz\": \"Europe/Berlin\", \"from\": \"2027-01-01T00:00:00Z\", \"count\": 1}\n\
                    \n\
                    {\"schedule\": \"0 25 * * *\"}\n\
                    not json\n\
                    {\"schedule\": \"0 9 * * *\", \"zone\": \"UTC\"}\n\
                    {\"schedule\": \"0 9 * * *\", \"tz\": \"Mars/Base\"}\n\
                    {\"schedule\": [\"@daily\", \"@hourly\"], \"before\": \"2027-01-01T00:00:01Z\", \"count\": 2}";
    let said = place.ask_with(&["explain", "--batch", "--json"], requests).expect(0, &[]);
    let answers: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 6, "{said:?}");
    assert_eq!(answers[0]["occurrences"][0]["at"], "2027-01-01T08:00:00Z");
    assert_eq!(answers[1]["error"]["code"], "E0102");
    for (answer, words) in answers[2..5].iter().zip(["line 4: not a request", "line 5: not a request", "Mars/Base"]) {
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(answers[5]["occurrences"][1]["at"], "2026-12-31T23:00:00Z");
}

#[test]
fn the_whole_corpus_passes_through_a_batch() {
    let lines: Vec<Value> =
        include_str!("../data/cron.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let request = |line: &Value| match line["kind"].as_str().unwrap() {
        "prev" => json!({"schedule": line["expr"], "tz": line["tz"], "before": line["before"], "count": 3}).to_string(),
        "reject" => json!({"schedule": line["expr"]}).to_string(),
        _ => json!({"schedule": line["expr"], "tz": line["tz"], "from": line["after"], "count": 5}).to_string(),
    };
    let place = Place::empty();
    let requests: Vec<String> = lines.iter().map(request).collect();
    let said = place.ask_with(&["explain", "--batch", "--json"], &requests.join("\n")).expect(0, &[]);
    let answers: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), lines.len());
    for (line, answer) in lines.iter().zip(&answers) {
        assert_eq!(line["kind"] == "reject", answer["error"].is_object(), "{line} {answer}");
    }
}
