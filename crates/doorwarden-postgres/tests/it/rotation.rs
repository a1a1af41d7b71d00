use crate::support::{database, now, session, session_of, user};
use doorwarden_core::session::{EndReason, SessionId};
use doorwarden_core::store::{Rotation, SessionStore, StoreError};
use doorwarden_postgres::PostgresStore;
use doorwarden_testkit::{issued, no_effects, presented};
use std::time::Duration;
use uuid::Uuid;

async fn all_at_once(
    store: &PostgresStore,
    tokens: impl IntoIterator<Item = (SessionId, i64)>,
) -> Vec<Result<Rotation, StoreError>> {
    let tasks: Vec<_> = tokens
        .into_iter()
        .map(|(id, counter)| {
            let store = store.clone();
            tokio::spawn(
                async move { store.rotate_refresh(presented(id, counter, now()), no_effects()).await },
            )
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test]
async fn rotations_that_come_together_share_commits() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let mut tokens = Vec::new();
    for _ in 0..100 {
        tokens.push((session(&store, &anna, Some(7)).await.id, 7));
    }
    for (result, (id, _)) in all_at_once(&store, tokens.clone()).await.into_iter().zip(tokens) {
        let Ok(Rotation::Rotated(session)) = result else { panic!("{result:?}") };
        assert_eq!((session.id, session.refresh_counter), (id, Some(8)));
    }
    let sql = "SELECT count(DISTINCT xmin::text) FROM doorwarden_sessions";
    let commits: i64 = database.sql().await.query_one(sql, &[]).await.unwrap().get(0);
    assert!(commits <= 20, "{commits} commits for 100 rotations");
}

#[tokio::test]
async fn each_of_a_mixed_batch_gets_what_it_deserves() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let open = async |change: fn(&mut doorwarden_core::session::Session)| {
        let mut session = session_of(&anna, Some(5));
        change(&mut session);
        assert!(store.open_session(issued(session.clone()), no_effects()).await.unwrap().is_some());
        session.id
    };
    let plain = open(|_| {}).await;
    let repeated = open(|s| s.rotated_at = Some(s.created_at)).await;
    let reused = open(|_| {}).await;
    let future = open(|_| {}).await;
    let without = open(|s| s.refresh_counter = None).await;
    let expired = open(|s| s.expires_at = s.created_at).await;
    let idle = open(|s| {
        s.idle_seconds = Some(60);
        s.last_seen_at = s.created_at.before(Duration::from_secs(61));
    })
    .await;
    let fresh = open(|s| s.idle_seconds = Some(i64::MAX)).await;
    let ended = open(|s| s.ended = Some((s.created_at, EndReason::Revoked))).await;
    let unknown = SessionId(Uuid::nil());
    let tokens = [
        (plain, 5),
        (repeated, 4),
        (reused, 3),
        (reused, 2),
        (future, 6),
        (without, 0),
        (expired, 5),
        (idle, 5),
        (fresh, 5),
        (ended, 5),
        (unknown, 0),
        (plain, -1),
    ];
    let results: Vec<_> = all_at_once(&store, tokens).await.into_iter().map(Result::unwrap).collect();
    assert!(matches!(&results[0], Rotation::Rotated(s) if s.refresh_counter == Some(6)));
    assert!(matches!(&results[1], Rotation::Repeated(s, _) if s.refresh_counter == Some(5)));
    let reuse = |r: &Rotation| matches!(r, Rotation::Reused(s) if s.ended.is_some_and(|(_, why)| why == EndReason::RefreshReused));
    assert!(reuse(&results[2]) ^ reuse(&results[3]), "the session ends once: {results:?}");
    assert!(results[2] == Rotation::Refused || results[3] == Rotation::Refused);
    for refused in [4, 5, 6, 7, 9, 11] {
        assert_eq!(results[refused], Rotation::Refused, "{refused}");
    }
    assert!(matches!(&results[8], Rotation::Rotated(_)));
    assert_eq!(results[10], Rotation::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_rotate_the_same_sessions_without_an_error() {
    let Some(database) = database().await else { return };
    let (one, other) = (database.migrated().await, database.store());
    let anna = user(&one, "anna").await;
    let mut tokens = Vec::new();
    for _ in 0..50 {
        tokens.push((session(&one, &anna, Some(0)).await.id, 0));
    }
    let backwards: Vec<_> = tokens.iter().rev().copied().collect();
    let (first, second) = tokio::join!(all_at_once(&one, tokens), all_at_once(&other, backwards));
    let results: Vec<_> = first.into_iter().chain(second).map(Result::unwrap).collect();
    let rotated = results.iter().filter(|r| matches!(r, Rotation::Rotated(_))).count();
    let repeated = results.iter().filter(|r| matches!(r, Rotation::Repeated(..))).count();
    assert_eq!((rotated, repeated), (50, 50));
}

#[tokio::test]
async fn nobody_who_has_gone_loses_his_token() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let anna = user(&store, "anna").await;
    let id = session(&store, &anna, Some(0)).await.id;
    drop(
        tokio::time::timeout(Duration::ZERO, store.rotate_refresh(presented(id, 0, now()), no_effects()))
            .await,
    );
    let again = store.rotate_refresh(presented(id, 0, now()), no_effects()).await.unwrap();
    assert!(
        matches!(&again, Rotation::Rotated(s) | Rotation::Repeated(s, _) if s.refresh_counter == Some(1)),
        "{again:?}"
    );
}
