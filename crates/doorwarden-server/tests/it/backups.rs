//! Backups, and what a restore ends.

use crate::service::{Service, free_port};
use crate::site::{SECRET_KEY, Site};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

fn body(name: &str) -> String {
    format!(r#"{{"email": "{name}@example.com", "username": "{name}", "password": "correct horse battery"}}"#)
}

fn json(answer: Option<(u16, String)>) -> Value {
    let (_, text) = answer.unwrap();
    serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// Registers a user; returns the token and the id.
fn register(service: &Service, name: &str) -> (String, i64) {
    let token =
        json(service.call("POST", "/registration", "", &body(name)))["token"].as_str().unwrap().to_owned();
    let id = json(service.call("GET", "/me", &token, ""))["id"].as_i64().unwrap();
    (token, id)
}

#[test]
fn a_backup_of_a_running_service_is_restored_and_ends_later_sessions() {
    let site = Site::empty();
    let service = Service::start(&site, free_port());
    let (jane, _) = register(&service, "jane");
    site.run(&["backup", "copy.db"]).succeeds();
    let mode = std::fs::metadata(site.path("copy.db")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let before = std::fs::read(site.path("copy.db")).unwrap();
    site.run(&["backup", "copy.db"]).fails(69, "not overwritten");
    assert_eq!(std::fs::read(site.path("copy.db")).unwrap(), before);
    let (_, late) = register(&service, "late");

    site.run(&["restore", "copy.db", "--yes"]).fails(69, &format!("PID {}", service.pid()));
    assert_eq!(service.status("POST", "/login", &body("late")), Some(200), "nothing was touched");
    service.kill();
    site.run(&["restore", "copy.db"]).fails(2, "--yes");
    let done = site.run(&["restore", "copy.db", "--yes"]).json();
    assert_eq!(done["ended_sessions"], 1);
    assert!(done["revoked_keys"].as_u64().unwrap() >= 1, "{done}");

    let service = Service::start(&site, free_port());
    assert_eq!(service.call("GET", "/me", &jane, "").unwrap().0, 401, "sessions of the copy have ended");
    assert_eq!(service.status("POST", "/login", &body("jane")), Some(200));
    assert_eq!(service.status("POST", "/login", &body("late")), Some(400));
    let (_, new) = register(&service, "new");
    assert!(new > late, "{new} is nobody's id who came after the copy ({late})");
    drop(service);
    let kept = done["kept"].as_str().unwrap();
    let former = rusqlite::Connection::open(site.path(kept)).unwrap();
    let names = "SELECT group_concat(username) FROM users";
    let names = former.query_row(names, (), |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(names, "jane,late", "what was there is kept, its log included");
}

#[test]
fn a_restore_can_keep_the_sessions() {
    let site = Site::empty().env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    let service = Service::start(&site, free_port());
    let (jane, _) = register(&service, "jane");
    site.run(&["backup", "copy.db"]).succeeds();
    assert!(service.terminate().0.success());
    site.run(&["restore", "copy.db", "--keep-sessions", "--yes"]).succeeds();
    let service = Service::start(&site, free_port());
    assert_eq!(service.call("GET", "/me", &jane, "").unwrap().0, 200);
}

#[test]
fn a_restored_backup_works_without_the_previous_secret_key() {
    let site = Site::empty();
    let service = Service::start(&site, free_port());
    let (jane, _) = register(&service, "jane");
    site.run(&["backup", "copy.db"]).succeeds();
    drop(service);
    let elsewhere = Site::empty();
    std::fs::copy(site.path("copy.db"), elsewhere.path("copy.db")).unwrap();
    elsewhere.run(&["restore", "copy.db", "--yes"]).succeeds();
    let service = Service::start(&elsewhere, free_port());
    assert_eq!(service.status("POST", "/login", &body("jane")), Some(200));
    assert_eq!(service.call("GET", "/me", &jane, "").unwrap().0, 401);
    assert_eq!(elsewhere.run(&["doctor"]).value()["errors"], 0);
}

#[test]
fn an_incomplete_backup_is_refused_and_nothing_is_changed() {
    let site = Site::sqlite();
    let before = std::fs::read(site.path("doorwarden.db")).unwrap();
    let site = site.file("letter", &"a letter, longer than any header of a database. ".repeat(100));
    site.run(&["restore", "letter", "--yes"]).fails(69, "letter");
    rusqlite::Connection::open(site.path("foreign.db")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    site.run(&["restore", "foreign.db", "--yes"]).fails(1, "no Doorwarden accounts");
    site.run(&["restore", "missing.db", "--yes"]).fails(69, "file `missing.db` not found");
    site.run(&["backup", "no/folder/copy.db"]).fails(69, "no/folder");
    assert_eq!(std::fs::read(site.path("doorwarden.db")).unwrap(), before);
    let left: Vec<_> =
        std::fs::read_dir(site.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains(".restore-")), "{left:?}");
}

#[test]
fn doctor_finds_a_damaged_index() {
    let site = Site::sqlite();
    site.user("ada");
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'users_username_prefix'";
    let database = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
    let page = usize::from(database.query_row(root, (), |row| row.get::<_, u16>(0)).unwrap());
    drop(database);
    let mut bytes = std::fs::read(site.path("doorwarden.db")).unwrap();
    let page = &mut bytes[(page - 1) * 4096..page * 4096];
    let at = page.windows(3).position(|key| key == b"ada").unwrap();
    page[at] = b'b';
    std::fs::write(site.path("doorwarden.db"), bytes).unwrap();
    let report = site.run(&["doctor"]);
    assert_eq!(report.code, Some(1), "{report:?}");
    assert!(report.stdout.contains("the database is damaged"), "{report:?}");
}

#[test]
fn restored_completes_a_restore_on_postgres() {
    let Some(site) = Site::postgres() else { return };
    site.run(&["backup", "copy"]).fails(2, "pg_dump");
    site.run(&["restore", "copy", "--yes"]).fails(2, "pg_restore");
    let service = Service::start(&site, free_port());
    let (jane, first) = register(&service, "jane");
    site.run(&["restored"]).fails(2, "--yes");
    let done = site.run(&["restored", "--yes"]).json();
    assert_eq!(done["ended_sessions"], 1);
    let began = std::time::Instant::now();
    while service.call("GET", "/me", &jane, "").unwrap().0 != 401 {
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "a service that runs hears of it");
    }
    let (_, second) = register(&service, "new");
    assert!(second > first + 1_000_000);
}
