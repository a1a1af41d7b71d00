//! Delivery to a real SMTP server, aiosmtpd.

use crate::python::{command, missing};
use crate::support::{full, mailer, written};
use doorwarden_core::mail::{Locale, MailKind, SendError};
use doorwarden_mail::{CheckError, MailUrl, Message, Smtp, Transport as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// User and password that the server knows, in a URL.
const LOGIN: &str = "kim%40example.org:p%2Fw%20%232@";
/// Longer than a server on a busy machine needs.
const PLENTY: Duration = Duration::from_secs(20);

struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    fn start(arguments: &[&str]) -> Option<Self> {
        let mut command = command("smtp_server.py")?;
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Some(Self { child, lines, port })
    }

    /// The next mail that the server accepted.
    fn accepted(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// A transport to the server; `{}` stands for its host and port.
    fn smtp(&self, url: &str) -> Smtp {
        smtp(&url.replace("{}", &format!("localhost:{}", self.port)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Begins a server, or ends the test as skipped.
macro_rules! server {
    ($test:literal $(, $argument:literal)*) => {
        match Server::start(&[$($argument),*]) {
            Some(server) => server,
            None => return missing($test),
        }
    };
}

fn smtp(url: &str) -> Smtp {
    let MailUrl::Smtp(url) = url.parse().unwrap() else { panic!("{url} is not of SMTP") };
    Smtp::new(url).limit(PLENTY)
}

/// Trusts the authority of the test's certificates.
fn trusting() -> Arc<ClientConfig> {
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tls/authority.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    Arc::new(doorwarden_tls::client().with_root_certificates(roots).with_no_client_auth())
}

fn to(recipient: &str) -> Message {
    let mut mail = full(MailKind::ResetPassword, Locale::German);
    recipient.clone_into(&mut mail.to);
    mailer().write(&mail).unwrap()
}

fn temporary(result: Result<(), SendError>) -> String {
    match result {
        Err(SendError::Temporary(text)) => text,
        other => panic!("{other:?} is not temporary"),
    }
}

fn permanent(result: Result<(), SendError>) -> String {
    match result {
        Err(SendError::Permanent(text)) => text,
        other => panic!("{other:?} is not permanent"),
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written_after_starttls_and_a_login() {
    let mut server = server!("smtp, STARTTLS", "--tls", "starttls", "--auth", "PLAIN");
    let smtp = server.smtp(&format!("smtp://{LOGIN}{{}}?hello=app.example.org")).tls(trusting());
    let message = to("kim@example.org");
    smtp.deliver(&message).await.unwrap();
    let mail = server.accepted();
    assert_eq!(mail["content"], message.eml().as_str());
    assert_eq!((&mail["from"], &mail["to"][0]), (&"accounts@example.org".into(), &"kim@example.org".into()));
    assert_eq!((&mail["encrypted"], &mail["user"]), (&true.into(), &"kim@example.org by PLAIN".into()));
    assert_eq!(mail["hello"], "app.example.org");
    let shown = smtp.check().await.unwrap();
    let expected =
        format!("connected to `localhost:{}`, TLS 1.3, logged in as `kim@example.org`", server.port);
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_mail_arrives_over_implicit_tls_and_auth_login() {
    let mut server = server!("smtp, implicit TLS", "--tls", "implicit", "--auth", "LOGIN");
    let smtp = server.smtp(&format!("smtps://{LOGIN}{{}}")).tls(trusting());
    smtp.deliver(&to("kim@example.org")).await.unwrap();
    let mail = server.accepted();
    assert_eq!((&mail["encrypted"], &mail["user"]), (&true.into(), &"kim@example.org by LOGIN".into()));
    assert_eq!(mail["hello"], "[127.0.0.1]");
}

#[tokio::test]
async fn a_line_of_one_dot_does_not_end_the_mail() {
    let mut server = server!("smtp, dots");
    let mut message = to("kim@example.org");
    message.text = ".\n..\n.x\n".to_owned();
    server.smtp("smtp://{}").deliver(&message).await.unwrap();
    assert_eq!(server.accepted()["content"], message.eml().as_str());
}

#[tokio::test]
async fn a_wrong_password_keeps_the_mail_and_is_told_without_the_password() {
    let server = server!("smtp, wrong password", "--tls", "starttls", "--auth", "PLAIN");
    let smtp = server.smtp("smtp://kim%40example.org:hunter2@{}").tls(trusting());
    let text = temporary(smtp.deliver(&to("kim@example.org")).await);
    let port = server.port;
    let refused = format!("`localhost:{port}` refused the user name and password of the mail URL: 535 5.7.8");
    assert!(text.starts_with(&refused), "{text}");
    let error = smtp.check().await.unwrap_err();
    assert_eq!(error.message, text);
    assert_eq!(error.hint.unwrap(), "special characters in user name and password are percent-encoded");
    assert!(!text.contains("hunter2"));
    let without = server.smtp("smtp://{}").tls(trusting());
    let text = temporary(without.deliver(&to("kim@example.org")).await);
    assert!(text.contains("refused the configured sender: 530 5.7.0"), "{text}");
}

#[tokio::test]
async fn what_the_server_refuses_for_good_is_permanent_and_all_else_is_temporary() {
    let server = server!("smtp, refusals");
    let smtp = server.smtp("smtp://{}");
    let name = format!("`localhost:{}`", server.port);
    let text = permanent(smtp.deliver(&to("missing@example.org")).await);
    let expected = "refused the recipient: 550 5.1.1 <[address]>: 5.1.1 no such user, says [address]";
    assert_eq!(text, format!("{name} {expected}"));
    let text = permanent(smtp.deliver(&to("spam@example.org")).await);
    assert_eq!(text, format!("{name} refused the content: 554 5.7.1 The content looks like spam"));
    let text = temporary(smtp.deliver(&to("busy@example.org")).await);
    assert_eq!(text, format!("{name} refused the recipient: 451 4.7.1 Try again later"));
    let text = temporary(smtp.deliver(&to("full@example.org")).await);
    assert_eq!(text, format!("{name} refused the content: 452 4.3.1 Disk full"));
    let text = temporary(smtp.deliver(&to("login@example.org")).await);
    assert_eq!(text, format!("{name} refused the recipient: 530 5.7.0 Authentication required"));
    let mut message = to("kim@example.org");
    message.from = "forbidden@example.org".parse().unwrap();
    let text = temporary(smtp.deliver(&message).await);
    assert_eq!(
        text,
        format!("{name} refused the configured sender: 553 5.7.1 Sender <[address]> is not yours")
    );
}

#[tokio::test]
async fn a_connection_lost_inside_the_mail_is_temporary() {
    let server = server!("smtp, lost connection");
    let text = temporary(server.smtp("smtp://{}").deliver(&to("drop@example.org")).await);
    assert!(
        text.starts_with(&format!("lost the connection to `localhost:{}` at the content", server.port)),
        "{text}"
    );
}

#[tokio::test]
async fn a_slow_server_is_given_up_after_the_limit() {
    let server = server!("smtp, slow server");
    let smtp = server.smtp("smtp://{}").limit(Duration::from_millis(900));
    let text = temporary(smtp.deliver(&to("slow@example.org")).await);
    assert!(text.starts_with(&format!("`localhost:{}` took longer than 0.9 s", server.port)), "{text}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_told_with_the_likely_reason() {
    let server = server!("smtp, mute server", "--mute");
    let error = server.smtp("smtp://{}").limit(Duration::from_millis(500)).check().await.unwrap_err();
    assert!(error.message.ends_with("last for the greeting"), "{error}");
    assert!(error.hint.unwrap().contains("smtps://"));
    // And the reverse: TLS is spoken to a server that greets in clear.
    let server = server!("smtp, mute server");
    let error = server.smtp("smtps://{}").check().await.unwrap_err();
    assert!(error.message.contains("no TLS with"), "{error}");
    assert!(error.hint.unwrap().contains("smtp://"));
}

#[tokio::test]
async fn an_untrusted_certificate_or_another_name_is_refused_before_the_password() {
    let server = server!("smtp, untrusted certificate", "--tls", "starttls", "--auth", "PLAIN");
    let untrusted = server.smtp(&format!("smtp://{LOGIN}{{}}"));
    let text = temporary(untrusted.deliver(&to("kim@example.org")).await);
    assert!(text.contains("no TLS with") && text.contains("UnknownIssuer"), "{text}");
    assert!(untrusted.check().await.unwrap_err().hint.unwrap().contains("SSL_CERT_FILE"));
    let other_name = smtp(&format!("smtp://{LOGIN}127.0.0.1:{}", server.port)).tls(trusting());
    let text = temporary(other_name.deliver(&to("kim@example.org")).await);
    assert!(text.contains("not valid for name"), "{text}");
}

/// Runs itself again, because the variable is read from the environment of the process.
#[tokio::test]
async fn the_authority_that_ssl_cert_file_names_is_trusted() {
    const NAME: &str = "smtp::the_authority_that_ssl_cert_file_names_is_trusted";
    if let Ok(url) = std::env::var("DOORWARDEN_TEST_SMTP") {
        smtp(&url).check().await.unwrap();
        return;
    }
    let server = server!("smtp, SSL_CERT_FILE", "--tls", "implicit");
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", NAME]).env("DOORWARDEN_TEST_SMTP", format!("smtps://localhost:{}", server.port));
    again.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tls/authority.pem"));
    let output = again.output().unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{output:?}"
    );
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_server_that_supports_it() {
    let mut server = server!("smtp, SMTPUTF8", "--utf8");
    let message = to("jürgen@bücher.example");
    server.smtp("smtp://{}").deliver(&message).await.unwrap();
    let mail = server.accepted();
    assert_eq!(mail["to"][0], "jürgen@xn--bcher-kva.example");
    assert_eq!(mail["options"], serde_json::json!(["BODY=8BITMIME", "SMTPUTF8"]));
    assert_eq!(mail["content"], message.eml().as_str());

    let mut server = server!("smtp, SMTPUTF8");
    let text = permanent(server.smtp("smtp://{}").deliver(&message).await);
    let name = format!("`localhost:{}`", server.port);
    assert_eq!(text, format!("the recipient's address is not ASCII, and {name} does not support SMTPUTF8"));
    server.smtp("smtp://{}").deliver(&to("kim@bücher.example")).await.unwrap();
    assert_eq!(server.accepted()["to"][0], "kim@xn--bcher-kva.example");
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_the_server_has_closed_it() {
    let mut server = server!("smtp, connections");
    let smtp = server.smtp("smtp://{}");
    let mut peers = Vec::new();
    for recipient in ["kim@example.org", "last@example.org", "kim@example.org"] {
        smtp.deliver(&to(recipient)).await.unwrap();
        peers.push(server.accepted()["peer"].clone());
        if recipient.starts_with("last@") {
            assert_eq!(server.accepted()["closed"], true);
        }
    }
    assert_eq!(peers[0], peers[1]);
    assert_ne!(peers[1], peers[2]);
}

/// A server that answers with these lines, the first as its greeting, to whatever it reads.
async fn scripted(lines: &'static [&'static str]) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 4096];
        for line in lines {
            stream.write_all(line.as_bytes()).await.unwrap();
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        seen
    });
    (port, seen)
}

async fn checked(url: &str, lines: &'static [&'static str]) -> (Result<String, CheckError>, String) {
    let (port, seen) = scripted(lines).await;
    let smtp = smtp(&url.replace("{}", &format!("127.0.0.1:{port}"))).limit(Duration::from_secs(5));
    let result = smtp.check().await;
    drop(smtp);
    (result, seen.await.unwrap())
}

#[tokio::test]
async fn replies_sent_ahead_of_the_encryption_are_not_believed() {
    let lines = ["220 hi\r\n", "250-hi\r\n250 STARTTLS\r\n", "220 go\r\n250-hi\r\n250 AUTH PLAIN\r\n"];
    let lines: &'static [&'static str] = Box::leak(Box::new(lines));
    let (result, seen) = checked("smtp://kim:pw@{}", lines).await;
    assert!(result.unwrap_err().message.contains("does not speak SMTP: no valid reply at STARTTLS"));
    assert!(!seen.contains("AUTH"), "{seen}");
}

#[tokio::test]
async fn without_starttls_nothing_is_sent_to_another_host() {
    let (port, seen) = scripted(&["220 hi\r\n", "250-hi\r\n250 AUTH PLAIN\r\n"]).await;
    // This host by an address that is not one of the loopback interface.
    let smtp = smtp(&format!("smtp://kim:pw@0.0.0.0:{port}"));
    let error = smtp.check().await.unwrap_err();
    assert!(error.message.ends_with("does not offer STARTTLS, so nothing was sent"), "{error}");
    assert!(error.hint.unwrap().contains("tls=none"));
    drop(smtp);
    assert!(!seen.await.unwrap().contains("AUTH"));
}

#[tokio::test]
async fn what_is_not_smtp_or_not_there_is_told() {
    let garbled: [&'static [&'static str]; 4] =
        [&["SSH-2.0-OpenSSH\r\n"], &["2x0 hi\r\n"], &["ü\r\n"], &["100 what\r\n"]];
    for lines in garbled {
        let message = checked("smtp://{}", lines).await.0.unwrap_err().message;
        assert!(message.ends_with("does not speak SMTP: no valid reply at the greeting"), "{message}");
    }
    let endless: &'static str = Box::leak("220-".repeat(9000).into_boxed_str());
    let lines: &'static [&'static str] = Box::leak(Box::new([endless]));
    assert!(checked("smtp://{}", lines).await.0.unwrap_err().message.contains("does not speak SMTP"));
    let (result, _) = checked("smtp://{}", &["554 no service\r\n"]).await;
    assert!(result.unwrap_err().message.ends_with("refused the greeting: 554 no service"));
    let (result, _) = checked("smtp://kim:pw@{}", &["220 hi\r\n", "250 hi\r\n"]).await;
    assert!(result.unwrap_err().message.ends_with("offers neither AUTH PLAIN nor AUTH LOGIN"));
    let text =
        temporary(smtp("smtp://127.0.0.1:1").deliver(&written(&full(MailKind::Test, Locale::English))).await);
    assert!(text.starts_with("could not connect to `127.0.0.1:1`: "), "{text}");
}
