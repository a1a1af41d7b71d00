use crate::site::{SECRET_KEY, Site, on_both};
use crate::terminal::Terminal;
use serde_json::Value;

on_both!(
    an_accepted_token_is_shown_with_user_and_session,
    inspect_explains_why_a_token_is_refused,
    refresh_tokens_are_explained_too,
    looking_at_a_token_does_not_use_its_session,
    signing_keys_are_listed_rotated_and_revoked,
    a_key_whose_id_begins_with_a_hyphen_is_revoked_like_any_other,
);

fn issue(site: &Site, user: &str) -> String {
    site.run(&["token", "issue", user]).json()["token"].as_str().unwrap().to_owned()
}

/// Inspects a refused token; returns the code and the reason.
#[track_caller]
fn refused(site: &Site, arguments: &[&str]) -> (String, String) {
    let value =
        site.run(&[&["token", "inspect"], arguments].concat()).fails(1, "the token is refused: ").value();
    assert_eq!(value["accepted"], false);
    let text = |name: &str| value["reason"][name].as_str().unwrap_or_default().to_owned();
    (text("code"), format!("{} {}", text("text"), text("hint")))
}

fn an_accepted_token_is_shown_with_user_and_session(site: &Site) {
    let id = site.user("ada");
    let token = issue(site, &id);
    for (arguments, input) in [
        (vec!["token", "inspect", &token], String::new()),
        (vec!["token", "inspect", "-"], format!("{token}\n")),
        (vec!["token", "inspect"], format!("Authorization: Bearer {token}\n")),
    ] {
        let value = site.run_with(&arguments, &input).json();
        assert_eq!((value["accepted"].as_bool(), value["kind"].as_str()), (Some(true), Some("session")));
        assert_eq!(value["reason"], Value::Null);
        assert_eq!(value["header"]["alg"], "HS256");
        assert_eq!(value["claims"]["id"].to_string(), id);
        assert_eq!(value["user"]["email"], "ada@example.com");
        assert_eq!(value["session"]["id"], value["claims"]["sid"]);
    }
    let raw = site.run(&["token", "issue", &id, "--raw"]).succeeds().stdout;
    site.run(&["token", "inspect", raw.trim_end()]).succeeds();

    let pair = site.run(&["token", "issue", &id, "--pair"]).json();
    let access = site.run(&["token", "inspect", pair["access"].as_str().unwrap()]).json();
    assert_eq!((access["accepted"].as_bool(), access["kind"].as_str()), (Some(true), Some("access")));
    assert_eq!(access["header"]["typ"], "at+jwt");
}

fn inspect_explains_why_a_token_is_refused(site: &Site) {
    let id = site.user("ada");
    let token = issue(site, &id);
    let (code, why) = refused(site, &["nonsense"]);
    assert_eq!(code, "not_three_parts");
    assert!(why.contains("was it copied completely?"), "{why}");

    let other = ["--set", "secret_key=another secret key of 32 bytes or more, is it not", "--set"];
    let old = format!("old_secret_keys={SECRET_KEY}");
    let secret = site.environment().get("DOORWARDEN_SECRET_KEY");
    if secret.is_some() {
        // With the previous key as an old one the token is accepted; without it even the signing keys do not
        // open.
        site.run(&[&["token", "inspect", &token], &other[..], &[old.as_str()]].concat()).succeeds();
    }

    let (payload, signature) = token.rsplit_once('.').unwrap();
    let mut changed: Vec<char> = signature.chars().collect();
    changed[0] = if changed[0] == 'A' { 'B' } else { 'A' };
    let (code, why) = refused(site, &[&format!("{payload}.{}", changed.iter().collect::<String>())]);
    assert_eq!(code, "bad_signature");
    assert!(why.contains("another secret key"), "{why}");

    let short = site.run(&["token", "issue", &id, "--set", "tokens.lifetime=0s"]).json();
    let (code, why) = refused(site, &[short["token"].as_str().unwrap()]);
    assert_eq!(code, "expired");
    assert!(why.contains("and it is 2"), "{why}");

    let pair = site.run(&["token", "issue", &id, "--pair"]).json();
    let elsewhere = [pair["access"].as_str().unwrap(), "--set", "tokens.issuer=https://elsewhere.example"];
    let (code, why) = refused(site, &elsewhere);
    assert_eq!(code, "wrong_issuer");
    assert!(why.contains("https://elsewhere.example"), "{why}");

    site.run(&["user", "sign-out", &id]).succeeds();
    let (code, why) = refused(site, &[&token]);
    assert_eq!(code, "session_ended");
    assert!(why.contains("signed_out"), "{why}");

    site.run(&["user", "delete", &id, "--yes"]).succeeds();
    let (code, why) = refused(site, &[&token]);
    assert_eq!(code, "user_not_found");
    assert!(why.contains(&format!("no user with id {id}")), "{why}");
}

fn refresh_tokens_are_explained_too(site: &Site) {
    let id = site.user("ada");
    let pair = site.run(&["token", "issue", &id, "--pair"]).json();
    let refresh = pair["refresh"].as_str().unwrap();
    let value = site.run(&["token", "inspect", refresh]).json();
    assert_eq!((value["accepted"].as_bool(), value["kind"].as_str()), (Some(true), Some("refresh")));
    assert_eq!(value["session"]["id"], pair["session"]);
    assert_eq!(value["user"]["email"], "ada@example.com");

    assert_eq!(refused(site, &["dwr_nonsense"]).0, "not_refresh_token");
    site.run(&["user", "deactivate", &id]).succeeds();
    let (code, why) = refused(site, &[refresh]);
    assert_eq!(code, "session_ended");
    assert!(why.contains("deactivated"), "{why}");
}

fn looking_at_a_token_does_not_use_its_session(site: &Site) {
    let id = site.user("ada");
    let token = issue(site, &id);
    let seen = || site.run(&["user", "show", &id]).json()["sessions"][0]["last_seen_at"].clone();
    let before = seen();
    assert!(before.is_string());
    site.run(&["token", "inspect", &token]).succeeds();
    assert_eq!(seen(), before);
}

fn signing_keys_are_listed_rotated_and_revoked(site: &Site) {
    let keys = || site.run(&["key", "list"]).json();
    assert_eq!(keys(), Value::Array(vec![]), "looking makes none");
    let next = site.run(&["key", "rotate"]).json()["kids"][0].clone();
    let first = keys()[0]["kid"].as_str().unwrap().to_owned();
    assert_eq!(keys()[0]["state"], "signing");
    assert_eq!((&keys()[1]["kid"], keys()[1]["state"].as_str()), (&next, Some("announced")));
    site.run(&["key", "revoke", &first]).fails(2, "--yes");
    site.run(&["key", "revoke", "nonsense", "--yes"]).fails(3, "no unrevoked key `nonsense`");
    let revoked = site.run(&["key", "revoke", &first, "--yes"]);
    assert_eq!((revoked.code, &revoked.value()["revoked"]), (Some(0), &Value::Bool(true)));
    assert!(revoked.stderr.contains("WARN a signing key was revoked"), "{}", revoked.stderr);
    let listed = keys();
    let state = listed.as_array().unwrap().iter().find(|key| key["kid"] == first.as_str());
    assert_eq!(state.unwrap()["state"], "revoked");
    let states =
        listed.as_array().unwrap().iter().map(|key| (key["kid"] == next, key["state"].as_str().unwrap()));
    let mut states: Vec<_> = states.collect();
    states.sort_unstable();
    assert_eq!(
        states,
        [(false, "announced"), (false, "revoked"), (true, "signing")],
        "it takes its place at once"
    );
}

/// One id in 64 does.
fn a_key_whose_id_begins_with_a_hyphen_is_revoked_like_any_other(site: &Site) {
    for kid in ["-NcNwmHqL_u4C3S4iVXXFtnOJLpu61R3d1gkUjgHAuc", "-yNwmHqL_u4C3S4iVXXFtnOJLpu61R3d1gkUjgHAuc8"]
    {
        let missing = format!("no unrevoked key `{kid}` found");
        site.run(&["key", "revoke", kid, "--yes"]).fails(3, &missing);
        site.run(&["key", "revoke", "-y", kid]).fails(3, &missing);
    }
    site.run(&["key", "revoke", "--yes"]).fails(2, "<KID>");
}

#[test]
fn an_idle_session_is_reported_as_idle() {
    let site = Site::sqlite();
    let id = site.user("ada");
    let token = issue(&site, &id);
    let connection = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
    let long_ago = "UPDATE doorwarden_sessions SET last_seen_at = 1577836800000000";
    connection.execute(long_ago, ()).unwrap();
    let (code, why) = refused(&site, &[&token, "--set", "tokens.idle=1h"]);
    assert_eq!(code, "session_ended");
    assert!(why.contains("has been idle since 2020-01-01"), "{why}");
    site.run(&["token", "inspect", &token]).succeeds();
}

#[test]
fn the_verdict_is_printed_last() {
    let site = Site::sqlite();
    let id = site.user("ada");
    let token = issue(&site, &id);
    let Some(inspect) = Terminal::start(&site, &["token", "inspect", &token]) else { return };
    let (code, screen) = inspect.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.trim_end().ends_with("\u{1b}[32maccepted\u{1b}[0m"), "{screen}");
    site.run(&["user", "sign-out", &id]).succeeds();
    let Some(inspect) = Terminal::start(&site, &["token", "inspect", &token]) else { return };
    let (code, screen) = inspect.ends();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("refused (session_ended)"), "{screen}");
}
