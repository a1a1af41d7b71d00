use crate::{NOON, TestStore, new_session, no_effects, presented, renewal, seconds, with};
use doorwarden_core::refresh::{MAX_IDLE_SECONDS, Presented, Repeat};
use doorwarden_core::session::{EndReason, Repeats, SessionId};
use doorwarden_core::store::{Renewal, Rotation};
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
        let (refresh_counter, rotated_at) = (Some(n + 1), Some(at));
        let expected = with(session.clone(), |s| {
            s.refresh_counter = refresh_counter;
            s.rotated_at = rotated_at;
            s.last_seen_at = at;
        });
        assert_eq!(
            t.store.rotate_refresh(presented(session.id, n, at), no_effects()).await.unwrap(),
            Rotation::Rotated(expected.clone())
        );
        assert_eq!(t.read_session(session.id).await, expected);
    }
    assert_eq!(t.read_session(other.id).await, other);
}

pub async fn the_previous_token_returns_the_newest(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.store.rotate_refresh(presented(session.id, 0, NOON.after(seconds(60))), no_effects()).await.unwrap();
    let now = t.read_session(session.id).await;
    // The last one by an instance whose clock is slow.
    for at in [60, 61, 120, 0] {
        let again = t
            .store
            .rotate_refresh(presented(session.id, 0, NOON.after(seconds(at))), no_effects())
            .await
            .unwrap();
        assert_eq!(again, Rotation::Repeated(now.clone(), Repeat::InGrace), "{at}");
    }
    assert_eq!(t.read_session(session.id).await, now, "a repetition in the grace changes nothing");
    let next = t
        .store
        .rotate_refresh(presented(session.id, 1, NOON.after(seconds(3601))), no_effects())
        .await
        .unwrap();
    assert!(matches!(next, Rotation::Rotated(s) if s.refresh_counter == Some(2)));
}

pub async fn a_late_repeat_is_counted_and_the_third_ends_the_session(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await.unwrap();
    let rotated = t.read_session(session.id).await;
    for (late, after) in [(1, 61), (2, 62)] {
        let at = NOON.after(seconds(after));
        let repeats = Repeats { late, last_at_counter: Some(1), last_late_at: Some(at) };
        let expected = with(rotated.clone(), |s| s.repeats = repeats);
        let again = t.store.rotate_refresh(presented(session.id, 0, at), no_effects()).await.unwrap();
        assert_eq!(again, Rotation::Repeated(expected.clone(), Repeat::Late));
        assert_eq!(t.read_session(session.id).await, expected);
    }
    let at = NOON.after(seconds(63));
    let third = t.store.rotate_refresh(presented(session.id, 0, at), no_effects()).await.unwrap();
    assert!(matches!(third, Rotation::Reused(s) if s.ended == Some((at, EndReason::RefreshReused))));
    assert_eq!(t.read_session(session.id).await.ended, Some((at, EndReason::RefreshReused)));
}

pub async fn a_repeat_is_late_after_the_given_grace(t: &TestStore) {
    let ada = t.user("ada").await.id;
    for (grace, after, expected) in [
        (0, 0, Repeat::InGrace),
        (0, 1, Repeat::Late),
        (60, 60, Repeat::InGrace),
        (60, 61, Repeat::Late),
        (600, 600, Repeat::InGrace),
    ] {
        let id = t.session(ada, NOON).await.id;
        t.store.rotate_refresh(presented(id, 0, NOON), no_effects()).await.unwrap();
        let shown = Presented { grace: seconds(grace), ..presented(id, 0, NOON.after(seconds(after))) };
        let again = t.store.rotate_refresh(shown, no_effects()).await.unwrap();
        assert!(matches!(&again, Rotation::Repeated(_, r) if *r == expected), "{grace} {after}: {again:?}");
    }
}

pub async fn late_repeats_are_forgiven_after_a_generation_without_any_repeat(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let id = t.session(ada, NOON).await.id;
    let show = async |counter, at| {
        t.store.rotate_refresh(presented(id, counter, NOON.after(seconds(at))), no_effects()).await.unwrap()
    };
    let late = async || t.read_session(id).await.repeats.late;
    show(0, 0).await;
    show(0, 100).await;
    show(1, 200).await;
    assert_eq!(late().await, 1, "the first generation had a late repeat");
    show(1, 201).await;
    show(2, 300).await;
    assert_eq!(late().await, 1, "the second had an early one");
    show(3, 400).await;
    assert_eq!(late().await, 0, "the third had none");
    let seen = t.read_session(id).await.repeats.last_late_at;
    assert_eq!(seen, Some(NOON.after(seconds(100))), "the owner still sees it");
}

pub async fn a_rotation_of_unknown_time_has_no_grace(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(with(new_session(ada, NOON), |s| s.refresh_counter = Some(5))).await;
    let again = t.store.rotate_refresh(presented(session.id, 4, NOON), no_effects()).await.unwrap();
    assert!(matches!(again, Rotation::Repeated(_, Repeat::Late)), "{again:?}");
}

pub async fn an_older_token_ends_the_session(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    let other = t.session(ada, NOON).await;
    for n in 0..3 {
        t.store.rotate_refresh(presented(session.id, n, NOON), no_effects()).await.unwrap();
    }
    let before = t.read_session(session.id).await;
    let at = NOON.after(seconds(60));
    let expected = with(before, |s| s.ended = Some((at, EndReason::RefreshReused)));
    let result = t.store.rotate_refresh(presented(session.id, 1, at), no_effects()).await.unwrap();
    assert_eq!(result, Rotation::Reused(expected.clone()));
    assert_eq!(t.read_session(session.id).await, expected);
    assert_eq!(t.read_session(other.id).await, other);
    for n in 0..5 {
        let after = t.store.rotate_refresh(presented(session.id, n, at), no_effects()).await.unwrap();
        assert_eq!(after, Rotation::Refused, "counter {n} after the end");
    }
}

pub async fn a_counter_that_was_never_issued_is_refused_and_ends_nothing(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    for counter in [1, 2, i64::MAX] {
        let result =
            t.store.rotate_refresh(presented(session.id, counter, NOON), no_effects()).await.unwrap();
        assert_eq!(result, Rotation::Refused, "counter {counter}");
    }
    assert_eq!(t.read_session(session.id).await, session);

    let without = t.open(with(new_session(ada, NOON), |s| s.refresh_counter = None)).await;
    for counter in [-1, 0, 1] {
        let result =
            t.store.rotate_refresh(presented(without.id, counter, NOON), no_effects()).await.unwrap();
        assert_eq!(result, Rotation::Refused, "counter {counter} where there is none");
    }
    assert_eq!(t.read_session(without.id).await, without);
}

pub async fn a_session_that_does_not_exist_is_unknown(t: &TestStore) {
    let nowhere = SessionId(Uuid::from_u128(1));
    assert_eq!(
        t.store.rotate_refresh(presented(nowhere, 0, NOON), no_effects()).await.unwrap(),
        Rotation::Unknown
    );
}

pub async fn an_ended_session_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.store.end_session(session.id, ada, EndReason::LoggedOut, NOON, no_effects()).await.unwrap();
    assert_eq!(
        t.store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await.unwrap(),
        Rotation::Refused
    );
    let ended = t.read_session(session.id).await.ended;
    assert_eq!(ended, Some((NOON, EndReason::LoggedOut)), "the end stays what it was");
}

pub async fn an_expired_session_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(with(new_session(ada, NOON), |s| s.expires_at = NOON.after(seconds(100)))).await;
    let last = t
        .store
        .rotate_refresh(presented(session.id, 0, NOON.after(seconds(99))), no_effects())
        .await
        .unwrap();
    assert!(matches!(last, Rotation::Rotated(_)));
    for counter in [0, 1] {
        let result = t
            .store
            .rotate_refresh(presented(session.id, counter, NOON.after(seconds(100))), no_effects())
            .await
            .unwrap();
        assert_eq!(result, Rotation::Refused, "counter {counter}");
    }
    assert_eq!(t.read_session(session.id).await.ended, None, "it ended by itself, nobody revoked it");
}

pub async fn an_idle_session_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(with(new_session(ada, NOON), |s| s.idle_seconds = Some(60))).await;
    let in_time = t
        .store
        .rotate_refresh(presented(session.id, 0, NOON.after(seconds(59))), no_effects())
        .await
        .unwrap();
    assert!(matches!(in_time, Rotation::Rotated(_)));
    let again = t
        .store
        .rotate_refresh(presented(session.id, 1, NOON.after(seconds(118))), no_effects())
        .await
        .unwrap();
    assert!(matches!(again, Rotation::Rotated(_)), "each rotation begins the time anew");
    for counter in [1, 2] {
        let late = t
            .store
            .rotate_refresh(presented(session.id, counter, NOON.after(seconds(118 + 61))), no_effects())
            .await
            .unwrap();
        assert_eq!(late, Rotation::Refused, "counter {counter}");
    }
}

pub async fn the_idle_limit_is_exact_to_the_second(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(with(new_session(ada, NOON), |s| s.idle_seconds = Some(60))).await;
    let end = NOON.after(seconds(60));
    assert_eq!(
        t.store.rotate_refresh(presented(session.id, 0, end), no_effects()).await.unwrap(),
        Rotation::Refused
    );
    let before = end.before(Duration::from_micros(1));
    assert!(matches!(
        t.store.rotate_refresh(presented(session.id, 0, before), no_effects()).await.unwrap(),
        Rotation::Rotated(_)
    ));
}

pub async fn a_rotation_never_moves_back_the_last_use(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON.after(seconds(60))).await;
    // Another instance, whose clock is slow.
    assert!(matches!(
        t.store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await.unwrap(),
        Rotation::Rotated(_)
    ));
    assert_eq!(t.read_session(session.id).await.last_seen_at, session.last_seen_at);
}

pub async fn a_session_of_an_inactive_or_deleted_user_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let (of_ada, of_bob) = (t.session(ada, NOON).await, t.session(bob, NOON).await);
    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    t.store.update_user(ada, off, no_effects()).await.unwrap();
    t.store.delete_user(bob, no_effects()).await.unwrap();
    for session in [of_ada, of_bob] {
        assert_eq!(
            t.store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await.unwrap(),
            Rotation::Refused
        );
        assert_eq!(t.store.renew_refresh(session.id, renewal(NOON), no_effects()).await.unwrap(), None);
    }
}

pub async fn an_active_session_of_an_inactive_user_refuses(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.by_hand("UPDATE users SET is_active = false").await;
    // Whatever happened to the sessions, the user's state decides.
    t.by_hand("UPDATE doorwarden_sessions SET generation = 1").await;
    let session = with(session, |s| s.generation = 1);
    assert_eq!(t.read_session(session.id).await, session);
    assert_eq!(
        t.store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await.unwrap(),
        Rotation::Refused
    );
    assert_eq!(t.read_session(session.id).await, session);
}

pub async fn every_renewal_gives_a_newer_token(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(with(new_session(ada, NOON), |s| s.refresh_counter = None)).await;
    let [first, second, third] = [5, 10, 200].map(|n| NOON.after(seconds(n)));
    let started = t.store.renew_refresh(session.id, renewal(first), no_effects()).await.unwrap().unwrap();
    assert_eq!((started.refresh_counter, started.last_seen_at), (Some(0), first));
    assert_eq!(t.read_session(session.id).await, started);
    let renewed = t.store.renew_refresh(session.id, renewal(second), no_effects()).await.unwrap().unwrap();
    assert_eq!((renewed.refresh_counter, renewed.rotated_at), (Some(1), Some(second)));
    assert_eq!(t.read_session(session.id).await, renewed);
    let repeated = t.store.rotate_refresh(presented(session.id, 0, third), no_effects()).await.unwrap();
    assert!(
        matches!(repeated, Rotation::Repeated(_, Repeat::Late)),
        "the one before is the one before: {repeated:?}"
    );
    let renewed = t.store.renew_refresh(session.id, renewal(third), no_effects()).await.unwrap().unwrap();
    assert_eq!((renewed.refresh_counter, renewed.repeats.late), (Some(2), 1), "that generation had a repeat");
    let stolen = t.store.rotate_refresh(presented(session.id, 0, third), no_effects()).await.unwrap();
    assert!(matches!(stolen, Rotation::Reused(_)), "{stolen:?}");
    assert_eq!(t.store.renew_refresh(session.id, renewal(third), no_effects()).await.unwrap(), None);
}

pub async fn a_renewal_narrows_the_limits_and_never_widens_them(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let soon = NOON.after(seconds(100));
    let limits = |expires_at, idle_seconds| Renewal { expires_at, idle_seconds, ..renewal(NOON) };
    let session = t.session(ada, NOON).await;
    let narrow = t.store.renew_refresh(session.id, limits(soon, 60), no_effects()).await.unwrap().unwrap();
    assert_eq!((narrow.expires_at, narrow.idle_seconds), (soon, Some(60)));
    let audience = Some("https://api.example".to_owned());
    let wide = Renewal { audience: audience.clone(), ..limits(soon.after(seconds(1)), MAX_IDLE_SECONDS) };
    let same = t.store.renew_refresh(session.id, wide, no_effects()).await.unwrap().unwrap();
    assert_eq!((same.expires_at, same.idle_seconds, &same.audience), (soon, Some(60), &audience));
    let again = t.store.renew_refresh(session.id, limits(soon, 60), no_effects()).await.unwrap().unwrap();
    assert_eq!(again.audience, audience, "what is not named stays");
    assert_eq!(t.read_session(session.id).await, again);
}

pub async fn only_an_active_session_is_renewed(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let without = || with(new_session(ada, NOON), |s| s.refresh_counter = None);
    let ended = t.open(without()).await;
    t.store.end_session(ended.id, ada, EndReason::Revoked, NOON, no_effects()).await.unwrap();
    let expired = t.open(with(without(), |s| s.expires_at = NOON.after(seconds(10)))).await;
    let idle = t.open(with(without(), |s| s.idle_seconds = Some(10))).await;
    let at = NOON.after(seconds(10));
    for id in [ended.id, expired.id, idle.id, SessionId(Uuid::from_u128(1))] {
        assert_eq!(t.store.renew_refresh(id, renewal(at), no_effects()).await.unwrap(), None);
    }
    for id in [ended.id, expired.id, idle.id] {
        assert_eq!(t.read_session(id).await.refresh_counter, None);
    }
}
