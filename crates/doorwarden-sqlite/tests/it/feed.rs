//! The change feed where SQLite is different: a file that goes and comes back, and a log that was purged.

use crate::support::Database;
use doorwarden_core::store::{Change, ChangeFeed, Store, UserStore};
use doorwarden_core::user::UserChange;
use doorwarden_testkit::{Recorder, new_user, no_effects, wait_until};
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn lost(heard: &Recorder) -> Duration {
    let begun = Instant::now();
    assert!(wait_until(Duration::from_secs(10), || !heard.is_connected()).await);
    begun.elapsed()
}

fn staff(is_staff: bool) -> UserChange {
    UserChange { is_staff: Some(is_staff), ..UserChange::default() }
}

#[tokio::test]
async fn what_was_missed_while_the_file_was_gone_is_told_when_it_is_back() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap().id;
    let heard = Recorder::new();
    store.follow(heard.clone());
    heard.until_connected().await;
    heard.clear();

    let away = database.path.with_extension("away");
    std::fs::rename(&database.path, &away).unwrap();
    assert!(lost(&heard).await < Duration::from_millis(500));
    // Somebody else writes to it where it is, and closes it: it is one file again.
    let log = |path: &std::path::Path| std::path::PathBuf::from(format!("{}-wal", path.display()));
    if log(&database.path).exists() {
        std::fs::rename(log(&database.path), log(&away)).unwrap();
    }
    crate::support::connection(&away).execute_batch("UPDATE users SET is_superuser = true").unwrap();
    assert_eq!(heard.heard(), []);
    if log(&away).exists() {
        std::fs::rename(log(&away), log(&database.path)).unwrap();
    }
    std::fs::rename(&away, &database.path).unwrap();
    heard.until_connected().await;
    assert_eq!(heard.heard(), [Change::User(ada)]);
    store.close().await;
    assert!(!heard.is_connected());
}

#[tokio::test]
async fn a_log_that_was_purged_past_the_follower_means_everything() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap().id;
    let heard = Recorder::new();
    store.follow(heard.clone());
    heard.until_connected().await;
    heard.clear();
    let sql = "BEGIN; UPDATE users SET is_staff = true; DELETE FROM doorwarden_changes; COMMIT";
    database.connection().execute_batch(sql).unwrap();
    heard.until_heard(Change::Everything).await;
    heard.clear();
    store.update_user(ada, staff(false), no_effects()).await.unwrap();
    heard.until_heard(Change::User(ada)).await;
    store.close().await;
}

#[tokio::test]
async fn numbers_that_begin_anew_mean_everything() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap().id;
    store.update_user(ada, staff(true), no_effects()).await.unwrap();
    let heard = Recorder::new();
    store.follow(heard.clone());
    heard.until_connected().await;
    heard.clear();
    let sql = "BEGIN; DELETE FROM doorwarden_changes; DELETE FROM sqlite_sequence WHERE name = 'doorwarden_changes'; COMMIT";
    database.connection().execute_batch(sql).unwrap();
    heard.until_heard(Change::Everything).await;
    heard.clear();
    store.update_user(ada, staff(false), no_effects()).await.unwrap();
    heard.until_heard(Change::User(ada)).await;
    store.close().await;
}

#[tokio::test]
async fn what_a_newer_program_writes_means_everything() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let heard = Recorder::new();
    store.follow(heard.clone());
    heard.until_connected().await;
    for row in ["('everything', NULL)", "('user', 'nobody')", "('session', 7)"] {
        heard.clear();
        let sql = format!("INSERT INTO doorwarden_changes (kind, ref) VALUES {row}");
        database.connection().execute_batch(&sql).unwrap();
        heard.until_heard(Change::Everything).await;
    }
    store.close().await;
}

#[tokio::test]
async fn a_feed_begins_when_the_database_is_migrated() {
    let database = Database::new();
    let store = database.store();
    let heard = Recorder::new();
    store.follow(heard.clone());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!heard.is_connected());
    store.migrate().await.unwrap();
    heard.until_connected().await;
    store.close().await;
    assert!(!heard.is_connected());
}

#[tokio::test]
async fn a_feed_that_cannot_look_says_so_within_half_a_second() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let heard = Recorder::new();
    store.follow(heard.clone());
    heard.until_connected().await;
    let other = database.connection();
    other.execute_batch("BEGIN; DROP TABLE doorwarden_changes; COMMIT").unwrap();
    assert!(lost(&heard).await < Duration::from_millis(500));
    store.close().await;
}

#[tokio::test]
async fn many_changes_at_once_are_told_as_everything() {
    let database = Database::new();
    let store = Arc::new(database.store());
    store.migrate().await.unwrap();
    let heard = Recorder::new();
    store.follow(heard.clone());
    heard.until_connected().await;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
               INSERT INTO doorwarden_changes (kind, ref) SELECT 'user', i FROM n";
    database.connection().execute_batch(sql).unwrap();
    heard.until_heard(Change::Everything).await;
    assert_eq!(heard.heard(), [Change::Everything]);
    store.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn another_file_in_its_place_means_everything() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    store.create_user(new_user("ada"), no_effects()).await.unwrap();
    let heard = Recorder::new();
    store.follow(heard.clone());
    heard.until_connected().await;
    // Its log has as many changes.
    let backup = database.path.with_extension("backup");
    database.connection().execute("VACUUM INTO ?1", [backup.to_str()]).unwrap();
    for beside in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{beside}", database.path.display())).unwrap();
    }
    std::fs::rename(&backup, &database.path).unwrap();
    heard.until_heard(Change::Everything).await;
    heard.until_connected().await;
    store.close().await;
}
