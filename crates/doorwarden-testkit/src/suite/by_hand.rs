use crate::{NOON, TestStore};
use doorwarden_core::identity::{EmailKey, UsernameKey};
use doorwarden_core::session::EndReason;
use doorwarden_core::store::WriteUserError;
use doorwarden_core::user::User;

pub async fn a_row_without_keys_is_found_by_address_and_name(t: &TestStore) {
    t.by_hand("INSERT INTO users (username, email, password) VALUES ('Ada', 'Ada@Example.com', '!')").await;
    let user = t.store.user_by_email(&EmailKey::of("ADA@example.com")).await.unwrap().unwrap();
    assert_eq!((user.username.as_str(), user.email.as_str()), ("Ada", "Ada@Example.com"));
    assert_eq!(t.store.user_by_username(&UsernameKey::of("aDA")).await.unwrap(), Some(user.clone()));
    assert!(user.is_active && !user.is_staff && !user.is_superuser && !user.password.is_usable());
    assert!(
        user.metadata.is_empty()
            && user.last_login.is_none()
            && user.date_joined > NOON.before(crate::seconds(1 << 33))
    );
}

pub async fn a_row_with_every_column_is_read_as_written(t: &TestStore) {
    t.by_hand(
        "INSERT INTO users (id, username, email, password, is_active, is_staff, is_superuser, date_joined, last_login, metadata)
         VALUES (77, 'Ada', 'Ada@Example.com', '!', false, true, true, '2026-11-23T12:00:00.000000Z',
                 '2026-11-23T12:00:00.000001Z', '{\"theme\": {\"dark\": true}}')",
    )
    .await;
    let user = t.read(doorwarden_core::user::UserId(77)).await;
    let mut metadata = serde_json::Map::new();
    metadata.insert("theme".to_owned(), serde_json::json!({"dark": true}));
    let expected = User {
        is_active: false,
        is_staff: true,
        is_superuser: true,
        date_joined: NOON,
        last_login: Some(NOON.after(std::time::Duration::from_micros(1))),
        metadata,
        ..user.clone()
    };
    assert_eq!(user, expected);
}

pub async fn a_row_without_keys_is_unique_without_regard_to_case(t: &TestStore) {
    t.user("ada").await;
    let insert = "INSERT INTO users (username, email, password) VALUES";
    let same_email = t.sql.execute(&format!("{insert} ('other', 'ADA@EXAMPLE.COM', '!')")).await;
    assert!(same_email.is_err());
    let same_name = t.sql.execute(&format!("{insert} ('ADA', 'other@example.com', '!')")).await;
    assert!(same_name.is_err());
    assert_eq!(t.store.count_users().await.unwrap(), 1);

    t.by_hand(&format!("{insert} ('BOB', 'BOB@EXAMPLE.COM', '!')")).await;
    let result = t.store.create_user(crate::new_user("bob")).await;
    assert!(matches!(result, Err(WriteUserError::EmailTaken | WriteUserError::UsernameTaken)), "{result:?}");
}

pub async fn a_new_address_by_hand_is_found_and_the_old_one_is_free(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.by_hand("UPDATE users SET email = 'New@Example.com', username = 'Newname' WHERE username = 'ada'")
        .await;
    let found = t.store.user_by_email(&EmailKey::of("new@example.com")).await.unwrap();
    assert_eq!(found.map(|u| u.id), Some(ada));
    let found = t.store.user_by_username(&UsernameKey::of("newname")).await.unwrap();
    assert_eq!(found.map(|u| u.id), Some(ada));
    assert_eq!(t.store.user_by_email(&EmailKey::of("ada@example.com")).await.unwrap(), None);
    assert_ne!(t.user("ada").await.id, ada);
}

pub async fn deactivation_and_deletion_end_the_sessions(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let eve = t.user("eve").await.id;
    let [of_ada, of_bob, of_eve] =
        [t.session(ada, NOON).await, t.session(bob, NOON).await, t.session(eve, NOON).await];
    t.by_hand("UPDATE users SET is_active = false WHERE username = 'ada'").await;
    t.by_hand("DELETE FROM users WHERE username = 'bob'").await;
    assert_eq!(t.read_session(of_ada.id).await.ended.unwrap().1, EndReason::Deactivated);
    assert_eq!(t.read_session(of_bob.id).await.ended.unwrap().1, EndReason::UserDeleted);
    assert_eq!(t.read_session(of_eve.id).await, of_eve);
    assert!(!t.read(ada).await.is_active);
}

pub async fn memberships_count_at_once(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.store.create_group("editors").await.unwrap();
    t.store.add_to_group(ada, "editors").await.unwrap();
    t.by_hand("DELETE FROM doorwarden_user_groups").await;
    assert!(t.account(ada).await.groups.is_empty());
}
