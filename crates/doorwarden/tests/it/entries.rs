//! Every way in against every standing of an account: a way in begins with an account in order, the account
//! changes, and the last step is taken. The endpoints without a row are those that give out no token.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::phone::{ORIGIN, Phone, RECOVERY_CODE, give_passkey, give_totp, relying_party};
use crate::post::{Letter, Post};
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use doorwarden::core::user::UserChange;
use doorwarden::{Endpoint, UserId};
use doorwarden_testkit::authenticator::Authenticator;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;

on_both! {
    every_way_in_has_exactly_the_expected_outcome
    every_endpoint_whose_answers_have_tokens_is_a_way_in
}

/// What the account has from the beginning (the factors), or what becomes of it before the last step (all
/// else).
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
    /// It has an authenticator app. Where a way in begins with a session or a login that waits for something
    /// else than a factor, they come about with a recovery code.
    HasTotp,
    HasPasskey,
    HasBoth,
    /// It gets an authenticator app, with which everything ends that has not proved it.
    GainsFactor,
    /// It joins a group whose members must have a factor, and has none. Before the last step, because with
    /// such an account nothing begins that needs a session.
    MustHave,
}

const STANDINGS: [Standing; 12] = [
    Standing::Plain,
    Standing::Unverified,
    Standing::Unproved,
    Standing::MustChange,
    Standing::Deactivated,
    Standing::Deleted,
    Standing::Leaving,
    Standing::HasTotp,
    Standing::HasPasskey,
    Standing::HasBoth,
    Standing::GainsFactor,
    Standing::MustHave,
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
    /// The second factor of a login that began with the password.
    TotpStep,
    RecoveryCodeStep,
    PasskeyStep,
    /// Nothing but a passkey that has verified its user.
    PasskeyLogin,
    PasskeyWithoutVerification,
    /// The password of a login that began with such a passkey.
    PasswordStep,
    /// The first factor of an account that must have one, by the login that waits for it.
    EnrollTotp,
    EnrollPasskey,
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
const FACTOR: &str = "mfa_authenticate";
const ENROLL: &str = "enroll_factor";
const PASSWORD_TOO: &str = "password";
const EXPIRED: &str = "401 login_expired";
const INVALID: &str = "400 link_invalid";
const NOBODY: &str = "401 no_active_account";
const GONE: &str = "the user does not exist or is inactive";
const REFUSED: &str = "401 token_not_valid";
const WRONG: &str = "400 code_invalid";
const UNKNOWN: &str = "400 passkey_unknown";
const BAD_PASSKEY: &str = "400 passkey_invalid";

/// The outcomes, one for each of [`STANDINGS`] (those with factors apart): `tokens`, `done` without a token,
/// the id of the flow that must be gone through first, or the status and code of the refusal.
const TABLE: [(Entry, [&str; 7], [&str; 5]); 31] = [
    (
        Entry::Password,
        [TOKENS, TOKENS, PROVE, CHOOSE, "400", "400", STAY],
        [FACTOR, FACTOR, FACTOR, FACTOR, ENROLL],
    ),
    (
        Entry::PasswordForPair,
        [TOKENS, TOKENS, PROVE, CHOOSE, NOBODY, NOBODY, STAY],
        [FACTOR, FACTOR, FACTOR, FACTOR, ENROLL],
    ),
    (
        Entry::MailedCode,
        [TOKENS, CHOOSE, CHOOSE, CHOOSE, EXPIRED, EXPIRED, STAY],
        [FACTOR, FACTOR, FACTOR, EXPIRED, ENROLL],
    ),
    (
        Entry::MailedLink,
        [TOKENS, CHOOSE, CHOOSE, CHOOSE, INVALID, INVALID, STAY],
        [FACTOR, FACTOR, FACTOR, INVALID, ENROLL],
    ),
    (Entry::Reset, [DONE, DONE, DONE, DONE, INVALID, INVALID, DONE], [FACTOR, FACTOR, FACTOR, INVALID, DONE]),
    (
        Entry::ResetByCode,
        [DONE, DONE, DONE, DONE, EXPIRED, EXPIRED, DONE],
        [FACTOR, FACTOR, FACTOR, EXPIRED, DONE],
    ),
    (
        Entry::RegistrationOpen,
        ["400", "400", "400", "400", "400", TOKENS, "400"],
        ["400", "400", "400", "400", "400"],
    ),
    (
        Entry::NewPasswordStep,
        [TOKENS, TOKENS, PROVE, TOKENS, EXPIRED, EXPIRED, STAY],
        [TOKENS, TOKENS, TOKENS, EXPIRED, ENROLL],
    ),
    (
        Entry::CancelDeletionStep,
        [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, TOKENS],
        [TOKENS, TOKENS, TOKENS, EXPIRED, ENROLL],
    ),
    (
        Entry::TotpStep,
        [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, STAY],
        [TOKENS, WRONG, TOKENS, TOKENS, TOKENS],
    ),
    (
        Entry::RecoveryCodeStep,
        [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, STAY],
        [TOKENS, TOKENS, TOKENS, TOKENS, TOKENS],
    ),
    (
        Entry::PasskeyStep,
        [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, STAY],
        [UNKNOWN, TOKENS, TOKENS, TOKENS, TOKENS],
    ),
    (
        Entry::PasskeyLogin,
        [TOKENS, TOKENS, PROVE, CHOOSE, BAD_PASSKEY, UNKNOWN, STAY],
        [UNKNOWN, TOKENS, TOKENS, TOKENS, TOKENS],
    ),
    (
        Entry::PasskeyWithoutVerification,
        [PASSWORD_TOO, PASSWORD_TOO, PASSWORD_TOO, PASSWORD_TOO, BAD_PASSKEY, UNKNOWN, PASSWORD_TOO],
        [UNKNOWN, PASSWORD_TOO, PASSWORD_TOO, PASSWORD_TOO, PASSWORD_TOO],
    ),
    (
        Entry::PasswordStep,
        [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, STAY],
        [UNKNOWN, TOKENS, TOKENS, TOKENS, TOKENS],
    ),
    (
        Entry::EnrollTotp,
        [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, STAY],
        [EXPIRED, EXPIRED, EXPIRED, EXPIRED, TOKENS],
    ),
    (
        Entry::EnrollPasskey,
        [TOKENS, TOKENS, PROVE, CHOOSE, EXPIRED, EXPIRED, STAY],
        [EXPIRED, EXPIRED, EXPIRED, EXPIRED, TOKENS],
    ),
    (Entry::PasswordChange, [DONE, DONE, DONE, DONE, "401", "401", DONE], [DONE, DONE, DONE, "401", DONE]),
    (
        Entry::Exchange,
        [TOKENS, TOKENS, TOKENS, TOKENS, "401", "401", TOKENS],
        [TOKENS, TOKENS, TOKENS, "401", "401"],
    ),
    (
        Entry::Refresh,
        [TOKENS, TOKENS, TOKENS, TOKENS, REFUSED, REFUSED, TOKENS],
        [TOKENS, TOKENS, TOKENS, REFUSED, REFUSED],
    ),
    (
        Entry::Reauthenticate,
        [DONE, DONE, DONE, DONE, "401", "401", DONE],
        [FACTOR, FACTOR, FACTOR, "401", DONE],
    ),
    (
        Entry::ReauthenticateByMail,
        [DONE, DONE, DONE, DONE, EXPIRED, EXPIRED, DONE],
        [FACTOR, FACTOR, FACTOR, EXPIRED, DONE],
    ),
    (Entry::EmailChange, [DONE, DONE, DONE, DONE, INVALID, INVALID, DONE], [DONE, DONE, DONE, INVALID, DONE]),
    (Entry::EmailRevert, [DONE, DONE, DONE, DONE, DONE, INVALID, DONE], [DONE, DONE, DONE, DONE, DONE]),
    // The application vouches for the user: no factor is asked for.
    (
        Entry::Issue,
        [TOKENS, TOKENS, TOKENS, TOKENS, GONE, GONE, TOKENS],
        [TOKENS, TOKENS, TOKENS, TOKENS, TOKENS],
    ),
    (
        Entry::IssuePair,
        [TOKENS, TOKENS, TOKENS, TOKENS, GONE, GONE, TOKENS],
        [TOKENS, TOKENS, TOKENS, TOKENS, TOKENS],
    ),
    // What has the address of a deleted account goes with it, also what came before the account.
    (
        Entry::RegistrationByCode,
        ["400", "400", "400", "400", "400", EXPIRED, "400"],
        ["400", "400", "400", "400", "400"],
    ),
    (
        Entry::RegistrationByLink,
        ["400", "400", "400", "400", "400", INVALID, "400"],
        ["400", "400", "400", "400", "400"],
    ),
    (
        Entry::Invitation,
        ["400", "400", "400", "400", "400", INVALID, "400"],
        ["400", "400", "400", "400", "400"],
    ),
    (
        Entry::VerifyByCode,
        [TOKENS, TOKENS, TOKENS, CHOOSE, EXPIRED, EXPIRED, STAY],
        [FACTOR, FACTOR, FACTOR, EXPIRED, ENROLL],
    ),
    (
        Entry::VerifyByLink,
        [TOKENS, CHOOSE, CHOOSE, CHOOSE, INVALID, INVALID, STAY],
        [FACTOR, FACTOR, FACTOR, INVALID, ENROLL],
    ),
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
            Entry::TotpStep,
            Entry::RecoveryCodeStep,
            Entry::PasswordStep,
            Entry::ReauthenticateByMail,
        ],
        Endpoint::LoginPasskey => {
            &[Entry::PasskeyStep, Entry::PasskeyLogin, Entry::PasskeyWithoutVerification]
        }
        Endpoint::FactorsTotpConfirm => &[Entry::EnrollTotp],
        Endpoint::FactorsPasskeys => &[Entry::EnrollPasskey],
        Endpoint::LoginLink => &[Entry::MailedLink],
        Endpoint::PasswordResetConfirm => &[Entry::Reset, Entry::ResetByCode],
        Endpoint::PasswordChange => &[Entry::PasswordChange],
        Endpoint::EmailChangeConfirm => &[Entry::EmailChange],
        Endpoint::EmailChangeRevert => &[Entry::EmailRevert],
        Endpoint::Reauthenticate => &[Entry::Reauthenticate],
        Endpoint::Token => &[Entry::PasswordForPair, Entry::Exchange],
        Endpoint::TokenRefresh => &[Entry::Refresh],
        // The first ten begin a way in, or go on with one: its row is that of the endpoint where it ends.
        Endpoint::LoginPasskeyOptions
        | Endpoint::FactorsTotp
        | Endpoint::FactorsPasskeyOptions
        | Endpoint::LoginEmail
        | Endpoint::PasswordReset
        | Endpoint::RegistrationResend
        | Endpoint::LoginState
        | Endpoint::LoginCancel
        | Endpoint::LinkInspect
        | Endpoint::EmailChange
        | Endpoint::Factors
        | Endpoint::Factor
        | Endpoint::FactorsRecoveryCodes
        | Endpoint::FactorsPasskeySignals
        | Endpoint::RelatedOrigins
        | Endpoint::Config
        | Endpoint::Invitations
        | Endpoint::Invitation
        | Endpoint::Link
        | Endpoint::PasswordForgotten
        | Endpoint::ChangePassword
        | Endpoint::Me
        | Endpoint::Export
        | Endpoint::OwnEvents
        | Endpoint::Events
        | Endpoint::Logout
        | Endpoint::Sessions
        | Endpoint::Session
        | Endpoint::TokenVerify
        | Endpoint::TokenRevoke
        | Endpoint::OauthRevoke
        | Endpoint::OauthIntrospect
        | Endpoint::Jwks
        | Endpoint::ProofOfWork
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

const GROUP: &str = "secured";
const NEW_PASSWORD: &str = "another battery";

/// One account and one way in.
struct World<'a> {
    app: &'a App,
    database: &'a Database,
    post: &'a Post,
    /// The authenticator of the user.
    key: &'a Mutex<Authenticator>,
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
        if matches!(self.standing, Standing::HasTotp | Standing::HasBoth) {
            self.give_totp().await;
        }
        if matches!(self.standing, Standing::HasPasskey | Standing::HasBoth) {
            self.give_passkey().await;
        }
    }

    fn has_factors(&self) -> bool {
        matches!(self.standing, Standing::HasTotp | Standing::HasPasskey | Standing::HasBoth)
    }

    async fn give_totp(&self) {
        give_totp(self.app, self.id().await).await;
    }

    async fn give_passkey(&self) {
        let user = self.id().await;
        give_passkey(self.app, user, |options| self.key.lock().unwrap().create(options, ORIGIN).unwrap())
            .await;
    }

    /// The account must have a factor from now on.
    async fn join(&self) {
        self.app.auth.users().create_group(GROUP).await.unwrap();
        assert!(self.app.auth.users().add_to_group(self.id().await, GROUP).await.unwrap());
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
            Standing::HasTotp | Standing::HasPasskey | Standing::HasBoth => {}
            Standing::GainsFactor => self.give_totp().await,
            Standing::MustHave => self.join().await,
        }
    }

    async fn log_in(&self) -> Answer {
        self.app.log_in(&self.name, PASSWORD).await
    }

    /// The answer after a recovery code, if one is asked for.
    async fn complete(&self, answer: Answer) -> Answer {
        let body = answer.json();
        if body["flows"][0]["id"] != FACTOR {
            return answer;
        }
        let token = &body["login_token"];
        self.step(json!({"login_token": token, "method": "recovery_code", "code": RECOVERY_CODE})).await
    }

    /// A session of the user.
    async fn session(&self) -> String {
        self.complete(self.log_in().await).await.token()
    }

    /// What the authenticator answers to a challenge.
    async fn passkey_answer(&self, login_token: Option<&Value>, is_verified: bool) -> Result<Value, Answer> {
        let asked = match login_token {
            Some(token) => json!({"login_token": token}),
            None => json!({}),
        };
        let asked = self.app.post("/login/passkey/options", asked).await;
        if asked.status != 200 {
            return Err(asked);
        }
        let mut key = self.key.lock().unwrap();
        key.user_verified = is_verified;
        Ok(key.get(&asked.json()["options"], ORIGIN).unwrap())
    }

    async fn with_passkey(&self, login_token: Option<&Value>, credential: Value) -> Answer {
        let mut body = json!({"credential": credential});
        if let Some(token) = login_token {
            body["login_token"] = token.clone();
        }
        self.app.post("/login/passkey", body).await
    }

    /// A passkey of nobody, where the standing says what the user has.
    fn has_key(&self) {
        if self.key.lock().unwrap().credentials.is_empty() {
            let options = json!({
                "rp": {"id": "example.org", "name": "Example"}, "challenge": "AAAAAAAAAAAAAAAAAAAAAA",
                "user": {"id": "AAAA", "name": "nobody", "displayName": "nobody"},
                "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
            });
            self.key.lock().unwrap().create(&options, ORIGIN).unwrap();
        }
    }

    /// The ways in that end with a factor. One of its kind is given to an account of whose factors the
    /// standing says nothing.
    async fn enter_with_factor(&self, entry: Entry) -> Answer {
        self.create().await;
        let is_passkey = !matches!(entry, Entry::TotpStep | Entry::RecoveryCodeStep);
        match (self.has_factors(), is_passkey) {
            (false, true) => self.give_passkey().await,
            (false, false) => self.give_totp().await,
            (true, _) => self.has_key(),
        }
        match entry {
            Entry::PasskeyLogin | Entry::PasskeyWithoutVerification => {
                let answered = self.passkey_answer(None, entry == Entry::PasskeyLogin).await.unwrap();
                self.change().await;
                self.with_passkey(None, answered).await
            }
            Entry::PasswordStep => {
                let answered = self.passkey_answer(None, false).await.unwrap();
                let begun = self.with_passkey(None, answered).await;
                let token = begun.json()["login_token"].clone();
                if token.is_null() {
                    return begun;
                }
                self.change().await;
                self.step(json!({"login_token": token, "method": "password", "password": PASSWORD})).await
            }
            Entry::PasskeyStep => {
                let token = self.log_in().await.json()["login_token"].clone();
                let answered = match self.passkey_answer(Some(&token), false).await {
                    Ok(answered) => answered,
                    Err(refused) => return refused,
                };
                self.change().await;
                self.with_passkey(Some(&token), answered).await
            }
            Entry::TotpStep | Entry::RecoveryCodeStep => {
                let token = self.log_in().await.json()["login_token"].clone();
                self.change().await;
                let (method, code) = match entry {
                    Entry::TotpStep => ("totp", Phone::given().code(self.app)),
                    _ => ("recovery_code", RECOVERY_CODE.to_owned()),
                };
                self.step(json!({"login_token": token, "method": method, "code": code})).await
            }
            other => panic!("{other:?} ends with no factor"),
        }
    }

    /// Sets up the first factor, with the login token of a login that waits for it.
    async fn enroll(&self, entry: Entry) -> Answer {
        self.create().await;
        self.join().await;
        let token = self.log_in().await.json()["login_token"].clone();
        let path = if entry == Entry::EnrollTotp { "/factors/totp" } else { "/factors/passkeys/options" };
        let begun = self.app.post(path, json!({"login_token": token})).await;
        if !begun.status.is_success() {
            return begun;
        }
        let begun = begun.json();
        if self.standing != Standing::MustHave {
            self.change().await;
        }
        if entry == Entry::EnrollPasskey {
            let made = self.key.lock().unwrap().create(&begun["options"], ORIGIN).unwrap();
            return self
                .app
                .post("/factors/passkeys", json!({"login_token": token, "credential": made}))
                .await;
        }
        let code = Phone::new(begun["secret"].as_str().unwrap()).code(self.app);
        let path = format!("/factors/totp/{}/confirm", begun["id"].as_str().unwrap());
        self.app.post(&path, json!({"login_token": token, "code": code})).await
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
        let begun = self.complete(self.log_in().await).await;
        self.change().await;
        begun.json()["login_token"].clone()
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
                let body = json!({"key": letter.key(), "password": NEW_PASSWORD});
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
                let new = NEW_PASSWORD;
                return self
                    .step(json!({"login_token": token, "method": "new_password", "new_password": new}))
                    .await;
            }
            Entry::CancelDeletionStep => {
                let first = UserChange { deletion_at: Some(Some(NOON)), ..UserChange::default() };
                let token = self.pending(first).await;
                return self.step(json!({"login_token": token, "method": "cancel_deletion"})).await;
            }
            Entry::EnrollTotp | Entry::EnrollPasskey => return self.enroll(entry).await,
            Entry::TotpStep
            | Entry::RecoveryCodeStep
            | Entry::PasskeyStep
            | Entry::PasskeyLogin
            | Entry::PasskeyWithoutVerification
            | Entry::PasswordStep => return self.enter_with_factor(entry).await,
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
                let mut body = json!({"new_password": NEW_PASSWORD});
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
                let pair = self.complete(self.pair().await).await.json();
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
        let token = self.session().await;
        let new = format!("new-{}@example.com", self.name);
        self.app.call("POST", "/email/change", Some(&token), Some(json!({"email": new}))).await;
        let mut mails = self.post.all(self.app, 2).await;
        mails.sort_by_key(|letter| letter.0.to != new);
        mails.swap_remove(0)
    }

    async fn with_session(&self, entry: Entry) -> Answer {
        let token = self.session().await;
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
                let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
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
                Ok(token) => self.tokens(entry, &token).await,
                Err(error) => error.to_string(),
            };
        }
        let answer = self.enter(entry).await;
        self.post.read(self.app).await;
        let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
        let token = body["token"].as_str().or(body["access"].as_str());
        match (answer.status.is_success(), token) {
            (true, Some(token)) => return self.tokens(entry, token).await,
            // A factor is set up, and something else is needed.
            (true, None) if body["flows"].is_array() => {}
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

    async fn tokens(&self, entry: Entry, token: &str) -> String {
        assert_eq!(self.app.get("/me", token).await.status, 200, "the token is good");
        let user = self.app.auth.context().store.user(self.id().await).await.unwrap().unwrap();
        let sessions = self.app.get("/sessions", token).await.json();
        let own = sessions.as_array().unwrap().iter().find(|session| session["current"] == true).unwrap();
        let is_vouched_for = matches!(entry, Entry::Issue | Entry::IssuePair);
        if (user.has_factor || self.standing == Standing::MustHave) && !is_vouched_for {
            assert_eq!(own["assurance_level"], 2, "{entry:?} of {:?}", self.standing);
        }
        "tokens".to_owned()
    }
}

async fn every_way_in_has_exactly_the_expected_outcome(database: Database) {
    let classified: Vec<_> = Endpoint::ALL.into_iter().flat_map(entries).copied().collect();
    let library = [Entry::Issue, Entry::IssuePair];
    let every: BTreeSet<_> = classified.iter().copied().chain(library).collect();
    assert_eq!(every.len(), classified.len() + library.len(), "an entry ends at one endpoint");
    assert_eq!(
        TABLE.iter().map(|(entry, ..)| *entry).collect::<BTreeSet<_>>(),
        every,
        "a row for each entry"
    );

    let post = Post::default();
    let mut wrong = Vec::new();
    for is_required in [false, true] {
        for mode in [RegistrationMode::Open, RegistrationMode::Verified] {
            let mailer = post.clone();
            let app = database.app_with(|builder| {
                // Mails are sent when they are read, and by nobody else.
                builder.background(false).mailer(mailer).settings(|settings| {
                    settings.registration.mode = mode;
                    settings.factors.passkeys = Some(relying_party());
                    settings.factors.required_groups = vec![GROUP.to_owned()];
                    if is_required {
                        settings.mail.verification = EmailVerification::Required;
                    }
                })
            });
            let app = app.await;
            for (entry, row, factors) in TABLE {
                let is_registration = matches!(entry, Entry::RegistrationByCode | Entry::RegistrationByLink);
                if is_registration != (mode == RegistrationMode::Verified) {
                    continue;
                }
                for (standing, expected) in STANDINGS.into_iter().zip(row.into_iter().chain(factors)) {
                    let is_verification = matches!(entry, Entry::VerifyByCode | Entry::VerifyByLink);
                    if is_required != (is_verification || standing == Standing::Unproved) {
                        continue;
                    }
                    let name = format!("{entry:?}{standing:?}").to_lowercase();
                    let key = Mutex::new(Authenticator::new(-7));
                    let (app, database, post) = (&app, &database, &post);
                    let world = World { app, database, post, key: &key, name, standing };
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
