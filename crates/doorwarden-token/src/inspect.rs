//! Looking into a token without verifying it: for a command line that explains what is wrong with one, never for a decision.

use crate::parts::Parts;
use crate::{Part, Refusal, base64url};
use serde_json::{Map, Value};

/// What a token says about itself. **None of it is verified**: anybody can write it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The JOSE header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Decodes a token. Refuses only what cannot be shown: wrong number of parts, wrong base64url, no JSON objects.
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
