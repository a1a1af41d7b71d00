//! Lost, leaked and replaced secret keys.

use crate::site::{SECRET_KEY, Site, on_both};
use serde_json::Value;

on_both!(
    commands_that_need_no_keys_work_without_them,
    keys_are_listed_and_revoked_without_their_secret_key,
    commands_that_need_lost_keys_fail_with_hints,
    replacing_a_leaked_secret_key_ends_all_keys_and_sessions,
    an_old_secret_key_that_only_opens_keys_verifies_no_token,
);

const NEW: &str = "8f3d1c0b9a7e64524d6f1e0c83b2a95711223c4de5f60a7b8c9d0e1f2a3b4c5d";

fn new_secret<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--set", "secret_key=8f3d1c0b9a7e64524d6f1e0c83b2a95711223c4de5f60a7b8c9d0e1f2a3b4c5d"], arguments]
        .concat()
}

fn kids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Signing keys, sealed under the secret key of the site.
fn with_keys(site: &Site) -> String {
    let id = site.user("ada");
    site.run(&["token", "issue", "--pair", &id]).succeeds();
    id
}

/// The secret key with which the site started, from the environment or the file.
fn secret_of(site: &Site) -> String {
    std::fs::read_to_string(site.path("doorwarden.db.secret")).unwrap_or_else(|_| SECRET_KEY.to_owned())
}

fn commands_that_need_no_keys_work_without_them(site: &Site) {
    let id = with_keys(site);
    let _ = std::fs::remove_file(site.path("doorwarden.db.secret"));
    for lost in [vec!["--set", "secret_key="], new_secret(&[])] {
        for command in [
            vec!["user", "list"],
            vec!["user", "show", &id],
            vec!["group", "list"],
            vec!["permission", "list"],
            vec!["user", "sign-out", &id],
            vec!["key", "list"],
            vec!["migrate"],
        ] {
            site.run(&[&lost[..], &command].concat()).succeeds();
        }
        let change = [&lost[..], &["changepassword", "--password-stdin", &id]].concat();
        assert_eq!(site.run_with(&change, "correct horse battery").code, Some(0));
    }
    assert!(!site.path("doorwarden.db.secret").exists(), "no new secret key is made");
}

fn keys_are_listed_and_revoked_without_their_secret_key(site: &Site) {
    with_keys(site);
    let _ = std::fs::remove_file(site.path("doorwarden.db.secret"));
    let listed = kids(&site.run(&["key", "list"]).json());
    assert_eq!(listed.len(), 2);
    let revoked = site.run(&new_secret(&["key", "revoke", &listed[0], "--yes"]));
    assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
    let states = site.run(&["key", "list"]).json();
    assert_eq!((&states[0]["state"], &states[1]["state"]), (&"revoked".into(), &"signing".into()));
}

fn commands_that_need_lost_keys_fail_with_hints(site: &Site) {
    let id = with_keys(site);
    for command in [vec!["token", "issue", &id], vec!["key", "rotate"], vec!["serve"]] {
        let ran = site.run(&new_secret(&command)).fails(78, "old_secret_keys");
        assert!(ran.stderr.contains("doorwarden secret revoke"), "{}", ran.stderr);
    }
    // With SQLite the secret key is in a file, which may be lost.
    let file = site.path("doorwarden.db.secret");
    if std::fs::remove_file(&file).is_ok() {
        for command in [vec!["token", "issue", &id], vec!["key", "rotate"], vec!["serve"]] {
            let ran = site.run(&command).fails(78, "is missing");
            assert!(ran.stderr.contains("doorwarden secret revoke"), "{}", ran.stderr);
        }
        assert!(!file.exists(), "no new one is made in silence");
    }
}

fn replacing_a_leaked_secret_key_ends_all_keys_and_sessions(site: &Site) {
    let id = with_keys(site);
    let token = site.run(&["token", "issue", "--raw", &id]).succeeds().stdout;
    let leaked = secret_of(site);
    let before = kids(&site.run(&["key", "list"]).json());
    let arguments = ["secret", "revoke"];
    let is_sqlite = site.path("doorwarden.db").exists();
    let again = |arguments: &[&'static str]| match is_sqlite {
        true => arguments.to_vec(),
        false => new_secret(arguments),
    };
    site.run(&again(&arguments)).fails(2, "--yes");
    let ran = site.run(&again(&["secret", "revoke", "--yes"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!((&ran.value()["revoked_keys"], &ran.value()["signed_out_users"]), (&2.into(), &1.into()));
    if is_sqlite {
        assert!(ran.stderr.contains("Created a new secret key in `doorwarden.db.secret`"), "{}", ran.stderr);
        assert_ne!(secret_of(site), leaked);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(site.path("doorwarden.db.secret")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
    let listed = site.run(&again(&["key", "list"])).json();
    for key in listed.as_array().unwrap() {
        let was_there = before.iter().any(|kid| key["kid"] == kid.as_str());
        assert_eq!(was_there, key["state"] == "revoked", "{listed:#}");
    }
    assert_eq!(listed.as_array().unwrap().len(), 4, "a key that signs, and an announced one");
    let inspect = [&again(&["token", "inspect"])[..], &[token.trim()]].concat();
    site.run(&inspect).fails(1, "the token is refused");
    // Even if the leaked key is trusted again by mistake, the session has ended.
    let old = format!("old_secret_keys={leaked}");
    site.run(&[&["--set", old.as_str()], &inspect[..]].concat()).fails(1, "the token is refused");
    let shown = site.run(&again(&["user", "list"])).json();
    assert_eq!(shown.as_array().unwrap().len(), 1);
    let fresh = [&again(&["token", "issue", "--raw"])[..], &[id.as_str()]].concat();
    let fresh = site.run(&fresh).succeeds().stdout;
    site.run(&[&again(&["token", "inspect"])[..], &[fresh.trim()]].concat()).succeeds();
}

fn an_old_secret_key_that_only_opens_keys_verifies_no_token(site: &Site) {
    let id = with_keys(site);
    let token = site.run(&["token", "issue", "--raw", &id]).succeeds().stdout;
    let leaked = secret_of(site);
    let judged = |table: &str| {
        let path = site.path("doorwarden.toml");
        std::fs::write(path, table.replace("LEAKED", &leaked)).unwrap();
        let ran = site.run(&new_secret(&["token", "inspect", token.trim()]));
        std::fs::remove_file(site.path("doorwarden.toml")).unwrap();
        ran
    };
    judged("[old_secret_keys]\nverifies_tokens = [\"LEAKED\"]\n")
        .fails(78, "does not open with this secret key");
    judged("[old_secret_keys]\nopens = [\"LEAKED\"]\n")
        .fails(78, "expected `opens_keys` or `verifies_tokens`");
    judged("[old_secret_keys]\nopens_keys = [\"LEAKED\"]\n").fails(1, "the token is refused");
    // Commands do not reseal keys; only the service does.
    judged("[old_secret_keys]\nverifies_tokens = [\"LEAKED\"]\n")
        .fails(78, "does not open with this secret key");
    judged("[old_secret_keys]\nopens_keys = [\"LEAKED\"]\nverifies_tokens = [\"LEAKED\"]\n").succeeds();
    judged("old_secret_keys = [\"LEAKED\"]\n").succeeds();
    let variable = format!("opens_keys={leaked},verifies_tokens={NEW}");
    let by_flag = ["--set", &format!("old_secret_keys={variable}")].map(str::to_owned);
    let arguments = [by_flag[0].as_str(), by_flag[1].as_str(), "token", "inspect", token.trim()];
    site.run(&new_secret(&arguments)).fails(1, "the token is refused");
}
