//! `cronclave doctor` against planted faults: real servers, real files, the real program. Each fault is found, and told
//! with what mends it; where nothing is wrong, nothing is said.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod bench;
#[path = "doctor/machine.rs"]
mod machine;
#[path = "common/odd.rs"]
mod odd;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "doctor/rabbitmq.rs"]
mod rabbitmq;
#[path = "doctor/redis.rs"]
mod redis;
#[path = "common/servers.rs"]
mod servers;

use std::process::Command;

use serde_json::Value;

use bench::Place;

/// A place with a job, in which nothing is wrong.
pub(crate) fn sound() -> Place {
    let place = Place::empty();
    place.write("schedules/jobs.toml", "version = 1\n[jobs.hello]\nschedule = \"@manual\"\ncommand = \"echo hello\"\n");
    place
}

/// What it found.
pub(crate) struct Found {
    code: i32,
    report: Value,
}

impl Found {
    fn of(place: &Place, env: &[(&str, &str)], args: &[&str]) -> Found {
        Found::by(place, place.command(&["doctor", "--json"]), env, args)
    }

    fn by(place: &Place, mut command: Command, env: &[(&str, &str)], args: &[&str]) -> Found {
        let said = place.finish({
            command.args(args).envs(env.iter().copied());
            command
        });
        assert!([0, 1].contains(&said.code), "{said:#?}");
        let found = Found { code: said.code, report: said.json() };
        assert_eq!(found.code == 1, found.report["problems"] != 0, "{:#}", found.report);
        found
    }

    /// Those of a check, each as its level and its words with what mends it.
    fn told(&self, check: &str) -> Vec<(String, String)> {
        let all = self.report["findings"].as_array().unwrap();
        let these = all.iter().filter(|one| one["check"] == check);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        these.map(|one| (text(&one["level"]), text(&one["text"]) + " => " + &text(&one["mend"]))).collect()
    }

    /// There is such a finding, with all these words in it.
    #[track_caller]
    fn tells(&self, check: &str, level: &str, words: &[&str]) -> &Found {
        let told = self.told(check);
        let fits = |(own, text): &(String, String)| own == level && words.iter().all(|word| text.contains(word));
        assert!(told.iter().any(fits), "no {level} of {check} with {words:?} in {:#}", self.report);
        self
    }

    /// Nothing is wrong but what is named.
    #[track_caller]
    fn and_no_more(&self, but: &[&str]) {
        let all = self.report["findings"].as_array().unwrap();
        let is_bad = |one: &&Value| one["level"] == "problem" || one["level"] == "warning";
        let more: Vec<&Value> =
            all.iter().filter(is_bad).filter(|one| !but.contains(&one["check"].as_str().unwrap())).collect();
        assert!(more.is_empty(), "{more:#?}");
    }
}
