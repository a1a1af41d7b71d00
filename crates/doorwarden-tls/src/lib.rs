//! How Doorwarden's crates use TLS as a client: rustls on aws-lc-rs, and the certificate authorities to
//! trust.

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use std::sync::Arc;

/// The provider of every cryptographic operation of TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Begins the configuration of a client: TLS 1.2 and 1.3, with [`provider`].
pub fn client() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions of TLS")
}

/// The configuration of a client that trusts [`system_roots`].
///
/// ```
/// let config = doorwarden_tls::client_with_system_roots().with_no_client_auth();
/// assert!(config.alpn_protocols.is_empty());
/// ```
pub fn client_with_system_roots() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    client().with_root_certificates(system_roots())
}

/// The certificate authorities that the operating system trusts, or that `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name. If there are none, as in a container that holds only the program: those of Mozilla, as of the build.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    or_built_in(roots)
}

fn or_built_in(mut system: RootCertStore) -> RootCertStore {
    if system.is_empty() {
        system.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    system
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_roots_trusts_mozillas_and_any_other_its_own() {
        let built_in = or_built_in(RootCertStore::empty());
        assert!(built_in.len() > 50);
        let mut one = RootCertStore::empty();
        one.extend(webpki_roots::TLS_SERVER_ROOTS.iter().take(1).cloned());
        assert_eq!(or_built_in(one).len(), 1);
    }
}
