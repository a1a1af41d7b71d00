use super::keys::key;
use super::property::at_once;
use crate::{
    NOON, TestStore, drill, hash, issued, login, new_session, new_user, no_effects, presented, renewal,
    seconds, with,
};
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::permission::Permission;
use doorwarden_core::refresh::Repeat;
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{PasswordChange, Rotation, WriteUserError};
use doorwarden_core::user::{NewUser, UserChange};
use serde_json::{Value, json};

/// The text with the case of its letters from the bits of `n`: 32 different spellings.
fn spelling(text: &str, n: usize) -> String {
    let upper = |at: usize| n >> (at % 5) & 1 == 1;
    text.char_indices().map(|(at, c)| if upper(at) { c.to_ascii_uppercase() } else { c }).collect()
}

/// The number of calls that returned `true`.
pub(super) async fn successes<F>(calls: impl IntoIterator<Item = F>) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    at_once(calls).await.into_iter().filter(|success| *success).count()
}

async fn register_at_once(t: &TestStore, users: Vec<NewUser>) -> (usize, Vec<WriteUserError>) {
    let calls = users.into_iter().map(|user| {
        let store = t.store.clone();
        async move { store.create_user(user, no_effects()).await }
    });
    let results = at_once(calls).await;
    let created = results.iter().filter(|r| r.is_ok()).count();
    (created, results.into_iter().filter_map(Result::err).collect())
}

pub async fn drill_exactly_one_of_32_registrations_of_one_email_succeeds(t: &TestStore) {
    let rounds = drill().rounds(20, 1000);
    for round in 0..rounds {
        let address = format!("somebody{round}@example.com");
        let users = (0..32).map(|n| {
            let email = EmailAddress::from_stored(spelling(&address, n));
            NewUser { email, ..new_user(&format!("user {round} {n}")) }
        });
        let (created, errors) = register_at_once(t, users.collect()).await;
        assert_eq!(created, 1, "round {round}: {errors:?}");
        assert!(errors.iter().all(|e| matches!(e, WriteUserError::EmailTaken)), "round {round}: {errors:?}");
    }
    assert_eq!(t.store.count_users().await.unwrap(), rounds as u64);
}

pub async fn drill_exactly_one_of_32_registrations_of_one_username_succeeds(t: &TestStore) {
    let rounds = drill().rounds(5, 1000);
    for round in 0..rounds {
        let name = format!("somebody{round}");
        let users = (0..32).map(|n| {
            let username = Username::from_stored(spelling(&name, n));
            NewUser { username, ..new_user(&format!("user-{round}-{n}")) }
        });
        let (created, errors) = register_at_once(t, users.collect()).await;
        assert_eq!(created, 1, "round {round}: {errors:?}");
        assert!(
            errors.iter().all(|e| matches!(e, WriteUserError::UsernameTaken)),
            "round {round}: {errors:?}"
        );
    }
}

pub async fn drill_exactly_one_of_16_changes_to_one_email_succeeds(t: &TestStore) {
    for round in 0..drill().rounds(3, 200) {
        let mut calls = Vec::new();
        for n in 0..16 {
            let (store, id) = (t.store.clone(), t.user(&format!("user-{round}-{n}")).await.id);
            let email = EmailAddress::from_stored(spelling(&format!("wanted{round}@example.com"), n));
            let change = UserChange { email: Some(email), ..UserChange::default() };
            calls.push(async move { store.update_user(id, change, no_effects()).await.is_ok() });
        }
        assert_eq!(successes(calls).await, 1, "round {round}");
    }
}

pub async fn drill_exactly_one_of_16_refreshes_rotates_and_the_session_stays_active(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    let rounds = i64::try_from(drill().rounds(20, 1000)).unwrap();
    for round in 0..rounds {
        let calls = (0..16).map(|_| {
            let (store, id) = (t.store.clone(), session.id);
            async move { store.rotate_refresh(presented(id, round, NOON), no_effects()).await.unwrap() }
        });
        let (mut rotated, mut repeated) = (0, 0);
        for answer in at_once(calls).await {
            match answer {
                Rotation::Rotated(s) if s.refresh_counter == Some(round + 1) => rotated += 1,
                Rotation::Repeated(s, _) if s.refresh_counter == Some(round + 1) => repeated += 1,
                other => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!((rotated, repeated), (1, 15), "round {round}");
    }
    let after = t.read_session(session.id).await;
    assert_eq!((after.refresh_counter, after.ended), (Some(rounds), None));
}

pub async fn drill_concurrent_rotations_of_sessions_are_independent(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let mut sessions = Vec::new();
    for _ in 0..64 {
        sessions.push(t.session(ada, NOON).await);
    }
    for round in 0..drill().rounds(5, 500) {
        let counter = i64::try_from(round).unwrap();
        let calls =
            sessions.iter().map(|session| {
                let (store, id) = (t.store.clone(), session.id);
                async move {
                    (id, store.rotate_refresh(presented(id, counter, NOON), no_effects()).await.unwrap())
                }
            });
        for (id, answer) in at_once(calls).await {
            let own = matches!(&answer, Rotation::Rotated(s) if s.id == id && s.refresh_counter == Some(counter + 1));
            assert!(own, "round {round}: {answer:?}");
        }
    }
}

pub async fn drill_a_login_racing_with_a_password_change_leaves_no_session(t: &TestStore) {
    for round in 0..drill().rounds(20, 1000) {
        let ada = t.user(&format!("ada{round}")).await;
        let change = PasswordChange {
            password: hash("new"),
            expected: None,
            at: NOON,
            keep_session: None,
            reason: EndReason::PasswordChanged,
            proves_email: false,
            keep_earlier: 0,
        };
        let changing = t.store.change_password(ada.id, change, no_effects());
        let open = || login(new_session(ada.id, NOON), ada.password.clone(), Some(hash("old, better")));
        let (first, second) =
            (t.store.open_session(open(), no_effects()), t.store.open_session(open(), no_effects()));
        let (a, changed, b) = tokio::join!(first, changing, second);
        assert!(changed.unwrap());
        a.and(b).unwrap();
        assert_eq!(t.store.sessions_of(ada.id, NOON, None, 1000).await.unwrap(), [], "round {round}");
        assert_eq!(t.read(ada.id).await.password, hash("new"), "round {round}");
    }
}

pub async fn drill_opening_a_session_racing_with_a_deactivation_or_deletion_leaves_no_session(t: &TestStore) {
    for round in 0..drill().rounds(20, 1000) {
        let ada = t.user(&format!("ada{round}")).await;
        let calls = (0..9).map(|n| {
            let (store, id) = (t.store.clone(), ada.id);
            let session = new_session(id, NOON);
            let open = match round % 4 < 2 {
                true => login(session, ada.password.clone(), None),
                false => issued(session),
            };
            let off = UserChange { is_active: Some(false), ..UserChange::default() };
            async move {
                match (n, round % 2) {
                    (4, 0) => store.update_user(id, off, no_effects()).await.unwrap().is_some(),
                    (4, _) => store.delete_user(id, no_effects()).await.unwrap(),
                    _ => store.open_session(open, no_effects()).await.is_ok(),
                }
            }
        });
        assert_eq!(successes(calls).await, 9, "round {round}");
        assert_eq!(t.store.sessions_of(ada.id, NOON, None, 1000).await.unwrap(), [], "round {round}");
    }
}

pub async fn drill_exactly_one_of_8_concurrent_password_changes_succeeds(t: &TestStore) {
    for round in 0..drill().rounds(5, 500) {
        let ada = t.user(&format!("ada{round}")).await;
        let calls = (0..8).map(|n| {
            let (store, id) = (t.store.clone(), ada.id);
            let change = PasswordChange {
                password: hash(&format!("new{n}")),
                expected: Some(ada.password.clone()),
                at: NOON,
                keep_session: None,
                reason: EndReason::PasswordChanged,
                proves_email: false,
                keep_earlier: 0,
            };
            async move { store.change_password(id, change, no_effects()).await.unwrap() }
        });
        assert_eq!(successes(calls).await, 1, "round {round}");
    }
}

pub async fn drill_no_concurrent_metadata_patch_is_lost(t: &TestStore) {
    for round in 0..drill().rounds(3, 200) {
        let ada = t.user(&format!("ada{round}")).await.id;
        let calls = (0..16).map(|n| {
            let store = t.store.clone();
            let metadata = [(format!("member{n}"), json!(n))].into_iter().collect();
            let change = UserChange { metadata, ..UserChange::default() };
            async move { store.update_user(ada, change, no_effects()).await.is_ok() }
        });
        assert_eq!(successes(calls).await, 16);
        let metadata = t.read(ada).await.metadata;
        let expected = (0..16).map(|n| (format!("member{n}"), json!(n))).collect();
        assert_eq!(Value::Object(metadata), Value::Object(expected), "round {round}");
    }
}

pub async fn exactly_one_concurrent_successor_of_a_key_is_added(t: &TestStore) {
    for predecessor in ["", "0", "1", "2"] {
        let calls = (0..16).map(|n| {
            let (store, key) = (t.store.clone(), key(&format!("{predecessor}/{n}"), predecessor, 0));
            async move { store.add_signing_key(key, no_effects()).await.unwrap() }
        });
        assert_eq!(successes(calls).await, 1);
    }
    assert_eq!(t.store.signing_keys().await.unwrap().len(), 4);
}

pub async fn exactly_one_concurrent_end_of_a_session_succeeds(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    let calls = (0..16).map(|n| {
        let (store, id) = (t.store.clone(), session.id);
        async move {
            store
                .end_session(id, ada, EndReason::LoggedOut, NOON.after(seconds(n)), no_effects())
                .await
                .unwrap()
        }
    });
    assert_eq!(successes(calls).await, 1);
}

pub async fn exactly_one_concurrent_grant_succeeds(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let permission = Permission { name: "blog.add".parse().unwrap(), label: String::new() };
    let declare = (0..8).map(|_| {
        let (store, permission) = (t.store.clone(), permission.clone());
        async move { store.declare_permissions(&[permission], no_effects()).await.is_ok() }
    });
    assert_eq!(successes(declare).await, 8);
    let create = (0..8).map(|_| {
        let store = t.store.clone();
        async move { store.create_group("editors", no_effects()).await.unwrap() }
    });
    assert_eq!(successes(create).await, 1);
    let add = (0..8).map(|_| {
        let store = t.store.clone();
        async move { store.add_to_group(ada, "editors", no_effects()).await.unwrap() }
    });
    assert_eq!(successes(add).await, 1);
    let grant = (0..8).map(|_| {
        let (store, name) = (t.store.clone(), permission.name.clone());
        async move { store.grant_to_user(ada, &name, no_effects()).await.unwrap() }
    });
    assert_eq!(successes(grant).await, 1);
}

pub async fn concurrent_renewals_of_a_session_return_distinct_tokens(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.open(with(new_session(ada, NOON), |s| s.refresh_counter = None)).await;
    let calls = (0..8).map(|_| {
        let (store, id) = (t.store.clone(), session.id);
        async move {
            store
                .renew_refresh(id, renewal(NOON), no_effects())
                .await
                .unwrap()
                .unwrap()
                .refresh_counter
                .unwrap()
        }
    });
    let mut counters = at_once(calls).await;
    counters.sort_unstable();
    assert_eq!(counters, (0..8).collect::<Vec<_>>());
}

pub async fn every_concurrent_late_repeat_is_counted(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    t.store.rotate_refresh(presented(session.id, 0, NOON), no_effects()).await.unwrap();
    let calls =
        (0..8).map(|_| {
            let (store, id) = (t.store.clone(), session.id);
            async move {
                store.rotate_refresh(presented(id, 0, NOON.after(seconds(61))), no_effects()).await.unwrap()
            }
        });
    let (mut repeated, mut reused, mut refused) = (0, 0, 0);
    for answer in at_once(calls).await {
        match answer {
            Rotation::Repeated(_, Repeat::Late) => repeated += 1,
            Rotation::Reused(_) => reused += 1,
            Rotation::Refused => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((repeated, reused, refused), (2, 1, 5));
}
