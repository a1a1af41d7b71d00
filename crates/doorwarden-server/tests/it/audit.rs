//! `doorwarden audit`, as an operator uses it.

use crate::service::{Service, free_port};
use crate::site::{Site, on_both};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

on_both! {
    events_are_listed_exported_and_followed,
    a_changed_log_is_found_and_a_checkpoint_is_kept,
}

const JANE: &str =
    r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(site: &Site, arguments: &[&str]) -> Vec<String> {
    let ran = site.run(&[&["audit"], arguments].concat()).succeeds();
    lines(&ran.stdout).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

fn events_are_listed_exported_and_followed(site: &Site) {
    let jane = site.user("jane");
    site.run(&["group", "create", "editors"]).succeeds();
    assert_eq!(events(site, &["list"]), ["group_created", "user_created"]);
    assert_eq!(events(site, &["list", "--limit", "1"]), ["group_created"]);
    assert_eq!(events(site, &["list", "--user", "jane@example.com"]), ["user_created"]);
    assert_eq!(events(site, &["list", "--user", &jane, "--event", "user_created"]), ["user_created"]);
    assert_eq!(events(site, &["list", "--user", "4711"]), [""; 0], "an account may be gone");
    assert_eq!(events(site, &["list", "--since", "1h"]).len(), 2);
    assert_eq!(events(site, &["list", "--until", "1h"]).len(), 0);
    assert_eq!(events(site, &["export"]), ["user_created", "group_created"]);
    site.run(&["audit", "list", "--user", "nobody@example.com"]).fails(3, "no user with email");
    site.run(&["audit", "list", "--since", "yesterday"]).fails(2, "neither a time");
    let csv = site.run(&["audit", "export", "--format", "csv", "--event", "group_created"]).succeeds().stdout;
    let rows: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(rows[0], "id,at,event,actor,actor_id,user,session,request_id,address,user_agent,result,data");
    assert!(
        rows[1].ends_with(r#",group_created,operator,,,,,,,success,"{""group"":""editors""}""#),
        "{}",
        rows[1]
    );

    let mut tail = site.command(&["audit", "tail", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&printed.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["event"], "group_created");
    site.run(&["group", "create", "authors"]).succeeds();
    assert_eq!(next()["data"]["group"], "authors");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

fn a_changed_log_is_found_and_a_checkpoint_is_kept(site: &Site) {
    site.run(&["audit", "checkpoint"]).fails(1, "has no seal yet");
    let service = Service::start_with(
        site,
        free_port(),
        &[("DOORWARDEN_AUDIT_CHECKPOINT_EVERY", "60s"), ("DOORWARDEN_AUDIT_CHECKPOINT_DIR", "kept")],
    );
    assert_eq!(service.status("POST", "/registration", JANE), Some(201));
    let verified = sealed(site);
    assert_eq!((&verified["genuine"], &verified["events"]), (&true.into(), &(verified["events"].clone())));
    let checkpoint = site.run(&["audit", "checkpoint"]).succeeds().stdout;
    assert_eq!(checkpoint.trim().split('.').count(), 3, "{checkpoint}");
    std::fs::write(site.path("checkpoint.jws"), &checkpoint).unwrap();
    // The service writes one soon after it has begun.
    let began = Instant::now();
    while std::fs::read_dir(site.path("kept")).map_or(0, Iterator::count) == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "no checkpoint was written");
        std::thread::sleep(Duration::from_millis(100));
    }
    let with_checkpoints = ["audit", "verify", "--checkpoint", "checkpoint.jws", "--checkpoint", "kept"];
    assert_eq!(site.run(&with_checkpoints).json()["checkpoints"], 2);
    site.run(&["audit", "verify", "--checkpoint", "nothing.jws"]).fails(1, "cannot read");
    service.terminate();

    let sql = match site.environment().contains_key("DOORWARDEN_DATABASE_URL") {
        false => "DROP TRIGGER doorwarden_audit_not_deleted; DELETE FROM doorwarden_audit WHERE id = 2",
        true => "ALTER TABLE doorwarden_audit DISABLE TRIGGER ALL; DELETE FROM doorwarden_audit WHERE id = 2",
    };
    execute(site, sql);
    let found = site.run(&["audit", "verify"]).fails(1, "the audit log was changed: 1 finding");
    let text = found.value()["findings"][0].as_str().unwrap().to_owned();
    assert!(text.starts_with("event 2, of seal ") && text.ends_with(", was removed"), "{text}");
}

/// What `verify` says once everything is sealed.
pub(crate) fn sealed(site: &Site) -> Value {
    let began = Instant::now();
    let mut before = Value::Null;
    loop {
        let verified = site.run(&["audit", "verify"]).value();
        // While it reads, the last events may get their seal: the second time nothing is new.
        let is_settled = verified["unsealed_events"] == 0 && verified == before;
        if is_settled || began.elapsed() > Duration::from_secs(30) {
            return verified;
        }
        before = verified;
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn execute(site: &Site, sql: &str) {
    let Some(url) = site.environment().get("DOORWARDEN_DATABASE_URL") else {
        return rusqlite::Connection::open(site.path("doorwarden.db")).unwrap().execute_batch(sql).unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = doorwarden_postgres::PostgresOptions::new(url).client().await.unwrap();
        client.batch_execute(sql).await.unwrap();
    });
}
