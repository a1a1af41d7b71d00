//! What a random race finds only sometimes; the races themselves are in the suite.

use crate::support::{database, now, user};
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{SessionStore, UserStore};
use doorwarden_testkit::no_effects;
use std::time::Duration;

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
    let signing_out =
        tokio::spawn(async move { other.sign_out_user(id, EndReason::SignedOut, now(), no_effects()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    sql.batch_execute("COMMIT").await.unwrap();
    assert_eq!(signing_out.await.unwrap().unwrap(), Some(1));
    assert_eq!(store.sessions_of(anna.id, now(), None, 1000).await.unwrap(), []);
}
