//! Several servers, and servers that change while connections are open.

use crate::proxy::{Network, Proxy};
use crate::support::{Database, Ear, Heard, database, login, now, session, user};
use doorwarden_core::store::{Change, SessionStore, Store, StoreError, UserStore};
use doorwarden_postgres::{PostgresOptions, PostgresStore};
use doorwarden_testkit::no_effects;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The URL with another host tried first.
fn with_first_host(url: &str, host: &str) -> String {
    url.replacen('@', &format!("@{host},"), 1)
}

#[tokio::test]
async fn a_first_host_that_accepts_and_never_answers_holds_up_nobody() {
    let Some(database) = database().await else { return };
    database.migrated().await;
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = with_first_host(database.url(), &frozen.local_addr().unwrap().to_string());
    let store = PostgresStore::connect(&PostgresOptions::new(&url)).unwrap();
    store.ping().await.unwrap();
    store.migrate().await.unwrap();
    let mut ear = Ear::connected(&store).await;
    let anna = user(&store, "anna").await;
    assert_eq!(store.user(anna.id).await.unwrap(), Some(anna));
    assert_eq!(ear.rest().await, []);
    PostgresOptions::new(&url).client().await.unwrap();
}

#[tokio::test]
async fn the_settings_are_made_after_the_start_of_a_connection() {
    let Some(database) = database().await else { return };
    let client = PostgresOptions::new(database.url()).client().await.unwrap();
    for (name, value) in [
        ("statement_timeout", "1500ms"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("default_transaction_isolation", "read committed"),
    ] {
        let shown = client.query_one(&format!("SHOW {name}"), &[]).await.unwrap();
        assert_eq!(shown.get::<_, &str>(0), value, "{name}");
    }
    let url = format!("{}?options=-c%20statement_timeout=7s", database.url());
    let client = PostgresOptions::new(url).client().await.unwrap();
    let shown = client.query_one("SHOW statement_timeout", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), "7s", "what the URL says counts");
}

/// Two databases with the same accounts, and a store behind a proxy that leads to the first.
async fn two_behind_one_proxy() -> Option<(Database, Database, Proxy, PostgresStore)> {
    let (one, other) = (database().await?, database().await?);
    for database in [&one, &other] {
        user(&database.migrated().await, "anna").await;
    }
    let proxy = Proxy::start(one.url()).await;
    let store = PostgresStore::connect(&PostgresOptions::new(&proxy.url)).unwrap();
    Some((one, other, proxy, store))
}

const FEED: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND query LIKE '%pg_current_snapshot%' AND pid <> pg_backend_pid()";

#[tokio::test]
async fn when_the_feed_finds_another_server_nothing_is_read_from_the_one_of_before() {
    let Some((one, other, proxy, store)) = two_behind_one_proxy().await else { return };
    let mut ear = Ear::connected(&store).await;
    // Connections that are open and idle from now on.
    let id = doorwarden_core::user::UserId(1);
    let reads = || async { store.user(id).await.unwrap() };
    tokio::join!(reads(), reads(), reads(), reads());
    other.sql().await.batch_execute("UPDATE users SET is_active = false").await.unwrap();
    proxy.lead_to(other.url());
    one.sql().await.batch_execute(FEED).await.unwrap();
    let (_, missed) = ear.until(Heard::Connected).await;
    assert!(missed.contains(&Heard::Change(Change::Everything)), "{missed:?}");
    for _ in 0..8 {
        assert!(!store.user(id).await.unwrap().unwrap().is_active);
    }
    assert!(store.open_session(login(&user_of(&store).await), no_effects()).await.unwrap().is_none());
}

async fn user_of(store: &PostgresStore) -> doorwarden_core::user::User {
    store.user(doorwarden_core::user::UserId(1)).await.unwrap().unwrap()
}

#[tokio::test]
async fn when_another_server_is_found_the_feed_follows_it_at_once() {
    let Some((_one, other, proxy, store)) = two_behind_one_proxy().await else { return };
    let mut ear = Ear::connected(&store).await;
    proxy.lead_to(other.url());
    // The feed's connection is open, and whoever is asked over a new one is the other.
    store.migrate().await.unwrap();
    ear.until(Heard::Disconnected).await;
    let (_, missed) = ear.until(Heard::Connected).await;
    assert!(missed.contains(&Heard::Change(Change::Everything)), "{missed:?}");
    other.sql().await.batch_execute("UPDATE users SET is_staff = true").await.unwrap();
    ear.until(Heard::Change(Change::User(doorwarden_core::user::UserId(1)))).await;
}

/// A server that says of itself whether it is a standby, as a proxy over which one is reached after a
/// failover.
#[tokio::test]
async fn a_server_that_is_a_standby_is_neither_asked_nor_followed() {
    let Some(database) = database().await else { return };
    let anna = user(&database.migrated().await, "anna").await;
    let sql = database.sql().await;
    sql.batch_execute(
        "CREATE SCHEMA standby; CREATE TABLE standby.state AS SELECT false AS is_standby; \
         CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql \
         AS 'SELECT is_standby FROM standby.state'",
    )
    .await
    .unwrap();
    let path = "options=-csearch_path%3Dstandby,pg_catalog,public";
    for pool in ["", "pgbouncer=true&"] {
        let url = format!("{}?{pool}{path}", database.url());
        let connect = || PostgresStore::connect(&PostgresOptions::new(&url)).unwrap();
        let store = connect();
        let mut ear = Ear::connected(&store).await;
        sql.batch_execute("UPDATE standby.state SET is_standby = true").await.unwrap();
        ear.until(Heard::Disconnected).await;
        assert_eq!(ear.rest().await, [], "it is not followed again");
        let refused = connect().user(anna.id).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        sql.batch_execute("UPDATE standby.state SET is_standby = false").await.unwrap();
        ear.until(Heard::Connected).await;
        assert!(connect().user(anna.id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_answer_that_the_server_of_before_gave_is_not_believed() {
    let Some((one, other, proxy, store)) = two_behind_one_proxy().await else { return };
    other.sql().await.batch_execute("UPDATE users SET is_active = false").await.unwrap();
    let anna = user_of(&store).await;
    let lock = one.sql().await;
    lock.batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    let (reading, id) = (store.clone(), anna.id);
    let reading = tokio::spawn(async move { reading.user(id).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.lead_to(other.url());
    store.migrate().await.unwrap();
    lock.batch_execute("COMMIT").await.unwrap();
    let read = reading.await.unwrap().unwrap().unwrap();
    assert!(!read.is_active, "it is asked again, where the accounts are now");
}

#[tokio::test]
async fn commits_that_do_not_end_leave_room_for_reads_and_for_later_writes() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    // As a commit that waits for a standby: no limit of the server's ends it.
    let sql = database.sql().await;
    sql.batch_execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON doorwarden_sessions DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION slow(); SELECT pg_advisory_lock(7)",
    )
    .await
    .unwrap();
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'doorwarden'";
    let connections = || async { sql.query_one(count, &[]).await.unwrap().get::<_, i64>(0) };
    for round in 0..3 {
        let opening: Vec<_> = (0..12)
            .map(|_| {
                let (store, login) = (store.clone(), login(&anna));
                tokio::spawn(async move { store.open_session(login, no_effects()).await })
            })
            .collect();
        for opening in opening {
            let opened = opening.await.unwrap();
            assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{opened:?}");
        }
        let began = Instant::now();
        assert_eq!(store.user(anna.id).await.unwrap().as_ref(), Some(&anna), "round {round}");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        let open = connections().await;
        assert!(open <= 16, "{open} in round {round}");
    }
    sql.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    let began = Instant::now();
    while !store.open_session(login(&anna), no_effects()).await.is_ok_and(|opened| opened.is_some()) {
        assert!(began.elapsed() < Duration::from_secs(5), "places come free when the server has ended");
    }
}

#[tokio::test]
async fn behind_a_transaction_pool_the_server_gives_up_what_waits_too() {
    let Some(database) = database().await else { return };
    let anna = user(&database.migrated().await, "anna").await;
    let store =
        PostgresStore::connect(&PostgresOptions::new(format!("{}?pgbouncer=true", database.url()))).unwrap();
    let sql = database.sql().await;
    sql.batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    let refused = tokio::join!(store.delete_user(anna.id, no_effects()), store.user(anna.id));
    assert!(
        matches!(refused, (Err(StoreError::Unavailable(_)), Err(StoreError::Unavailable(_)))),
        "{refused:?}"
    );
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                   (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(
        sql.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0),
        0,
        "nobody waits for the lock any more"
    );
    sql.batch_execute("COMMIT").await.unwrap();
    assert!(store.user(anna.id).await.unwrap().is_some());
    assert!(session(&store, &anna, None).await.ended.is_none());
}

#[tokio::test]
async fn whatever_keeps_a_connection_from_being_made_or_used_is_unavailable() {
    let Some(database) = database().await else { return };
    database.migrated().await;
    let sql = database.sql().await;
    let role = format!(
        "{}_role",
        sql.query_one("SELECT current_database()::text", &[]).await.unwrap().get::<_, &str>(0)
    );
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO";
    sql.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'first'; {grant} {role}")).await.unwrap();
    let at = database.url().find('@').unwrap();
    let url = |password: &str| format!("postgres://{role}:{password}{}", &database.url()[at..]);
    let store = PostgresStore::connect(&PostgresOptions::new(url("first"))).unwrap();
    store.ready().await.unwrap();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    for (broken, mended) in [
        (format!("ALTER ROLE {role} PASSWORD 'second'"), format!("ALTER ROLE {role} PASSWORD 'first'")),
        (format!("ALTER ROLE {role} NOLOGIN"), format!("ALTER ROLE {role} LOGIN")),
        (format!("REVOKE ALL ON users FROM {role}"), format!("{grant} {role}")),
        (format!("REVOKE ALL ON doorwarden_keys FROM {role}"), format!("{grant} {role}")),
        (
            "ALTER TABLE users RENAME metadata TO other".into(),
            "ALTER TABLE users RENAME other TO metadata".into(),
        ),
        (
            "ALTER TABLE doorwarden_sessions RENAME TO x".into(),
            "ALTER TABLE x RENAME TO doorwarden_sessions".into(),
        ),
    ] {
        sql.batch_execute(&broken).await.unwrap();
        sql.batch_execute(&end).await.unwrap();
        let ready = store.ready().await;
        assert!(matches!(ready, Err(StoreError::Unavailable(_))), "{broken}: {ready:?}");
        sql.batch_execute(&mended).await.unwrap();
        let ready = store.ready().await;
        assert!(ready.is_ok(), "{mended}: {ready:?}");
    }
    drop(store);
    let wrong = PostgresStore::connect(&PostgresOptions::new(url("wrong"))).unwrap();
    let refused = wrong.sessions_of(doorwarden_core::user::UserId(1), now(), None, 1).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    sql.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_is_left_for_another_host() {
    let Some(database) = database().await else { return };
    let anna = user(&database.migrated().await, "anna").await;
    let proxy = Proxy::start(database.url()).await;
    let port = |url: &str| url[url.find('@').unwrap() + 1..url.rfind('/').unwrap()].to_owned();
    let url = with_first_host(database.url(), &port(&proxy.url));
    let store = PostgresStore::connect(&PostgresOptions::new(url)).unwrap();
    store.ping().await.unwrap();
    proxy.set(Network::Silent);
    let began = Instant::now();
    while store.user(anna.id).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(6), "the other host is there");
    }
}
