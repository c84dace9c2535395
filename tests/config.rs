//! Schedule files: what good ones mean, and what is said about each kind of mistake.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::config::{Config, Diagnostic, Severity, SourceText, find, load, report};
use cronclave::job::{Action, Command, Delivery, Job, Misfire, MisfirePolicy, Overlap, Task, Text};

fn now() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

fn env(name: &str) -> Option<String> {
    (name == "CRM_TOKEN" || name == "PG_PASSWORD").then(|| "s3cret".to_owned())
}

fn source(name: &str, text: &str) -> SourceText {
    SourceText { name: name.to_owned(), text: text.into() }
}

fn read(text: &str) -> Result<Config, Vec<Diagnostic>> {
    load(&[source("a.toml", text)], &env, now())
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|wrong| panic!("{}", report(&wrong, false)))
}

fn job(config: &Config, name: &str) -> Arc<Job> {
    Arc::clone(config.jobs.iter().find(|job| job.name.as_str() == name).unwrap())
}

fn command(job: &Job) -> &Command {
    match &job.task {
        Task::Run(Action::Command(command)) => command,
        other => panic!("{other:?}"),
    }
}

/// The mistakes of a file, in order, as `line:column code message`.
fn mistakes(text: &str) -> Vec<String> {
    let wrong = read(text).expect_err(text);
    wrong.iter().map(|one| format!("{}:{} {} {}", one.line, one.column, one.code, one.message)).collect()
}

/// A job `a` that is fine but for the given lines, which begin at line 5.
fn with(lines: &str) -> String {
    format!("version = 1\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n{lines}\n")
}

mod meaning {
    use super::*;

    #[test]
    fn a_job_without_settings_gets_the_defaults() {
        let config = good("version = 1\n[jobs.hello]\nschedule = \"* * * * *\"\ncommand = \"echo $X\"\n");
        let job = job(&config, "hello");
        assert_eq!(command(&job).words(), ["/bin/sh", "-c", "echo $X"]);
        assert_eq!(command(&job).shown(), "echo $X");
        assert_eq!((job.timeout, job.kill_after), (Duration::from_secs(3600), Duration::from_secs(10)));
        assert_eq!((job.lease, job.log_limit), (Duration::from_secs(30), 1 << 20));
        assert_eq!((job.overlap, job.delivery, job.misfire), (Overlap::Skip, Delivery::AtMostOnce, Misfire::default()));
        assert!(job.enabled && job.jitter.is_zero() && job.retry.attempts == 1);
        assert_eq!((&*job.source.file, job.source.line), ("a.toml", 2));
        assert_eq!(job.schedule.zone().name(), "UTC");
    }

    #[test]
    fn a_job_overrides_defaults_but_joins_tags_and_variables() {
        let config = good(
            "version = 1\n[defaults]\ntags = [\"x\"]\ntimeout = \"5m\"\noverlap = \"allow\"\nenv = { A = \"1\", B = \"1\" }\n\
             shell = [\"bash\", \"-c\"]\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\ntags = [\"y\", \"x\"]\ntimeout = \"90s\"\n\
             env = { B = \"2\" }\n",
        );
        let job = job(&config, "a");
        assert_eq!(job.tags, ["x", "y"]);
        assert_eq!((job.timeout, job.overlap), (Duration::from_secs(90), Overlap::Allow));
        assert_eq!(command(&job).words(), ["bash", "-c", "true"]);
        let plain = |text: &str| Text::Plain(text.to_owned());
        assert_eq!(*command(&job).env, [("A".to_owned(), plain("1")), ("B".to_owned(), plain("2"))].into());
    }

    #[test]
    fn every_policy_can_be_set() {
        let config = good(&with(
            "overlap = \"queue_one\"\ndelivery = \"at_least_once\"\nmutex = \"m\"\nkill_after = \"3s\"\njitter = \"1m\"\n\
             misfire = { policy = \"run_all\", window = \"2d\", max = 7 }\nlock = { ttl = \"1m\" }\nlog_limit = \"64KiB\"\n\
             keep = { runs = 5, days = 6 }\nenabled = false\nstdin = \"in\"\ncwd = \"/tmp\"\n\
             retry = { attempts = 3, backoff = \"linear\", initial = \"1s\", max = \"9s\", jitter = 0.5, no_retry_exit_codes = [2] }",
        ));
        let job = job(&config, "a");
        assert_eq!(
            (job.overlap, job.delivery, job.mutex.as_deref()),
            (Overlap::QueueOne, Delivery::AtLeastOnce, Some("m"))
        );
        let window = Duration::from_secs(172_800);
        assert_eq!(job.misfire, Misfire { policy: MisfirePolicy::RunAll, window, max: 7 });
        assert_eq!((job.lease, job.log_limit, job.enabled), (Duration::from_secs(60), 65_536, false));
        assert_eq!((job.keep.runs, job.keep.days, job.retry.attempts), (5, 6, 3));
        assert_eq!(job.retry.no_retry_exit_codes, [2]);
        assert_eq!(command(&job).stdin.as_deref(), Some("in"));
    }

    #[test]
    fn a_request_is_read_with_its_secret() {
        let config = good(include_str!("../schedules/examples/cluster.toml"));
        let Task::Run(Action::Http(http)) = job(&config, "crm-sync").task.clone() else { panic!() };
        assert_eq!((http.method.as_str(), http.body.as_deref()), ("POST", Some(r#"{"full":false}"#)));
        assert_eq!(http.headers["Authorization"].reveal().unwrap(), "Bearer s3cret");
        assert_eq!(http.headers["content-type"].reveal().unwrap(), "application/json");
        assert_eq!((http.expect_status, http.expect_body.as_deref()), (vec![200, 202], Some("ok")));
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_missing_secret_is_a_warning() {
        let text = "version = 1\n[secrets]\nx = { env = \"NOT_SET\" }\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n\
                    env = { X = { secret = \"x\" } }\n";
        let config = good(text);
        assert_eq!((config.warnings[0].code.as_str(), config.warnings[0].line), ("W0211", 3));
        assert_eq!(command(&job(&config, "a")).env["X"].reveal(), Err("x"));
    }

    #[test]
    fn changes_of_clocks_and_two_day_fields_are_warned_about() {
        let zoned =
            |more: &str| good(&with(&format!("timezone = \"Europe/Berlin\"\n{more}")).replace("@daily", "30 2 13 * *"));
        let warned = good(
            "version = 1\n[jobs.a]\nschedule = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"\ncommand = \"true\"\n",
        );
        let warning = &warned.warnings[0];
        assert_eq!((warning.code.as_str(), warning.line, warning.column), ("W0204", 3, 13));
        assert!(warning.label.contains("02:30 does not exist on 2027-03-28"), "{}", warning.label);
        assert!(warning.label.contains("02:30 happens twice on 2027-10-31"), "{}", warning.label);
        assert!(zoned("").warnings.is_empty());
        let stated = "version = 1\n[jobs.a]\nschedule = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"\ncommand = \"true\"\n\
                      dst_gap = \"skip\"\n";
        assert!(good(stated).warnings.is_empty());
        // Those of a schedule that follows real time: it misses a day, as was written down.
        assert!(good(&format!("{stated}dst_overlap = \"both\"\n")).warnings.is_empty());
        let either = good(&with("").replace("@daily", "0 9 13 * FRI"));
        assert_eq!(either.warnings[0].code, "W0208");
    }

    #[test]
    fn settings_that_pile_up_runs_are_warned_about_and_sound_ones_are_not() {
        let warned = |lines: &str| {
            let text = with(lines).replace("schedule = \"@daily\"", "schedule = \"*/10 * * * *\"");
            good(&text)
                .warnings
                .iter()
                .map(|one| format!("{}:{} {}", one.line, one.column, one.code))
                .collect::<Vec<_>>()
        };
        let none = Vec::<String>::new();
        assert_eq!(warned("overlap = \"allow\""), ["5:11 W0201"]);
        assert_eq!(warned("overlap = \"allow\"\ntimeout = \"5h\""), none);
        assert_eq!(warned("overlap = \"skip\""), none);
        assert_eq!(warned("overlap = \"allow\"\n[defaults]\ntimeout = \"5m\""), none);
        assert_eq!(warned("[defaults]\noverlap = \"allow\""), ["2:7 W0201"]);
        assert_eq!(warned("overlap = \"queue_all\""), ["5:11 W0203"]);
        assert_eq!(warned("overlap = \"queue_all\"\ntimeout = \"11m\""), ["6:11 W0203"]);
        assert_eq!(warned("overlap = \"queue_all\"\ntimeout = \"10m\""), none);
        assert_eq!(warned("overlap = \"queue_one\"\ntimeout = \"11m\""), none);
        assert_eq!(warned("[defaults]\noverlap = \"queue_all\""), ["2:7 W0203"]);
    }

    #[test]
    fn looking_for_a_crowd_among_a_hundred_thousand_jobs_is_bounded() {
        let file = |n: usize| {
            let job = |n: usize| {
                let schedule = format!("{} {} {} * *", n % 60, n / 60 % 24, n / 1440 % 28 + 1);
                format!("[jobs.job-{n}]\nschedule = \"{schedule}\"\ncommand = \"true\"\n")
            };
            source(
                &format!("{n}.toml"),
                &(n * 20_000..(n + 1) * 20_000).fold("version = 1\n".to_owned(), |text, n| text + &job(n)),
            )
        };
        let files: Vec<_> = (0..5).map(file).collect();
        let start = std::time::Instant::now();
        let config = load(&files, &env, now()).unwrap();
        println!("100,000 jobs, 40,320 schedules in {:?}", start.elapsed());
        assert_eq!(config.jobs.len(), 100_000);
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn the_digest_knows_what_is_wanted_and_nothing_else() {
        let text = with("");
        let digest = good(&text).digest;
        assert_eq!(digest.len(), 8);
        assert_eq!(good(&text.replace("version = 1\n", "version = 1\n# note\n\n")).digest, digest);
        assert_ne!(good(&text.replace("@daily", "@hourly")).digest, digest);
        let secret = "version = 1\n[secrets]\nx = { env = \"X\" }\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n\
                      env = { X = { secret = \"x\" } }\n";
        let with_value =
            |value: &str| load(&[source("a", secret)], &|_: &str| Some(value.to_owned()), now()).unwrap().digest;
        assert_eq!(with_value("1"), with_value("2"));
    }

    #[test]
    fn equal_schedules_are_one_value() {
        let text = "version = 1\n[jobs.a]\nschedule = \"1 * * * *\"\ncommand = \"true\"\n[jobs.b]\nschedule = \"1 * * * *\"\ncommand = \"true\"\n";
        let config = good(text);
        assert!(Arc::ptr_eq(&config.jobs[0].schedule, &config.jobs[1].schedule));
        let spread = good(&text.replace("1 * * * *", "H * * * *"));
        assert!(!Arc::ptr_eq(&spread.jobs[0].schedule, &spread.jobs[1].schedule));
    }

    #[test]
    fn the_shipped_files_are_sound() {
        for path in [
            "schedules/hello.toml",
            "schedules/examples/one-machine.toml",
            "schedules/examples/cluster.toml",
            "schedules/examples/workers.toml",
        ] {
            let files = find(&[PathBuf::from(path)], &mut std::io::empty()).unwrap();
            let config = load(&files, &env, now()).unwrap_or_else(|wrong| panic!("{}", report(&wrong, false)));
            assert!(config.warnings.is_empty(), "{}", report(&config.warnings, false));
            assert!(!config.jobs.is_empty());
        }
    }

    #[test]
    fn ten_thousand_jobs_load_quickly() {
        let mut text = "version = 1\n[defaults]\ntimezone = \"Europe/Berlin\"\n".to_owned();
        for n in 0..10_000 {
            text += &format!("[jobs.job-{n}]\nschedule = \"{} {} * * *\"\ncommand = \"echo {n}\"\n", n % 60, n % 24);
        }
        let start = std::time::Instant::now();
        let config = good(&text);
        println!("10,000 jobs in {:?}", start.elapsed());
        assert_eq!(config.jobs.len(), 10_000);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

mod wrong {
    use super::*;

    /// One mistake in a job that is otherwise fine: its line, and what is said.
    const SETTINGS: &[(&str, &str)] = &[
        ("comand = \"x\"", "5:1 E0012 unknown key `comand` in job `a`"),
        ("timeout = 30", "5:11 E0021 a duration needs a unit"),
        ("timeout = \"30\"", "5:11 E0021 \"30\" is not a duration"),
        ("timeout = \"3 weeks\"", "5:11 E0022 \"3 weeks\" is not a duration"),
        ("timeout = \"0s\"", "5:11 E0023 `timeout` is out of range"),
        ("timeout = true", "5:11 E0018 `timeout` must be a duration such as \"90s\", not a boolean"),
        ("overlap = \"skpi\"", "5:11 E0020 unknown overlap policy \"skpi\""),
        ("overlap = \"forbid\"", "5:11 E0020 unknown overlap policy \"forbid\""),
        ("delivery = \"exactly_once\"", "5:12 E0020 unknown delivery \"exactly_once\""),
        ("misfire = \"run_twice\"", "5:11 E0020 unknown misfire policy \"run_twice\""),
        ("misfire = { max = 5000 }", "5:19 E0023 `max` is out of range"),
        ("dst_gap = \"shfit\"", "5:11 E0020 unknown dst_gap \"shfit\""),
        ("timezone = \"Europe/Berln\"", "5:12 E0030 unknown time zone \"Europe/Berln\""),
        ("publish = {}", "5:1 E0015 job `a` has two actions"),
        ("suspend = true", "5:1 E0019 unknown key `suspend` in job `a`"),
        ("catchup = false", "5:1 E0019 unknown key `catchup` in job `a`"),
        ("concurrency_policy = \"Forbid\"", "5:1 E0019 unknown key `concurrency_policy` in job `a`"),
        ("lock = { ttl = \"2h\" }", "5:16 E0023 `ttl` is out of range"),
        ("lock = { min_hold = \"5s\" }", "5:10 E0019 unknown key `min_hold` in `lock`"),
        ("retry = 3", "5:9 E0018 `retry` must be a table, not an integer"),
        ("retry = { attempts = 0 }", "5:22 E0023 `attempts` is out of range"),
        ("retry = { atempts = 2 }", "5:11 E0012 unknown key `atempts` in `retry`"),
        ("retry = { jitter = 2.0 }", "5:20 E0023 `jitter` is out of range"),
        ("log_limit = \"1 meg\"", "5:13 E0026 \"1 meg\" is not a size"),
        ("keep = { runs = -1 }", "5:17 E0023 `runs` is out of range"),
        ("env = { A = { secret = \"x\" } }", "5:24 E0025 unknown secret \"x\""),
        ("env = { A = 1 }", "5:13 E0018 `A` must be text, not an integer"),
        ("tags = \"ops\"", "5:8 E0018 `tags` must be a list of texts, not a string"),
        ("enabled = \"no\"", "5:11 E0018 `enabled` must be true or false, not a string"),
        ("cwd = \"\"", "5:7 E0024 `cwd` is empty"),
        ("args = { a = 1 }", "5:1 E0029 `args` goes with `handler`"),
        ("handler = \"x\"", "5:1 E0015 job `a` has two actions"),
        ("every = \"5m\"", "5:1 E0016 job `a` has two schedules"),
        ("cwd = \"/a\"\ncwd = \"/b\"", "6:1 E0006 this key is already there"),
    ];

    /// What is wrong about sending work or messages away: the lines of a job after its schedule.
    const SENT: &[(&str, &str)] = &[
        ("publish = { exchange = \"x\" }", "4:11 E0027 `publish` needs `routing_key`"),
        ("publish = \"orders\"", "4:11 E0018 `publish` must be a table, not a string"),
        ("publish = { routing_key = \"a.{{ runid }}\" }", "4:33 E0038 a place in the text cannot be filled in"),
        (
            "publish = { routing_key = \"a\", payload = { x = [\"{{ job | up }}\"] } }",
            "4:59 E0038 a place in the text cannot be filled in",
        ),
        ("publish = { routing_key = \"a\", priority = 256 }", "4:43 E0023 `priority` is out of range"),
        ("publish = { routing_key = \"a\", topic = \"b\" }", "4:32 E0019 unknown key `topic` in `publish`"),
        (
            "publish = { routing_key = \"a\", headers = { cronclave-job = \"b\" } }",
            "4:44 E0024 \"cronclave-job\" cannot name a header",
        ),
        (
            "publish = { routing_key = \"a\", exchange = \"cronclave.tasks\" }",
            "4:43 E0024 `cronclave.tasks` is not for messages of your own",
        ),
        ("publish = { routing_key = \"a\" }\nrun_on = \"worker\"", "5:1 E0029 `run_on` goes with work of your own"),
        ("command = \"x\"\nqueue = \"ledger\"", "5:1 E0029 `queue` goes with `run_on`"),
        ("command = \"x\"\nstart_within = \"1m\"", "5:1 E0029 `start_within` goes with `run_on`"),
        ("command = \"x\"\nrun_on = \"worker\"\nqueue = \"a.b\"", "6:9 E0037 \"a.b\" is not a valid name for a queue"),
        ("command = \"x\"\nrun_on = \"workers\"", "5:10 E0020 unknown run_on \"workers\""),
    ];

    #[test]
    fn each_mistake_about_workers_and_messages_is_told_with_its_place() {
        for (lines, said) in SENT {
            let text = format!("version = 1\n[jobs.a]\nschedule = \"@daily\"\n{lines}\n");
            assert_eq!(mistakes(&text), [*said], "{lines}");
        }
    }

    #[test]
    fn each_mistake_in_a_setting_is_told_with_its_place_and_nothing_else_is() {
        for (line, said) in SETTINGS {
            assert_eq!(mistakes(&with(line)), [*said], "{line}");
        }
    }

    /// Whole files, each with the mistakes in it.
    const FILES: &[(&str, &[&str])] = &[
        ("", &["1:1 E0003 `version = 1` is missing"]),
        ("version = 2\n", &["1:11 E0003 version 2 is not known"]),
        ("version = 1\n[[job]]\nname = \"x\"\n", &["2:3 E0019 unknown key `job` in the file"]),
        ("version = 1\ninclude = []\n", &["2:1 E0004 `include` is not supported by this version"]),
        ("version = 1\n[jobs.a]\ncommand = \"true\"\n", &["2:7 E0013 job `a` has no `schedule`"]),
        ("version = 1\n[jobs.a]\nschedule = \"@daily\"\n", &["2:7 E0014 job `a` does nothing"]),
        (
            "version = 1\n[jobs.a]\nschedule = \"@daily\"\ncomand = \"x\"\n",
            &["4:1 E0012 unknown key `comand` in job `a`"],
        ),
        (
            "version = 1\n[jobs.a]\nschedul = \"@daily\"\ncommand = \"x\"\n",
            &["3:1 E0012 unknown key `schedul` in job `a`"],
        ),
        (
            "version = 1\n[jobs.Sync_CRM]\nschedule = \"@daily\"\ncommand = \"x\"\n",
            &["2:7 E0010 `Sync_CRM` is not a valid job name"],
        ),
        (
            "version = 1\n[jobs.billing.invoices]\nschedule = \"@daily\"\ncommand = \"x\"\n",
            &["2:7 E0011 job names cannot contain a dot"],
        ),
        ("version = 1\n[defaults]\ncommand = \"x\"\n", &["3:1 E0012 unknown key `command` in `[defaults]`"]),
        (
            "version = 1\n[jobs.a]\nschedule = \"@daily\"\nhttp = { url = \"ftp://x\" }\n",
            &["4:16 E0028 \"ftp://x\" is not a URL"],
        ),
        (
            "version = 1\n[jobs.a]\nschedule = \"@daily\"\nhttp = { method = \"GET\" }\n",
            &["4:8 E0027 `http` needs `url`"],
        ),
        (
            "version = 1\n[jobs.a]\nschedule = \"@daily\"\nhttp = { url = \"http://x/{{ job }}\" }\n",
            &["4:26 E0004 templates are not supported by this version"],
        ),
        (
            "version = 1\n[jobs.a]\nat = 2027-01-01\ncommand = \"x\"\n",
            &["3:6 E0031 `at` needs a date and a time of day"],
        ),
        (
            "version = 1\n[jobs.a]\nat = \"2027-01-01T00:00:00\"\ncommand = \"x\"\n",
            &["3:6 E0018 `at` must be a date and time, not a string"],
        ),
        (
            "version = 1\n[jobs.a]\nevery = \"1500ms\"\ncommand = \"x\"\n",
            &["3:9 E0115 a period must be one or more whole seconds"],
        ),
        (
            "version = 1\n[secrets]\nx = \"hunter2\"\n",
            &["3:5 E0018 `x` must be a table such as `{ env = \"NAME\" }`, not a string"],
        ),
        ("version = 1\n[jobs.a\nschedule = \"@daily\"\n", &["2:8 E0001 this is not valid TOML"]),
    ];

    #[test]
    fn each_mistake_in_a_file_is_told_with_its_place_and_nothing_else_is() {
        for (text, said) in FILES {
            assert_eq!(mistakes(text), *said, "{text}");
        }
    }

    #[test]
    fn a_mistake_in_a_schedule_is_pointed_at_inside_the_text() {
        let cases = [
            ("schedule = \"0 24 * * *\"", "3:15 E0102 24 is not a valid hour"),
            ("schedule = '*/5 * * *'", "3:13 E0101 a cron schedule needs 5 fields (or 6 with seconds first), found 4"),
            ("schedule = [\"@daily\", \"5-1 * * * *\"]", "3:24 E0103 the range 5-1 runs backwards"),
            ("schedule = \"\\u0030 24 * * *\"", "3:12 E0102 24 is not a valid hour"),
            ("schedule = \"@reboot\"", "3:13 E0109 `@reboot` means nothing in a cluster"),
            ("schedule = [\"@daily\", \"@manual\"]", "3:23 E0029 \"@manual\" stands alone, not in a list"),
            ("schedule = []", "3:12 E0024 `schedule` is an empty list"),
        ];
        for (line, said) in cases {
            assert_eq!(mistakes(&with("").replace("schedule = \"@daily\"", line)), [said], "{line}");
        }
    }

    const DOZEN: &str = include_str!("data/mistakes.toml");

    #[test]
    fn twelve_mistakes_are_twelve_reports_in_the_order_of_the_file() {
        let said = mistakes(DOZEN);
        let places: Vec<&str> = said.iter().filter_map(|one| one.split(' ').next()).collect();
        let want = ["4:15", "5:12", "6:1", "7:12", "8:12", "10:7", "11:13", "13:1", "15:7", "19:7", "22:3", "26:22"];
        assert_eq!(places, want, "{said:#?}");
    }

    #[test]
    fn a_report_shows_the_line_the_caret_and_the_fix() {
        let wrong = read(DOZEN).unwrap_err();
        let text = wrong[1].render(false);
        println!("{}", report(&wrong, false));
        assert!(text.starts_with("error[E0030]: unknown time zone \"Europe/Berln\"\n --> a.toml:5:12\n"), "{text}");
        assert!(
            text.contains("5 | timezone = \"Europe/Berln\"\n  |            ^^^^^^^^^^^^^^ not in the IANA"),
            "{text}"
        );
        assert!(text.contains("help: did you mean \"Europe/Berlin\"?"), "{text}");
        assert!(report(&wrong, false).ends_with("12 errors, 0 warnings\n"));
        assert!(wrong[0].render(true).contains('\u{1b}'));
        let json = serde_json::to_value(&wrong[0]).unwrap();
        let want = serde_json::json!({"file": "a.toml", "line": 4, "column": 15, "end_line": 4, "end_column": 17,
            "code": "E0102", "severity": "error", "message": "24 is not a valid hour", "label": "hour must be 0-23",
            "help": "midnight is hour 0"});
        assert_eq!(json, want);
    }

    #[test]
    fn a_job_in_two_files_names_both_places() {
        let text = with("");
        let wrong = load(&[source("a.toml", &text), source("b.toml", &text)], &env, now()).unwrap_err();
        let text = wrong[0].render(false);
        assert!(text.contains("b.toml:2:7") && text.contains("a.toml:2:7"), "{text}");
        assert_eq!((wrong.len(), wrong[0].code.as_str()), (1, "E0017"));
    }

    #[test]
    fn only_twenty_are_shown_and_the_rest_counted() {
        let mut text = "version = 1\n".to_owned();
        for n in 0..30 {
            text += &format!("[jobs.j{n}]\ncommand = \"x\"\n");
        }
        let shown = report(&read(&text).unwrap_err(), false);
        assert_eq!(shown.matches("error[").count(), 20);
        assert!(shown.contains("... and 10 more") && shown.contains("30 errors"));
    }

    #[test]
    fn what_is_not_toml_at_all_is_told_without_a_panic() {
        for text in ["\u{0}", "[[[", "a = ", "jobs = 1\n", "jobs = []", "[jobs]\na = 1", "é = 'ü", "[jobs.a]\nenv = []"]
        {
            let wrong = read(text).unwrap_err();
            assert!(!report(&wrong, true).is_empty());
            assert!(wrong.iter().any(|one| one.severity == Severity::Error));
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 1500, failure_persistence: None, ..Default::default() })]

    /// Whatever is done to a file, reading it and showing what is wrong never panics.
    #[test]
    fn a_damaged_file_is_told_without_a_panic(
        at in 0usize..1500, cut in 0usize..40, put in "[-\\[\\]{}=\"'.#@*0-9a-zA-Z \n\u{e9}]{0,6}",
    ) {
        let text = include_str!("../schedules/examples/cluster.toml");
        let head: String = text.chars().take(at).collect();
        let tail: String = text.chars().skip(at + cut).collect();
        match read(&format!("{head}{put}{tail}")) {
            Ok(config) => assert_eq!(config.files[0].jobs, config.jobs.len(), "a job was dropped silently"),
            Err(wrong) => {
                assert!(wrong.iter().any(|one| one.severity == Severity::Error));
                assert!(!report(&wrong, true).is_empty());
            }
        }
    }
}

mod finding {
    use super::*;

    fn find_in(paths: &[PathBuf]) -> Result<Vec<SourceText>, Vec<Diagnostic>> {
        find(paths, &mut "version = 1\n".as_bytes())
    }

    #[test]
    fn a_directory_gives_its_own_toml_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("examples")).unwrap();
        for name in ["b.toml", "a.toml", "notes.txt", ".hidden.toml", "examples/c.toml"] {
            std::fs::write(dir.path().join(name), "version = 1\n").unwrap();
        }
        let names: Vec<_> = find_in(&[dir.path().to_owned()]).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["a.toml", "b.toml"].map(|name| dir.path().join(name).display().to_string()));
        assert_eq!(find_in(&["-".into()]).unwrap()[0].name, "<stdin>");
    }

    #[test]
    fn every_bad_path_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let paths = [
            dir.path().join("gone.toml"),
            empty,
            make("latin.toml", b"a = 1\n\xff"),
            make("big.toml", &vec![b'#'; 5 << 20]),
        ];
        let said: Vec<_> = find_in(&paths).unwrap_err().into_iter().map(|one| one.message).collect();
        let want = [
            "there is no such file",
            "this directory has no *.toml file",
            "not UTF-8 text (line 2)",
            "larger than 4 MiB: surely not a schedule file",
        ];
        assert_eq!(said, want);
        assert!(find_in(&paths).unwrap_err()[0].render(false).contains("gone.toml"));
    }
}
