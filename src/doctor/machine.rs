//! What this machine gives the process: time zones, a port, descriptors, and time to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{Care, Findings};
use crate::config::{self, Platform, Process};
use crate::phrase::span;
use crate::schedule::tzdb_version;
use crate::spans;

/// Each run has its output, its supervisor and its answer.
const DESCRIPTORS_A_RUN: u64 = 6;

/// Servers, files, listeners, and those who ask over HTTP.
const DESCRIPTORS: u64 = 200;

/// Where Linux keeps its time zones, and which release it is.
const ZONES: &str = "/usr/share/zoneinfo";

pub(super) fn time_zones(findings: &mut Findings) {
    let own = tzdb_version();
    // Either says so in its first line.
    let read = |name: &str| std::fs::read_to_string(Path::new(ZONES).join(name)).ok();
    let of_file =
        |text: String| text.lines().next().map(|line| line.trim_start_matches("# version ").trim().to_owned());
    let system = read("+VERSION").or_else(|| read("tzdata.zi")).and_then(of_file);
    let more = match system {
        Some(system) if system != own => format!("; this system has {system}, which is not used"),
        _ => String::new(),
    };
    findings.good("tzdata.version", format!("{own} built in, the same on every machine{more}"));
}

pub(super) async fn http(findings: &mut Findings, process: &Process, care: Care) {
    let Some(listen) = process.listen else {
        let why = if cfg!(feature = "http") { "not served (--no-http)" } else { "not in this build (feature `http`)" };
        return findings.skip("http.port", why);
    };
    if care.fast {
        return findings.skip("http.port", "not looked at (--fast)");
    }
    let address = listen.address;
    match TcpListener::bind(address).await {
        Ok(_) => findings.good("http.port", format!("{address} is free")),
        Err(_) if is_ours(address).await => {
            findings.good("http.port", format!("a replica answers at {address}"));
        }
        Err(error) if listen.is_default => {
            findings.good("http.port", format!("{address}: {error}; a replica takes any free port instead"));
        }
        Err(error) => {
            let text = format!("{address} cannot be listened on: {error}");
            findings.problem("http.port", text, "stop what listens there, or name another with --listen or PORT");
        }
    }
    let web = &process.web;
    if !address.ip().is_loopback() && web.token.is_none() && web.tokens_file.is_none() {
        let text = format!(
            "there is no API token: at {address} nobody may act, and only health is told unless CRONCLAVE_PUBLIC_READ=1"
        );
        findings.warn("http.token", text, "set CRONCLAVE_API_TOKEN_FILE (docs/ACCESS.md)");
    }
}

/// Whether a replica answers there.
async fn is_ours(address: SocketAddr) -> bool {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let asked = timeout(Duration::from_secs(2), reqwest::get(format!("http://{host}:{}/livez", address.port()))).await;
    matches!(asked, Ok(Ok(answer)) if answer.status().is_success())
}

/// Where nothing is sent nothing is said: most have no collector.
pub(super) fn traces(findings: &mut Findings) {
    if !cfg!(feature = "otlp") && spans::are_wanted() {
        let text = "OTEL_EXPORTER_OTLP_ENDPOINT is set, and this build sends no spans";
        findings.warn("traces.sent", text, "build it with the feature `otlp` (docs/METRICS.md)");
    }
}

pub(super) fn limits(findings: &mut Findings, process: &Process) {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return findings.good("limits.files", "any number of open files");
    };
    let parallel = u64::try_from(process.max_parallel).unwrap_or(u64::MAX);
    let wanted = DESCRIPTORS + parallel.saturating_mul(DESCRIPTORS_A_RUN);
    if files >= wanted {
        return findings.good("limits.files", format!("{files} open files"));
    }
    let text = format!(
        "{files} files may be open, and {} runs at once (--max-parallel) can need {wanted}",
        process.max_parallel
    );
    findings.warn("limits.files", text, "raise it: `ulimit -n`, or LimitNOFILE= in the unit; or allow fewer runs");
}

pub(super) fn grace(findings: &mut Findings, process: &Process) {
    let grace = process.grace;
    let text = format!("what runs has {} to end when told to stop", span(grace));
    let Some(platform) = Platform::of(&config::environment) else { return findings.good("limits.grace", text) };
    let limit = platform.kills_after();
    let text = format!("{text}; {} kills after {} s", platform.title(), limit.as_secs());
    match platform.kill_setting() {
        _ if grace < limit => findings.good("limits.grace", text),
        Some(place) => findings.warn(
            "limits.grace",
            text + " unless told otherwise",
            &format!("set {place} higher than CRONCLAVE_GRACE"),
        ),
        None => findings.problem("limits.grace", text, "set CRONCLAVE_GRACE to less"),
    }
}
