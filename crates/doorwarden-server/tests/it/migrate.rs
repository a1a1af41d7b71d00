use crate::site::{SECRET_KEY, Site};
use rusqlite::Connection;
use serde_json::json;
use std::process::{Child, Stdio};
use std::time::Instant;

#[test]
fn migrating_reports_its_migrations_and_is_idempotent() {
    for site in [Some(Site::empty()), Site::empty_postgres()].into_iter().flatten() {
        site.run(&["migrate", "--check"]).fails(1, "hint: run `doorwarden migrate`");
        let applied = site.run(&["migrate"]).json()["applied"].clone();
        assert_eq!(applied[0], "0001_tables");
        assert_eq!(site.run(&["migrate"]).json(), json!({"applied": []}));
        assert_eq!(site.run(&["migrate", "--check"]).json(), json!({"pending": []}));
    }
}

#[test]
fn checks_and_read_only_commands_create_nothing() {
    let site = Site::empty();
    site.run(&["migrate", "--check"]).fails(1, "no database at `doorwarden.db`");
    site.run(&["user", "list"]).fails(69, "hint: run `doorwarden migrate` to create it");
    site.run(&["doctor"]).succeeds();
    assert_eq!(std::fs::read_dir(site.folder()).unwrap().count(), 0);
}

#[test]
fn a_foreign_table_is_reported_and_nothing_is_changed() {
    for site in [Some(Site::empty()), Site::empty_postgres()].into_iter().flatten() {
        let mine = "CREATE TABLE users (mine text); INSERT INTO users VALUES ('precious')";
        let file = site.path("doorwarden.db");
        match site.environment().get("DOORWARDEN_DATABASE_URL") {
            Some(url) => by_hand(url, mine),
            None => Connection::open(&file).unwrap().execute_batch(mine).unwrap(),
        }
        let before = std::fs::read(&file).ok();
        for command in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["migrate"],
            &["migrate", "--check"],
            &["user", "list"],
            &["createsuperuser", "--no-input", "--email", "a@example.com", "--username", "a"],
            &["doctor"],
        ] {
            let ran = site.run(command);
            let told = ran.stdout.clone() + &ran.stderr;
            assert!(told.contains("the table users already exists in this database"), "{command:?}: {told}");
            assert!(told.lines().count() < 100 && !told.to_lowercase().contains("create table"), "{told}");
            assert_eq!(ran.code, Some(if command[0] == "doctor" { 1 } else { 78 }), "{command:?}");
        }
        assert_eq!(std::fs::read(&file).ok(), before);
        assert!(std::fs::read_dir(site.folder()).unwrap().count() <= 1, "no secret, no log");
    }
}

#[test]
fn a_migration_killed_at_any_moment_is_completed_by_the_next_run() {
    for make in [|| Some(Site::empty()), Site::empty_postgres] {
        let Some(site) = make() else { continue };
        let all = make().unwrap().run(&["migrate"]).json()["applied"].as_array().unwrap().len();
        let (mut child, begun) = begin_to_migrate(&site);
        assert!(child.wait().unwrap().success());
        let whole = begun.elapsed();
        let mut met = 0;
        for moment in 0..8 {
            let site = make().unwrap();
            let (mut child, _) = begin_to_migrate(&site);
            // Denser at the beginning: after the commit the process still has to exit.
            std::thread::sleep(whole * (moment * moment) / 64);
            child.kill().unwrap();
            child.wait().unwrap();
            let applied = site.run(&["migrate"]).json()["applied"].as_array().unwrap().len();
            assert!(applied == 0 || applied == all, "all or nothing: {applied}");
            met += usize::from(applied > 0);
            assert_eq!(site.run(&["migrate", "--check"]).json(), json!({"pending": []}));
            site.user("jane");
            let again = site.run(&["user", "create", "--no-password", "JANE@example.com", "other"]);
            assert_ne!(again.code, Some(0), "the constraints are there: {again:?}");
        }
        assert!(met >= 2, "only {met} kills met a migration, which takes {whole:?}");
    }
}

/// Starts a migration, and waits until it has a connection to the database.
fn begin_to_migrate(site: &Site) -> (Child, Instant) {
    let log = site.path("doorwarden.db-wal");
    let mut lock = site.environment().get("DOORWARDEN_DATABASE_URL").map(|url| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(doorwarden_postgres::PostgresOptions::new(url).client()).unwrap();
        move || {
            let held = "SELECT FROM pg_locks JOIN pg_database d ON d.oid = database \
                        WHERE datname = current_database() AND locktype = 'advisory'";
            !runtime.block_on(client.query(held, &[])).unwrap().is_empty()
        }
    });
    let mut command = site.command(&["migrate"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // On a busy machine it may finish unseen.
    while child.try_wait().unwrap().is_none()
        && !lock.as_mut().map_or_else(|| log.exists(), |is_held| is_held())
    {}
    (child, Instant::now())
}

/// SQL on a PostgreSQL server.
pub(crate) fn by_hand(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = doorwarden_postgres::PostgresOptions::new(url).client().await.unwrap();
        client.batch_execute(sql).await.unwrap();
    });
}

#[test]
fn no_other_command_changes_a_schema() {
    let site = Site::sqlite();
    let connection = Connection::open(site.path("doorwarden.db")).unwrap();
    connection.execute("DELETE FROM doorwarden_migrations WHERE number > 1", ()).unwrap();
    for command in [
        &["user", "list"][..],
        &["group", "list"],
        &["createsuperuser", "--no-input", "--email", "a@example.com", "--username", "a"],
        &["changepassword", "1", "--password-stdin"],
        &["token", "inspect", "x"],
        &["serve", "--set", "migrate=false", "--listen", "127.0.0.1:0"],
    ] {
        site.run(command).fails(78, "hint: run `doorwarden migrate`");
    }
    let left: i64 =
        connection.query_row("SELECT count(*) FROM doorwarden_migrations", (), |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_unchanged() {
    let site = Site::sqlite();
    let connection = Connection::open(site.path("doorwarden.db")).unwrap();
    let newer = "INSERT INTO doorwarden_migrations (number, name, hash) VALUES (9999, '9999_future', 'x')";
    connection.execute(newer, ()).unwrap();
    for command in [&["migrate"][..], &["migrate", "--check"], &["user", "list"]] {
        site.run(command).fails(78, "a newer version");
    }
}

#[test]
fn migrating_declares_the_configured_permissions_and_other_commands_do_not() {
    let site =
        Site::sqlite().file("doorwarden.toml", "[permissions]\n\"blog.add_post\" = \"Can add post\"\n");
    assert_eq!(site.run(&["permission", "list"]).json(), json!([]));
    site.run(&["migrate"]).succeeds();
    let listed = json!([{"name": "blog.add_post", "label": "Can add post"}]);
    assert_eq!(site.run(&["permission", "list"]).json(), listed);
}

#[test]
fn a_missing_database_is_unavailable() {
    let site = Site::empty().env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    let nowhere = ["--database-url", "postgres://ada:hunter2@127.0.0.1:1/accounts"];
    for command in [&["user", "list"][..], &["migrate"]] {
        let message = "the database is not available: 127.0.0.1:1: error connecting to server";
        let ran = site.run(&[command, &nowhere].concat()).fails(69, message);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}

#[test]
fn unusable_signing_keys_are_a_configuration_error() {
    let site = Site::empty();
    let postgres = ["--database-url", "postgres://ada@127.0.0.1:1/accounts"];
    site.run(&[&["key", "rotate"], &postgres[..]].concat()).fails(78, "export DOORWARDEN_SECRET_KEY=");
    let mysql = ["--database-url", "mysql://ada:hunter2@localhost/accounts"];
    let ran = site.run(&[&["user", "list"], &mysql[..]].concat()).fails(78, "must begin with sqlite://");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let site = Site::sqlite();
    site.run(&["key", "rotate", "--set", "secret_key=short"]).fails(78, "it needs at least 32");
}

#[test]
fn a_refused_database_connection_is_reported_with_a_hint() {
    let Some(site) = Site::empty_postgres() else { return };
    let url = site.environment()["DOORWARDEN_DATABASE_URL"].clone();
    let (server, _) = url.rsplit_once('/').unwrap();
    let (_, place) = server.rsplit_once('@').unwrap();
    let wrong = format!("postgres://postgres:hunter2@{place}/postgres");
    let ran =
        site.run(&["user", "list", "--database-url", &wrong]).fails(69, "(28P01)\nhint: user or password");
    assert!(ran.stderr.contains(place) && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let ran = site.run(&["migrate", "--database-url", &format!("{server}/nowhere")]);
    ran.fails(69, "(3D000)\nhint: createdb makes one");
}
