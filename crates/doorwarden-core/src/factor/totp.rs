//! Time-based one-time passwords (RFC 6238).

use crate::random::RandomSource;
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use zeroize::Zeroizing;

/// How many steps before and after the present one a code may be of: clocks differ, and people type slowly
/// (RFC 6238, section 5.2).
pub const TOLERANCE: i64 = 1;

/// How many steps around the present one are searched when a code is refused at enrolment, to say that the
/// clock of the device is wrong.
const SKEW_SEARCH: i64 = 10;

/// The hash function. Authenticator apps understand SHA-1 alone; the others come with imports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC-SHA-1.
    #[default]
    #[serde(rename = "SHA1")]
    Sha1,
    /// HMAC-SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC-SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

impl Algorithm {
    /// The word of an `otpauth` URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// The secret that a user's authenticator app and the service share. `Debug` does not show it.
///
/// ```
/// use doorwarden_core::factor::totp::{Algorithm, TotpSecret};
/// use doorwarden_core::time::Timestamp;
///
/// // RFC 6238, appendix B.
/// let secret = TotpSecret::imported(b"12345678901234567890", Algorithm::Sha1, 8, 30).ok_or("valid")?;
/// assert_eq!(secret.matching_step("94287082", Timestamp::from_seconds(59)), Some(1));
/// assert_eq!(secret.matching_step("94287083", Timestamp::from_seconds(59)), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpSecret {
    #[serde(rename = "secret")]
    base32: Zeroizing<String>,
    algorithm: Algorithm,
    digits: u32,
    period: i64,
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

impl TotpSecret {
    /// A new secret of 160 bits (RFC 4226, section 4, R6), with what every authenticator app understands:
    /// SHA-1, six digits, 30 seconds.
    pub fn new(random: &dyn RandomSource) -> Self {
        let bytes = Zeroizing::new(random.bytes::<20>());
        Self { base32: Zeroizing::new(base32(&*bytes)), algorithm: Algorithm::Sha1, digits: 6, period: 30 }
    }

    /// The secret of another system; `None` if it is shorter than 80 bits or longer than 1,024, has other
    /// than six to eight digits, or a period other than 15 to 120 seconds.
    pub fn imported(secret: &[u8], algorithm: Algorithm, digits: u32, period: i64) -> Option<Self> {
        let fits =
            (10..=128).contains(&secret.len()) && (6..=8).contains(&digits) && (15..=120).contains(&period);
        fits.then(|| Self { base32: Zeroizing::new(base32(secret)), algorithm, digits, period })
    }

    /// The secret in base32 (RFC 4648) without padding, to be typed into an app that cannot see the picture.
    pub fn expose(&self) -> &str {
        &self.base32
    }

    /// The step of an instant.
    pub fn step(&self, at: Timestamp) -> i64 {
        at.as_seconds().div_euclid(self.period)
    }

    /// How long a step takes, in seconds.
    pub fn period(&self) -> i64 {
        self.period
    }

    /// The code of a step.
    pub fn code(&self, step: i64) -> String {
        let secret = Zeroizing::new(unbase32(&self.base32).unwrap_or_default());
        let key = hmac::Key::new(self.algorithm.hmac(), &secret);
        let mac = hmac::sign(&key, &step.to_be_bytes());
        let mac = mac.as_ref();
        // Dynamic truncation (RFC 4226, section 5.3).
        let offset = usize::from(mac[mac.len() - 1] & 0xf);
        let number = u32::from_be_bytes([mac[offset], mac[offset + 1], mac[offset + 2], mac[offset + 3]])
            & 0x7fff_ffff;
        format!("{:0width$}", number % 10_u32.pow(self.digits), width = self.digits as usize)
    }

    /// The step that a typed code is of, among those that [`TOLERANCE`] allows now. Spaces and hyphens do not
    /// count.
    pub fn matching_step(&self, typed: &str, now: Timestamp) -> Option<i64> {
        let typed = self.digits_of(typed)?;
        self.find(&typed, self.step(now), TOLERANCE)
    }

    /// By how many seconds the clock of the device differs, if the code is of a step nearby that is not
    /// accepted: negative if the device is behind.
    pub fn skew(&self, typed: &str, now: Timestamp) -> Option<i64> {
        let typed = self.digits_of(typed)?;
        let present = self.step(now);
        let step = self.find(&typed, present, SKEW_SEARCH)?;
        Some((step - present) * self.period)
    }

    fn find(&self, typed: &str, present: i64, around: i64) -> Option<i64> {
        // Every step is compared, in constant time, so that the time does not tell which one it was.
        let mut found = None;
        for step in present.saturating_sub(around)..=present.saturating_add(around) {
            let is_equal: bool =
                subtle::ConstantTimeEq::ct_eq(self.code(step).as_bytes(), typed.as_bytes()).into();
            if is_equal {
                found = Some(step);
            }
        }
        found
    }

    fn digits_of(&self, typed: &str) -> Option<Zeroizing<String>> {
        let kept = |c: &char| !c.is_whitespace() && *c != '-';
        let digits: String = typed.chars().filter(kept).take(9).collect();
        let digits = Zeroizing::new(digits);
        let is_code =
            digits.len() == self.digits as usize && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then_some(digits)
    }

    /// The URI that authenticator apps read from a picture (Key URI Format):
    /// `otpauth://totp/ISSUER:ACCOUNT?…`.
    pub fn uri(&self, issuer: &str, account: &str) -> String {
        // A colon separates the two.
        let (issuer, account) = (issuer.replace(':', " "), account.replace(':', " "));
        let (issuer, account) = (percent(issuer.trim()), percent(account.trim()));
        let mut uri = format!("otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}", self.expose());
        if self.algorithm != Algorithm::Sha1 {
            uri.push_str("&algorithm=");
            uri.push_str(self.algorithm.as_str());
        }
        format!("{uri}&digits={}&period={}", self.digits, self.period)
    }
}

/// A picture of the text as a QR code, for a page: an SVG with a white margin, black whatever the colours of
/// the page are. `None` if the text is too long.
pub fn qr_svg(text: &str) -> Option<String> {
    const MARGIN: i32 = 4;
    let code = qrcodegen::QrCode::encode_text(text, qrcodegen::QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * MARGIN;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            write!(path, "M{},{}h1v1h-1z", x + MARGIN, y + MARGIN).expect("a string takes any text");
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

/// A picture of the text as a QR code, for a terminal that writes white on black: each line is two rows of
/// modules. `None` if the text is too long.
pub fn qr_blocks(text: &str) -> Option<String> {
    const MARGIN: i32 = 2;
    let code = qrcodegen::QrCode::encode_text(text, qrcodegen::QrCodeEcc::Low).ok()?;
    let places = -MARGIN..code.size() + MARGIN;
    let is_light = |x, y| !code.get_module(x, y);
    let mut picture = String::new();
    for y in places.clone().step_by(2) {
        for x in places.clone() {
            picture.push(match (is_light(x, y), is_light(x, y + 1)) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => ' ',
            });
        }
        picture.push('\n');
    }
    Some(picture)
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut five = [0; 8];
        five[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(five);
        for place in 0..(chunk.len() * 8).div_ceil(5) {
            let index = (bits >> (35 - 5 * place)) & 31;
            text.push(char::from(BASE32[usize::try_from(index).unwrap_or(0)]));
        }
    }
    text
}

/// The bytes of a text in base32, in any case, with or without padding, spaces and hyphens; `None` if it has
/// other characters.
pub fn unbase32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() * 5 / 8), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        let value = BASE32.iter().position(|known| *known == byte.to_ascii_uppercase())?;
        bits = (bits << 5 | u32::try_from(value).ok()?) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn percent(text: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@');
    let coded = |byte| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(coded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(plain.as_bytes()), coded);
            assert_eq!(unbase32(coded), Some(plain.as_bytes().to_vec()));
        }
        assert_eq!(unbase32("mzxw 6ytb-oi======"), Some(b"foobar".to_vec()));
        assert_eq!(unbase32("MZXW1"), None);
    }

    proptest! {
        #[test]
        fn any_secret_survives_base32(bytes: Vec<u8>) {
            prop_assert_eq!(unbase32(&base32(&bytes)), Some(bytes));
        }

        #[test]
        fn no_text_is_a_panic(text: String, at in any::<i64>()) {
            let secret = TotpSecret::imported(&[7; 20], Algorithm::Sha1, 6, 30).expect("fits");
            let _ = secret.skew(&text, Timestamp::from_micros(at));
            let _ = unbase32(&text);
        }
    }
}
