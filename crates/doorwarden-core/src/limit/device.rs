//! Marks of devices. Whoever has logged in on a device gets a mark for it, which proves nothing but that: a
//! password that is tried with it counts apart from those that strangers try.

use crate::time::Timestamp;
use crate::token::{SecretKey, base64url};
use crate::user::UserId;
use aws_lc_rs::hmac;
use std::fmt;
use std::time::Duration;

/// A device, as one account knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceId(pub [u8; 16]);

/// A new mark, `dwd_…`. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceMark(String);

impl DeviceMark {
    /// For how long a mark is good. Each login gives a new one.
    pub const LIFETIME: Duration = Duration::from_hours(400 * 24);

    /// The text that goes to the client.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a text is an earlier mark of the same device and account.
    pub fn is_of_same_device(&self, text: &str) -> bool {
        let said = |text: &str| text.get(..PREFIX.len() + (ID + USER) * 4 / 3).map(str::to_owned);
        said(&self.0) == said(text)
    }
}

impl fmt::Debug for DeviceMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceMark(..)")
    }
}

/// The marks that a client sent: one, or several separated by `.`, the newest first. `Debug` does not show
/// them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SentMarks(String);

impl SentMarks {
    /// How many of them are read, and how many a browser should keep: as many accounts may share a device.
    pub const MOST: usize = 5;

    /// These marks.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Those that were sent, at most [`MOST`](Self::MOST).
    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split('.').map(str::trim).filter(|mark| !mark.is_empty()).take(Self::MOST)
    }
}

impl fmt::Debug for SentMarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentMarks(..)")
    }
}

const PREFIX: &str = "dwd_";
const ID: usize = 16;
const USER: usize = 8;
const DAY: usize = 4;
const MAC: usize = 16;

/// The key of the marks. `Debug` does not show it.
pub(crate) struct DeviceKey {
    newest: hmac::Key,
    old: Vec<hmac::Key>,
}

impl DeviceKey {
    /// Derived from the secret key; marks of the old ones stay good.
    pub(crate) fn new(secret: &SecretKey, old: &[SecretKey]) -> Self {
        let derive = |secret: &SecretKey| {
            hmac::Key::new(hmac::HMAC_SHA256, &*secret.derive("doorwarden device mark v1"))
        };
        Self { newest: derive(secret), old: old.iter().map(derive).collect() }
    }

    /// A mark for a device on which this user has logged in. It is a new device to every other account.
    pub(crate) fn mark(&self, device: DeviceId, user: UserId, now: Timestamp) -> DeviceMark {
        let mut bytes = [0; ID + USER + DAY + MAC];
        let (said, mac) = bytes.split_at_mut(ID + USER + DAY);
        said[..ID].copy_from_slice(&device.0);
        said[ID..ID + USER].copy_from_slice(&user.0.to_be_bytes());
        said[ID + USER..].copy_from_slice(&day(now).to_be_bytes());
        mac.copy_from_slice(&hmac::sign(&self.newest, said).as_ref()[..MAC]);
        DeviceMark(format!("{PREFIX}{}", base64url::encode(&bytes)))
    }

    /// The device of which one of these marks is, if this account knows it.
    pub(crate) fn device(&self, sent: &SentMarks, user: UserId, now: Timestamp) -> Option<DeviceId> {
        sent.iter().find_map(|mark| {
            let bytes: [u8; ID + USER + DAY + MAC] =
                base64url::decode_array(mark.strip_prefix(PREFIX)?.as_bytes())?;
            let (said, mac) = bytes.split_at(ID + USER + DAY);
            let is_ours = [&self.newest].into_iter().chain(&self.old).any(|key| {
                aws_lc_rs::constant_time::verify_slices_are_equal(&hmac::sign(key, said).as_ref()[..MAC], mac)
                    .is_ok()
            });
            let since = u32::from_be_bytes(said[ID + USER..].try_into().ok()?);
            let days = u32::try_from(DeviceMark::LIFETIME.as_secs() / 86_400).ok()?;
            let is_fresh = day(now).saturating_sub(since) <= days;
            let is_theirs = said[ID..ID + USER] == user.0.to_be_bytes();
            (is_ours && is_fresh && is_theirs).then(|| said[..ID].try_into().ok().map(DeviceId))?
        })
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(..)")
    }
}

/// Days since 1970.
fn day(now: Timestamp) -> u32 {
    u32::try_from(now.as_seconds() / 86_400).unwrap_or(0)
}
