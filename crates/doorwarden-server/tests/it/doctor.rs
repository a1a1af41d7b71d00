use crate::site::{SECRET_KEY, Site};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The warnings and errors of a report, as `level check: text advice`.
fn complaints(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    checks
        .filter(|finding| finding["level"] != "ok")
        .map(|f| {
            format!("{} {}: {} {}", text(f, "level"), text(f, "check"), text(f, "text"), text(f, "advice"))
        })
        .collect()
}

#[track_caller]
fn complains(report: &Value, beginning: &str, part: &str) {
    let all = complaints(report);
    assert!(all.iter().any(|c| c.starts_with(beginning) && c.contains(part)), "{beginning} {part}: {all:#?}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_sound_installation_has_no_findings() {
    let site = Site::sqlite();
    site.user("ada");
    site.run(&["key", "rotate"]).succeeds();
    let report = site.run(&["doctor", "--strict"]).json();
    assert_eq!(complaints(&report), [""; 0]);
    assert_eq!((report["ok"].as_bool(), report["errors"].as_u64()), (Some(true), Some(0)));
    for check in [
        "configuration",
        "files",
        "secret key",
        "listen",
        "metrics",
        "database",
        "durability",
        "schema",
        "passwords",
        "signing keys",
    ] {
        assert!(
            report["checks"].as_array().unwrap().iter().any(|f| f["check"] == check),
            "{check}: {report:#}"
        );
    }
}

#[test]
fn doctor_compares_the_clocks_on_postgres() {
    let Some(site) = Site::postgres() else { return };
    let site = site.env("DOORWARDEN_TOKENS_ISSUER", "https://id.example.com");
    site.user("ada");
    site.run(&["key", "rotate"]).succeeds();
    let report = site.run(&["doctor"]).value();
    let checks = report["checks"].as_array().unwrap();
    let of = |name: &str| {
        checks.iter().find(|f| f["check"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"))
    };
    assert!(of("database")["text"].as_str().unwrap().starts_with("PostgreSQL "));
    assert_eq!(of("clock")["level"], "ok");
    assert_eq!(of("signing keys")["level"], "ok");
    // The test server may run without fsync, which is reported.
    let others: Vec<_> =
        complaints(&report).into_iter().filter(|c| !c.starts_with("error durability")).collect();
    assert_eq!(others, [""; 0]);

    let wrong = ["doctor", "--set", "secret_key=another random key 0x8f3d1c0b9a7e64524d6f1e0c83b2a957"];
    let report = site.run(&wrong).fails(1, "error").value();
    complains(&report, "error signing keys", "add the previous one to `old_secret_keys`");
    let report = site.run(&["doctor", "--set", "secret_key="]).fails(1, "error").value();
    complains(&report, "error secret key", "PostgreSQL requires one");
    complains(&report, "error signing keys", "restore the secret key");
}

#[test]
fn a_wrong_configuration_is_the_first_finding() {
    let site = Site::empty().file("doorwarden.toml", "lissen = 1");
    let report = site.run(&["doctor"]).fails(1, "1 error").value();
    complains(&report, "error configuration", "did you mean `listen`?");

    let site = Site::sqlite();
    site.user("ada");
    site.run(&["key", "rotate"]).succeeds();
    let weak = ["doctor", "--set", "argon2.memory_kib=8"];
    complains(&site.run(&weak).fails(1, "1 error").value(), "error configuration", "too weak for passwords");
    let site = site
        .env("DOORWARDEN_LISTN", "x")
        .file("doorwarden.toml", "[permissions]\nnonsense = \"x\"\n[fields.email]\ntype = \"text\"\n");
    let report = site.run(&["doctor"]).fails(1, "2 errors, 1 warning").value();
    complains(&report, "warning configuration", "did you mean `DOORWARDEN_LISTEN`?");
    complains(&report, "error configuration", "app_label.codename");
    complains(&report, "error configuration", "rename the field");
}

#[test]
fn weak_secret_keys_are_found_and_not_shown() {
    let site = Site::sqlite();
    for (key, level, part) in [
        ("hunter2", "error", "too short"),
        ("django-insecure-8f3d1c0b9a7e64524d6f1e0c83b2a957hunter2", "warning", "startproject"),
        ("hunter2hunter2hunter2hunter2hunter2hunter2", "warning", "repetitive"),
        ("hunter2-changeme-8f3d1c0b9a7e64524d6f1e0c83b2a957", "warning", "common in examples"),
    ] {
        let site = Site::sqlite().env("DOORWARDEN_SECRET_KEY", key);
        let ran = site.run(&["doctor"]);
        complains(&ran.value(), &format!("{level} secret key"), part);
        assert!(!format!("{ran:?}").contains("hunter2"), "{}", ran.stdout);
        assert_eq!(ran.code, Some(i32::from(level == "error")), "{key}");
    }
    let old = format!("old_secret_keys={SECRET_KEY},short");
    let report = site.run(&["doctor", "--set", &old]).fails(1, "error").value();
    complains(&report, "error secret key", "old secret key 2 is too short");
}

#[test]
fn files_accessible_to_other_users_are_found() {
    let site = Site::sqlite().file("doorwarden.toml", &format!("secret_key = \"{SECRET_KEY}\"\n"));
    set_mode(&site.path("doorwarden.toml"), 0o644);
    set_mode(&site.path("doorwarden.db"), 0o640);
    let report = site.run(&["doctor"]).fails(1, "2 errors").value();
    complains(&report, "error files", "`doorwarden.toml` contains secrets and is world-readable");
    complains(&report, "error files", "chmod 600 doorwarden.db");

    set_mode(&site.path("doorwarden.toml"), 0o640);
    set_mode(&site.path("doorwarden.db"), 0o600);
    site.run(&["doctor", "--strict"]).succeeds();
    set_mode(&site.path("doorwarden.toml"), 0o602);
    complains(&site.run(&["doctor"]).fails(1, "1 error").value(), "error files", "world-writable");

    let site = Site::sqlite();
    site.user("ada");
    site.run(&["key", "rotate"]).succeeds();
    set_mode(&site.path("doorwarden.db.secret"), 0o644);
    let report = site.run(&["doctor"]).fails(1, "error").value();
    complains(&report, "error files", "chmod 600 doorwarden.db.secret");
}

#[test]
fn settings_open_to_everyone_are_reported() {
    let site = Site::sqlite();
    let open = [
        "doctor",
        "--set=listen=0.0.0.0:8000",
        "--set=metrics.listen=0.0.0.0:9464",
        "--set=http.cors_origins=*",
        "--set=tokens.accept_without_session=true",
    ];
    let report = site.run(&open).json();
    complains(&report, "warning listen", "http.trusted_proxies");
    complains(&report, "warning metrics", "metrics.listen");
    complains(&report, "warning cors", "any origin");
    complains(&report, "warning tokens", "without an end");
    complains(&report, "warning tokens", "tokens.issuer");
    assert_eq!(report["ok"], true, "warnings alone are no failure");
    site.run(&[&open[..], &["--strict"]].concat()).fails(1, "0 errors, 5 warnings");

    let everybody = ["doctor", "--set=http.trusted_proxies=10.0.0.1,0.0.0.0/0"];
    complains(&site.run(&everybody).fails(1, "1 error").value(), "error proxies", "can claim any address");
    let slash = ["doctor", "--set=http.cors_origins=https://app.example.com/"];
    complains(&site.run(&slash).fails(1, "1 error").value(), "error cors", "no browser sends");
    let past = ["doctor", "--set=tokens.accept_without_session=2020-01-01T00:00:00Z"];
    complains(&site.run(&past).json(), "warning tokens", "ended at 2020-01-01");
    let proxied = [
        "doctor",
        "--strict",
        "--set=listen=0.0.0.0:8000",
        "--set=http.trusted_proxies=10.0.0.0/8",
        "--set=tokens.issuer=https://id.example.com",
    ];
    site.run(&proxied).succeeds();
}

#[test]
fn a_database_in_trouble_is_found() {
    let site = Site::sqlite();
    site.user("ada");
    site.run(&["key", "rotate"]).succeeds();
    let connection = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
    let hash = |hash: &str| connection.execute("UPDATE users SET password = ?1", [hash]).unwrap();
    hash("md5$salt$0123456789abcdef0123456789abcdef");
    complains(&site.run(&["doctor"]).json(), "warning passwords", "1 account with md5");
    hash("nonsense");
    complains(&site.run(&["doctor"]).json(), "warning passwords", "unreadable hash");
    hash("pbkdf2_sha256$600000$salt$tag");
    let report = site.run(&["doctor", "--strict"]).json();
    assert!(
        report.to_string().contains("1 account with pbkdf2_sha256; their login times differ"),
        "{report}"
    );

    std::fs::rename(site.path("doorwarden.db.secret"), site.path("away")).unwrap();
    let report = site.run(&["doctor"]).fails(1, "1 error").value();
    complains(&report, "error signing keys", "restore the secret key");
    assert!(!site.path("doorwarden.db.secret").exists(), "looking must not make a new one");
    std::fs::rename(site.path("away"), site.path("doorwarden.db.secret")).unwrap();

    connection.execute("DELETE FROM doorwarden_migrations WHERE number > 1", ()).unwrap();
    complains(&site.run(&["doctor"]).fails(1, "1 error").value(), "error schema", "doorwarden migrate");

    let site = Site::empty().file("doorwarden.db", &"no database ".repeat(100));
    set_mode(&site.path("doorwarden.db"), 0o600);
    complains(&site.run(&["doctor"]).fails(1, "error").value(), "error database", "");
    let nowhere = ["doctor", "--database-url", "postgres://ada:hunter2@127.0.0.1:1/accounts"];
    let ran = Site::empty().env("DOORWARDEN_SECRET_KEY", SECRET_KEY).run(&nowhere).fails(1, "1 error");
    complains(&ran.value(), "error database", "check that the database is running");
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
}

#[test]
fn two_accounts_with_one_email_are_reported_and_repaired() {
    let site = Site::sqlite();
    let older = site.user("ada");
    let sql = |sql: &str| {
        rusqlite::Connection::open(site.path("doorwarden.db")).unwrap().execute_batch(sql).unwrap();
    };
    sql("UPDATE users SET email = 'ada@xn--mller-kva.de';
         INSERT INTO users (id, username, email, password) VALUES (7, 'bob', 'Ada@müller.de', '!')");
    let shown = site.run(&["user", "show", "ada@müller.de"]).json();
    assert_eq!(shown["id"].to_string(), older, "the older keeps the address");
    let report = site.run(&["doctor"]).json();
    complains(
        &report,
        "warning users: user 7 (`bob`, `Ada@müller.de`)",
        "user 1 (`ada`, `ada@xn--mller-kva.de`)",
    );
    complains(&report, "warning users:", "doorwarden doctor --repair");
    sql("DELETE FROM users WHERE id = 1");
    complains(&site.run(&["doctor"]).json(), "warning users: user 7", "of a deleted user");
    let report = site.run(&["doctor", "--repair"]).json();
    assert!(!complaints(&report).iter().any(|c| c.contains(" users:")), "{report:#}");
    assert_eq!(site.run(&["user", "show", "ada@müller.de"]).json()["id"], 7);
}
