//! The one connection to the one server that holds our keys: kept, left when it hangs, made again.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, ServerErrorKind, Value};
use tokio::sync::Mutex;

use super::address::Address;
use crate::store::{StoreError, Trouble};

/// What the server tells unasked.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// A new connection listens: what was said before may have been missed.
    Fresh,
    /// The connection is gone: nothing is heard until the next [`News::Fresh`].
    Gone,
    /// Somebody said this on our channel.
    Said(Vec<u8>),
}

/// Takes in news, at once: it is called by the task that reads the connection.
pub(super) type Hear = dyn Fn(News) + Send + Sync;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A script and its name on the server.
#[derive(Debug)]
pub(super) struct Script {
    source: String,
    sha: String,
}

impl Script {
    pub(super) fn new(source: String) -> Script {
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Script { source, sha }
    }
}

/// A connection that mends itself.
pub(super) struct Link {
    address: Address,
    channel: String,
    held: Mutex<Option<MultiplexedConnection>>,
    hear: Arc<Hear>,
}

impl Link {
    /// A link that connects when it is first used, and then hears what is said on `channel`.
    pub(super) fn new(address: Address, channel: String, hear: Box<Hear>) -> Link {
        Link { address, channel, held: Mutex::new(None), hear: hear.into() }
    }

    /// Where it leads, for people.
    pub(super) fn describe(&self) -> String {
        self.address.masked()
    }

    /// Whether the server knows `#!lua flags=`: Redis 7, Valkey.
    pub(super) async fn knows_flags(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Asks once. Answered within a few seconds, one way or the other.
    ///
    /// # Errors
    /// When there was no answer, or the server refused. The request may have been carried out.
    pub(super) async fn ask(&self, request: &Cmd) -> Result<Value, StoreError> {
        self.send(request).await.map_err(|error| self.trouble(&error))
    }

    /// Runs a script, which the server may not know yet.
    pub(super) async fn run(&self, script: &Script, keys: &[String], args: &[Vec<u8>]) -> Result<Value, StoreError> {
        let build = |command: &str, body: &str| {
            let mut cmd = redis::cmd(command);
            cmd.arg(body).arg(keys.len()).arg(keys).arg(args);
            cmd
        };
        match self.send(&build("EVALSHA", &script.sha)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(&build("EVAL", &script.source)).await
            }
            answer => answer.map_err(|error| self.trouble(&error)),
        }
    }

    async fn send(&self, request: &Cmd) -> redis::RedisResult<Value> {
        let mut connection = self.connection().await?;
        let answer = connection.send_packed_command(request).await.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(|error| error.is_unrecoverable_error() || error.is_timeout()) {
            *self.held.lock().await = None;
        }
        answer
    }

    async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        let mut held = self.held.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let info = self.address.url().into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = redis::Client::open(info.set_redis_settings(settings))?;
        let tell = self.hear.clone();
        let hear = move |push: PushInfo| {
            let told = match (push.kind, push.data.into_iter().nth(1)) {
                (PushKind::Disconnection, _) => News::Gone,
                (PushKind::Message, Some(Value::BulkString(bytes))) => News::Said(bytes),
                _ => return Ok::<(), redis::aio::SendError>(()),
            };
            tell(told);
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(hear);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe(&self.channel).await?;
        (self.hear)(News::Fresh);
        *held = Some(connection.clone());
        Ok(connection)
    }

    fn trouble(&self, error: &redis::RedisError) -> StoreError {
        StoreError { kind: Trouble::Passing, message: format!("{}: {error}", self.describe()) }
    }
}
