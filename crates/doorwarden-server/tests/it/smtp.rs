//! A real SMTP server, aiosmtpd.

use doorwarden_testkit::skip;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// User and password that the server knows, in a URL.
const LOGIN: &str = "kim%40example.org:p%2Fw%20%232";

pub(crate) struct SmtpServer {
    child: Child,
    mails: Receiver<Value>,
}

impl SmtpServer {
    /// A server on this port, if its Python packages are installed.
    pub(crate) fn start(port: u16) -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = root.join("target/python/bin/python");
        if !python.exists() {
            skip(
                "mails",
                "the Python packages of the SMTP server are not installed. hint: scripts/setup python",
            );
            return None;
        }
        let mut command = Command::new(python);
        command.arg(root.join("crates/doorwarden-mail/tests/smtp_server.py"));
        command.args(["--auth", "PLAIN", "--port", &port.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), port.to_string());
        let (sender, mails) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { child, mails })
    }

    /// The URL of a server on this port.
    pub(crate) fn url(port: u16) -> String {
        format!("smtp://{LOGIN}@127.0.0.1:{port}")
    }

    /// The next mail that the server accepts, within half a minute: its only recipient, and the mail.
    pub(crate) fn accepted(&self) -> (String, String) {
        let mail = self.mails.recv_timeout(Duration::from_secs(30)).unwrap();
        (mail["to"][0].as_str().unwrap().to_owned(), mail["content"].as_str().unwrap().to_owned())
    }

    /// The mails that the server has accepted since.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.arrived().into_iter().map(|(_, mail)| mail).collect()
    }

    /// The same, each with its only recipient.
    pub(crate) fn arrived(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.mails.try_iter().map(|mail| (text(&mail["to"][0]), text(&mail["content"]))).collect()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
