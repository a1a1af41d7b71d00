//! An issuer behind TLS, with a certificate of a private authority.

use crate::issuer::{Fault, Issuer};
use doorwarden_verify::Verifier;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The environment variable with which the test starts its second process.
const QUESTION: &str = "DOORWARDEN_TEST_PRIVATE_AUTHORITY";

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tls")).join(name)
}

/// Terminates TLS before the issuer, and returns the URL.
async fn front(issuer: &Issuer) -> String {
    let certificate = CertificateDer::from_pem_file(file("localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}/id", listener.local_addr().unwrap().port());
    let far = issuer.url.trim_start_matches("http://").trim_end_matches("/id").to_owned();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, far) = (acceptor.clone(), far.clone());
            tokio::spawn(async move {
                let mut near = acceptor.accept(tcp).await?;
                tokio::io::copy_bidirectional(&mut near, &mut TcpStream::connect(far).await?).await
            });
        }
    });
    address
}

/// The environment is read once per process, so each case is a process of its own: this same test, started
/// with the variable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_only_where_the_environment_names_it() {
    if let Ok(question) = std::env::var(QUESTION) {
        let (issuer, address) = question.split_once(' ').unwrap();
        let verifier =
            Verifier::builder(issuer).address(address).clock(|| crate::issuer::NOW).build().unwrap();
        if let Err(error) = verifier.ready_within(Duration::from_secs(4)).await {
            panic!("{error}");
        }
        return;
    }
    let issuer = Issuer::start(Fault::None).await;
    let question = format!("{} {}", issuer.url, front(&issuer).await);
    let ask = async |certificates: PathBuf| -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "private_ca::a_private_authority_is_trusted_only_where_the_environment_names_it";
        command.args(["--exact", name]).env(QUESTION, &question).env("SSL_CERT_FILE", certificates);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    // A different authority than the one that signed.
    let refused = ask(file("localhost.pem")).await;
    let said =
        String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("certificate") && said.contains("hint: "), "{said}");
    let believed = ask(file("authority.pem")).await;
    assert!(believed.status.success(), "{}", String::from_utf8_lossy(&believed.stdout));
}
