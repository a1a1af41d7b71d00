//! A database of its own for each test, and what to put into it.

use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::session::{Session, SessionId};
use doorwarden_core::store::{Change, ChangeSink, OpenSession, SessionStore, Store, UserStore};
use doorwarden_core::time::{Clock, SystemClock, Timestamp};
use doorwarden_core::user::{NewUser, User};
use doorwarden_postgres::{PostgresOptions, PostgresStore};
use doorwarden_testkit::{PostgresDatabase, issued, no_effects, with};
use serde_json::Map;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database, removed when it is dropped; `None`, noted as skipped, if there is no server.
pub(crate) async fn database() -> Option<Database> {
    Some(Database(doorwarden_testkit::postgres_database().await?))
}

pub(crate) struct Database(PostgresDatabase);

impl Database {
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    pub(crate) fn store(&self) -> PostgresStore {
        PostgresStore::connect(&PostgresOptions::new(self.url())).unwrap()
    }

    pub(crate) async fn migrated(&self) -> PostgresStore {
        let store = self.store();
        store.migrate().await.unwrap();
        store
    }

    /// A connection for SQL by hand.
    pub(crate) async fn sql(&self) -> Client {
        client(self.url()).await
    }
}

pub(crate) async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

pub(crate) fn new_user(name: &str) -> NewUser {
    NewUser {
        username: Username::from_stored(name),
        email: EmailAddress::from_stored(format!("{name}@example.com")),
        password: PasswordHash::from_stored("argon2$first".to_owned()),
        is_active: true,
        is_staff: false,
        is_superuser: false,
        date_joined: now(),
        metadata: Map::new(),
        email_verified_at: None,
        locale: None,
    }
}

pub(crate) async fn user(store: &PostgresStore, name: &str) -> User {
    store.create_user(new_user(name), no_effects()).await.unwrap()
}

pub(crate) fn session_of(user: &User, refresh_counter: Option<i64>) -> Session {
    let number = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let id = SessionId(Uuid::from_u128(0x7000_8000_0000_0000_0000 + number));
    let session = Session::new(id, user.id, now(), now().after(Duration::from_hours(1)));
    with(session, |s| s.refresh_counter = refresh_counter)
}

/// Opens a session without a login.
pub(crate) async fn session(store: &PostgresStore, user: &User, refresh_counter: Option<i64>) -> Session {
    let session = session_of(user, refresh_counter);
    assert!(store.open_session(issued(session.clone()), no_effects()).await.unwrap().is_some());
    session
}

pub(crate) fn login(user: &User) -> OpenSession {
    doorwarden_testkit::login(session_of(user, None), user.password.clone(), None)
}

/// What a sink hears, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Change(Change),
    Connected,
    Disconnected,
}

pub(crate) struct Ear(mpsc::UnboundedReceiver<(Instant, Heard)>);

struct Sink(mpsc::UnboundedSender<(Instant, Heard)>);

impl Sink {
    fn hear(&self, heard: Heard) {
        let _ = self.0.send((Instant::now(), heard));
    }
}

impl ChangeSink for Sink {
    fn changed(&self, change: Change) {
        self.hear(Heard::Change(change));
    }

    fn connected(&self) {
        self.hear(Heard::Connected);
    }

    fn disconnected(&self) {
        self.hear(Heard::Disconnected);
    }
}

impl Ear {
    /// Listens to a store.
    pub(crate) fn new(store: &impl Store) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        store.follow(Arc::new(Sink(sender)));
        Self(receiver)
    }

    /// Listens, and waits until the channel lives.
    pub(crate) async fn connected(store: &impl Store) -> Self {
        let mut ear = Self::new(store);
        ear.until(Heard::Connected).await;
        ear
    }

    pub(crate) async fn next(&mut self) -> (Instant, Heard) {
        tokio::time::timeout(Duration::from_secs(5), self.0.recv()).await.expect("nothing was heard").unwrap()
    }

    /// Everything up to this, and when it came.
    pub(crate) async fn until(&mut self, last: Heard) -> (Instant, Vec<Heard>) {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                (at, heard) if heard == last => return (at, before),
                (_, heard) => before.push(heard),
            }
        }
    }

    /// What comes within a time in which it would have come.
    pub(crate) async fn rest(&mut self) -> Vec<Heard> {
        tokio::time::sleep(Duration::from_millis(250)).await;
        std::iter::from_fn(|| self.0.try_recv().ok()).map(|(_, heard)| heard).collect()
    }
}
