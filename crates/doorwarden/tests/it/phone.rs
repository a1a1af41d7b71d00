//! The authenticator app of a user.

use crate::app::App;
use doorwarden::core::factor::totp::{Algorithm, TotpSecret, unbase32};
use doorwarden::core::time::Clock;

/// Shows the codes of one secret.
pub(crate) struct Phone(pub(crate) TotpSecret);

impl Phone {
    pub(crate) fn new(secret: &str) -> Self {
        Self(TotpSecret::imported(&unbase32(secret).unwrap(), Algorithm::Sha1, 6, 30).unwrap())
    }

    pub(crate) fn code(&self, app: &App) -> String {
        self.at(app, 0)
    }

    /// The code of so many steps from now.
    pub(crate) fn at(&self, app: &App, steps: i64) -> String {
        self.0.code(self.0.step(app.clock.now()) + steps)
    }

    /// A code that is wrong whatever the time.
    pub(crate) fn wrong(&self, app: &App) -> String {
        let near: Vec<_> = (-1..=1).map(|steps| self.at(app, steps)).collect();
        let mut codes = (0..).map(|n| format!("{n:06}"));
        codes.find(|code| !near.contains(code)).unwrap()
    }
}
