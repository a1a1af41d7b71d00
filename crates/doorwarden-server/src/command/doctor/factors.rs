//! Checks for whom second factors and passkeys work.

use super::{Report, keys};
use crate::config::{Config, NoPasskeys};
use crate::output::count;
use doorwarden::core::store::{Store, StoreError};
use doorwarden::{FactorPolicy, RelyingParty};

const FACTORS: &str = "factors";
const PASSKEYS: &str = "passkeys";

/// The number of factors that are read at once.
const PAGE: u32 = 500;

/// The configuration, whose errors are reported elsewhere.
pub(super) fn check(config: &Config, report: &mut Report) {
    let policy = &config.settings.factors;
    let is_required = policy.required != FactorPolicy::Nobody || !policy.required_groups.is_empty();
    if is_required && matches!(config.mailing(), Ok(None)) {
        report.warning(
            FACTORS,
            "a second factor is required, and `mail.url` is not set: nobody is told when one is added or removed",
            "set `mail.url`; until then everybody who loses a device and the recovery codes needs `doorwarden factor remove`",
        );
    }
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

/// The factors in the database: whether they can be used with this configuration.
pub(super) async fn stored(
    config: &Config,
    store: &dyn Store,
    report: &mut Report,
) -> Result<(), StoreError> {
    passkeys(config, store, report).await?;
    if store.sealed_factors(None, 1).await?.is_empty() {
        return Ok(());
    }
    let lost = match keys::is_secret_there(config) {
        true => unopened(config, store).await?,
        false => None,
    };
    match lost {
        Some((0, all)) => report.ok(FACTORS, format!("all secrets of factors ({all}) open with the secret key")),
        Some((lost, all)) => report.error(
            FACTORS,
            format!("{lost} of {} of factors do not open with the secret key", count(all, "secret")),
            "add the former secret key to `old_secret_keys`; if it is lost, remove the factors with `doorwarden factor \
             remove`, and their users set up others",
        ),
        // The check of the signing keys has said so.
        None => {}
    }
    Ok(())
}

async fn passkeys(config: &Config, store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let Ok(party) = config.relying_party() else { return Ok(()) };
    let id = party.as_ref().ok().map(RelyingParty::id);
    for (domain, passkeys) in store.count_passkeys_by_domain().await? {
        if id != Some(domain.as_str()) {
            let (them, belong) =
                (count(passkeys, "passkey"), if passkeys == 1 { "belongs" } else { "belong" });
            report.warning(
                PASSKEYS,
                format!("{them} {belong} to `{domain}`, and cannot be used"),
                format!("set `factors.passkeys.rp_id` to `{domain}`, or tell their users to register others"),
            );
        }
    }
    Ok(())
}

/// How many sealed secrets do not open, and how many there are. `None` if the keys do not open at all.
async fn unopened(config: &Config, store: &dyn Store) -> Result<Option<(u64, u64)>, StoreError> {
    let Ok(builder) = config.command_builder() else { return Ok(None) };
    let Ok(auth) = builder.build().await else { return Ok(None) };
    let (mut after, mut lost, mut all) = (None, 0, 0);
    loop {
        let page = store.sealed_factors(after, PAGE).await?;
        let vault = &auth.context().factors;
        all += page.len() as u64;
        lost += page.iter().filter(|(id, sealed)| !vault.opens(*id, sealed)).count() as u64;
        match page.last() {
            Some((id, _)) if page.len() == PAGE as usize => after = Some(*id),
            _ => break,
        }
    }
    auth.close().await;
    Ok(Some((lost, all)))
}
