//! SQL by hand counts, also from a program that does not enforce foreign keys.

use crate::support::open;
use doorwarden_core::identity::{EmailAddress, EmailKey, Username};
use doorwarden_core::permission::Permission;
use doorwarden_core::session::EndReason;
use doorwarden_core::store::Change;
use doorwarden_core::user::{UserChange, UserId};
use doorwarden_testkit::{NOON, Recorder, new_user, no_effects, seconds};

#[tokio::test]
async fn what_is_deleted_takes_its_grants_along() {
    let t = open().await.unwrap();
    let add = Permission { name: "blog.add".parse().unwrap(), label: String::new() };
    let view = Permission { name: "blog.view".parse().unwrap(), label: String::new() };
    t.store.declare_permissions(&[add.clone(), view.clone()], no_effects()).await.unwrap();
    for group in ["editors", "writers"] {
        t.store.create_group(group, no_effects()).await.unwrap();
        t.store.grant_to_group(group, &add.name, no_effects()).await.unwrap();
        t.store.grant_to_group(group, &view.name, no_effects()).await.unwrap();
    }
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    for user in [ada, bob] {
        t.store.add_to_group(user, "editors", no_effects()).await.unwrap();
        t.store.add_to_group(user, "writers", no_effects()).await.unwrap();
        t.store.grant_to_user(user, &add.name, no_effects()).await.unwrap();
    }
    t.by_hand("DELETE FROM users WHERE username = 'bob'").await;
    t.by_hand("DELETE FROM doorwarden_permissions WHERE name = 'blog.add'").await;
    t.by_hand("DELETE FROM doorwarden_groups WHERE name = 'writers'").await;
    t.by_hand("UPDATE doorwarden_groups SET name = 'authors' WHERE name = 'editors'").await;
    t.by_hand("UPDATE doorwarden_permissions SET name = 'blog.read' WHERE name = 'blog.view'").await;
    let groups = t.store.groups().await.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].name.as_str(), groups[0].members), ("authors", 1));
    assert_eq!(groups[0].permissions, ["blog.read"]);
    let account = t.account(ada).await;
    assert_eq!(
        (account.groups, account.permissions),
        (vec!["authors".to_owned()], vec!["blog.read".to_owned()])
    );
    assert!(t.store.user_permissions(ada).await.unwrap().is_empty());
    t.store.close().await;
}

#[tokio::test]
async fn replacing_a_user_is_told() {
    let t = open().await.unwrap();
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    let session = t.session(ada, NOON).await.id;
    let heard = Recorder::new();
    t.store.follow(heard.clone());
    heard.until_connected().await;
    let replace = "REPLACE INTO users (id, username, email, password, is_active) VALUES";
    t.by_hand(&format!("{replace} ({ada}, 'ada', 'ada@example.com', '!', 0)")).await;
    heard.until_heard(Change::User(ada)).await;
    assert_eq!(t.read_session(session).await.ended.unwrap().1, EndReason::UserDeleted);
    let of_bob = t.session(bob, NOON).await.id;
    t.by_hand(&format!("{replace} (900, 'BOB', 'other@example.com', '!', 1)")).await;
    heard.until_heard(Change::User(bob)).await;
    assert_eq!(t.store.user(bob).await.unwrap(), None);
    assert_eq!(t.read_session(of_bob).await.ended.unwrap().1, EndReason::UserDeleted);
    t.store.close().await;
}

#[tokio::test]
async fn whoever_an_update_overwrites_is_told_and_loses_the_sessions() {
    for (sql, gone) in [
        ("UPDATE OR REPLACE users SET email = 'ada@example.com' WHERE username = 'bob'", "ada"),
        ("UPDATE OR REPLACE users SET username = 'ADA' WHERE username = 'bob'", "ada"),
        ("UPDATE OR REPLACE users SET email_key = 'ada@example.com' WHERE username = 'bob'", "ada"),
        ("UPDATE OR REPLACE users SET id = 1 WHERE username = 'bob'", "ada"),
    ] {
        let t = open().await.unwrap();
        let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
        t.store.create_group("editors", no_effects()).await.unwrap();
        t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
        let of_ada = t.session(ada, NOON).await.id;
        let heard = Recorder::new();
        t.store.follow(heard.clone());
        heard.until_connected().await;
        t.by_hand(sql).await;
        heard.until_heard(Change::User(ada)).await;
        assert_eq!(t.store.count_users().await.unwrap(), 1, "{sql}: {gone} is gone");
        assert_eq!(t.read_session(of_ada).await.ended.unwrap().1, EndReason::UserDeleted, "{sql}");
        assert!(t.store.sessions_of(ada, NOON, None, 10).await.unwrap().is_empty(), "{sql}");
        assert_eq!(t.store.groups().await.unwrap()[0].members, 0, "{sql}");
        let left = t.store.user(bob).await.unwrap().or(t.store.user(ada).await.unwrap()).unwrap();
        let session = t.session(left.id, NOON).await;
        assert_eq!(t.read_session(session.id).await.ended, None, "{sql}: whoever is left logs in");
        t.store.close().await;
    }
}

#[tokio::test]
async fn an_update_that_fails_or_is_ignored_ends_nothing() {
    let t = open().await.unwrap();
    let (ada, _) = (t.user("ada").await.id, t.user("bob").await.id);
    let of_ada = t.session(ada, NOON).await;
    let change = "users SET email = 'ada@example.com' WHERE username = 'bob'";
    assert!(t.sql.execute(&format!("UPDATE {change}")).await.is_err());
    let _ = t.sql.execute(&format!("UPDATE OR IGNORE {change}")).await;
    t.by_hand("UPDATE users SET email_key = 'free@example.com' WHERE username = 'bob'").await;
    assert_eq!(t.read_session(of_ada.id).await, of_ada);
    t.store.close().await;
}

#[tokio::test]
async fn a_replaced_session_is_told() {
    let t = open().await.unwrap();
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    let session = t.session(ada, NOON).await.id;
    let heard = Recorder::new();
    t.store.follow(heard.clone());
    heard.until_connected().await;
    t.by_hand(&format!(
        "REPLACE INTO doorwarden_sessions (id, user_id, created_at, last_seen_at, expires_at, auth_time, assurance_level, amr)
         SELECT id, {bob}, created_at, last_seen_at, expires_at, auth_time, assurance_level, amr FROM doorwarden_sessions"
    ))
    .await;
    heard.until_heard(Change::Session(session)).await;
    assert_eq!(t.read_session(session).await.user, bob);
    t.store.close().await;
}

#[tokio::test]
async fn a_row_by_hand_is_in_the_log_of_changes() {
    let t = open().await.unwrap();
    let heard = Recorder::new();
    t.store.follow(heard.clone());
    heard.until_connected().await;
    t.by_hand("INSERT INTO users (id, username, email, password) VALUES (7, 'a', 'a@example.com', '!')")
        .await;
    heard.until_heard(Change::User(UserId(7))).await;
    t.store.close().await;
}

#[tokio::test]
async fn a_new_spelling_with_the_old_key_keeps_the_key() {
    let t = open().await.unwrap();
    // lower() knows nothing of Ä.
    let mut new = new_user("x");
    new.username = Username::from_stored("Änne");
    new.email = EmailAddress::from_stored("Änne@example.com");
    let anna = t.store.create_user(new, no_effects()).await.unwrap();
    let change = UserChange {
        username: Some(Username::from_stored("ÄNNE")),
        email: Some(EmailAddress::from_stored("ÄNNE@example.com")),
        ..UserChange::default()
    };
    t.store.update_user(anna.id, change, no_effects()).await.unwrap().unwrap();
    let found = t.store.user_by_email(&EmailKey::of("änne@example.com")).await.unwrap().unwrap();
    assert_eq!((found.id, found.email.as_str()), (anna.id, "ÄNNE@example.com"));
    let found = t.store.user_by_username(&Username::from_stored("änne").key()).await.unwrap();
    assert_eq!(found.map(|user| user.id), Some(anna.id));
    t.store.close().await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_is_filled_again() {
    let t = open().await.unwrap();
    let ada = t.user("Ada").await.id;
    t.by_hand("UPDATE users SET email_key = NULL, username_key = NULL").await;
    let found = t.store.user_by_email(&EmailKey::of("ada@example.com")).await.unwrap();
    assert_eq!(found.map(|user| user.id), Some(ada));
    t.store.close().await;
}

#[tokio::test]
async fn an_instant_that_could_not_be_read_again_is_refused() {
    let t = open().await.unwrap();
    t.user("ada").await;
    for column in ["date_joined", "last_login", "tokens_valid_after"] {
        for text in
            ["2026-11-23 12:00:00", "2026-11-23T12:00:00Z", "2026-11-23T12:00:00.000000+01:00", "yesterday"]
        {
            let refused = t.sql.execute(&format!("UPDATE users SET {column} = '{text}'")).await;
            let why = refused.unwrap_err();
            assert!(why.contains(&format!("users_{column}_is_rfc3339_with_six_decimals")), "{why}");
        }
        t.by_hand(&format!("UPDATE users SET {column} = '2026-11-23T12:00:00.000000Z'")).await;
    }
    t.store.close().await;
}

#[tokio::test]
async fn an_instant_beyond_the_calendar_is_stored_as_its_last_one() {
    let t = open().await.unwrap();
    let ada = t.user("ada").await.id;
    let never = doorwarden_core::time::Timestamp::from_micros(i64::MAX);
    t.store.sign_out_user(ada, EndReason::SignedOut, never, no_effects()).await.unwrap();
    let stored = t.read(ada).await.tokens_valid_after.unwrap();
    assert_eq!(stored.to_string(), "9999-12-31T23:59:59.999999Z");
    assert_eq!(t.store.revocations(NOON).await.unwrap().users, [(ada, stored)]);
    t.store.close().await;
}

#[tokio::test]
async fn an_old_session_by_hand_may_end_or_move_and_is_told() {
    let t = open().await.unwrap();
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await.id;
    let heard = Recorder::new();
    t.store.follow(heard.clone());
    heard.until_connected().await;
    for sql in [
        "UPDATE doorwarden_sessions SET expires_at = expires_at + 1",
        "UPDATE doorwarden_sessions SET user_id = 77",
        "UPDATE doorwarden_sessions SET ended_at = 1, end_reason = 'revoked'",
    ] {
        t.by_hand(sql).await;
        heard.until_heard(Change::Session(session)).await;
        heard.clear();
    }
    assert_eq!(t.read_session(session).await.user, UserId(77));
    assert_eq!(t.store.sessions_of(ada, NOON.after(seconds(1)), None, 1000).await.unwrap(), []);
    t.store.close().await;
}

#[tokio::test]
async fn no_index_covers_what_a_rotation_changes() {
    let database = crate::support::Database::new();
    let path = database.path.clone();
    let t = database.migrated().await;
    let columns: Vec<String> = crate::support::connection(&path)
        .prepare(
            "SELECT DISTINCT x.name FROM pragma_index_list('doorwarden_sessions') AS i, pragma_index_info(i.name) AS x
             ORDER BY x.name",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(columns, ["ended_at", "expires_at", "generation", "id", "user_id"]);
    t.store.close().await;
}
