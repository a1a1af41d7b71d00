use crate::support::{database, user};
use doorwarden_core::store::{MigrateError, Store, UserStore};
use doorwarden_postgres::{PostgresOptions, PostgresStore};

#[tokio::test]
async fn running_them_twice_does_nothing() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let pending = store.pending_migrations().await.unwrap();
    assert_eq!(pending[..3], ["0001_tables", "0002_triggers", "0003_session_generations"]);
    assert_eq!(store.pending_migrations().await.unwrap(), pending, "asking runs nothing");
    store.migrate().await.unwrap();
    let created = user(&store, "anna").await;
    store.migrate().await.unwrap();
    assert!(store.pending_migrations().await.unwrap().is_empty());
    assert_eq!(store.user(created.id).await.unwrap(), Some(created));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_agree() {
    let Some(database) = database().await else { return };
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let store = database.store();
            tokio::spawn(async move { store.migrate().await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    sql.batch_execute("INSERT INTO doorwarden_migrations (number, name, hash) VALUES (99, '0099_later', '')")
        .await
        .unwrap();
    assert!(matches!(store.migrate().await, Err(MigrateError::Newer(name)) if name == "0099_later"));
    assert!(matches!(store.pending_migrations().await, Err(MigrateError::Newer(_))));
}

#[tokio::test]
async fn a_migration_that_was_changed_after_its_run_is_refused() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    sql.batch_execute("UPDATE doorwarden_migrations SET hash = 'another' WHERE number = 2").await.unwrap();
    assert!(matches!(store.migrate().await, Err(MigrateError::Changed(name)) if name == "0002_triggers"));
}

#[tokio::test]
async fn a_table_that_is_not_ours_is_left_alone() {
    let Some(database) = database().await else { return };
    let sql = database.sql().await;
    sql.batch_execute("CREATE TABLE users (mine text); INSERT INTO users VALUES ('precious')").await.unwrap();
    let refused = database.store().migrate().await;
    assert!(matches!(&refused, Err(MigrateError::Taken(name)) if name == "the table users"), "{refused:?}");
    let looked = database.store().pending_migrations().await;
    assert!(matches!(looked, Err(MigrateError::Taken(_))), "{looked:?}");
    let tables =
        "SELECT mine, (SELECT count(*) FROM pg_tables WHERE tablename LIKE 'doorwarden%') FROM users";
    let left = sql.query_one(tables, &[]).await.unwrap();
    assert_eq!((left.get::<_, &str>(0), left.get::<_, i64>(1)), ("precious", 0));
}

#[tokio::test]
async fn a_role_that_may_not_create_tables_is_told_so() {
    let Some(database) = database().await else { return };
    let sql = database.sql().await;
    let role = format!("nobody_{}", std::process::id());
    sql.batch_execute(&format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {role} LOGIN PASSWORD 'x'"
    ))
    .await
    .unwrap();
    let store = PostgresStore::connect(&PostgresOptions::new(format!(
        "{}?options=-c%20role%3D{role}",
        database.url()
    )))
    .unwrap();
    let (migrated, looked) = (store.migrate().await, store.pending_migrations().await);
    store.close().await;
    sql.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
    for refused in [migrated.map(|()| Vec::new()), looked] {
        let Err(MigrateError::Forbidden { role: who, schema }) = refused else { panic!("{refused:?}") };
        assert_eq!((who, schema), (role.clone(), "public".to_owned()));
    }
}

#[tokio::test]
async fn a_schema_of_its_own_works_also_for_sessions_that_look_elsewhere() {
    let Some(database) = database().await else { return };
    let sql = database.sql().await;
    sql.batch_execute("CREATE SCHEMA \"Log In\"").await.unwrap();
    let url = format!("{}?options=-c%20search_path=%22Log%5C%20In%22", database.url());
    let store = PostgresStore::connect(&PostgresOptions::new(url)).unwrap();
    store.migrate().await.unwrap();
    let anna = user(&store, "anna").await;
    sql.batch_execute("UPDATE \"Log In\".users SET is_active = false").await.unwrap();
    assert!(!store.user(anna.id).await.unwrap().unwrap().is_active);
}
