//! Where the Redis and the RabbitMQ are: our own variables, systemd's credentials, the variables and the lists of
//! bound services that platforms give. Who asked most plainly is heard first.

use std::path::{Path, PathBuf};

use super::Env;
use super::process::{Flags, WrongSetting, flag, wrong};
use super::secrets::{credential, file};
use super::vcap::{self, Kind};
use super::web::switch;
use crate::broker;
use crate::store::Durability;
use crate::store::address::Address;

/// A server, and where its address may stand.
struct Server {
    /// Our own variable. Like each below it has a twin that names a file instead.
    own: &'static str,
    /// systemd's credential.
    credential: &'static str,
    /// Where providers put it, the first that is set.
    providers: &'static [&'static str],
    /// Among the services that are bound to an app of Cloud Foundry.
    bound: Kind,
}

const REDIS: Server = Server {
    own: "CRONCLAVE_REDIS_URL",
    credential: "redis_url",
    providers: &["REDIS_URL", "REDIS_TLS_URL", "REDISCLOUD_URL"],
    bound: Kind::Redis,
};

const AMQP: Server = Server {
    own: "CRONCLAVE_AMQP_URL",
    credential: "amqp_url",
    providers: &["AMQP_URL", "CLOUDAMQP_URL", "RABBITMQ_URL"],
    bound: Kind::Amqp,
};

const DURABILITY: &str = "CRONCLAVE_DURABILITY";

/// An address, and what says so.
type Said = Option<(String, String)>;

impl Server {
    /// What was set for us.
    fn ours(&self, env: Env<'_>) -> Result<Said, WrongSetting> {
        if let Some(said) = own_url(env, self.own)? {
            return Ok(Some(said));
        }
        match credential(env, self.credential) {
            Some((place, text)) if text.trim().is_empty() => Err(wrong(&place, "it is empty")),
            said => Ok(said),
        }
    }

    /// What the platform set for anybody.
    fn theirs(&self, env: Env<'_>) -> Result<Said, WrongSetting> {
        for name in self.providers {
            if let Some(said) = own_url(env, name)? {
                return Ok(Some(said));
            }
        }
        vcap::find(env, self.bound)
    }
}

/// What is empty says nothing.
fn anything(said: Said) -> Said {
    said.filter(|(_, url)| !url.trim().is_empty())
}

/// The Redis that was asked for, unless it is a file that was asked for. Both asked for by our own
/// names is refused: replicas that choose differently would each run everything.
pub(super) fn redis(flags: &Flags, env: Env<'_>) -> Result<Option<Address>, WrongSetting> {
    let file = flags.db.as_ref().map(|_| "--db").or_else(|| env("CRONCLAVE_DB").map(|_| "CRONCLAVE_DB"));
    let said = match (&flags.redis, file) {
        (Some(url), _) => Some(("--redis".to_owned(), url.clone())),
        // A flag outdoes the environment.
        (None, Some("--db")) => return Ok(None),
        (None, Some(_)) => REDIS.ours(env)?,
        (None, None) => match REDIS.ours(env)? {
            Some(ours) => Some(ours),
            None => REDIS.theirs(env)?,
        },
    };
    let Some((place, url)) = anything(said) else { return Ok(None) };
    if !cfg!(feature = "redis") {
        return Err(WrongSetting::not_built(&place, "Redis", "redis"));
    }
    if let Some(file) = file {
        return Err(wrong(
            &place,
            format!("{file} is set as well: choose one, a Redis for many machines or a SQLite file for one"),
        ));
    }
    let address = url.parse::<Address>().map_err(|why| wrong(&place, why))?;
    let allowed = flag(env, "CRONCLAVE_REDIS_ALLOW_EVICTION").unwrap_or(false);
    let anybody = switch(env, "CRONCLAVE_REDIS_INSECURE")?;
    let ca_file = env("CRONCLAVE_REDIS_CA_FILE").map(PathBuf::from);
    let durability = match env(DURABILITY).filter(|text| !text.trim().is_empty()) {
        Some(text) => text.parse().map_err(|why| wrong(DURABILITY, why))?,
        None => Durability::default(),
    };
    let address = if anybody { address.trusting_anybody() } else { address };
    Ok(Some(address.trusting(ca_file).allowing_eviction(allowed).as_durable_as(durability)))
}

/// The RabbitMQ that was asked for.
pub(super) fn amqp(flags: &Flags, env: Env<'_>) -> Result<Option<broker::address::Address>, WrongSetting> {
    let said = match &flags.amqp {
        Some(url) => Some(("--amqp".to_owned(), url.clone())),
        None => match AMQP.ours(env)? {
            Some(ours) => Some(ours),
            None => AMQP.theirs(env)?,
        },
    };
    let Some((place, url)) = anything(said) else { return Ok(None) };
    if !cfg!(feature = "amqp") {
        return Err(WrongSetting::not_built(&place, "RabbitMQ", "amqp"));
    }
    let address = url.parse::<broker::address::Address>().map_err(|why| wrong(&place, why))?;
    Ok(Some(address.trusting(env("CRONCLAVE_AMQP_CA_FILE").map(PathBuf::from))))
}

/// A variable, or the file its twin names, as secrets are often mounted.
pub(super) fn own_url(env: Env<'_>, name: &str) -> Result<Said, WrongSetting> {
    if let Some(url) = env(name) {
        return Ok(Some((name.to_owned(), url)));
    }
    let twin = format!("{name}_FILE");
    let Some(path) = env(&twin) else { return Ok(None) };
    match file(Path::new(&path)) {
        // Whoever names a file means what is in it: without it we would go on without a server.
        Some(text) if text.trim().is_empty() => Err(wrong(&twin, format!("the file {path} is empty"))),
        Some(text) => Ok(Some((twin, text))),
        None => Err(wrong(&twin, format!("the file {path} cannot be read"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Where these variables lead: the Redis, and the RabbitMQ.
    fn found(variables: &[(&str, &str)]) -> [Result<Option<String>, String>; 2] {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let redis = redis(&Flags::default(), &env).map(|found| found.map(|address| address.masked()));
        let amqp = amqp(&Flags::default(), &env).map(|found| found.map(|address| address.masked()));
        [redis.map_err(|wrong| wrong.to_string()), amqp.map_err(|wrong| wrong.to_string())]
    }

    #[test]
    fn who_says_it_most_plainly_is_heard_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name).to_str().unwrap().to_owned()
        };
        let (twin, theirs) = (path("twin", "redis://twin\n"), path("theirs", "redis://theirs-file\n"));
        path("redis_url", "redis://credential\n");
        path("amqp_url", "amqp://credential\n");
        let credentials = dir.path().to_str().unwrap();
        let bound = r#"{"a":[{"name":"r","tags":["redis"],"credentials":{"uri":"redis://bound"}}]}"#;
        let mut variables = vec![
            ("CRONCLAVE_REDIS_URL", "redis://own"),
            ("CRONCLAVE_REDIS_URL_FILE", &twin),
            ("CREDENTIALS_DIRECTORY", credentials),
            ("REDIS_URL", "redis://theirs"),
            ("REDIS_URL_FILE", &theirs),
            ("REDISCLOUD_URL", "redis://cloud"),
            ("VCAP_SERVICES", bound),
        ];
        let mut order = Vec::new();
        while !variables.is_empty() {
            order.push(found(&variables)[0].clone().unwrap().unwrap());
            variables.remove(0);
        }
        let hosts = ["own", "twin", "credential", "theirs", "theirs-file", "cloud", "bound"];
        assert_eq!(order, hosts.map(|host| format!("redis://{host}:6379")));
        assert_eq!(found(&[]), [Ok(None), Ok(None)]);
        let [_, amqp] = found(&[("CREDENTIALS_DIRECTORY", credentials), ("CLOUDAMQP_URL", "amqp://cloud")]);
        assert_eq!(amqp.unwrap().unwrap(), "amqp://guest@credential:5672");
        let [_, amqp] = found(&[("AMQP_URL_FILE", &path("amqp", "amqp://a:b@file/v"))]);
        assert_eq!(amqp.unwrap().unwrap(), "amqp://a@file:5672/v");
    }

    #[test]
    fn a_file_that_cannot_be_read_or_is_empty_is_refused_and_never_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("redis_url"), "").unwrap();
        let [redis, _] = found(&[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())]);
        assert_eq!(redis.unwrap_err(), "the credential redis_url: it is empty");
        let empty = dir.path().join("empty");
        fs::write(&empty, "\n").unwrap();
        for (path, why) in [("/nowhere/redis", "cannot be read"), (empty.to_str().unwrap(), "is empty")] {
            let [redis, _] = found(&[("REDIS_URL_FILE", path), ("REDISCLOUD_URL", "redis://cloud")]);
            let told = redis.unwrap_err();
            assert!(told.contains("REDIS_URL_FILE") && told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_server_that_nobody_vouches_for_is_only_taken_when_that_is_said() {
        let url = ("REDIS_URL", "rediss://:p@heroku");
        assert_eq!(found(&[url])[0], Ok(Some("rediss://heroku:6379".into())));
        let taken = found(&[url, ("CRONCLAVE_REDIS_INSECURE", "1")])[0].clone();
        assert_eq!(taken, Ok(Some("rediss://heroku:6379?insecure".into())));
        assert!(found(&[url, ("CRONCLAVE_REDIS_INSECURE", "maybe")])[0].is_err());
    }

    #[test]
    fn a_file_for_the_state_outdoes_the_platform_but_not_what_is_ours() {
        let both = [("CRONCLAVE_DB", "/var/x.db"), ("REDIS_URL", "redis://theirs")];
        assert_eq!(found(&both)[0], Ok(None));
        let told = found(&[("CRONCLAVE_DB", "/var/x.db"), ("CRONCLAVE_REDIS_URL", "redis://own")])[0].clone();
        assert!(told.unwrap_err().contains("choose one"));
    }
}
