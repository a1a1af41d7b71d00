use crate::{NOON, TestStore, hash, new_session, new_user, no_effects, seconds, with};
use doorwarden_core::identity::{EmailAddress, EmailKey, UsernameKey};
use doorwarden_core::session::{EndReason, Session};
use doorwarden_core::store::{KeyCollision, PasswordChange, WriteUserError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{UserChange, UserId};

pub async fn a_row_without_keys_is_found_by_email_and_username(t: &TestStore) {
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
    let expected = with(user.clone(), |u| {
        u.is_active = false;
        u.is_staff = true;
        u.is_superuser = true;
        u.date_joined = NOON;
        u.last_login = Some(NOON.after(std::time::Duration::from_micros(1)));
        u.metadata = metadata;
    });
    assert_eq!(user, expected);
}

pub async fn a_row_without_keys_is_unique_regardless_of_case(t: &TestStore) {
    t.user("ada").await;
    let insert = "INSERT INTO users (username, email, password) VALUES";
    let same_email = t.sql.execute(&format!("{insert} ('other', 'ADA@EXAMPLE.COM', '!')")).await;
    assert!(same_email.is_err());
    let same_name = t.sql.execute(&format!("{insert} ('ADA', 'other@example.com', '!')")).await;
    assert!(same_name.is_err());
    assert_eq!(t.store.count_users().await.unwrap(), 1);

    t.by_hand(&format!("{insert} ('BOB', 'BOB@EXAMPLE.COM', '!')")).await;
    let result = t.store.create_user(crate::new_user("bob"), no_effects()).await;
    assert!(matches!(result, Err(WriteUserError::EmailTaken | WriteUserError::UsernameTaken)), "{result:?}");
}

pub async fn an_email_changed_by_sql_is_found_and_the_old_one_is_free(t: &TestStore) {
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

pub async fn memberships_take_effect_immediately(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.store.create_group("editors", no_effects()).await.unwrap();
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
    t.by_hand("DELETE FROM doorwarden_user_groups").await;
    assert!(t.account(ada).await.groups.is_empty());
}

pub async fn a_password_changed_by_sql_ends_the_sessions_and_tokens(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    let [of_ada, of_bob] = [t.session(ada, NOON).await, t.session(bob, NOON).await];
    t.by_hand("UPDATE users SET password = '!' WHERE username = 'ada'").await;
    assert_eq!(t.read_session(of_ada.id).await.ended.unwrap().1, EndReason::PasswordChanged);
    assert!(t.store.sessions_of(ada, NOON, None, 10).await.unwrap().is_empty());
    assert!(t.read(ada).await.tokens_valid_after.unwrap() > NOON.before(seconds(1 << 33)));
    assert_eq!(t.read_session(of_bob.id).await, of_bob);
    assert_eq!(t.read(bob).await.tokens_valid_after, None);
    let opened = t.session(ada, NOON).await;
    t.by_hand("UPDATE users SET password = password, last_login = NULL").await;
    assert_eq!(t.read_session(opened.id).await, opened, "the same password is no new one");
}

pub async fn an_upgraded_hash_of_the_same_password_ends_nothing(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let open = t.session(ada, NOON).await;
    assert!(t.log_in(new_session(ada, NOON), "ada", Some("better")).await);
    assert_eq!(t.read_session(open.id).await, open);
    assert_eq!(t.read(ada).await.tokens_valid_after, None);
    // The exemption does not last: the next change is SQL by hand again.
    t.by_hand("UPDATE users SET password = 'another'").await;
    assert_eq!(t.read_session(open.id).await.ended.unwrap().1, EndReason::PasswordChanged);
}

pub async fn a_password_change_by_the_store_has_the_callers_time(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let (kept, other) = (t.session(ada, NOON).await, t.session(ada, NOON).await);
    let change = PasswordChange {
        password: hash("new"),
        expected: None,
        at: NOON,
        keep_session: Some(kept.id),
        reason: EndReason::SignedOut,
        proves_email: false,
        keep_earlier: 0,
    };
    assert!(t.store.change_password(ada, change, no_effects()).await.unwrap());
    assert_eq!(t.read(ada).await.tokens_valid_after, Some(NOON));
    assert_eq!(t.read_session(other.id).await.ended, Some((NOON, EndReason::SignedOut)));
    assert_eq!(t.read_session(kept.id).await.ended, None);
}

/// Inserts a user without unique keys.
async fn insert(t: &TestStore, id: i64, username: &str, email: &str) {
    let sql = format!(
        "INSERT INTO users (id, username, email, password) VALUES ({id}, '{username}', '{email}', '!')"
    );
    t.by_hand(&sql).await;
}

async fn found(t: &TestStore, email: &str) -> Option<i64> {
    t.store.user_by_email(&EmailKey::of(email)).await.unwrap().map(|user| user.id.0)
}

pub async fn a_row_with_non_ascii_characters_by_sql_is_found_immediately(t: &TestStore) {
    insert(t, 7, "Ünal", "sql@Müller.de").await;
    assert_eq!(found(t, "sql@xn--mller-kva.de").await, Some(7));
    assert_eq!(found(t, "SQL@MÜLLER.DE").await, Some(7));
    let by_name = t.store.user_by_username(&UsernameKey::of("üNAL")).await.unwrap();
    assert_eq!(by_name.map(|user| user.id), Some(UserId(7)));
    t.by_hand("UPDATE users SET email = 'sql@Bücher.example', username = 'ＳＱＬ' WHERE id = 7").await;
    let by_name = t.store.user_by_username(&UsernameKey::of("sql")).await.unwrap();
    assert_eq!(by_name.map(|user| user.id), Some(UserId(7)));
    assert_eq!(found(t, "sql@xn--bcher-kva.example").await, Some(7));
    assert_eq!(found(t, "sql@müller.de").await, None);
    assert_eq!(t.store.resolve_keys().await.unwrap(), 0, "nothing is left to be done");
    assert!(t.store.key_collisions().await.unwrap().is_empty());
}

pub async fn the_email_of_a_row_by_sql_cannot_be_taken(t: &TestStore) {
    insert(t, 7, "sql", "sql@müller.de").await;
    let mut same = new_user("other");
    same.email = EmailAddress::from_stored("sql@xn--mller-kva.de");
    let created = t.store.create_user(same, no_effects()).await;
    assert!(matches!(created, Err(WriteUserError::EmailTaken)), "{created:?}");
    insert(t, 8, "sql2", "sql@bücher.example").await;
    let taken = t.store.taken(Some(&EmailKey::of("sql@xn--bcher-kva.example")), None, None).await.unwrap();
    assert!(taken.email);
    insert(t, 9, "sql3", "sql@straße.example").await;
    let ada = t.user("ada").await.id;
    let email = Some(EmailAddress::from_stored("sql@xn--strae-oqa.example"));
    let changed = t.store.update_user(ada, UserChange { email, ..UserChange::default() }, no_effects()).await;
    assert!(matches!(changed, Err(WriteUserError::EmailTaken)), "{changed:?}");
}

pub async fn the_older_of_two_rows_with_one_key_keeps_it(t: &TestStore) {
    let mut older = new_user("older");
    older.email = EmailAddress::from_stored("jane@xn--mller-kva.de");
    let older = t.store.create_user(older, no_effects()).await.unwrap().id;
    insert(t, 50, "younger", "Jane@müller.de").await;
    insert(t, 51, "ｏｌｄｅｒ", "third@example.com").await;
    assert_eq!(found(t, "jane@müller.de").await, Some(older.0));
    let collision = |field, younger| KeyCollision { field, younger: UserId(younger), older: Some(older) };
    let collisions = t.store.key_collisions().await.unwrap();
    assert_eq!(collisions, [collision("email", 50), collision("username", 51)]);
    assert_eq!(found(t, "third@example.com").await, Some(51));
    assert_eq!(found(t, "COLLIDES-50").await, None);

    // An older row that gets the email address only now.
    insert(t, 40, "fourth", "fourth@example.com").await;
    insert(t, 60, "fifth", "fifth@example.com").await;
    t.by_hand("UPDATE users SET email = 'x@müller.de' WHERE id = 60").await;
    assert_eq!(found(t, "x@müller.de").await, Some(60));
    t.by_hand("UPDATE users SET email = 'X@MÜLLER.de' WHERE id = 40").await;
    assert_eq!(found(t, "x@müller.de").await, Some(40));

    // A row with a new email address gets its key; a freed key is assigned when all keys are recomputed.
    t.by_hand("UPDATE users SET email = 'jane@example.com' WHERE id = 50").await;
    assert_eq!(found(t, "jane@example.com").await, Some(50));
    t.store.delete_user(UserId(40), no_effects()).await.unwrap();
    assert_eq!(found(t, "x@müller.de").await, None);
    t.store.doubt_keys().await.unwrap();
    assert!(t.store.resolve_keys().await.unwrap() > 0);
    assert_eq!(found(t, "x@müller.de").await, Some(60));
    assert_eq!(t.store.key_collisions().await.unwrap(), [collision("username", 51)]);
}

pub async fn wrong_keys_by_sql_are_repaired_when_all_are_recomputed(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.by_hand("UPDATE users SET email_key = 'nobody@example.com', username_key = 'nobody'").await;
    assert_eq!(found(t, "ada@example.com").await, None);
    t.store.doubt_keys().await.unwrap();
    assert_eq!(found(t, "ada@example.com").await, Some(ada.0));
}

pub async fn a_session_deleted_by_hand_stays_in_the_feed(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let (now, since) = (real_now(), NOON.before(seconds(10)));
    let pair = |session: Session| with(session, |s| s.refresh_counter = Some(0));
    let living = t.open(pair(new_session(ada, now))).await.id;
    let logged_out = t.open(pair(new_session(ada, now))).await.id;
    let without_tokens = t.open(with(new_session(ada, now), |s| s.refresh_counter = None)).await.id;
    let long_over = t.open(pair(with(new_session(ada, NOON), |s| s.expires_at = NOON))).await.id;
    t.store.end_session(logged_out, ada, EndReason::LoggedOut, now, no_effects()).await.unwrap();
    t.by_hand("DELETE FROM doorwarden_sessions").await;
    let revoked = t.store.revocations(since).await.unwrap();
    let ids: Vec<_> = revoked.sessions.iter().map(|(id, ..)| *id).collect();
    assert!(ids.contains(&living) && ids.contains(&logged_out), "{ids:?}");
    assert!(!ids.contains(&without_tokens) && !ids.contains(&long_over), "{ids:?}");
    let (_, at, user) = revoked.sessions.iter().find(|(id, ..)| *id == logged_out).unwrap();
    assert_eq!((*at, *user), (now, ada), "when it ended, not when its row was deleted");
    t.store.purge_sessions(now.after(seconds(1 << 33)), 100).await.unwrap();
    assert_eq!(t.store.revocations(since).await.unwrap().sessions.len(), 2, "it is too early to forget them");
}

pub async fn a_fast_clock_deletes_no_active_session(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let now = real_now();
    let living = t.open(with(new_session(ada, now), |s| s.expires_at = now.after(seconds(3600)))).await;
    let just_ended = t.session(ada, now).await;
    t.store.end_session(just_ended.id, ada, EndReason::LoggedOut, now, no_effects()).await.unwrap();
    let two_months_ahead = now.after(seconds(61 * 86_400));
    assert_eq!(t.store.purge_sessions(two_months_ahead, 100).await.unwrap(), 0);
    assert_eq!(t.read_session(living.id).await, living);
    assert!(t.read_session(just_ended.id).await.ended.is_some());
}

/// The machine's clock, the only one that triggers have.
fn real_now() -> Timestamp {
    use doorwarden_core::time::Clock as _;
    doorwarden_core::time::SystemClock.now()
}
