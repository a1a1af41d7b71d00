use super::property::for_all;
use crate::{NOON, TestStore, drill, hash, issued, login, new_session, new_user, no_effects, with};
use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::factor::recovery::RecoveryHash;
use doorwarden_core::factor::{Credential, Factor, FactorId, Method, Passkey, RecoveryCodes, Totp};
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::permission::Permission;
use doorwarden_core::session::{ClientInfo, EndReason, Repeats, Session, SessionId};
use doorwarden_core::store::{Enrolment, NewRecoveryCodes, PasswordChange, SigningKey};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{METADATA_MAX_BYTES, NewUser, User, UserChange, UserId};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::net::IpAddr;
use uuid::Uuid;

/// Any text without NUL, biased towards difficult characters: case folding that changes the length,
/// metacharacters of SQL, JSON and `LIKE`, combining characters, directional marks, the last plane.
fn text(most: usize) -> impl Strategy<Value = String> {
    let odd: Vec<char> = "İıßſΣςKǅﬁÅé\u{301}\u{345}אب中ไ\u{202e}\u{200d}\u{feff}\u{fffd}😀\u{10ffff}'\"\\%_$?:;{}\n\r\t\u{1}\u{7f}"
        .chars()
        .collect();
    let char = prop_oneof![
        2 => prop::char::range(' ', '~'),
        2 => any::<char>().prop_filter("no database keeps NUL in text", |c| *c != '\0'),
        1 => prop::sample::select(odd),
    ];
    prop::collection::vec(char, 0..most).prop_map(|chars| chars.into_iter().collect())
}

/// Any time in the years 1 to 9999.
fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        3 => -62_135_596_800_000_000..=253_402_300_799_999_999_i64,
        1 => prop::sample::select(vec![-62_135_596_800_000_000, -1, 0, 1, 999_999, 253_402_300_799_999_999]),
    ]
    .prop_map(Timestamp::from_micros)
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![0.1, 1e308, 5e-324, -0.0, 1e15, 123_456_789.123_456_78])
            .prop_map(Value::from),
        text(12).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text(8), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((text(10), json()), 0..6)
        .prop_map(|members| members.into_iter().collect::<Map<_, _>>())
        .prop_filter("no more than 16 KiB", |map| {
            serde_json::to_string(map).is_ok_and(|text| text.len() <= METADATA_MAX_BYTES)
        })
}

fn user() -> impl Strategy<Value = NewUser> {
    (text(60), text(60), text(40), any::<[bool; 3]>(), instant(), metadata()).prop_map(
        |(username, email, password, [is_active, is_staff, is_superuser], date_joined, metadata)| NewUser {
            username: Username::from_stored(username),
            email: EmailAddress::from_stored(email),
            password: PasswordHash::from_stored(password),
            is_active,
            is_staff,
            is_superuser,
            date_joined,
            metadata,
            email_verified_at: None,
            locale: None,
        },
    )
}

fn session() -> impl Strategy<Value = Session> {
    let optional = || option::of(text(40));
    let texts = (optional(), optional(), option::of(any::<IpAddr>()), option::of(text(200)));
    let number = || option::of(0..=i64::MAX);
    let numbers = (number(), number());
    let instants = [instant(), instant(), instant()];
    let repeats = (option::of(instant()), 0..=2_u8, number(), option::of(instant()));
    (texts, numbers, instants, repeats).prop_map(
        |(
            (client_id, audience, address, user_agent),
            (refresh_counter, idle_seconds),
            instants,
            (rotated_at, late, last_at_counter, last_late_at),
        )| {
            let [created_at, last_seen_at, expires_at] = instants;
            let mut session = Session::new(SessionId(Uuid::nil()), UserId(0), created_at, expires_at);
            session.last_seen_at = last_seen_at;
            session.refresh_counter = refresh_counter;
            session.rotated_at = rotated_at;
            session.repeats = Repeats { late, last_at_counter, last_late_at };
            session.idle_seconds = idle_seconds;
            session.client_id = client_id;
            session.audience = audience;
            session.client = ClientInfo { address, user_agent, ..ClientInfo::default() };
            session
        },
    )
}

fn cases() -> usize {
    drill().rounds(64, 1024)
}

/// A number that no earlier case had, to keep generated names apart.
fn numbers() -> impl Fn() -> u32 {
    let next = Cell::new(0);
    move || next.replace(next.get() + 1)
}

pub async fn drill_any_user_is_read_as_written(t: &TestStore) {
    let number = numbers();
    for_all(cases(), (user(), instant(), metadata()), async |(mut new, instant, more)| {
        let n = number();
        new.username = Username::from_stored(format!("{n}-{}", new.username.as_str()));
        new.email = EmailAddress::from_stored(format!("{n}-{}@example.com", new.email.as_str()));
        let created = t.store.create_user(new.clone(), no_effects()).await.unwrap();
        let mut expected = User::new(created.id, new.username, new.email, new.password, new.date_joined);
        expected.is_active = new.is_active;
        expected.is_staff = new.is_staff;
        expected.is_superuser = new.is_superuser;
        expected.metadata = new.metadata;
        assert_eq!(created, expected);
        assert_eq!(t.read(created.id).await, expected);
        assert_eq!(t.account(created.id).await.user, expected);
        let by_email = t.store.user_by_email(&expected.email.key()).await.unwrap();
        assert_eq!(by_email.as_ref(), Some(&expected));
        let by_name = t.store.user_by_username(&expected.username.key()).await.unwrap();
        assert_eq!(by_name.as_ref(), Some(&expected));

        let change = PasswordChange {
            password: hash("new"),
            expected: Some(expected.password.clone()),
            at: instant,
            keep_session: None,
            reason: EndReason::PasswordChanged,
            proves_email: false,
            keep_earlier: 0,
        };
        assert!(t.store.change_password(created.id, change, no_effects()).await.unwrap());
        let tokens_valid_after = Some(instant);
        let expected = with(expected, |u| {
            u.password = hash("new");
            u.tokens_valid_after = tokens_valid_after;
            u.sessions_generation = 1;
        });
        assert_eq!(t.read(created.id).await, expected);

        let mut metadata = expected.metadata.clone();
        for (name, value) in more.clone() {
            match value {
                Value::Null => metadata.remove(&name),
                value => metadata.insert(name, value),
            };
        }
        if serde_json::to_string(&metadata).unwrap().len() <= METADATA_MAX_BYTES {
            let change = UserChange { metadata: more, ..UserChange::default() };
            let changed = t.store.update_user(created.id, change, no_effects()).await.unwrap().unwrap();
            assert_eq!(changed, with(expected, |u| u.metadata = metadata));
        }
    })
    .await;
}

pub async fn drill_any_session_is_read_as_written(t: &TestStore) {
    let ada = t.user("ada").await.id;
    for_all(cases(), (session(), any::<bool>(), instant()), async |(session, is_login, at)| {
        // The id is new in each case, even while a failure is being shrunk.
        let id = new_session(ada, NOON).id;
        let session = with(session, |s| {
            s.id = id;
            s.user = ada;
        });
        let open = if is_login { login(session, hash("ada"), None) } else { issued(session) };
        let session = t.opened(open).await;
        assert_eq!(t.read_session(session.id).await, session);
        assert!(t.store.end_session(session.id, ada, EndReason::Revoked, at, no_effects()).await.unwrap());
        let ended = Some((at, EndReason::Revoked));
        assert_eq!(t.read_session(session.id).await, with(session, |s| s.ended = ended));
    })
    .await;
}

pub async fn drill_any_key_is_read_as_written(t: &TestStore) {
    let number = numbers();
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let at = || option::of(instant());
    let values = (text(40), text(20), bytes, text(100), instant(), instant(), at(), at());
    for_all(
        cases(),
        values,
        async |(kid, algorithm, sealed, public_jwk, created_at, signs_from, signs_until, revoked_at)| {
            let n = number();
            let key = SigningKey {
                kid: format!("{n} {kid}"),
                algorithm,
                sealed,
                public_jwk,
                predecessor: format!("{n} {kid}"),
                created_at,
                signs_from,
                signs_until,
                revoked_at,
            };
            assert!(t.store.add_signing_key(key.clone(), no_effects()).await.unwrap());
            let stored = t.store.signing_keys().await.unwrap();
            assert!(stored.contains(&key), "{key:?} is not in {stored:?}");
            if revoked_at.is_some_and(|at| at <= NOON) {
                assert!(t.store.delete_signing_key(&key.kid, no_effects()).await.unwrap());
            }
        },
    )
    .await;
}

pub async fn drill_any_group_and_label_are_read_as_written(t: &TestStore) {
    let number = numbers();
    for_all(cases(), (text(100), text(100)), async |(group, label)| {
        let group = format!("{group}{}", number());
        let user =
            t.store.create_user(new_user(&format!("user{}", number())), no_effects()).await.unwrap().id;
        assert!(t.store.create_group(&group, no_effects()).await.unwrap());
        assert!(t.store.add_to_group(user, &group, no_effects()).await.unwrap());
        assert_eq!(t.account(user).await.groups, std::slice::from_ref(&group));
        assert!(t.store.delete_group(&group, no_effects()).await.unwrap());

        let permission = Permission { name: "any.label".parse().unwrap(), label };
        t.store.declare_permissions(std::slice::from_ref(&permission), no_effects()).await.unwrap();
        assert_eq!(t.store.permissions().await.unwrap(), [permission]);
    })
    .await;
}

fn bytes(least: usize, most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), least..=most)
}

fn credential() -> impl Strategy<Value = Credential> {
    let texts = (text(200), text(60), text(40), prop::collection::vec(text(10), 0..5), option::of(text(20)));
    let others = (any::<u32>(), any::<[bool; 2]>(), option::of(any::<u128>()));
    (texts, others).prop_map(
        |((public_key, user_handle, rp_id, transports, attestation), (sign_count, flags, aaguid))| {
            let [backup_eligible, backed_up] = flags;
            Credential {
                public_key,
                user_handle,
                rp_id,
                sign_count,
                backup_eligible,
                backed_up,
                transports,
                aaguid: aaguid.map(Uuid::from_u128),
                attestation,
            }
        },
    )
}

fn method() -> impl Strategy<Value = Method> {
    let totp = (bytes(0, 200), option::of(any::<i64>())).prop_map(|(sealed, last_step)| {
        Method::Totp(Totp { sealed, last_step, failures: 0, disabled_at: None })
    });
    let passkey = (bytes(1, 1023), credential())
        .prop_map(|(credential_id, credential)| Method::Passkey(Passkey { credential_id, credential }));
    prop_oneof![totp, passkey]
}

pub async fn drill_any_factor_is_read_as_written(t: &TestStore) {
    let number = numbers();
    let codes = prop::collection::hash_set(any::<[u8; 32]>(), 0..12);
    let values = (method(), text(100), instant(), codes, bytes(0, 200));
    for_all(cases(), values, async |(method, name, at, codes, sealed)| {
        let n = number();
        let user = t.user(&format!("user{n}")).await.id;
        let id = |part: u128| FactorId(Uuid::from_u128(u128::from(n) << 1 | part));
        let factor = Factor {
            id: id(0),
            user,
            name,
            created_at: at,
            confirmed_at: Some(at),
            last_used_at: None,
            method: match method {
                // An earlier case may have had the same short id.
                Method::Passkey(passkey) => {
                    let mut credential_id = n.to_be_bytes().to_vec();
                    credential_id.extend(passkey.credential_id.into_iter().take(1019));
                    Method::Passkey(Passkey { credential_id, ..passkey })
                }
                other => other,
            },
        };
        let unused = u32::try_from(codes.len()).unwrap();
        let hashes = codes.into_iter().map(RecoveryHash).collect();
        let new = NewRecoveryCodes { id: id(1), sealed: sealed.clone(), hashes };
        let enrolment = Enrolment { factor: factor.clone(), since: None, codes: new, session: None };
        let effects = Effects::new(at, &Actor::System.into(), []);
        assert!(t.store.confirm_factor(enrolment, effects).await.unwrap().unwrap().is_first);
        let codes = Factor {
            id: id(1),
            name: String::new(),
            method: Method::RecoveryCodes(RecoveryCodes { sealed, unused }),
            ..factor.clone()
        };
        assert_eq!(t.store.factors_of(user).await.unwrap(), [factor.clone(), codes]);
        if let Method::Passkey(passkey) = &factor.method {
            let found = t.store.passkey(&passkey.credential_id).await.unwrap();
            assert_eq!(found, Some(factor.clone()));
        }
    })
    .await;
}
