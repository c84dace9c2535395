//! Stands where [`crate::http`] is in a build without the feature `http`: nobody can make a [`Front`], so that whoever
//! has one serves, and whoever has none is the same in every build.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Listen, Process, WrongSetting};
use crate::desk::Desk;
use crate::metrics::Metrics;

/// Where a replica would be asked.
pub struct Front(Infallible);

/// Takes no address.
///
/// # Errors
/// Always.
pub async fn bind(_: Listen) -> io::Result<TcpListener> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Front {
    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn open(_: TcpListener, _: &Process) -> Result<Front, WrongSetting> {
        Err(WrongSetting::not_built("--listen", "HTTP server", "http"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self.0 {}
    }

    /// A link that signs in.
    pub fn sign_in(&self) -> Option<&str> {
        match self.0 {}
    }

    /// Who may ask, for people.
    pub fn describe(&self) -> &'static str {
        match self.0 {}
    }

    /// Answers until `over` is done.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, _: Arc<Desk>, _: Metrics, _: CancellationToken) -> io::Result<()> {
        match self.0 {}
    }
}
