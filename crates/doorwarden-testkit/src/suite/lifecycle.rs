use crate::{NOON, TestStore, new_user, no_effects};
use doorwarden_core::store::{StoreError, WriteUserError};
use doorwarden_core::time::{Clock as _, SystemClock};
use doorwarden_core::user::UserId;
use std::time::Duration;

pub async fn migrating_again_changes_nothing(t: &TestStore) {
    let ada = t.user("ada").await;
    assert_eq!(t.store.pending_migrations().await.unwrap(), [""; 0]);
    let (a, b, c) = tokio::join!(t.store.migrate(), t.store.migrate(), t.store.migrate());
    a.and(b).and(c).unwrap();
    assert_eq!(t.store.pending_migrations().await.unwrap(), [""; 0]);
    assert_eq!(t.read(ada.id).await, ada);
}

pub async fn an_open_store_responds_and_describes_itself(t: &TestStore) {
    t.store.ping().await.unwrap();
    assert!(["sqlite", "postgres"].contains(&t.store.kind()));
    let facts = t.store.facts().await.unwrap();
    assert!(facts.version.to_lowercase().starts_with(t.store.kind()), "{}", facts.version);
    assert!(!facts.durability.is_empty());
    if let Some(now) = facts.now {
        let ours = SystemClock.now();
        assert!(now.since(ours).max(ours.since(now)) < Duration::from_mins(1), "{now} and {ours}");
    }
}

pub async fn a_closed_store_is_unavailable(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.store.close().await;
    assert!(matches!(t.store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(t.store.user(ada).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(t.store.delete_user(UserId(1), no_effects()).await, Err(StoreError::Unavailable(_))));
    let refused = t.store.create_user(new_user("bob"), no_effects()).await;
    assert!(matches!(refused, Err(WriteUserError::Store(StoreError::Unavailable(_)))), "{refused:?}");
    t.store.close().await;
}

pub async fn a_missing_table_or_column_makes_the_database_unavailable(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.store.ready().await.unwrap();
    for (broken, mended) in [
        ("ALTER TABLE users RENAME TO gone", "ALTER TABLE gone RENAME TO users"),
        (
            "ALTER TABLE users RENAME COLUMN metadata TO gone",
            "ALTER TABLE users RENAME COLUMN gone TO metadata",
        ),
    ] {
        t.by_hand(broken).await;
        let (ready, read) = (t.store.ready().await, t.store.user(ada).await);
        assert!(matches!(ready, Err(StoreError::Unavailable(_))), "{broken}: {ready:?}");
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{broken}: {read:?}");
        t.by_hand(mended).await;
        t.store.ready().await.unwrap();
        assert!(t.store.user(ada).await.unwrap().is_some());
    }
    for table in ["doorwarden_sessions", "doorwarden_keys"] {
        t.by_hand(&format!("ALTER TABLE {table} RENAME TO gone")).await;
        let ready = t.store.ready().await;
        assert!(matches!(ready, Err(StoreError::Unavailable(_))), "{table}: {ready:?}");
        t.by_hand(&format!("ALTER TABLE gone RENAME TO {table}")).await;
    }
    t.store.ready().await.unwrap();
}

pub async fn a_restore_revokes_what_was_issued_since_the_backup(t: &TestStore) {
    assert_eq!(t.store.damage().await.unwrap(), [""; 0]);
    let ada = t.user("ada").await.id;
    let gone = t.user("gone").await.id;
    assert!(t.store.delete_user(gone, no_effects()).await.unwrap());
    let session = t.session(ada, NOON).await;
    assert!(t.store.add_signing_key(super::keys::key("first", "", 0), no_effects()).await.unwrap());
    let later = NOON.after(Duration::from_mins(5));

    let done = t.store.restored(later, 1000, true, no_effects()).await.unwrap();
    assert_eq!((done.keys, done.sessions), (1, 0));
    assert_eq!(t.read_session(session.id).await.ended, None, "sessions were to be kept");
    assert_eq!(t.store.signing_keys().await.unwrap()[0].revoked_at, Some(later));
    let bob = t.user("bob").await.id;
    assert_eq!(bob.0, gone.0 + 1001, "no id is given again that somebody may have had since");

    let done = t.store.restored(later, 1000, false, no_effects()).await.unwrap();
    assert_eq!((done.keys, done.sessions), (0, 1), "what is revoked stays as it is");
    assert_eq!(t.read_session(session.id).await.ended.map(|(at, _)| at), Some(later));
    assert_eq!(t.read(ada).await.tokens_valid_after, Some(later));
    assert_eq!(t.user("eve").await.id.0, bob.0 + 1001);
}
