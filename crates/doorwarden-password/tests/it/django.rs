//! Django's own hashes.

use crate::{cheap, verify};
use doorwarden_password::{Algorithm, Ceilings, HashSettings, Hasher, PasswordHash, Verdict};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/django_hashers.json")).unwrap()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

#[test]
fn every_format_verifies() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 51);
    // Some are expensive: two threads share the cases.
    std::thread::scope(|scope| {
        for first in 0..2 {
            scope.spawn(move || cases.iter().skip(first).step_by(2).for_each(verifies));
        }
    });
}

fn verifies(case: &Value) {
    let (id, encoded) = (&case["id"], case["encoded"].as_str().unwrap());
    let algorithm = PasswordHash::from_stored(encoded.to_owned()).algorithm();
    assert_eq!(algorithm.as_str(), case["algorithm"].as_str().unwrap());
    for password in texts(&case["verify_true"]) {
        assert_eq!(verify(password, encoded), Verdict::Match { needs_rehash: true }, "{id} {password:?}");
    }
    for password in texts(&case["verify_false"]) {
        assert_eq!(verify(password, encoded), Verdict::NoMatch, "{id} {password:?}");
    }
}

#[test]
fn algorithms_are_recognised() {
    let vectors = vectors();
    for case in vectors["identify"].as_array().unwrap() {
        let encoded = case["encoded"].as_str().unwrap();
        let hash = PasswordHash::from_stored(encoded.to_owned());
        match case["algorithm"].as_str() {
            Some(name) => assert_eq!(hash.algorithm().as_str(), name),
            None if encoded.starts_with('!') => assert_eq!(hash.algorithm(), Algorithm::Unusable),
            // Newer releases no longer support it.
            None if encoded.len() == 32 => assert_eq!(hash.algorithm(), Algorithm::UnsaltedMd5),
            None => assert_eq!(hash.algorithm(), Algorithm::Unknown, "{encoded:?}"),
        }
    }
    for case in vectors["is_password_usable"].as_array().unwrap() {
        let Some(encoded) = case["encoded"].as_str() else { continue };
        let hash = PasswordHash::from_stored(encoded.to_owned());
        assert_eq!(hash.is_usable(), case["is_password_usable"].as_bool().unwrap(), "{encoded:?}");
    }
}

/// A hash of Django is current only where the operator chose exactly its cost.
#[test]
fn a_hash_that_differs_in_any_way_is_replaced() {
    let stored = |encoded: &str| PasswordHash::from_stored(encoded.to_owned());
    for case in vectors()["must_update"].as_array().unwrap() {
        assert!(!cheap().is_current(&stored(case["encoded"].as_str().unwrap())));
    }
    let hasher = |memory_kib, iterations, parallelism| {
        let settings = HashSettings::new(memory_kib, iterations, parallelism).unwrap();
        Hasher::new(settings, Ceilings::default()).unwrap()
    };
    // 16 bytes of salt, 32 of tag.
    let tail = "MDEyMzQ1Njc4OWFiY2RlZg$488sQdx0VlPTihdqnjbdtB5tGJkRlm1oFouL+IjRJvs";
    let django = stored(&format!("argon2$argon2id$v=19$m=102400,t=2,p=8${tail}"));
    assert!(hasher(102_400, 2, 8).is_current(&django));
    assert!(!hasher(102_400, 2, 4).is_current(&django));
    assert!(!hasher(102_400, 3, 8).is_current(&django));
    assert!(!hasher(51_200, 2, 8).is_current(&django));
    for other in [
        format!("argon2$argon2i$v=19$m=102400,t=2,p=8${tail}"),
        format!("argon2$argon2d$v=19$m=102400,t=2,p=8${tail}"),
        format!("argon2$argon2id$v=16$m=102400,t=2,p=8${tail}"),
        format!("argon2$argon2id$m=102400,t=2,p=8${tail}"),
        // Django's own salt has 22 bytes; a tag of 16 bytes.
        "argon2$argon2id$v=19$m=102400,t=2,p=8$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$488sQdx0VlPTihdqnjbdtB5tGJkRlm1oFouL+IjRJvs".to_owned(),
        "argon2$argon2id$v=19$m=102400,t=2,p=8$MDEyMzQ1Njc4OWFiY2RlZg$YC9+jJCrQhs5R6db7LlN8Q".to_owned(),
    ] {
        assert!(!hasher(102_400, 2, 8).is_current(&stored(&other)), "{other}");
    }
}

/// Formats that Django supported before 5.1, as its old releases wrote `lètmein`.
#[test]
fn formats_that_django_removed_verify() {
    for (encoded, name) in [
        ("sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8", "sha1"),
        ("md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3", "md5"),
        ("sha1$$6d138ca3ae545631b3abd71a4f076ce759c5700b", "unsalted_sha1"),
        ("md5$$88a434c88cca4e900f7874cd98123f43", "unsalted_md5"),
        ("88a434c88cca4e900f7874cd98123f43", "unsalted_md5"),
    ] {
        assert_eq!(PasswordHash::from_stored(encoded.to_owned()).algorithm().as_str(), name);
        assert_eq!(verify("lètmein", encoded), Verdict::Match { needs_rehash: true }, "{encoded}");
        for wrong in ["", "letmein", "lètmein ", "seasaltlètmein"] {
            assert_eq!(verify(wrong, encoded), Verdict::NoMatch, "{encoded} {wrong:?}");
        }
    }
}

/// An import reports it for every account.
#[test]
fn a_hash_that_no_password_matches_is_known_without_one() {
    let can = |encoded: &str| cheap().can_verify(&PasswordHash::from_stored(encoded.to_owned()));
    assert_eq!(can("sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8"), Ok(()));
    assert_eq!(can("!"), Err(Verdict::Unusable));
    for unreadable in ["crypt$$ab1Hv2Lg7ltQo", "crypt$ab$ab1Hv2Lg7ltQo", "", "letmein", "sha1$seasalt$cff36e"]
    {
        assert_eq!(can(unreadable), Err(Verdict::Unreadable), "{unreadable}");
    }
    assert_eq!(
        can("pbkdf2_sha256$10000001$salt$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8="),
        Err(Verdict::TooExpensive)
    );
}
