use crate::Refusal;
use crate::access::Expect;
use crate::json::Value;

/// The allowed difference between the clocks of two machines, in seconds, for `iat`.
pub(crate) const SKEW: i64 = Expect::SKEW_SECS as i64;

/// The three time claims of a token (RFC 7519, section 4.1).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) exp: Option<i64>,
    pub(crate) nbf: Option<i64>,
    pub(crate) iat: Option<i64>,
}

impl Times {
    /// Reads the claim if it is one of these times. A time of the wrong type is refused and never treated as
    /// absent (CVE-2026-25537). `Ok(false)`: it is another claim.
    pub(crate) fn take(&mut self, name: &[u8], value: Value<'_>) -> Result<bool, Refusal> {
        let (slot, name) = match name {
            b"exp" => (&mut self.exp, "exp"),
            b"nbf" => (&mut self.nbf, "nbf"),
            b"iat" => (&mut self.iat, "iat"),
            _ => return Ok(false),
        };
        *slot = Some(value.seconds().ok_or(Refusal::BadClaim(name))?);
        Ok(true)
    }

    /// `exp`, if the token is valid at `now`, with `leeway` seconds of leeway.
    pub(crate) fn check(&self, now: i64, leeway: i64) -> Result<i64, Refusal> {
        let exp = self.exp.ok_or(Refusal::MissingClaim("exp"))?;
        if now >= exp.saturating_add(leeway) {
            return Err(Refusal::Expired);
        }
        if self.nbf.is_some_and(|nbf| nbf > now.saturating_add(leeway)) {
            return Err(Refusal::NotYetValid);
        }
        Ok(exp)
    }

    /// Refuses a token that was issued after `now` by more than clocks may differ.
    pub(crate) fn check_issued(&self, now: i64) -> Result<(), Refusal> {
        match self.iat.is_some_and(|iat| iat > now.saturating_add(SKEW)) {
            true => Err(Refusal::IssuedInFuture),
            false => Ok(()),
        }
    }
}
