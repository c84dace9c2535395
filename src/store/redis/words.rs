//! What went wrong, in words: where, what, and what mends it. Whatever may be mended while a replica
//! runs is passing: a password, a full disk, a failover.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use super::dial;
use crate::store::{StoreError, Trouble};

/// Whom we speak with, as far as words need it.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// A URL without passwords.
    pub(super) name: String,
    /// What stands before the host in the URL.
    pub(super) user: Option<String>,
    pub(super) has_password: bool,
    pub(super) is_sentinel: bool,
    pub(super) tls: bool,
    /// What all our keys begin with.
    pub(super) prefix: String,
}

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    what: What,
    pub(super) error: StoreError,
    /// Where the server says to go instead.
    pub(super) moved_to: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// Nothing came in time.
    Silent,
    /// The connection ended.
    Cut,
    /// The same, for a reason of TLS's.
    Tls,
    /// What came was no Redis.
    Strange,
    /// The server refused, with this code.
    Refused(String),
    /// We came to no server at all.
    Nowhere,
}

impl Site {
    pub(super) fn trouble(&self, what: impl AsRef<str>) -> StoreError {
        StoreError { kind: Trouble::Passing, message: format!("{}: {}", self.name, what.as_ref()) }
    }

    pub(super) fn silent(&self) -> Fault {
        let words = "it accepts connections but does not answer: is it overloaded or stopped?";
        self.fault(What::Silent, words)
    }

    fn fault(&self, what: What, words: &str) -> Fault {
        Fault { what, error: self.trouble(words), moved_to: None }
    }

    /// What an error of the library means.
    pub(super) fn failed(&self, error: &RedisError) -> Fault {
        if let Some(tls) = tls_error(error) {
            return self.fault(What::Tls, &dial::in_words(tls));
        }
        match error.kind() {
            ErrorKind::Parse => {
                self.fault(What::Strange, "what listens there does not speak Redis: is the port right?")
            }
            ErrorKind::Io => {
                self.fault(What::Cut, "it ended the connection; the answer to what was asked last is not known")
            }
            ErrorKind::RESP3NotSupported => self.fault(What::Refused("ERR".into()), TOO_OLD),
            _ => self.refused(error),
        }
    }

    fn refused(&self, error: &RedisError) -> Fault {
        let detail = error.detail().unwrap_or_default();
        let (code, detail) = inner(error.code().unwrap_or("ERR"), detail);
        let kind = match code {
            // The script or its keys are wrong: asking again changes nothing.
            "WRONGTYPE" | "CROSSSLOT" | "LAYOUT" | "GARBLED" => Trouble::Lasting,
            _ => Trouble::Passing,
        };
        let words = self.code_in_words(code, detail);
        let moved_to = (code == "MOVED").then(|| detail.split(' ').nth(1).map(str::to_owned)).flatten();
        Fault { what: What::Refused(code.to_owned()), error: StoreError { kind, ..self.trouble(words) }, moved_to }
    }

    fn code_in_words(&self, code: &str, detail: &str) -> String {
        match code {
            "NOAUTH" | "WRONGPASS" => self.login_in_words(code),
            "NOPERM" => format!("the user may not do this ({detail}). {}", self.acl_line()),
            "LOADING" => "it is still loading its data: it answers when it has".into(),
            "READONLY" => format!("it takes no writes: {REPLICA}"),
            "MASTERDOWN" => format!("it is a replica that has lost its primary: {REPLICA}"),
            "CLUSTERDOWN" => format!("its cluster is down ({detail}): `redis-cli cluster info` tells more"),
            "MOVED" => format!("our keys are on another server of its cluster ({detail})"),
            "ASK" | "TRYAGAIN" => "our keys are being moved to another server of its cluster: it answers soon".into(),
            "OOM" => {
                "it is out of memory: what runs goes on, nothing new starts; raise `maxmemory` or free some".into()
            }
            "MISCONF" => {
                "it takes no writes because it cannot save to its disk: free some space there; its log has more".into()
            }
            "GARBLED" => format!(
                "what it holds as `{detail}` of this cluster is nothing this version can read: run the version that \
                 wrote it, or name another cluster with --cluster"
            ),
            "LAYOUT" => format!(
                "this cluster's data was written by a newer version of cronclave (layout {detail}, this one knows 1): \
                 upgrade this program, or name another cluster with --cluster"
            ),
            "NOREPLICAS" => "it takes no writes while it has too few replicas: see `min-replicas-to-write`".into(),
            "NOPROTO" => TOO_OLD.into(),
            "BUSY" => "it is busy with a script of somebody's: wait, or stop it with `redis-cli script kill`".into(),
            "DENIED" => "it is in protected mode and takes local connections only: give it a password, or see \
                         `protected-mode` in redis.conf"
                .into(),
            "ERR" => known_err(detail).unwrap_or_else(|| format!("it refused: {detail}")),
            code => format!("it refused: {code} {detail}"),
        }
    }

    fn login_in_words(&self, code: &str) -> String {
        let scheme = self.name.split("://").next().unwrap_or("redis");
        if self.is_sentinel {
            let what =
                if self.has_password { "the sentinel's password in the URL is wrong" } else { "it wants a password" };
            return format!(
                "{what}: add `?sentinel_password=PASSWORD` to the URL, with `&sentinel_user=USER` if need be"
            );
        }
        match (&self.user, self.has_password) {
            (None, false) => format!("it wants a password and the URL has none: write {scheme}://:PASSWORD@HOST"),
            (Some(user), false) => format!(
                "it wants a password and the URL has only the user `{user}`: write {scheme}://{user}:PASSWORD@HOST \
                 (or {scheme}://:PASSWORD@HOST if that is the password)"
            ),
            (_, true) if code == "NOAUTH" => format!("it wants a password, and takes none from {scheme}:// here"),
            (None, true) => "the password in the URL is wrong (a `%` in it is written %25, an `@` %40)".into(),
            (Some(user), true) => format!(
                "the user `{user}` or its password is wrong; a server with a password only has no such user: \
                 write {scheme}://:PASSWORD@HOST"
            ),
        }
    }

    /// What a user of an ACL needs.
    pub(super) fn acl_line(&self) -> String {
        format!(
            "It needs: ACL SETUSER {} on >PASSWORD ~{prefix}* resetchannels &{prefix}* +@all -@dangerous +info \
             +cluster|slots +cluster|myid",
            self.user.as_deref().unwrap_or("cronclave"),
            prefix = self.prefix
        )
    }
}

/// For whoever came to a replica.
pub(super) const REPLICA: &str = "it is a replica; point the URL at the primary, or let sentinels find it with redis+sentinel://HOST:26379/MASTER-NAME";

pub(super) const TOO_OLD: &str = "this Redis is too old: 6.2 or later is needed (or Valkey)";

/// What the errors without a code of their own mean.
fn known_err(detail: &str) -> Option<String> {
    let lower = detail.to_lowercase();
    let has = |words: &str| lower.contains(words);
    Some(match () {
        () if has("max number of clients") => {
            "it has as many clients as it may: raise `maxclients`, or find who holds so many connections".into()
        }
        () if has("db index") || has("invalid db") => {
            "it has no database of this number: `databases` in redis.conf says how many there are, mostly 16; \
             a cluster has database 0 only, or as many as `cluster-databases` says in Valkey 9"
                .into()
        }
        () if has("select is not allowed") => "a cluster has database 0 only: leave the number out of the URL".into(),
        () if has("unknown command") && has("hello") => TOO_OLD.into(),
        () if has("unsupported protocol version") || has("noproto") => TOO_OLD.into(),
        () if has("handshake") && has("http") => "what listens there does not speak Redis".into(),
        () => return None,
    })
}

/// What stopped a script may be hidden inside a longer message.
fn inner<'a>(code: &'a str, detail: &'a str) -> (&'a str, &'a str) {
    let is_forbidden =
        ["ACL failure in script", "user executing the script can't"].iter().any(|text| detail.contains(text));
    if code == "ERR" && is_forbidden {
        return ("NOPERM", detail);
    }
    if code != "ERR" || !detail.starts_with("Error running script") {
        return (code, detail);
    }
    let Some((_, inside)) = detail.split_once(": -") else { return (code, detail) };
    let (word, rest) = inside.split_once(' ').unwrap_or((inside, ""));
    let is_code = word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase());
    if is_code { (word, rest) } else { (code, detail) }
}

fn tls_error(error: &RedisError) -> Option<&rustls::Error> {
    let inside = error.source()?.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    inside.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()
}

impl Fault {
    /// There was nobody to ask.
    pub(super) fn nowhere(error: StoreError) -> Fault {
        Fault { what: What::Nowhere, error, moved_to: None }
    }

    /// Whether the server refused with this code.
    pub(super) fn is(&self, code: &str) -> bool {
        matches!(&self.what, What::Refused(own) if own == code)
    }

    /// Whether the connection, or where it leads, is no good any more.
    pub(super) fn ends_it(&self) -> bool {
        const ELSEWHERE: [&str; 6] = ["READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "LOADING", "NOAUTH"];
        match &self.what {
            What::Silent | What::Cut | What::Tls | What::Strange => true,
            What::Refused(code) => ELSEWHERE.contains(&code.as_str()),
            What::Nowhere => false,
        }
    }

    /// Whether another server may answer, and this one surely did nothing: it refuses so before it begins.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.is("READONLY") || self.is("MOVED")
    }

    /// Whether the connection ended, and nobody said why.
    pub(super) fn is_cut(&self) -> bool {
        self.what == What::Cut
    }

    /// Whether the other side may have expected something else than what we speak.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.what, What::Cut | What::Strange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stopped_a_script_is_found_inside() {
        let text = "Error running script (call to f_a1): @user_script:1: @user_script: 1: -READONLY You can't write";
        assert_eq!(inner("ERR", text), ("READONLY", "You can't write"));
        let text = "Error running script (call to f_a1): @user_script:3: user_script:3: attempt to call a nil value";
        assert_eq!(inner("ERR", text), ("ERR", text));
        let text = "ACL failure in script: User ana has no permissions to run the 'hset' command";
        assert_eq!(inner("ERR", text), ("NOPERM", text));
        assert_eq!(inner("OOM", "command not allowed"), ("OOM", "command not allowed"));
    }
}
