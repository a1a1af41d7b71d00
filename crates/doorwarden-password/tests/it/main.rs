//! What the crate promises, seen from outside.

#![expect(clippy::unwrap_used, reason = "the lint excepts test functions, but not what they share")]

mod breached;
mod django;
mod hashing;
mod hostile;
mod strength;

use doorwarden_password::{Arena, Ceilings, HashSettings, Hasher, Password, PasswordHash, Verdict};

/// A hasher whose own hashes are as cheap as possible.
fn cheap() -> Hasher {
    Hasher::new(HashSettings::insecure_for_tests(), Ceilings::default()).unwrap()
}

fn verify(password: &str, encoded: &str) -> Verdict {
    let hash = PasswordHash::from_stored(encoded.to_owned());
    cheap().verify(&Password::new(password), &hash, &mut Arena::new())
}
