//! The conformance corpus: expressions answered by independent programs, of which each line says which agree.

use cronclave::schedule::{Rules, Schedule};
use serde_json::Value;

use super::*;

/// Lines that a newer time zone database overrules, and the rule that did.
const OVERRULED: [(&str, &str); 2] = [
    ("tz-0004", "Africa/Casablanca is at +00 all year from 2026-09-20 (2026c); the corpus has +01 in April 2028"),
    ("tz-0042", "Africa/Casablanca is at +00 all year from 2026-09-20 (2026c); the corpus has +01 in January 2027"),
];

fn lines() -> Vec<Value> {
    include_str!("../data/cron.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

fn instants(list: &Value) -> Vec<Timestamp> {
    list.as_array().unwrap().iter().map(|t| at(t.as_str().unwrap())).collect()
}

/// What the corpus says, and what we say.
fn answers(line: &Value) -> (Vec<Timestamp>, Vec<Timestamp>) {
    let schedule = Schedule::parse(text(line, "expr"), &zone(text(line, "tz")), Rules::default(), "job");
    let schedule = schedule.unwrap_or_else(|error| panic!("{} {}: {error}", line["id"], line["expr"]));
    let key = ["next_ocps", "next", "prev", "next_vixie"].into_iter().find(|key| line[key].is_array()).unwrap();
    let wanted = instants(&line[key]);
    // No list is longer than this; a shorter one is all there is.
    let most = if key == "prev" { 3 } else { 5 };
    let got = if key == "prev" {
        let before = at(text(line, "before"));
        std::iter::successors(schedule.before(before), |t| schedule.before(*t)).take(wanted.len().max(1)).collect()
    } else {
        runs(&schedule, text(line, "after"), most)
    };
    (wanted, got)
}

#[test]
fn every_line_of_the_corpus_is_answered_as_given() {
    let (mut wrong, mut answered) = (Vec::new(), 0);
    for line in lines().iter().filter(|line| line["kind"] != "reject") {
        let (wanted, got) = answers(line);
        answered += 1;
        if OVERRULED.iter().any(|(id, _)| *id == text(line, "id")) {
            // Stale by exactly the hour that the law took away.
            let hour = std::time::Duration::from_secs(3600);
            assert_eq!(wanted.iter().map(|t| t.plus(hour)).collect::<Vec<_>>(), got, "{}", line["id"]);
        } else if got != wanted {
            wrong.push(format!("{} {} in {}: {got:?}, not {wanted:?}", line["id"], line["expr"], line["tz"]));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(answered, 2463);
}

#[test]
fn every_invalid_expression_is_refused_with_a_place_inside_the_text() {
    let mut refused = 0;
    for line in lines().iter().filter(|line| line["kind"] == "reject") {
        let expr = text(line, "expr");
        match parse(expr) {
            Ok(_) => panic!("accepted: {expr:?}"),
            Err(error) => assert!(expr.get(error.span.clone()).is_some() || expr.is_empty(), "{expr:?}: {error:?}"),
        }
        refused += 1;
    }
    assert_eq!(refused, 258);
}
