//! Whom to believe: what TLS connections to a server of ours go by.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// Trusts what the system trusts, and the authorities in `ca_file`, which `variable` named. Read anew for each
/// connection, so that a renewed file needs no restart.
pub(crate) fn checking(ca_file: Option<&Path>, variable: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // Some of a system's certificates may be odd; the rest is no worse for it.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let bad = |why: String| format!("{variable}: {}: {why}", path.display());
        let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let all = all.map_err(|error| bad(format!("it is no PEM file: {error}")))?;
        if all.is_empty() {
            return Err(bad("no certificate in it; it should hold `-----BEGIN CERTIFICATE-----`".into()));
        }
        for one in all {
            roots.add(one).map_err(|error| bad(error.to_string()))?;
        }
    }
    Ok(with_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// Who does the arithmetic.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What any such connection has in common.
pub(crate) fn with_versions() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    builder.map_err(|error| error.to_string())
}
