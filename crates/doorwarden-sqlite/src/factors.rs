//! Second factors and passkeys.

use crate::audit;
use crate::challenges;
use crate::failure::Failure;
use crate::rows::{Record, all, count, get, one, run};
use crate::sessions::end_all;
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::factor::recovery::RecoveryHash;
use doorwarden_core::factor::{Factor, FactorId, FactorKind, Method, Passkey, RecoveryCodes, Totp};
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{
    AddFactorError, Enrolled, Enrolment, FactorRemoval, FactorStore, ImportedFactors, NewRecoveryCodes,
    PasskeyUse, Removed, StoreError,
};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row, params};

/// The columns of a factor, of the table called `f`, and how many recovery codes it has.
macro_rules! columns {
    () => {
        "f.id, f.user_id, f.kind, f.name, f.created_at, f.confirmed_at, f.last_used_at, f.sealed, f.last_step, \
         f.failures, f.disabled_at, f.credential_id, f.credential, \
         (SELECT count(*) FROM doorwarden_recovery_codes c WHERE c.factor_id = f.id AND c.used_at IS NULL)"
    };
}

#[async_trait]
impl FactorStore for SqliteStore {
    async fn add_factor(&self, factor: Factor, effects: Effects) -> Result<(), AddFactorError> {
        self.write(move |connection| {
            let others = "DELETE FROM doorwarden_factors WHERE user_id = ?1 AND confirmed_at IS NULL";
            run(connection, others, [factor.user.0]).map_err(StoreError::from)?;
            check_most(connection, factor.user)?;
            insert(connection, &factor)?;
            Ok(audit::write(connection, &effects).map_err(StoreError::from)?)
        })
        .await
    }

    async fn confirm_factor(
        &self,
        enrolment: Enrolment,
        effects: Effects,
    ) -> Result<Option<Enrolled>, AddFactorError> {
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            confirm(connection, &enrolment, &effects)
        })
        .await
    }

    async fn factors_of(&self, user: UserId) -> Result<Vec<Factor>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_factors f WHERE f.user_id = ?1 ORDER BY f.kind = 'recovery_codes', f.created_at, f.id"
        );
        Ok(self.read(|connection| all(connection, sql, [user.0], factor))?)
    }

    async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Factor>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_factors f WHERE f.credential_id = ?1 AND f.confirmed_at IS NOT NULL"
        );
        Ok(self.read(|connection| one(connection, sql, [credential_id], factor))?)
    }

    async fn use_totp(&self, id: FactorId, step: i64, at: Timestamp) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_factors SET last_step = ?2, last_used_at = ?3, \
                       failures = iif(disabled_at IS NULL, 0, failures) \
                       WHERE id = ?1 AND confirmed_at IS NOT NULL AND (last_step IS NULL OR last_step < ?2)";
            Ok(run(connection, sql, (id.0, step, at.as_micros()))? == 1)
        })
        .await
    }

    async fn fail_totps(&self, user: UserId) -> Result<u32, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_factors SET failures = failures + 1 \
                       WHERE user_id = ?1 AND kind = 'totp' AND confirmed_at IS NOT NULL AND disabled_at IS NULL \
                       RETURNING failures";
            let counts = all(connection, sql, [user.0], |row| get::<u32>(row, 0))?;
            Ok(counts.into_iter().max().unwrap_or(0))
        })
        .await
    }

    async fn disable_totps(&self, user: UserId, most: u32, effects: Effects) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_factors SET disabled_at = ?3 \
                       WHERE user_id = ?1 AND kind = 'totp' AND failures >= ?2 AND disabled_at IS NULL";
            let changed = run(connection, sql, (user.0, most, effects.at.as_micros()))? > 0;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn enable_totps(&self, user: UserId, effects: Effects) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_factors SET disabled_at = NULL, failures = 0 \
                       WHERE user_id = ?1 AND disabled_at IS NOT NULL";
            let changed = run(connection, sql, [user.0])? > 0;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn use_recovery_code(
        &self,
        user: UserId,
        code: RecoveryHash,
        effects: Effects,
    ) -> Result<Option<u32>, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_recovery_codes SET used_at = ?3 WHERE code_hash = ?2 AND used_at IS NULL \
                       AND factor_id = (SELECT id FROM doorwarden_factors WHERE user_id = ?1 AND kind = 'recovery_codes')";
            let used = run(connection, sql, (user.0, code.0, effects.at.as_micros()))? == 1;
            if !audit::write_if(connection, used, &effects)? {
                return Ok(None);
            }
            let seen = "UPDATE doorwarden_factors SET last_used_at = ?2 WHERE user_id = ?1 AND kind = 'recovery_codes'";
            run(connection, seen, (user.0, effects.at.as_micros()))?;
            let left = "SELECT count(*) FROM doorwarden_recovery_codes c JOIN doorwarden_factors f ON f.id = c.factor_id \
                        WHERE f.user_id = ?1 AND c.used_at IS NULL";
            let left = one(connection, left, [user.0], |row| count(row, 0))?.unwrap_or(0);
            Ok(Some(u32::try_from(left).unwrap_or(u32::MAX)))
        })
        .await
    }

    async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: NewRecoveryCodes,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let has = "SELECT 1 FROM users WHERE id = ?1 AND has_factor";
            let has = one(connection, has, [user.0], |_| Ok(()))?.is_some();
            if has {
                replace_codes(connection, user, &codes, effects.at)?;
            }
            Ok(audit::write_if(connection, has, &effects)?)
        })
        .await
    }

    async fn use_passkey(&self, used: PasskeyUse, effects: Effects) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let spend = "INSERT INTO doorwarden_challenges (id, purpose, user_id, email, email_key, of_current_email, data, \
                         attempts, carried_attempts, created_at, sent_at, expires_at, spent_at) \
                         SELECT ?2, 'passkey', user_id, '', '', 0, '{}', 0, 0, ?3, ?3, ?4, ?3 \
                         FROM doorwarden_factors WHERE id = ?1 ON CONFLICT (id) DO NOTHING";
            let (at, until) = (effects.at.as_micros(), used.remembered_until.as_micros());
            if run(connection, spend, (used.id.0, used.ceremony.0, at, until))? == 0 {
                return Ok(false);
            }
            let keep = "UPDATE doorwarden_factors SET credential = ?2, last_used_at = ?3 WHERE id = ?1";
            run(connection, keep, (used.id.0, text(&used.credential), at))?;
            audit::write(connection, &effects)?;
            Ok(true)
        })
        .await
    }

    async fn rename_factor(
        &self,
        id: FactorId,
        user: UserId,
        name: &str,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_factors SET name = ?3 \
                       WHERE id = ?1 AND user_id = ?2 AND confirmed_at IS NOT NULL AND kind <> 'recovery_codes'";
            let changed = run(connection, sql, (id.0, user.0, name))? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn remove_factor(&self, removal: FactorRemoval, effects: Effects) -> Result<Removed, StoreError> {
        self.write(move |connection| {
            let confirmed = "SELECT id FROM doorwarden_factors \
                             WHERE user_id = ?1 AND confirmed_at IS NOT NULL AND kind <> 'recovery_codes'";
            let confirmed = all(connection, confirmed, [removal.user.0], |row| Ok(FactorId(get(row, 0)?)))?;
            if !confirmed.contains(&removal.id) {
                return Ok(Removed::NoSuchFactor);
            }
            if removal.keeps_last && confirmed.len() == 1 {
                return Ok(Removed::IsLast);
            }
            run(connection, "DELETE FROM doorwarden_factors WHERE id = ?1", [removal.id.0])?;
            end_all(connection, removal.user, removal.keep, EndReason::FactorRemoved, effects.at)?;
            audit::write(connection, &effects)?;
            Ok(Removed::Done)
        })
        .await
    }

    async fn sealed_factors(
        &self,
        after: Option<FactorId>,
        limit: u32,
    ) -> Result<Vec<(FactorId, Vec<u8>)>, StoreError> {
        let sql = "SELECT id, sealed FROM doorwarden_factors \
                   WHERE sealed IS NOT NULL AND (?1 IS NULL OR id > ?1) ORDER BY id LIMIT ?2";
        self.scan(move |connection| {
            all(connection, sql, (after.map(|id| id.0), limit), |row| {
                Ok((FactorId(get(row, 0)?), get(row, 1)?))
            })
        })
        .await
    }

    async fn count_passkeys_by_domain(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT credential ->> 'rp_id', count(*) FROM doorwarden_factors WHERE kind = 'webauthn' \
                   GROUP BY 1 ORDER BY 1";
        self.scan(move |connection| all(connection, sql, (), |row| Ok((get(row, 0)?, count(row, 1)?)))).await
    }

    async fn reseal_factor(&self, id: FactorId, former: &[u8], sealed: &[u8]) -> Result<bool, StoreError> {
        let (former, sealed) = (former.to_vec(), sealed.to_vec());
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_factors SET sealed = ?3 WHERE id = ?1 AND sealed = ?2";
            Ok(run(connection, sql, (id.0, former, sealed))? == 1)
        })
        .await
    }
}

fn confirm(
    connection: &Connection,
    enrolment: &Enrolment,
    effects: &Effects,
) -> Result<Option<Enrolled>, AddFactorError> {
    let (factor, at) = (&enrolment.factor, effects.at);
    let had = "SELECT has_factor FROM users WHERE id = ?1 AND is_active";
    let had = one(connection, had, [factor.user.0], |row| get::<bool>(row, 0)).map_err(StoreError::from)?;
    let Some(had) = had else { return Ok(None) };
    check_most(connection, factor.user)?;
    match enrolment.since {
        None => insert(connection, factor)?,
        Some(since) => {
            let sql = "UPDATE doorwarden_factors SET confirmed_at = ?4, last_used_at = ?4, last_step = ?5 \
                       WHERE id = ?1 AND user_id = ?2 AND confirmed_at IS NULL AND created_at >= ?3";
            let step = match &factor.method {
                Method::Totp(totp) => totp.last_step,
                Method::Passkey(_) | Method::RecoveryCodes(_) => None,
            };
            let params = (factor.id.0, factor.user.0, since.as_micros(), at.as_micros(), step);
            if run(connection, sql, params).map_err(StoreError::from)? == 0 {
                return Ok(None);
            }
        }
    }
    finish(connection, enrolment, effects, had).map_err(StoreError::from)?;
    Ok(Some(Enrolled { is_first: !had }))
}

/// What follows from a factor that was confirmed.
fn finish(
    connection: &Connection,
    enrolment: &Enrolment,
    effects: &Effects,
    had: bool,
) -> Result<(), Failure> {
    let (user, at) = (enrolment.factor.user, effects.at);
    let (kept, auth) = enrolment.session.unzip();
    if !had {
        replace_codes(connection, user, &enrolment.codes, at)?;
        end_all(connection, user, kept, EndReason::FactorAdded, at)?;
    }
    if let (Some(kept), Some(auth)) = (kept, auth) {
        let sql = "UPDATE doorwarden_sessions SET amr = ?3, auth_time = ?4, assurance_level = ?5 \
                   WHERE id = ?1 AND user_id = ?2 AND ended_at IS NULL";
        let (amr, time) = (auth.methods.to_string(), auth.auth_time.as_micros());
        run(connection, sql, (kept.0, user.0, amr, time, auth.assurance_level))?;
    }
    audit::write(connection, effects)
}

/// Whether the user may have another factor.
fn check_most(connection: &Connection, user: UserId) -> Result<(), AddFactorError> {
    let others = "SELECT count(*) FROM doorwarden_factors \
                  WHERE user_id = ?1 AND confirmed_at IS NOT NULL AND kind <> 'recovery_codes'";
    let others = one(connection, others, [user.0], |row| count(row, 0));
    match others.map_err(StoreError::from)?.unwrap_or(0) >= u64::from(Factor::MOST) {
        true => Err(AddFactorError::TooMany),
        false => Ok(()),
    }
}

fn insert(connection: &Connection, factor: &Factor) -> Result<(), AddFactorError> {
    insert_row(connection, factor).map_err(|failure| match failure.constraint() {
        Some("UNIQUE constraint failed: doorwarden_factors.credential_id") => AddFactorError::Taken,
        _ => AddFactorError::Store(failure.into()),
    })
}

/// The factors of an account that is imported.
pub(crate) fn import(
    connection: &Connection,
    user: UserId,
    imported: &ImportedFactors,
) -> Result<(), Failure> {
    for factor in &imported.factors {
        insert_row(connection, factor)?;
    }
    match (&imported.codes, imported.factors.first()) {
        (Some(codes), Some(first)) => replace_codes(connection, user, codes, first.created_at),
        _ => Ok(()),
    }
}

fn insert_row(connection: &Connection, factor: &Factor) -> Result<(), Failure> {
    let (mut sealed, mut last_step, mut credential_id, mut credential) = (None, None, None, None);
    match &factor.method {
        Method::Totp(totp) => (sealed, last_step) = (Some(&totp.sealed), totp.last_step),
        Method::Passkey(passkey) => {
            (credential_id, credential) = (Some(&passkey.credential_id), Some(text(&passkey.credential)));
        }
        Method::RecoveryCodes(codes) => sealed = Some(&codes.sealed),
    }
    let sql = "INSERT INTO doorwarden_factors \
               (id, user_id, kind, name, created_at, confirmed_at, last_used_at, sealed, last_step, credential_id, credential) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let params = params![
        factor.id.0,
        factor.user.0,
        factor.kind().as_str(),
        factor.name,
        factor.created_at.as_micros(),
        factor.confirmed_at.map(Timestamp::as_micros),
        factor.last_used_at.map(Timestamp::as_micros),
        sealed,
        last_step,
        credential_id,
        credential,
    ];
    run(connection, sql, params).map(|_| ())
}

fn replace_codes(
    connection: &Connection,
    user: UserId,
    codes: &NewRecoveryCodes,
    at: Timestamp,
) -> Result<(), Failure> {
    let former = "DELETE FROM doorwarden_factors WHERE user_id = ?1 AND kind = 'recovery_codes'";
    run(connection, former, [user.0])?;
    let set = "INSERT INTO doorwarden_factors (id, user_id, kind, name, created_at, confirmed_at, sealed) \
               VALUES (?1, ?2, 'recovery_codes', '', ?3, ?3, ?4)";
    run(connection, set, (codes.id.0, user.0, at.as_micros(), &codes.sealed))?;
    for hash in &codes.hashes {
        let sql = "INSERT INTO doorwarden_recovery_codes (factor_id, code_hash) VALUES (?1, ?2)";
        run(connection, sql, (codes.id.0, hash.0))?;
    }
    Ok(())
}

fn text(credential: &doorwarden_core::factor::Credential) -> String {
    serde_json::to_string(credential).expect("texts and numbers are JSON")
}

fn factor(row: &Row<'_>) -> Result<Factor, Failure> {
    let row = Record { table: "doorwarden_factors", row };
    let method = match row.parse(2, FactorKind::from_stored)? {
        FactorKind::Totp => Method::Totp(Totp {
            sealed: row.get(7)?,
            last_step: row.get(8)?,
            failures: row.get(9)?,
            disabled_at: row.optional_instant(10)?,
        }),
        FactorKind::Webauthn => Method::Passkey(Passkey {
            credential_id: row.get(11)?,
            credential: row.parse(12, |text| serde_json::from_str(text).ok())?,
        }),
        FactorKind::RecoveryCodes => {
            Method::RecoveryCodes(RecoveryCodes { sealed: row.get(7)?, unused: row.get(13)? })
        }
    };
    Ok(Factor {
        id: FactorId(row.get(0)?),
        user: UserId(row.get(1)?),
        name: row.get(3)?,
        created_at: row.instant(4)?,
        confirmed_at: row.optional_instant(5)?,
        last_used_at: row.optional_instant(6)?,
        method,
    })
}
