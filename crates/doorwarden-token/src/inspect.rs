//! Decoding a token without verifying it, to explain what is wrong with it. Never base a decision on the
//! result.

use crate::parts::Parts;
use crate::{Part, Refusal, base64url};
use serde_json::{Map, Value};

/// The decoded header and claims of a token. **Neither is verified**: anyone can write them.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The JOSE header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Decodes a token. Refuses only what cannot be decoded: a wrong number of parts, base64url that is not
/// canonical, parts that are not JSON objects.
///
/// ```
/// use doorwarden_token::inspect::inspect;
///
/// let token = "eyJhbGciOiJub25lIn0.eyJpZCI6MX0.";
/// assert_eq!(inspect(token)?.header["alg"], "none");
/// assert_eq!(inspect(token)?.claims["id"], 1);
/// # Ok::<(), doorwarden_token::Refusal>(())
/// ```
pub fn inspect(token: &str) -> Result<Inspection, Refusal> {
    let parts = Parts::of(token)?;
    let object = |text, part| {
        let bytes = base64url::decode(text).ok_or(Refusal::BadBase64(part))?;
        serde_json::from_slice(&bytes).map_err(|_| Refusal::BadJson(part))
    };
    Ok(Inspection {
        header: object(parts.header, Part::Header)?,
        claims: object(parts.payload, Part::Payload)?,
    })
}
