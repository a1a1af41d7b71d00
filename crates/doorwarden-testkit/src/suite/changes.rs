use super::keys::key;
use super::property::at_once;
use crate::{NOON, Recorder, TestStore, hash, new_session, no_effects, presented, seconds, with};
use doorwarden_core::permission::{Permission, PermissionName};
use doorwarden_core::session::{EndReason, SessionId};
use doorwarden_core::store::{Change, PasswordChange};
use doorwarden_core::user::{UserChange, UserId};
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn follow(t: &TestStore) -> Arc<Recorder> {
    let recorder = Recorder::new();
    t.store.follow(recorder.clone());
    recorder.until_connected().await;
    // While it connects, a feed may report missed changes.
    recorder.clear();
    recorder
}

fn staff(is_staff: bool) -> UserChange {
    UserChange { is_staff: Some(is_staff), ..UserChange::default() }
}

/// Waits until `done` was reported as these changes, and clears them.
async fn told(recorder: &Recorder, done: impl Future, changes: &[Change]) {
    done.await;
    for change in changes {
        recorder.until_heard(*change).await;
    }
    recorder.clear();
}

/// Changes an otherwise unaffected user: once that is received, everything before it was too.
async fn everything_told_until_now(t: &TestStore, recorder: &Recorder, marker: UserId) -> Vec<Change> {
    t.store.update_user(marker, staff(true), no_effects()).await.unwrap();
    recorder.until_heard(Change::User(marker)).await;
    t.store.update_user(marker, staff(false), no_effects()).await.unwrap();
    let heard = recorder.heard();
    heard.into_iter().filter(|c| *c != Change::User(marker)).collect()
}

async fn declare(t: &TestStore, name: &str) -> PermissionName {
    let permission = Permission { name: name.parse().unwrap(), label: String::new() };
    t.store.declare_permissions(std::slice::from_ref(&permission), no_effects()).await.unwrap();
    permission.name
}

pub async fn every_change_of_a_user_is_notified(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let add = declare(t, "blog.add").await;
    t.store.create_group("editors", no_effects()).await.unwrap();
    let change = PasswordChange {
        password: hash("new"),
        expected: None,
        at: NOON,
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: false,
        keep_earlier: 0,
    };
    let metadata = [("theme".to_owned(), "dark".into())].into_iter().collect();
    let heard = follow(t).await;
    let user = [Change::User(ada)];
    told(&heard, t.store.update_user(ada, staff(true), no_effects()), &user).await;
    told(
        &heard,
        t.store.update_user(ada, UserChange { metadata, ..UserChange::default() }, no_effects()),
        &user,
    )
    .await;
    told(&heard, t.store.change_password(ada, change, no_effects()), &user).await;
    told(
        &heard,
        t.store.sign_out_user(ada, EndReason::SignedOut, NOON.after(seconds(1)), no_effects()),
        &user,
    )
    .await;
    told(&heard, t.store.add_to_group(ada, "editors", no_effects()), &user).await;
    told(&heard, t.store.remove_from_group(ada, "editors", no_effects()), &user).await;
    told(&heard, t.store.grant_to_user(ada, &add, no_effects()), &user).await;
    told(&heard, t.store.revoke_from_user(ada, &add, no_effects()), &user).await;
    told(&heard, t.store.delete_user(ada, no_effects()), &user).await;
}

pub async fn a_change_of_a_groups_permissions_is_notified_for_all_users(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let heard = follow(t).await;
    let all = [Change::AllUsers];
    // A superuser has every permission, so a new permission changes their account.
    told(&heard, declare(t, "blog.add"), &all).await;
    let add: PermissionName = "blog.add".parse().unwrap();
    t.store.create_group("editors", no_effects()).await.unwrap();
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
    told(&heard, t.store.grant_to_group("editors", &add, no_effects()), &all).await;
    told(&heard, t.store.revoke_from_group("editors", &add, no_effects()), &all).await;
    t.store.grant_to_group("editors", &add, no_effects()).await.unwrap();
    heard.until_heard(Change::AllUsers).await;
    heard.clear();
    told(&heard, t.store.delete_permission(&add, no_effects()), &all).await;
    told(&heard, t.store.delete_group("editors", no_effects()), &all).await;
}

pub async fn every_end_of_a_session_is_notified(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let mut sessions: Vec<SessionId> = Vec::new();
    for _ in 0..4 {
        sessions.push(t.session(ada, NOON).await.id);
    }
    let stolen = sessions[0];
    t.store.rotate_refresh(presented(stolen, 0, NOON), no_effects()).await.unwrap();
    t.store.rotate_refresh(presented(stolen, 1, NOON), no_effects()).await.unwrap();
    let heard = follow(t).await;
    told(
        &heard,
        t.store.rotate_refresh(presented(stolen, 0, NOON), no_effects()),
        &[Change::Session(stolen)],
    )
    .await;
    let logout = t.store.end_session(sessions[1], ada, EndReason::LoggedOut, NOON, no_effects());
    told(&heard, logout, &[Change::Session(sessions[1])]).await;
    // All sessions end by the user's generation; the continuing session changes its own.
    let (user, kept) = ([Change::User(ada)], sessions[2]);
    let both = [Change::User(ada), Change::Session(kept)];
    told(&heard, t.store.end_sessions_of(ada, Some(kept), EndReason::SignedOut, NOON, no_effects()), &both)
        .await;
    told(&heard, t.store.end_sessions_of(ada, None, EndReason::SignedOut, NOON, no_effects()), &user).await;
    told(&heard, t.store.sign_out_user(ada, EndReason::SignedOut, NOON, no_effects()), &user).await;
    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    told(&heard, t.store.update_user(ada, off, no_effects()), &user).await;
    let on = UserChange { is_active: Some(true), ..UserChange::default() };
    told(&heard, t.store.update_user(ada, on, no_effects()), &user).await;
    told(&heard, t.store.delete_user(ada, no_effects()), &user).await;
}

pub async fn changed_keys_are_notified(t: &TestStore) {
    let heard = follow(t).await;
    told(&heard, t.store.add_signing_key(key("first", "", 0), no_effects()), &[Change::Keys]).await;
    told(&heard, t.store.revoke_signing_key("first", NOON, no_effects()), &[Change::Keys]).await;
    told(&heard, t.store.delete_signing_key("first", no_effects()), &[Change::Keys]).await;
}

pub async fn changes_by_sql_are_notified(t: &TestStore) {
    let add = declare(t, "blog.add").await;
    t.store.create_group("editors", no_effects()).await.unwrap();
    t.store.grant_to_group("editors", &add, no_effects()).await.unwrap();
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
    t.store.grant_to_user(bob, &add, no_effects()).await.unwrap();
    t.store.add_signing_key(key("first", "", 0), no_effects()).await.unwrap();
    t.session(ada, NOON).await;
    t.session(bob, NOON).await;
    let heard = follow(t).await;
    let sql = async |sql: &str, changes: &[Change]| told(&heard, t.by_hand(sql), changes).await;
    sql("UPDATE users SET is_superuser = true WHERE username = 'ada'", &[Change::User(ada)]).await;
    sql("DELETE FROM doorwarden_user_groups", &[Change::User(ada)]).await;
    sql("DELETE FROM doorwarden_user_permissions", &[Change::User(bob)]).await;
    sql("DELETE FROM doorwarden_group_permissions", &[Change::AllUsers]).await;
    sql("DELETE FROM doorwarden_groups", &[Change::AllUsers]).await;
    sql("DELETE FROM doorwarden_permissions", &[Change::AllUsers]).await;
    sql("DELETE FROM doorwarden_keys", &[Change::Keys]).await;
    sql("UPDATE users SET is_active = false WHERE username = 'ada'", &[Change::User(ada)]).await;
    sql("DELETE FROM users WHERE username = 'bob'", &[Change::User(bob)]).await;
    sql("UPDATE users SET is_active = true", &[Change::User(ada)]).await;
    // The database uses its own clock to decide whether a session was active.
    let far = NOON.after(seconds(100 * 365 * 24 * 3600));
    let living = t.open(with(new_session(ada, NOON), |s| s.expires_at = far)).await.id;
    sql("DELETE FROM doorwarden_sessions WHERE ended_at IS NULL", &[Change::Session(living)]).await;
}

pub async fn a_statement_notifies_of_every_user_it_changes(t: &TestStore) {
    let mut users = Vec::new();
    for n in 0..300 {
        users.push(t.user(&format!("user{n}")).await.id);
    }
    let changes: Vec<_> = users.into_iter().map(Change::User).collect();
    let heard = follow(t).await;
    told(&heard, t.by_hand("UPDATE users SET is_staff = true"), &changes).await;
}

pub async fn no_change_of_a_burst_is_missed(t: &TestStore) {
    let mut users = Vec::new();
    for n in 0..200 {
        users.push(t.user(&format!("user{n}")).await.id);
    }
    let heard = follow(t).await;
    let calls = users.clone().into_iter().map(|id| {
        let store = t.store.clone();
        async move { store.update_user(id, staff(true), no_effects()).await.unwrap() }
    });
    at_once(calls).await;
    for id in users {
        heard.until_heard(Change::User(id)).await;
    }
}

pub async fn changes_that_concern_no_cache_are_not_notified(t: &TestStore) {
    let marker = t.user("marker").await.id;
    let ada = t.user("ada").await.id;
    let heard = follow(t).await;
    t.user("bob").await;
    let session = t.session(ada, NOON).await;
    t.store.rotate_refresh(presented(session.id, 0, NOON.after(seconds(1))), no_effects()).await.unwrap();
    t.store.rotate_refresh(presented(session.id, 0, NOON.after(seconds(2))), no_effects()).await.unwrap();
    t.store.rotate_refresh(presented(session.id, 9, NOON.after(seconds(2))), no_effects()).await.unwrap();
    t.store.touch_sessions(&[(session.id, NOON.after(seconds(3)))]).await.unwrap();
    assert!(!t.log_in(session, "another password", None).await);
    assert_eq!(everything_told_until_now(t, &heard, marker).await, []);
}

pub async fn rolled_back_changes_are_not_notified(t: &TestStore) {
    let marker = t.user("marker").await.id;
    t.user("ada").await;
    let heard = follow(t).await;
    t.by_hand("BEGIN; UPDATE users SET is_staff = true WHERE username = 'ada'; ROLLBACK").await;
    assert_eq!(everything_told_until_now(t, &heard, marker).await, []);
}

pub async fn a_feed_continues_after_its_log_was_purged(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let heard = follow(t).await;
    for is_staff in [true, false, true] {
        told(&heard, t.store.update_user(ada, staff(is_staff), no_effects()), &[Change::User(ada)]).await;
        t.store.purge_changes(NOON.after(seconds(1 << 33)), 100).await.unwrap();
    }
}

pub async fn a_change_is_notified_within_100_ms(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let heard = follow(t).await;
    let mut by_store = Vec::new();
    let mut by_hand = Vec::new();
    for n in 0..11 {
        t.store.update_user(ada, staff(n % 2 == 0), no_effects()).await.unwrap();
        let committed = Instant::now();
        heard.until_heard(Change::User(ada)).await;
        by_store.push(committed.elapsed());
        // Also after a quiet period.
        tokio::time::sleep(Duration::from_millis(20)).await;
        heard.clear();

        let superuser = if n % 2 == 0 { "true" } else { "false" };
        t.by_hand(&format!("UPDATE users SET is_superuser = {superuser}")).await;
        let committed = Instant::now();
        heard.until_heard(Change::User(ada)).await;
        by_hand.push(committed.elapsed());
        heard.clear();
    }
    for mut delays in [by_store, by_hand] {
        // The median, since a busy machine may delay a single one for longer.
        delays.sort();
        assert!(delays[5] < Duration::from_millis(100), "{delays:?}");
    }
}
