//! Checks for tokens that cannot be revoked.

use super::Report;
use crate::config::Config;
use doorwarden::core::settings::WithoutSession;
use doorwarden::core::time::{Clock, SystemClock};

const CHECK: &str = "tokens";

pub(super) fn check(config: &Config, report: &mut Report) {
    if config.is_issuer_guessed() {
        report.warning(
            CHECK,
            format!("the issuer of access tokens is `{}`, derived from `listen`", config.default_issuer()),
            "set `tokens.issuer` to the URL under which other services reach this one, the same on every instance",
        );
    }
    match config.settings.session.without_session {
        WithoutSession::Refuse => {}
        WithoutSession::Accept => report.warning(
            CHECK,
            "`tokens.accept_without_session` is `true` without an end: logging out does not end such a token",
            "set it to the date when the last of them expires, such as `2027-03-01T00:00:00Z`",
        ),
        WithoutSession::AcceptUntil(end) if SystemClock.now() >= end => report.warning(
            CHECK,
            format!("`tokens.accept_without_session` ended at {end}"),
            "remove it; such tokens are refused anyway",
        ),
        WithoutSession::AcceptUntil(end) => {
            report.ok(CHECK, format!("tokens without a session are accepted until {end}"));
        }
    }
}
