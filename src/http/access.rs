//! Who asks, and what they may.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;

/// What somebody may do. Each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Trigger, pause, cancel, retry, backfill; report as a worker.
    Operator,
    /// Release locks, reload, register webhooks.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        })
    }
}

/// Who asks. A handler takes it as an argument.
#[derive(Debug, Clone)]
pub struct Caller {
    /// As its token is called, or a person's name from a proxy.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// Where they ask from, as far as trusted proxies tell.
    pub address: IpAddr,
}

impl Caller {
    /// Refuses who has a lower role.
    ///
    /// # Errors
    /// `forbidden`, or `unauthorized` for somebody who is not signed in.
    pub fn may(&self, least: Role) -> Result<(), Problem> {
        if self.role >= least {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this takes the role {least}; `{}` has the role {}", self.name, self.role)))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Infallible> {
        let nobody = Caller { name: "anonymous".into(), role: Role::Viewer, address: IpAddr::from([0, 0, 0, 0]) };
        Ok(parts.extensions.get::<Caller>().cloned().unwrap_or(nobody))
    }
}
