//! The services that are bound to an app of Cloud Foundry: `VCAP_SERVICES`, and what its brokers write into it.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Env;
use super::process::{WrongSetting, wrong};
use super::secrets::file;

const LIST: &str = "VCAP_SERVICES";
const LIST_FILE: &str = "VCAP_SERVICES_FILE_PATH";

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Redis,
    Amqp,
}

impl Kind {
    /// What such a service is tagged with, or what its label or name holds.
    fn words(self) -> &'static [&'static str] {
        match self {
            Kind::Redis => &["redis", "valkey"],
            Kind::Amqp => &["rabbitmq", "amqp"],
        }
    }

    /// How its address begins, without TLS and with it.
    fn schemes(self) -> [&'static str; 2] {
        match self {
            Kind::Redis => ["redis", "rediss"],
            Kind::Amqp => ["amqp", "amqps"],
        }
    }

    /// The variable that chooses among several.
    fn chooser(self) -> &'static str {
        match self {
            Kind::Redis => "CRONCLAVE_REDIS_SERVICE",
            Kind::Amqp => "CRONCLAVE_AMQP_SERVICE",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::Redis => "Redis",
            Kind::Amqp => "RabbitMQ",
        }
    }
}

/// A service that is bound.
struct Service<'a> {
    label: &'a str,
    value: &'a Value,
}

impl Service<'_> {
    fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    /// What people call it.
    fn name(&self) -> &str {
        ["name", "instance_name", "binding_name"]
            .into_iter()
            .map(|key| self.text(key))
            .find(|name| !name.is_empty())
            .unwrap_or(self.label)
    }

    fn is_called(&self, name: &str) -> bool {
        ["name", "instance_name", "binding_name"].iter().any(|key| self.text(key) == name)
    }

    fn is_tagged(&self, kind: Kind) -> bool {
        let tags = self.value["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        tags.into_iter().any(|tag| kind.words().iter().any(|word| tag.eq_ignore_ascii_case(word)))
    }

    fn sounds_like(&self, kind: Kind) -> bool {
        let names = [self.label, self.text("label"), self.name()].map(str::to_lowercase);
        kind.words().iter().any(|word| names.iter().any(|name| name.contains(word)))
    }
}

/// The address of the one service of this kind, and what says so. Several that fit are refused, unless one is named:
/// replicas must not choose differently.
pub(super) fn find(env: Env<'_>, kind: Kind) -> Result<Option<(String, String)>, WrongSetting> {
    let chosen = env(kind.chooser());
    let Some((place, text)) = list(env)? else {
        return match chosen {
            Some(name) => Err(wrong(kind.chooser(), format!("no service `{name}` is bound: there is no {LIST}"))),
            None => Ok(None),
        };
    };
    let value: Value =
        serde_json::from_str(&text).map_err(|error| wrong(place, format!("this is no JSON: {error}")))?;
    let Some(labels) = value.as_object() else {
        return Err(wrong(place, "this is no list of services: an object with one list for each label"));
    };
    let all: Vec<Service<'_>> = labels
        .iter()
        .flat_map(|(label, list)| list.as_array().into_iter().flatten().map(move |value| Service { label, value }))
        .collect();
    let service = match chosen {
        Some(name) => {
            let called: Vec<&Service<'_>> = all.iter().filter(|service| service.is_called(&name)).collect();
            let [service] = called[..] else {
                let how = if called.is_empty() { "no service is" } else { "several services are" };
                let there = names(&all.iter().collect::<Vec<_>>());
                return Err(wrong(kind.chooser(), format!("{how} called `{name}`: there are {there}")));
            };
            service
        }
        None => {
            let tagged: Vec<&Service<'_>> = all.iter().filter(|service| service.is_tagged(kind)).collect();
            let alike = || all.iter().filter(|service| service.sounds_like(kind)).collect();
            let fitting = if tagged.is_empty() { alike() } else { tagged };
            match fitting[..] {
                [] => return Ok(None),
                [service] => service,
                _ => {
                    let why = format!(
                        "several services could be the {}, {}: name one in {}",
                        kind.title(),
                        names(&fitting),
                        kind.chooser()
                    );
                    return Err(wrong(place, why));
                }
            }
        }
    };
    let place = format!("{place}, service {}", service.name());
    match url(&service.value["credentials"], kind) {
        Some(url) => Ok(Some((place, url))),
        None => {
            let why = format!("its credentials name no {}: neither `uri` nor `host` is there", kind.title());
            Err(wrong(&place, why))
        }
    }
}

/// The list, and what holds it.
fn list(env: Env<'_>) -> Result<Option<(&'static str, String)>, WrongSetting> {
    if let Some(text) = env(LIST) {
        return Ok(Some((LIST, text)));
    }
    let Some(path) = env(LIST_FILE) else { return Ok(None) };
    match file(Path::new(&path)) {
        Some(text) => Ok(Some((LIST_FILE, text))),
        None => Err(wrong(LIST_FILE, format!("the file {path} cannot be read"))),
    }
}

fn names(services: &[&Service<'_>]) -> String {
    let names: Vec<&str> = services.iter().map(|service| service.name()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What credentials say: a URL as it stands, or one put together. Brokers of RabbitMQ may say it for each protocol.
fn url(credentials: &Value, kind: Kind) -> Option<String> {
    let protocols = &credentials["protocols"];
    let order = match is_true(&credentials["ssl"]) {
        true => [("amqp+ssl", true), ("amqp", false)],
        false => [("amqp", false), ("amqp+ssl", true)],
    };
    let of_protocol = || order.iter().find_map(|(name, tls)| read(protocols.get(name)?, kind, *tls));
    read(credentials, kind, false).or_else(of_protocol)
}

fn read(credentials: &Value, kind: Kind, tls: bool) -> Option<String> {
    let text = |keys: &[&str]| {
        let mut found = keys.iter().filter_map(|key| match &credentials[*key] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        found.find(|text| !text.is_empty())
    };
    if let Some(url) = text(&["uri", "url"]) {
        return Some(url);
    }
    let encoded = |text: String| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
    let host = text(&["host", "hostname"])?;
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    // Who offers TLS beside a port without it is taken at the better word.
    let tls_port = text(&["tls_port", "ssl_port"]).filter(|port| port != "0");
    let tls = tls || tls_port.is_some() || ["ssl", "tls"].iter().any(|key| is_true(&credentials[*key]));
    let port = tls_port.or_else(|| text(&["port"])).map(|port| format!(":{port}")).unwrap_or_default();
    let (user, password) = (text(&["username", "user"]), text(&["password", "pass"]));
    let login = match (user.map(encoded), password.map(encoded)) {
        (None, None) => String::new(),
        (user, None) => format!("{}@", user.unwrap_or_default()),
        (user, Some(password)) => format!("{}:{password}@", user.unwrap_or_default()),
    };
    let path = match kind {
        Kind::Redis => text(&["db", "database"]),
        Kind::Amqp => text(&["vhost", "virtual_host"]).map(encoded),
    };
    let path = path.map(|path| format!("/{path}")).unwrap_or_default();
    Some(format!("{}://{login}{host}{port}{path}", kind.schemes()[usize::from(tls)]))
}

/// Brokers write it as they like.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(variables: &[(&str, &str)], kind: Kind) -> Result<Option<String>, String> {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        find(&env, kind).map(|found| found.map(|(_, url)| url)).map_err(|wrong| wrong.to_string())
    }

    fn one(kind: Kind, tags: &[&str], credentials: &Value) -> Result<Option<String>, String> {
        let list = json!({"some": [{"name": "mine", "tags": tags, "credentials": credentials}]});
        look(&[(LIST, &list.to_string())], kind)
    }

    #[test]
    fn credentials_without_a_url_are_put_together_and_nothing_in_them_is_mistaken() {
        let redis = |credentials: Value| one(Kind::Redis, &["Redis"], &credentials).unwrap().unwrap();
        assert_eq!(redis(json!({"uri": "redis://as-it-is", "host": "h"})), "redis://as-it-is");
        assert_eq!(redis(json!({"url": "redis://as-it-is"})), "redis://as-it-is");
        assert_eq!(redis(json!({"host": "h", "port": "19020", "password": "p/@:#"})), "redis://:p%2F%40%3A%23@h:19020");
        assert_eq!(redis(json!({"hostname": "h", "port": 6379, "tls_port": 16379})), "rediss://h:16379");
        assert_eq!(redis(json!({"host": "h", "port": 6379, "tls_port": 0})), "redis://h:6379");
        assert_eq!(redis(json!({"host": "fd00::1", "ssl": true, "port": 6380})), "rediss://[fd00::1]:6380");
        let amqp = |credentials: Value| one(Kind::Amqp, &["amqp"], &credentials).unwrap().unwrap();
        let login = json!({"hostname": "h", "username": "u", "password": "p%", "vhost": "a/b", "port": 5672});
        assert_eq!(amqp(login), "amqp://u:p%25@h:5672/a%2Fb");
        let protocol = json!({"host": "h", "port": 5671, "username": "u", "password": "p", "vhost": "v"});
        let secure = json!({"ssl": true, "protocols": {"amqp+ssl": protocol, "management": {"uri": "https://x"}}});
        assert_eq!(amqp(secure), "amqps://u:p@h:5671/v");
    }

    #[test]
    fn the_url_that_is_put_together_is_understood_by_those_who_take_it() {
        let odd = json!({"host": "h", "port": 1, "username": "a@b", "password": "\"p/?#[]%ü \\", "vhost": "/"});
        let url = one(Kind::Amqp, &["rabbitmq"], &odd).unwrap().unwrap();
        let address: crate::broker::address::Address = url.parse().unwrap();
        assert_eq!(address.masked(), "amqp://a@b@h:1");
        let url = one(Kind::Redis, &["redis"], &odd).unwrap().unwrap();
        let address: crate::store::address::Address = url.parse().unwrap();
        assert_eq!(address.masked(), "redis://a@b@h:1");
    }

    #[test]
    fn a_tag_is_believed_before_a_label_and_a_label_before_nothing() {
        let with = |label: &str, name: &str, tags: &[&str]| {
            let service = |name: &str, tags: &[&str]| json!({"name": name, "tags": tags, "credentials": {"uri": format!("redis://{name}")}});
            let list = json!({label: [service(name, tags)], "elastic": [service("else", &["search"])]});
            look(&[(LIST, &list.to_string())], Kind::Redis)
        };
        assert_eq!(with("memory", "cache", &["pivotal", "redis"]), Ok(Some("redis://cache".into())));
        assert_eq!(with("p.redis", "cache", &[]), Ok(Some("redis://cache".into())));
        assert_eq!(with("user-provided", "our-redis", &[]), Ok(Some("redis://our-redis".into())));
        assert_eq!(with("user-provided", "cache", &[]), Ok(None));
        assert_eq!(look(&[], Kind::Redis), Ok(None));
    }

    #[test]
    fn several_that_fit_are_refused_unless_one_is_named() {
        let service =
            |name: &str| json!({"name": name, "tags": ["redis"], "credentials": {"uri": format!("redis://{name}")}});
        let list = json!({"p.redis": [service("one"), service("two")]}).to_string();
        let told = look(&[(LIST, &list)], Kind::Redis).unwrap_err();
        assert!(told.contains("one, two") && told.contains("CRONCLAVE_REDIS_SERVICE"), "{told}");
        let named = |name: &str| look(&[(LIST, &list), ("CRONCLAVE_REDIS_SERVICE", name)], Kind::Redis);
        assert_eq!(named("two"), Ok(Some("redis://two".into())));
        let told = named("three").unwrap_err();
        assert!(told.contains("`three`") && told.contains("one, two"), "{told}");
        // Named, and nothing is bound: the state would silently be somewhere else.
        let told = look(&[("CRONCLAVE_AMQP_SERVICE", "bus")], Kind::Amqp).unwrap_err();
        assert!(told.contains("CRONCLAVE_AMQP_SERVICE") && told.contains("`bus`"), "{told}");
    }

    #[test]
    fn what_is_broken_is_told_by_its_name_and_without_what_is_secret() {
        let told = look(&[(LIST, r#"{"p.redis": [{"credentials": {"password": "hush"#)], Kind::Redis).unwrap_err();
        assert!(told.starts_with("VCAP_SERVICES: ") && told.contains("no JSON") && !told.contains("hush"), "{told}");
        let told = look(&[(LIST, "[\"hush\"]")], Kind::Redis).unwrap_err();
        assert!(told.starts_with("VCAP_SERVICES: ") && !told.contains("hush"), "{told}");
        let told = look(&[(LIST_FILE, "/nowhere/services")], Kind::Amqp).unwrap_err();
        assert!(told.starts_with("VCAP_SERVICES_FILE_PATH: ") && told.contains("/nowhere/services"), "{told}");
        let told = one(Kind::Redis, &["redis"], &json!({"password": "hush"})).unwrap_err();
        assert!(told.contains("service mine") && !told.contains("hush"), "{told}");
    }
}
