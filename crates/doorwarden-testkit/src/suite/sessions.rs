use crate::{NOON, TestStore, hash, issued, login, new_session, new_user, no_effects, seconds, with};
use doorwarden_core::authentication::{Amr, AuthContext};
use doorwarden_core::session::{EndReason, SessionId};
use doorwarden_core::store::Revocations;
use doorwarden_core::user::{UserChange, UserId};
use uuid::Uuid;

const UNKNOWN: SessionId = SessionId(Uuid::from_u128(1));

pub async fn an_opened_session_is_read_as_it_was(t: &TestStore) {
    let ada = t.user("ada").await;
    let session = t.session(ada.id, NOON).await;
    assert_eq!(t.store.session(session.id).await.unwrap(), Some(session));
    assert_eq!(t.store.session(UNKNOWN).await.unwrap(), None);
    assert_eq!(t.read(ada.id).await, ada, "a session without a login is no login");
}

pub async fn a_login_is_recorded_with_the_session(t: &TestStore) {
    let ada = t.user("ada").await;
    let at = NOON.after(seconds(60));
    let session = new_session(ada.id, at);
    assert!(t.log_in(session.clone(), "ada", None).await);
    let auth = Some(AuthContext { methods: Amr::PASSWORD, assurance_level: 1, auth_time: at });
    assert_eq!(t.read_session(session.id).await, with(session, |s| s.auth = auth));
    assert_eq!(t.read(ada.id).await, with(ada, |u| u.last_login = Some(at)));
}

pub async fn the_authentication_of_a_session_is_read_as_stored(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.opened(login(new_session(ada, NOON), hash("ada"), None)).await.id;
    for (stored, methods) in
        [("pwd otp", Some("otp pwd")), ("pwd unregistered", Some("pwd")), ("unregistered", None), ("", None)]
    {
        t.by_hand(&format!("UPDATE doorwarden_sessions SET amr = '{stored}', assurance_level = 2")).await;
        let auth = t.read_session(session).await.auth;
        let read = auth.map(|auth| (auth.methods.to_string(), auth.assurance_level, auth.auth_time));
        assert_eq!(read, methods.map(|methods| (methods.to_owned(), 2, NOON)), "{stored}");
    }
}

pub async fn a_login_stores_the_upgraded_hash_and_ends_no_token(t: &TestStore) {
    let ada = t.user("ada").await;
    let earlier = t.session(ada.id, NOON).await;
    assert!(t.log_in(new_session(ada.id, NOON), "ada", Some("better")).await);
    assert_eq!(
        t.read(ada.id).await,
        with(ada, |u| {
            u.password = hash("better");
            u.last_login = Some(NOON);
        })
    );
    assert_eq!(t.read_session(earlier.id).await, earlier);
}

pub async fn a_login_with_an_outdated_password_opens_no_session(t: &TestStore) {
    let ada = t.user("ada").await;
    let session = new_session(ada.id, NOON);
    assert!(!t.log_in(session.clone(), "old", Some("better")).await);
    assert_eq!(t.store.session(session.id).await.unwrap(), None);
    assert_eq!(t.read(ada.id).await, ada);
}

pub async fn an_inactive_user_opens_no_session(t: &TestStore) {
    let mut new = new_user("ada");
    new.is_active = false;
    let ada = t.store.create_user(new, no_effects()).await.unwrap();
    let session = new_session(ada.id, NOON);
    assert!(!t.log_in(session.clone(), "ada", Some("better")).await);
    assert_eq!(t.store.open_session(issued(session.clone()), no_effects()).await.unwrap(), None);
    assert_eq!(t.store.session(session.id).await.unwrap(), None);
    assert_eq!(t.read(ada.id).await, ada);
}

pub async fn a_deleted_user_opens_no_session(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.store.delete_user(ada, no_effects()).await.unwrap();
    let session = new_session(ada, NOON);
    assert!(!t.log_in(session.clone(), "ada", None).await);
    assert_eq!(t.store.open_session(issued(session.clone()), no_effects()).await.unwrap(), None);
    assert_eq!(t.store.session(session.id).await.unwrap(), None);
}

pub async fn active_sessions_of_a_user_are_listed_newest_first(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let second = t.session(ada, NOON.after(seconds(2))).await;
    let first = t.session(ada, NOON.after(seconds(1))).await;
    let third = t.session(ada, NOON.after(seconds(3))).await;
    let short = with(new_session(ada, NOON), |s| s.expires_at = NOON.after(seconds(30)));
    t.open(short.clone()).await;
    let ended = t.session(ada, NOON).await;
    t.store.end_session(ended.id, ada, EndReason::Revoked, NOON, no_effects()).await.unwrap();
    let of_bob = t.session(bob, NOON).await;

    let alive = t.store.sessions_of(ada, NOON.after(seconds(29)), None, 1000).await.unwrap();
    assert_eq!(alive, [third.clone(), second.clone(), first.clone(), short]);
    let later = t.store.sessions_of(ada, NOON.after(seconds(30)), None, 1000).await.unwrap();
    assert_eq!(later, [third, second, first], "a session is over at the instant at which it expires");
    assert_eq!(t.store.sessions_of(bob, NOON, None, 1000).await.unwrap(), [of_bob]);
    assert_eq!(t.store.sessions_of(UserId(bob.0 + 1), NOON, None, 1000).await.unwrap(), []);
}

pub async fn a_session_ends_once_and_for_its_user_only(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let session = t.session(ada, NOON).await;
    let at = NOON.after(seconds(5));
    assert!(!t.store.end_session(session.id, bob, EndReason::Revoked, at, no_effects()).await.unwrap());
    assert_eq!(t.read_session(session.id).await, session, "nobody ends another user's session");

    assert!(t.store.end_session(session.id, ada, EndReason::LoggedOut, at, no_effects()).await.unwrap());
    assert!(
        !t.store
            .end_session(session.id, ada, EndReason::Revoked, at.after(seconds(5)), no_effects())
            .await
            .unwrap()
    );
    let ended = Some((at, EndReason::LoggedOut));
    assert_eq!(t.read_session(session.id).await, with(session, |s| s.ended = ended), "the first end counts");
    assert!(!t.store.end_session(UNKNOWN, ada, EndReason::LoggedOut, at, no_effects()).await.unwrap());
}

pub async fn every_reason_for_an_end_is_kept(t: &TestStore) {
    let ada = t.user("ada").await.id;
    for reason in EndReason::ALL {
        let session = t.session(ada, NOON).await;
        assert!(t.store.end_session(session.id, ada, reason, NOON, no_effects()).await.unwrap());
        assert_eq!(t.read_session(session.id).await.ended, Some((NOON, reason)));
    }
}

pub async fn all_sessions_but_one_end_together(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let (kept, lost, of_bob) =
        (t.session(ada, NOON).await, t.session(ada, NOON).await, t.session(bob, NOON).await);
    t.session(ada, NOON).await;
    let at = NOON.after(seconds(5));
    assert_eq!(
        t.store.end_sessions_of(ada, Some(kept.id), EndReason::Revoked, at, no_effects()).await.unwrap(),
        Some(2)
    );
    assert_eq!(
        t.store.end_sessions_of(ada, Some(kept.id), EndReason::Revoked, at, no_effects()).await.unwrap(),
        Some(0)
    );
    assert_eq!(t.read_session(kept.id).await, with(kept, |s| s.generation = 1));
    assert_eq!(t.store.sessions_of(ada, at, None, 1000).await.unwrap().len(), 1);
    assert_eq!(t.read_session(of_bob.id).await, of_bob);
    assert_eq!(t.read_session(lost.id).await.ended, Some((at, EndReason::Revoked)));
    assert_eq!(
        t.store.end_sessions_of(ada, None, EndReason::SignedOut, at, no_effects()).await.unwrap(),
        Some(1)
    );
    assert_eq!(
        t.store.end_sessions_of(ada, None, EndReason::SignedOut, at, no_effects()).await.unwrap(),
        Some(0)
    );
    assert_eq!(
        t.store
            .end_sessions_of(UserId(bob.0 + 1), None, EndReason::SignedOut, at, no_effects())
            .await
            .unwrap(),
        None
    );
}

pub async fn the_last_use_of_a_session_never_moves_back(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let (a, b) = (t.session(ada, NOON).await, t.session(ada, NOON).await);
    let [early, middle, late] = [10, 20, 30].map(|n| NOON.after(seconds(n)));
    t.store.touch_sessions(&[]).await.unwrap();
    t.store.touch_sessions(&[(a.id, middle), (UNKNOWN, late)]).await.unwrap();
    assert_eq!(t.read_session(a.id).await, with(a.clone(), |s| s.last_seen_at = middle));
    assert_eq!(t.read_session(b.id).await, b);
    t.store.touch_sessions(&[(a.id, early), (b.id, late), (b.id, early)]).await.unwrap();
    assert_eq!(t.read_session(a.id).await.last_seen_at, middle);
    assert_eq!(t.read_session(b.id).await.last_seen_at, late, "the latest of several counts");
    t.store.touch_sessions(&[(a.id, early), (a.id, late)]).await.unwrap();
    assert_eq!(t.read_session(a.id).await.last_seen_at, late);
    assert_eq!(t.store.session(UNKNOWN).await.unwrap(), None);
}

pub async fn revocations_since_a_time_are_listed_in_order(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let (a, b, c) = (t.session(ada, NOON).await, t.session(ada, NOON).await, t.session(ada, NOON).await);
    t.session(bob, NOON).await;
    let expired = with(new_session(bob, NOON), |s| s.expires_at = NOON.after(seconds(1)));
    t.open(expired).await;
    let [one, two, three] = [1, 2, 3].map(|n| NOON.after(seconds(n)));
    t.store.end_session(c.id, ada, EndReason::Revoked, three, no_effects()).await.unwrap();
    t.store.end_session(a.id, ada, EndReason::LoggedOut, one, no_effects()).await.unwrap();
    t.store.end_session(b.id, ada, EndReason::RefreshReused, two, no_effects()).await.unwrap();
    assert_eq!(
        t.store.revocations(NOON).await.unwrap(),
        Revocations {
            sessions: vec![(a.id, one, ada), (b.id, two, ada), (c.id, three, ada)],
            ..Revocations::default()
        }
    );
    t.store.sign_out_user(ada, EndReason::SignedOut, three, no_effects()).await.unwrap();
    t.store.end_sessions_of(bob, None, EndReason::SignedOut, NOON, no_effects()).await.unwrap();
    t.store.sign_out_user(bob, EndReason::SignedOut, two, no_effects()).await.unwrap();
    assert_eq!(
        t.store.revocations(two).await.unwrap(),
        Revocations {
            sessions: vec![(b.id, two, ada), (c.id, three, ada)],
            users: vec![(bob, two), (ada, three)],
            ..Revocations::default()
        }
    );
    assert_eq!(t.store.revocations(three.after(seconds(1))).await.unwrap(), Revocations::default());
}

pub async fn sessions_ended_by_deactivation_and_deletion_are_revocations(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let (of_ada, of_bob) = (t.session(ada, NOON).await.id, t.session(bob, NOON).await.id);
    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    t.store.update_user(ada, off, no_effects()).await.unwrap();
    t.store.delete_user(bob, no_effects()).await.unwrap();
    // These ends have the time of the database's clock.
    let revoked = t.store.revocations(doorwarden_core::time::Timestamp::default()).await.unwrap().sessions;
    let mut ids: Vec<_> = revoked.iter().map(|(id, ..)| *id).collect();
    let mut expected = [of_ada, of_bob];
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
}

pub async fn purging_deletes_only_sessions_that_ended_or_expired_before(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let line = NOON.after(seconds(100));
    let ending_at = |n| with(new_session(ada, NOON), |s| s.expires_at = NOON.after(seconds(n)));
    let expired_before = t.open(ending_at(99)).await;
    let expires_then = t.open(ending_at(100)).await;
    let alive = t.session(ada, NOON).await;
    let ended_before = t.session(ada, NOON).await;
    let ended_then = t.session(ada, NOON).await;
    t.store
        .end_session(ended_before.id, ada, EndReason::Revoked, NOON.after(seconds(99)), no_effects())
        .await
        .unwrap();
    t.store.end_session(ended_then.id, ada, EndReason::Revoked, line, no_effects()).await.unwrap();

    assert_eq!(t.store.purge_sessions(line, 100).await.unwrap(), 2);
    for gone in [expired_before, ended_before] {
        assert_eq!(t.store.session(gone.id).await.unwrap(), None);
    }
    for kept in [expires_then, alive, ended_then] {
        assert!(t.store.session(kept.id).await.unwrap().is_some());
    }
    assert_eq!(t.store.purge_sessions(line, 100).await.unwrap(), 0);
}

pub async fn purging_respects_its_limit(t: &TestStore) {
    let ada = t.user("ada").await.id;
    for n in 0..5 {
        t.open(with(new_session(ada, NOON), |s| s.expires_at = NOON.after(seconds(n)))).await;
    }
    let line = NOON.after(seconds(100));
    let mut deleted = Vec::new();
    for limit in [0, 2, 2, 2] {
        deleted.push(t.store.purge_sessions(line, limit).await.unwrap());
    }
    assert_eq!(deleted, [0, 2, 2, 1]);
}
