//! Clients that disconnect in the middle of a request.

use crate::app::{App, Database, PASSWORD};
use crate::pairs::Pair;
use doorwarden::core::error::{FieldError, FieldErrors};
use doorwarden::core::settings::PasswordChangeEnds;
use doorwarden::{Event, Hooks, UserId, async_trait};
use doorwarden_testkit::wait_until;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

on_both! {
    hanging_up_does_not_bypass_a_registration_hook
    a_session_refused_by_a_hook_ends_even_if_the_client_is_gone
    events_are_emitted_even_if_the_client_is_gone
}

/// A hook that blocks until it is opened.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    came: Notify,
    open: Notify,
    told: Mutex<Vec<&'static str>>,
}

impl Gate {
    async fn pass(&self) {
        let is_closed = std::mem::take(&mut *self.is_closed.lock().unwrap());
        if is_closed {
            self.came.notify_one();
            self.open.notified().await;
        }
    }

    /// Sends a request, drops it when it has reached the gate, and opens the gate.
    async fn hang_up(&self, app: &App, method: &str, path: &str, token: Option<&str>, body: Value) {
        *self.is_closed.lock().unwrap() = true;
        let mut request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body.to_string().into()).unwrap();
        tokio::select! {
            answer = app.send(request) => panic!("{path} did not come to the gate: {answer:?}"),
            () = self.came.notified() => {}
        }
        self.open.notify_one();
    }

    async fn hears(&self, name: &str) {
        let told = || self.told.lock().unwrap().contains(&name);
        assert!(wait_until(Duration::from_secs(20), told).await, "{name}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refuses {
    Nothing,
    Registrations,
    Logins,
}

#[derive(Debug)]
struct Gated(Arc<Gate>, Refuses);

#[async_trait]
impl Hooks for Gated {
    async fn after_registration(&self, _: &doorwarden::core::user::User) -> Result<(), FieldErrors> {
        if self.1 == Refuses::Registrations {
            self.0.pass().await;
            return Err(FieldErrors::one("email", FieldError::new("invited", "You are not invited.")));
        }
        Ok(())
    }

    async fn after_login(
        &self,
        _: &doorwarden::core::user::User,
        _: &doorwarden::core::session::Session,
    ) -> Result<(), FieldErrors> {
        if self.1 == Refuses::Logins {
            self.0.pass().await;
            return Err(FieldErrors::one("email", FieldError::new("closed", "Come back tomorrow.")));
        }
        Ok(())
    }

    async fn on_event(&self, event: &Event) {
        if self.1 == Refuses::Nothing {
            self.0.pass().await;
        }
        self.0.told.lock().unwrap().push(event.name());
    }
}

async fn hanging_up_does_not_bypass_a_registration_hook(database: Database) {
    let gate = Arc::new(Gate::default());
    let hook = Gated(Arc::clone(&gate), Refuses::Registrations);
    let app = database.app_with(|b| b.hook(hook)).await;
    let body = json!({"email": "rude@example.com", "username": "rude", "password": PASSWORD});
    gate.hang_up(&app, "POST", "/registration", None, body).await;
    gate.hears("user_deleted").await;
    assert_eq!(app.log_in("rude", PASSWORD).await.status, 400);
    assert!(app.auth.users().get(UserId(1)).await.unwrap().is_none());
}

async fn a_session_refused_by_a_hook_ends_even_if_the_client_is_gone(database: Database) {
    let gate = Arc::new(Gate::default());
    let hook = Gated(Arc::clone(&gate), Refuses::Logins);
    let app = database.app_with(|b| b.hook(hook)).await;
    let first = app.register("jane").await;
    for path in ["/login", "/token"] {
        gate.told.lock().unwrap().clear();
        let body = json!({"email": "jane@example.com", "password": PASSWORD});
        gate.hang_up(&app, "POST", path, None, body).await;
        gate.hears("login_failed").await;
        assert_eq!(app.get("/sessions", &first).await.json().as_array().unwrap().len(), 1, "{path}");
    }
}

async fn events_are_emitted_even_if_the_client_is_gone(database: Database) {
    let gate = Arc::new(Gate::default());
    let hook = Gated(Arc::clone(&gate), Refuses::Nothing);
    let all = |s: &mut doorwarden::core::settings::Settings| {
        s.password_change_ends = PasswordChangeEnds::AllSessions;
    };
    let app = database.app_with(|b| b.hook(hook).settings(all)).await;
    let token = app.register("jane").await;
    let spare = app.log_in("jane", PASSWORD).await.token();

    let old = app.obtain("jane").await.refresh;
    let next = Pair::of(&app.refresh(&old).await).refresh;
    app.refresh(&next).await;
    gate.hang_up(&app, "POST", "/token/refresh", None, json!({"refresh": old})).await;
    gate.hears("refresh_reused").await;

    let pair = app.obtain("jane").await;
    gate.hang_up(&app, "POST", "/token/revoke", None, json!({"refresh": pair.refresh})).await;
    gate.hears("session_ended").await;
    assert_eq!(app.me(&pair.access).await, 401);

    gate.hang_up(&app, "POST", "/logout?scope=others", Some(&token), json!(null)).await;
    gate.hears("sessions_ended").await;
    assert_eq!((app.me(&token).await, app.me(&spare).await), (200, 401));

    let change = json!({"current_password": PASSWORD, "new_password": "another horse 7"});
    gate.hang_up(&app, "POST", "/password/change", Some(&token), change).await;
    gate.hears("password_changed").await;
    assert_eq!(app.me(&token).await, 401);

    let token = app.log_in("jane", "another horse 7").await.token();
    gate.hang_up(&app, "DELETE", "/me", Some(&token), json!({"password": "another horse 7"})).await;
    gate.hears("user_deleted").await;
    assert_eq!(app.me(&token).await, 401);
}
