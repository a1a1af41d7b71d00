use crate::{NOON, TestStore, seconds};
use doorwarden_core::store::SigningKey;

/// A key that is announced at noon and signs so many seconds later.
pub(super) fn key(kid: &str, predecessor: &str, signs_after: u64) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        sealed: (0..=255).collect(),
        public_jwk: format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{kid}"}}"#),
        predecessor: predecessor.to_owned(),
        created_at: NOON,
        signs_from: NOON.after(seconds(signs_after)),
        revoked_at: None,
    }
}

pub async fn keys_are_listed_by_when_they_sign(t: &TestStore) {
    assert_eq!(t.store.signing_keys().await.unwrap(), []);
    let keys = [key("z", "", 0), key("a", "z", 10), key("m", "a", 20)];
    for key in [&keys[2], &keys[0], &keys[1]] {
        assert!(t.store.add_signing_key(key.clone()).await.unwrap());
    }
    assert_eq!(t.store.signing_keys().await.unwrap(), keys);
}

pub async fn a_key_has_at_most_one_successor(t: &TestStore) {
    let first = key("first", "", 0);
    assert!(t.store.add_signing_key(first.clone()).await.unwrap());
    assert!(!t.store.add_signing_key(key("also first", "", 1)).await.unwrap());
    let second = key("second", "first", 2);
    assert!(t.store.add_signing_key(second.clone()).await.unwrap());
    assert!(!t.store.add_signing_key(key("also second", "first", 3)).await.unwrap());
    assert_eq!(t.store.signing_keys().await.unwrap(), [first, second]);
}

pub async fn a_key_is_revoked_once(t: &TestStore) {
    t.store.add_signing_key(key("first", "", 0)).await.unwrap();
    t.store.add_signing_key(key("second", "first", 1)).await.unwrap();
    let at = NOON.after(seconds(60));
    assert!(t.store.revoke_signing_key("first", at).await.unwrap());
    assert!(!t.store.revoke_signing_key("first", at.after(seconds(1))).await.unwrap());
    assert!(!t.store.revoke_signing_key("none", at).await.unwrap());
    let keys = t.store.signing_keys().await.unwrap();
    assert_eq!(keys.iter().map(|k| k.revoked_at).collect::<Vec<_>>(), [Some(at), None]);
}

pub async fn a_key_is_deleted_once(t: &TestStore) {
    t.store.add_signing_key(key("first", "", 0)).await.unwrap();
    t.store.add_signing_key(key("second", "first", 1)).await.unwrap();
    assert!(t.store.delete_signing_key("first").await.unwrap());
    assert!(!t.store.delete_signing_key("first").await.unwrap());
    assert_eq!(t.store.signing_keys().await.unwrap(), [key("second", "first", 1)], "its successor stays");
}
