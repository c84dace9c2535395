//! The RabbitMQ that carries messages.

use std::time::{Duration, Instant};

use super::servers::times_in_words;
use super::{Care, Findings};
use crate::broker::Amqp;
use crate::broker::amqp::{Settings, Standing};
use crate::config::{self, Config, Process};
use crate::job::QueueName;
use crate::phrase::span;
use crate::service;
use crate::worker;

/// A request that takes longer to be confirmed is late by that.
const SLOW: Duration = Duration::from_millis(200);

/// RabbitMQ's HTTP API is waited for no longer, in all.
const API: Duration = Duration::from_secs(5);

pub(super) async fn look(findings: &mut Findings, process: &Process, config: Option<&Config>, care: Care) {
    let Some(address) = &process.amqp else {
        return findings.skip("rabbitmq.connection", "not used (set AMQP_URL to have workers on other machines)");
    };
    let settings = Settings {
        cluster: process.cluster.clone(),
        replica: format!("doctor {}", process.replica),
        declare: process.declare,
        mqtt: process.mqtt,
    };
    let broker = Amqp::open(address.clone(), settings);
    let queues: Vec<_> = config.map(|config| worker::queues(&service::jobs(config))).into_iter().flatten().collect();
    let times = if care.fast { 1 } else { care.times() / 2 };
    let mut exam = match broker.examine(&queues, times).await {
        Ok(exam) => exam,
        Err(why) => return findings.problem("rabbitmq.connection", why, ""),
    };
    let took = match exam.confirmed.as_slice() {
        [] => String::new(),
        confirmed => format!("  confirms in {}", times_in_words(confirmed)),
    };
    findings.good("rabbitmq.connection", format!("{}  {}{took}", address.masked(), exam.server));
    if let Some(why) = &exam.blocked {
        findings.problem("rabbitmq.blocked", why.clone(), "free memory or disk on its machine");
    }
    match &exam.refuses {
        Some(why) => findings.problem("rabbitmq.permissions", why.clone(), ""),
        None if exam.confirmed.is_empty() => findings.skip("rabbitmq.permissions", "not tried"),
        None => findings.good("rabbitmq.permissions", "may configure, write and read cronclave.*"),
    }
    let is_missing = |parts: &[(String, Standing)]| parts.iter().any(|(_, standing)| *standing == Standing::Missing);
    if care.fix && process.declare && is_missing(&exam.parts) {
        match broker.make(&queues).await {
            Ok(()) => {
                let made = exam.parts.iter_mut().filter(|(_, standing)| *standing == Standing::Missing);
                let names: Vec<String> = made
                    .map(|part| {
                        part.1 = Standing::There;
                        part.0.clone()
                    })
                    .collect();
                findings.mended("rabbitmq.topology", format!("made {}", names.join(", ")));
            }
            Err(why) => findings.problem("rabbitmq.topology", why, ""),
        }
    }
    topology(findings, process, &exam.parts);
    if exam.confirmed.last().is_some_and(|worst| *worst > SLOW) {
        let text =
            format!("a message took {} to be confirmed", span(exam.confirmed.last().copied().unwrap_or_default()));
        findings.warn("rabbitmq.latency", text, "use a RabbitMQ that is nearer, or whose disk is faster");
    }
    acknowledgement(findings, &broker, &queues, &exam.parts).await;
}

/// Requests are acknowledged once their runs are over, and long runs before that.
async fn acknowledgement(findings: &mut Findings, broker: &Amqp, queues: &[QueueName], parts: &[(String, Standing)]) {
    let base = config::environment("CRONCLAVE_AMQP_MANAGEMENT_URL");
    let mut is_short = false;
    let given_up = Instant::now() + API;
    // An API that does not answer is not asked about each of many queues.
    for queue in queues.iter().take_while(|_| Instant::now() < given_up) {
        let is_there = |(name, standing): &(String, Standing)| {
            name.ends_with(&format!(".{queue}")) && *standing == Standing::There
        };
        if !parts.iter().any(is_there) {
            continue;
        }
        let limit = broker.acknowledgement_limit(queue, base.as_deref()).await;
        if let Some(limit) = limit.filter(|limit| *limit <= worker::HELD) {
            is_short = true;
            let text = format!(
                "queue `{queue}` takes a request back after {}, and workers acknowledge it within {}: longer runs lose \
                 their connection, and their requests come again until they are dead letters",
                span(limit),
                span(worker::HELD)
            );
            findings.problem(
                "rabbitmq.acknowledgement",
                text,
                "raise `x-consumer-timeout`, or the policy's `consumer-timeout`, to 60000 or more",
            );
        }
    }
    if !is_short {
        let text = format!("requests are acknowledged within {}, however long their runs take", span(worker::HELD));
        findings.good("rabbitmq.acknowledgement", text);
    }
}

fn topology(findings: &mut Findings, process: &Process, parts: &[(String, Standing)]) {
    let missing: Vec<&str> =
        parts.iter().filter(|(_, standing)| *standing == Standing::Missing).map(|(name, _)| name.as_str()).collect();
    for (_, standing) in parts {
        if let Standing::Unfit(why) = standing {
            findings.problem("rabbitmq.topology", why.clone(), "");
        }
    }
    let there = parts.iter().filter(|(_, standing)| *standing == Standing::There).count();
    if there > 0 {
        findings.good("rabbitmq.topology", format!("{there} exchanges and queues are as they should be"));
    }
    match missing.as_slice() {
        [] => {}
        missing if process.declare => {
            findings
                .skip("rabbitmq.topology", format!("made when they are needed, or by --fix: {}", missing.join(", ")));
        }
        missing => {
            let text = format!("not there, and CRONCLAVE_DECLARE=0 keeps them from being made: {}", missing.join(", "));
            findings.problem(
                "rabbitmq.topology",
                text,
                "make them as docs/RABBITMQ.md says, or unset CRONCLAVE_DECLARE",
            );
        }
    }
}
