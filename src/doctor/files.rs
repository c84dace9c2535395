//! The schedule files, as this process would read them.

use super::Findings;
use crate::config::{Config, Process, Severity};
use crate::phrase::count;
use crate::service;

/// So many mistakes are told; `validate` tells all.
const TOLD: usize = 5;

/// A secret without a value.
const NO_SECRET: &str = "W0211";

pub(super) fn look(findings: &mut Findings, process: &Process) -> Option<Config> {
    let config = match service::read_config(&process.config) {
        Ok((_, config)) => config,
        Err(mut wrong) => {
            wrong.retain(|one| one.severity == Severity::Error);
            for one in wrong.iter().take(TOLD) {
                let place = if one.line > 0 { format!("{}:{}", one.file, one.line) } else { one.file.clone() };
                let mend = one.help.as_deref().unwrap_or("`cronclave validate` shows the place");
                findings.problem("config.files", format!("{place}: {} [{}]", one.message, one.code), mend);
            }
            if wrong.len() > TOLD {
                let text = format!("{} more", count(wrong.len() - TOLD, "mistake"));
                findings.problem("config.files", text, "`cronclave validate` shows them");
            }
            return None;
        }
    };
    let (files, jobs) = (count(config.files.len(), "file"), count(config.jobs.len(), "job"));
    findings.good("config.files", format!("{files}, {jobs}, digest {}", config.digest));
    let (secrets, other): (Vec<_>, Vec<_>) = config.warnings.iter().partition(|one| one.code == NO_SECRET);
    for secret in secrets {
        let mend = secret.help.as_deref().unwrap_or("set it here, or where the job runs");
        findings.warn("config.secrets", secret.message.clone(), mend);
    }
    if !other.is_empty() {
        let text = count(other.len(), "warning");
        findings.warn("config.warnings", text, "`cronclave validate` shows them");
    }
    let stranded = service::without_broker(process, &config);
    if !stranded.is_empty() {
        let text = format!("no run of {} can begin: there is no RabbitMQ", stranded.join(", "));
        findings.problem("config.broker", text, "set AMQP_URL to its address");
    }
    Some(config)
}
