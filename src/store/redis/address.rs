//! Where the server is: what a `REDIS_URL` says.

use std::str::FromStr;

/// What a `REDIS_URL` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    url: String,
}

impl Address {
    /// The URL without its password, for people.
    pub fn masked(&self) -> String {
        self.url.clone()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Address { url: text.to_owned() })
    }
}
