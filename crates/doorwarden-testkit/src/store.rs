use crate::{hash, issued, login, new_session, new_user, no_effects, with};
use async_trait::async_trait;
use doorwarden_core::session::{Session, SessionId};
use doorwarden_core::store::{OpenSession, Store};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{Account, User, UserId};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Runs SQL over a connection that is not the store's, as a person would.
#[async_trait]
pub trait RawSql: Send + Sync {
    /// Runs one or more statements; the error is the database's message.
    async fn execute(&self, sql: &str) -> Result<(), String>;
}

/// A store on a fresh, migrated database of its own.
pub struct TestStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// SQL on the same database.
    pub sql: Box<dyn RawSql>,
    /// Removes the database when it is dropped; after the other fields, which is why it is the last.
    _guard: Box<dyn Any + Send>,
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestStore").field(&self.store).finish()
    }
}

impl TestStore {
    /// A store, a connection for SQL, and a guard that removes the database when it is dropped.
    pub fn new(store: Arc<dyn Store>, sql: impl RawSql + 'static, guard: impl Any + Send) -> Self {
        Self { store, sql: Box::new(sql), _guard: Box::new(guard) }
    }

    /// Creates the user [`new_user`]`(name)`.
    pub async fn user(&self, name: &str) -> User {
        self.store.create_user(new_user(name), no_effects()).await.expect("a sample user can be created")
    }

    /// Opens the session [`new_session`]`(user, at)`, without a login.
    pub async fn session(&self, user: UserId, at: Timestamp) -> Session {
        self.open(new_session(user, at)).await
    }

    /// Opens this session, without a login, and returns it.
    pub async fn open(&self, session: Session) -> Session {
        self.opened(issued(session)).await
    }

    /// Opens this session and returns it.
    pub async fn opened(&self, open: OpenSession) -> Session {
        let session = open.session().clone();
        let opened = self.store.open_session(open, no_effects()).await.expect("a session can be opened");
        let generation = opened.expect("the user is there and active").generation;
        with(session, |s| s.generation = generation)
    }

    /// Tries to log in with the password [`hash`]`(verified)`; returns whether a session was opened.
    pub async fn log_in(&self, session: Session, verified: &str, rehashed: Option<&str>) -> bool {
        let open = login(session, hash(verified), rehashed.map(hash));
        self.store.open_session(open, no_effects()).await.expect("the database answers").is_some()
    }

    /// The user as stored now.
    pub async fn read(&self, id: UserId) -> User {
        self.store.user(id).await.expect("the database answers").expect("the user exists")
    }

    /// The user as stored now, with groups and permissions.
    pub async fn account(&self, id: UserId) -> Account {
        self.store.account(id).await.expect("the database answers").expect("the user exists")
    }

    /// The session as stored now.
    pub async fn read_session(&self, id: SessionId) -> Session {
        self.store.session(id).await.expect("the database answers").expect("the session exists")
    }

    /// Runs SQL that must succeed.
    pub async fn by_hand(&self, sql: &str) {
        self.sql.execute(sql).await.unwrap_or_else(|why| panic!("{sql}\n{why}"));
    }
}
