//! Signed checkpoints of the audit log, to be kept elsewhere: whoever has one can tell later whether the log
//! still begins with what it had then.
//!
//! A checkpoint is a compact JWS of its own type, [`TYPE`], signed with a key that signs nothing else.

use crate::jws::{self, Jws};
use crate::parts::members;
use crate::{KeyPair, Part, PublicKey, Refusal};
use serde_json::json;

/// The media type of checkpoints, as `typ`.
pub const TYPE: &str = "audit-checkpoint+jwt";

/// The state of an audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The issuer of the service.
    pub iss: String,
    /// When it was signed, in seconds since 1970 UTC.
    pub iat: i64,
    /// The number of the newest seal.
    pub seal: i64,
    /// How many events the seals cover together.
    pub records: i64,
    /// The hash of that seal, in hexadecimal digits.
    pub hash: String,
}

/// Signs a checkpoint.
///
/// ```
/// use doorwarden_token::checkpoint::{self, Checkpoint};
/// use doorwarden_token::{Algorithm, KeyPair};
///
/// let pair = KeyPair::generate(Algorithm::EdDsa)?;
/// let hash = "00".repeat(32);
/// let iss = "https://id.example".to_owned();
/// let point = Checkpoint { iss, iat: 1_700_000_000, seal: 3, records: 70, hash };
/// let signed = checkpoint::sign(&pair, &point);
/// assert_eq!(checkpoint::key_id(&signed).as_deref(), Ok(pair.id()));
/// assert_eq!(checkpoint::verify(&signed, pair.public()), Ok(point));
/// # Ok::<(), doorwarden_token::key::KeyError>(())
/// ```
pub fn sign(key: &KeyPair, checkpoint: &Checkpoint) -> String {
    let Checkpoint { iss, iat, seal, records, hash } = checkpoint;
    let claims = json!({"iss": iss, "iat": iat, "seal": seal, "records": records, "hash": hash});
    jws::sign(key, TYPE, claims.to_string().as_bytes())
}

/// The `kid` of a checkpoint. Nothing is verified.
///
/// # Errors
/// If the text is not a checkpoint.
pub fn key_id(signed: &str) -> Result<String, Refusal> {
    parse(signed)?.key_id.ok_or(Refusal::NoKeyId)
}

/// The checkpoint that this key has signed.
///
/// # Errors
/// If the text is not a checkpoint, or the key has not signed it.
pub fn verify(signed: &str, key: &PublicKey) -> Result<Checkpoint, Refusal> {
    let jws = parse(signed)?;
    jws.verify_with(key)?;
    let (mut iss, mut iat, mut seal, mut records, mut hash) = (None, None, None, None, None);
    members(&jws.payload, Part::Payload, |name, value| {
        match name {
            b"iss" => iss = Some(value.text().ok_or(Refusal::BadClaim("iss"))?.into_owned()),
            b"hash" => hash = Some(value.text().ok_or(Refusal::BadClaim("hash"))?.into_owned()),
            b"iat" => iat = Some(value.seconds().ok_or(Refusal::BadClaim("iat"))?),
            b"seal" => seal = Some(value.integer().ok_or(Refusal::BadClaim("seal"))?),
            b"records" => records = Some(value.integer().ok_or(Refusal::BadClaim("records"))?),
            _ => {}
        }
        Ok(())
    })?;
    let missing = Refusal::MissingClaim;
    Ok(Checkpoint {
        iss: iss.ok_or(missing("iss"))?,
        iat: iat.ok_or(missing("iat"))?,
        seal: seal.ok_or(missing("seal"))?,
        records: records.ok_or(missing("records"))?,
        hash: hash.ok_or(missing("hash"))?,
    })
}

fn parse(signed: &str) -> Result<Jws<'_>, Refusal> {
    let jws = Jws::parse(signed)?;
    if jws.is_of_type(TYPE) { Ok(jws) } else { Err(Refusal::WrongType) }
}
