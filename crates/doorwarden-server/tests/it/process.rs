//! The process and its surroundings: a log that is not read, few open files, a database that starts late.

use crate::service::{Service, free_port, send};
use crate::site::{SECRET_KEY, Site};
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::io::{PipeReader, Write, pipe};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const JANE: &str =
    r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;

/// A service that logs everything.
fn talkative(log: Stdio) -> (Site, Service) {
    let site = Site::empty().env("DOORWARDEN_LOG_LEVEL", "trace");
    let service = Service::start_as(&site, free_port(), &[], log);
    (site, service)
}

fn unread() -> (PipeReader, Stdio) {
    let (reader, writer) = pipe().unwrap();
    (reader, writer.into())
}

/// The service responds, and stops on SIGTERM.
fn works(service: Service) {
    assert_eq!(service.status("POST", "/registration", JANE), Some(201));
    for _ in 0..100 {
        assert_eq!(service.status("POST", "/login", "{}"), Some(400));
    }
    let (ended, took) = service.terminate();
    assert!(ended.success() && took < Duration::from_secs(8), "{ended} after {took:?}");
}

#[test]
fn a_log_on_a_full_disk_changes_nothing() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_site, service) = talkative(full.into());
    works(service);
}

#[test]
fn a_log_whose_reader_is_gone_changes_nothing() {
    let (reader, log) = unread();
    let (_site, service) = talkative(log);
    drop(reader);
    works(service);
}

#[test]
fn a_log_whose_reader_stalls_changes_nothing() {
    let (_reader, log) = unread();
    let (_site, service) = talkative(log);
    works(service);
}

#[test]
fn lost_log_lines_are_counted() {
    let metrics = free_port();
    let site = Site::empty().env("DOORWARDEN_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let service = Service::start_as(&site, free_port(), &[], full.into());
    assert_eq!(service.status("GET", "/healthz", ""), Some(200));
    let (_, text) = crate::service::call(metrics, "GET", "/metrics", "", "").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("doorwarden_log_lines_lost_total "));
    assert!(line.is_some_and(|count| count.parse::<u64>().unwrap() > 0), "{text}");
}

#[test]
fn a_command_with_a_closed_standard_error_still_succeeds_or_fails_correctly() {
    let site = Site::sqlite();
    for (arguments, code) in
        [(&["user", "show", "nobody@example.com"][..], 3), (&["config"], 0), (&["nonsense"], 2)]
    {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = site.command(arguments);
        command.env("DOORWARDEN_UNKNOWN", "so there is a warning");
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_low_limit_of_open_files_allows_fewer_connections_and_the_database_still_works() {
    let site = Site::empty();
    let log = OpenOptions::new().create(true).append(true).open(site.path("log")).unwrap();
    let service = Service::start_as(&site, free_port(), &["/usr/bin/prlimit", "--nofile=64"], log.into());
    let mut idle: Vec<_> =
        (0..100).map(|_| TcpStream::connect(("127.0.0.1", service.port)).unwrap()).collect();
    // A queued connection is served when another one closes.
    let request = format!(
        "POST /registration HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{JANE}",
        JANE.len()
    );
    idle[0].write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    idle[0].set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::io::Read::read_exact(&mut idle[0], &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    drop(idle);
    assert_eq!(service.status("POST", "/login", JANE), Some(200));
    let log = std::fs::read_to_string(site.path("log")).unwrap();
    assert!(
        log.contains("this process may open only 64 files") && !log.contains("failed to accept"),
        "{log}"
    );
    assert!(service.terminate().0.success());
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_limit() {
    let site = Site::empty();
    let log = OpenOptions::new().create(true).append(true).open(site.path("log")).unwrap();
    let service =
        Service::start_as(&site, free_port(), &["/usr/bin/prlimit", "--nofile=64:4000"], log.into());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("4000"), "{line}");
}

#[test]
fn a_second_signal_ends_the_service_immediately() {
    let site = Site::empty();
    let service = Service::start(&site, free_port());
    // Half of a body: the request stays open.
    let mut half = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    half.write_all(
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    send(&service.child, Signal::INT);
    std::thread::sleep(Duration::from_millis(200));
    let (ended, _) = service.terminate();
    assert!(ended.success() && began.elapsed() < Duration::from_secs(5), "{ended}");
}

/// A service on a PostgreSQL server behind this port, and its log.
fn behind(site: &Site, port: u16) -> (Child, PathBuf) {
    let log = site.path("late");
    let written = OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let url = format!("postgres://nobody:hunter2@127.0.0.1:{port}/nowhere");
    let url = site.environment().get("DOORWARDEN_DATABASE_URL").map_or(url, |url| {
        let (server, database) = url.rsplit_once('/').unwrap();
        format!("{}:{port}/{database}", server.rsplit_once(':').unwrap().0)
    });
    let mut command = site.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("DOORWARDEN_METRICS_LISTEN", "off").env("DOORWARDEN_DATABASE_URL", url);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(written).spawn().unwrap();
    (child, log)
}

#[track_caller]
fn says(log: &Path, text: &str) {
    let began = Instant::now();
    while !std::fs::read_to_string(log).unwrap().contains(text) {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", std::fs::read_to_string(log).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_service_waiting_for_its_database_logs_it_and_stops_on_a_signal() {
    let site = Site::empty().env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    let (mut child, log) = behind(&site, free_port());
    says(&log, "waiting up to 60 s for the database: the database is not available");
    send(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
    assert!(!std::fs::read_to_string(&log).unwrap().contains("hunter2"));
}

#[test]
fn a_service_started_before_its_database_waits_for_it() {
    let Some(site) = Site::empty_postgres() else { return };
    let url = &site.environment()["DOORWARDEN_DATABASE_URL"];
    let server = url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let port = free_port();
    let (mut child, log) = behind(&site, port);
    says(&log, "waiting up to 60 s");
    let late = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for client in late.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            for (mut from, mut to) in [(&client, &server), (&server, &client)]
                .map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap()))
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    says(&log, "listening");
    send(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}
