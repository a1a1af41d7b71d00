//! SQL by hand counts.

use crate::support::{client, database, new_user, session, user};
use doorwarden_core::identity::{EmailAddress, EmailKey, Username};
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{SessionStore, UserStore};
use doorwarden_core::user::UserChange;

#[tokio::test]
async fn an_address_changed_by_hand_changes_its_key() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    let anna = user(&store, "anna").await;
    sql.batch_execute("UPDATE users SET email = 'New@Example.com', username = 'NEW'").await.unwrap();
    assert!(store.user_by_email(&EmailKey::of("anna@example.com")).await.unwrap().is_none());
    let found = store.user_by_email(&EmailKey::of("new@example.com")).await.unwrap();
    assert_eq!(found.map(|user| user.id), Some(anna.id));
    sql.batch_execute("UPDATE users SET email_key = 'kept', is_staff = true").await.unwrap();
    sql.batch_execute("UPDATE users SET is_staff = false").await.unwrap();
    let key: String = sql.query_one("SELECT email_key FROM users", &[]).await.unwrap().get(0);
    assert_eq!(key, "kept");
}

#[tokio::test]
async fn a_new_spelling_with_the_old_key_keeps_the_key() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    // The server's lower() knows nothing of Ä where its locale is C.
    let mut new = new_user("x");
    (new.username, new.email) =
        (Username::from_stored("Änne"), EmailAddress::from_stored("Änne@example.com"));
    let anna = store.create_user(new).await.unwrap();
    let change = UserChange { username: Some(Username::from_stored("ÄNNE")), ..UserChange::default() };
    store.update_user(anna.id, change).await.unwrap().unwrap();
    let key: String = sql.query_one("SELECT username_key FROM users", &[]).await.unwrap().get(0);
    assert_eq!(key, Username::from_stored("ÄNNE").key().as_str());
}

#[tokio::test]
async fn truncation_ends_every_session() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let of_anna = session(&store, &anna, None).await;
    database.sql().await.batch_execute("TRUNCATE users CASCADE").await.unwrap();
    let ended = store.session(of_anna.id).await.unwrap().unwrap().ended;
    assert_eq!(ended.map(|(_, reason)| reason), Some(EndReason::UserDeleted));
}

#[tokio::test]
async fn a_role_that_may_write_users_needs_no_other_right() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    let anna = user(&store, "anna").await;
    let of_anna = session(&store, &anna, None).await;
    let role = format!("app_{}", std::process::id());
    sql.batch_execute(&format!("CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE ON users TO {role}"))
        .await
        .unwrap();
    let app = client(database.url()).await;
    app.batch_execute(&format!("SET ROLE {role}; SET search_path = pg_catalog")).await.unwrap();
    app.batch_execute("UPDATE public.users SET is_active = false").await.unwrap();
    app.batch_execute("INSERT INTO public.users (username, email, password) VALUES ('b', 'b@x', '!')")
        .await
        .unwrap();
    assert!(store.session(of_anna.id).await.unwrap().unwrap().ended.is_some());
    sql.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn no_index_covers_what_a_rotation_changes() {
    let Some(database) = database().await else { return };
    database.migrated().await;
    let indexed = "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
                   WHERE i.indrelid = 'doorwarden_sessions'::regclass \
                   AND (a.attname IN ('refresh_counter', 'last_seen_at') \
                   OR pg_get_indexdef(i.indexrelid) ~ 'refresh_counter|last_seen_at')";
    assert!(database.sql().await.query(indexed, &[]).await.unwrap().is_empty());
}
