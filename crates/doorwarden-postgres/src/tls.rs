//! TLS as the URL's `sslmode` requires.

use crate::options::OptionsError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Opens the TLS part of a connection.
pub(crate) type Tls = MakeRustlsConnect;

/// An encrypted connection.
pub(crate) type TlsStream = <Tls as MakeTlsConnect<Socket>>::Stream;

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyFull,
}

impl TlsMode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "disable" => Some(Self::Disable),
            "prefer" => Some(Self::Prefer),
            "require" => Some(Self::Require),
            "verify-full" => Some(Self::VerifyFull),
            _ => None,
        }
    }
}

/// The connector for a mode. `roots` is a PEM file; without one the operating system's certificates are
/// trusted, and if it has none, Mozilla's.
pub(crate) fn connector(mode: TlsMode, roots: Option<&Path>) -> Result<Tls, OptionsError> {
    let builder = if mode == TlsMode::VerifyFull {
        doorwarden_tls::client().with_root_certificates(root_certificates(roots)?)
    } else {
        let unverified = Arc::new(Unverified(doorwarden_tls::provider()));
        doorwarden_tls::client().dangerous().with_custom_certificate_verifier(unverified)
    };
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}

fn root_certificates(file: Option<&Path>) -> Result<RootCertStore, OptionsError> {
    let Some(file) = file else { return Ok(doorwarden_tls::system_roots()) };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| OptionsError::RootCertificates(error.to_string()))?;
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return Err(OptionsError::RootCertificates("there are none".to_owned()));
    }
    Ok(roots)
}

/// `prefer` and `require` encrypt but, as in libpq, do not verify the server.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
