use crate::{NOON, TestStore, no_effects, seconds};
use doorwarden_core::store::SigningKey;
use doorwarden_core::time::{Clock, SystemClock};

/// A key that is announced at noon and signs this many seconds later.
pub(super) fn key(kid: &str, predecessor: &str, signs_after: u64) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        sealed: (0..=255).collect(),
        public_jwk: format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{kid}"}}"#),
        predecessor: predecessor.to_owned(),
        created_at: NOON,
        signs_from: NOON.after(seconds(signs_after)),
        signs_until: None,
        revoked_at: None,
    }
}

pub async fn keys_are_listed_in_signing_order(t: &TestStore) {
    assert_eq!(t.store.signing_keys().await.unwrap(), []);
    let keys = [key("z", "", 0), key("a", "z", 10), key("m", "a", 20)];
    for key in [&keys[2], &keys[0], &keys[1]] {
        assert!(t.store.add_signing_key(key.clone(), no_effects()).await.unwrap());
    }
    assert_eq!(t.store.signing_keys().await.unwrap(), keys);
}

pub async fn a_key_has_at_most_one_successor(t: &TestStore) {
    let first = key("first", "", 0);
    assert!(t.store.add_signing_key(first.clone(), no_effects()).await.unwrap());
    assert!(!t.store.add_signing_key(key("also first", "", 1), no_effects()).await.unwrap());
    let second = key("second", "first", 2);
    assert!(t.store.add_signing_key(second.clone(), no_effects()).await.unwrap());
    assert!(!t.store.add_signing_key(key("also second", "first", 3), no_effects()).await.unwrap());
    assert_eq!(t.store.signing_keys().await.unwrap(), [first, second]);
}

pub async fn a_key_is_revoked_once(t: &TestStore) {
    t.store.add_signing_key(key("first", "", 0), no_effects()).await.unwrap();
    t.store.add_signing_key(key("second", "first", 1), no_effects()).await.unwrap();
    let at = NOON.after(seconds(60));
    assert!(t.store.revoke_signing_key("first", at, no_effects()).await.unwrap());
    assert!(!t.store.revoke_signing_key("first", at.after(seconds(1)), no_effects()).await.unwrap());
    assert!(!t.store.revoke_signing_key("none", at, no_effects()).await.unwrap());
    let keys = t.store.signing_keys().await.unwrap();
    assert_eq!(keys.iter().map(|k| k.revoked_at).collect::<Vec<_>>(), [Some(at), None]);
}

pub async fn chains_of_two_algorithms_are_independent(t: &TestStore) {
    let of = |algorithm: &str, key: SigningKey| SigningKey { algorithm: algorithm.to_owned(), ..key };
    let keys = [of("ES256", key("a", "", 0)), of("EdDSA", key("b", "", 1)), of("ES256", key("c", "a", 2))];
    for key in &keys {
        assert!(t.store.add_signing_key(key.clone(), no_effects()).await.unwrap());
    }
    assert!(!t.store.add_signing_key(of("EdDSA", key("d", "", 3)), no_effects()).await.unwrap());
    assert_eq!(t.store.signing_keys().await.unwrap(), keys);
}

pub async fn a_key_is_rescheduled_only_from_its_known_schedule(t: &TestStore) {
    let first = key("first", "", 10);
    t.store.add_signing_key(first.clone(), no_effects()).await.unwrap();
    let (from, until) = (NOON.after(seconds(5)), Some(NOON.after(seconds(50))));
    assert!(t.store.schedule_signing_key(&first, from, until, no_effects()).await.unwrap());
    assert!(
        !t.store.schedule_signing_key(&first, NOON, None, no_effects()).await.unwrap(),
        "somebody else was faster"
    );
    let changed = SigningKey { signs_from: from, signs_until: until, ..first };
    assert_eq!(t.store.signing_keys().await.unwrap(), std::slice::from_ref(&changed));
    assert!(t.store.schedule_signing_key(&changed, from, None, no_effects()).await.unwrap());
    let changed = SigningKey { signs_until: None, ..changed };
    t.store.revoke_signing_key("first", NOON, no_effects()).await.unwrap();
    assert!(
        !t.store.schedule_signing_key(&changed, NOON, None, no_effects()).await.unwrap(),
        "it was revoked"
    );
    assert!(!t.store.schedule_signing_key(&key("none", "", 0), NOON, None, no_effects()).await.unwrap());
}

pub async fn a_key_is_resealed_once(t: &TestStore) {
    let first = key("first", "", 0);
    t.store.add_signing_key(first.clone(), no_effects()).await.unwrap();
    assert!(t.store.reseal_signing_key(&first, vec![1, 2], no_effects()).await.unwrap());
    assert!(!t.store.reseal_signing_key(&first, vec![3], no_effects()).await.unwrap());
    assert_eq!(t.store.signing_keys().await.unwrap(), [SigningKey { sealed: vec![1, 2], ..first }]);
}

pub async fn all_keys_are_revoked_at_once(t: &TestStore) {
    for (kid, predecessor) in [("first", ""), ("second", "first"), ("third", "second")] {
        t.store.add_signing_key(key(kid, predecessor, 0), no_effects()).await.unwrap();
    }
    t.store.revoke_signing_key("first", NOON, no_effects()).await.unwrap();
    let at = NOON.after(seconds(60));
    assert_eq!(t.store.revoke_signing_keys(at, no_effects()).await.unwrap(), 2);
    assert_eq!(t.store.revoke_signing_keys(at, no_effects()).await.unwrap(), 0);
    let revoked = t.store.signing_keys().await.unwrap().into_iter().map(|key| key.revoked_at);
    let mut revoked: Vec<_> = revoked.collect();
    revoked.sort();
    assert_eq!(revoked, [Some(NOON), Some(at), Some(at)]);
}

pub async fn only_a_key_that_no_longer_signs_is_deleted(t: &TestStore) {
    // By the database's clock, not the caller's.
    let now = SystemClock.now();
    let since =
        |kid: &str, predecessor: &str, signs_from| SigningKey { signs_from, ..key(kid, predecessor, 0) };
    let (past, future) = (now.before(seconds(60)), now.after(seconds(3600)));
    let first = since("first", "", past.before(seconds(60)));
    t.store.add_signing_key(first.clone(), no_effects()).await.unwrap();
    assert!(!t.store.delete_signing_key("first", no_effects()).await.unwrap(), "nothing follows it");
    t.store.add_signing_key(since("second", "first", future), no_effects()).await.unwrap();
    assert!(
        !t.store.delete_signing_key("first", no_effects()).await.unwrap(),
        "what follows it does not sign yet"
    );
    let other = SigningKey { algorithm: "ES256".to_owned(), ..since("other", "", past) };
    t.store.add_signing_key(other, no_effects()).await.unwrap();
    assert!(!t.store.delete_signing_key("first", no_effects()).await.unwrap(), "that is another chain");
    t.store.schedule_signing_key(&first, first.signs_from, Some(future), no_effects()).await.unwrap();
    assert!(!t.store.delete_signing_key("first", no_effects()).await.unwrap(), "it does not end yet");
    assert!(!t.store.delete_signing_key("second", no_effects()).await.unwrap());
    let ending = SigningKey { signs_until: Some(future), ..first };
    t.store.schedule_signing_key(&ending, ending.signs_from, Some(past), no_effects()).await.unwrap();
    assert!(t.store.delete_signing_key("first", no_effects()).await.unwrap());
    t.store.revoke_signing_key("second", past, no_effects()).await.unwrap();
    assert!(t.store.delete_signing_key("second", no_effects()).await.unwrap());
}

pub async fn a_key_is_deleted_once(t: &TestStore) {
    t.store.add_signing_key(key("first", "", 0), no_effects()).await.unwrap();
    t.store.add_signing_key(key("second", "first", 1), no_effects()).await.unwrap();
    assert!(t.store.delete_signing_key("first", no_effects()).await.unwrap());
    assert!(!t.store.delete_signing_key("first", no_effects()).await.unwrap());
    assert_eq!(t.store.signing_keys().await.unwrap(), [key("second", "first", 1)], "its successor stays");
}
