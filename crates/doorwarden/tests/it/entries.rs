//! Every way in against every standing of an account: a way in begins with an account in order, the account
//! changes, and the last step is taken. The endpoints without a row are those that give out no token.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::post::{Letter, Post};
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use doorwarden::core::user::UserChange;
use doorwarden::{Endpoint, UserId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

on_both! {
    every_way_in_has_exactly_the_expected_outcome
    every_endpoint_whose_answers_have_tokens_is_a_way_in
}

/// What becomes of the account before the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Plain,
    /// Its address is not proved, and need not be.
    Unverified,
    /// Its address is not proved, and must be.
    Unproved,
    MustChange,
    Deactivated,
    Deleted,
    Leaving,
}

const STANDINGS: [Standing; 7] = [
    Standing::Plain,
    Standing::Unverified,
    Standing::Unproved,
    Standing::MustChange,
    Standing::Deactivated,
    Standing::Deleted,
    Standing::Leaving,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Password,
    PasswordForPair,
    MailedCode,
    MailedLink,
    Reset,
    ResetByCode,
    RegistrationOpen,
    RegistrationByCode,
    RegistrationByLink,
    Invitation,
    VerifyByCode,
    VerifyByLink,
    NewPasswordStep,
    CancelDeletionStep,
    PasswordChange,
    Exchange,
    Refresh,
    Reauthenticate,
    ReauthenticateByMail,
    EmailChange,
    EmailRevert,
    Issue,
    IssuePair,
}

const TOKENS: &str = "tokens";
const DONE: &str = "done";
const CHOOSE: &str = "change_password";
const PROVE: &str = "verify_email";
const STAY: &str = "cancel_deletion";
const EXPIRED: &str = "401 login_expired";
const INVALID: &str = "400 link_invalid";
const NOBODY: &str = "401 no_active_account";
const GONE: &str = "the user does not exist or is inactive";
const REFUSED: &str = "401 token_not_valid";

/// The outcomes, one for each of [`STANDINGS`]: `tokens`, `done` without a token, the id of the flow that
/// must be gone through first, or the status and code of the refusal.
const TABLE: [(Entry, [&str; 7]); 23] = [
    (Entry::Password, [TOKENS, TOKENS, PROVE, CHOOSE, "400", "400", STAY]),
    (Entry::PasswordForPair, [TOKENS, TOKENS, PROVE, CHOOSE, NOBODY, NOBODY, STAY]),
    (Entry::MailedCode, [TOKENS, CHOOSE, CHOOSE, CHOOSE, EXPIRED, EXPIRED, STAY]),
    (Entry::MailedLink, [TOKENS, CHOOSE, CHOOSE, CHOOSE, INVALID, INVALID, STAY]),
    (Entry::Reset, [DONE, DONE, DONE, DONE, INVALID, INVALID, DONE]),
    (Entry::ResetByCode, [DONE, DONE, DONE, DONE, EXPIRED, EXPIRED, DONE]),
    (Entry::RegistrationOpen, ["400", "400", "400", "400", "400", TOKENS, "400"]),
    (Entry::NewPasswordStep, [TOKENS, TOKENS, PROVE, TOKENS, EXPIRED, EXPIRED, STAY]),
    (Entry::CancelDeletionStep, [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, TOKENS]),
    (Entry::PasswordChange, [DONE, DONE, DONE, DONE, "401", "401", DONE]),
    (Entry::Exchange, [TOKENS, TOKENS, TOKENS, TOKENS, "401", "401", TOKENS]),
    (Entry::Refresh, [TOKENS, TOKENS, TOKENS, TOKENS, REFUSED, REFUSED, TOKENS]),
    (Entry::Reauthenticate, [DONE, DONE, DONE, DONE, "401", "401", DONE]),
    (Entry::ReauthenticateByMail, [DONE, DONE, DONE, DONE, EXPIRED, EXPIRED, DONE]),
    (Entry::EmailChange, [DONE, DONE, DONE, DONE, INVALID, INVALID, DONE]),
    (Entry::EmailRevert, [DONE, DONE, DONE, DONE, DONE, INVALID, DONE]),
    (Entry::Issue, [TOKENS, TOKENS, TOKENS, TOKENS, GONE, GONE, TOKENS]),
    (Entry::IssuePair, [TOKENS, TOKENS, TOKENS, TOKENS, GONE, GONE, TOKENS]),
    // What has the address of a deleted account goes with it, also what came before the account.
    (Entry::RegistrationByCode, ["400", "400", "400", "400", "400", EXPIRED, "400"]),
    (Entry::RegistrationByLink, ["400", "400", "400", "400", "400", INVALID, "400"]),
    (Entry::Invitation, ["400", "400", "400", "400", "400", INVALID, "400"]),
    (Entry::VerifyByCode, [TOKENS, TOKENS, TOKENS, CHOOSE, EXPIRED, EXPIRED, STAY]),
    (Entry::VerifyByLink, [TOKENS, CHOOSE, CHOOSE, CHOOSE, INVALID, INVALID, STAY]),
];

/// The ways in that end at an endpoint; empty if it gives out no token and takes no last step.
fn entries(endpoint: Endpoint) -> &'static [Entry] {
    match endpoint {
        Endpoint::Registration => &[Entry::RegistrationOpen],
        Endpoint::RegistrationVerify => {
            &[Entry::RegistrationByCode, Entry::RegistrationByLink, Entry::VerifyByCode, Entry::VerifyByLink]
        }
        Endpoint::InvitationAccept => &[Entry::Invitation],
        Endpoint::Login => &[Entry::Password],
        Endpoint::LoginVerify => &[
            Entry::MailedCode,
            Entry::NewPasswordStep,
            Entry::CancelDeletionStep,
            Entry::ReauthenticateByMail,
        ],
        Endpoint::LoginLink => &[Entry::MailedLink],
        Endpoint::PasswordResetConfirm => &[Entry::Reset, Entry::ResetByCode],
        Endpoint::PasswordChange => &[Entry::PasswordChange],
        Endpoint::EmailChangeConfirm => &[Entry::EmailChange],
        Endpoint::EmailChangeRevert => &[Entry::EmailRevert],
        Endpoint::Reauthenticate => &[Entry::Reauthenticate],
        Endpoint::Token => &[Entry::PasswordForPair, Entry::Exchange],
        Endpoint::TokenRefresh => &[Entry::Refresh],
        // The first seven begin a way in, or go on with one: its row is that of the endpoint where it ends.
        Endpoint::LoginEmail
        | Endpoint::PasswordReset
        | Endpoint::RegistrationResend
        | Endpoint::LoginState
        | Endpoint::LoginCancel
        | Endpoint::LinkInspect
        | Endpoint::EmailChange
        | Endpoint::Config
        | Endpoint::Invitations
        | Endpoint::Invitation
        | Endpoint::Link
        | Endpoint::PasswordForgotten
        | Endpoint::ChangePassword
        | Endpoint::Me
        | Endpoint::Export
        | Endpoint::Logout
        | Endpoint::Sessions
        | Endpoint::Session
        | Endpoint::TokenVerify
        | Endpoint::TokenRevoke
        | Endpoint::OauthRevoke
        | Endpoint::OauthIntrospect
        | Endpoint::Jwks
        | Endpoint::Metadata
        | Endpoint::OpenIdConfiguration
        | Endpoint::Revocations
        | Endpoint::RevocationStream
        | Endpoint::OpenApi
        | Endpoint::Docs
        | Endpoint::Health
        | Endpoint::Ready => &[],
        other => panic!("{other:?} is a way in or it is not: say which"),
    }
}

/// One account and one way in.
struct World<'a> {
    app: &'a App,
    database: &'a Database,
    post: &'a Post,
    name: String,
    standing: Standing,
}

impl World<'_> {
    fn email(&self) -> String {
        format!("{}@example.com", self.name)
    }

    async fn id(&self) -> UserId {
        self.app.auth.users().get_by_email(&self.email()).await.unwrap().unwrap().id
    }

    async fn update(&self, change: UserChange) {
        self.app.auth.users().update(self.id().await, change).await.unwrap();
    }

    /// Creates the account, in order.
    async fn create(&self) {
        self.app.auth.users().create_user(&self.name, &self.email(), Some(PASSWORD)).await.unwrap();
        self.update(UserChange { email_verified_at: Some(NOON), ..UserChange::default() }).await;
    }

    async fn unprove(&self) {
        let id = self.id().await;
        let sql = format!("UPDATE users SET email_verified_at = NULL WHERE id = {id}");
        self.database.sql.execute(&sql).await.unwrap();
    }

    /// The account changes: now the last step is taken.
    async fn change(&self) {
        let change = UserChange::default();
        match self.standing {
            Standing::Plain => {
                let (email_verified_at, stays) = (Some(NOON), Some(None));
                let must_change_password = Some(false);
                self.update(UserChange {
                    email_verified_at,
                    must_change_password,
                    deletion_at: stays,
                    ..change
                })
                .await;
            }
            Standing::Unverified | Standing::Unproved => self.unprove().await,
            Standing::MustChange => {
                self.update(UserChange { must_change_password: Some(true), ..change }).await;
            }
            Standing::Deactivated => self.update(UserChange { is_active: Some(false), ..change }).await,
            Standing::Deleted => self.app.auth.users().delete(self.id().await).await.unwrap(),
            Standing::Leaving => {
                let at = NOON.after(std::time::Duration::from_hours(24));
                self.update(UserChange { deletion_at: Some(Some(at)), ..change }).await;
            }
        }
    }

    async fn log_in(&self) -> Answer {
        self.app.log_in(&self.name, PASSWORD).await
    }

    async fn pair(&self) -> Answer {
        self.app.post("/token", json!({"email": self.email(), "password": PASSWORD})).await
    }

    /// Asks for a mail at `path`; returns the login token and the mail.
    async fn ask(&self, path: &str, kind: MailKind) -> (Value, Letter) {
        let answer = self.app.post(path, json!({"email": self.email()})).await;
        (answer.json()["login_token"].clone(), self.post.one(self.app, kind).await)
    }

    async fn step(&self, body: Value) -> Answer {
        self.app.post("/login/verify", body).await
    }

    /// Registers the address before it has an account; an account gets it meanwhile.
    async fn register(&self) -> (Value, Letter) {
        let body =
            json!({"email": self.email(), "username": format!("{}x", self.name), "password": PASSWORD});
        let answer = self.app.post("/registration", body).await;
        let letter = self.post.one(self.app, MailKind::VerifyEmail).await;
        self.create().await;
        self.change().await;
        (answer.json()["login_token"].clone(), letter)
    }

    /// Logs in to an account whose address must be proved.
    async fn unproved(&self) -> (Value, Letter) {
        self.create().await;
        self.unprove().await;
        let answer = self.log_in().await;
        assert_eq!(answer.json()["flows"][0]["id"], "verify_email", "{answer:?}");
        let letter = self.post.one(self.app, MailKind::VerifyEmail).await;
        self.change().await;
        (answer.json()["login_token"].clone(), letter)
    }

    /// Logs in to an account of which something else is asked first.
    async fn pending(&self, first: UserChange) -> Value {
        self.create().await;
        self.update(first).await;
        let token = self.log_in().await.json()["login_token"].clone();
        self.change().await;
        token
    }

    /// The answer to the last step of this way in.
    async fn enter(&self, entry: Entry) -> Answer {
        match entry {
            Entry::RegistrationByCode => {
                let (token, letter) = self.register().await;
                let body = json!({"login_token": token, "code": letter.code()});
                return self.app.post("/registration/verify-email", body).await;
            }
            Entry::RegistrationByLink => {
                let (_, letter) = self.register().await;
                let body = json!({"key": letter.key(), "password": "another battery"});
                return self.app.post("/registration/verify-email", body).await;
            }
            Entry::Invitation => {
                self.app.auth.users().invite(&self.email()).await.unwrap();
                let key = self.post.one(self.app, MailKind::Invitation).await.key();
                self.create().await;
                self.change().await;
                let body = json!({"key": key, "username": format!("{}x", self.name), "password": PASSWORD});
                return self.app.post("/invitations/accept", body).await;
            }
            Entry::VerifyByCode => {
                let (token, letter) = self.unproved().await;
                let body = json!({"login_token": token, "code": letter.code()});
                return self.app.post("/registration/verify-email", body).await;
            }
            Entry::VerifyByLink => {
                let (_, letter) = self.unproved().await;
                return self.app.post("/registration/verify-email", json!({"key": letter.key()})).await;
            }
            Entry::NewPasswordStep => {
                let first = UserChange { must_change_password: Some(true), ..UserChange::default() };
                let token = self.pending(first).await;
                let new = "another battery";
                return self
                    .step(json!({"login_token": token, "method": "new_password", "new_password": new}))
                    .await;
            }
            Entry::CancelDeletionStep => {
                let first = UserChange { deletion_at: Some(Some(NOON)), ..UserChange::default() };
                let token = self.pending(first).await;
                return self.step(json!({"login_token": token, "method": "cancel_deletion"})).await;
            }
            _ => self.create().await,
        }
        match entry {
            Entry::Password => {
                self.change().await;
                self.log_in().await
            }
            Entry::PasswordForPair => {
                self.change().await;
                self.pair().await
            }
            Entry::MailedCode => {
                let (token, letter) = self.ask("/login/email", MailKind::LogIn).await;
                self.change().await;
                self.step(json!({"login_token": token, "method": "email_code", "code": letter.code()})).await
            }
            Entry::MailedLink => {
                let (_, letter) = self.ask("/login/email", MailKind::LogIn).await;
                self.change().await;
                self.app.post("/login/link", json!({"key": letter.key()})).await
            }
            Entry::Reset | Entry::ResetByCode => {
                let (token, letter) = self.ask("/password/reset", MailKind::ResetPassword).await;
                self.change().await;
                let mut body = json!({"new_password": "another battery"});
                if entry == Entry::Reset {
                    body["key"] = letter.key().into();
                } else {
                    (body["login_token"], body["code"]) = (token, letter.code().into());
                }
                self.app.post("/password/reset/confirm", body).await
            }
            Entry::RegistrationOpen => {
                self.change().await;
                self.app.try_register(&self.name).await
            }
            Entry::Refresh => {
                let pair = self.pair().await.json();
                self.change().await;
                self.app.post("/token/refresh", json!({"refresh": pair["refresh"]})).await
            }
            Entry::EmailRevert => {
                let letter = self.moving().await;
                self.app.post("/email/change/confirm", json!({"key": letter.key()})).await;
                let told = self.post.one(self.app, MailKind::EmailChanged).await;
                let back = format!("new-{}@example.com", self.name);
                let moved = World { name: back.trim_end_matches("@example.com").to_owned(), ..*self };
                moved.change().await;
                self.app.post("/email/change/revert", json!({"key": told.key()})).await
            }
            Entry::EmailChange => {
                let letter = self.moving().await;
                self.change().await;
                self.app.post("/email/change/confirm", json!({"key": letter.key()})).await
            }
            _ => self.with_session(entry).await,
        }
    }

    /// The mail to the new address of an account that moves to it.
    async fn moving(&self) -> Letter {
        let token = self.log_in().await.token();
        let new = format!("new-{}@example.com", self.name);
        self.app.call("POST", "/email/change", Some(&token), Some(json!({"email": new}))).await;
        let mut mails = self.post.all(self.app, 2).await;
        mails.sort_by_key(|letter| letter.0.to != new);
        mails.swap_remove(0)
    }

    async fn with_session(&self, entry: Entry) -> Answer {
        let token = self.log_in().await.token();
        let call = async |path: &str, body| self.app.call("POST", path, Some(&token), body).await;
        if entry == Entry::ReauthenticateByMail {
            let asked = call("/reauthenticate", Some(json!({}))).await.json();
            let code = self.post.one(self.app, MailKind::Reauthenticate).await.code();
            self.change().await;
            let body = json!({"login_token": asked["login_token"], "method": "email_code", "code": code});
            return self.step(body).await;
        }
        self.change().await;
        match entry {
            Entry::PasswordChange => {
                let body = json!({"current_password": PASSWORD, "new_password": "another battery"});
                call("/password/change", Some(body)).await
            }
            Entry::Exchange => call("/token", None).await,
            Entry::Reauthenticate => call("/reauthenticate", Some(json!({"password": PASSWORD}))).await,
            other => panic!("{other:?} ends at no endpoint"),
        }
    }

    /// The outcome of this way in, in the words of the table.
    async fn outcome(&self, entry: Entry) -> String {
        if matches!(entry, Entry::Issue | Entry::IssuePair) {
            self.create().await;
            let id = self.id().await;
            self.change().await;
            let tokens = self.app.auth.tokens();
            let issued = match entry {
                Entry::Issue => tokens.issue(id).await.map(|issued| issued.token),
                _ => tokens.issue_pair(id).await.map(|pair| pair.access),
            };
            return match issued {
                Ok(token) => self.tokens(&token).await,
                Err(error) => error.to_string(),
            };
        }
        let answer = self.enter(entry).await;
        self.post.read(self.app).await;
        let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
        let token = body["token"].as_str().or(body["access"].as_str());
        match (answer.status.is_success(), token) {
            (true, Some(token)) => return self.tokens(token).await,
            (true, None) => return "done".to_owned(),
            (false, None) => {}
            (false, Some(_)) => panic!("a refusal with a token: {answer:?}"),
        }
        match (&body["flows"][0]["id"], &body["code"]) {
            (Value::String(flow), _) => flow.clone(),
            (_, Value::String(code)) => format!("{} {code}", answer.status.as_u16()),
            _ => answer.status.as_u16().to_string(),
        }
    }

    async fn tokens(&self, token: &str) -> String {
        assert_eq!(self.app.get("/me", token).await.status, 200, "the token is good");
        "tokens".to_owned()
    }
}

async fn every_way_in_has_exactly_the_expected_outcome(database: Database) {
    let classified: Vec<_> = Endpoint::ALL.into_iter().flat_map(entries).copied().collect();
    let library = [Entry::Issue, Entry::IssuePair];
    let every: BTreeSet<_> = classified.iter().copied().chain(library).collect();
    assert_eq!(every.len(), classified.len() + library.len(), "an entry ends at one endpoint");
    assert_eq!(TABLE.iter().map(|(entry, _)| *entry).collect::<BTreeSet<_>>(), every, "a row for each entry");

    let post = Post::default();
    let mut wrong = Vec::new();
    for is_required in [false, true] {
        for mode in [RegistrationMode::Open, RegistrationMode::Verified] {
            let mailer = post.clone();
            let app = database.app_with(|builder| {
                // Mails are sent when they are read, and by nobody else.
                builder.background(false).mailer(mailer).settings(|settings| {
                    settings.registration.mode = mode;
                    if is_required {
                        settings.mail.verification = EmailVerification::Required;
                    }
                })
            });
            let app = app.await;
            for (entry, row) in TABLE {
                let is_registration = matches!(entry, Entry::RegistrationByCode | Entry::RegistrationByLink);
                if is_registration != (mode == RegistrationMode::Verified) {
                    continue;
                }
                for (standing, expected) in STANDINGS.into_iter().zip(row) {
                    let is_verification = matches!(entry, Entry::VerifyByCode | Entry::VerifyByLink);
                    if is_required != (is_verification || standing == Standing::Unproved) {
                        continue;
                    }
                    let name = format!("{entry:?}{standing:?}").to_lowercase();
                    let world = World { app: &app, database: &database, post: &post, name, standing };
                    let outcome = world.outcome(entry).await;
                    if outcome != expected {
                        wrong.push(format!("{entry:?} of {standing:?}: {outcome}, not {expected}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a schema, or one that it refers to, has the member `token` or `access`.
fn has_token(document: &Value, schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            let properties = members.get("properties").and_then(Value::as_object);
            let reference = members.get("$ref").and_then(Value::as_str);
            properties.is_some_and(|properties| {
                properties.contains_key("token") || properties.contains_key("access")
            }) || reference.is_some_and(|reference| {
                let target = document.pointer(reference.trim_start_matches('#'));
                has_token(document, target.unwrap())
            }) || members.values().any(|member| has_token(document, member))
        }
        Value::Array(items) => items.iter().any(|item| has_token(document, item)),
        _ => false,
    }
}

async fn every_endpoint_whose_answers_have_tokens_is_a_way_in(database: Database) {
    let app = database.app().await;
    let document: Value = serde_json::from_slice(&app.auth.openapi()).unwrap();
    let mut found = 0;
    for endpoint in Endpoint::ALL {
        let Some(operations) = document["paths"][endpoint.default_path()].as_object() else { continue };
        let answers = operations.values().filter_map(|operation| operation["responses"].as_object());
        let gives = answers
            .flatten()
            .filter(|(status, _)| status.starts_with('2'))
            .any(|(_, answer)| has_token(&document, answer));
        found += usize::from(gives);
        assert!(!gives || !entries(endpoint).is_empty(), "{endpoint:?} gives out tokens");
    }
    assert!(found >= 7, "{found}: the document says where the tokens are");
}
