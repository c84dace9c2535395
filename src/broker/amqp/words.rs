//! What RabbitMQ and the way to it have against us, in words that say what mends it.

use std::io;

use lapin::protocol::AMQPError;
use lapin::{Error, ErrorKind};
use rustls::{CertificateError, Error as TlsError};

use crate::broker::address::Address;

/// What a user has to be permitted: to configure, to write, to read.
const PERMISSIONS: &str = r"'^cronclave\..*' '^(cronclave\..*|amq\.(default|topic))$' '^(cronclave\..*|amq\.topic)$'";

const PRECONDITION_FAILED: u16 = 406;
const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;
const NOT_ALLOWED: u16 = 530;

/// What the server itself said, if that is what went wrong.
fn said(error: &Error) -> Option<&AMQPError> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said),
        _ => None,
    }
}

/// Whether the server refused, and would refuse again.
pub(super) fn is_refusal(error: &Error) -> bool {
    said(error).is_some_and(|said| [PRECONDITION_FAILED, NOT_FOUND, ACCESS_REFUSED].contains(&said.get_id()))
}

/// Whether there is no such queue or exchange.
pub(super) fn is_missing(error: &Error) -> bool {
    said(error).is_some_and(|said| said.get_id() == NOT_FOUND)
}

/// Whether we may not use `exchange`: then nothing that was sent there was taken.
pub(super) fn refuses(error: &Error, exchange: &str) -> bool {
    said(error).is_some_and(|said| said.get_id() == ACCESS_REFUSED && said.get_message().as_str().contains(exchange))
}

/// Whether the request was surely not sent.
pub(super) fn is_unsent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_))
}

/// What went wrong with `what`, as in "the queue `cronclave.q.prod.reports`".
pub(super) fn about(what: &str, error: &Error) -> String {
    let Some(said) = said(error) else { return format!("{what}: {error}") };
    let text = plain(said);
    match said.get_id() {
        PRECONDITION_FAILED => format!(
            "{what} is there with other settings than ours: {text}. Delete it once it is empty, and it is made anew; \
             or set CRONCLAVE_DECLARE=0 to use it as it is"
        ),
        ACCESS_REFUSED => format!(
            "{what} is not ours to use: {text}. Give the user its permissions: \
             rabbitmqctl set_permissions -p VHOST USER {PERMISSIONS}"
        ),
        NOT_FOUND => format!("{what} is not there: {text}. Make it, or unset CRONCLAVE_DECLARE so that it is made"),
        _ => format!("{what}: {text}"),
    }
}

/// The server's own words, without its shouting.
fn plain(said: &AMQPError) -> String {
    let text = said.get_message().to_string();
    text.split_once(" - ").map_or(text.clone(), |(_, plain)| plain.to_owned())
}

/// Why there is no connection of AMQP, though there is one of TCP. `heard`: the other side said something.
pub(super) fn greeting(error: &Error, address: &Address, heard: bool) -> String {
    let (user, vhost) = (&address.user, &address.vhost);
    match (said(error).map(|said| (said.get_id(), plain(said))), error.kind()) {
        (Some((ACCESS_REFUSED, _)), _) => {
            let remote = "; `guest` may come from the server's own machine only, unless its settings say otherwise";
            let hint = if user == "guest" { remote } else { "" };
            format!("user `{user}` or its password is wrong: correct the URL, or `rabbitmqctl change_password`{hint}")
        }
        (Some((NOT_ALLOWED, text)), _) if text.contains("not found") => format!(
            "there is no vhost `{vhost}`: it stands behind the first `/` of the URL; \
             `rabbitmqctl add_vhost {vhost}` makes it"
        ),
        (Some((NOT_ALLOWED, text)), _) if text.contains("access to vhost") => format!(
            "user `{user}` may not use vhost `{vhost}`: \
             `rabbitmqctl set_permissions -p {vhost} {user} {PERMISSIONS}`"
        ),
        (Some((_, text)), _) => format!("RabbitMQ refuses: {text}"),
        (None, ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_)) => NOT_AMQP.into(),
        (None, _) if heard && address.tls => {
            format!("it ended the connection while greeting ({error}): RabbitMQ's log says why")
        }
        // What was heard may be the beginning of an alarm of TLS.
        (None, _) if heard => format!(
            "it ended the connection while greeting ({error}): if it speaks TLS there, begin the URL with amqps://; \
             else RabbitMQ's log says why"
        ),
        (None, _) if address.tls => "it ended the connection before it said anything: is the port right?".into(),
        (None, _) => "it ended the connection before it said anything: is the port right? \
                      If it speaks TLS there, begin the URL with amqps://"
            .into(),
    }
}

const NOT_AMQP: &str = "it does not speak AMQP 0-9-1: is the port right? RabbitMQ has 5672, with TLS 5671; \
                        15672 is for browsers; for TLS begin the URL with amqps://";

/// Why there is no connection of TCP.
pub(super) fn no_connection(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there: is RabbitMQ running? \
            Start it (`systemctl start rabbitmq-server`), or correct the address"
            .into(),
        io::ErrorKind::TimedOut => {
            "no connection in time: is the address right, and does a firewall let us through?".into()
        }
        _ => format!("no connection: {error}"),
    }
}

/// Why there is no connection of TLS.
pub(super) fn no_tls(error: &io::Error) -> String {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext};
    match error.get_ref().and_then(|inside| inside.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            format!("its certificate is for another name ({error}): use the name it was made for")
        }
        Some(TlsError::InvalidCertificate(Expired | ExpiredContext { .. })) => {
            format!("its certificate has expired ({error}): renew it on the server, and check this machine's clock")
        }
        Some(TlsError::InvalidCertificate(_)) => format!(
            "its certificate is not trusted ({error}): name the authority that signed it in \
             CRONCLAVE_AMQP_CA_FILE=FILE.pem"
        ),
        Some(TlsError::AlertReceived(_)) => format!(
            "it ended TLS ({error}): if it wants a certificate from its clients, which cronclave has none to show, \
             set `ssl_options.fail_if_no_peer_cert = false` in rabbitmq.conf"
        ),
        _ => format!("it does not speak TLS ({error}): is the port right? Without TLS the URL begins with amqp://"),
    }
}
