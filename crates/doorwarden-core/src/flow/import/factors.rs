//! The second factors of Django's users: those of `django-otp` (the plugins `otp_totp` and `otp_static`) and
//! of `django-allauth`.

use super::{Action, Finding, Problem};
use crate::factor::recovery::{RecoveryCode, RecoveryKey};
use crate::factor::totp::{self, TOLERANCE, TotpSecret, unbase32};
use crate::factor::{Credential, Factor, FactorId, FactorKind, FactorVault, Method, Passkey, Totp};
use crate::identity::text::is_control;
use crate::random::RandomSource;
use crate::store::{ImportedFactors, NewRecoveryCodes, Store, StoreError};
use crate::time::Timestamp;
use crate::token::base64url;
use crate::user::UserId;
use aws_lc_rs::hmac;
use doorwarden_webauthn::authenticator_data::AuthenticatorData;
use doorwarden_webauthn::{PublicKey, RelyingParty, cbor};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use zeroize::Zeroizing;

/// A row of a table of factors.
#[derive(Debug)]
pub struct SourceFactor {
    /// The primary key.
    pub id: i64,
    /// Whose it is; `None` if that is no number.
    pub user: Option<i64>,
    /// What its user calls it; empty if there is no such column.
    pub name: String,
    /// Whether its user has shown that it works.
    pub is_confirmed: bool,
    /// `None` if the table does not know: the time of the import is used.
    pub created_at: Option<Timestamp>,
    /// The last use, if there was one.
    pub last_used_at: Option<Timestamp>,
    /// What it is.
    pub method: SourceMethod,
}

/// What a factor of Django's users is. `Debug` does not show it.
pub enum SourceMethod {
    /// `otp_totp.TOTPDevice`.
    OtpTotp {
        /// The secret in hexadecimal.
        key: Zeroizing<String>,
        /// How long a step takes, in seconds.
        step: i64,
        /// When steps begin to be counted, in seconds since 1970.
        t0: i64,
        /// How many digits a code has.
        digits: i64,
        /// By how many steps the clock of the device differs.
        drift: i64,
        /// The newest step of which a code was accepted; negative: none.
        last_t: i64,
    },
    /// `otp_static.StaticDevice`: what is left of its tokens.
    OtpStatic(Vec<Zeroizing<String>>),
    /// `allauth.mfa.Authenticator`.
    Allauth {
        /// `totp`, `recovery_codes` or `webauthn`.
        kind: String,
        /// The column `data`, in JSON.
        data: Zeroizing<String>,
    },
}

impl fmt::Debug for SourceMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceMethod(..)")
    }
}

/// Why a factor cannot be imported unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactorProblem {
    /// The application may have encrypted it.
    #[error("its secret cannot be read, or is shorter than 80 or longer than 1,024 bits")]
    Secret,
    /// Other numbers of digits, and other periods, than a [`TotpSecret`] can have.
    #[error("codes of {digits} digits every {period} seconds are not possible here")]
    Codes {
        /// How many digits a code has.
        digits: i64,
        /// How long a code is good, in seconds.
        period: i64,
    },
    /// The steps are not counted from 1970.
    #[error("its codes are counted from second {0} of 1970, which is not possible here")]
    Epoch(i64),
    /// The clock of the device differs by more than is accepted.
    #[error("the clock of its device differs by {0} seconds, so its codes are refused until it is set")]
    Clock(i64),
    /// The application may have encrypted them, or they have other characters than letters and digits.
    #[error("they cannot be read")]
    RecoveryCodes,
    /// Recovery codes count only beside another factor.
    #[error("there is no other factor beside them")]
    OnlyRecoveryCodes,
    /// Not the credential of an authenticator, or its key is of no known kind.
    #[error("it cannot be read")]
    Passkey,
    /// The service has no passkeys.
    #[error("this service has no passkeys: set `factors.passkeys.rp_id`")]
    NoPasskeys,
    /// It was made for another domain.
    #[error("it does not belong to `{0}`: set `factors.passkeys.rp_id` to the domain that it belongs to")]
    OtherDomain(String),
    /// The credential is another account's.
    #[error("another account has it")]
    Taken,
    /// A kind that is not known.
    #[error("factors of this kind are not known here")]
    Kind,
    /// Its owner is named by something else than the number of a user.
    #[error("their users are not named by a number")]
    NoUser,
}

/// The factors that come, of each user.
#[derive(Debug, Default)]
pub struct Factors {
    of: BTreeMap<i64, Planned>,
    findings: Vec<Finding>,
    unconfirmed: u64,
}

#[derive(Debug, Default)]
struct Planned {
    factors: Vec<PlannedFactor>,
    codes: Vec<RecoveryCode>,
    /// The row of the codes.
    codes_id: i64,
}

#[derive(Debug)]
struct PlannedFactor {
    name: String,
    created_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    secret: PlannedSecret,
}

#[derive(Debug)]
enum PlannedSecret {
    Totp(TotpSecret, Option<i64>),
    Passkey(Passkey),
}

impl Factors {
    /// Finds what can be imported and what cannot. `party`: for what domain passkeys are good.
    pub fn plan(source: Vec<SourceFactor>, party: Option<&RelyingParty>) -> Self {
        let mut plan = Self::default();
        let mut credentials = HashSet::new();
        let mut ownerless = 0;
        for row in source {
            if !row.is_confirmed {
                plan.unconfirmed += 1;
                continue;
            }
            let Some(user) = row.user else {
                ownerless += 1;
                continue;
            };
            let (id, kind) = (row.id, row.kind());
            let name: String =
                row.name.replace(is_control, "").chars().take(Factor::NAME_MAX_CHARS).collect();
            let shown = format!("{kind} `{name}` of user {user}");
            match row.read(user, party) {
                Ok(Read::Codes(codes)) => {
                    let planned = plan.of.entry(user).or_default();
                    planned.codes_id = id;
                    for code in codes {
                        if !planned.codes.contains(&code) {
                            planned.codes.push(code);
                        }
                    }
                }
                Ok(Read::Passkey(passkey, _)) if !credentials.insert(passkey.credential_id.clone()) => {
                    plan.find(id, shown, FactorProblem::Taken, Action::Left);
                }
                Ok(Read::Passkey(passkey, own_name)) => {
                    let name = if own_name.is_empty() { "Passkey".to_owned() } else { own_name };
                    plan.add(user, name, &row, PlannedSecret::Passkey(passkey));
                }
                Ok(Read::Totp { secret, last_step, behind }) => {
                    let name = if name.is_empty() { "Authenticator app".to_owned() } else { name };
                    plan.add(user, name, &row, PlannedSecret::Totp(secret, last_step));
                    if behind != 0 {
                        plan.find(id, shown, FactorProblem::Clock(behind), Action::Came);
                    }
                }
                Err(problem) => plan.find(id, shown, problem, Action::Left),
            }
        }
        if ownerless > 0 {
            plan.find(0, ownerless.to_string(), FactorProblem::NoUser, Action::Left);
        }
        plan.leave_lone_codes();
        plan
    }

    /// Leaves out passkeys that another account of the target has.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn compare(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut taken = Vec::new();
        for (user, planned) in &mut self.of {
            let mut free = Vec::new();
            for factor in std::mem::take(&mut planned.factors) {
                let here = match &factor.secret {
                    PlannedSecret::Passkey(passkey) => store.passkey(&passkey.credential_id).await?,
                    PlannedSecret::Totp(..) => None,
                };
                match here {
                    Some(here) if here.user.0 != *user => {
                        taken.push(format!("passkey `{}` of user {user}", factor.name));
                    }
                    _ => free.push(factor),
                }
            }
            planned.factors = free;
        }
        for shown in taken {
            self.find(0, shown, FactorProblem::Taken, Action::Left);
        }
        self.leave_lone_codes();
        Ok(())
    }

    /// The factors that cannot be imported unchanged.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many factors of this kind come, if their users do.
    pub fn count(&self, kind: FactorKind) -> u64 {
        let of_kind = |planned: &Planned| match kind {
            FactorKind::RecoveryCodes => usize::from(!planned.codes.is_empty()),
            kind => planned.factors.iter().filter(|factor| factor.secret.kind() == kind).count(),
        };
        self.of.values().map(of_kind).sum::<usize>() as u64
    }

    /// How many rows count for nothing, because they were never confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Seals the secrets.
    pub fn seal(self, vault: &FactorVault, random: &dyn RandomSource, now: Timestamp) -> SealedFactors {
        let seal = |(user, planned): (i64, Planned)| {
            let user = UserId(user);
            let factors = planned.factors.into_iter();
            let factors = factors.map(|factor| factor.seal(user, vault, random, now)).collect();
            let codes = (!planned.codes.is_empty()).then(|| {
                let (id, key) = (FactorId::new(now, random.bytes()), RecoveryKey::new(random));
                let hashes = planned.codes.iter().map(|code| key.hash(code)).collect();
                NewRecoveryCodes { id, sealed: vault.seal(random.bytes(), id, &key), hashes }
            });
            (user, ImportedFactors { factors, codes })
        };
        SealedFactors(self.of.into_iter().map(seal).collect())
    }

    fn add(&mut self, user: i64, name: String, row: &SourceFactor, secret: PlannedSecret) {
        let SourceFactor { created_at, last_used_at, .. } = *row;
        let factor = PlannedFactor { name, created_at, last_used_at, secret };
        self.of.entry(user).or_default().factors.push(factor);
    }

    fn find(&mut self, id: i64, name: String, problem: FactorProblem, action: Action) {
        let problem = Problem::Factor(problem);
        self.findings.push(Finding { kind: "factor", id, name, problem, action, renamed: None });
    }

    fn leave_lone_codes(&mut self) {
        let mut left = Vec::new();
        for (user, planned) in &mut self.of {
            if planned.factors.is_empty() && !planned.codes.is_empty() {
                planned.codes.clear();
                left.push((planned.codes_id, format!("recovery codes of user {user}")));
            }
        }
        for (id, shown) in left {
            self.find(id, shown, FactorProblem::OnlyRecoveryCodes, Action::Left);
        }
        self.of.retain(|_, planned| !planned.factors.is_empty());
    }
}

/// The factors that come, as they are stored.
#[derive(Debug, Default)]
pub struct SealedFactors(HashMap<UserId, ImportedFactors>);

impl SealedFactors {
    /// Those of a user.
    pub fn of(&self, user: UserId) -> ImportedFactors {
        self.0.get(&user).cloned().unwrap_or_default()
    }
}

impl PlannedSecret {
    fn kind(&self) -> FactorKind {
        match self {
            Self::Totp(..) => FactorKind::Totp,
            Self::Passkey(_) => FactorKind::Webauthn,
        }
    }
}

impl PlannedFactor {
    fn seal(self, user: UserId, vault: &FactorVault, random: &dyn RandomSource, now: Timestamp) -> Factor {
        let id = FactorId::new(now, random.bytes());
        let created_at = self.created_at.unwrap_or(now);
        let method = match self.secret {
            PlannedSecret::Passkey(passkey) => Method::Passkey(passkey),
            PlannedSecret::Totp(secret, last_step) => {
                let sealed = vault.seal(random.bytes(), id, &secret);
                Method::Totp(Totp { sealed, last_step, failures: 0, disabled_at: None })
            }
        };
        let (name, last_used_at) = (self.name, self.last_used_at);
        Factor { id, user, name, created_at, confirmed_at: Some(created_at), last_used_at, method }
    }
}

/// A row that could be read.
enum Read {
    Totp { secret: TotpSecret, last_step: Option<i64>, behind: i64 },
    Codes(Vec<RecoveryCode>),
    Passkey(Passkey, String),
}

impl SourceFactor {
    fn kind(&self) -> &str {
        match &self.method {
            SourceMethod::OtpTotp { .. } => "totp",
            SourceMethod::OtpStatic(_) => "static tokens",
            SourceMethod::Allauth { kind, .. } => kind,
        }
    }

    fn read(&self, user: i64, party: Option<&RelyingParty>) -> Result<Read, FactorProblem> {
        match &self.method {
            SourceMethod::OtpTotp { key, step, t0, digits, drift, last_t } => {
                if *t0 != 0 {
                    return Err(FactorProblem::Epoch(*t0));
                }
                let secret = unhex(key).ok_or(FactorProblem::Secret)?;
                let secret = secret_of(&secret, *digits, *step)?;
                let behind = if drift.abs() > TOLERANCE { drift.saturating_mul(*step) } else { 0 };
                Ok(Read::Totp { secret, last_step: Some(*last_t).filter(|step| *step >= 0), behind })
            }
            SourceMethod::OtpStatic(tokens) => codes(tokens.iter().map(|token| token.as_str())),
            SourceMethod::Allauth { kind, data } => {
                let data: Value = serde_json::from_str(data).unwrap_or_default();
                match kind.as_str() {
                    "totp" => {
                        let secret = data["secret"].as_str().and_then(unbase32);
                        let secret = Zeroizing::new(secret.ok_or(FactorProblem::Secret)?);
                        // MFA_TOTP_DIGITS and MFA_TOTP_PERIOD are in no table.
                        Ok(Read::Totp { secret: secret_of(&secret, 6, 30)?, last_step: None, behind: 0 })
                    }
                    "recovery_codes" => allauth_codes(&data),
                    "webauthn" => allauth_passkey(&data, user, party),
                    _ => Err(FactorProblem::Kind),
                }
            }
        }
    }
}

fn secret_of(secret: &[u8], digits: i64, period: i64) -> Result<TotpSecret, FactorProblem> {
    let of = |digits, period| TotpSecret::imported(secret, totp::Algorithm::Sha1, digits, period);
    match u32::try_from(digits).ok().and_then(|digits| of(digits, period)) {
        Some(secret) => Ok(secret),
        // The usual codes tell whether it is the secret that does not fit.
        None if of(6, 30).is_none() => Err(FactorProblem::Secret),
        None => Err(FactorProblem::Codes { digits, period }),
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>().filter(|_| is_hex).map(Zeroizing::new)
}

fn codes<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Read, FactorProblem> {
    let codes = texts.map(RecoveryCode::typed).collect::<Option<Vec<_>>>();
    codes.map(Read::Codes).ok_or(FactorProblem::RecoveryCodes)
}

/// The codes that are left. `django-allauth` computes them from a seed, or has them from another application.
fn allauth_codes(data: &Value) -> Result<Read, FactorProblem> {
    /// `MFA_RECOVERY_CODE_COUNT` and `MFA_RECOVERY_CODE_DIGITS`, which are in no table.
    const COUNT: usize = 10;
    const DIGITS: u32 = 8;
    if let Some(migrated) = data["migrated_codes"].as_array() {
        return codes(migrated.iter().map(|code| code.as_str().unwrap_or_default()));
    }
    let seed = data["seed"].as_str().filter(|seed| seed.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let (Some(seed), Some(used)) = (seed, data["used_mask"].as_u64()) else {
        return Err(FactorProblem::RecoveryCodes);
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed.as_bytes());
    let mut message = Vec::new();
    let mut all = Vec::with_capacity(COUNT);
    for place in 0..COUNT {
        message.extend_from_slice(format!("{place:3},").as_bytes());
        let mac = hmac::sign(&key, &message);
        let value = mac.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let code = Zeroizing::new(format!("{:08}", value % 10_u32.pow(DIGITS)));
        if used >> place & 1 == 0 {
            all.push(code);
        }
    }
    codes(all.iter().map(|code| code.as_str()))
}

/// The credential of a registration as the browser sent it.
fn allauth_passkey(data: &Value, user: i64, party: Option<&RelyingParty>) -> Result<Read, FactorProblem> {
    let party = party.ok_or(FactorProblem::NoPasskeys)?;
    let response = &data["credential"]["response"];
    let object = response["attestationObject"].as_str().and_then(|text| base64url::decode(text.as_bytes()));
    let object = object.ok_or(FactorProblem::Passkey)?;
    let object = cbor::Value::read(&object).map_err(|_| FactorProblem::Passkey)?;
    let member = |(name, value): &(cbor::Value<'_>, cbor::Value<'_>)| {
        (name.as_text() == Some("authData")).then(|| value.as_bytes().map(<[u8]>::to_vec)).flatten()
    };
    let bytes = object.as_map().into_iter().flatten().find_map(member).ok_or(FactorProblem::Passkey)?;
    let data_of = AuthenticatorData::parse(&bytes).map_err(|_| FactorProblem::Passkey)?;
    if data_of.rp_id_hash != *party.id_hash() {
        return Err(FactorProblem::OtherDomain(party.id().to_owned()));
    }
    let attested = data_of.attested_credential.as_ref().ok_or(FactorProblem::Passkey)?;
    let key = PublicKey::from_cose(attested.public_key).map_err(|_| FactorProblem::Passkey)?;
    let transports = response["transports"].as_array().into_iter().flatten();
    let credential = Credential {
        public_key: base64url::encode(key.as_cose()),
        user_handle: base64url::encode(base36(user).as_bytes()),
        rp_id: party.id().to_owned(),
        sign_count: data_of.sign_count,
        backup_eligible: data_of.flags.backup_eligible(),
        backed_up: data_of.flags.backed_up(),
        transports: transports.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        aaguid: Some(attested.aaguid).filter(|aaguid| !aaguid.is_nil()),
        attestation: None,
    };
    let name = data["name"].as_str().unwrap_or_default().replace(is_control, "");
    let name = name.chars().take(Factor::NAME_MAX_CHARS).collect();
    let credential_id = attested.credential_id.as_bytes().to_vec();
    Ok(Read::Passkey(Passkey { credential_id, credential }, name))
}

/// How `django-allauth` names a user for authenticators: Django's `int_to_base36` of the primary key.
fn base36(number: i64) -> String {
    let (mut left, mut digits) = (number.unsigned_abs(), Vec::new());
    loop {
        digits.push(char::from_digit(u32::try_from(left % 36).unwrap_or(0), 36).unwrap_or('0'));
        left /= 36;
        if left == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_for_authenticators_as_django_writes_numbers() {
        for (number, text) in [(0, "0"), (35, "z"), (36, "10"), (40, "14"), (1_000_000, "lfls")] {
            assert_eq!(base36(number), text);
        }
    }

    #[test]
    fn a_key_in_hexadecimal_is_read_or_refused() {
        assert_eq!(unhex("00fF").as_deref(), Some(&vec![0, 255]));
        for wrong in ["0", "zz", "+1", "é"] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }
}
