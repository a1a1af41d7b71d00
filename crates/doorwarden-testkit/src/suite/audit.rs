//! An event is there if and only if its change is.

use crate::{NOON, TestStore, hash, issued, login, new_session, new_user, opening, seconds};
use doorwarden_core::audit::{Actor, AuditRecord, Effects, Origin, Outcome};
use doorwarden_core::authentication::Purpose;
use doorwarden_core::event::{Event, LoginFailure};
use doorwarden_core::session::{ClientInfo, SessionId};
use doorwarden_core::store::WriteUserError;
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use serde_json::{Value, json};

const AT: Timestamp = Timestamp::from_micros(NOON.as_micros() + 1);

fn client() -> ClientInfo {
    ClientInfo { address: Some("192.0.2.7".to_owned()), user_agent: Some("Tést/1 \"x\"".to_owned()) }
}

/// These events, caused by an operator.
fn effects(events: impl IntoIterator<Item = Event>) -> Effects {
    Effects::new(AT, &Origin::new(Actor::Operator, client()), events)
}

/// What was written since the last time.
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

    /// Exactly these events have been written, with their cause.
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

pub async fn what_happened_without_a_change_is_recorded_as_it_was(t: &TestStore) {
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

pub async fn events_are_listed_by_number_behind_a_place(t: &TestStore) {
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

pub async fn a_user_who_is_created_is_an_event_and_one_who_is_refused_is_none(t: &TestStore) {
    let mut log = Log::of(t);
    let created = || effects([Event::UserCreated { user: UserId::NEW }]);
    let ada = t.store.create_user(new_user("ada"), created()).await.unwrap().id;
    Log::are(&log.news().await, &[Event::UserCreated { user: ada }]);
    let again = t.store.create_user(new_user("ada"), created()).await;
    assert!(matches!(again, Err(WriteUserError::EmailTaken | WriteUserError::UsernameTaken)), "{again:?}");
    assert_eq!(log.news().await, []);
}

pub async fn a_session_that_is_opened_is_an_event_and_one_that_is_refused_is_none(t: &TestStore) {
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
    for (user, password) in [(ada, Some("wrong")), (UserId(ada.0 + 1), None)] {
        assert!(!open(user, password).await.1);
        assert_eq!(log.news().await, []);
    }
}

pub async fn sessions_that_end_because_there_are_too_many_are_events(t: &TestStore) {
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
    // What one statement writes has no order.
    news.sort_by_key(|record| (record.kind != "session_opened", record.session));
    Log::are(&news, &events);
}
