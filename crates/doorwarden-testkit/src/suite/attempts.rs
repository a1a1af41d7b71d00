use crate::suite::races::successes;
use crate::{NOON, TestStore, drill, new_user, no_effects, seconds};
use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::event::Event;
use doorwarden_core::limit::device::DeviceId;
use doorwarden_core::limit::proof_of_work::Solved;
use doorwarden_core::limit::{AccountKey, Guesser};
use doorwarden_core::store::{Attempted, PasswordAttempt};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::User;

/// Whoever guesses at the account with this number, which is no user's.
fn nobody(n: u8) -> Guesser {
    Guesser { account: AccountKey([n; 16]), user: None, device: None }
}

fn stranger(user: &User) -> Guesser {
    Guesser { account: AccountKey(i128::from(user.id.0).to_be_bytes()), user: Some(user.id), device: None }
}

fn on_device(user: &User, n: u8) -> Guesser {
    Guesser { device: Some(DeviceId([n; 16])), ..stranger(user) }
}

fn at(guesser: Guesser, at: Timestamp) -> PasswordAttempt {
    PasswordAttempt { guesser, at, free: 3, most: 10, has_worked: false }
}

async fn attempt(t: &TestStore, attempt: PasswordAttempt) -> Attempted {
    t.store.attempt_password(attempt).await.unwrap()
}

async fn jane(t: &TestStore) -> User {
    t.store.create_user(new_user("jane"), no_effects()).await.unwrap()
}

pub async fn there_is_a_wait_after_the_free_attempts_which_doubles(t: &TestStore) {
    let jane = jane(t).await;
    for guesser in [stranger(&jane), nobody(7), on_device(&jane, 1)] {
        for n in 1..=3 {
            assert_eq!(attempt(t, at(guesser, NOON)).await, Attempted::Allowed(n));
        }
        let mut now = NOON;
        for (n, wait) in [(3, 1), (4, 2), (5, 4), (6, 8)] {
            let half = now.after(seconds(wait) / 2);
            assert_eq!(attempt(t, at(guesser, now)).await, Attempted::Wait(seconds(wait), n));
            assert_eq!(attempt(t, at(guesser, half)).await, Attempted::Wait(seconds(wait) / 2, n));
            now = now.after(seconds(wait));
            assert_eq!(attempt(t, at(guesser, now)).await, Attempted::Allowed(n + 1), "{wait} s later");
        }
    }
    assert_eq!(PasswordAttempt::wait(2, 3), seconds(0));
    assert_eq!(PasswordAttempt::wait(3 + 11, 3), seconds(2048));
    assert_eq!(PasswordAttempt::wait(u32::MAX, 3), seconds(3600));
}

pub async fn work_takes_the_place_of_the_wait_and_of_nothing_else(t: &TestStore) {
    let guesser = stranger(&jane(t).await);
    let worked = PasswordAttempt { has_worked: true, ..at(guesser, NOON) };
    for n in 1..=10 {
        assert_eq!(attempt(t, worked).await, Attempted::Allowed(n));
    }
    assert_eq!(attempt(t, worked).await, Attempted::Locked);
    assert_eq!(attempt(t, at(guesser, NOON.after(seconds(1_000_000)))).await, Attempted::Locked);
}

pub async fn devices_and_strangers_count_apart(t: &TestStore) {
    let jane = jane(t).await;
    let worked = |guesser| PasswordAttempt { has_worked: true, ..at(guesser, NOON) };
    for _ in 0..10 {
        attempt(t, worked(stranger(&jane))).await;
    }
    assert_eq!(attempt(t, worked(stranger(&jane))).await, Attempted::Locked);
    assert_eq!(t.store.failures(jane.id).await.unwrap(), 10);
    for device in [1, 2] {
        assert_eq!(attempt(t, worked(on_device(&jane, device))).await, Attempted::Allowed(1));
    }
    assert_eq!(attempt(t, worked(nobody(1))).await, Attempted::Allowed(1));
}

pub async fn a_right_password_begins_its_own_count_anew(t: &TestStore) {
    let jane = jane(t).await;
    for guesser in [stranger(&jane), on_device(&jane, 1), on_device(&jane, 2)] {
        for n in 1..=2 {
            assert_eq!(attempt(t, at(guesser, NOON)).await, Attempted::Allowed(n));
        }
    }
    t.store.settle_attempt(on_device(&jane, 1), true).await.unwrap();
    assert_eq!(attempt(t, at(on_device(&jane, 1), NOON)).await, Attempted::Allowed(1));
    assert_eq!(attempt(t, at(on_device(&jane, 2), NOON)).await, Attempted::Allowed(3));
    t.store.settle_attempt(stranger(&jane), true).await.unwrap();
    assert_eq!(attempt(t, at(stranger(&jane), NOON)).await, Attempted::Allowed(1));
}

pub async fn an_attempt_that_was_not_compared_does_not_count(t: &TestStore) {
    let guesser = stranger(&jane(t).await);
    for _ in 0..5 {
        assert_eq!(attempt(t, at(guesser, NOON)).await, Attempted::Allowed(1));
        t.store.settle_attempt(guesser, false).await.unwrap();
    }
    t.store.settle_attempt(guesser, false).await.unwrap();
    assert_eq!(attempt(t, at(guesser, NOON)).await, Attempted::Allowed(1), "never below nothing");
}

pub async fn whatever_logs_in_or_sets_the_password_begins_every_count_anew(t: &TestStore) {
    let jane = jane(t).await;
    let other = t.store.create_user(new_user("other"), no_effects()).await.unwrap();
    let worked = |guesser| PasswordAttempt { has_worked: true, ..at(guesser, NOON) };
    for sql in ["last_login = date_joined", "password = 'unusable'"] {
        for user in [&jane, &other] {
            for _ in 0..10 {
                attempt(t, worked(stranger(user))).await;
                attempt(t, worked(on_device(user, 1))).await;
            }
        }
        t.by_hand(&format!("UPDATE users SET {sql} WHERE id = {}", jane.id)).await;
        assert_eq!(t.store.failures(jane.id).await.unwrap(), 0, "{sql}");
        assert_eq!(attempt(t, at(stranger(&jane), NOON)).await, Attempted::Allowed(1), "{sql}");
        assert_eq!(attempt(t, at(on_device(&jane, 1), NOON)).await, Attempted::Allowed(1), "{sql}");
        assert_eq!(attempt(t, worked(stranger(&other))).await, Attempted::Locked, "{sql}");
    }
}

pub async fn the_count_of_strangers_begins_anew_for_an_operator_who_says_so(t: &TestStore) {
    let jane = jane(t).await;
    let worked = |guesser| PasswordAttempt { has_worked: true, ..at(guesser, NOON) };
    let effects = Effects::new(NOON, &Actor::Operator.into(), [Event::PasswordUnlocked { user: jane.id }]);
    assert!(!t.store.forget_failures(jane.id, effects.clone()).await.unwrap());
    for _ in 0..10 {
        attempt(t, worked(stranger(&jane))).await;
        attempt(t, worked(on_device(&jane, 1))).await;
    }
    for forgotten in [true, false] {
        assert_eq!(t.store.forget_failures(jane.id, effects.clone()).await.unwrap(), forgotten);
    }
    assert_eq!(t.store.failures(jane.id).await.unwrap(), 0);
    assert_eq!(attempt(t, at(stranger(&jane), NOON)).await, Attempted::Allowed(1));
    assert_eq!(attempt(t, worked(on_device(&jane, 1))).await, Attempted::Locked, "a device counts apart");
    let events = t.store.audit_records(None, 100).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "password_unlocked").count(), 1);
}

pub async fn of_many_attempts_at_once_only_the_free_ones_are_allowed(t: &TestStore) {
    let guesser = stranger(&jane(t).await);
    for round in 0..drill().rounds(3, 1000) {
        let guesser = if round % 2 == 0 { guesser } else { nobody(9) };
        let guess = || {
            let store = t.store.clone();
            async move {
                let attempted = store.attempt_password(at(guesser, NOON)).await.unwrap();
                matches!(attempted, Attempted::Allowed(_))
            }
        };
        assert_eq!(successes((0..32).map(|_| guess())).await, 3);
        t.store.settle_attempt(guesser, true).await.unwrap();
    }
}

pub async fn a_user_is_told_of_failures_once_a_day(t: &TestStore) {
    let jane = jane(t).await;
    let told = async |at: Timestamp| {
        let event = Event::PasswordLocked { user: jane.id };
        t.store.notice_failures(jane.id, Effects::new(at, &Actor::System.into(), [event])).await.unwrap()
    };
    let events = async || {
        let records = t.store.audit_records(None, 100).await.unwrap();
        records.iter().filter(|record| record.kind == "password_locked").count()
    };
    assert!(!told(NOON).await, "of nothing");
    attempt(t, at(stranger(&jane), NOON)).await;
    assert!(told(NOON).await);
    assert!(!told(NOON.after(seconds(86_399))).await);
    assert_eq!(events().await, 1);
    t.by_hand("UPDATE users SET last_login = date_joined").await;
    assert!(!told(NOON.after(seconds(3600))).await, "also after a login");
    assert!(told(NOON.after(seconds(86_400))).await);
    assert_eq!(events().await, 2);
}

pub async fn a_proof_of_work_counts_once(t: &TestStore) {
    for round in 0..drill().rounds(3, 1000) {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&round.to_le_bytes());
        let solved = Solved { id, expires_at: NOON.after(seconds(60)) };
        let spend = || {
            let store = t.store.clone();
            async move { store.spend_work(solved).await.unwrap() }
        };
        assert_eq!(successes((0..32).map(|_| spend())).await, 1);
    }
}

pub async fn old_attempts_at_nobody_are_deleted_and_those_at_users_stay(t: &TestStore) {
    let jane = jane(t).await;
    let later = |n: u64| NOON.after(seconds(n));
    for n in 0..6 {
        attempt(t, at(nobody(n), later(n.into()))).await;
    }
    attempt(t, at(stranger(&jane), NOON)).await;
    let solved = |n: u8| Solved { id: [n; 32], expires_at: later(n.into()) };
    for n in 0..4 {
        assert!(t.store.spend_work(solved(n)).await.unwrap());
    }
    // Two are older than `before`, and one of the others is one too many.
    let purge = async |limit| t.store.purge_attempts(later(1), later(2), 3, limit).await.unwrap();
    assert_eq!(purge(10).await, 2);
    for (n, failures) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2)] {
        assert_eq!(attempt(t, at(nobody(n), later(9))).await, Attempted::Allowed(failures), "{n}");
    }
    assert_eq!(attempt(t, at(stranger(&jane), later(9))).await, Attempted::Allowed(2));
    for (n, is_new) in [(0, true), (1, true), (2, false), (3, false)] {
        assert_eq!(t.store.spend_work(solved(n)).await.unwrap(), is_new, "{n}");
    }
    assert_eq!(purge(1).await, 1, "no more than was asked for");
}

pub async fn attempts_go_with_their_user(t: &TestStore) {
    let jane = jane(t).await;
    attempt(t, at(stranger(&jane), NOON)).await;
    attempt(t, at(on_device(&jane, 1), NOON)).await;
    t.by_hand(&format!("DELETE FROM users WHERE id = {}", jane.id)).await;
    assert_eq!(t.store.failures(jane.id).await.unwrap(), 0);
    assert_eq!(
        attempt(t, at(stranger(&jane), NOON)).await,
        Attempted::Allowed(1),
        "of nobody, nothing is kept"
    );
    assert_eq!(t.store.failures(jane.id).await.unwrap(), 0);
}
