use crate::support::Database;
use doorwarden_core::store::{MigrateError, Store, UserStore};
use doorwarden_sqlite::{SqliteOptions, SqliteStore};
use doorwarden_testkit::{new_user, no_effects};

#[tokio::test]
async fn running_them_twice_does_nothing() {
    let database = Database::new();
    let store = database.store();
    let pending = store.pending_migrations().await.unwrap();
    assert_eq!(pending[..3], ["0001_tables", "0002_triggers", "0003_session_generations"]);
    assert_eq!(store.pending_migrations().await.unwrap(), pending, "asking runs nothing");
    store.migrate().await.unwrap();
    let ada = store.create_user(new_user("ada"), no_effects()).await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.pending_migrations().await.unwrap().is_empty());
    assert_eq!(store.user(ada.id).await.unwrap(), Some(ada));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_agree() {
    let database = Database::new();
    // Each opens the file, makes it and gives it a log: this, too, all at once.
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let path = database.path.clone();
            tokio::task::spawn_blocking(move || {
                doorwarden_sqlite::SqliteStore::open(&doorwarden_sqlite::SqliteOptions::new(path)).unwrap()
            })
        })
        .collect();
    let mut running = tokio::task::JoinSet::new();
    for thread in threads {
        let store = thread.await.unwrap();
        running.spawn(async move {
            store.migrate().await.unwrap();
            store.pending_migrations().await.unwrap().len()
        });
    }
    assert_eq!(running.join_all().await, [0; 6]);
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let later = "INSERT INTO doorwarden_migrations (number, name, hash) VALUES (99, '0099_later', '')";
    database.connection().execute_batch(later).unwrap();
    assert!(matches!(store.migrate().await, Err(MigrateError::Newer(name)) if name == "0099_later"));
    assert!(matches!(store.pending_migrations().await, Err(MigrateError::Newer(_))));
    store.close().await;
}

#[tokio::test]
async fn a_migration_that_was_changed_after_its_run_is_refused() {
    let database = Database::new();
    let store = database.store();
    store.migrate().await.unwrap();
    let change = "UPDATE doorwarden_migrations SET hash = 'another' WHERE number = 2";
    database.connection().execute_batch(change).unwrap();
    assert!(matches!(store.migrate().await, Err(MigrateError::Changed(name)) if name == "0002_triggers"));
    store.close().await;
}

#[tokio::test]
async fn a_table_that_is_not_ours_is_left_alone() {
    let database = Database::new();
    let foreign =
        "PRAGMA journal_mode = delete; CREATE TABLE Users (mine TEXT); INSERT INTO users VALUES ('precious')";
    std::fs::File::create(&database.path).unwrap();
    database.connection().execute_batch(foreign).unwrap();
    let before = std::fs::read(&database.path).unwrap();
    let refused = SqliteStore::open(&SqliteOptions::new(&database.path));
    assert!(matches!(&refused, Err(MigrateError::Taken(name)) if name == "the table Users"), "{refused:?}");
    assert_eq!(std::fs::read(&database.path).unwrap(), before, "not even its journal is another one");
    let left = "SELECT (SELECT mine FROM users) || count(*) FROM sqlite_schema";
    let left = database.connection().query_row(left, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(left, "precious1");
}

#[tokio::test]
async fn a_table_that_comes_after_the_file_was_opened_is_left_alone() {
    let database = Database::new();
    let store = database.store();
    database.connection().execute_batch("CREATE TABLE users (mine TEXT)").unwrap();
    assert!(matches!(store.migrate().await, Err(MigrateError::Taken(_))));
    assert!(matches!(store.pending_migrations().await, Err(MigrateError::Taken(_))));
    store.close().await;
}
