use super::property::at_once;
use super::races::successes;
use crate::{NOON, Recorder, TestStore, drill, hash, issued, login, new_session, no_effects, seconds};
use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::authentication::{
    Amr, AuthContext, FactorProof, Next, PasswordProof, Proof, Purpose, Standing, next,
};
use doorwarden_core::challenge::ChallengeId;
use doorwarden_core::event::Event;
use doorwarden_core::factor::recovery::RecoveryHash;
use doorwarden_core::factor::{Credential, Factor, FactorId, FactorKind, Method, Passkey, Totp};
use doorwarden_core::session::{EndReason, SessionId};
use doorwarden_core::store::{
    AddFactorError, Change, Enrolled, Enrolment, FactorRemoval, NewRecoveryCodes, OpenSession, PasskeyUse,
    Removed, StoreError,
};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{UserChange, UserId};
use std::collections::BTreeSet;

fn id(user: UserId, n: u8) -> FactorId {
    let mut random = [n; 10];
    random[..8].copy_from_slice(&user.0.to_be_bytes());
    FactorId(SessionId::new(NOON, random).0)
}

/// The n-th factor of a user, confirmed.
fn of(user: UserId, n: u8, method: Method) -> Factor {
    Factor {
        id: id(user, n),
        user,
        name: format!("factor {n}"),
        created_at: NOON,
        confirmed_at: Some(NOON),
        last_used_at: None,
        method,
    }
}

fn totp(user: UserId, n: u8) -> Factor {
    let totp = Totp { sealed: vec![n; 40], last_step: Some(7), failures: 0, disabled_at: None };
    of(user, n, Method::Totp(totp))
}

/// With a credential of this id.
fn passkey(user: UserId, n: u8, credential_id: &str) -> Factor {
    let credential = Credential { public_key: "key".to_owned(), ..Credential::default() };
    of(user, n, Method::Passkey(Passkey { credential_id: credential_id.into(), credential }))
}

fn waiting(factor: Factor) -> Factor {
    Factor { confirmed_at: None, ..factor }
}

/// The hash of the n-th recovery code of the set of this number.
fn code(set: u8, n: u8) -> RecoveryHash {
    let mut hash = [set; 32];
    hash[0] = n;
    RecoveryHash(hash)
}

fn codes(user: UserId, set: u8) -> NewRecoveryCodes {
    let hashes = (0..10).map(|n| code(set, n)).collect();
    NewRecoveryCodes { id: id(user, 200 + set), sealed: vec![set; 60], hashes }
}

fn enrolment(factor: Factor) -> Enrolment {
    let codes = codes(factor.user, 1);
    Enrolment { factor, since: None, codes, session: None }
}

async fn enroll(t: &TestStore, enrolment: Enrolment) -> Option<Enrolled> {
    t.store.confirm_factor(enrolment, no_effects()).await.unwrap()
}

async fn give(t: &TestStore, factor: Factor) {
    assert!(enroll(t, enrolment(factor)).await.is_some());
}

async fn has_factor(t: &TestStore, user: UserId) -> bool {
    let has = t.read(user).await.has_factor;
    let factors = t.store.factors_of(user).await.unwrap();
    let counts = |factor: &Factor| factor.is_confirmed() && factor.kind() != FactorKind::RecoveryCodes;
    assert_eq!(factors.iter().any(counts), has, "{factors:?}");
    has
}

async fn kinds(t: &TestStore, user: UserId) -> Vec<FactorKind> {
    t.store.factors_of(user).await.unwrap().iter().map(Factor::kind).collect()
}

async fn unused(t: &TestStore, user: UserId) -> Option<u32> {
    t.store.factors_of(user).await.unwrap().iter().find_map(|factor| match &factor.method {
        Method::RecoveryCodes(codes) => Some(codes.unused),
        _ => None,
    })
}

async fn state(t: &TestStore, user: UserId) -> Totp {
    let factors = t.store.factors_of(user).await.unwrap();
    let mut totps = factors.into_iter().filter_map(|factor| match factor.method {
        Method::Totp(totp) => Some(totp),
        _ => None,
    });
    totps.next_back().unwrap()
}

async fn ended(t: &TestStore, session: SessionId) -> Option<EndReason> {
    t.read_session(session).await.ended.map(|(_, reason)| reason)
}

fn removal(user: UserId, n: u8) -> FactorRemoval {
    FactorRemoval { id: id(user, n), user, keep: None, keeps_last: false }
}

async fn remove(t: &TestStore, removal: FactorRemoval) -> Removed {
    t.store.remove_factor(removal, no_effects()).await.unwrap()
}

fn two_factors(at: Timestamp) -> AuthContext {
    let methods = Amr::PASSWORD.and(Amr::OTP).and(Amr::MULTI_FACTOR);
    AuthContext { methods, assurance_level: 2, auth_time: at }
}

pub async fn a_factor_counts_once_it_is_confirmed(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.store.add_factor(waiting(totp(ada, 1)), no_effects()).await.unwrap();
    assert!(!has_factor(t, ada).await);
    t.store.add_factor(waiting(totp(ada, 2)), no_effects()).await.unwrap();
    let ids = t.store.factors_of(ada).await.unwrap().iter().map(|factor| factor.id).collect::<Vec<_>>();
    assert_eq!(ids, [id(ada, 2)], "in the place of the one before");

    let bob = t.user("bob").await.id;
    let confirm = |factor, since| Enrolment { since: Some(since), ..enrolment(factor) };
    let of_another = Factor { id: id(ada, 2), ..totp(bob, 2) };
    for refused in [
        confirm(totp(ada, 1), NOON),
        confirm(totp(ada, 2), NOON.after(seconds(1))),
        confirm(of_another, NOON),
        confirm(totp(UserId(900), 2), NOON),
    ] {
        assert_eq!(enroll(t, refused).await, None);
    }
    let inactive = |is_active| UserChange { is_active: Some(is_active), ..UserChange::default() };
    t.store.update_user(ada, inactive(false), no_effects()).await.unwrap();
    assert_eq!(enroll(t, confirm(totp(ada, 2), NOON)).await, None);
    assert!(!has_factor(t, ada).await && unused(t, ada).await.is_none(), "nothing happens");
    t.store.update_user(ada, inactive(true), no_effects()).await.unwrap();
    assert_eq!(enroll(t, confirm(totp(ada, 2), NOON)).await, Some(Enrolled { is_first: true }));
    assert!(has_factor(t, ada).await && !has_factor(t, bob).await);
    assert_eq!(state(t, ada).await.last_step, Some(7));
    assert_eq!(enroll(t, confirm(totp(ada, 2), NOON)).await, None, "it is confirmed already");
}

pub async fn factors_are_listed_oldest_first_and_the_recovery_codes_last(t: &TestStore) {
    let ada = t.user("ada").await.id;
    give(t, totp(ada, 9)).await;
    give(t, passkey(ada, 3, "three")).await;
    t.store.add_factor(waiting(totp(ada, 5)), no_effects()).await.unwrap();
    let ids: Vec<_> = t.store.factors_of(ada).await.unwrap().iter().map(|factor| factor.id).collect();
    assert_eq!(ids, [id(ada, 3), id(ada, 5), id(ada, 9), id(ada, 201)]);
    assert_eq!(t.store.factors_of(UserId(900)).await.unwrap(), []);
    let found = t.store.passkey(b"three").await.unwrap().unwrap();
    assert_eq!((found.id, found.user), (id(ada, 3), ada));
    assert_eq!(t.store.passkey(b"four").await.unwrap(), None);
}

pub async fn the_first_factor_ends_every_session_but_the_kept_one(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let [kept, other] = [t.session(ada, NOON).await.id, t.session(ada, NOON).await.id];
    let at = |n| NOON.after(seconds(n));
    let enroll_in = async |factor, session, when| {
        let effects = Effects::new(when, &Actor::System.into(), []);
        let enrolment = Enrolment { session: Some((session, two_factors(when))), ..enrolment(factor) };
        t.store.confirm_factor(enrolment, effects).await.unwrap().unwrap()
    };
    assert!(enroll_in(totp(ada, 1), kept, at(5)).await.is_first);
    assert_eq!((ended(t, kept).await, ended(t, other).await), (None, Some(EndReason::FactorAdded)));
    assert_eq!(t.read_session(kept).await.auth, Some(two_factors(at(5))));
    assert_eq!(unused(t, ada).await, Some(10));
    let (generation, now) = (t.read(ada).await.sessions_generation, t.read_session(kept).await.generation);
    assert_eq!((generation, now), (1, 1), "the kept one is of the new generation");

    let later = t.session(ada, at(6)).await.id;
    assert!(t.store.use_recovery_code(ada, code(1, 0), no_effects()).await.unwrap().is_some());
    assert!(!enroll_in(passkey(ada, 2, "two"), kept, at(9)).await.is_first);
    assert_eq!((ended(t, kept).await, ended(t, later).await), (None, None), "the second ends none");
    assert_eq!(t.read_session(kept).await.auth, Some(two_factors(at(9))));
    assert_eq!(unused(t, ada).await, Some(9), "and brings no other codes");
}

pub async fn of_first_factors_at_once_one_is_the_first(t: &TestStore) {
    for round in 0..drill().rounds(5, 200) {
        let user = t.user(&format!("user{round}")).await.id;
        let calls = (0..32).map(|n| {
            let store = t.store.clone();
            async move { store.confirm_factor(enrolment(totp(user, n)), no_effects()).await }
        });
        let outcomes = at_once(calls).await;
        let first =
            outcomes.iter().filter(|outcome| matches!(outcome, Ok(Some(Enrolled { is_first: true }))));
        assert_eq!(first.count(), 1, "round {round}");
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(AddFactorError::TooMany)));
        assert_eq!(refused.count(), 32 - Factor::MOST as usize, "round {round}");
        assert_eq!((unused(t, user).await, t.read(user).await.sessions_generation), (Some(10), 1));
    }
}

pub async fn a_user_has_at_most_twenty_factors(t: &TestStore) {
    let ada = t.user("ada").await.id;
    for n in 1..20 {
        give(t, totp(ada, n)).await;
    }
    t.store.add_factor(waiting(totp(ada, 30)), no_effects()).await.unwrap();
    give(t, passkey(ada, 20, "the last one")).await;
    let confirm = Enrolment { since: Some(NOON), ..enrolment(totp(ada, 30)) };
    for too_many in [confirm, enrolment(passkey(ada, 31, "one too many"))] {
        let refused = t.store.confirm_factor(too_many, no_effects()).await;
        assert!(matches!(refused, Err(AddFactorError::TooMany)), "{refused:?}");
    }
    let refused = t.store.add_factor(waiting(totp(ada, 32)), no_effects()).await;
    assert!(matches!(refused, Err(AddFactorError::TooMany)), "{refused:?}");
    assert_eq!(remove(t, removal(ada, 3)).await, Removed::Done);
    give(t, passkey(ada, 33, "in its place")).await;
}

pub async fn a_credential_is_registered_once(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    let session = t.session(bob, NOON).await.id;
    give(t, passkey(ada, 1, "same")).await;
    for again in [passkey(ada, 2, "same"), passkey(bob, 2, "same")] {
        let refused = t.store.confirm_factor(enrolment(again), no_effects()).await;
        assert!(matches!(refused, Err(AddFactorError::Taken)), "{refused:?}");
    }
    assert!(!has_factor(t, bob).await && unused(t, bob).await.is_none(), "nothing happens");
    assert_eq!(ended(t, session).await, None);
    for round in 0..drill().rounds(5, 200) {
        let calls = (0..32).map(|n: u8| {
            let (store, user) = (t.store.clone(), if n.is_multiple_of(2) { ada } else { bob });
            let factor = passkey(user, 100 + n, &format!("credential {round}"));
            let removal = FactorRemoval { id: factor.id, user, keep: None, keeps_last: false };
            async move {
                let made = store.confirm_factor(enrolment(factor), no_effects()).await;
                assert!(matches!(made, Ok(Some(_)) | Err(AddFactorError::Taken)), "{made:?}");
                (made.is_ok(), removal)
            }
        });
        let made: Vec<_> = at_once(calls).await.into_iter().filter(|(made, _)| *made).collect();
        assert_eq!(made.len(), 1, "round {round}");
        assert_eq!(remove(t, made[0].1).await, Removed::Done);
    }
}

pub async fn drill_of_32_uses_of_one_step_one_succeeds(t: &TestStore) {
    let ada = t.user("ada").await.id;
    give(t, totp(ada, 1)).await;
    let step = async |n| t.store.use_totp(id(ada, 1), n, NOON.after(seconds(3))).await.unwrap();
    assert!(!step(7).await, "its code has confirmed the factor");
    for round in 0..drill().rounds(20, 1000) {
        let newer = 10 + i64::try_from(round).unwrap();
        let calls = (0..32).map(|_| {
            let store = t.store.clone();
            async move { store.use_totp(id(ada, 1), newer, NOON).await.unwrap() }
        });
        assert_eq!(successes(calls).await, 1, "round {round}");
        assert!(!step(newer - 1).await, "an older one");
    }
    assert!(step(1_000_000).await && !step(999_999).await);
    assert_eq!(t.store.factors_of(ada).await.unwrap()[0].last_used_at, Some(NOON.after(seconds(3))));
    t.store.add_factor(waiting(totp(ada, 2)), no_effects()).await.unwrap();
    assert!(!t.store.use_totp(id(ada, 2), 8, NOON).await.unwrap(), "one that is not confirmed");
}

pub async fn wrong_codes_are_counted_until_a_right_one_and_disable_the_apps(t: &TestStore) {
    let ada = t.user("ada").await.id;
    assert_eq!(t.store.fail_totps(ada).await.unwrap(), 0);
    give(t, passkey(ada, 3, "three")).await;
    give(t, totp(ada, 1)).await;
    let calls = (0..32).map(|_| {
        let store = t.store.clone();
        async move { store.fail_totps(ada).await.unwrap() }
    });
    assert_eq!(at_once(calls).await.into_iter().collect::<BTreeSet<_>>(), (1..=32).collect());
    assert!(t.store.use_totp(id(ada, 1), 8, NOON).await.unwrap());
    assert_eq!(state(t, ada).await.failures, 0);
    give(t, totp(ada, 2)).await;
    assert_eq!([t.store.fail_totps(ada).await.unwrap(), t.store.fail_totps(ada).await.unwrap()], [1, 2]);

    let at = NOON.after(seconds(60));
    let effects = || Effects::new(at, &Actor::System.into(), []);
    assert!(!t.store.disable_totps(ada, 3, effects()).await.unwrap(), "there are only two wrong codes");
    let calls = (0..32).map(|_| {
        let (store, effects) = (t.store.clone(), effects());
        async move { store.disable_totps(ada, 2, effects).await.unwrap() }
    });
    assert_eq!(successes(calls).await, 1);
    assert_eq!(state(t, ada).await.disabled_at, Some(at));
    assert_eq!(t.store.fail_totps(ada).await.unwrap(), 0, "of a disabled one, nothing is counted");
    assert!(t.store.use_totp(id(ada, 2), 8, NOON).await.unwrap());
    assert_eq!((state(t, ada).await.failures, state(t, ada).await.disabled_at), (2, Some(at)));
    assert!(has_factor(t, ada).await, "it is needed all the same");
    assert!(t.store.enable_totps(ada, no_effects()).await.unwrap());
    assert_eq!((state(t, ada).await.failures, state(t, ada).await.disabled_at), (0, None));
    assert!(!t.store.enable_totps(ada, no_effects()).await.unwrap());
}

pub async fn drill_of_32_uses_of_one_recovery_code_one_succeeds(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    give(t, totp(ada, 1)).await;
    give(t, totp(bob, 1)).await;
    let spend = async |user, hash| t.store.use_recovery_code(user, hash, no_effects()).await.unwrap();
    assert_eq!(spend(ada, code(9, 0)).await, None);
    for n in 0..10 {
        let calls = (0..32).map(|_| {
            let store = t.store.clone();
            async move { store.use_recovery_code(ada, code(1, n), no_effects()).await.unwrap() }
        });
        let left: Vec<_> = at_once(calls).await.into_iter().flatten().collect();
        assert_eq!(left, [9 - u32::from(n)]);
    }
    assert_eq!((unused(t, ada).await, unused(t, bob).await), (Some(0), Some(10)));
    assert_eq!(spend(bob, code(1, 0)).await, Some(9), "another user's code is another one");

    let renew =
        async |user, set| t.store.replace_recovery_codes(user, codes(user, set), no_effects()).await.unwrap();
    assert!(renew(bob, 2).await);
    assert_eq!((spend(bob, code(1, 1)).await, spend(bob, code(2, 1)).await), (None, Some(9)));
    assert_eq!(kinds(t, bob).await, [FactorKind::Totp, FactorKind::RecoveryCodes]);
    let eve = t.user("eve").await.id;
    t.store.add_factor(waiting(totp(eve, 1)), no_effects()).await.unwrap();
    assert!(!renew(eve, 3).await && !renew(UserId(900), 4).await, "who has no factor has no codes");
}

pub async fn drill_of_32_answers_to_one_challenge_one_succeeds(t: &TestStore) {
    let ada = t.user("ada").await.id;
    give(t, passkey(ada, 1, "one")).await;
    give(t, passkey(ada, 2, "two")).await;
    let answer = |n: u8, ceremony: usize, sign_count| PasskeyUse {
        id: id(ada, n),
        ceremony: ChallengeId(SessionId::new(NOON.after(seconds(ceremony as u64)), [7; 10]).0),
        remembered_until: NOON.after(seconds(600)),
        credential: Credential { sign_count, backed_up: true, ..Credential::default() },
    };
    for round in 0..drill().rounds(20, 1000) {
        let calls = (0..32).map(|n: u8| {
            let (store, used) = (t.store.clone(), answer(1 + n % 2, round, u32::from(n)));
            async move { store.use_passkey(used, no_effects()).await.unwrap() }
        });
        assert_eq!(successes(calls).await, 1, "round {round}");
    }
    let at = NOON.after(seconds(9));
    let effects = Effects::new(at, &Actor::System.into(), []);
    assert!(t.store.use_passkey(answer(1, 1_000_000, 77), effects).await.unwrap());
    let found = t.store.passkey(b"one").await.unwrap().unwrap();
    let Method::Passkey(passkey) = found.method else { panic!("it is a passkey") };
    assert_eq!((passkey.credential.sign_count, passkey.credential.backed_up), (77, true));
    assert_eq!(found.last_used_at, Some(at));
    assert_eq!(remove(t, removal(ada, 1)).await, Removed::Done);
    assert!(!t.store.use_passkey(answer(1, 1_000_001, 78), no_effects()).await.unwrap(), "it is gone");
    // What remembers a challenge is no challenge of the user, and goes in time.
    let later = NOON.after(seconds(700));
    assert_eq!(t.store.challenges_of(ada, NOON).await.unwrap().len(), 0);
    while t.store.purge_challenges(later, 100).await.unwrap() > 0 {}
    assert!(t.store.use_passkey(answer(2, 1_000_000, 1), no_effects()).await.unwrap());
}

pub async fn a_factor_is_renamed_by_its_user_alone(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    give(t, totp(ada, 1)).await;
    t.store.add_factor(waiting(totp(ada, 2)), no_effects()).await.unwrap();
    let rename = async |factor, user| t.store.rename_factor(factor, user, "new", no_effects()).await.unwrap();
    assert!(!rename(id(ada, 1), bob).await && !rename(id(ada, 9), ada).await);
    assert!(!rename(id(ada, 2), ada).await, "one that is not confirmed");
    assert!(!rename(id(ada, 201), ada).await, "recovery codes have no name");
    assert_eq!(t.store.factors_of(ada).await.unwrap()[0].name, "factor 1");
    assert!(rename(id(ada, 1), ada).await);
    assert_eq!(t.store.factors_of(ada).await.unwrap()[0].name, "new");
}

pub async fn a_removed_factor_ends_the_other_sessions_and_the_last_one_the_codes(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    give(t, totp(ada, 1)).await;
    give(t, passkey(ada, 2, "two")).await;
    t.store.add_factor(waiting(totp(ada, 3)), no_effects()).await.unwrap();
    let [kept, other] = [t.session(ada, NOON).await.id, t.session(ada, NOON).await.id];
    for n in [3, 9, 201] {
        assert_eq!(remove(t, removal(ada, n)).await, Removed::NoSuchFactor, "{n}");
    }
    let of_bob = FactorRemoval { user: bob, ..removal(ada, 1) };
    assert_eq!(remove(t, of_bob).await, Removed::NoSuchFactor);
    assert_eq!((ended(t, other).await, kinds(t, ada).await.len()), (None, 4), "nothing happens");

    let keeping = FactorRemoval { keep: Some(kept), keeps_last: true, ..removal(ada, 1) };
    assert_eq!(remove(t, keeping).await, Removed::Done);
    assert_eq!((ended(t, kept).await, ended(t, other).await), (None, Some(EndReason::FactorRemoved)));
    assert!(has_factor(t, ada).await && unused(t, ada).await == Some(10));
    let last = FactorRemoval { id: id(ada, 2), ..keeping };
    assert_eq!(remove(t, last).await, Removed::IsLast, "one that is not confirmed does not count");
    assert_eq!(remove(t, FactorRemoval { keep: None, keeps_last: false, ..last }).await, Removed::Done);
    assert_eq!(ended(t, kept).await, Some(EndReason::FactorRemoved));
    assert!(!has_factor(t, ada).await && unused(t, ada).await.is_none());
    no_recovery_codes_are_left(t).await;
    assert!(t.store.use_recovery_code(ada, code(1, 0), no_effects()).await.unwrap().is_none());
}

/// An index that allows one code at most can be made.
async fn no_recovery_codes_are_left(t: &TestStore) {
    t.by_hand("CREATE UNIQUE INDEX one_code ON doorwarden_recovery_codes (length(code_hash))").await;
    t.by_hand("DROP INDEX one_code").await;
}

pub async fn drill_of_two_last_factors_removed_at_once_one_stays(t: &TestStore) {
    for round in 0..drill().rounds(20, 1000) {
        let user = t.user(&format!("user{round}")).await.id;
        give(t, totp(user, 1)).await;
        give(t, totp(user, 2)).await;
        let calls = [1, 2].map(|n| {
            let store = t.store.clone();
            let removal = FactorRemoval { keeps_last: true, ..removal(user, n) };
            async move { store.remove_factor(removal, no_effects()).await.unwrap() }
        });
        let outcomes = at_once(calls).await;
        assert!(outcomes.contains(&Removed::Done) && outcomes.contains(&Removed::IsLast), "{outcomes:?}");
        assert!(has_factor(t, user).await, "round {round}");
    }
}

pub async fn whether_there_is_a_factor_is_known_whoever_writes_it(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    give(t, totp(ada, 1)).await;
    t.by_hand("UPDATE doorwarden_factors SET confirmed_at = NULL WHERE kind = 'totp'").await;
    assert!(
        !has_factor(t, ada).await && unused(t, ada).await.is_none(),
        "the codes are good only beside one"
    );
    no_recovery_codes_are_left(t).await;
    t.by_hand("UPDATE doorwarden_factors SET confirmed_at = created_at").await;
    assert!(has_factor(t, ada).await);
    t.by_hand(&format!("UPDATE doorwarden_factors SET user_id = {bob}")).await;
    assert!(!has_factor(t, ada).await && has_factor(t, bob).await);
    give(t, totp(ada, 2)).await;
    t.by_hand("DELETE FROM doorwarden_factors WHERE kind = 'totp'").await;
    assert!(!has_factor(t, ada).await && !has_factor(t, bob).await && kinds(t, ada).await.is_empty());
    no_recovery_codes_are_left(t).await;
}

pub async fn factors_go_with_their_user(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    for user in [ada, bob] {
        give(t, totp(user, 1)).await;
        give(t, passkey(user, 2, &format!("of {user}"))).await;
        t.store.add_factor(waiting(totp(user, 3)), no_effects()).await.unwrap();
    }
    assert!(t.store.delete_user(ada, no_effects()).await.unwrap());
    assert_eq!((kinds(t, ada).await.len(), kinds(t, bob).await.len()), (0, 4));
    t.by_hand("DELETE FROM users WHERE username = 'bob'").await;
    assert_eq!(kinds(t, bob).await, []);
    assert_eq!(t.store.sealed_factors(None, 10).await.unwrap(), []);
    assert_eq!(t.store.passkey(format!("of {bob}").as_bytes()).await.unwrap(), None);
    no_recovery_codes_are_left(t).await;
}

pub async fn what_is_sealed_is_read_in_pages_and_replaced_if_it_is_the_same(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await.id, t.user("bob").await.id);
    give(t, totp(ada, 1)).await;
    give(t, passkey(ada, 2, "two")).await;
    t.store.add_factor(waiting(totp(bob, 3)), no_effects()).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = t.store.sealed_factors(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        found.extend(page);
    }
    let mut expected =
        vec![(id(ada, 1), vec![1; 40]), (id(bob, 3), vec![3; 40]), (id(ada, 201), vec![1; 60])];
    expected.sort();
    assert_eq!(found, expected);
    let reseal = async |former: u8, new: u8| {
        t.store.reseal_factor(id(ada, 1), &[former; 40], &[new; 40]).await.unwrap()
    };
    assert!(!reseal(9, 8).await && reseal(1, 8).await && !reseal(1, 7).await);
    assert_eq!(state(t, ada).await.sealed, [8; 40]);
}

pub async fn no_session_of_one_factor_is_opened_for_a_user_who_has_two(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let before = t.session(ada, NOON).await;
    give(t, totp(ada, 1)).await;
    let stays = t.session(ada, NOON).await;
    let open = async |open| t.store.open_session(open, no_effects()).await.unwrap().is_some();
    assert!(!open(login(new_session(ada, NOON), hash("ada"), None)).await);
    assert!(!open(login(new_session(ada, NOON), hash("ada"), Some(hash("better")))).await);
    let user = t.read(ada).await;
    assert_eq!((user.last_login, &user.password), (None, &hash("ada")), "nothing of it is stored");
    let password = Proof::Password(PasswordProof::of_new(hash("ada")));
    let proofs = vec![password, Proof::Factor(FactorProof::Totp)];
    let Next::Done(completed) = next(Purpose::LogIn, Standing::of(&user, false, false), proofs, NOON) else {
        panic!("nothing more is needed");
    };
    assert!(open(OpenSession::new(new_session(ada, NOON), completed, None)).await);
    assert!(open(issued(new_session(ada, NOON))).await, "the application vouches for the user");

    let authenticate = async |session, auth| {
        t.store.authenticate_session(session, ada, auth, None, no_effects()).await.unwrap()
    };
    let one = AuthContext { methods: Amr::PASSWORD, assurance_level: 1, auth_time: NOON };
    assert!(!authenticate(stays.id, one).await && authenticate(stays.id, two_factors(NOON)).await);
    assert!(!authenticate(before.id, two_factors(NOON)).await, "it has ended");
}

pub async fn drill_a_login_racing_with_the_first_factor_leaves_no_session_of_one(t: &TestStore) {
    for round in 0..drill().rounds(20, 1000) {
        let name = format!("user{round}");
        let user = t.user(&name).await.id;
        let sessions: Vec<_> = (0..8).map(|_| new_session(user, NOON)).collect();
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        let logins = sessions.into_iter().map(|session| {
            let (store, open) = (t.store.clone(), login(session, hash(&name), None));
            async move {
                store.open_session(open, no_effects()).await.unwrap();
            }
        });
        let store = t.store.clone();
        let factor = async move {
            store.confirm_factor(enrolment(totp(user, 1)), no_effects()).await.unwrap().unwrap();
        };
        let calls: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> =
            logins.map(|login| Box::pin(login) as _).chain([Box::pin(factor) as _]).collect();
        at_once(calls).await;
        for id in ids {
            let lives = t.store.session(id).await.unwrap().is_some_and(|session| session.ended.is_none());
            assert!(!lives, "round {round}");
        }
    }
}

pub async fn a_change_of_factors_is_an_event_only_if_it_takes_place(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let event = || Effects::new(NOON, &Actor::System.into(), [Event::FactorRenamed { user: ada }]);
    let mut known = t.store.audit_records(None, 100).await.unwrap().len();
    let mut new_events = async || {
        let now = t.store.audit_records(None, 100).await.unwrap().len();
        std::mem::replace(&mut known, now).abs_diff(now)
    };
    t.store.replace_recovery_codes(ada, codes(ada, 3), event()).await.unwrap();
    t.store.use_recovery_code(ada, code(1, 1), event()).await.unwrap();
    t.store.rename_factor(id(ada, 1), ada, "new", event()).await.unwrap();
    t.store.disable_totps(ada, 1, event()).await.unwrap();
    t.store.enable_totps(ada, event()).await.unwrap();
    t.store.remove_factor(removal(ada, 1), event()).await.unwrap();
    let missing = Enrolment { since: Some(NOON), ..enrolment(totp(ada, 1)) };
    t.store.confirm_factor(missing, event()).await.unwrap();
    assert_eq!(new_events().await, 0);

    t.store.confirm_factor(enrolment(totp(ada, 1)), event()).await.unwrap();
    assert_eq!(new_events().await, 1, "confirmed");
    t.store.replace_recovery_codes(ada, codes(ada, 3), event()).await.unwrap();
    t.store.use_recovery_code(ada, code(3, 1), event()).await.unwrap();
    t.store.rename_factor(id(ada, 1), ada, "new", event()).await.unwrap();
    assert_eq!(new_events().await, 3, "renewed, used, renamed");
    t.store.fail_totps(ada).await.unwrap();
    t.store.disable_totps(ada, 1, event()).await.unwrap();
    t.store.enable_totps(ada, event()).await.unwrap();
    assert_eq!(new_events().await, 2, "disabled, enabled");
    let kept = FactorRemoval { keeps_last: true, ..removal(ada, 1) };
    t.store.remove_factor(kept, event()).await.unwrap();
    assert_eq!(new_events().await, 0, "kept");
    t.store.remove_factor(removal(ada, 1), event()).await.unwrap();
    assert_eq!(new_events().await, 1, "removed");
    let spent = event().spending(ChallengeId(SessionId::new(NOON, [9; 10]).0));
    let refused = t.store.confirm_factor(enrolment(totp(ada, 1)), spent).await;
    assert!(matches!(refused, Err(AddFactorError::Store(StoreError::Spent))), "{refused:?}");
    assert!(!has_factor(t, ada).await && new_events().await == 0);
}

pub async fn the_first_and_the_last_factor_are_notified(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let recorder = Recorder::new();
    t.store.follow(recorder.clone());
    recorder.until_connected().await;
    recorder.clear();
    let told = async || {
        recorder.until_heard(Change::User(ada)).await;
        recorder.clear();
    };
    give(t, totp(ada, 1)).await;
    told().await;
    t.by_hand("UPDATE doorwarden_factors SET confirmed_at = NULL WHERE kind = 'totp'").await;
    told().await;
    t.by_hand("UPDATE doorwarden_factors SET confirmed_at = created_at WHERE kind = 'totp'").await;
    told().await;
    assert_eq!(remove(t, removal(ada, 1)).await, Removed::Done);
    told().await;
}
