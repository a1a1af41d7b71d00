//! What people are told of a certificate that is not believed.

use doorwarden_postgres::PostgresOptions;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tls");

/// A server that speaks PostgreSQL until the connection is encrypted, with a certificate for `localhost`; its
/// port.
fn server() -> u16 {
    let certificate = CertificateDer::from_pem_file(format!("{FILES}/localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{FILES}/localhost.key")).unwrap();
    let config =
        ServerConfig::builder_with_provider(doorwarden_tls::provider()).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // SSLRequest, and the word that it may begin.
            if stream.read_exact(&mut [0; 8]).and_then(|()| stream.write_all(b"S")).is_ok() {
                let mut encrypted =
                    StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
                let _ = encrypted.read(&mut [0; 1024]);
            }
        }
    });
    port
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_told_in_words() {
    let port = server();
    let told = async |host: &str, roots: &str| {
        let url = format!("postgres://ada:hunter2@{host}:{port}/d?sslmode=verify-full{roots}");
        PostgresOptions::new(url).client().await.err().unwrap()
    };
    let roots = format!("&sslrootcert={FILES}/authority.pem");
    let unknown = told("localhost", "").await;
    let expected = "the server's certificate is of an authority that is not trusted (UnknownIssuer)";
    assert!(unknown.to_string().ends_with(expected), "{unknown}");
    assert!(unknown.hint().unwrap().starts_with("sslrootcert=FILE"), "{unknown:?}");
    let other_name = told("127.0.0.1", &roots).await.to_string();
    assert!(other_name.contains("the server's certificate is for another host name"), "{other_name}");
    let believed = told("localhost", &roots).await.to_string();
    assert!(!believed.contains("certificate"), "the server says nothing after that: {believed}");
}
