//! SQL by hand counts.

use crate::support::{client, database, new_user, session, user};
use doorwarden_core::identity::{EmailAddress, EmailKey, Username};
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{SessionStore, UserStore};
use doorwarden_core::time::{Clock, SystemClock};
use doorwarden_core::user::UserChange;
use doorwarden_testkit::no_effects;

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
    let anna = store.create_user(new, no_effects()).await.unwrap();
    let change = UserChange { username: Some(Username::from_stored("ÄNNE")), ..UserChange::default() };
    store.update_user(anna.id, change, no_effects()).await.unwrap().unwrap();
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
async fn after_a_truncation_no_token_of_before_counts() {
    for table in
        ["doorwarden_sessions", "doorwarden_session_ends", "doorwarden_deleted_sessions", "users CASCADE"]
    {
        let Some(database) = database().await else { return };
        let store = database.migrated().await;
        let start = SystemClock.now().before(std::time::Duration::from_mins(1));
        assert_eq!(store.revocations(start).await.unwrap().before, None);
        database.sql().await.batch_execute(&format!("TRUNCATE {table}")).await.unwrap();
        let before = store.revocations(start).await.unwrap().before.unwrap();
        assert!(before > start, "{table}");
        let later = before.after(std::time::Duration::from_secs(1));
        assert_eq!(store.revocations(later).await.unwrap().before, None, "{table}");
    }
}

#[tokio::test]
async fn nobody_runs_the_functions_of_the_triggers() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    let anna = user(&store, "anna").await;
    let of_anna = session(&store, &anna, None).await;
    let executable = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'doorwarden%' AND prosecdef \
                      AND has_function_privilege('public', oid, 'EXECUTE')";
    assert_eq!(sql.query_one(executable, &[]).await.unwrap().get::<_, i64>(0), 0);
    let role = format!("guest_{}", std::process::id());
    sql.batch_execute(&format!("CREATE ROLE {role}; CREATE SCHEMA {role} AUTHORIZATION {role}"))
        .await
        .unwrap();
    let guest = client(database.url()).await;
    guest
        .batch_execute(&format!("SET ROLE {role}; SET search_path = {role}; CREATE TABLE users (id bigint)"))
        .await
        .unwrap();
    for function in ["truncated", "user_changed", "follow_ids", "fill_keys", "note_once"] {
        let trigger = format!(
            "CREATE TRIGGER t AFTER TRUNCATE ON users EXECUTE FUNCTION public.doorwarden_{function}('keys')"
        );
        let refused = guest.batch_execute(&trigger).await.unwrap_err();
        assert!(
            refused.to_string().contains("permission denied") || format!("{refused:?}").contains("42501"),
            "{refused:?}"
        );
    }
    assert_eq!(store.session(of_anna.id).await.unwrap().unwrap().ended, None);
    sql.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn what_comes_by_replication_counts() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let of_anna = session(&store, &anna, None).await;
    let sql = "SET session_replication_role = replica; UPDATE users SET is_active = false";
    database.sql().await.batch_execute(sql).await.unwrap();
    assert!(store.session(of_anna.id).await.unwrap().unwrap().ended.is_some());
    // What is replicated are the rows of tables: the triggers of a view have nothing to do.
    let sleeping = "SELECT count(*) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid \
                    WHERE tgname LIKE 'doorwarden%' AND tgenabled <> 'A' AND relkind <> 'v'";
    assert_eq!(database.sql().await.query_one(sleeping, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn whoever_says_that_a_hash_is_of_the_same_password_ends_nothing() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let of_anna = session(&store, &anna, None).await;
    let django = "BEGIN; SELECT set_config('doorwarden.password', 'rehashed', true); \
                  UPDATE users SET password = 'pbkdf2_sha256$1$a$b'; COMMIT";
    database.sql().await.batch_execute(django).await.unwrap();
    assert_eq!(store.session(of_anna.id).await.unwrap().unwrap().ended, None);
    database.sql().await.batch_execute("UPDATE users SET password = '!'").await.unwrap();
    assert!(store.session(of_anna.id).await.unwrap().unwrap().ended.is_some());
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
