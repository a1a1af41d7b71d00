use crate::{TestStore, new_user, no_effects};
use doorwarden_core::store::WriteUserError;
use doorwarden_core::user::{METADATA_MAX_BYTES, UserChange, UserId};
use serde_json::{Map, Value, json};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// An object of exactly this many bytes as JSON; half of them are letters of two bytes.
fn of_size(bytes: usize) -> Map<String, Value> {
    let rest = bytes - r#"{"k":"","l":""}"#.len();
    let (two, one) = (rest / 4, rest - rest / 4 * 2);
    let map = object(json!({ "k": "é".repeat(two), "l": "a".repeat(one) }));
    assert_eq!(serde_json::to_string(&map).unwrap().len(), bytes);
    map
}

async fn patch(t: &TestStore, id: UserId, value: Value) -> Map<String, Value> {
    let change = UserChange { metadata: object(value), ..UserChange::default() };
    let user = t.store.update_user(id, change, no_effects()).await.unwrap().unwrap();
    assert_eq!(t.read(id).await, user);
    user.metadata
}

pub async fn a_patch_sets_and_removes_members_at_the_top_level(t: &TestStore) {
    let mut new = new_user("ada");
    new.metadata = object(json!({"theme": {"dark": true, "size": 3}, "plan": "free", "n": 1}));
    let ada = t.store.create_user(new, no_effects()).await.unwrap().id;

    let after = patch(t, ada, json!({"theme": {"dark": false}, "new": [1, null]})).await;
    assert_eq!(after, object(json!({"theme": {"dark": false}, "plan": "free", "n": 1, "new": [1, null]})));

    let after = patch(t, ada, json!({"plan": null, "never": null, "theme": {"dark": null}})).await;
    assert_eq!(after, object(json!({"theme": {"dark": null}, "n": 1, "new": [1, null]})));

    let after = patch(t, ada, json!({})).await;
    assert_eq!(after, object(json!({"theme": {"dark": null}, "n": 1, "new": [1, null]})));
}

pub async fn names_of_members_are_taken_literally(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let odd = json!({"a.b": 1, "$": 2, "\"": 3, "": 4, "a[0]": 5, "'": 6, "{}": 7, "\\": 8, "0": 9});
    assert_eq!(patch(t, ada, odd.clone()).await, object(odd));
    let after =
        patch(t, ada, json!({"a.b": null, "$": null, "\"": null, "": null, "a[0]": null, "'": null})).await;
    assert_eq!(after, object(json!({"{}": 7, "\\": 8, "0": 9})));
}

pub async fn metadata_is_limited_to_16_kib(t: &TestStore) {
    let mut new = new_user("ada");
    new.metadata = of_size(METADATA_MAX_BYTES + 1);
    let refused = t.store.create_user(new.clone(), no_effects()).await;
    assert!(matches!(refused, Err(WriteUserError::MetadataTooLarge)), "{refused:?}");
    assert_eq!(t.store.count_users().await.unwrap(), 0);

    new.metadata = of_size(METADATA_MAX_BYTES);
    let user = t.store.create_user(new, no_effects()).await.unwrap();
    assert_eq!(t.read(user.id).await.metadata, of_size(METADATA_MAX_BYTES));
}

pub async fn patched_metadata_is_limited_to_16_kib(t: &TestStore) {
    let mut new = new_user("ada");
    new.metadata = object(json!({"old": "x".repeat(1000)}));
    let before = t.store.create_user(new, no_effects()).await.unwrap();
    let room =
        METADATA_MAX_BYTES - serde_json::to_string(&before.metadata).unwrap().len() - r#","z":"""#.len();

    let too_much = object(json!({"z": "a".repeat(room + 1)}));
    let change = UserChange { metadata: too_much, is_staff: Some(true), ..UserChange::default() };
    let refused = t.store.update_user(before.id, change, no_effects()).await;
    assert!(matches!(refused, Err(WriteUserError::MetadataTooLarge)), "{refused:?}");
    assert_eq!(t.read(before.id).await, before, "nothing of a refused change is stored");

    let after = patch(t, before.id, json!({"z": "a".repeat(room)})).await;
    assert_eq!(serde_json::to_string(&after).unwrap().len(), METADATA_MAX_BYTES);
    let after = patch(t, before.id, json!({"old": null})).await;
    assert_eq!(after, object(json!({"z": "a".repeat(room)})));
}
