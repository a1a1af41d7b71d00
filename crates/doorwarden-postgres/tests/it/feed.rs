use crate::proxy::{Network, Proxy};
use crate::support::{Ear, Heard, database, now, session, user};
use doorwarden_core::store::{Change, GroupStore, Rotation, SessionStore, Store};
use doorwarden_postgres::{PostgresOptions, PostgresStore};
use doorwarden_testkit::{no_effects, presented};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn sql_by_hand_is_told_within_100_ms() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    let anna = user(&store, "anna").await;
    let of_anna = session(&store, &anna, None).await;
    store.create_group("editors", no_effects()).await.unwrap();
    let mut ear = Ear::connected(&store).await;
    let id = anna.id;
    for (statement, change) in [
        ("UPDATE users SET is_staff = true".to_owned(), Change::User(id)),
        ("UPDATE users SET metadata = '{\"a\": 1}'".to_owned(), Change::User(id)),
        (format!("INSERT INTO doorwarden_user_groups VALUES ({id}, 'editors')"), Change::User(id)),
        ("INSERT INTO doorwarden_permissions VALUES ('blog.add', 'Can add')".to_owned(), Change::AllUsers),
        (
            "INSERT INTO doorwarden_group_permissions VALUES ('editors', 'blog.add')".to_owned(),
            Change::AllUsers,
        ),
        (format!("INSERT INTO doorwarden_user_permissions VALUES ({id}, 'blog.add')"), Change::User(id)),
        (
            "UPDATE doorwarden_sessions SET expires_at = now() + interval '1 day'".to_owned(),
            Change::Session(of_anna.id),
        ),
        ("DELETE FROM doorwarden_sessions".to_owned(), Change::Session(of_anna.id)),
        ("DELETE FROM users".to_owned(), Change::User(id)),
        ("TRUNCATE doorwarden_keys".to_owned(), Change::Everything),
    ] {
        sql.batch_execute(&statement).await.unwrap();
        let committed = Instant::now();
        let (told, _) = ear.until(Heard::Change(change)).await;
        assert!(told.saturating_duration_since(committed) < SOON, "{statement}");
    }
}

#[tokio::test]
async fn a_long_transaction_is_told_once_and_when_it_commits() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let (anna, bert) = (user(&store, "anna").await, user(&store, "bert").await);
    let (long, other) = (database.sql().await, database.sql().await);
    let mut ear = Ear::connected(&store).await;
    long.batch_execute("BEGIN; UPDATE users SET is_staff = true WHERE username = 'anna'").await.unwrap();
    other.batch_execute("UPDATE users SET is_staff = true WHERE username = 'bert'").await.unwrap();
    assert_eq!(ear.rest().await, [Heard::Change(Change::User(bert.id))]);
    long.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ear.rest().await, [Heard::Change(Change::User(anna.id))]);
}

/// After a crash the server may give numbers again that nobody has committed.
#[tokio::test]
async fn a_number_that_is_used_again_is_told_and_one_from_another_life_is_not() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let sql = database.sql().await;
    sql.batch_execute(
        "INSERT INTO doorwarden_changes (xid, kind, at) VALUES ('99999999', 'keys', now() - interval '1 h')",
    )
    .await
    .unwrap();
    let mut ear = Ear::connected(&store).await;
    sql.batch_execute("INSERT INTO doorwarden_changes (xid, kind) VALUES ('5', 'all_users')").await.unwrap();
    assert_eq!(ear.rest().await, [Heard::Change(Change::AllUsers)]);
}

#[tokio::test]
async fn a_peer_that_vanishes_is_noticed_and_what_was_missed_is_told() {
    let Some(database) = database().await else { return };
    let proxy = Proxy::start(database.url()).await;
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let through_proxy = PostgresStore::connect(&PostgresOptions::new(&proxy.url)).unwrap();
    let mut ear = Ear::connected(&through_proxy).await;
    proxy.set(Network::Silent);
    let silent = Instant::now();
    let (noticed, _) = ear.until(Heard::Disconnected).await;
    assert!(noticed - silent < Duration::from_millis(500), "{:?}", noticed - silent);
    database.sql().await.batch_execute("UPDATE users SET is_staff = true").await.unwrap();
    proxy.set(Network::Cut);
    proxy.set(Network::Up);
    let (_, missed) = ear.until(Heard::Connected).await;
    assert_eq!(missed, [Heard::Change(Change::User(anna.id))], "exactly what was missed, before connected");
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_replaced() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let mut ear = Ear::connected(&store).await;
    let sql = database.sql().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'doorwarden'";
    sql.query(end, &[]).await.unwrap();
    ear.until(Heard::Disconnected).await;
    let (_, missed) = ear.until(Heard::Connected).await;
    assert_eq!(missed, []);
}

#[tokio::test]
async fn more_changes_than_can_be_told_one_by_one_are_told_at_once() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let mut ear = Ear::connected(&store).await;
    let many =
        "INSERT INTO doorwarden_changes (kind, ref) SELECT 'user', n::text FROM generate_series(1, 20000) n";
    database.sql().await.batch_execute(many).await.unwrap();
    assert_eq!(ear.rest().await, [Heard::Change(Change::Everything)]);
}

/// As when one table is put back from a backup while the service works.
#[tokio::test]
async fn when_the_log_is_another_table_everything_is_told_and_the_new_one_is_followed() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let mut ear = Ear::connected(&store).await;
    let sql = database.sql().await;
    sql.batch_execute(
        "BEGIN; ALTER TABLE doorwarden_changes RENAME TO before; \
         CREATE TABLE doorwarden_changes (LIKE before INCLUDING ALL); DROP TABLE before; \
         CREATE TRIGGER doorwarden_notify AFTER INSERT ON doorwarden_changes \
         FOR EACH STATEMENT EXECUTE FUNCTION doorwarden_notify(); COMMIT",
    )
    .await
    .unwrap();
    ear.until(Heard::Disconnected).await;
    let (_, missed) = ear.until(Heard::Connected).await;
    assert_eq!(missed, [Heard::Change(Change::Everything)]);
    sql.batch_execute("UPDATE users SET is_staff = true").await.unwrap();
    let committed = Instant::now();
    let (told, _) = ear.until(Heard::Change(Change::User(anna.id))).await;
    assert!(told.saturating_duration_since(committed) < SOON);
}

#[tokio::test]
async fn behind_a_transaction_pool_the_log_is_read_without_notifications() {
    let Some(database) = database().await else { return };
    database.migrated().await;
    let url = format!("{}?pgbouncer=true", database.url());
    let store = PostgresStore::connect(&PostgresOptions::new(url)).unwrap();
    let anna = user(&store, "anna").await;
    let of_anna = session(&store, &anna, Some(0)).await;
    assert!(matches!(
        store.rotate_refresh(presented(of_anna.id, 0, now()), no_effects()).await.unwrap(),
        Rotation::Rotated(_)
    ));
    let mut ear = Ear::connected(&store).await;
    let sql = database.sql().await;
    sql.batch_execute("UPDATE users SET is_staff = true").await.unwrap();
    let committed = Instant::now();
    let (told, _) = ear.until(Heard::Change(Change::User(anna.id))).await;
    assert!(told.saturating_duration_since(committed) < SOON);
    let listening =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%'";
    assert!(sql.query(listening, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn closing_ends_it() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let mut ear = Ear::connected(&store).await;
    store.close().await;
    assert_eq!(ear.next().await.1, Heard::Disconnected);
    let left = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'doorwarden'";
    let sql = database.sql().await;
    tokio::time::timeout(Duration::from_secs(2), async {
        while !sql.query(left, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("every connection is closed");
}
