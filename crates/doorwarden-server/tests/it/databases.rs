//! Database URLs, and the ownership and modes of database files.

use crate::migrate::by_hand;
use crate::service::{Service, free_port};
use crate::site::{SECRET_KEY, Site};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

const JANE: &str =
    r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;

fn names(site: &Site) -> Vec<String> {
    let entries = std::fs::read_dir(site.folder()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_ambiguous_database_url_is_refused_and_nothing_is_created() {
    let site = Site::empty();
    for (url, message) in [
        ("sqlite::memory:", "must name a file"),
        ("sqlite://:memory:", "must name a file"),
        ("sqlite://app.db?mode=memory", "must name a file"),
        ("sqlite://app.db?mode=ro", "mode=ro"),
        ("sqlite://app.db?mode=rwc&cache=shared", "\"cache\""),
        ("sqlite://app.db?immutable=1", "\"immutable\""),
        ("sqlite://app%zz.db", "%25"),
        ("mysql://h/d", "sqlite://"),
    ] {
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["user", "list"]] {
            let arguments = [command, &["--database-url", url]].concat();
            site.run(&arguments).fails(78, message);
        }
        let ran = site.run(&["import", "django", "--from", url]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(message), "{ran:?}");
        assert_eq!(names(&site), [""; 0], "{url}");
    }
    let absent = site.run(&["migrate", "--database-url", "sqlite://app.db?mode=rw"]);
    absent.fails(69, "mode=rw");
    let service =
        site.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite://app.db?mode=rw"]);
    service.fails(69, "mode=rw");
    assert_eq!(names(&site), [""; 0]);
}

#[test]
fn urls_of_other_programs_are_understood() {
    let site = Site::empty();
    site.run(&["migrate", "--database-url", "sqlite://my%20app.db?mode=rwc"]).succeeds();
    site.run(&["migrate", "--check", "--database-url", "sqlite://my app.db?mode=rw"]).succeeds();
    assert_eq!(names(&site), ["my app.db"]);
}

#[test]
fn a_database_that_an_earlier_version_named_differently_is_found() {
    let site = Site::empty().env("DOORWARDEN_DATABASE_URL", "sqlite://app.db?mode=rwc");
    site.run(&["migrate", "--database-url", "sqlite://app.db%3Fmode=rwc"]).succeeds();
    site.run(&["serve", "--listen", "127.0.0.1:0"]).fails(78, "app.db?mode=rwc");
    assert_eq!(names(&site), ["app.db?mode=rwc"]);
    let found = site.run(&["doctor"]).stdout;
    assert!(found.contains("an earlier version"), "{found}");
    std::fs::rename(site.path("app.db?mode=rwc"), site.path("app.db")).unwrap();
    let sound = site.run(&["doctor"]).stdout;
    assert!(!sound.contains("an earlier version"), "{sound}");
}

/// Gives the files to a group, as some container volumes do.
#[test]
fn modes_of_group_accessible_files_are_corrected_and_the_service_starts() {
    let site = Site::empty();
    let first = Service::start(&site, free_port());
    assert_eq!(first.status("POST", "/registration", JANE), Some(201));
    drop(first);
    let files = ["doorwarden.db", "doorwarden.db-wal", "doorwarden.db-shm", "doorwarden.db.secret"];
    for name in files {
        if let Ok(metadata) = std::fs::metadata(site.path(name)) {
            let mode = metadata.permissions().mode() | 0o060;
            std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    let second = Service::start(&site, free_port());
    assert_eq!(second.status("POST", "/login", JANE), Some(200));
    for name in files {
        let mode = std::fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name} is {mode:o}");
    }
    let log = std::fs::read_to_string(site.path("log")).unwrap();
    assert!(log.contains("doorwarden.db.secret") && log.contains("could use this file"), "{log}");
}

#[test]
fn a_second_service_on_one_file_is_reported_with_the_pid_of_the_first() {
    let site = Site::empty();
    let first = Service::start(&site, free_port());
    let log = || std::fs::read_to_string(site.path("log")).unwrap();
    assert!(!log().contains("already uses this database"), "{}", log());
    let second = Service::start(&site, free_port());
    let said = format!("another process (PID {}) already uses this database", first.pid());
    assert!(log().contains(&said), "{said}\n{}", log());
    assert_eq!(second.status("POST", "/registration", JANE), Some(201), "during an upgrade both work");
    assert_eq!(first.status("POST", "/login", JANE), Some(200));
}

#[test]
fn a_created_directory_is_reported_and_a_path_without_parent_is_refused() {
    let site = Site::empty();
    let made = site.run(&["migrate", "--database-url", "sqlite://data/app.db"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stderr.contains("made the folder") && made.stderr.contains("data"), "{made:?}");
    let mode = std::fs::metadata(site.path("data")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    site.run(&["migrate", "--database-url", "sqlite://data/app.db"]).succeeds();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
        let arguments = [command, &["--database-url", "sqlite://typo/data/app.db"]].concat();
        site.run(&arguments).fails(69, "missing");
    }
    assert_eq!(names(&site), ["data"]);
}

#[test]
fn instances_on_postgres_are_warned_that_they_need_one_issuer() {
    let Some(site) = Site::postgres() else { return };
    let warning = "`tokens.issuer` is not set";
    let log = |site: &Site| std::fs::read_to_string(site.path("log")).unwrap();
    let first = Service::start(&site, free_port());
    assert!(log(&site).contains(warning), "{}", log(&site));
    drop(first);
    assert!(site.run(&["doctor"]).stdout.contains("set `tokens.issuer`"));
    std::fs::remove_file(site.path("log")).unwrap();
    let site = site.env("DOORWARDEN_TOKENS_ISSUER", "https://id.example.com");
    let _second = Service::start(&site, free_port());
    assert!(!log(&site).contains(warning), "{}", log(&site));
    assert!(!site.run(&["doctor"]).stdout.contains("set `tokens.issuer`"));
}

#[test]
fn a_wrong_password_or_database_ends_the_start_immediately() {
    let Some(site) = Site::empty_postgres() else { return };
    let url = &site.environment()["DOORWARDEN_DATABASE_URL"];
    let (name, rest) = url.rsplit_once('@').unwrap();
    for (url, hint) in [
        (format!("{name}x@{rest}"), "user or password in the database URL is wrong"),
        (format!("{url}_absent"), "createdb makes one"),
    ] {
        for migrates in ["true", "false"] {
            let began = Instant::now();
            let arguments = ["serve", "--listen", "127.0.0.1:0", "--database-url", &url];
            let mut command = site.command(&arguments);
            command.env("DOORWARDEN_MIGRATE", migrates);
            let ran = command.stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8(ran.stderr).unwrap();
            assert_eq!(ran.status.code(), Some(69), "{said}");
            assert!(said.contains(hint) && !said.contains("waiting"), "{said}");
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        }
    }
}

#[test]
fn a_reachable_service_is_warned_about_a_derived_issuer() {
    let log = |site: &Site| std::fs::read_to_string(site.path("log")).unwrap();
    let site = Site::empty();
    drop(Service::start(&site, free_port()));
    assert!(!log(&site).contains("tokens.issuer"), "{}", log(&site));
    let port = free_port();
    let everywhere = format!("0.0.0.0:{port}");
    let site = site.env("DOORWARDEN_METRICS_LISTEN", "off");
    let mut service = site.command(&["serve", "--listen", &everywhere]);
    let file = std::fs::File::create(site.path("log")).unwrap();
    let child = service.stdout(Stdio::null()).stderr(file).spawn().unwrap();
    let _service = Service { port, child };
    let began = Instant::now();
    while !log(&site).contains("`tokens.issuer` is not set") {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", log(&site));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_copy_next_to_the_log_of_a_killed_service_is_refused() {
    let site = Site::empty().env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    let put = |copy: &str| std::fs::copy(site.path(copy), site.path("doorwarden.db")).unwrap();
    site.run(&["migrate"]).succeeds();
    std::fs::copy(site.path("doorwarden.db"), site.path("copy")).unwrap();
    let service = Service::start(&site, free_port());
    assert_eq!(service.status("POST", "/registration", JANE), Some(201));
    service.kill();
    let log = std::fs::read(site.path("doorwarden.db-wal")).unwrap();
    let killed = std::fs::read(site.path("doorwarden.db")).unwrap();
    assert!(!log.is_empty());
    put("copy");
    site.run(&["serve", "--listen", "127.0.0.1:0"]).fails(69, "doorwarden restore");
    site.run(&["user", "list"]).fails(69, "doorwarden restore");

    // Restarting on the files as the kill left them is not a replacement.
    std::fs::write(site.path("doorwarden.db"), killed).unwrap();
    std::fs::write(site.path("doorwarden.db-wal"), log).unwrap();
    let again = Service::start(&site, free_port());
    assert_eq!(again.status("POST", "/login", JANE), Some(200));
}

/// While another program holds a lock, such as a migration of the application, a user who is not in the cache
/// gets the status `unknown`.
fn a_lock(site: &Site, unknown: u16, lock: impl FnOnce(), release: impl FnOnce()) {
    let service = Service::start(site, free_port());
    let me = |token: &str| service.call("GET", "/me", token, "").unwrap().0;
    let issue = |name: &str| {
        site.run(&["token", "issue", &site.user(name)]).json()["token"].as_str().unwrap().to_owned()
    };
    let (known, other) = (issue("known"), issue("other"));
    assert_eq!(me(&known), 200);
    lock();
    let register = || {
        let began = Instant::now();
        assert_eq!(service.status("POST", "/registration", JANE), Some(503));
        began.elapsed() < Duration::from_secs(2)
    };
    assert!((0..3).any(|_| register()), "not even once of three times, which a busy machine may need");
    assert_eq!(me(&known), 200, "from memory");
    assert_eq!(me(&other), unknown, "from the database");
    assert_eq!(service.status("GET", "/healthz", ""), Some(200));
    release();
    let began = Instant::now();
    while service.status("POST", "/registration", JANE) != Some(201) {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not recover");
    }
    assert_eq!((me(&other), service.status("GET", "/readyz", "")), (200, Some(200)));
}

/// In WAL mode, locks of other programs do not block readers.
#[test]
fn a_lock_on_sqlite_delays_writers_only_briefly() {
    let site = Site::sqlite();
    let other = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
    a_lock(
        &site,
        200,
        || other.execute_batch("BEGIN EXCLUSIVE").unwrap(),
        || other.execute_batch("ROLLBACK").unwrap(),
    );
}

#[test]
fn a_lock_on_postgres_delays_requests_only_briefly() {
    let Some(site) = Site::postgres() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let url = site.environment()["DOORWARDEN_DATABASE_URL"].clone();
    let client = runtime.block_on(doorwarden_postgres::PostgresOptions::new(url).client()).unwrap();
    let run = |sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    a_lock(&site, 503, || run("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE"), || run("ROLLBACK"));
}

#[test]
fn each_database_failure_is_logged_once_a_minute() {
    for site in [Some(Site::sqlite()), Site::postgres()].into_iter().flatten() {
        let pair = site.run(&["token", "issue", "--pair", &site.user("joan")]).json();
        let refresh = format!(r#"{{"refresh": {}}}"#, pair["refresh"]);
        let service = Service::start(&site, free_port());
        let gone = "ALTER TABLE users RENAME TO gone; ALTER TABLE doorwarden_sessions RENAME TO ended";
        match site.environment().get("DOORWARDEN_DATABASE_URL") {
            Some(url) => by_hand(url, gone),
            None => {
                rusqlite::Connection::open(site.path("doorwarden.db")).unwrap().execute_batch(gone).unwrap();
            }
        }
        for _ in 0..5 {
            assert_eq!(service.status("POST", "/login", JANE), Some(503));
            assert_eq!(service.status("POST", "/token/refresh", &refresh), Some(503));
        }
        let log = std::fs::read_to_string(site.path("log")).unwrap();
        for table in ["users", "doorwarden_sessions"] {
            let said = |line: &&str| line.contains("the database is not available") && line.contains(table);
            assert_eq!(log.lines().filter(said).count(), 1, "{log}");
        }
    }
}

#[test]
fn a_clock_that_differs_from_the_database_by_30_s_is_refused() {
    let Some(site) = Site::postgres() else { return };
    let url = site.environment()["DOORWARDEN_DATABASE_URL"].clone();
    // Shadows PostgreSQL's own function, so that the database's clock differs.
    by_hand(
        &url,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$",
    );
    let set = |seconds: i32| {
        let clock = format!(
            "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
             AS 'SELECT pg_catalog.clock_timestamp() + make_interval(secs => {seconds})'"
        );
        by_hand(&url, &clock);
    };
    for seconds in [35, -35, 5_000_000] {
        set(seconds);
        site.run(&["serve", "--listen", "127.0.0.1:0"])
            .fails(78, "this machine's clock differs from the database's by");
    }
    for seconds in [25, -25] {
        set(seconds);
        drop(Service::start(&site, free_port()));
    }
}

#[test]
fn a_file_that_is_not_a_database_is_named_in_the_error() {
    let text = "This is no database, but a text of a hundred bytes and more, of which the first are no header of SQLite.";
    let site = Site::empty().file("notes.txt", &text.repeat(20));
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["user", "list"]] {
        let ran = site.run(&[command, &["--database-url", "sqlite://notes.txt"]].concat());
        assert!(ran.stderr.contains("notes.txt: file is not a database"), "{ran:?}");
        assert_eq!(ran.code, Some(69), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(site.path("notes.txt")).unwrap(), text.repeat(20));
}
