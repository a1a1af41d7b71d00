use super::races::successes;
use crate::{NOON, TestStore, hash, new_session, no_effects, opening, seconds, with};
use doorwarden_core::authentication::{Amr, AuthContext, PasswordProof, Purpose};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::session::EndReason;
use doorwarden_core::store::PasswordChange;
use doorwarden_core::user::UserId;

fn to(word: &str) -> PasswordChange {
    PasswordChange {
        password: hash(word),
        expected: None,
        at: NOON.after(seconds(60)),
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: false,
        keep_earlier: 0,
    }
}

pub async fn a_new_password_is_stored_and_revokes_older_tokens(t: &TestStore) {
    let before = t.user("ada").await;
    let other = t.user("bob").await;
    assert!(t.store.change_password(before.id, to("new"), no_effects()).await.unwrap());
    let tokens_valid_after = Some(NOON.after(seconds(60)));
    let after = t.read(before.id).await;
    assert_eq!(
        after,
        with(before, |u| {
            u.password = hash("new");
            u.tokens_valid_after = tokens_valid_after;
            u.sessions_generation = 1;
        })
    );
    assert_eq!(t.read(other.id).await, other);
}

pub async fn a_new_password_ends_every_session_but_the_kept_one(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let logged_out = t.session(ada, NOON).await;
    t.store
        .end_session(logged_out.id, ada, EndReason::LoggedOut, NOON.after(seconds(1)), no_effects())
        .await
        .unwrap();
    let (kept, lost, of_bob) =
        (t.session(ada, NOON).await, t.session(ada, NOON).await, t.session(bob, NOON).await);

    let change = PasswordChange { keep_session: Some(kept.id), ..to("new") };
    assert!(t.store.change_password(ada, change, no_effects()).await.unwrap());
    assert_eq!(t.read_session(kept.id).await, with(kept.clone(), |s| s.generation = 1));
    assert_eq!(t.read_session(of_bob.id).await, of_bob);
    let ended = t.read_session(lost.id).await.ended;
    assert_eq!(ended, Some((NOON.after(seconds(60)), EndReason::PasswordChanged)));
    let ended = t.read_session(logged_out.id).await.ended;
    assert_eq!(
        ended,
        Some((NOON.after(seconds(1)), EndReason::LoggedOut)),
        "what has ended ends no second time"
    );

    let change = PasswordChange { reason: EndReason::SignedOut, at: NOON.after(seconds(90)), ..to("newer") };
    assert!(t.store.change_password(ada, change, no_effects()).await.unwrap());
    assert_eq!(t.read_session(kept.id).await.ended, Some((NOON.after(seconds(90)), EndReason::SignedOut)));
}

pub async fn a_new_password_requires_the_expected_current_one(t: &TestStore) {
    let ada = t.user("ada").await;
    let session = t.session(ada.id, NOON).await;
    let change = PasswordChange { expected: Some(hash("other")), ..to("new") };
    assert!(!t.store.change_password(ada.id, change, no_effects()).await.unwrap());
    assert_eq!(t.read(ada.id).await, ada, "nothing is written");
    assert_eq!(t.read_session(session.id).await, session, "no session ends");

    let change = PasswordChange { expected: Some(hash("ada")), ..to("new") };
    assert!(t.store.change_password(ada.id, change, no_effects()).await.unwrap());
    assert_eq!(t.read(ada.id).await.password, hash("new"));
}

pub async fn changing_the_password_of_an_unknown_user_returns_none(t: &TestStore) {
    assert!(!t.store.change_password(UserId(1), to("new"), no_effects()).await.unwrap());
}

pub async fn a_new_password_is_untrimmed(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.by_hand("UPDATE users SET password_trimmed = true").await;
    assert!(t.read(ada).await.password_trimmed);
    assert!(t.store.change_password(ada, to("new"), no_effects()).await.unwrap());
    assert!(!t.read(ada).await.password_trimmed);
}

async fn earlier(t: &TestStore, id: UserId) -> Vec<PasswordHash> {
    t.store.earlier_passwords(id, 24).await.unwrap()
}

pub async fn as_many_earlier_passwords_are_kept_as_the_change_says(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    let change = async |word: &str, keep_earlier| {
        t.store.change_password(ada, PasswordChange { keep_earlier, ..to(word) }, no_effects()).await.unwrap()
    };
    for (word, keep, kept) in [
        ("one", 2, &["ada"] as &[&str]),
        ("two", 2, &["one", "ada"]),
        ("three", 2, &["two", "one"]),
        ("four", 3, &["three", "two", "one"]),
        ("five", 1, &["four"]),
        ("six", 0, &[]),
    ] {
        assert!(change(word, keep).await);
        assert_eq!(earlier(t, ada).await, kept.iter().map(|word| hash(word)).collect::<Vec<_>>(), "{word}");
    }
    for word in ["seven", "eight"] {
        change(word, 2).await;
    }
    assert_eq!(t.store.earlier_passwords(ada, 1).await.unwrap(), [hash("seven")], "the newest first");
    assert_eq!(earlier(t, bob).await, [], "those of others are not touched");

    let unusable = PasswordHash::from_stored("!unusable".to_owned());
    let change = PasswordChange { password: unusable, keep_earlier: 2, ..to("") };
    assert!(t.store.change_password(ada, change, no_effects()).await.unwrap());
    let change = PasswordChange { keep_earlier: 2, ..to("nine") };
    assert!(t.store.change_password(ada, change, no_effects()).await.unwrap());
    assert_eq!(earlier(t, ada).await, [hash("eight"), hash("seven")], "no unusable one is kept");
    let change = PasswordChange { expected: Some(hash("other")), keep_earlier: 2, ..to("ten") };
    assert!(!t.store.change_password(ada, change, no_effects()).await.unwrap());
    assert_eq!(earlier(t, ada).await, [hash("eight"), hash("seven")], "a change that fails keeps nothing");

    assert!(t.store.delete_user(ada, no_effects()).await.unwrap());
    assert_eq!(earlier(t, ada).await, [], "they go with the user");
}

pub async fn no_password_is_missing_after_simultaneous_changes(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let words: Vec<String> = (0..16).map(|n| format!("new{n}")).collect();
    let calls = words.iter().map(|word| {
        let change = PasswordChange { keep_earlier: 24, ..to(word) };
        let store = t.store.clone();
        async move { store.change_password(ada, change, no_effects()).await.unwrap() }
    });
    assert_eq!(successes(calls).await, 16);
    let mut had: Vec<String> = earlier(t, ada).await.iter().map(|hash| hash.as_str().to_owned()).collect();
    had.push(t.read(ada).await.password.as_str().to_owned());
    let mut expected: Vec<String> =
        words.iter().map(String::as_str).chain(["ada"]).map(|word| hash(word).as_str().to_owned()).collect();
    had.sort();
    expected.sort();
    assert_eq!(had, expected);
}

pub async fn a_login_can_mark_the_password_as_untrimmed(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.by_hand("UPDATE users SET password_trimmed = true").await;
    for (is_untrimmed, trimmed) in [(false, true), (true, false), (false, false)] {
        let password = PasswordProof { is_untrimmed, ..PasswordProof::of_new(hash("ada")) };
        t.opened(opening(new_session(ada, NOON), Purpose::LogIn, Some(password), None)).await;
        assert_eq!(t.read(ada).await.password_trimmed, trimmed);
    }
}

pub async fn a_new_password_opens_a_session_only_while_it_is_stored(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let open = || {
        let password = PasswordProof::of_new(hash("ada"));
        opening(new_session(ada, NOON), Purpose::NewPassword, Some(password), None)
    };
    let session = t.opened(open()).await;
    let auth = Some(AuthContext { methods: Amr::PASSWORD, assurance_level: 1, auth_time: NOON });
    assert_eq!((t.read_session(session.id).await, session.auth), (session, auth));
    assert_eq!(t.read(ada).await.last_login, None, "it is no login");
    assert!(t.store.change_password(ada, to("new"), no_effects()).await.unwrap());
    assert_eq!(t.store.open_session(open(), no_effects()).await.unwrap(), None);
}

pub async fn an_upgraded_hash_of_a_trimmed_password_stays_trimmed(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.by_hand("UPDATE users SET password_trimmed = true").await;
    assert!(t.log_in(new_session(ada, NOON), "ada", Some("better")).await);
    let after = t.read(ada).await;
    assert_eq!((after.password, after.password_trimmed), (hash("better"), true));
}

pub async fn signing_out_ends_the_sessions_and_revokes_older_tokens(t: &TestStore) {
    let ada = t.user("ada").await;
    let bob = t.user("bob").await.id;
    let (first, second, of_bob) =
        (t.session(ada.id, NOON).await, t.session(ada.id, NOON).await, t.session(bob, NOON).await);
    let logged_out = t.session(ada.id, NOON).await;
    t.store.end_session(logged_out.id, ada.id, EndReason::LoggedOut, NOON, no_effects()).await.unwrap();

    let at = NOON.after(seconds(60));
    assert_eq!(t.store.sign_out_user(ada.id, EndReason::SignedOut, at, no_effects()).await.unwrap(), Some(2));
    for id in [first.id, second.id] {
        assert_eq!(t.read_session(id).await.ended, Some((at, EndReason::SignedOut)));
    }
    assert_eq!(t.read_session(of_bob.id).await, of_bob);
    assert_eq!(
        t.read(ada.id).await,
        with(ada, |u| {
            u.tokens_valid_after = Some(at);
            u.sessions_generation = 1;
        })
    );
}

pub async fn signing_out_counts_the_ended_sessions(t: &TestStore) {
    assert_eq!(
        t.store.sign_out_user(UserId(1), EndReason::SignedOut, NOON, no_effects()).await.unwrap(),
        None
    );
    let ada = t.user("ada").await.id;
    assert_eq!(t.store.sign_out_user(ada, EndReason::SignedOut, NOON, no_effects()).await.unwrap(), Some(0));
    assert_eq!(t.read(ada).await.tokens_valid_after, Some(NOON));
}

pub async fn a_revoked_token_stays_revoked_on_an_instance_with_a_slow_clock(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.store.sign_out_user(ada, EndReason::SignedOut, NOON.after(seconds(120)), no_effects()).await.unwrap();
    // Another instance, whose clock is slow.
    t.store.sign_out_user(ada, EndReason::SignedOut, NOON, no_effects()).await.unwrap();
    assert_eq!(t.read(ada).await.tokens_valid_after, Some(NOON.after(seconds(120))));
    assert!(t.store.change_password(ada, to("new"), no_effects()).await.unwrap());
    assert_eq!(t.read(ada).await.tokens_valid_after, Some(NOON.after(seconds(120))));
}
