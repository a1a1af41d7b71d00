use crate::{NOON, TestStore, new_session, seconds};
use doorwarden_core::session::{EndReason, Session, SessionId};
use doorwarden_core::store::Rotation;
use doorwarden_core::user::UserChange;
use std::time::Duration;
use uuid::Uuid;

pub async fn the_newest_token_rotates(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    let other = t.session(ada, NOON).await;
    for n in 0..3 {
        let at = NOON.after(seconds(60 * (n + 1)));
        let n = i64::try_from(n).unwrap();
        let expected = Session { refresh_counter: Some(n + 1), last_seen_at: at, ..session.clone() };
        assert_eq!(
            t.store.rotate_refresh(session.id, n, at).await.unwrap(),
            Rotation::Rotated(expected.clone())
        );
        assert_eq!(t.read_session(session.id).await, expected);
    }
    assert_eq!(t.read_session(other.id).await, other);
}

pub async fn the_token_before_the_newest_gets_the_newest_again(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.store.rotate_refresh(session.id, 0, NOON.after(seconds(60))).await.unwrap();
    let now = t.read_session(session.id).await;
    for later in [60, 61, 3600] {
        let again = t.store.rotate_refresh(session.id, 0, NOON.after(seconds(later))).await.unwrap();
        assert_eq!(again, Rotation::Repeated(now.clone()));
    }
    assert_eq!(t.read_session(session.id).await, now, "a repetition changes nothing");
    let next = t.store.rotate_refresh(session.id, 1, NOON.after(seconds(3601))).await.unwrap();
    assert!(matches!(next, Rotation::Rotated(s) if s.refresh_counter == Some(2)));
}

pub async fn an_older_token_ends_the_session(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    let other = t.session(ada, NOON).await;
    for n in 0..3 {
        t.store.rotate_refresh(session.id, n, NOON).await.unwrap();
    }
    let before = t.read_session(session.id).await;
    let at = NOON.after(seconds(60));
    let expected = Session { ended: Some((at, EndReason::RefreshReused)), ..before };
    let result = t.store.rotate_refresh(session.id, 1, at).await.unwrap();
    assert_eq!(result, Rotation::Reused(expected.clone()));
    assert_eq!(t.read_session(session.id).await, expected);
    assert_eq!(t.read_session(other.id).await, other);
    for n in 0..5 {
        let after = t.store.rotate_refresh(session.id, n, at).await.unwrap();
        assert_eq!(after, Rotation::Refused, "counter {n} after the end");
    }
}

pub async fn a_counter_that_was_never_given_is_refused_and_ends_nothing(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    for counter in [1, 2, i64::MAX] {
        let result = t.store.rotate_refresh(session.id, counter, NOON).await.unwrap();
        assert_eq!(result, Rotation::Refused, "counter {counter}");
    }
    assert_eq!(t.read_session(session.id).await, session);

    let without = t.open(Session { refresh_counter: None, ..new_session(ada, NOON) }).await;
    for counter in [-1, 0, 1] {
        let result = t.store.rotate_refresh(without.id, counter, NOON).await.unwrap();
        assert_eq!(result, Rotation::Refused, "counter {counter} where there is none");
    }
    assert_eq!(t.read_session(without.id).await, without);
}

pub async fn a_session_that_does_not_exist_is_unknown(t: &TestStore) {
    let nowhere = SessionId(Uuid::from_u128(1));
    assert_eq!(t.store.rotate_refresh(nowhere, 0, NOON).await.unwrap(), Rotation::Unknown);
}

pub async fn an_ended_session_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.store.end_session(session.id, ada, EndReason::LoggedOut, NOON).await.unwrap();
    assert_eq!(t.store.rotate_refresh(session.id, 0, NOON).await.unwrap(), Rotation::Refused);
    let ended = t.read_session(session.id).await.ended;
    assert_eq!(ended, Some((NOON, EndReason::LoggedOut)), "the end stays what it was");
}

pub async fn an_expired_session_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(Session { expires_at: NOON.after(seconds(100)), ..new_session(ada, NOON) }).await;
    let last = t.store.rotate_refresh(session.id, 0, NOON.after(seconds(99))).await.unwrap();
    assert!(matches!(last, Rotation::Rotated(_)));
    for counter in [0, 1] {
        let result = t.store.rotate_refresh(session.id, counter, NOON.after(seconds(100))).await.unwrap();
        assert_eq!(result, Rotation::Refused, "counter {counter}");
    }
    assert_eq!(t.read_session(session.id).await.ended, None, "it ended by itself, nobody revoked it");
}

pub async fn a_session_that_was_idle_too_long_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(Session { idle_seconds: Some(60), ..new_session(ada, NOON) }).await;
    let in_time = t.store.rotate_refresh(session.id, 0, NOON.after(seconds(59))).await.unwrap();
    assert!(matches!(in_time, Rotation::Rotated(_)));
    let again = t.store.rotate_refresh(session.id, 1, NOON.after(seconds(118))).await.unwrap();
    assert!(matches!(again, Rotation::Rotated(_)), "each rotation begins the time anew");
    for counter in [1, 2] {
        let late = t.store.rotate_refresh(session.id, counter, NOON.after(seconds(118 + 61))).await.unwrap();
        assert_eq!(late, Rotation::Refused, "counter {counter}");
    }
}

pub async fn a_session_is_idle_too_long_when_its_time_is_up_to_the_second(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(Session { idle_seconds: Some(60), ..new_session(ada, NOON) }).await;
    let end = NOON.after(seconds(60));
    assert_eq!(t.store.rotate_refresh(session.id, 0, end).await.unwrap(), Rotation::Refused);
    let before = end.before(Duration::from_micros(1));
    assert!(matches!(t.store.rotate_refresh(session.id, 0, before).await.unwrap(), Rotation::Rotated(_)));
}

pub async fn a_rotation_never_moves_back_when_a_session_was_seen(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON.after(seconds(60))).await;
    // Another instance, whose clock is behind.
    assert!(matches!(t.store.rotate_refresh(session.id, 0, NOON).await.unwrap(), Rotation::Rotated(_)));
    assert_eq!(t.read_session(session.id).await.last_seen_at, session.last_seen_at);
}

pub async fn a_session_of_an_inactive_or_deleted_user_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let (of_ada, of_bob) = (t.session(ada, NOON).await, t.session(bob, NOON).await);
    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    t.store.update_user(ada, off).await.unwrap();
    t.store.delete_user(bob).await.unwrap();
    for session in [of_ada, of_bob] {
        assert_eq!(t.store.rotate_refresh(session.id, 0, NOON).await.unwrap(), Rotation::Refused);
        assert_eq!(t.store.start_refresh(session.id, NOON).await.unwrap(), None);
    }
}

pub async fn a_living_session_of_an_inactive_user_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.by_hand("UPDATE users SET is_active = false").await;
    // Whatever somebody does to the sessions, the user is what counts.
    t.by_hand("UPDATE doorwarden_sessions SET generation = 1").await;
    let session = Session { generation: 1, ..session };
    assert_eq!(t.read_session(session.id).await, session);
    assert_eq!(t.store.rotate_refresh(session.id, 0, NOON).await.unwrap(), Rotation::Refused);
    assert_eq!(t.read_session(session.id).await, session);
}

pub async fn a_refresh_token_is_started_once(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(Session { refresh_counter: None, ..new_session(ada, NOON) }).await;
    let at = NOON.after(seconds(5));
    let started = t.store.start_refresh(session.id, at).await.unwrap().unwrap();
    assert_eq!(started.refresh_counter, Some(0));
    assert_eq!(t.read_session(session.id).await, started);
    assert!(matches!(t.store.rotate_refresh(session.id, 0, at).await.unwrap(), Rotation::Rotated(_)));
    let again = t.store.start_refresh(session.id, at).await.unwrap();
    assert_eq!(again, Some(t.read_session(session.id).await));
    assert_eq!(again.unwrap().refresh_counter, Some(1), "a counter that is there stays");
}

pub async fn no_refresh_token_is_started_where_no_session_lives(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let without = || Session { refresh_counter: None, ..new_session(ada, NOON) };
    let ended = t.open(without()).await;
    t.store.end_session(ended.id, ada, EndReason::Revoked, NOON).await.unwrap();
    let expired = t.open(Session { expires_at: NOON.after(seconds(10)), ..without() }).await;
    let at = NOON.after(seconds(10));
    for id in [ended.id, expired.id, SessionId(Uuid::from_u128(1))] {
        assert_eq!(t.store.start_refresh(id, at).await.unwrap(), None);
    }
    assert_eq!(t.read_session(ended.id).await.refresh_counter, None);
    assert_eq!(t.read_session(expired.id).await.refresh_counter, None);
}
