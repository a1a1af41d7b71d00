//! Checks whether the secret keys can be guessed.

use super::Report;
use crate::config::Config;
use doorwarden::core::token::SecretKey;
use std::collections::HashMap;

const CHECK: &str = "secret key";
const MAKE_ONE: &str = "generate a random one, for example with `od -An -N32 -tx1 /dev/urandom | tr -d ' \\n'`; keep the old one in \
                        `old_secret_keys` until its tokens have expired";

/// The minimum entropy of a secret key, in bits. Random letters and digits have more than four bits per
/// character.
const FEWEST_BITS: f64 = 90.0;

/// Words of example keys, in lower case.
const EXAMPLES: [&str; 8] =
    ["secret", "changeme", "change-me", "change_me", "password", "insecure", "example", "doorwarden"];

pub(super) fn check(config: &Config, report: &mut Report) {
    match (&config.secret_key, config.sqlite_path()) {
        (Some(key), _) => judge("the secret key", key, report),
        // The file beside the database has a random key; its permissions are checked with those of the other
        // files.
        (None, Some(_)) => {}
        (None, None) => report.error(CHECK, "there is no secret key, and PostgreSQL requires one", MAKE_ONE),
    }
    for (place, (key, _)) in config.old_secret_keys.iter().enumerate() {
        judge(&format!("old secret key {}", place + 1), key, report);
    }
}

/// Rates a key without revealing it.
pub(super) fn judge(name: &str, key: &str, report: &mut Report) {
    if let Err(error) = SecretKey::new(key.to_owned()) {
        return report.error(CHECK, format!("{name} is too short: {error}"), MAKE_ONE);
    }
    match weakness(key) {
        Some(weakness) => report.warning(CHECK, format!("{name} {weakness}"), MAKE_ONE),
        None => report.ok(CHECK, format!("{name} has {} bytes and looks random", key.len())),
    }
}

fn weakness(key: &str) -> Option<&'static str> {
    if key.starts_with("django-insecure-") {
        return Some("is the one that Django's `startproject` generated, which is for development only");
    }
    let lower = key.to_lowercase();
    if EXAMPLES.iter().any(|word| lower.contains(word)) {
        return Some("contains a word that is common in examples");
    }
    (entropy(without_repetition(key)) < FEWEST_BITS).then_some("is repetitive: it looks made up by a person")
}

/// The shortest prefix of which the text is a repetition.
fn without_repetition(text: &str) -> &str {
    let repeats = |end: &usize| text.starts_with(&text[*end..]);
    let end = text.char_indices().map(|(place, _)| place).skip(1).find(repeats);
    end.map_or(text, |end| &text[..end])
}

/// Upper bound of the text's entropy in bits, from its character frequencies (Shannon).
fn entropy(text: &str) -> f64 {
    let mut counts: HashMap<char, u32> = HashMap::new();
    for c in text.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let length = f64::from(counts.values().sum::<u32>());
    counts.into_values().map(f64::from).map(|n| -n * (n / length).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_pass_in_whatever_alphabet() {
        for key in [
            "8f3d1c0b9a7e64524d6f1e0c83b2a95711223c4de5f60a7b8c9d0e1f2a3b4c5d",
            "5f1c9e0a7d3b84621e7f90ac3d5b2846",
            "Zk8vQ2mX9pL4rT7wB1nY6cH3jF5sD0gA",
            "u&5k#s!z0q8^x2@w7$e1*v4(r9)t3-y6=p",
        ] {
            assert_eq!(weakness(key), None, "{key}");
        }
    }

    #[test]
    fn keys_of_examples_and_of_tired_people_are_found() {
        for key in [
            "django-insecure-8f3d1c0b9a7e64524d6f1e0c83b2a957",
            "please-Change-Me-8f3d1c0b9a7e64524d6f1e0c83",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "12341234123412341234123412341234123412341234",
            "Tr0ub4dor&3Tr0ub4dor&3Tr0ub4dor&3Tr0",
        ] {
            assert!(weakness(key).is_some(), "{key}");
        }
    }
}
