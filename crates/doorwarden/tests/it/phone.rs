//! The authenticator app of a user, and factors that are given to accounts.

use crate::app::App;
use doorwarden::UserId;
use doorwarden::core::audit::{Actor, Effects};
use doorwarden::core::factor::recovery::{RecoveryCode, RecoveryKey};
use doorwarden::core::factor::totp::{Algorithm, TotpSecret, unbase32};
use doorwarden::core::factor::{Credential, Factor, FactorId, Method, Passkey, Totp};
use doorwarden::core::store::{Enrolment, NewRecoveryCodes};
use doorwarden::core::time::Clock;
use doorwarden::core::token::base64url;
use doorwarden::core::webauthn::{self, Challenge, RegistrationResponse, RelyingParty, Requirement};
use serde_json::{Value, json};

/// Where passkeys are good.
pub(crate) const ORIGIN: &str = "https://example.org";

pub(crate) fn relying_party() -> RelyingParty {
    RelyingParty::new("example.org", "Example", [ORIGIN]).unwrap()
}

/// A recovery code of every account with a factor that was given here.
pub(crate) const RECOVERY_CODE: &str = "abcde-fgh12";
const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

/// The account has this factor, whatever else it has, and whatever it must do first.
async fn give(app: &App, user: UserId, id: FactorId, method: Method) {
    let context = app.auth.context();
    let key = RecoveryKey::new(context.random.as_ref());
    let codes = FactorId::new(context.now(), context.random.bytes());
    let codes = NewRecoveryCodes {
        id: codes,
        sealed: context.factors.seal(context.random.bytes(), codes, &key),
        hashes: RecoveryCode::set(context.random.as_ref())
            .iter()
            .chain(&RecoveryCode::typed(RECOVERY_CODE))
            .map(|code| key.hash(code))
            .collect(),
    };
    let factor = Factor {
        id,
        user,
        name: "given".to_owned(),
        created_at: context.now(),
        confirmed_at: Some(context.now()),
        last_used_at: None,
        method,
    };
    let enrolment = Enrolment { factor, since: None, codes, session: None };
    let effects = Effects::new(context.now(), &Actor::System.into(), []);
    assert!(context.store.confirm_factor(enrolment, effects).await.unwrap().is_some());
}

/// The account has an authenticator app.
pub(crate) async fn give_totp(app: &App, user: UserId) -> Phone {
    let (context, phone) = (app.auth.context(), Phone::new(SECRET));
    let id = FactorId::new(context.now(), context.random.bytes());
    let sealed = context.factors.seal(context.random.bytes(), id, &phone.0);
    let totp = Totp { sealed, last_step: None, failures: 0, disabled_at: None };
    give(app, user, id, Method::Totp(totp)).await;
    phone
}

/// The account has the passkey that `create` makes by these options.
pub(crate) async fn give_passkey(app: &App, user: UserId, create: impl FnOnce(&Value) -> Value) {
    let (context, party) = (app.auth.context(), relying_party());
    let challenge = Challenge::new(context.random.bytes::<32>()).unwrap();
    let handle = context.ceremonies.handle(user);
    let named =
        webauthn::User { id: handle.clone(), name: "name".to_owned(), display_name: "name".to_owned() };
    let options = json!(party.creation_options(named, challenge.clone(), Vec::new()));
    let made: RegistrationResponse = serde_json::from_value(create(&options)).unwrap();
    let made = party.register(&made, &challenge, Requirement::Preferred).unwrap();
    let credential = Credential {
        public_key: base64url::encode(made.public_key.as_cose()),
        user_handle: handle.to_base64url(),
        rp_id: party.id().to_owned(),
        ..Credential::default()
    };
    let credential_id = made.credential_id.as_bytes().to_vec();
    let id = FactorId::new(context.now(), context.random.bytes());
    give(app, user, id, Method::Passkey(Passkey { credential_id, credential })).await;
}

/// Shows the codes of one secret.
pub(crate) struct Phone(TotpSecret);

impl Phone {
    /// That of the apps that are [given](give_totp).
    pub(crate) fn given() -> Self {
        Self::new(SECRET)
    }

    pub(crate) fn new(secret: &str) -> Self {
        Self(TotpSecret::imported(&unbase32(secret).unwrap(), Algorithm::Sha1, 6, 30).unwrap())
    }

    /// The present step.
    pub(crate) fn step(&self, app: &App) -> i64 {
        self.0.step(app.clock.now())
    }

    pub(crate) fn code(&self, app: &App) -> String {
        self.at(app, 0)
    }

    /// The code of so many steps from now.
    pub(crate) fn at(&self, app: &App, steps: i64) -> String {
        self.0.code(self.step(app) + steps)
    }

    /// A code that is wrong whatever the time.
    pub(crate) fn wrong(&self, app: &App) -> String {
        let near: Vec<_> = (-1..=1).map(|steps| self.at(app, steps)).collect();
        let mut codes = (0..).map(|n| format!("{n:06}"));
        codes.find(|code| !near.contains(code)).unwrap()
    }
}
