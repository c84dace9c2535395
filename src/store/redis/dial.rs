//! A socket to the server: names, addresses, TLS. What goes wrong is told in words that name the place.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error as TlsError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::believing::believing;
use crate::store::address::{Address, Place};
use crate::tls::checking;

/// How long one step of connecting may take.
pub(super) const STEP: Duration = Duration::from_secs(2);

/// A quiet connection is asked for a sign of life after this long, by the kernel.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// What was sent and is not even acknowledged for this long will not be.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// How long it takes to find out whether a Redis without TLS is listening.
const PROBE: Duration = Duration::from_millis(700);

/// Before a limit is over, what went wrong is told.
const MARGIN: Duration = Duration::from_millis(200);

/// Bytes both ways.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// Connects to one place before `limit`.
pub(super) async fn dial(address: &Address, place: &Place, limit: Instant) -> Result<Box<dyn Socket>, String> {
    let (host, port) = match place {
        Place::Tcp(host, port) => (host, *port),
        Place::Unix(path) => {
            let socket = timeout_at(limit, UnixStream::connect(path)).await.unwrap_or_else(|_| Err(timed_out()));
            return Ok(Box::new(socket.map_err(|error| no_connection(&error))?));
        }
    };
    let socket = tcp(host, port, limit).await?;
    if !address.tls {
        return Ok(Box::new(socket));
    }
    let name = ServerName::try_from(host.clone()).map_err(|_| format!("`{host}` is no name a certificate can have"))?;
    let (insecure, ca_file) = (address.insecure, address.ca_file.clone());
    let config = move || if insecure { believing() } else { checking(ca_file.as_deref(), "CRONCLAVE_REDIS_CA_FILE") };
    // It reads files.
    let config = tokio::task::spawn_blocking(config).await.unwrap_or_else(|error| Err(error.to_string()))?;
    // Reading them may have taken long: still leaves the time to find out why nobody answers, and to say so.
    let step = (limit - PROBE - MARGIN).min(Instant::now() + STEP);
    let shaken = timeout_at(step, TlsConnector::from(Arc::new(config)).connect(name, socket)).await;
    match shaken.unwrap_or_else(|_| Err(timed_out())) {
        Ok(socket) => Ok(Box::new(socket)),
        Err(error) => Err(match tls_error(&error) {
            Some(known) => in_words(known),
            None if speaks_plainly(host, port).await => NOT_TLS.to_owned(),
            None if error.kind() == io::ErrorKind::TimedOut => "it accepts connections but says nothing".to_owned(),
            None => format!("it does not speak TLS ({error}): is the port right?"),
        }),
    }
}

/// What is wrong when `rediss://` leads to a server without TLS.
const NOT_TLS: &str = "this is a Redis without TLS: did you mean redis://?";

async fn tcp(host: &str, port: u16, limit: Instant) -> Result<TcpStream, String> {
    let found = timeout_at(limit.min(Instant::now() + STEP), lookup_host((host, port))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(format!("the name `{host}` is not known ({}): is it spelt right?", bare(&error))),
        Err(_) => return Err(format!("the name `{host}` was not resolved in time: does DNS work here?")),
    };
    let mut trouble = format!("the name `{host}` has no address");
    for (index, address) in found.iter().enumerate() {
        match timeout_at(share(limit, found.len() - index), TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                set_up(&socket);
                return Ok(socket);
            }
            Ok(Err(error)) => trouble = no_connection(&error),
            Err(_) => trouble = no_connection(&timed_out()),
        }
    }
    Err(trouble)
}

/// When the next of `left` tries must be over, so that the last has its turn before `limit`.
pub(super) fn share(limit: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left.max(1)).unwrap_or(u32::MAX);
    now + (limit.saturating_duration_since(now) / left).min(STEP)
}

/// A connection without these works as well, only its end is noticed later.
fn set_up(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, KEEPALIVE);
    let _ = sockopt::set_tcp_keepintvl(socket, KEEPALIVE / 2);
    let _ = sockopt::set_tcp_keepcnt(socket, 2);
    let _ = sockopt::set_tcp_user_timeout(socket, u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX));
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// What the system says, without its number.
fn bare(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.clone(), |(_, last)| last.to_owned())
}

fn no_connection(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there: is Redis running? \
            Start it (`redis-server`, or `systemctl start redis`), or correct the address"
            .into(),
        io::ErrorKind::TimedOut => {
            "no connection in time: is the address right, and does a firewall let us through?".into()
        }
        io::ErrorKind::NotFound => {
            "there is no such socket: is Redis running, with `unixsocket` in its redis.conf?".into()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not use the socket: `unixsocketperm` in redis.conf decides who may".into()
        }
        _ => format!("no connection: {error}"),
    }
}

/// What TLS itself has against it, if that is what went wrong, and not that the other side speaks something else.
fn tls_error(error: &io::Error) -> Option<&TlsError> {
    let known = error.get_ref()?.downcast_ref::<TlsError>()?;
    (!matches!(known, TlsError::InvalidMessage(_) | TlsError::InappropriateMessage { .. })).then_some(known)
}

/// What is wrong with TLS, and what mends it.
pub(super) fn in_words(error: &TlsError) -> String {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext};
    match error {
        TlsError::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => format!(
            "its certificate is for another name ({error}): use the name it was made for, or `?insecure` to accept any"
        ),
        TlsError::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            format!("its certificate has expired ({error}): renew it on the server, and check this machine's clock")
        }
        TlsError::InvalidCertificate(_) => format!(
            "its certificate is not trusted ({error}): name the authority that signed it in \
             CRONCLAVE_REDIS_CA_FILE=FILE.pem; where it is self-signed and may be anything, as on Heroku, \
             add `?insecure` to the URL, or set CRONCLAVE_REDIS_INSECURE=1 where that is not yours to change"
        ),
        TlsError::AlertReceived(_) => format!(
            "it ended TLS ({error}): if it wants a certificate from its clients, which cronclave has none to show, \
             set `tls-auth-clients no` in redis.conf"
        ),
        other => format!("no TLS connection: {other}"),
    }
}

/// Whether a server there would have spoken TLS: for who went there without.
pub(super) async fn speaks_tls(place: &Place) -> bool {
    let Place::Tcp(host, port) = place else { return false };
    let look = async {
        let socket = TcpStream::connect((host.as_str(), *port)).await.ok()?;
        let name = ServerName::try_from(host.clone()).ok()?;
        match TlsConnector::from(Arc::new(believing().ok()?)).connect(name, socket).await {
            Ok(_) => Some(()),
            Err(error) => tls_error(&error).map(|_| ()),
        }
    };
    // What ended a connection at once answers soon, unless the machine has too much to do.
    timeout(STEP, look).await.ok().flatten().is_some()
}

/// Whether a Redis without TLS is there: for who came with it.
async fn speaks_plainly(host: &str, port: u16) -> bool {
    let look = async {
        let mut socket = TcpStream::connect((host, port)).await?;
        socket.write_all(b"PING\r\n").await?;
        socket.read_u8().await
    };
    timeout(PROBE, look).await.is_ok_and(|first| first.is_ok_and(|byte| b"+-".contains(&byte)))
}
