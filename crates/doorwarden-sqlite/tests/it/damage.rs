//! A row that cannot be read is named, and harms nobody else.

use crate::support::open;
use doorwarden_core::store::{StoreError, UserFilter};
use doorwarden_testkit::{NOON, TestStore, no_effects, presented};

fn why<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Failed(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn damage(t: &TestStore, sql: &str) {
    t.by_hand(&format!("PRAGMA ignore_check_constraints = ON; {sql}")).await;
}

#[tokio::test]
async fn a_damaged_user_is_named_by_column_and_id() {
    let t = open().await.unwrap();
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    for (column, value) in [
        ("date_joined", "'2026-13-01T00:00:00.000000Z'"),
        ("last_login", "'yesterday'"),
        ("tokens_valid_after", "''"),
        ("metadata", "'[1]'"),
        ("metadata", "'{'"),
        ("metadata", "'{\"half\": \"\\ud800\"}'"),
        ("username", "CAST(x'ff' AS TEXT)"),
    ] {
        let before = t.read(ada.id).await;
        damage(&t, &format!("UPDATE users SET {column} = {value} WHERE id = {}", ada.id)).await;
        let expected = format!("users.{column} of id {} cannot be read", ada.id);
        assert_eq!(why(t.store.user(ada.id).await), expected);
        assert_eq!(why(t.store.account(ada.id).await), expected);
        assert_eq!(why(t.store.users(&UserFilter::default(), None, 10).await), expected);
        assert_eq!(t.read(bob.id).await, bob);
        let good = match column {
            "date_joined" => format!("'{}'", before.date_joined),
            "metadata" => "'{}'".to_owned(),
            "username" => "'ada'".to_owned(),
            _ => "NULL".to_owned(),
        };
        damage(&t, &format!("UPDATE users SET {column} = {good} WHERE id = {}", ada.id)).await;
        assert_eq!(t.read(ada.id).await, before);
    }
    t.store.close().await;
}

#[tokio::test]
async fn a_damaged_session_is_named_by_column_and_id() {
    let t = open().await.unwrap();
    let ada = t.user("ada").await.id;
    let (session, other) = (t.session(ada, NOON).await, t.session(ada, NOON).await);
    for (column, set) in [
        ("end_reason", "ended_at = 1, end_reason = 'bored'"),
        ("assurance_level", "ended_at = NULL, end_reason = NULL, assurance_level = 256"),
    ] {
        let id = session.id.0.simple();
        damage(&t, &format!("UPDATE doorwarden_sessions SET {set} WHERE id = x'{id}'")).await;
        let expected = format!("doorwarden_sessions.{column} of id {} cannot be read", session.id);
        assert_eq!(why(t.store.session(session.id).await), expected);
    }
    assert!(matches!(
        t.store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await,
        Err(StoreError::Failed(_))
    ));
    assert_eq!(t.read_session(other.id).await, other);
    t.store.close().await;
}

#[tokio::test]
async fn a_damaged_permission_is_named() {
    let t = open().await.unwrap();
    t.by_hand("INSERT INTO doorwarden_permissions (name, label) VALUES ('nodot', '')").await;
    let expected = "doorwarden_permissions.name of id nodot cannot be read";
    assert_eq!(why(t.store.permissions().await), expected);
    t.store.close().await;
}
