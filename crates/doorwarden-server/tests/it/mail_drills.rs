//! The outbox of two instances: every mail arrives, each is sent by one of them, and a killed one loses none.

use crate::service::{Service, call, free_port};
use crate::site::{Site, on_both};
use crate::smtp::SmtpServer;
use doorwarden_testkit::drill;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Mutex;
use std::time::{Duration, Instant};

on_both! {
    two_instances_send_every_mail_once,
    a_killed_instance_loses_no_mail_and_sends_one_twice_at_most,
}

const CLIENTS: usize = 8;

/// How long all mails may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// An instance that sends its mails to this port.
fn instance(site: &Site, smtp: u16) -> Service {
    let url = SmtpServer::url(smtp);
    let variables = [
        ("DOORWARDEN_MAIL_URL", url.as_str()),
        ("DOORWARDEN_MAIL_FROM", "Example <accounts@example.org>"),
        ("DOORWARDEN_REGISTRATION_MODE", "verified"),
    ];
    Service::start_with(site, free_port(), &variables)
}

fn address(number: usize) -> String {
    format!("n{number}@example.com")
}

/// People register, with one instance or the other; each registration queues a mail. Returns the addresses
/// whose registration was acknowledged.
fn register(ports: [u16; 2], count: usize) -> BTreeSet<String> {
    let acknowledged = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let acknowledged: &Mutex<BTreeSet<_>> = &acknowledged;
            scope.spawn(move || {
                for number in (client..count).step_by(CLIENTS) {
                    if registers(ports, number) {
                        acknowledged.lock().unwrap().insert(address(number));
                    }
                }
            });
        }
    });
    acknowledged.into_inner().unwrap()
}

/// Whether this registration was acknowledged. It is not repeated if it may have been.
fn registers(ports: [u16; 2], number: usize) -> bool {
    let email = address(number);
    let body =
        format!(r#"{{"email": "{email}", "username": "n{number}", "password": "correct horse battery"}}"#);
    let began = Instant::now();
    for attempt in number.. {
        match call(ports[attempt % 2], "POST", "/registration", "", &body) {
            Ok((202, _)) => return true,
            Ok((503, _)) => {}
            Ok((_, answer)) => panic!("{answer}"),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => return false,
        }
        assert!(began.elapsed() < PATIENCE, "nobody answers");
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// The mails that arrived, as their Message-IDs by recipient.
#[derive(Default)]
struct Arrived(BTreeMap<String, Vec<String>>);

impl Arrived {
    fn read(&mut self, smtp: &SmtpServer) {
        for (to, mail) in smtp.arrived() {
            let id = mail.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap();
            self.0.entry(to).or_default().push(id.to_owned());
        }
    }

    fn total(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    fn addresses(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }
}

fn everybody(count: usize) -> BTreeSet<String> {
    (0..count).map(address).collect()
}

fn queued(site: &Site) -> Vec<Value> {
    site.run(&["mail", "list", "--state", "queued"]).json().as_array().unwrap().clone()
}

fn two_instances_send_every_mail_once(site: &Site) {
    let (port, count) = (free_port(), drill().rounds(50, 1000));
    let Some(smtp) = SmtpServer::start(port) else { return };
    let instances = [instance(site, port), instance(site, port)];
    assert_eq!(register([instances[0].port, instances[1].port], count), everybody(count));
    let (mut arrived, began) = (Arrived::default(), Instant::now());
    while arrived.total() < count || !queued(site).is_empty() {
        arrived.read(&smtp);
        assert!(began.elapsed() < PATIENCE, "{} of {count} mails arrived", arrived.total());
        std::thread::sleep(Duration::from_millis(100));
    }
    for instance in instances {
        assert!(instance.terminate().0.success());
    }
    arrived.read(&smtp);
    assert_eq!((arrived.addresses(), arrived.total()), (everybody(count), count));
    eprintln!("{count} mails, each arrived once, {:?} after the last was queued", began.elapsed());
}

fn a_killed_instance_loses_no_mail_and_sends_one_twice_at_most(site: &Site) {
    let (port, count) = (free_port(), drill().rounds(50, 1000));
    let Some(smtp) = SmtpServer::start(port) else { return };
    let (killed, survivor) = (instance(site, port), instance(site, port));
    let ports = [killed.port, survivor.port];
    let mut arrived = Arrived::default();
    let acknowledged = std::thread::scope(|scope| {
        let people = scope.spawn(|| register(ports, count));
        let began = Instant::now();
        while arrived.total() < count / 5 {
            arrived.read(&smtp);
            assert!(began.elapsed() < PATIENCE, "no mails arrive");
            std::thread::sleep(Duration::from_millis(2));
        }
        killed.kill();
        people.join().unwrap()
    });
    let (began, mut still_since) = (Instant::now(), Instant::now());
    loop {
        let (before, left) = (arrived.total(), queued(site));
        arrived.read(&smtp);
        if left.is_empty() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{left:?}");
        if arrived.total() > before {
            still_since = Instant::now();
        }
        // Nothing is being sent: what is left was claimed by the killed one, for some minutes.
        if still_since.elapsed() > Duration::from_secs(5) {
            for mail in left {
                site.run(&["mail", "retry", mail["id"].as_str().unwrap()]);
            }
            still_since = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(survivor.terminate().0.success());
    arrived.read(&smtp);
    let lost: Vec<_> = acknowledged.difference(&arrived.addresses()).cloned().collect();
    assert!(lost.is_empty() && acknowledged.len() > count / 2, "{lost:?} of {}", acknowledged.len());
    let twice: Vec<_> = arrived.0.values().filter(|ids| ids.len() > 1).collect();
    assert!(twice.len() <= 1 && arrived.total() <= arrived.addresses().len() + 1, "{twice:?}");
    assert!(twice.iter().all(|ids| ids.iter().all(|id| id == &ids[0])), "{twice:?}");
    eprintln!("{} mails acknowledged, none lost, {} twice", acknowledged.len(), twice.len());
}
