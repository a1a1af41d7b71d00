//! An event is stored if and only if its change is.

use super::import::account;
use super::keys::key;
use super::property::at_once;
use crate::{
    NOON, TestStore, hash, issued, login, new_session, new_user, no_effects, opening, presented, renewal,
    seconds,
};
use doorwarden_core::audit::{Actor, AuditRecord, Effects, Origin, Outcome};
use doorwarden_core::authentication::Purpose;
use doorwarden_core::event::{Event, LoginFailure, RepeatSign, UpdatedFields};
use doorwarden_core::identity::Username;
use doorwarden_core::permission::{Permission, PermissionName};
use doorwarden_core::refresh::Repeat;
use doorwarden_core::session::{ClientInfo, EndReason, SessionId};
use doorwarden_core::store::{EventFilter, PasswordChange, Rotation, SigningKey, WriteUserError};
use doorwarden_core::time::{Clock, SystemClock, Timestamp};
use doorwarden_core::user::{UserChange, UserId};
use serde_json::{Value, json};

/// An id that no user has.
const NOBODY: UserId = UserId(4711);

const AT: Timestamp = Timestamp::from_micros(NOON.as_micros() + 1);

fn client() -> ClientInfo {
    ClientInfo {
        address: "192.0.2.7".parse().ok(),
        user_agent: Some("Tést/1 \"x\"".to_owned()),
        request_id: Some("0123456789abcdef".to_owned()),
        ..ClientInfo::default()
    }
}

/// These events, caused by an operator.
fn effects(events: impl IntoIterator<Item = Event>) -> Effects {
    Effects::new(AT, &Origin::new(Actor::Operator, client()), events)
}

/// The events since the last call.
struct Log<'a> {
    t: &'a TestStore,
    last: Option<i64>,
}

impl<'a> Log<'a> {
    fn of(t: &'a TestStore) -> Self {
        Self { t, last: None }
    }

    async fn news(&mut self) -> Vec<AuditRecord> {
        let news = self.t.store.audit_records(self.last, 1000).await.unwrap();
        self.last = news.last().map(|record| record.id).or(self.last);
        news
    }

    /// Asserts that exactly these events were written, with their actor.
    #[track_caller]
    fn are(records: &[AuditRecord], events: &[Event]) {
        let written: Vec<_> = records.iter().map(said).collect();
        let expected: Vec<_> = events
            .iter()
            .map(|event| {
                (event.name().to_owned(), event.user(), event.session(), event.outcome(), json!(event.data()))
            })
            .collect();
        assert_eq!(written, expected);
        for record in records {
            assert_eq!((record.at, &record.actor, &record.client), (AT, &Actor::Operator, &client()));
        }
    }
}

fn said(record: &AuditRecord) -> (String, Option<UserId>, Option<SessionId>, Outcome, Value) {
    (record.kind.clone(), record.user, record.session, record.outcome, json!(record.data))
}

pub async fn an_event_without_a_change_is_recorded(t: &TestStore) {
    let mut log = Log::of(t);
    let unknown = Event::LoginFailed { user: None, reason: LoginFailure::UnknownEmail };
    let wrong = Event::LoginFailed { user: Some(UserId(7)), reason: LoginFailure::WrongPassword };
    t.store.record(effects([unknown.clone(), wrong.clone()])).await.unwrap();
    let news = log.news().await;
    Log::are(&news, &[unknown, wrong.clone()]);
    assert_eq!(news[0].outcome, Outcome::Failure);

    t.store.record(effects([])).await.unwrap();
    assert_eq!(log.news().await, []);

    for actor in [
        Actor::Anonymous,
        Actor::User(UserId::MAX),
        Actor::Operator,
        Actor::Application,
        Actor::Client("büro'\\".to_owned()),
        Actor::System,
    ] {
        t.store.record(Effects::new(AT, &actor.clone().into(), [wrong.clone()])).await.unwrap();
        let news = log.news().await;
        assert_eq!((news.len(), &news[0].actor, &news[0].client), (1, &actor, &ClientInfo::default()));
    }
}

pub async fn the_clients_of_old_events_are_forgotten_in_portions(t: &TestStore) {
    let event =
        |user: i64| Event::LoginFailed { user: Some(UserId(user)), reason: LoginFailure::WrongPassword };
    let only_agent = ClientInfo { address: None, ..client() };
    for (age, client) in
        [(5, client()), (4, only_agent), (3, ClientInfo::default()), (2, client()), (1, client())]
    {
        let origin = Origin::new(Actor::Operator, client);
        t.store
            .record(Effects::new(NOON.before(seconds(age)), &origin, [event(age.cast_signed())]))
            .await
            .unwrap();
    }
    let before = Log::of(t).news().await;
    let known = async || {
        let records = Log::of(t).news().await;
        let are_kept = records.iter().zip(&before).all(|(now, then)| {
            let mut as_then = now.clone();
            as_then.client = then.client.clone();
            let forgotten = ClientInfo { address: None, user_agent: None, ..then.client.clone() };
            as_then == *then && (now.client == then.client || now.client == forgotten)
        });
        assert!(are_kept && records.len() == before.len(), "{records:?}");
        let known = records
            .iter()
            .filter(|record| record.client.address.is_some() || record.client.user_agent.is_some());
        known.map(|record| record.user.unwrap().0).collect::<Vec<_>>()
    };
    assert_eq!(known().await, [5, 4, 2, 1]);
    let forget = async |age, limit| t.store.forget_clients(NOON.before(seconds(age)), limit).await.unwrap();
    assert_eq!((forget(1, 2).await, known().await), (2, vec![2, 1]), "the oldest first");
    assert_eq!((forget(1, 2).await, known().await), (1, vec![1]), "none that is not older");
    assert_eq!((forget(1, 2).await, known().await), (0, vec![1]));
}

pub async fn events_are_listed_by_id_after_a_cursor(t: &TestStore) {
    for user in 1..=5 {
        let event = Event::LoginFailed { user: Some(UserId(user)), reason: LoginFailure::Inactive };
        t.store.record(effects([event])).await.unwrap();
    }
    let page = async |after, limit| t.store.audit_records(after, limit).await.unwrap();
    let first = page(None, 2).await;
    let second = page(Some(first[1].id), 2).await;
    let third = page(Some(second[1].id), 2).await;
    let users: Vec<_> = [first, second, third].concat().iter().map(|r| r.user.unwrap().0).collect();
    assert_eq!(users, [1, 2, 3, 4, 5]);
}

pub async fn events_are_found_by_what_they_are_newest_first(t: &TestStore) {
    for user in 1..=6 {
        let event = match user % 2 {
            0 => Event::PasswordChanged { user: UserId(user % 3) },
            _ => Event::LoginFailed { user: Some(UserId(user % 3)), reason: LoginFailure::Inactive },
        };
        let at = NOON.after(seconds(user.unsigned_abs()));
        t.store.record(Effects::new(at, &Actor::System.into(), [event])).await.unwrap();
    }
    let all = Log::of(t).news().await;
    let found = async |filter: EventFilter, before, limit| {
        let found = t.store.find_events(&filter, before, limit).await.unwrap();
        assert!(found.iter().all(|event| filter.matches(event)), "{filter:?}: {found:?}");
        found.iter().map(|event| all.iter().position(|one| one == event).unwrap() + 1).collect::<Vec<_>>()
    };
    let any = EventFilter::default;
    assert_eq!(found(any(), None, 100).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(found(any(), Some(all[3].id), 2).await, [3, 2]);
    let of_two = EventFilter { user: Some(UserId(2)), ..any() };
    assert_eq!(found(of_two.clone(), None, 100).await, [5, 2]);
    assert_eq!(found(of_two, Some(all[4].id), 100).await, [2]);
    let kind = Some("password_changed".to_owned());
    assert_eq!(found(EventFilter { kind, ..any() }, None, 100).await, [6, 4, 2]);
    let (since, until) = (Some(NOON.after(seconds(2))), Some(NOON.after(seconds(4))));
    assert_eq!(found(EventFilter { since, until, ..any() }, None, 100).await, [3, 2]);
    assert_eq!(found(EventFilter { kind: Some("'--".to_owned()), ..any() }, None, 100).await, [0; 0]);
}

/// The median time to find the events of a user, in microseconds, after so many times that a database may
/// have chosen another plan.
async fn time_to_find(t: &TestStore, user: UserId) -> u128 {
    let filter = EventFilter { user: Some(user), ..EventFilter::default() };
    let mut times = Vec::new();
    for _ in 0..25 {
        let begin = std::time::Instant::now();
        assert_eq!(t.store.find_events(&filter, None, 10).await.unwrap().len(), 1);
        times.push(begin.elapsed().as_micros());
    }
    times[10..].sort_unstable();
    times[17]
}

pub async fn the_events_of_a_user_are_found_among_many_in_the_same_time(t: &TestStore) {
    let jane = t.store.create_user(new_user("jane"), effects([Event::UserCreated { user: UserId::NEW }]));
    let jane = jane.await.unwrap().id;
    let few = time_to_find(t, jane).await;
    let at = if t.store.kind() == "sqlite" { "1795435200000000" } else { "to_timestamp(1795435200)" };
    t.by_hand(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
         INSERT INTO doorwarden_audit (at, kind, actor, user_id, result, data) \
         SELECT {at}, 'logged_in', 'user', 1000 + i, 'success', '{{}}' FROM n"
    ))
    .await;
    t.by_hand("ANALYZE").await;
    let many = time_to_find(t, jane).await;
    assert!(many < 8 * few + 2000, "{many} µs among 100,000, {few} µs among few");
}

pub async fn creating_a_user_is_an_event_only_if_it_succeeds(t: &TestStore) {
    let mut log = Log::of(t);
    let created = || effects([Event::UserCreated { user: UserId::NEW }]);
    let ada = t.store.create_user(new_user("ada"), created()).await.unwrap().id;
    Log::are(&log.news().await, &[Event::UserCreated { user: ada }]);
    let again = t.store.create_user(new_user("ada"), created()).await;
    assert!(matches!(again, Err(WriteUserError::EmailTaken | WriteUserError::UsernameTaken)), "{again:?}");
    assert_eq!(log.news().await, []);
}

pub async fn opening_a_session_is_an_event_only_if_it_succeeds(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let mut log = Log::of(t);
    let open = async |user, password: Option<&str>| {
        let session = new_session(user, NOON);
        let event = match password {
            Some(_) => Event::LoggedIn { user, session: session.id },
            None => Event::SessionOpened { user, session: session.id },
        };
        let open = match password {
            Some(word) => login(session, hash(word), None),
            None => issued(session),
        };
        (event.clone(), t.store.open_session(open, effects([event])).await.unwrap().is_some())
    };
    for password in [None, Some("ada")] {
        let (event, is_open) = open(ada, password).await;
        assert!(is_open);
        Log::are(&log.news().await, &[event]);
    }
    for (user, password) in [(ada, Some("wrong")), (NOBODY, None)] {
        assert!(!open(user, password).await.1);
        assert_eq!(log.news().await, []);
    }
}

pub async fn sessions_ended_by_the_session_limit_are_events(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let mut log = Log::of(t);
    let mut opened = Vec::new();
    for n in 0..4 {
        opened.push(t.session(ada, NOON.after(seconds(n))).await.id);
    }
    assert_eq!(log.news().await, []);
    let session = new_session(ada, NOON.after(seconds(9)));
    let event = Event::SessionOpened { user: ada, session: session.id };
    let open = opening(session, Purpose::Issue, None, Some(3));
    let ended = t.store.open_session(open, effects([event.clone()])).await.unwrap().unwrap().ended;
    assert_eq!(ended, opened[..2]);
    let events: Vec<_> = [event].into_iter().chain(Event::surplus(ada, &ended)).collect();
    let mut news = log.news().await;
    // Events of one statement have no order.
    news.sort_by_key(|record| (record.kind != "session_opened", record.session));
    Log::are(&news, &events);
}

pub async fn updating_a_user_is_an_event_only_if_the_user_exists(t: &TestStore) {
    let ada = t.user("ada").await.id;
    t.user("bob").await;
    let mut log = Log::of(t);
    let updated =
        |user, change: &UserChange| effects([Event::UserUpdated { user, fields: UpdatedFields::of(change) }]);
    let change = UserChange {
        is_staff: Some(true),
        metadata: [("secret".to_owned(), json!("typed"))].into_iter().collect(),
        ..UserChange::default()
    };
    assert!(t.store.update_user(ada, change.clone(), updated(ada, &change)).await.unwrap().is_some());
    let news = log.news().await;
    Log::are(&news, &[Event::UserUpdated { user: ada, fields: UpdatedFields::of(&change) }]);
    assert_eq!(json!(news[0].data), json!({"metadata": "changed", "is_staff": true}));

    let taken = UserChange { username: Some(Username::from_stored("bob")), ..UserChange::default() };
    assert!(t.store.update_user(ada, taken.clone(), updated(ada, &taken)).await.is_err());
    assert_eq!(t.store.update_user(NOBODY, change.clone(), updated(NOBODY, &change)).await.unwrap(), None);
    assert_eq!(log.news().await, []);

    let deleted = |user| effects([Event::UserDeleted { user }]);
    assert!(t.store.delete_user(ada, deleted(ada)).await.unwrap());
    Log::are(&log.news().await, &[Event::UserDeleted { user: ada }]);
    assert!(!t.store.delete_user(ada, deleted(ada)).await.unwrap());
    assert_eq!(log.news().await, []);
}

pub async fn storing_a_password_is_an_event_only_if_it_succeeds(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let mut log = Log::of(t);
    let change = |expected: &str| PasswordChange {
        password: hash("new"),
        expected: Some(hash(expected)),
        at: NOON,
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: false,
        keep_earlier: 0,
    };
    let event = || effects([Event::PasswordChanged { user: ada }]);
    assert!(!t.store.change_password(ada, change("wrong"), event()).await.unwrap());
    assert!(!t.store.change_password(NOBODY, change("ada"), event()).await.unwrap());
    assert_eq!(log.news().await, []);
    assert!(t.store.change_password(ada, change("ada"), event()).await.unwrap());
    Log::are(&log.news().await, &[Event::PasswordChanged { user: ada }]);
}

pub async fn ending_sessions_is_an_event_with_their_number(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    let mut log = Log::of(t);
    let reason = EndReason::LoggedOutEverywhere;
    let ended = |user, count| Event::SessionsEnded { user, count, reason };
    let one = t.session(ada, NOON).await.id;
    let event = Event::SessionEnded { user: ada, session: one, reason: EndReason::Revoked };
    let end = async |user| {
        t.store.end_session(one, user, EndReason::Revoked, NOON, effects([event.clone()])).await.unwrap()
    };
    assert!(!end(bob).await);
    assert_eq!(log.news().await, []);
    assert!(end(ada).await);
    Log::are(&log.news().await, std::slice::from_ref(&event));
    assert!(!end(ada).await);
    assert_eq!(log.news().await, []);

    let kept = t.session(ada, NOON).await.id;
    t.session(ada, NOON).await;
    t.session(ada, NOON).await;
    let others = async |except| {
        let effects = effects([ended(ada, 0)]);
        t.store.end_sessions_of(ada, Some(except), reason, NOON, effects).await.unwrap()
    };
    assert_eq!(others(one).await, None, "it has ended itself");
    assert_eq!(log.news().await, []);
    assert_eq!(others(kept).await, Some(2));
    Log::are(&log.news().await, &[ended(ada, 2)]);
    assert_eq!(others(kept).await, Some(0));
    assert_eq!(log.news().await, [], "there was nothing to end");

    let out =
        async |user| t.store.sign_out_user(user, reason, NOON, effects([ended(user, 0)])).await.unwrap();
    assert_eq!(out(ada).await, Some(1));
    Log::are(&log.news().await, &[ended(ada, 1)]);
    assert_eq!(out(ada).await, Some(0));
    Log::are(&log.news().await, &[ended(ada, 0)]);
    assert_eq!(out(NOBODY).await, None);
    assert_eq!(log.news().await, []);
}

pub async fn each_batch_of_signed_out_users_is_an_event(t: &TestStore) {
    let mut users = Vec::new();
    for name in ["ada", "bob", "eve"] {
        users.push(t.user(name).await.id);
        t.session(*users.last().unwrap(), NOON).await;
    }
    let mut log = Log::of(t);
    let out = |users, sessions| Event::EverybodySignedOut { users, sessions };
    let mut last = None;
    for expected in [Some(out(2, 2)), Some(out(1, 1)), None] {
        let reason = EndReason::SignedOutByOperator;
        let portion = t.store.sign_out_users(last, 2, reason, NOON, effects([out(0, 0)])).await.unwrap();
        last = portion.and_then(|portion| portion.last).or(last);
        Log::are(&log.news().await, expected.as_slice());
    }
}

pub async fn surplus_sessions_that_end_later_are_events(t: &TestStore) {
    let ada = t.user("ada").await.id;
    for n in 0..3 {
        t.session(ada, NOON.after(seconds(n))).await;
    }
    let mut log = Log::of(t);
    let limit = async |most| t.store.limit_sessions(ada, most, NOON, 10, effects([])).await.unwrap();
    assert_eq!(limit(3).await, []);
    assert_eq!(log.news().await, []);
    let ended = limit(1).await;
    assert_eq!(ended.len(), 2);
    let mut news = log.news().await;
    news.sort_by_key(|record| record.session);
    Log::are(&news, &Event::surplus(ada, &ended).collect::<Vec<_>>());
}

pub async fn a_refresh_is_an_event_only_if_late_or_reused(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await.id;
    let mut log = Log::of(t);
    let show = async |counter, after| {
        let shown = presented(session, counter, NOON.after(seconds(after)));
        t.store.rotate_refresh(shown, effects([])).await.unwrap()
    };
    assert!(matches!(show(0, 1).await, Rotation::Rotated(_)));
    assert!(matches!(show(0, 2).await, Rotation::Repeated(_, Repeat::InGrace)));
    assert_eq!(show(7, 3).await, Rotation::Refused);
    assert_eq!(log.news().await, []);
    let late = Event::RefreshRepeated { user: ada, session, sign: RepeatSign::Late };
    for after in [100, 101] {
        assert!(matches!(show(0, after).await, Rotation::Repeated(_, Repeat::Late)));
        Log::are(&log.news().await, std::slice::from_ref(&late));
    }
    assert!(matches!(show(0, 102).await, Rotation::Reused(_)));
    Log::are(&log.news().await, &[Event::RefreshReused { user: ada, session }]);
    assert_eq!(show(0, 103).await, Rotation::Refused);
    assert_eq!(log.news().await, []);

    let session = t.session(ada, NOON).await.id;
    let exchanged = Event::TokenExchanged { user: ada, session };
    let renew = async |id| {
        t.store.renew_refresh(id, renewal(NOON), effects([exchanged.clone()])).await.unwrap().is_some()
    };
    assert!(renew(session).await);
    Log::are(&log.news().await, std::slice::from_ref(&exchanged));
    assert!(!renew(SessionId::UNKNOWN).await);
    assert_eq!(log.news().await, []);
}

pub async fn changing_permissions_or_groups_is_an_event_only_if_something_changes(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let mut log = Log::of(t);
    let (add, view): (PermissionName, PermissionName) =
        ("blog.add_post".parse().unwrap(), "blog.view_post".parse().unwrap());
    let declared = |permission: &PermissionName| Event::PermissionDeclared { permission: permission.clone() };
    let permission =
        |name: &PermissionName, label: &str| Permission { name: name.clone(), label: label.to_owned() };
    let both = || effects([declared(&add), declared(&view)]);
    let declare =
        async |permissions: &[Permission]| t.store.declare_permissions(permissions, both()).await.unwrap();
    assert_eq!(declare(&[permission(&add, "Add")]).await, 1);
    Log::are(&log.news().await, &[declared(&add)]);
    assert_eq!(declare(&[permission(&add, "Add"), permission(&view, "View")]).await, 1);
    Log::are(&log.news().await, &[declared(&view)]);
    assert_eq!(declare(&[permission(&add, "Add!"), permission(&view, "View")]).await, 1);
    Log::are(&log.news().await, &[declared(&add)]);
    assert_eq!(declare(&[permission(&add, "Add!"), permission(&view, "View")]).await, 0);
    assert_eq!(log.news().await, []);

    let group = "éditors \"'\\";
    let (name, permission) = (|| group.to_owned(), || add.clone());
    let store = &t.store;
    macro_rules! once {
        ($event:expr, $change:ident($($argument:expr),*)) => {{
            let event = $event;
            assert!(store.$change($($argument,)* effects([event.clone()])).await.unwrap());
            Log::are(&log.news().await, std::slice::from_ref(&event));
            assert!(matches!(store.$change($($argument,)* effects([event])).await, Ok(false) | Err(_)));
            assert_eq!(log.news().await, [], "{}", stringify!($change));
        }};
    }
    // A permission or group that does not exist cannot be granted.
    assert!(store.add_to_group(ada, group, effects([Event::GroupCreated { group: name() }])).await.is_err());
    assert_eq!(log.news().await, []);
    once!(Event::GroupCreated { group: name() }, create_group(group));
    once!(Event::PermissionGranted { user: ada, permission: permission() }, grant_to_user(ada, &add));
    once!(
        Event::GroupPermissionGranted { group: name(), permission: permission() },
        grant_to_group(group, &add)
    );
    once!(Event::GroupMemberAdded { user: ada, group: name() }, add_to_group(ada, group));
    once!(Event::GroupMemberRemoved { user: ada, group: name() }, remove_from_group(ada, group));
    once!(
        Event::GroupPermissionRevoked { group: name(), permission: permission() },
        revoke_from_group(group, &add)
    );
    once!(Event::PermissionRevoked { user: ada, permission: permission() }, revoke_from_user(ada, &add));
    once!(Event::PermissionDeleted { permission: permission() }, delete_permission(&add));
    once!(Event::GroupDeleted { group: name() }, delete_group(group));
}

pub async fn changing_signing_keys_is_an_event_only_if_it_succeeds(t: &TestStore) {
    let mut log = Log::of(t);
    let (first, kid) = (key("first", "", 0), || "first".to_owned());
    let added = Event::SigningKeyAdded {
        key: kid(),
        algorithm: first.algorithm.clone(),
        signs_from: first.signs_from,
    };
    let add = async |key| t.store.add_signing_key(key, effects([added.clone()])).await.unwrap();
    assert!(add(first.clone()).await);
    Log::are(&log.news().await, std::slice::from_ref(&added));
    assert!(!add(key("another", "", 0)).await);
    assert_eq!(log.news().await, []);

    let resealed = Event::SigningKeyResealed { key: kid() };
    let reseal =
        async || t.store.reseal_signing_key(&first, vec![1], effects([resealed.clone()])).await.unwrap();
    assert!(reseal().await);
    Log::are(&log.news().await, std::slice::from_ref(&resealed));
    assert!(!reseal().await);
    assert_eq!(log.news().await, []);

    let sooner = NOON.before(seconds(9));
    let scheduled = Event::SigningKeyScheduled { key: kid(), signs_from: sooner, signs_until: Some(NOON) };
    let schedule = async || {
        let effects = effects([scheduled.clone()]);
        t.store.schedule_signing_key(&first, sooner, Some(NOON), effects).await.unwrap()
    };
    assert!(schedule().await);
    Log::are(&log.news().await, std::slice::from_ref(&scheduled));
    assert!(!schedule().await);
    assert_eq!(log.news().await, []);

    let revoked = Event::SigningKeyRevoked { key: kid() };
    let revoke =
        async || t.store.revoke_signing_key("first", NOON, effects([revoked.clone()])).await.unwrap();
    assert!(revoke().await);
    Log::are(&log.news().await, std::slice::from_ref(&revoked));
    assert!(!revoke().await);
    assert_eq!(log.news().await, []);

    let all = |count| Event::SigningKeysRevoked { count };
    let revoke_all = async || t.store.revoke_signing_keys(NOON, effects([all(0)])).await.unwrap();
    assert_eq!(revoke_all().await, 0);
    assert_eq!(log.news().await, []);
    for (kid, predecessor) in [("second", "first"), ("third", "second")] {
        assert!(t.store.add_signing_key(key(kid, predecessor, 0), no_effects()).await.unwrap());
    }
    assert_eq!(revoke_all().await, 2);
    Log::are(&log.news().await, &[all(2)]);

    // Only rows that have expired by the database's clock are deleted.
    let long_ago = SystemClock.now().before(seconds(3600));
    let signs = SigningKey { revoked_at: None, ..key("signs", "third", 0) };
    let over = SigningKey { revoked_at: Some(long_ago), ..key("over", "signs", 0) };
    let signs = SigningKey { signs_from: long_ago.after(seconds(7200)), ..signs };
    for key in [signs, over] {
        assert!(t.store.add_signing_key(key, no_effects()).await.unwrap());
    }
    let delete = async |kid: &str| {
        let event = Event::SigningKeyDeleted { key: kid.to_owned() };
        t.store.delete_signing_key(kid, effects([event])).await.unwrap()
    };
    assert!(!delete("signs").await && !delete("unknown").await);
    assert_eq!(log.news().await, []);
    assert!(delete("over").await);
    Log::are(&log.news().await, &[Event::SigningKeyDeleted { key: "over".to_owned() }]);
}

pub async fn each_step_of_an_import_and_a_restore_is_an_event(t: &TestStore) {
    let mut log = Log::of(t);
    let mut writer = t.store.import().await.unwrap();
    let rights = |permissions, groups| Event::RightsImported { permissions, groups };
    let imported = |count| Event::UsersImported { count };
    let permission = Permission { name: "blog.add_post".parse().unwrap(), label: "Add".to_owned() };
    for expected in [&[rights(1, 0)][..], &[]] {
        let permissions = std::slice::from_ref(&permission);
        writer.write_rights(permissions, &[], effects([rights(0, 0)])).await.unwrap();
        Log::are(&log.news().await, expected);
    }
    assert_eq!(writer.write(vec![account(6, "ada"), account(7, "bob")]).await.unwrap(), []);
    assert_eq!(writer.write(vec![account(7, "again"), account(8, "eve")]).await.unwrap(), [UserId(7)]);
    assert_eq!(log.news().await, [], "the step has not ended");
    writer.commit(effects([imported(0)])).await.unwrap();
    Log::are(&log.news().await, &[imported(3)]);
    assert_eq!(writer.write(vec![account(8, "eve")]).await.unwrap(), [UserId(8)]);
    writer.commit(effects([imported(0)])).await.unwrap();
    assert_eq!(log.news().await, []);
    assert_eq!(writer.write(vec![account(9, "lost")]).await.unwrap(), []);
    writer.finish().await.unwrap();
    assert_eq!(log.news().await, [], "the step was not committed");

    t.session(UserId(6), NOON).await;
    let restored = |keys, sessions| Event::Restored { keys, sessions };
    t.store.restored(NOON, 10, false, effects([restored(0, 0)])).await.unwrap();
    Log::are(&log.news().await, &[restored(0, 1)]);
}

pub async fn each_success_of_concurrent_changes_is_one_event(t: &TestStore) {
    let mut log = Log::of(t);
    let registrations = (0..16).map(|_| {
        let store = t.store.clone();
        async move {
            let event = Event::UserCreated { user: UserId::NEW };
            store.create_user(new_user("ada"), effects([event])).await.is_ok()
        }
    });
    let created = at_once(registrations).await.into_iter().filter(|created| *created).count();
    assert_eq!((created, log.news().await.len()), (1, 1));
}
