use crate::{NOON, TestStore, new_user, no_effects, seconds, with};
use doorwarden_core::identity::{EmailAddress, EmailKey, Username, UsernameKey};
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{Taken, WriteUserError};
use doorwarden_core::user::{User, UserChange, UserId};

pub async fn a_created_user_is_returned_as_it_is_stored(t: &TestStore) {
    let new = new_user("ada");
    let user = t.store.create_user(new.clone(), no_effects()).await.unwrap();
    assert_eq!(t.read(user.id).await, user);
    let expected = User::new(user.id, new.username, new.email, new.password, NOON);
    assert_eq!(user, expected);
}

pub async fn an_unknown_user_is_none(t: &TestStore) {
    assert_eq!(t.store.user(UserId(1)).await.unwrap(), None);
    assert_eq!(t.store.account(UserId(1)).await.unwrap(), None);
    assert_eq!(t.store.user_by_email(&EmailKey::of("ada@example.com")).await.unwrap(), None);
    assert_eq!(t.store.user_by_username(&UsernameKey::of("ada")).await.unwrap(), None);
    assert_eq!(t.store.count_users().await.unwrap(), 0);
}

pub async fn an_email_is_unique_regardless_of_case(t: &TestStore) {
    t.user("ada").await;
    let mut other = new_user("other");
    other.email = EmailAddress::from_stored("ADA@Example.COM");
    assert!(matches!(t.store.create_user(other, no_effects()).await, Err(WriteUserError::EmailTaken)));
    assert_eq!(t.store.count_users().await.unwrap(), 1);
}

pub async fn a_username_is_unique_in_its_folded_form(t: &TestStore) {
    t.user("ärger").await;
    let mut other = new_user("other");
    other.username = Username::from_stored("ÄRGER");
    assert!(matches!(t.store.create_user(other, no_effects()).await, Err(WriteUserError::UsernameTaken)));
    assert_eq!(t.store.count_users().await.unwrap(), 1);
}

pub async fn a_user_is_found_by_email_and_username_regardless_of_case(t: &TestStore) {
    t.user("other").await;
    let user = t.user("Ärger").await;
    assert_eq!(t.store.user_by_email(&EmailKey::of("ÄRGER@example.com")).await.unwrap(), Some(user.clone()));
    assert_eq!(t.store.user_by_username(&UsernameKey::of("ärger")).await.unwrap(), Some(user));
}

pub async fn an_id_is_never_reused(t: &TestStore) {
    t.user("first").await;
    let last = t.user("last").await.id;
    assert!(t.store.delete_user(last, no_effects()).await.unwrap());
    let next = t.user("last").await.id;
    assert!(next > last, "{next} follows {last}");
    t.by_hand("DELETE FROM users").await;
    assert!(t.user("first").await.id > next);
}

pub async fn an_id_assigned_by_sql_is_never_reused(t: &TestStore) {
    t.by_hand("INSERT INTO users (id, username, email, password) VALUES (5000, 'a', 'a@example.com', '!')")
        .await;
    t.by_hand("DELETE FROM users WHERE id = 5000").await;
    assert!(t.user("ada").await.id > UserId(5000));
}

pub async fn taken_reports_values_of_other_users(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let (email, name) = (EmailKey::of("Ada@Example.com"), UsernameKey::of("ADA"));
    let (free_email, free_name) = (EmailKey::of("free@example.com"), UsernameKey::of("free"));
    let both = Taken { email: true, username: true };
    let cases = [
        (Some(&email), Some(&name), None, both),
        (Some(&email), Some(&name), Some(bob), both),
        (Some(&email), Some(&name), Some(ada), Taken::default()),
        (Some(&email), Some(&free_name), None, Taken { email: true, username: false }),
        (Some(&free_email), Some(&name), None, Taken { email: false, username: true }),
        (Some(&email), None, None, Taken { email: true, username: false }),
        (None, Some(&name), None, Taken { email: false, username: true }),
        (None, None, None, Taken::default()),
    ];
    for (email, username, except, expected) in cases {
        let taken = t.store.taken(email, username, except).await.unwrap();
        assert_eq!(taken, expected, "{email:?} {username:?} except {except:?}");
    }
}

pub async fn an_update_changes_what_it_names_and_nothing_else(t: &TestStore) {
    let before = t.user("ada").await;
    let unchanged = t.store.update_user(before.id, UserChange::default(), no_effects()).await.unwrap();
    assert_eq!(unchanged, Some(before.clone()));

    let change = UserChange {
        username: Some(Username::from_stored("Countess")),
        is_staff: Some(true),
        ..UserChange::default()
    };
    let after = t.store.update_user(before.id, change, no_effects()).await.unwrap().unwrap();
    let expected = with(before, |u| {
        u.username = Username::from_stored("Countess");
        u.is_staff = true;
    });
    assert_eq!(after, expected);
    assert_eq!(t.read(expected.id).await, expected);

    let change = UserChange {
        email: Some(EmailAddress::from_stored("countess@example.com")),
        is_staff: Some(false),
        is_superuser: Some(true),
        ..UserChange::default()
    };
    let after = t.store.update_user(expected.id, change, no_effects()).await.unwrap().unwrap();
    let email = EmailAddress::from_stored("countess@example.com");
    assert_eq!(
        after,
        with(expected, |u| {
            u.email = email;
            u.is_staff = false;
            u.is_superuser = true;
        })
    );
}

pub async fn a_changed_email_and_username_are_found_and_the_old_ones_are_free(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let change = UserChange {
        username: Some(Username::from_stored("Lovelace")),
        email: Some(EmailAddress::from_stored("Lovelace@example.com")),
        ..UserChange::default()
    };
    t.store.update_user(ada, change, no_effects()).await.unwrap();
    let found = t.store.user_by_email(&EmailKey::of("lovelace@example.com")).await.unwrap();
    assert_eq!(found.map(|u| u.id), Some(ada));
    let found = t.store.user_by_username(&UsernameKey::of("lovelace")).await.unwrap();
    assert_eq!(found.map(|u| u.id), Some(ada));
    assert_ne!(t.user("ada").await.id, ada);
}

pub async fn an_update_of_an_unknown_user_returns_none(t: &TestStore) {
    let change = UserChange { is_staff: Some(true), ..UserChange::default() };
    assert_eq!(t.store.update_user(UserId(1), change, no_effects()).await.unwrap(), None);
}

pub async fn an_update_to_a_taken_value_changes_nothing(t: &TestStore) {
    t.user("bob").await;
    let ada = t.user("ada").await;
    let change = UserChange {
        username: Some(Username::from_stored("countess")),
        email: Some(EmailAddress::from_stored("BOB@example.com")),
        ..UserChange::default()
    };
    let result = t.store.update_user(ada.id, change, no_effects()).await;
    assert!(matches!(result, Err(WriteUserError::EmailTaken)), "{result:?}");
    let change = UserChange {
        username: Some(Username::from_stored("BOB")),
        is_staff: Some(true),
        ..UserChange::default()
    };
    let result = t.store.update_user(ada.id, change, no_effects()).await;
    assert!(matches!(result, Err(WriteUserError::UsernameTaken)), "{result:?}");
    assert_eq!(t.read(ada.id).await, ada);
}

pub async fn a_user_may_change_the_case_of_their_email_and_username(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let change = UserChange {
        username: Some(Username::from_stored("ADA")),
        email: Some(EmailAddress::from_stored("Ada@Example.com")),
        ..UserChange::default()
    };
    let after = t.store.update_user(ada, change, no_effects()).await.unwrap().unwrap();
    assert_eq!((after.username.as_str(), after.email.as_str()), ("ADA", "Ada@Example.com"));
}

pub async fn deactivation_ends_every_session(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let first = t.session(ada, NOON).await;
    let second = t.session(ada, NOON).await;
    let of_bob = t.session(bob, NOON).await;
    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    assert!(!t.store.update_user(ada, off, no_effects()).await.unwrap().unwrap().is_active);
    for id in [first.id, second.id] {
        assert_eq!(t.read_session(id).await.ended.unwrap().1, EndReason::Deactivated);
    }
    assert_eq!(t.read_session(of_bob.id).await, of_bob);

    let on = UserChange { is_active: Some(true), ..UserChange::default() };
    t.store.update_user(ada, on, no_effects()).await.unwrap();
    assert!(t.read_session(first.id).await.ended.is_some(), "what has ended does not come back");
}

pub async fn deletion_removes_the_user_and_ends_the_sessions(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let logged_out = t.session(ada, NOON).await;
    let session = t.session(ada, NOON).await;
    t.store
        .end_session(logged_out.id, ada, EndReason::LoggedOut, NOON.after(seconds(1)), no_effects())
        .await
        .unwrap();
    t.store.create_group("editors", no_effects()).await.unwrap();
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();

    assert!(t.store.delete_user(ada, no_effects()).await.unwrap());
    assert!(!t.store.delete_user(ada, no_effects()).await.unwrap());
    assert_eq!(t.store.user(ada).await.unwrap(), None);
    assert_eq!(t.store.account(ada).await.unwrap(), None);
    assert_eq!(t.read_session(session.id).await.ended.unwrap().1, EndReason::UserDeleted);
    assert_eq!(t.read_session(logged_out.id).await.ended.unwrap().1, EndReason::LoggedOut);
    assert_eq!(t.store.groups().await.unwrap()[0].members, 0);
    assert_eq!(t.read(bob).await.id, bob);
    assert_eq!(t.store.count_users().await.unwrap(), 1);
}
