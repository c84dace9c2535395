//! Whom to believe: what TLS connections to a server of ours go by.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

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

/// Believes anybody.
pub(crate) fn believing() -> Result<ClientConfig, String> {
    let believer = Arc::new(Believer(provider()));
    Ok(with_versions()?.dangerous().with_custom_certificate_verifier(believer).with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn with_versions() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    builder.map_err(|error| error.to_string())
}

/// Takes any certificate; still makes sure that the other side holds its key.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
