use crate::suite::races::successes;
use crate::{NOON, TestStore, drill, hash, new_session, new_user, no_effects, seconds};
use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::authentication::{Amr, AuthContext};
use doorwarden_core::challenge::{Challenge, ChallengeId, ChallengePurpose, CodeHash, SecretHash};
use doorwarden_core::event::Event;
use doorwarden_core::identity::EmailAddress;
use doorwarden_core::mail::{Locale, MailId, MailKind};
use doorwarden_core::session::{EndReason, SessionId};
use doorwarden_core::store::{CreateChallengeError, NewMail, PasswordChange, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{User, UserChange, UserId};
use serde_json::{Map, Value, json};

fn secret(n: u8) -> SecretHash {
    SecretHash([n; 32])
}

fn id(n: u8) -> ChallengeId {
    ChallengeId(SessionId::new(NOON, [n; 10]).0)
}

/// The n-th challenge of a user, with the token `n`, the key `100 + n` and the code `200 + n`.
fn of(user: &User, n: u8) -> Challenge {
    let data = json!({"tokens": "session", "odd": "\u{e9}\u{1f600}"});
    Challenge {
        id: id(n),
        purpose: ChallengePurpose::ResetPassword,
        user: Some(user.id),
        email: user.email.clone(),
        is_of_current_email: true,
        generation: Some(user.sessions_generation),
        token: Some(secret(n)),
        key: Some(secret(100 + n)),
        code: Some(CodeHash([200 - n; 32])),
        username_key: None,
        data: data.as_object().cloned().unwrap_or_default(),
        attempts: 0,
        created_at: NOON,
        sent_at: NOON,
        expires_at: NOON.after(seconds(600)),
    }
}

async fn create(t: &TestStore, challenge: Challenge) {
    t.store.create_challenge(challenge, false, no_effects()).await.unwrap();
}

fn spending(n: u8, at: Timestamp) -> Effects {
    Effects::new(at, &Actor::System.into(), [Event::PasswordChanged { user: UserId(1) }]).spending(id(n))
}

async fn is_open(t: &TestStore, n: u8, at: Timestamp) -> bool {
    let by_key = t.store.challenge_by_key(secret(100 + n), at).await.unwrap().is_some();
    let by_token = t.store.challenge_by_token(secret(n), at).await.unwrap().is_some();
    assert_eq!(by_key, by_token);
    let by_id = t.store.challenge(id(n), at).await.unwrap();
    assert_eq!(by_id.map(|found| found.id), by_key.then_some(id(n)));
    by_key
}

fn new_password(word: &str) -> PasswordChange {
    PasswordChange {
        password: hash(word),
        expected: None,
        at: NOON.after(seconds(60)),
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: true,
        keep_earlier: 0,
    }
}

pub async fn a_challenge_is_found_by_its_key_and_its_token_until_it_expires(t: &TestStore) {
    let ada = t.user("ada").await;
    create(t, of(&ada, 1)).await;
    let found = t.store.challenge_by_key(secret(101), NOON).await.unwrap().unwrap();
    let expected = of(&ada, 1);
    assert_eq!((found.id, found.purpose, found.user), (expected.id, expected.purpose, expected.user));
    assert_eq!((found.email, found.data), (expected.email, expected.data));
    assert_eq!((found.token, found.key, found.generation), (expected.token, expected.key, Some(0)));
    assert!(found.code.unwrap().is(&CodeHash([199; 32])) && found.is_of_current_email);
    let times = (found.created_at, found.sent_at, found.expires_at);
    assert_eq!(times, (expected.created_at, expected.sent_at, expected.expires_at));
    assert!(t.store.challenge_by_key(secret(1), NOON).await.unwrap().is_none(), "a token is no key");
    assert!(t.store.challenge_by_token(secret(101), NOON).await.unwrap().is_none(), "a key is no token");
    assert!(is_open(t, 1, NOON.after(seconds(599))).await);
    assert!(!is_open(t, 1, NOON.after(seconds(600))).await);
}

pub async fn a_challenge_ends_with_what_ends_the_sessions_and_with_its_address(t: &TestStore) {
    for (n, how) in ["password", "sign out", "deactivate", "email", "delete"].into_iter().enumerate() {
        let n = u8::try_from(n).unwrap();
        let user = t.user(&format!("user{n}")).await;
        create(t, of(&user, n)).await;
        let mut kept = of(&user, 50 + n);
        (kept.generation, kept.is_of_current_email) = (None, false);
        create(t, kept).await;
        assert!(is_open(t, n, NOON).await, "{how}");
        match how {
            "password" => {
                t.store.change_password(user.id, new_password("new"), no_effects()).await.unwrap();
            }
            "sign out" => {
                let (at, reason) = (NOON, EndReason::SignedOut);
                t.store.sign_out_user(user.id, reason, at, no_effects()).await.unwrap();
            }
            "deactivate" => {
                let change = UserChange { is_active: Some(false), ..UserChange::default() };
                t.store.update_user(user.id, change, no_effects()).await.unwrap();
            }
            "email" => {
                let email = Some(EmailAddress::from_stored("other@example.com"));
                let change = UserChange { email, ..UserChange::default() };
                t.store.update_user(user.id, change, no_effects()).await.unwrap();
            }
            _ => assert!(t.store.delete_user(user.id, no_effects()).await.unwrap()),
        }
        assert!(!is_open(t, n, NOON).await, "{how}");
        assert_eq!(is_open(t, 50 + n, NOON).await, how != "delete", "{how}: one that is bound to nothing");
        let spent = t.store.record(spending(n, NOON)).await;
        assert!(matches!(spent, Err(StoreError::Spent)), "{how}: {spent:?}");
    }
}

pub async fn a_write_that_spends_a_challenge_happens_once_and_with_everything_else(t: &TestStore) {
    let ada = t.user("ada").await;
    create(t, of(&ada, 1)).await;
    let mail = NewMail {
        id: MailId(SessionId::new(NOON, [9; 10]).0),
        kind: MailKind::PasswordChanged,
        to: "ada@example.com".to_owned(),
        user: Some(ada.id),
        locale: Locale::German,
        sealed: vec![1, 2, 3],
        created_at: NOON,
        expires_at: NOON.after(seconds(60)),
        is_decoy: false,
    };
    let effects = spending(1, NOON.after(seconds(60))).mailing(mail);
    assert!(t.store.change_password(ada.id, new_password("new"), effects.clone()).await.unwrap());
    let after = t.read(ada.id).await;
    assert_eq!((after.password, after.email_verified_at), (hash("new"), Some(NOON.after(seconds(60)))));
    assert_eq!(t.store.mails(None, None, 9).await.unwrap().len(), 1);
    let events = t.store.audit_records(None, 9).await.unwrap().len();

    let again = Effects { mails: Vec::new(), ..effects };
    let again = t.store.change_password(ada.id, new_password("newer"), again).await;
    assert!(matches!(again, Err(StoreError::Spent)), "{again:?}");
    assert_eq!(t.read(ada.id).await.password, hash("new"));
    assert_eq!(t.store.audit_records(None, 9).await.unwrap().len(), events);
}

pub async fn a_write_that_does_not_take_place_spends_and_mails_nothing(t: &TestStore) {
    let ada = t.user("ada").await;
    create(t, of(&ada, 1)).await;
    let change = PasswordChange { expected: Some(hash("other")), ..new_password("new") };
    let effects = spending(1, NOON);
    assert!(!t.store.change_password(ada.id, change, effects).await.unwrap());
    assert!(is_open(t, 1, NOON).await);
}

pub async fn drill_of_32_redemptions_of_one_link_one_succeeds(t: &TestStore) {
    for round in 0..drill().rounds(10, 1000) {
        let n = u8::try_from(round % 100).unwrap();
        let user = t.user(&format!("user{round}")).await;
        let mut challenge = of(&user, n);
        challenge.id = ChallengeId(SessionId::new(NOON.after(seconds(round as u64 / 100)), [n; 10]).0);
        (challenge.token, challenge.key) = (None, None);
        let spends = challenge.id;
        create(t, challenge).await;
        let calls = (0..32).map(|call| {
            let (store, id) = (t.store.clone(), user.id);
            let at = NOON.after(seconds(60));
            let effects = Effects::new(at, &Actor::System.into(), []).spending(spends);
            async move {
                match store.change_password(id, new_password(&format!("{call}")), effects).await {
                    Ok(changed) => changed,
                    Err(StoreError::Spent) => false,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert_eq!(successes(calls).await, 1, "round {round}");
    }
}

pub async fn of_100_guesses_at_once_five_are_compared_and_new_requests_go_on_counting(t: &TestStore) {
    let ada = t.user("ada").await;
    create(t, of(&ada, 1)).await;
    let calls = (0..100).map(|_| {
        let store = t.store.clone();
        async move { store.attempt_challenge(secret(1), NOON).await.unwrap().is_some() }
    });
    assert_eq!(successes(calls).await, 5);
    assert!(is_open(t, 1, NOON).await, "the link is still good");
    let bob = t.user("bob").await;
    for n in 10..20 {
        create(t, of(&bob, n)).await;
    }
    let calls = (0..100).map(|n: u8| {
        let store = t.store.clone();
        async move { store.attempt_challenge(secret(10 + n % 10), NOON).await.unwrap().is_some() }
    });
    assert_eq!(successes(calls).await, 5, "ten requests give no more attempts than one");
    for (n, minutes, tries) in [(2, 10, 0), (3, 59, 0), (4, 61, 1)] {
        let mut later = of(&ada, n);
        let at = NOON.after(seconds(60 * minutes));
        (later.created_at, later.sent_at, later.expires_at) = (at, at, at.after(seconds(600)));
        create(t, later).await;
        let tried = t.store.attempt_challenge(secret(n), at).await.unwrap();
        assert_eq!(u32::from(tried.is_some()), tries, "after {minutes} minutes");
    }
}

pub async fn a_link_is_renewed_at_most_every_half_minute(t: &TestStore) {
    let ada = t.user("ada").await;
    create(t, of(&ada, 1)).await;
    let renew = async |key, after| {
        let (key, code) = (secret(key), CodeHash([key; 32]));
        t.store.renew_challenge(secret(1), key, code, NOON.after(seconds(after)), no_effects()).await.unwrap()
    };
    assert!(!renew(180, 29).await);
    assert!(renew(180, 30).await);
    let at = NOON.after(seconds(31));
    assert!(t.store.challenge_by_key(secret(101), at).await.unwrap().is_none(), "the old link is dead");
    assert!(t.store.challenge_by_key(secret(180), at).await.unwrap().is_some());
    assert!(!renew(181, 59).await);
    assert!(renew(181, 60).await);
}

pub async fn an_address_has_at_most_twenty_open_challenges_or_one(t: &TestStore) {
    let ada = t.user("ada").await;
    for n in 1..=25 {
        let mut challenge = of(&ada, n);
        challenge.created_at = NOON.after(seconds(n.into()));
        create(t, challenge).await;
    }
    let at = NOON.after(seconds(30));
    let open = t.store.challenges_of(ada.id, at).await.unwrap();
    assert_eq!(
        open.iter().map(|challenge| challenge.id).collect::<Vec<_>>(),
        (6..=25).map(id).collect::<Vec<_>>()
    );
    let mut only = of(&ada, 30);
    only.created_at = at;
    t.store.create_challenge(only, true, no_effects()).await.unwrap();
    let open = t.store.challenges_of(ada.id, at).await.unwrap();
    assert_eq!(open.iter().map(|challenge| challenge.id).collect::<Vec<_>>(), [id(30)]);
}

pub async fn a_registration_reserves_its_username_until_it_expires(t: &TestStore) {
    let reserve = |n, name: &str, at: Timestamp| Challenge {
        id: id(n),
        purpose: ChallengePurpose::Register,
        user: None,
        email: EmailAddress::from_stored(format!("{n}@example.com")),
        is_of_current_email: false,
        generation: None,
        token: Some(secret(n)),
        key: Some(secret(100 + n)),
        code: None,
        username_key: Some(name.to_owned()),
        data: Map::new(),
        attempts: 0,
        created_at: at,
        sent_at: at,
        expires_at: at.after(seconds(600)),
    };
    let create = async |challenge| t.store.create_challenge(challenge, false, no_effects()).await;
    create(reserve(1, "ada", NOON)).await.unwrap();
    create(reserve(2, "bob", NOON)).await.unwrap();
    let taken = create(reserve(3, "ada", NOON.after(seconds(599)))).await;
    assert!(matches!(taken, Err(CreateChallengeError::UsernameTaken)), "{taken:?}");
    create(reserve(4, "ada", NOON.after(seconds(600)))).await.unwrap();
    let created = t.store.create_user(new_user("bob"), spending(2, NOON)).await.unwrap();
    assert_eq!(created.username.as_str(), "bob");
    create(reserve(5, "bob", NOON)).await.unwrap();
}

pub async fn a_login_without_a_password_is_one_and_proves_the_address(t: &TestStore) {
    use doorwarden_core::authentication::{Next, Proof, Purpose, Standing, next};
    let ada = t.user("ada").await;
    create(t, of(&ada, 1)).await;
    let session = new_session(ada.id, NOON.after(seconds(5)));
    let Next::Done(completed) =
        next(Purpose::LogIn, Standing::default(), vec![Proof::Email], session.created_at)
    else {
        panic!("nothing more is needed");
    };
    let open = doorwarden_core::store::OpenSession::new(session.clone(), completed, None);
    assert!(t.store.open_session(open.clone(), spending(1, NOON)).await.unwrap().is_some());
    let after = t.read(ada.id).await;
    let at = Some(session.created_at);
    assert_eq!((after.last_login, after.email_verified_at, after.password), (at, at, ada.password));
    let stored = t.read_session(session.id).await;
    assert_eq!(stored.auth.unwrap().methods.to_string(), "email");
    let again = t.store.open_session(open, spending(1, NOON)).await;
    assert!(matches!(again, Err(StoreError::Spent)), "{again:?}");
}

pub async fn a_live_session_is_authenticated_again_while_the_password_is_the_stored_one(t: &TestStore) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let at = NOON.after(seconds(60));
    let auth = AuthContext { methods: Amr::EMAIL, assurance_level: 2, auth_time: at };
    let live = t.session(ada.id, NOON).await;
    let before = t.read_session(live.id).await;
    create(t, of(&ada, 1)).await;
    let spends = |at| spending(1, at);
    let again = async |session, user, verified: Option<&str>, effects| {
        let verified = verified.map(hash);
        t.store.authenticate_session(session, user, auth, verified.as_ref(), effects).await
    };

    let ended = t.session(ada.id, NOON).await;
    t.store.end_session(ended.id, ada.id, EndReason::LoggedOut, NOON, no_effects()).await.unwrap();
    let mut expired = new_session(ada.id, NOON);
    expired.expires_at = at;
    let expired = t.open(expired).await;
    let unknown = SessionId::new(NOON, [77; 10]);
    let events = t.store.audit_records(None, 99).await.unwrap().len();
    for (why, session, user, verified) in [
        ("ended", ended.id, ada.id, None),
        ("expired", expired.id, ada.id, None),
        ("unknown", unknown, ada.id, None),
        ("of another user", live.id, bob.id, None),
        ("another password", live.id, ada.id, Some("another")),
    ] {
        assert!(!again(session, user, verified, spends(at)).await.unwrap(), "{why}");
        assert!(is_open(t, 1, at).await, "{why}: spends nothing");
    }
    assert_eq!(t.store.audit_records(None, 99).await.unwrap().len(), events);
    assert_eq!(t.read_session(live.id).await, before);

    assert!(again(live.id, ada.id, Some("ada"), spends(at)).await.unwrap());
    let mut expected = before;
    expected.auth = Some(auth);
    assert_eq!(t.read_session(live.id).await, expected, "nothing else of the session moves");
    assert_eq!(t.store.audit_records(None, 99).await.unwrap().len(), events + 1);
    assert!(!is_open(t, 1, at).await);
    let spent = again(live.id, ada.id, Some("ada"), spends(at)).await;
    assert!(matches!(spent, Err(StoreError::Spent)), "{spent:?}");
    assert!(again(live.id, ada.id, None, no_effects()).await.unwrap(), "without a password none is compared");

    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    t.store.update_user(ada.id, off, no_effects()).await.unwrap();
    assert!(!again(live.id, ada.id, None, no_effects()).await.unwrap(), "deactivated");
}

pub async fn another_address_is_not_verified_whoever_writes_it(t: &TestStore) {
    for (name, by_hand) in [("ada", false), ("bob", true)] {
        let user = t.user(name).await;
        let verified = UserChange { email_verified_at: Some(NOON), ..UserChange::default() };
        t.store.update_user(user.id, verified, no_effects()).await.unwrap();
        assert_eq!(t.read(user.id).await.email_verified_at, Some(NOON));
        let email = format!("new-{name}@example.com");
        if by_hand {
            t.by_hand(&format!("UPDATE users SET email = '{email}' WHERE id = {}", user.id)).await;
        } else {
            let email = Some(EmailAddress::from_stored(email));
            let change = UserChange { email, ..UserChange::default() };
            t.store.update_user(user.id, change, no_effects()).await.unwrap();
        }
        assert_eq!(t.read(user.id).await.email_verified_at, None, "{name}");
    }
    let change = UserChange {
        email: Some(EmailAddress::from_stored("proved@example.com")),
        email_verified_at: Some(NOON.after(seconds(9))),
        ..UserChange::default()
    };
    let user = t.store.update_user(UserId(1), change, no_effects()).await.unwrap().unwrap();
    assert_eq!(user.email_verified_at, Some(NOON.after(seconds(9))));
}

pub async fn the_life_of_an_account_is_read_as_it_was_written(t: &TestStore) {
    let user = t.user("ada").await;
    let at = NOON.after(seconds(7));
    let change = UserChange {
        email_verified_at: Some(NOON),
        locale: Some(Locale::German),
        must_change_password: Some(true),
        deletion_at: Some(Some(at)),
        ..UserChange::default()
    };
    let changed = t.store.update_user(user.id, change, no_effects()).await.unwrap().unwrap();
    let mut expected = user.clone();
    (expected.email_verified_at, expected.locale) = (Some(NOON), Some(Locale::German));
    (expected.must_change_password, expected.deletion_at) = (true, Some(at));
    assert_eq!((&changed, &t.read(user.id).await), (&expected, &expected));
    assert_eq!(t.account(user.id).await.user, expected);
    let nothing = t.store.update_user(user.id, UserChange::default(), no_effects()).await.unwrap();
    assert_eq!(nothing, Some(expected));
    let stays = UserChange { deletion_at: Some(None), ..UserChange::default() };
    assert_eq!(t.store.update_user(user.id, stays, no_effects()).await.unwrap().unwrap().deletion_at, None);
    t.store.change_password(user.id, new_password("new"), no_effects()).await.unwrap();
    assert!(!t.read(user.id).await.must_change_password);
    assert_eq!(Value::Object(user.metadata), json!({}));
}

pub async fn expired_challenges_are_deleted_in_batches(t: &TestStore) {
    let ada = t.user("ada").await;
    for n in 1..=3 {
        create(t, of(&ada, n)).await;
    }
    assert_eq!(t.store.purge_challenges(NOON.after(seconds(600)), 2).await.unwrap(), 0);
    assert_eq!(t.store.purge_challenges(NOON.after(seconds(601)), 2).await.unwrap(), 2);
    assert_eq!(t.store.purge_challenges(NOON.after(seconds(601)), 2).await.unwrap(), 1);
}

/// The median time to create one of several challenges, in microseconds.
async fn time_to_create(t: &TestStore, user: &User, from: u8) -> u128 {
    let mut times = Vec::new();
    for n in from..from + 15 {
        let begin = std::time::Instant::now();
        create(t, of(user, n)).await;
        times.push(begin.elapsed().as_micros());
    }
    times.sort_unstable();
    times[7]
}

pub async fn a_challenge_among_many_takes_no_longer(t: &TestStore) {
    let user = t.store.create_user(new_user("jane"), no_effects()).await.unwrap();
    let few = time_to_create(t, &user, 0).await;
    let sqlite = t.store.kind() == "sqlite";
    let (id, at, later, data, false_) = match sqlite {
        true => ("randomblob(16)", "1795435200000000", "1801435200000000", "'{}'", "0"),
        false => {
            ("gen_random_uuid()", "to_timestamp(1795435200)", "to_timestamp(1801435200)", "'{}'", "false")
        }
    };
    let address = "'user' || i || '@example.org'";
    t.by_hand(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) \
         INSERT INTO doorwarden_challenges (id, purpose, email, email_key, of_current_email, data, attempts, \
         carried_attempts, created_at, sent_at, expires_at) \
         SELECT {id}, 'log_in', {address}, {address}, {false_}, {data}, 0, 0, {at}, {at}, {later} FROM n"
    ))
    .await;
    t.by_hand("ANALYZE").await;
    let many = time_to_create(t, &user, 20).await;
    assert!(many < 8 * few + 2000, "{many} µs among 60,000, {few} µs among few");
}
