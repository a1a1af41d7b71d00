//! A user with a session, and what they know: to set factors up and to log in with them.

use crate::app::{Answer, App, NOON, PASSWORD};
use crate::phone::Phone;
use doorwarden::Builder;
use doorwarden::core::user::UserChange;
use doorwarden::core::webauthn::RelyingParty;
use doorwarden_testkit::authenticator::Authenticator;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const ORIGIN: &str = "https://example.org";

pub(crate) fn with_passkeys(builder: Builder) -> Builder {
    builder.settings(|settings| {
        let party = RelyingParty::new("example.org", "Example", [ORIGIN]).unwrap();
        settings.factors.passkeys = Some(party);
    })
}

/// A user with a session, and what they know.
pub(crate) struct Person<'a> {
    pub(crate) app: &'a App,
    pub(crate) name: &'static str,
    pub(crate) token: String,
}

impl<'a> Person<'a> {
    pub(crate) async fn new(app: &'a App, name: &'static str) -> Self {
        let token = app.register(name).await;
        Self { app, name, token }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.app.call("POST", path, Some(&self.token), Some(body)).await
    }

    pub(crate) async fn begin_totp(&self) -> (String, Phone) {
        let begun = self.post("/factors/totp", json!({"name": "Phone"})).await;
        assert_eq!(begun.status, 201, "{begun:?}");
        let begun = begun.json();
        (begun["id"].as_str().unwrap().to_owned(), Phone::new(begun["secret"].as_str().unwrap()))
    }

    /// An authenticator app that counts, and the recovery codes.
    pub(crate) async fn with_totp(&self) -> (Phone, Vec<String>) {
        let (id, phone) = self.begin_totp().await;
        let code = phone.code(self.app);
        let confirmed = self.post(&format!("/factors/totp/{id}/confirm"), json!({"code": code})).await;
        assert_eq!(confirmed.status, 200, "{confirmed:?}");
        let codes = confirmed.json()["recovery_codes"].as_array().unwrap().clone();
        // The code that confirmed it is used up.
        self.app.clock.advance(Duration::from_secs(30));
        (phone, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
    }

    pub(crate) async fn with_passkey(&self, key: &mut Authenticator) -> Answer {
        let asked = self.post("/factors/passkeys/options", json!({})).await;
        assert_eq!(asked.status, 200, "{asked:?}");
        let credential = key.create(&asked.json()["options"], ORIGIN).unwrap();
        self.post("/factors/passkeys", json!({"credential": credential})).await
    }

    /// A login with the password, which waits for a second factor; its login token.
    pub(crate) async fn begin_login(&self) -> String {
        let begun = self.app.log_in(self.name, PASSWORD).await;
        assert_eq!(
            (begun.status.as_u16(), &begun.json()["code"]),
            (401, &json!("mfa_required")),
            "{begun:?}"
        );
        begun.json()["login_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn step(&self, login_token: &str, method: &str, code: &str) -> Answer {
        let body = json!({"login_token": login_token, "method": method, "code": code});
        self.app.post("/login/verify", body).await
    }
}

/// What a token says of how its user was authenticated.
pub(crate) async fn session_of(app: &App, token: &str) -> Value {
    let sessions = app.get("/sessions", token).await.json();
    sessions.as_array().unwrap().iter().find(|session| session["current"] == true).unwrap().clone()
}

pub(crate) async fn verify(app: &App, name: &str) {
    let users = app.auth.users();
    let user = users.get_by_email(&format!("{name}@example.com")).await.unwrap().unwrap();
    let change = UserChange { email_verified_at: Some(NOON), ..UserChange::default() };
    users.update(user.id, change).await.unwrap();
}
