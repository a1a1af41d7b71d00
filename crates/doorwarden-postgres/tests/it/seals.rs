//! Seals over what becomes visible late, or never.

use crate::support::database;
use doorwarden_core::audit::seal::AuditVault;
use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::event::Event;
use doorwarden_core::flow::seal_events::EventSealer;
use doorwarden_core::flow::verify_audit::verify_audit;
use doorwarden_core::store::Store;
use doorwarden_core::token::SecretKey;
use doorwarden_core::user::UserId;
use doorwarden_testkit::{NOON, SeededRandom};
use std::sync::Arc;

const INSERT: &str = "INSERT INTO doorwarden_events (at, kind, actor, address, result, data) \
                      VALUES (now(), 'late', 'operator', '192.0.2.1', 'success', '{}')";

async fn log(store: &Arc<dyn Store>) {
    let event = Event::PasswordChanged { user: UserId(1) };
    store.record(Effects::new(NOON, &Actor::System.into(), [event])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_transaction_that_ends_late_is_sealed_late_and_once() {
    let Some(database) = database().await else { return };
    let store: &Arc<dyn Store> = &(Arc::new(database.migrated().await) as _);
    let vault = AuditVault::new(&SecretKey::new("a secret key of at least 32 bytes").unwrap(), &[]);
    let random = SeededRandom::new(1);
    let mut sealer = EventSealer::new(NOON, &random);
    let mut seal = async || sealer.seal(store.as_ref(), &vault, NOON, &random).await.unwrap();
    let verified = async || {
        let verified = verify_audit(store.as_ref(), &vault, &[], |_| {}).await.unwrap();
        assert!(verified.is_genuine(), "{verified:?}");
        (verified.events, verified.unsealed)
    };
    log(store).await;
    let mut one = database.sql().await;
    let mut two = database.sql().await;
    let late = one.transaction().await.unwrap();
    late.batch_execute(INSERT).await.unwrap();
    let never = two.transaction().await.unwrap();
    never.batch_execute(INSERT).await.unwrap();
    log(store).await;
    assert_eq!(seal().await, 2, "numbers 1 and 4");
    assert_eq!(verified().await, (2, 0));
    never.rollback().await.unwrap();
    log(store).await;
    late.commit().await.unwrap();
    assert_eq!(verified().await, (2, 2));
    assert_eq!(seal().await, 2, "numbers 2 and 5");
    assert_eq!(verified().await, (4, 0));
    let ids: Vec<Vec<i64>> = store
        .seals(0, 10)
        .await
        .unwrap()
        .iter()
        .map(|seal| seal.records().map(|(id, _)| id).collect())
        .collect();
    assert_eq!(ids, [vec![1, 4], vec![2, 5]]);
    let state = store.audit_state().await.unwrap();
    assert_eq!((state.head.last_id, state.head.total), (5, 4));
}
