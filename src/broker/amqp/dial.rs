//! A connection to one place: socket, TLS, the greeting of AMQP. Whatever does not answer is left in time, and
//! leaves nothing behind.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use rustix::net::{Shutdown, shutdown, sockopt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::kit::Kit;
use super::words;
use crate::broker::address::{Address, Place};
use crate::tls;

/// How long one place may take until it is a connection of AMQP.
pub(super) const WHOLE: Duration = Duration::from_secs(10);

/// How long it may take until it is a connection of TCP.
const TCP: Duration = Duration::from_secs(3);

/// A quiet connection is asked for a sign of life after this long, by the kernel.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// What was sent and is not even acknowledged for this long will not be.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What the server said first: it holds its name and version, which lapin keeps to itself.
type Greeting = Arc<Mutex<Vec<u8>>>;

/// More than any greeting has.
const GREETING: usize = 4096;

/// A dialed connection of bytes.
pub(super) struct Socket {
    stream: Box<dyn Stream>,
    greeting: Greeting,
}

/// Ends a connection of TCP when it is dropped, whoever else holds it: lapin's thread sees the end, and ends.
/// Unless it was defused.
pub(super) struct Fuse(Option<OwnedFd>);

impl Fuse {
    /// The connection is closed in good order: ending it at once would lose what was said last.
    pub(super) fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            let _ = shutdown(socket, Shutdown::Both);
        }
    }
}

/// A connection of AMQP.
pub(super) struct Dialed {
    pub(super) connection: Connection,
    /// As in `RabbitMQ 3.10.8`.
    pub(super) server: String,
    pub(super) fuse: Fuse,
}

/// Connects to one place before `limit`, calling itself `name`.
pub(super) async fn dial(address: &Address, place: &Place, name: &str, limit: Instant) -> Result<Dialed, String> {
    let tcp = tcp(place, limit.min(Instant::now() + TCP)).await?;
    let fuse = tcp.as_fd().try_clone_to_owned().map_err(|error| format!("no connection: {error}"))?;
    let fuse = Fuse(Some(fuse));
    let stream: Box<dyn Stream> =
        if address.tls { Box::new(with_tls(address, place, tcp, limit).await?) } else { Box::new(tcp) };
    let greeting = Greeting::default();
    let socket = Mutex::new(Some(Socket { stream, greeting: greeting.clone() }));
    let connect = async move |_, _| {
        let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It asks once: there is no second way here.
        socket
            .map(|socket| AsyncTcpStream::Plain(socket.compat()))
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
    };
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "cronclave".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let shaken = Connection::connector(uri(address, place), Kit::current().into(), connect, properties);
    match timeout_at(limit, shaken).await {
        Ok(Ok(connection)) => Ok(Dialed { connection, server: server(&greeting), fuse }),
        Ok(Err(error)) => Err(words::greeting(&error, address, !heard(&greeting).is_empty())),
        Err(_) => Err("it accepts connections but does not answer: is the port right, and is RabbitMQ well?".into()),
    }
}

fn uri(address: &Address, place: &Place) -> AMQPUri {
    AMQPUri {
        // TLS is ours.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: address.user.clone(), password: address.password.clone() },
            host: place.host.clone(),
            port: place.port,
        },
        vhost: address.vhost.clone(),
        query: AMQPQueryString { heartbeat: Some(address.heartbeat), ..AMQPQueryString::default() },
    }
}

async fn tcp(place: &Place, limit: Instant) -> Result<TcpStream, String> {
    let host = &place.host;
    let found: Vec<SocketAddr> = match timeout_at(limit, lookup_host((host.as_str(), place.port))).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) => return Err(format!("the name `{host}` is not known: is it spelt right?")),
        Err(_) => return Err(format!("the name `{host}` was not resolved in time: does DNS work here?")),
    };
    let mut trouble = format!("the name `{host}` has no address");
    for (index, address) in found.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(found.len() - index).unwrap_or(u32::MAX);
        let share = now + limit.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                set_up(&socket);
                return Ok(socket);
            }
            Ok(Err(error)) => trouble = words::no_connection(&error),
            Err(_) => trouble = words::no_connection(&io::ErrorKind::TimedOut.into()),
        }
    }
    Err(trouble)
}

async fn with_tls(
    address: &Address,
    place: &Place,
    tcp: TcpStream,
    limit: Instant,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(place.host.clone())
        .map_err(|_| format!("`{}` is no name a certificate can have", place.host))?;
    let ca_file = address.ca_file.clone();
    // It reads files.
    let config = tokio::task::spawn_blocking(move || tls::checking(ca_file.as_deref(), "CRONCLAVE_AMQP_CA_FILE"));
    let config = config.await.unwrap_or_else(|error| Err(error.to_string()))?;
    match timeout_at(limit, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(words::no_tls(&error)),
        Err(_) => Err("it accepts connections but says nothing: does it speak TLS there?".into()),
    }
}

/// A connection without these works as well, only its end is noticed later.
fn set_up(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, KEEPALIVE);
    let _ = sockopt::set_tcp_keepintvl(socket, KEEPALIVE / 2);
    let _ = sockopt::set_tcp_user_timeout(socket, u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX));
}

fn heard(greeting: &Greeting) -> Vec<u8> {
    greeting.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Product and version, from the table of the greeting: each is a name, the letter S, a length of four bytes, a text.
fn server(greeting: &Greeting) -> String {
    let heard = heard(greeting);
    let text = |name: &[u8]| {
        let at = heard.windows(name.len()).position(|part| part == name)? + name.len();
        let length = u32::from_be_bytes(heard.get(at..at + 4)?.try_into().ok()?);
        let text = heard.get(at + 4..at + 4 + usize::try_from(length).ok()?)?;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let product = text(b"\x07productS").unwrap_or_else(|| "a server of AMQP 0-9-1".into());
    text(b"\x07versionS").map_or(product.clone(), |version| format!("{product} {version}"))
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let mut greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        if greeting.len() < GREETING {
            greeting.extend_from_slice(&buf.filled()[before..]);
        }
        drop(greeting);
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
