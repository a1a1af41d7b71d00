//! From the first start in an empty directory to several services side by side.

use crate::service::{Service, call, free_port};
use crate::site::{SECRET_KEY, Site};
use doorwarden_testkit::skip;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A service started on a terminal, and its output.
struct Greeted {
    child: Child,
    text: String,
}

impl Greeted {
    fn start(site: &Site) -> Self {
        let mut command = site.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("DOORWARDEN_METRICS_LISTEN", "off").stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let text = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        Self { child, text }
    }

    /// The text after a word at the beginning of a line.
    fn says(&self, word: &str) -> &str {
        let mut lines = self.text.lines().filter_map(|line| line.trim().strip_prefix(word));
        lines.next().unwrap_or_else(|| panic!("no {word} in:\n{}", self.text)).trim()
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

#[test]
fn a_first_start_creates_its_files_and_prints_what_to_try() {
    let site = Site::empty();
    let service = Greeted::start(&site);
    assert_eq!(service.says("data"), "doorwarden.db (its secret key: doorwarden.db.secret)");
    for name in ["doorwarden.db", "doorwarden.db.secret"] {
        let mode = std::fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name} is {mode:o}");
    }
    if !has("curl") {
        return skip("a_first_start_creates_its_files_and_prints_what_to_try", "curl was not found");
    }
    let pasted = Command::new("sh").args(["-c", service.says("try")]).output().unwrap();
    let answer: Value = serde_json::from_slice(&pasted.stdout).unwrap();
    assert!(answer["token"].is_string(), "{answer}");
    let docs = Command::new("curl").args(["-sf", service.says("docs")]).output().unwrap();
    assert!(docs.status.success() && docs.stdout.starts_with(b"<!"), "{docs:?}");
}

#[test]
fn a_second_start_keeps_the_secret_key_and_the_tokens() {
    let site = Site::empty();
    let first = Service::start(&site, free_port());
    let jane = r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;
    let (_, answer) = first.call("POST", "/registration", "", jane).unwrap();
    let answer: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let secret = std::fs::read(site.path("doorwarden.db.secret")).unwrap();
    assert!(first.terminate().0.success());

    let second = Service::start(&site, free_port());
    assert_eq!(second.call("GET", "/me", answer["token"].as_str().unwrap(), "").unwrap().0, 200);
    assert_eq!(std::fs::read(site.path("doorwarden.db.secret")).unwrap(), secret);
}

#[test]
fn postgres_without_a_secret_key_is_refused_with_a_command_that_generates_one() {
    let Some(site) = Site::empty_postgres() else { return };
    let site = site.env("DOORWARDEN_SECRET_KEY", "");
    let refused = site.run(&["serve", "--listen", "127.0.0.1:0"]).fails(78, "all instances must share");
    let line = refused.stderr.lines().find(|line| line.trim().starts_with("export ")).unwrap();
    let script = format!("{line}\nprintf %s \"$DOORWARDEN_SECRET_KEY\"");
    let made = Command::new("sh").args(["-c", &script]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    assert_eq!(key.len(), 64, "32 bytes: {key}");
    let service = Service::start(&site.env("DOORWARDEN_SECRET_KEY", &key), free_port());
    assert_eq!(service.status("GET", "/healthz", ""), Some(200));
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let metrics = free_port();
    let site = Site::empty().env("DOORWARDEN_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
    let service = Service::start(&site, free_port());
    assert_eq!(service.status("GET", "/metrics", ""), Some(404), "the public does not see them");
    let (status, text) = call(metrics, "GET", "/metrics", "", "").unwrap();
    assert!(status == 200 && text.contains("# TYPE doorwarden_"), "{text}");
    assert_eq!(call(metrics, "GET", "/me", "", "").unwrap().0, 404, "nothing else is there");
}

#[test]
fn two_services_run_side_by_side() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let site =
        || Site::empty().env("DOORWARDEN_METRICS_LISTEN", &metrics).env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    let (here, there) = (site(), site());
    let first = Service::start(&here, free_port());
    let second = Service::start(&there, free_port());
    let jane = r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;
    assert_eq!(first.status("POST", "/registration", jane), Some(201));
    assert_eq!(second.status("POST", "/login", jane), Some(400), "each has its own accounts");
    let log = std::fs::read_to_string(there.path("log")).unwrap();
    assert!(log.contains("metrics are not served"), "the address of the metrics is taken:\n{log}");

    let taken = format!("127.0.0.1:{}", first.port);
    there.run(&["serve", "--listen", &taken]).fails(69, "hint: another program listens there");
}

#[test]
fn drill_a_half_sent_request_does_not_keep_the_service_from_stopping() {
    let site = Site::empty();
    let service = Service::start(&site, free_port());
    let begun = |bytes: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    };
    let _idle = (begun(""), begun("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    let _streaming = begun("GET /.well-known/revocations/stream HTTP/1.1\r\nHost: x\r\n\r\n");
    // Each round takes the service's time limit.
    let _half = doorwarden_testkit::drill().full.then(|| {
        let head = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
        (begun("GET /healthz HTTP/1.1\r\nHo"), begun(head))
    });
    std::thread::sleep(Duration::from_millis(200));
    let (ended, took) = service.terminate();
    assert!(ended.success() && took < Duration::from_secs(10), "{ended} after {took:?}");
}
