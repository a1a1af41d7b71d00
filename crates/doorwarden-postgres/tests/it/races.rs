//! A login that races with what ends sessions leaves no live session behind.

use crate::support::{database, login, now, user};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{PasswordChange, SessionStore, UserStore};
use doorwarden_core::user::{User, UserChange};
use doorwarden_postgres::PostgresStore;

/// Logs in five times while `end` runs; afterwards no session lives.
async fn race(store: &PostgresStore, anna: &User, end: impl Future<Output = ()>) {
    let logins: Vec<_> = (0..5)
        .map(|_| {
            let (store, open) = (store.clone(), login(anna));
            tokio::spawn(async move { store.open_session(open).await.unwrap() })
        })
        .collect();
    end.await;
    for login in logins {
        login.await.unwrap();
    }
    assert_eq!(store.sessions_of(anna.id, now()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_deactivation() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    for round in 0..20 {
        let anna = user(&store, &format!("anna{round}")).await;
        let off = UserChange { is_active: Some(false), ..UserChange::default() };
        race(&store, &anna, async { drop(store.update_user(anna.id, off).await.unwrap()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_password_change() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    for round in 0..20 {
        let anna = user(&store, &format!("anna{round}")).await;
        let change = PasswordChange {
            password: PasswordHash::from_stored("argon2$second".to_owned()),
            expected: None,
            at: now(),
            keep_session: None,
            reason: EndReason::PasswordChanged,
        };
        race(&store, &anna, async { assert!(store.change_password(anna.id, change).await.unwrap()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_deletion() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    for round in 0..20 {
        let anna = user(&store, &format!("anna{round}")).await;
        race(&store, &anna, async { assert!(store.delete_user(anna.id).await.unwrap()) }).await;
    }
}

/// Ends what a login that holds the user's row is about to commit: the lock is waited for, and what it leaves is seen.
#[tokio::test]
async fn whoever_waited_for_a_login_ends_its_session() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let sql = database.sql().await;
    let open = format!(
        "BEGIN; UPDATE users SET last_login = now(); INSERT INTO doorwarden_sessions (id, user_id, created_at, \
         last_seen_at, expires_at, auth_time, assurance_level, amr) VALUES (gen_random_uuid(), {}, now(), now(), \
         now() + interval '1 hour', now(), 1, 'pwd')",
        anna.id
    );
    sql.batch_execute(&open).await.unwrap();
    let (other, id) = (store.clone(), anna.id);
    let signing_out = tokio::spawn(async move { other.sign_out_user(id, now()).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    sql.batch_execute("COMMIT").await.unwrap();
    assert_eq!(signing_out.await.unwrap().unwrap(), Some(1));
    assert_eq!(store.sessions_of(anna.id, now()).await.unwrap(), []);
}
