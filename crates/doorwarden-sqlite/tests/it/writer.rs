//! The thread that writes.

use crate::support::{Database, connection};
use doorwarden_core::session::Session;
use doorwarden_core::store::{Rotation, SessionStore, Store, StoreError, UserStore, WriteUserError};
use doorwarden_sqlite::{SqliteOptions, SqliteStore};
use doorwarden_testkit::{NOON, issued, new_session, new_user, no_effects, presented};
use std::sync::Arc;
use tokio::task::JoinSet;

async fn session(store: &SqliteStore, name: &str) -> Session {
    let user = store.create_user(new_user(name), no_effects()).await.unwrap().id;
    let session = new_session(user, NOON);
    assert!(store.open_session(issued(session.clone()), no_effects()).await.unwrap().is_some());
    session
}

#[tokio::test]
async fn a_commit_that_fails_is_not_told_as_a_success() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let session = session(&store, "ada").await;
    // Every rotation breaks a promise that is only looked at when it commits.
    let trap = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
                CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
                CREATE TRIGGER trap AFTER UPDATE OF refresh_counter ON doorwarden_sessions
                BEGIN INSERT INTO child VALUES (99); END";
    database.connection().execute_batch(trap).unwrap();
    let rotated = store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await;
    assert!(matches!(rotated, Err(StoreError::Failed(_))), "{rotated:?}");
    assert_eq!(store.session(session.id).await.unwrap(), Some(session.clone()));

    database.connection().execute_batch("DROP TRIGGER trap").unwrap();
    let rotated = store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await.unwrap();
    assert!(matches!(rotated, Rotation::Rotated(_)), "the connection is as good as before");
    store.close().await;
}

#[tokio::test]
async fn the_log_does_not_grow_with_the_number_of_rotations() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let session = session(&store, "ada").await;
    for counter in 0..1000 {
        store.rotate_refresh(presented(session.id, counter, NOON), no_effects()).await.unwrap();
    }
    let log = std::fs::metadata(format!("{}-wal", database.path.display())).unwrap().len();
    assert!(log < 1_000_000, "{log} bytes");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_together_share_a_commit() {
    let database = Database::new();
    let store = Arc::new(database.store());
    store.migrate().await.unwrap();
    // Another program writes for a moment, so that all of them wait.
    let other = database.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = store.commits();
    let mut running = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        running.spawn(async move {
            store.create_user(new_user(&format!("user{n}")), no_effects()).await.unwrap()
        });
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(running.join_all().await.len(), 200);
    let commits = store.commits() - before;
    assert!(commits <= 20, "{commits} commits");
    store.close().await;
}

#[tokio::test]
async fn what_is_refused_in_a_shared_commit_undoes_nothing_of_the_others() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let other = database.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        other.execute_batch("ROLLBACK").unwrap();
    };
    let (ada, again, bob, ()) = tokio::join!(
        store.create_user(new_user("ada"), no_effects()),
        store.create_user(new_user("ADA"), no_effects()),
        store.create_user(new_user("bob"), no_effects()),
        release
    );
    assert!(matches!(again, Err(WriteUserError::EmailTaken | WriteUserError::UsernameTaken)), "{again:?}");
    assert_eq!(store.user(ada.as_ref().unwrap().id).await.unwrap(), ada.ok());
    assert_eq!(store.user(bob.as_ref().unwrap().id).await.unwrap(), bob.ok());
    assert_eq!(store.count_users().await.unwrap(), 2);
    store.close().await;
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let session = session(&store, "ada").await;
    let other = database.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = store.rotate_refresh(presented(session.id, 0, NOON), no_effects());
    let abandoned = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let rotation = store.rotate_refresh(presented(session.id, 1, NOON), no_effects());
        let cut = tokio::time::timeout(std::time::Duration::from_millis(50), rotation).await;
        assert!(cut.is_err());
        other.execute_batch("ROLLBACK").unwrap();
    };
    let (first, ()) = tokio::join!(first, abandoned);
    assert!(matches!(first, Ok(Rotation::Rotated(_))), "{first:?}");
    store.close().await;
    let counter = connection(&database.path)
        .query_row("SELECT refresh_counter FROM doorwarden_sessions", [], |row| row.get::<_, i64>(0))
        .unwrap();
    assert_eq!(counter, 1);
}

#[tokio::test]
async fn what_was_begun_is_finished_before_the_store_closes() {
    let database = Database::new();
    let store = SqliteStore::open(&SqliteOptions::new(&database.path)).unwrap();
    store.migrate().await.unwrap();
    let mut running = JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        running.spawn(
            async move { store.create_user(new_user(&format!("user{n}")), no_effects()).await.is_ok() },
        );
    }
    tokio::task::yield_now().await;
    store.close().await;
    let told = running.join_all().await.into_iter().filter(|created| *created).count();
    let stored = connection(&database.path)
        .query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0))
        .unwrap();
    assert_eq!(i64::try_from(told), Ok(stored));
}

#[tokio::test]
async fn a_store_that_is_only_dropped_finishes_too() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    store.create_user(new_user("ada"), no_effects()).await.unwrap();
    drop(store);
    let wal = std::path::PathBuf::from(format!("{}-wal", database.path.display()));
    let gone = doorwarden_testkit::wait_until(std::time::Duration::from_secs(10), || !wal.exists()).await;
    assert!(gone, "the threads have ended and closed the file");
}
