//! Values that PostgreSQL could take otherwise than they are meant.

use crate::support::{database, new_user, user};
use doorwarden_core::identity::{EmailAddress, EmailKey, Username, UsernameKey};
use doorwarden_core::store::{StoreError, UserFilter, UserStore, WriteUserError};
use doorwarden_testkit::no_effects;
use serde_json::{Map, Value, json};

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("an object") };
    members
}

#[tokio::test]
async fn metadata_comes_back_as_it_was() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    let mut new = new_user("anna");
    new.metadata = object(json!({
        "": null, "nul\u{0}": "\u{0}", "float": 1.0, "big": 1e16, "huge": 1e300, "small": 5e-324,
        "max": u64::MAX, "min": i64::MIN, "deep": [[[{"x": {}}]]], "text": "\u{1F600}\"\\\n\u{FFFF}",
    }));
    let created = store.create_user(new.clone(), no_effects()).await.unwrap();
    assert_eq!(created.metadata, new.metadata);
    assert_eq!(store.user(created.id).await.unwrap(), Some(created));
}

#[tokio::test]
async fn text_that_cannot_be_stored_is_an_error_to_write_and_absent_to_read() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    user(&store, "anna").await;
    let mut new = new_user("x");
    (new.username, new.email) = (Username::from_stored("a\0b"), EmailAddress::from_stored("a\0@b"));
    let refused = store.create_user(new, no_effects()).await;
    assert!(matches!(refused, Err(WriteUserError::Store(StoreError::Failed(_)))), "{refused:?}");
    let (email, name) = (EmailKey::of("anna\0@example.com"), UsernameKey::of("anna\0"));
    assert_eq!(store.user_by_email(&email).await.unwrap(), None);
    assert_eq!(store.user_by_username(&name).await.unwrap(), None);
    let taken = store.taken(Some(&email), Some(&UsernameKey::of("anna")), None).await.unwrap();
    assert!(!taken.email && taken.username);
    let filter = UserFilter { starts_with: Some("anna\0".to_owned()), ..UserFilter::default() };
    assert_eq!(store.users(&filter, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_prefix_is_text_and_no_pattern() {
    let Some(database) = database().await else { return };
    let store = database.migrated().await;
    for name in ["Anna", "anne_1", "anne%", "Änne", "bert"] {
        user(&store, name).await;
    }
    let find = async |prefix: &str| {
        let filter = UserFilter { starts_with: Some(prefix.to_owned()), ..UserFilter::default() };
        let found = store.users(&filter, None, 10).await.unwrap();
        found.into_iter().map(|user| user.username.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(find("ANN").await, ["Anna", "anne_1", "anne%"]);
    assert_eq!(find("anne_").await, ["anne_1"]);
    assert_eq!(find("anne%").await, ["anne%"]);
    assert_eq!(find("Ä").await, ["Änne"]);
    assert_eq!(find("bert@").await, ["bert"], "the address counts too");
    assert_eq!(find("").await.len(), 5);
}
