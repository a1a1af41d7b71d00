//! Checks for whom second factors and passkeys work.

use super::Report;
use crate::config::{Config, NoPasskeys};

const PASSKEYS: &str = "passkeys";

/// The configuration, whose errors are reported elsewhere.
pub(super) fn check(config: &Config, report: &mut Report) {
    match config.relying_party() {
        Err(_) => {}
        Ok(Err(NoPasskeys::Off)) => report.ok(PASSKEYS, "`factors.passkeys.rp_id` is `off`: there are none"),
        Ok(Err(NoPasskeys::NoDomain { issuer })) => report.ok(
            PASSKEYS,
            format!(
                "there are none, because `{issuer}` has no domain: set `tokens.issuer` to an `https` URL with a domain, \
                 or `factors.passkeys.rp_id` and `factors.passkeys.origins`"
            ),
        ),
        Ok(Ok(party)) => {
            report.ok(PASSKEYS, format!("they belong to `{}`, at {}", party.id(), party.origins().join(", ")));
            if let Some(page) = config.page_without_passkeys(&party) {
                report.warning(
                    PASSKEYS,
                    format!("`front_end.url` is at `{page}`, where they cannot be used"),
                    format!(
                        "set `factors.passkeys.rp_id` to a domain that both share, or add `{page}` to \
                         `factors.passkeys.related_origins`"
                    ),
                );
            }
        }
    }
}
