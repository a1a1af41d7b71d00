//! Durability: the service killed, its database killed, a graceful stop under load.

use crate::audit::sealed;
use crate::service::{Service, call, free_port, token_of};
use crate::site::Site;
use doorwarden_testkit::{drill, skip};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;

fn account(name: &str) -> String {
    format!(r#"{{"email": "{name}@example.com", "username": "{name}", "password": "correct horse battery"}}"#)
}

/// Clients that register accounts until they are stopped, and record every 201. Every other account logs out
/// and in again.
struct Load {
    stop: Arc<AtomicBool>,
    journal: Arc<Mutex<Vec<String>>>,
    refused: Arc<AtomicUsize>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(port: u16, round: usize) -> Self {
        let (stop, journal, refused) = (Arc::default(), Arc::default(), Arc::default());
        let clients = (0..CLIENTS).map(|client| {
            let (stop, journal, refused): (Arc<AtomicBool>, Arc<Mutex<Vec<_>>>, Arc<AtomicUsize>) =
                (Arc::clone(&stop), Arc::clone(&journal), Arc::clone(&refused));
            std::thread::spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("r{round}c{client}n{number}");
                    match call(port, "POST", "/registration", "", &account(&name)) {
                        Ok((201, answer)) => {
                            journal.lock().unwrap().push(name.clone());
                            if number % 2 == 0 {
                                let token = token_of(&answer);
                                for (path, token, done) in [("/logout", token, 204), ("/login", "", 200)] {
                                    match call(port, "POST", path, token, &account(&name)) {
                                        Ok((503, _)) | Err(_) => {}
                                        Ok((status, _)) if status == done => {}
                                        Ok((_, answer)) => {
                                            eprintln!("{answer}");
                                            refused.fetch_add(1, Ordering::Relaxed);
                                        }
                                    }
                                }
                            }
                        }
                        Ok((503, _)) | Err(_) => std::thread::sleep(Duration::from_millis(5)),
                        Ok((_, answer)) => {
                            eprintln!("{answer}");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        });
        let clients = clients.collect();
        Self { stop, journal, refused, clients }
    }

    /// Waits until an account was acknowledged, and then for `more`.
    fn runs_for(&self, more: Duration) {
        let began = Instant::now();
        while self.journal.lock().unwrap().len() < CLIENTS && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(more);
    }

    /// The acknowledged accounts. Every response was 201 or 503.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        assert_eq!(self.refused.load(Ordering::Relaxed), 0);
        std::mem::take(&mut self.journal.lock().unwrap())
    }
}

/// Every change has its event, every event its change, and every event its seal.
fn is_audited(site: &Site) {
    let users = ("SELECT id FROM users", "SELECT user_id FROM doorwarden_audit WHERE kind = 'user_created'");
    let sessions = (
        "SELECT id FROM doorwarden_sessions",
        "SELECT session_id FROM doorwarden_audit WHERE kind IN ('session_opened', 'logged_in')",
    );
    let ends = (
        "SELECT id FROM doorwarden_sessions WHERE end_reason = 'logged_out'",
        "SELECT session_id FROM doorwarden_audit WHERE kind = 'session_ended'",
    );
    for (changes, events) in [users, sessions, ends] {
        assert!(count(site, changes) > 0, "{changes}");
        assert_eq!(count(site, changes), count(site, events), "{events}");
        assert_eq!(count(site, &format!("{changes} EXCEPT {events}")), 0, "{events}");
    }
    let verified = sealed(site);
    assert_eq!(verified["findings"].as_array().map(Vec::len), Some(0), "{verified}");
    assert_eq!(verified["events"], count(site, "SELECT id FROM doorwarden_audit"), "{verified}");
    assert_eq!(
        count(site, "SELECT number FROM doorwarden_audit_seals"),
        verified["seals"],
        "no seal is missing"
    );
}

/// The number of rows of a query.
fn count(site: &Site, query: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM ({query}) AS counted");
    let Some(url) = site.environment().get("DOORWARDEN_DATABASE_URL") else {
        let database = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
        return database.query_row(&sql, (), |row| row.get(0)).unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = doorwarden_postgres::PostgresOptions::new(url).client().await.unwrap();
        client.query_one(&sql, &[]).await.unwrap().get(0)
    })
}

fn kill_under_load(site: &Site) {
    let port = free_port();
    let mut acknowledged = Vec::new();
    for round in 0..drill().rounds(3, 50) {
        let service = Service::start(site, port);
        let load = Load::start(port, round);
        load.runs_for(Duration::from_millis(37 * (round as u64 % 11)));
        service.kill();
        acknowledged.extend(load.end());
    }
    assert!(!acknowledged.is_empty(), "something was acknowledged");

    let service = Service::start(site, port);
    let users = site.run(&["user", "list", "--json"]).succeeds().json();
    let stored: Vec<&str> =
        users.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !stored.contains(&name.as_str())).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged accounts are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    // Accounts are complete: every stored user can log in.
    for name in stored.iter().rev().take(5) {
        assert_eq!(service.status("POST", "/login", &account(name)), Some(200), "{name}");
    }
    is_audited(site);
    eprintln!("{} acknowledged, none lost", acknowledged.len());
}

#[test]
fn drill_no_acknowledged_change_or_event_is_lost_when_the_service_is_killed_on_sqlite() {
    kill_under_load(&Site::sqlite());
}

#[test]
fn drill_no_acknowledged_change_or_event_is_lost_when_the_service_is_killed_on_postgres() {
    if let Some(site) = Site::postgres() {
        kill_under_load(&site);
    }
}

#[test]
fn drill_the_service_stops_gracefully_under_load() {
    let site = Site::sqlite();
    for round in 0..drill().rounds(1, 20) {
        let port = free_port();
        let service = Service::start(&site, port);
        let load = Load::start(port, 1000 + round);
        load.runs_for(Duration::from_millis(100));
        let (status, took) = service.terminate();
        assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
        let acknowledged = load.end();
        let users = site.run(&["user", "list", "--json"]).succeeds().json().to_string();
        assert!(
            !acknowledged.is_empty()
                && acknowledged.iter().all(|name| users.contains(&format!("\"{name}\"")))
        );
    }
}

/// A PostgreSQL server of its own, durable, that can be killed.
struct Server(PathBuf);

impl Server {
    fn script(operation: &str, folder: &Path) -> std::process::Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/postgres");
        Command::new(script).arg(operation).arg(folder).output().unwrap()
    }

    /// Starts or restarts the server; returns its URL.
    fn start(&self) -> Option<String> {
        let done = Self::script("start", &self.0);
        done.status.success().then(|| String::from_utf8(done.stdout).unwrap().trim().to_owned())
    }

    fn kill(&self) {
        assert!(Self::script("kill", &self.0).status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        Self::script("stop", &self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn drill_a_killed_database_is_reported_at_once_and_survived_without_a_restart() {
    let server = Server(std::env::temp_dir().join(format!("doorwarden-killed-{}", std::process::id())));
    let Some(url) = server.start() else {
        return skip("drill_a_killed_database", "scripts/postgres could not start a server");
    };
    let site = Site::empty().env("DOORWARDEN_DATABASE_URL", &url);
    let site = site.env("DOORWARDEN_SECRET_KEY", "a secret key for tests, long enough");
    let service = Service::start(&site, free_port());
    let mut acknowledged = 0;
    for round in 0..drill().rounds(1, 50) {
        let name = format!("jane{round}");
        let (status, answer) = service.call("POST", "/registration", "", &account(&name)).unwrap();
        assert_eq!(status, 201, "{answer}");
        acknowledged += 1;
        let token = token_of(&answer);
        assert_eq!(service.call("GET", "/me", token, "").unwrap().0, 200);
        let login = service.call("POST", "/login", "", &account(&name)).unwrap().1;
        let second = token_of(&login);
        assert_eq!(service.call("POST", "/logout", second, "").unwrap().0, 204);

        server.kill();
        std::thread::sleep(Duration::from_millis(500));
        for (method, path, body) in [
            ("GET", "/me", String::new()),
            ("POST", "/login", account(&name)),
            ("GET", "/readyz", String::new()),
        ] {
            let began = Instant::now();
            let (status, answer) = service.call(method, path, token, &body).unwrap();
            assert_eq!(status, 503, "{path} {answer}");
            assert!(began.elapsed() < Duration::from_secs(2), "{path} took {:?}", began.elapsed());
            assert!(path == "/readyz" || answer.contains("retry-after: "), "{answer}");
        }
        assert_eq!(service.status("GET", "/healthz", ""), Some(200));

        server.start().unwrap();
        let began = Instant::now();
        while service.call("GET", "/me", token, "").unwrap().0 != 200 {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not recover");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let users = site.run(&["user", "list", "--json"]).succeeds().json();
    assert_eq!(users.as_array().unwrap().len(), acknowledged);
    is_audited(&site);
}
