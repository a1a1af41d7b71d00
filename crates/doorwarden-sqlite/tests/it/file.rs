//! The file and its folder.

use crate::support::{Database, connection};
use doorwarden_core::store::{MigrateError, Store, StoreError, UserStore};
use doorwarden_sqlite::{SqliteOptions, SqliteStore};
use doorwarden_testkit::{hash, new_user, no_effects};
use std::time::{Duration, Instant};

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Database::new();
    let folder = database.path.with_file_name("a");
    let path = folder.join("accounts.db");
    let store = SqliteStore::open(&SqliteOptions::new(&path)).unwrap();
    store.migrate().await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in ["accounts.db", "accounts.db-wal", "accounts.db-shm"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn the_default_is_durable() {
    let database = Database::new();
    let store = SqliteStore::open(&SqliteOptions::new(&database.path)).unwrap();
    let facts = store.facts().await.unwrap();
    let values: Vec<_> = facts.durability.iter().map(|s| (s.name, s.value.as_str(), s.safe)).collect();
    assert_eq!(values, [("journal_mode", "wal", true), ("synchronous", "full", true)]);
    store.close().await;
}

#[tokio::test]
async fn a_closed_database_is_one_file() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap();
    store.close().await;
    let beside: Vec<_> = std::fs::read_dir(database.path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(beside, [database.path.file_name().unwrap()]);

    let again = database.store();
    assert_eq!(again.user(ada.id).await.unwrap(), Some(ada));
    again.close().await;
}

#[tokio::test]
async fn statistics_of_a_small_database_do_not_slow_a_large_one() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    store.create_user(new_user("ada"), no_effects()).await.unwrap();
    store.close().await;
    let other = database.connection();
    let made = |other: &rusqlite::Connection| {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'sqlite_stat?'";
        other.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(made(&other), 0, "we make none");
    let event = "INSERT INTO doorwarden_audit (at, kind, actor, result, data) \
                 SELECT 1, 'logged_in', 'system', 'success', '{}'";
    other.execute_batch(&format!("{event}; ANALYZE")).unwrap();
    assert!(made(&other) > 0, "somebody else did");
    let plan = |other: &rusqlite::Connection| {
        let sql = "EXPLAIN QUERY PLAN SELECT * FROM doorwarden_events WHERE id > 5 ORDER BY id LIMIT 10";
        // What does not run does not look whether the schema has changed.
        other.query_row("SELECT count(*) FROM users", (), |_| Ok(())).unwrap();
        other.query_row(sql, (), |row| row.get::<_, String>("detail")).unwrap()
    };
    assert_eq!(plan(&database.connection()), "SCAN a");
    let store = database.store();
    store.migrate().await.unwrap();
    let searches = "SEARCH a USING INTEGER PRIMARY KEY (rowid>?)";
    assert_eq!((plan(&database.connection()).as_str(), plan(&other).as_str()), (searches, searches));
    store.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let database = Database::new();
    std::fs::write(&database.path, "a letter, longer than any header of a database. ".repeat(100)).unwrap();
    let refused = SqliteStore::open(&SqliteOptions::new(&database.path));
    assert!(matches!(refused, Err(MigrateError::Store(StoreError::Unavailable(_)))), "{refused:?}");
    let folder = database.path.parent().unwrap();
    let refused = SqliteStore::open(&SqliteOptions::new(folder));
    assert!(matches!(refused, Err(MigrateError::Store(StoreError::Unavailable(_)))), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_is_moved_away_and_back_is_unavailable_meanwhile() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap();
    let away = database.path.with_extension("away");
    std::fs::rename(&database.path, &away).unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.user(ada.id).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.delete_user(ada.id, no_effects()).await, Err(StoreError::Unavailable(_))));
    assert!(!database.path.exists(), "nobody makes an empty one in its place");
    std::fs::rename(&away, &database.path).unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.user(ada.id).await.unwrap(), Some(ada.clone()));
    assert!(store.delete_user(ada.id, no_effects()).await.unwrap());
    store.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_that_is_put_in_place_is_read_and_written() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap();
    let backup = database.path.with_extension("backup");
    database.connection().execute("VACUUM INTO ?1", [backup.to_str()]).unwrap();
    store.create_user(new_user("bob"), no_effects()).await.unwrap();
    for beside in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{beside}", database.path.display())).unwrap();
    }
    std::fs::rename(&backup, &database.path).unwrap();
    assert_eq!(store.count_users().await.unwrap(), 1);
    assert_eq!(store.user(ada.id).await.unwrap(), Some(ada));
    store.create_user(new_user("eve"), no_effects()).await.unwrap();
    store.close().await;
    let names = connection(&database.path)
        .query_row("SELECT group_concat(username ORDER BY id) FROM users", [], |row| row.get::<_, String>(0))
        .unwrap();
    assert_eq!(names, "ada,eve");
}

#[tokio::test]
async fn whoever_locks_the_database_makes_it_unavailable_within_two_seconds() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap();
    let other = database.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.user(ada.id).await.unwrap(), Some(ada.clone()), "who writes does not disturb who reads");
    let begun = Instant::now();
    let first = store.create_user(new_user("bob"), no_effects());
    // It waits behind the first, but not for its own turn to wait as long again.
    let second = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let begun = Instant::now();
        (store.create_user(new_user("eve"), no_effects()).await, begun.elapsed())
    };
    let (first, (second, waited)) = tokio::join!(first, second);
    assert!(first.is_err() && second.is_err(), "{first:?} {second:?}");
    assert!(begun.elapsed() < Duration::from_millis(2900) && waited < Duration::from_secs(2), "{waited:?}");
    other.execute_batch("ROLLBACK").unwrap();
    store.create_user(new_user("bob"), no_effects()).await.unwrap();
    assert_eq!(store.count_users().await.unwrap(), 2);
    store.close().await;
}

#[tokio::test]
async fn a_write_waits_for_another_program_that_is_soon_done() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let other = database.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        other.execute_batch("COMMIT").unwrap();
    };
    let (created, ()) = tokio::join!(store.create_user(new_user("ada"), no_effects()), release);
    assert_eq!(created.unwrap().password, hash("ada"));
    store.close().await;
}

#[tokio::test]
async fn a_folder_in_a_folder_that_is_missing_is_not_made() {
    let database = Database::new();
    let folder = database.path.with_file_name("typo");
    let refused = SqliteStore::open(&SqliteOptions::new(folder.join("data").join("accounts.db")));
    assert!(matches!(refused, Err(MigrateError::Store(StoreError::Unavailable(_)))), "{refused:?}");
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_file_that_must_exist_is_not_made() {
    let database = Database::new();
    let options = SqliteOptions::new(&database.path).must_exist();
    assert!(matches!(SqliteStore::open(&options), Err(MigrateError::Store(StoreError::Unavailable(_)))));
    assert!(!database.path.exists());
    database.store().close().await;
    SqliteStore::open(&options).unwrap().close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn files_that_others_may_use_are_put_right() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let files = ["", "-wal", "-shm"].map(|suffix| doorwarden_sqlite::beside(&database.path, suffix));
    for file in &files {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o664)).unwrap();
    }
    let again = database.store();
    for file in &files {
        assert_eq!(
            std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    again.close().await;
    store.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_is_removed_while_in_use_loses_nothing() {
    for suffixes in [&["-wal"][..], &["-wal", "-shm"]] {
        let database = Database::new();
        let store = database.store();
        store.migrate().await.unwrap();
        let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap();
        // A connection of the readers' is open, too.
        assert!(store.user(ada.id).await.unwrap().is_some());
        for suffix in suffixes {
            std::fs::remove_file(doorwarden_sqlite::beside(&database.path, suffix)).unwrap();
        }
        let began = Instant::now();
        let mut written = store.create_user(new_user("bob"), no_effects()).await;
        while written.is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "{written:?}");
            // Reading gives up what the readers have.
            let _ = store.user(ada.id).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            written = store.create_user(new_user("bob"), no_effects()).await;
        }
        assert_eq!(store.count_users().await.unwrap(), 2);
        // What a process that is killed leaves behind: nobody has closed anything.
        let copy = database.path.with_extension("copy");
        for suffix in ["", "-wal"] {
            let _ = std::fs::copy(
                doorwarden_sqlite::beside(&database.path, suffix),
                doorwarden_sqlite::beside(&copy, suffix),
            );
        }
        let names = connection(&copy)
            .query_row("SELECT group_concat(username ORDER BY id) FROM users", [], |row| {
                row.get::<_, String>(0)
            })
            .unwrap();
        assert_eq!(names, "ada,bob", "{suffixes:?}");
        store.close().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_put_beside_the_log_of_another_is_not_mixed_with_it() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    store.create_user(new_user("ada"), no_effects()).await.unwrap();
    let backup = database.path.with_extension("backup");
    database.connection().execute("VACUUM INTO ?1", [backup.to_str()]).unwrap();
    store.create_user(new_user("bob"), no_effects()).await.unwrap();
    std::fs::rename(&backup, &database.path).unwrap();
    assert!(matches!(store.count_users().await, Err(StoreError::Unavailable(_))));
    assert!(store.create_user(new_user("eve"), no_effects()).await.is_err());
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(doorwarden_sqlite::beside(&database.path, suffix)).unwrap();
    }
    assert_eq!(store.count_users().await.unwrap(), 1, "the copy, as it was made");
    store.create_user(new_user("eve"), no_effects()).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn the_log_shrinks_when_nobody_reads_the_past_any_more() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let reader = database.connection();
    reader.execute_batch("BEGIN; SELECT count(*) FROM users").unwrap();
    let write = "CREATE TABLE big (data BLOB); INSERT INTO big VALUES (zeroblob(8000000))";
    database.connection().execute_batch(write).unwrap();
    store.create_user(new_user("ada"), no_effects()).await.unwrap();
    let size = || std::fs::metadata(doorwarden_sqlite::beside(&database.path, "-wal")).unwrap().len();
    assert!(size() > 8_000_000);
    reader.execute_batch("COMMIT").unwrap();
    let shrunk = doorwarden_testkit::wait_until(Duration::from_secs(10), || size() == 0).await;
    assert!(shrunk, "{} bytes", size());
    store.close().await;
}
