use crate::proxy::{Network, Proxy};
use crate::support::{Database, database, login, new_user, now, session_of, user};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{
    GroupStore, KeyStore, MigrateError, SessionStore, Store, StoreError, UserFilter, UserStore,
    WriteUserError,
};
use doorwarden_core::user::{User, UserChange};
use doorwarden_postgres::{PostgresOptions, PostgresStore};
use doorwarden_testkit::{issued, no_effects, presented};
use std::time::{Duration, Instant};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(2);

async fn behind_proxy() -> Option<(Database, Proxy, PostgresStore, User)> {
    let database = database().await?;
    let proxy = Proxy::start(database.url()).await;
    let anna = user(&database.migrated().await, "anna").await;
    let store = PostgresStore::connect(&PostgresOptions::new(&proxy.url)).unwrap();
    store.ping().await.unwrap();
    Some((database, proxy, store, anna))
}

fn unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}

/// Calls of every kind, all at once.
async fn everything_is_unavailable(store: &PostgresStore, anna: &User) {
    let started = Instant::now();
    let id = SessionId(Uuid::nil());
    let change = || UserChange { is_staff: Some(true), ..UserChange::default() };
    tokio::join!(
        async { unavailable(&store.ping().await) },
        async { unavailable(&store.user(anna.id).await) },
        async { unavailable(&store.account(anna.id).await) },
        async { unavailable(&store.count_users().await) },
        async { unavailable(&store.users(&UserFilter::default(), None, 10).await) },
        async { unavailable(&store.delete_user(anna.id, no_effects()).await) },
        async { unavailable(&store.open_session(login(anna), no_effects()).await) },
        async { unavailable(&store.session(id).await) },
        async { unavailable(&store.rotate_refresh(presented(id, 0, now()), no_effects()).await) },
        async { unavailable(&store.touch_sessions(&[(id, now())]).await) },
        async { unavailable(&store.purge_sessions(now(), 10).await) },
        async { unavailable(&store.groups().await) },
        async { unavailable(&store.signing_keys().await) },
        async {
            let created = store.create_user(new_user("bert"), no_effects()).await;
            assert!(matches!(created, Err(WriteUserError::Store(StoreError::Unavailable(_)))), "{created:?}");
            let changed = store.update_user(anna.id, change(), no_effects()).await;
            assert!(matches!(changed, Err(WriteUserError::Store(StoreError::Unavailable(_)))), "{changed:?}");
        },
        async {
            let migrated = store.migrate().await;
            assert!(matches!(migrated, Err(MigrateError::Store(StoreError::Unavailable(_)))), "{migrated:?}");
        },
    );
    // Two of the calls come one after the other.
    assert!(started.elapsed() < LIMIT * 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_that_refuses_is_unavailable_at_once_and_comes_back() {
    let Some((_database, proxy, store, anna)) = behind_proxy().await else { return };
    proxy.set(Network::Cut);
    everything_is_unavailable(&store, &anna).await;
    proxy.set(Network::Up);
    assert!(store.user(anna.id).await.unwrap().is_some());
    assert!(store.open_session(login(&anna), no_effects()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_is_silent_is_unavailable_within_two_seconds_and_comes_back() {
    let Some((_database, proxy, store, anna)) = behind_proxy().await else { return };
    proxy.set(Network::Silent);
    let started = Instant::now();
    let slow = tokio::join!(
        store.user(anna.id),
        store.rotate_refresh(presented(SessionId(Uuid::nil()), 0, now()), no_effects())
    );
    unavailable(&slow.0);
    unavailable(&slow.1);
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    everything_is_unavailable(&store, &anna).await;
    proxy.set(Network::Cut);
    proxy.set(Network::Up);
    assert!(store.user(anna.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_is_made_before_its_server_is_there() {
    let store = PostgresStore::connect(&PostgresOptions::new("postgres://u:p@127.0.0.1:1/d")).unwrap();
    let started = Instant::now();
    unavailable(&store.ping().await);
    let message = store.count_users().await.unwrap_err().to_string();
    assert!(message.contains("refused"), "{message}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_read_survives_that_every_pooled_connection_was_ended() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let sql = database.sql().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'doorwarden'";
    for _ in 0..5 {
        let reads = || async { store.user(anna.id).await };
        tokio::try_join!(reads(), reads(), reads(), reads()).unwrap();
        sql.query(end, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_long_statement_ends_when_its_server_vanishes() {
    let Some((database, proxy, _, _)) = behind_proxy().await else { return };
    // The only connection of the pool is in use, so it cannot tell whether the server lives.
    let options = PostgresOptions { max_connections: 1, ..PostgresOptions::new(&proxy.url) };
    let store = PostgresStore::connect(&options).unwrap();
    let sql = database.sql().await;
    sql.batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    let counting = tokio::spawn(async move { store.count_users().await });
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert!(!counting.is_finished(), "it may take longer than an ordinary call");
    proxy.set(Network::Silent);
    let silent = Instant::now();
    unavailable(&counting.await.unwrap());
    assert!(silent.elapsed() < LIMIT, "{:?}", silent.elapsed());
}

#[tokio::test]
async fn a_statement_that_waits_for_a_lock_gives_up_in_time() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let sql = database.sql().await;
    sql.batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    let started = Instant::now();
    unavailable(&store.delete_user(anna.id, no_effects()).await);
    assert!(started.elapsed() < LIMIT);
    sql.batch_execute("COMMIT").await.unwrap();
    assert!(store.user(anna.id).await.unwrap().is_some(), "what was given up has not happened");
}

#[tokio::test]
async fn a_closed_store_is_unavailable_and_has_finished_what_was_begun() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let sessions: Vec<_> = (0..20).map(|_| session_of(&anna, Some(0))).collect();
    for session in &sessions {
        let open = issued(session.clone());
        assert!(store.open_session(open, no_effects()).await.unwrap().is_some());
    }
    let rotations: Vec<_> = sessions
        .iter()
        .map(|session| {
            let (store, id) = (store.clone(), session.id);
            tokio::spawn(async move { store.rotate_refresh(presented(id, 0, now()), no_effects()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    for rotation in rotations {
        rotation.await.unwrap().unwrap();
    }
    unavailable(&store.ping().await);
    unavailable(&store.session(sessions[0].id).await);
}
