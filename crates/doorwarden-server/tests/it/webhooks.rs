//! Webhooks of the running service: commands, configuration, and two instances of which one is killed.

use crate::service::{Service, call, free_port};
use crate::site::{SECRET_KEY, Site, on_both};
use doorwarden_testkit::drill;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

on_both! {
    an_endpoint_is_administered_with_commands,
    two_instances_send_each_message_once,
    a_killed_instance_loses_no_message_and_repeats_under_the_same_id,
}

const ALLOW: (&str, &str) = ("DOORWARDEN_WEBHOOKS_ALLOW_PRIVATE", "127.0.0.0/8");

/// How long everything may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// A receiver on this machine.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<(String, Value)>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (got, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU16::new(204)));
        let (kept, answer) = (Arc::clone(&got), Arc::clone(&status));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept, answer) = (stream.unwrap(), Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut text = Vec::new();
                    let mut piece = [0; 8192];
                    let message = loop {
                        match stream.read(&mut piece) {
                            Ok(read) if read > 0 => text.extend_from_slice(&piece[..read]),
                            _ => return,
                        }
                        let so_far = String::from_utf8_lossy(&text).into_owned();
                        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
                        if let Ok(body) = serde_json::from_str::<Value>(body) {
                            let id = head.lines().find_map(|line| line.strip_prefix("webhook-id: "));
                            break (id.unwrap_or_default().to_owned(), body);
                        }
                    };
                    kept.lock().unwrap().push(message);
                    std::thread::sleep(delay);
                    let answer =
                        format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", answer.load(Ordering::SeqCst));
                    let _ = stream.write_all(answer.as_bytes());
                });
            }
        });
        Self { port, got, status }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks", self.port)
    }

    fn got(&self) -> Vec<(String, Value)> {
        self.got.lock().unwrap().clone()
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The same site, whose commands may reach this machine.
fn run(site: &Site, arguments: &[&str]) -> crate::site::Ran {
    let allowed = [arguments, &["--set", "webhooks.allow_private=127.0.0.0/8"]].concat();
    site.run(&allowed)
}

fn listed(site: &Site) -> Value {
    run(site, &["webhook", "list"]).json()[0].clone()
}

fn deliveries(site: &Site, state: &str) -> Vec<Value> {
    run(site, &["webhook", "deliveries", "crm", "--state", state]).json().as_array().unwrap().clone()
}

fn an_endpoint_is_administered_with_commands(site: &Site) {
    let site = &with_key(site);
    let receiver = Receiver::start(Duration::ZERO);
    let url = receiver.url();
    site.run(&["webhook", "add", "crm", &url]).fails(2, "must begin with `https://`");
    run(site, &["webhook", "add", "CRM", &url]).fails(2, "lowercase");
    run(site, &["webhook", "add", "crm", &url, "--event", "user_created"]).fails(2, "no events of the type");
    let added = run(site, &["webhook", "add", "crm", &url, "--event", "user.created"]).json();
    assert!(added["secret"].as_str().unwrap().starts_with("whsec_"), "{added}");
    run(site, &["webhook", "add", "crm", &url]).fails(1, "already");
    let webhook = listed(site);
    assert_eq!((&webhook["state"], &webhook["events"]), (&json!("enabled"), &json!(["user.created"])));
    assert!(!webhook.to_string().contains("whsec_"), "{webhook}");
    let tested = run(site, &["webhook", "test", "crm"]).json();
    assert_eq!((&tested["status"], tested["id"].as_str()), (&json!(204), Some(receiver.got()[0].0.as_str())));
    assert_eq!(receiver.got()[0].1["type"], "webhook.test");
    receiver.status.store(500, Ordering::SeqCst);
    run(site, &["webhook", "test", "crm"]).fails(1, "answered the test with 500");
    receiver.status.store(204, Ordering::SeqCst);

    site.user("ada");
    let waiting = deliveries(site, "queued");
    assert_eq!(
        (waiting.len(), &waiting[0]["type"], &waiting[0]["attempts"]),
        (1, &json!("user.created"), &json!(0))
    );
    let id = waiting[0]["id"].as_str().unwrap();
    assert_eq!(run(site, &["webhook", "redeliver", "crm", id]).json()["redelivered"], 1);
    assert_eq!(run(site, &["webhook", "redeliver", "crm", "--failed"]).json()["redelivered"], 0);
    run(site, &["webhook", "redeliver", "crm"]).fails(2, "required");
    let service = Service::start_with(site, free_port(), &[ALLOW]);
    eventually("the message arrives", || deliveries(site, "delivered").len() == 1);
    assert!(service.terminate().0.success());

    run(site, &["webhook", "disable", "crm"]).json();
    site.user("bob");
    assert!(deliveries(site, "queued").is_empty(), "nothing is kept for an endpoint that is disabled");
    let report = site.run(&["doctor"]).value().to_string();
    assert!(report.contains("`crm` is disabled: disabled by an operator"), "{report}");
    assert!(report.contains("nobody is told"), "{report}");
    run(site, &["webhook", "enable", "crm"]).json();
    let rotated = run(site, &["webhook", "rotate-secret", "crm"]).json();
    assert_ne!(rotated["secret"], added["secret"]);
    assert!(listed(site)["former_secret_until"].is_string());
    run(site, &["webhook", "remove", "crm", "--yes"]).json();
    for command in ["test", "enable", "disable", "rotate-secret", "deliveries"] {
        run(site, &["webhook", command, "crm"]).fails(3, "there is no webhook `crm`");
    }
}

/// On SQLite the secret key is beside the database once the service has run; here nobody waits for that.
fn with_key(site: &Site) -> Site {
    let mut copy = Site::empty();
    for (name, value) in site.environment() {
        copy = copy.env(name, value);
    }
    let copy = copy.env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    copy.run(&["migrate"]).succeeds();
    copy
}

#[test]
fn endpoints_can_be_declared_and_their_secret_can_be_in_a_file() {
    let receiver = Receiver::start(Duration::ZERO);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let file = format!(
        "[webhooks]\nallow_private = [\"127.0.0.0/8\"]\n[webhooks.endpoints.crm]\nurl = \"{}\"\n\
         events = [\"user.created\"]\nsecret_file = \"secret\"\n",
        receiver.url()
    );
    let site = Site::empty().file("doorwarden.toml", &file).file("secret", secret);
    let service = Service::start(&site, free_port());
    let webhook = site.run(&["webhook", "list"]).json()[0].clone();
    assert_eq!((&webhook["declared"], &webhook["events"]), (&json!(true), &json!(["user.created"])));
    site.run(&["webhook", "rotate-secret", "crm"]).fails(1, "declared in the configuration");
    site.user("ada");
    eventually("the message arrives", || receiver.got().len() == 1);
    assert!(service.terminate().0.success());
    let shown = site.run(&["config"]).succeeds().stdout;
    assert!(shown.contains("webhooks.endpoints.crm.url") && !shown.contains("whsec_"), "{shown}");
    for (text, message) in [
        ("url = \"https://example.com\"", "needs a `secret`"),
        ("secret = \"whsec_AAAA\"\nurl = \"https://example.com\"", "must have 24 to 64 bytes"),
        ("secret_file = \"secret\"", "needs a `url`"),
        (
            "url = \"https://example.com\"\nsecret_file = \"secret\"\nevents = [\"a.b\"]",
            "no events of the type",
        ),
        ("url = \"https://example.com\"\nsecret_file = \"secret\"\nretry = true", "unknown key"),
    ] {
        let site = Site::empty().file("secret", secret);
        let site = site.file("doorwarden.toml", &format!("[webhooks.endpoints.crm]\n{text}\n"));
        site.run(&["config"]).fails(78, message);
    }
    let site = Site::empty().file("secret", secret);
    let private = "[webhooks.endpoints.crm]\nurl = \"https://127.0.0.1\"\nsecret_file = \"secret\"\n";
    let site = site.file("doorwarden.toml", private);
    site.run(&["serve", "--listen", "127.0.0.1:0"])
        .fails(78, "the URL of webhook `crm` 127.0.0.1 is not an address");
    assert!(site.run(&["doctor"]).value().to_string().contains("the URL of `webhooks.endpoints.crm`"));
}

/// People register with one instance or the other, until so many have; returns how many were acknowledged.
fn register(ports: [u16; 2], count: usize) -> usize {
    let mut acknowledged = 0;
    for number in 0..count {
        let body = format!(
            r#"{{"email": "n{number}@example.com", "username": "n{number}", "password": "correct horse battery"}}"#
        );
        for attempt in number.. {
            match call(ports[attempt % 2], "POST", "/registration", "", &body) {
                Ok((201, _)) => acknowledged += 1,
                Ok((503, answer)) if !answer.contains("account_created") => continue,
                Ok((503, _)) => {}
                Ok((_, answer)) => panic!("{answer}"),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                // It may have happened.
                Err(_) => {}
            }
            break;
        }
    }
    acknowledged
}

/// The ids of the messages about each user, in the order in which they came.
fn by_user(got: &[(String, Value)]) -> BTreeMap<i64, Vec<(String, String)>> {
    let mut by_user: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (id, body) in got {
        let kind = body["type"].as_str().unwrap().to_owned();
        by_user.entry(body["data"]["user_id"].as_i64().unwrap()).or_default().push((id.clone(), kind));
    }
    by_user
}

const TYPES: [&str; 2] = ["user.created", "session.opened"];

fn two(site: &Site, receiver: &Receiver) -> [Service; 2] {
    let types = TYPES.map(|kind| ["--event", kind]).concat();
    run(site, &[&["webhook", "add", "crm", &receiver.url()][..], &types].concat()).json();
    [(); 2].map(|()| Service::start_with(site, free_port(), &[ALLOW]))
}

fn two_instances_send_each_message_once(site: &Site) {
    let site = &with_key(site);
    let (receiver, count) = (Receiver::start(Duration::from_millis(5)), drill().rounds(30, 500));
    let instances = two(site, &receiver);
    assert_eq!(register([instances[0].port, instances[1].port], count), count);
    eventually("everything arrives", || deliveries(site, "queued").is_empty());
    for instance in instances {
        assert!(instance.terminate().0.success());
    }
    let got = receiver.got();
    assert_eq!(got.len(), 2 * count);
    for (user, messages) in by_user(&got) {
        let kinds: Vec<_> = messages.iter().map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(kinds, TYPES, "{user}");
    }
}

fn a_killed_instance_loses_no_message_and_repeats_under_the_same_id(site: &Site) {
    let site = &with_key(site);
    let (receiver, count) = (Receiver::start(Duration::from_millis(20)), drill().rounds(30, 500));
    let [killed, survivor] = two(site, &receiver);
    let ports = [killed.port, survivor.port];
    let acknowledged = std::thread::scope(|scope| {
        let people = scope.spawn(|| register(ports, count));
        eventually("messages arrive", || receiver.got().len() > count / 3);
        killed.kill();
        people.join().unwrap()
    });
    eventually("everything arrives", || deliveries(site, "queued").is_empty());
    assert!(survivor.terminate().0.success());
    let (mut whole, mut cut, mut twice, mut sent) = (0, 0, 0, 0);
    for (user, messages) in by_user(&receiver.got()) {
        let mut once = messages.clone();
        once.dedup();
        (twice, sent) = (twice + messages.len() - once.len(), sent + once.len());
        let kinds: Vec<_> = once.iter().map(|(_, kind)| kind.as_str()).collect();
        // The one that was in progress, and was not acknowledged, may have ended before its session.
        let is_whole = kinds == TYPES;
        assert!(is_whole || kinds == TYPES[..1], "{user}: {messages:?}");
        (whole, cut) = (whole + usize::from(is_whole), cut + usize::from(!is_whole));
    }
    assert!(whole >= acknowledged && acknowledged >= count - 1, "{whole} of {acknowledged}");
    assert!(cut <= 1, "{cut} registrations without a session, and one was in progress");
    let delivered = deliveries(site, "delivered").len();
    assert_eq!(delivered, sent, "what is said to be delivered was");
    assert!(twice <= 8, "{twice}");
    eprintln!("{acknowledged} registrations acknowledged, {delivered} messages, none lost, {twice} twice");
}
