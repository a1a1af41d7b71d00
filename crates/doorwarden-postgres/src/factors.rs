//! Second factors and passkeys.

use crate::audit::{self, change, write_effects};
use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{all, get, instant, optional, optional_instant};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::authentication::AuthContext;
use doorwarden_core::factor::recovery::RecoveryHash;
use doorwarden_core::factor::{
    Credential, Factor, FactorId, FactorKind, Method, Passkey, RecoveryCodes, Totp,
};
use doorwarden_core::store::{
    AddFactorError, Enrolled, Enrolment, FactorRemoval, FactorStore, ImportedAccount, NewRecoveryCodes,
    PasskeyUse, Removed, StoreError,
};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

/// The columns of a factor, of the table called `f`, and how many recovery codes it has.
macro_rules! columns {
    () => {
        "f.id, f.user_id, f.kind, f.name, f.created_at, f.confirmed_at, f.last_used_at, f.sealed, f.last_step, \
         f.failures, f.disabled_at, f.credential_id, f.credential, \
         (SELECT count(*) FROM doorwarden_recovery_codes c WHERE c.factor_id = f.id AND c.used_at IS NULL)"
    };
}

#[async_trait]
impl FactorStore for PostgresStore {
    async fn add_factor(&self, factor: Factor, effects: Effects) -> Result<(), AddFactorError> {
        let sql = concat!(
            "WITH owner AS (SELECT id FROM users WHERE id = $2 FOR NO KEY UPDATE), \
             gone AS (DELETE FROM doorwarden_factors f USING owner WHERE f.user_id = owner.id AND f.confirmed_at IS NULL), \
             changed AS (INSERT INTO doorwarden_factors (id, user_id, kind, name, created_at, confirmed_at, sealed) \
             SELECT $1, id, $3, $4, $5, $6, $7 FROM owner WHERE (SELECT count(*) FROM doorwarden_factors \
                 WHERE user_id = $2 AND confirmed_at IS NOT NULL AND kind <> 'recovery_codes') < $8 RETURNING 1), \
             audited AS (",
            write_effects!("$9", from: "changed"),
            ") SELECT FROM changed"
        );
        let params = [
            (&factor.id.0 as _, Type::UUID),
            (&factor.user.0 as _, Type::INT8),
            (&factor.kind().as_str() as _, Type::TEXT),
            (&factor.name as _, Type::TEXT),
            (&At(factor.created_at) as _, Type::TIMESTAMPTZ),
            (&factor.confirmed_at.map(At) as _, Type::TIMESTAMPTZ),
            (&sealed(&factor) as _, Type::BYTEA),
            (&i64::from(Factor::MOST) as _, Type::INT8),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        match self.database.change(&effects, sql, &params).await.map_err(StoreError::from)? {
            Some(_) => Ok(()),
            None => Err(AddFactorError::TooMany),
        }
    }

    async fn confirm_factor(
        &self,
        enrolment: Enrolment,
        effects: Effects,
    ) -> Result<Option<Enrolled>, AddFactorError> {
        let sql = concat!(
            "WITH done AS (SELECT outcome FROM doorwarden_confirm_factor(\
             $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AS outcome \
             WHERE outcome IS NOT NULL), audited AS (",
            write_effects!("$18", from: "done"),
            ") SELECT outcome FROM done"
        );
        let factor = &enrolment.factor;
        let (mut step, mut credential_id, mut credential) = (None, None, None);
        match &factor.method {
            Method::Totp(totp) => step = totp.last_step,
            Method::Passkey(passkey) => {
                (credential_id, credential) =
                    (Some(&passkey.credential_id[..]), Some(text(&passkey.credential)));
            }
            Method::RecoveryCodes(_) => {}
        }
        let (kept, auth) = enrolment.session.unzip();
        let level = auth.map_or(AuthContext::UNAUTHENTICATED, |auth| auth.assurance_level);
        let params = [
            (&factor.user.0 as _, Type::INT8),
            (&factor.id.0 as _, Type::UUID),
            (&enrolment.since.map(At) as _, Type::TIMESTAMPTZ),
            (&At(effects.at) as _, Type::TIMESTAMPTZ),
            (&i64::from(Factor::MOST) as _, Type::INT8),
            (&factor.kind().as_str() as _, Type::TEXT),
            (&factor.name as _, Type::TEXT),
            (&sealed(factor) as _, Type::BYTEA),
            (&step as _, Type::INT8),
            (&credential_id as _, Type::BYTEA),
            (&credential as _, Type::TEXT),
            (&enrolment.codes.id.0 as _, Type::UUID),
            (&enrolment.codes.sealed as _, Type::BYTEA),
            (&hashes(&enrolment.codes) as _, Type::BYTEA_ARRAY),
            (&kept.map(|id| id.0) as _, Type::UUID),
            (&auth.map(|auth| auth.methods.to_string()).unwrap_or_default() as _, Type::TEXT),
            (&i16::from(level) as _, Type::INT2),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.change(&effects, sql, &params).await.map_err(refused)?;
        let enrolled = |row: &Row| Ok(Enrolled { is_first: get::<&str>(row, 0)? == "first" });
        Ok(optional(row.as_ref(), enrolled).map_err(StoreError::from)?)
    }

    async fn factors_of(&self, user: UserId) -> Result<Vec<Factor>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_factors f WHERE f.user_id = $1 ORDER BY f.kind = 'recovery_codes', f.created_at, f.id"
        );
        Ok(all(&self.database.rows(Effort::Read, sql, &[(&user.0, Type::INT8)]).await?, factor)?)
    }

    async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Factor>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_factors f WHERE f.credential_id = $1 AND f.confirmed_at IS NOT NULL"
        );
        let row = self.database.row(Effort::Read, sql, &[(&credential_id, Type::BYTEA)]).await?;
        Ok(optional(row.as_ref(), factor)?)
    }

    async fn use_totp(&self, id: FactorId, step: i64, at: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE doorwarden_factors SET last_step = $2, last_used_at = $3, \
                   failures = CASE WHEN disabled_at IS NULL THEN 0 ELSE failures END \
                   WHERE id = $1 AND confirmed_at IS NOT NULL AND (last_step IS NULL OR last_step < $2) RETURNING 1";
        let params = [(&id.0 as _, Type::UUID), (&step as _, Type::INT8), (&At(at) as _, Type::TIMESTAMPTZ)];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn fail_totps(&self, user: UserId) -> Result<u32, StoreError> {
        let sql = "WITH counted AS (UPDATE doorwarden_factors SET failures = failures + 1 \
                   WHERE user_id = $1 AND kind = 'totp' AND confirmed_at IS NOT NULL AND disabled_at IS NULL \
                   RETURNING failures) SELECT coalesce(max(failures), 0) FROM counted";
        let row = self.database.row(Effort::Write, sql, &[(&user.0, Type::INT8)]).await?;
        let most = optional(row.as_ref(), |row| get::<i32>(row, 0))?.unwrap_or(0);
        Ok(u32::try_from(most).unwrap_or(0))
    }

    async fn disable_totps(&self, user: UserId, most: u32, effects: Effects) -> Result<bool, StoreError> {
        let sql = concat!(
            "WITH disabled AS (UPDATE doorwarden_factors SET disabled_at = $3 \
             WHERE user_id = $1 AND kind = 'totp' AND failures >= $2 AND disabled_at IS NULL RETURNING 1), \
             changed AS (SELECT FROM disabled LIMIT 1), audited AS (",
            write_effects!("$4", from: "changed"),
            ") SELECT FROM changed"
        );
        let params = [
            (&user.0 as _, Type::INT8),
            (&i32::try_from(most).unwrap_or(i32::MAX) as _, Type::INT4),
            (&At(effects.at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn enable_totps(&self, user: UserId, effects: Effects) -> Result<bool, StoreError> {
        let sql = concat!(
            "WITH enabled AS (UPDATE doorwarden_factors SET disabled_at = NULL, failures = 0 \
             WHERE user_id = $1 AND disabled_at IS NOT NULL RETURNING 1), \
             changed AS (SELECT FROM enabled LIMIT 1), audited AS (",
            write_effects!("$2", from: "changed"),
            ") SELECT FROM changed"
        );
        let params = [(&user.0 as _, Type::INT8), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn use_recovery_code(
        &self,
        user: UserId,
        code: RecoveryHash,
        effects: Effects,
    ) -> Result<Option<u32>, StoreError> {
        // The set is locked first, so that of two codes at once the second sees that one is gone.
        let sql = concat!(
            "WITH held AS (UPDATE doorwarden_factors SET last_used_at = $3 \
                 WHERE user_id = $1 AND kind = 'recovery_codes' RETURNING id), \
             changed AS (UPDATE doorwarden_recovery_codes c SET used_at = $3 FROM held \
                 WHERE c.factor_id = held.id AND c.code_hash = $2 AND c.used_at IS NULL RETURNING c.factor_id), \
             audited AS (",
            write_effects!("$4", from: "changed"),
            ") SELECT (SELECT count(*) FROM doorwarden_recovery_codes c \
             WHERE c.factor_id = changed.factor_id AND c.used_at IS NULL AND c.code_hash <> $2) FROM changed"
        );
        let params = [
            (&user.0 as _, Type::INT8),
            (&&code.0[..] as _, Type::BYTEA),
            (&At(effects.at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.change(&effects, sql, &params).await?;
        let left = optional(row.as_ref(), |row| get::<i64>(row, 0))?;
        Ok(left.map(|left| u32::try_from(left).unwrap_or(0)))
    }

    async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: NewRecoveryCodes,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = concat!(
            "WITH owner AS (SELECT id FROM users WHERE id = $1 AND has_factor FOR NO KEY UPDATE), done AS (\
             SELECT doorwarden_replace_codes(id, $2, $3, $4, $5) FROM owner), audited AS (",
            write_effects!("$6", from: "done"),
            ") SELECT FROM done"
        );
        let params = [
            (&user.0 as _, Type::INT8),
            (&codes.id.0 as _, Type::UUID),
            (&codes.sealed as _, Type::BYTEA),
            (&hashes(&codes) as _, Type::BYTEA_ARRAY),
            (&At(effects.at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn use_passkey(&self, used: PasskeyUse, effects: Effects) -> Result<bool, StoreError> {
        let sql = concat!(
            "WITH spent AS (INSERT INTO doorwarden_challenges (id, purpose, user_id, email, email_key, of_current_email, \
                 data, attempts, carried_attempts, created_at, sent_at, expires_at, spent_at) \
                 SELECT $2, 'passkey', user_id, '', '', false, '{}', 0, 0, $3, $3, $4, $3 \
                 FROM doorwarden_factors WHERE id = $1 ON CONFLICT (id) DO NOTHING RETURNING 1), \
             changed AS (UPDATE doorwarden_factors SET credential = $5, last_used_at = $3 \
                 WHERE id = $1 AND EXISTS (SELECT FROM spent) RETURNING 1), audited AS (",
            write_effects!("$6", from: "changed"),
            ") SELECT FROM changed"
        );
        let params = [
            (&used.id.0 as _, Type::UUID),
            (&used.ceremony.0 as _, Type::UUID),
            (&At(effects.at) as _, Type::TIMESTAMPTZ),
            (&At(used.remembered_until) as _, Type::TIMESTAMPTZ),
            (&text(&used.credential) as _, Type::TEXT),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn rename_factor(
        &self,
        id: FactorId,
        user: UserId,
        name: &str,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_factors SET name = $3 \
             WHERE id = $1 AND user_id = $2 AND confirmed_at IS NOT NULL AND kind <> 'recovery_codes' RETURNING 1",
            "$4"
        );
        let params = [
            (&id.0 as _, Type::UUID),
            (&user.0 as _, Type::INT8),
            (&name as _, Type::TEXT),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn remove_factor(&self, removal: FactorRemoval, effects: Effects) -> Result<Removed, StoreError> {
        let sql = concat!(
            "WITH done AS (SELECT removed FROM doorwarden_remove_factor($1, $2, $3, $4, $5) AS removed \
             WHERE removed IS NOT NULL), audited AS (",
            write_effects!("$6", from: "done"),
            ") SELECT FROM done"
        );
        let params = [
            (&removal.user.0 as _, Type::INT8),
            (&removal.id.0 as _, Type::UUID),
            (&removal.keep.map(|id| id.0) as _, Type::UUID),
            (&removal.keeps_last as _, Type::BOOL),
            (&At(effects.at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        if self.database.change(&effects, sql, &params).await?.is_some() {
            return Ok(Removed::Done);
        }
        let is_there = |factor: &Factor| {
            factor.id == removal.id && factor.is_confirmed() && factor.kind() != FactorKind::RecoveryCodes
        };
        match self.factors_of(removal.user).await?.iter().any(is_there) {
            true => Ok(Removed::IsLast),
            false => Ok(Removed::NoSuchFactor),
        }
    }

    async fn sealed_factors(
        &self,
        after: Option<FactorId>,
        limit: u32,
    ) -> Result<Vec<(FactorId, Vec<u8>)>, StoreError> {
        let sql = "SELECT id, sealed FROM doorwarden_factors \
                   WHERE sealed IS NOT NULL AND ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2";
        let params = [(&after.map(|id| id.0) as _, Type::UUID), (&i64::from(limit) as _, Type::INT8)];
        let rows = self.database.rows(Effort::Long, sql, &params).await?;
        Ok(all(&rows, |row| Ok((FactorId(get(row, 0)?), get(row, 1)?)))?)
    }

    async fn count_passkeys_by_domain(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT credential::json ->> 'rp_id', count(*) FROM doorwarden_factors WHERE kind = 'webauthn' \
                   GROUP BY 1 ORDER BY 1";
        let read = |row: &_| Ok((get(row, 0)?, u64::try_from(get::<i64>(row, 1)?).unwrap_or(0)));
        Ok(all(&self.database.rows(Effort::Long, sql, &[]).await?, read)?)
    }

    async fn reseal_factor(&self, id: FactorId, former: &[u8], sealed: &[u8]) -> Result<bool, StoreError> {
        let sql = "UPDATE doorwarden_factors SET sealed = $3 WHERE id = $1 AND sealed = $2 RETURNING 1";
        let params = [(&id.0 as _, Type::UUID), (&former as _, Type::BYTEA), (&sealed as _, Type::BYTEA)];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }
}

/// The factors of accounts that are imported, if they were written.
pub(crate) async fn import(
    client: &Client,
    accounts: &[ImportedAccount],
    is_written: impl Fn(UserId) -> bool,
) -> Result<(), Failure> {
    let written = accounts.iter().filter(|account| is_written(account.user.id));
    let all: Vec<&Factor> = written.clone().flat_map(|account| &account.factors.factors).collect();
    if all.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO doorwarden_factors \
               (id, user_id, kind, name, created_at, confirmed_at, last_used_at, sealed, last_step, credential_id, credential) \
               SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], \
               $7::timestamptz[], $8::bytea[], $9::bigint[], $10::bytea[], $11::text[])";
    let each = all.iter();
    let passkey = |factor: &&&Factor| match &factor.method {
        Method::Passkey(passkey) => Some((passkey.credential_id.clone(), text(&passkey.credential))),
        _ => None,
    };
    let (ids, credentials): (Vec<_>, Vec<_>) = each.clone().map(|factor| passkey(&factor).unzip()).unzip();
    let step = |factor: &&Factor| match &factor.method {
        Method::Totp(totp) => totp.last_step,
        _ => None,
    };
    client
        .execute(
            sql,
            &[
                &each.clone().map(|factor| factor.id.0).collect::<Vec<_>>(),
                &each.clone().map(|factor| factor.user.0).collect::<Vec<_>>(),
                &each.clone().map(|factor| factor.kind().as_str()).collect::<Vec<_>>(),
                &each.clone().map(|factor| &*factor.name).collect::<Vec<_>>(),
                &each.clone().map(|factor| At(factor.created_at)).collect::<Vec<_>>(),
                &each.clone().map(|factor| factor.confirmed_at.map(At)).collect::<Vec<_>>(),
                &each.clone().map(|factor| factor.last_used_at.map(At)).collect::<Vec<_>>(),
                &each.clone().map(|factor| sealed(factor)).collect::<Vec<_>>(),
                &each.clone().map(step).collect::<Vec<_>>(),
                &ids,
                &credentials,
            ],
        )
        .await?;
    let replace = client.prepare("SELECT doorwarden_replace_codes($1, $2, $3, $4, $5)").await?;
    for account in written {
        if let (Some(codes), Some(first)) = (&account.factors.codes, account.factors.factors.first()) {
            let (owner, at) = (account.user.id.0, At(first.created_at));
            client.execute(&replace, &[&owner, &codes.id.0, &codes.sealed, &hashes(codes), &at]).await?;
        }
    }
    Ok(())
}

fn refused(failure: Failure) -> AddFactorError {
    match failure.constraint() {
        Some("doorwarden_factors_most") => AddFactorError::TooMany,
        Some("doorwarden_factors_credential_id_key") => AddFactorError::Taken,
        _ => AddFactorError::Store(failure.into()),
    }
}

fn sealed(factor: &Factor) -> Option<&[u8]> {
    match &factor.method {
        Method::Totp(totp) => Some(&totp.sealed),
        Method::RecoveryCodes(codes) => Some(&codes.sealed),
        Method::Passkey(_) => None,
    }
}

fn hashes(codes: &NewRecoveryCodes) -> Vec<&[u8]> {
    codes.hashes.iter().map(|hash| &hash.0[..]).collect()
}

fn text(credential: &Credential) -> String {
    serde_json::to_string(credential).expect("texts and numbers are JSON")
}

fn factor(row: &Row) -> Result<Factor, Failure> {
    let damaged = |column| {
        let id = get::<uuid::Uuid>(row, 0).unwrap_or_default();
        Failure::Unreadable(format!("doorwarden_factors.{column} of id {id} cannot be read"))
    };
    let method = match FactorKind::from_stored(get(row, 2)?).ok_or_else(|| damaged("kind"))? {
        FactorKind::Totp => Method::Totp(Totp {
            sealed: get(row, 7)?,
            last_step: get(row, 8)?,
            failures: u32::try_from(get::<i32>(row, 9)?).map_err(|_| damaged("failures"))?,
            disabled_at: optional_instant(row, 10)?,
        }),
        FactorKind::Webauthn => Method::Passkey(Passkey {
            credential_id: get(row, 11)?,
            credential: serde_json::from_str(get(row, 12)?).map_err(|_| damaged("credential"))?,
        }),
        FactorKind::RecoveryCodes => Method::RecoveryCodes(RecoveryCodes {
            sealed: get(row, 7)?,
            unused: u32::try_from(get::<i64>(row, 13)?).unwrap_or(u32::MAX),
        }),
    };
    Ok(Factor {
        id: FactorId(get(row, 0)?),
        user: UserId(get(row, 1)?),
        name: get(row, 3)?,
        created_at: instant(row, 4)?,
        confirmed_at: optional_instant(row, 5)?,
        last_used_at: optional_instant(row, 6)?,
        method,
    })
}
