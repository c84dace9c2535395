//! Looks for what would hurt later, before it does: settings, files, servers, clocks, limits. One file a thing that is
//! looked at; each answers with findings, in words that say what mends it. Nothing is changed unless that is asked for.

mod cluster;
mod database;
mod files;
mod machine;
#[cfg(feature = "amqp")]
mod rabbit;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "redis", feature = "amqp"))]
mod servers;

use serde::Serialize;

use crate::config::{Process, WrongSetting};

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Care {
    /// Only what takes a moment: fewer round trips, and nobody else of the cluster.
    pub fast: bool,
    /// Mends what can be mended without a risk.
    pub fix: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Good,
    /// Not looked at, or not there, and that is all right.
    Skipped,
    /// It was wrong, and was mended just now.
    Mended,
    /// It works, and somebody should look.
    Warning,
    /// Something does not work, or can go wrong at any time.
    Problem,
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `redis`.
    pub area: &'static str,
    /// Stable word for what was looked at: `redis.eviction`.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// In words.
    pub text: String,
    /// What to do about it, where the words do not say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// All that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
    /// How many of them are problems.
    pub problems: usize,
    /// How many are warnings.
    pub warnings: usize,
}

/// How it stands with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Answers,
    /// It is a file that is not there yet.
    Unmade,
    Fails,
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &'static str, level: Level, text: impl Into<String>, mend: &str) {
        let area = check.split('.').next().unwrap_or(check);
        let mend = Some(mend.to_owned()).filter(|mend| !mend.is_empty());
        self.0.push(Finding { area, check, level, text: text.into(), mend });
    }

    fn good(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Good, text, "");
    }

    fn skip(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Skipped, text, "");
    }

    fn warn(&mut self, check: &'static str, text: impl Into<String>, mend: &str) {
        self.add(check, Level::Warning, text, mend);
    }

    fn problem(&mut self, check: &'static str, text: impl Into<String>, mend: &str) {
        self.add(check, Level::Problem, text, mend);
    }
}

/// Looks at everything, as this process is set up. Takes a minute at most, whatever does not answer.
pub async fn examine(process: &Process, care: Care) -> Report {
    let mut findings = Findings::default();
    let config = files::look(&mut findings, process);
    machine::time_zones(&mut findings);
    let store = match &process.redis {
        #[cfg(feature = "redis")]
        Some(address) => redis::look(&mut findings, address, process, config.as_ref(), care).await,
        _ => database::look(&mut findings, process),
    };
    #[cfg(feature = "amqp")]
    rabbit::look(&mut findings, process, config.as_ref(), care).await;
    #[cfg(not(feature = "amqp"))]
    findings.skip("rabbitmq.connection", "not in this build (feature `amqp`)");
    machine::http(&mut findings, process, care).await;
    machine::limits(&mut findings, process);
    machine::grace(&mut findings, process);
    machine::traces(&mut findings);
    match store {
        Store::Answers if care.fast => findings.skip("cluster.replicas", "not looked at (--fast)"),
        Store::Answers => cluster::look(&mut findings, process, config.as_ref()).await,
        Store::Unmade => findings.skip("cluster.replicas", "nobody yet: start a replica with `cronclave serve`"),
        Store::Fails => findings.skip("cluster.replicas", "not known while the store cannot be used"),
    }
    report(findings)
}

/// What can be said when the settings themselves cannot be used.
pub fn unusable(wrong: &[WrongSetting]) -> Report {
    let mut findings = Findings::default();
    for one in wrong {
        findings.problem("settings.usable", one.to_string(), "");
    }
    report(findings)
}

fn report(Findings(findings): Findings) -> Report {
    let count = |level: Level| findings.iter().filter(|one| one.level == level).count();
    Report { problems: count(Level::Problem), warnings: count(Level::Warning), findings }
}
