//! Malformed and hostile stored strings.

use crate::{cheap, verify};
use doorwarden_password::{Arena, Ceilings, HashSettings, Hasher, Password, PasswordHash, Verdict};
use proptest::prelude::*;

/// One valid hash of each format, cheap to compute, of the password "lètmein" or "secret".
const VALID: [&str; 9] = [
    "argon2$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
    "pbkdf2_sha256$1$NaCl0123456789abcdefgh$ms7jcgZI5VoBXsE6stbaww7C4h599588N64L4LLUzNI=",
    "pbkdf2_sha1$1000$NaCl0123456789abcdefgh$jAaZuBDpJzoL2qNIHwexnzPkZ7E=",
    "bcrypt_sha256$$2b$04$abcdefghijklmnopqrstuulyx/yrfLnuLCi6gwFG5mrkJjuQKpL6S",
    "bcrypt$$2b$04$abcdefghijklmnopqrstuuanVo7Xut1CH8VGIGlz1JovQh9GJbbtG",
    "scrypt$1024$NaCl0123456789abcdefgh$8$1$neXVE4VnalFdoSoEWKaoXcsAKTxzOIuy12HwcTP0KhvHtKiQtPRqZ/plFIEugEFhNWg0dt/iZkGtZhm58UAkog==",
    "md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3",
    "sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8",
    "88a434c88cca4e900f7874cd98123f43",
];

#[test]
fn strings_of_other_systems_are_refused() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../data/foreign_password_hashes.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 27);
    for case in cases {
        let encoded = case["encoded"].as_str().unwrap();
        for password in ["", "password", "plaintext", "my password", "secret-pw", encoded] {
            let expected = match encoded {
                "!" => Verdict::Unusable,
                // A form of Django's own.
                "md5$$5f4dcc3b5aa765d61d8327deb882cf99" if password == "password" => {
                    Verdict::Match { needs_rehash: true }
                }
                "md5$$5f4dcc3b5aa765d61d8327deb882cf99" => Verdict::NoMatch,
                _ => Verdict::Unreadable,
            };
            assert_eq!(verify(password, encoded), expected, "{encoded:?}");
        }
    }
}

#[test]
fn damaged_strings_are_unreadable() {
    for encoded in [
        "",
        "$",
        "plain",
        "argon2",
        "argon2$",
        "argon2$argon2id",
        "argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
        "argon2$argon2x$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=18$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=0,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=1,p=0$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=1,p=2$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=1,p=4294967295$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=4294967296,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$t=1,m=8,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=1,p=1,x=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=+8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdA$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$",
        "argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q$",
        "argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ=$YC9+jJCrQhs5R6db7LlN8Q==",
        "pbkdf2_sha256$0$salt$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=",
        "pbkdf2_sha256$01$salt$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=",
        "pbkdf2_sha256$ 1$salt$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=",
        "pbkdf2_sha256$4294967296$salt$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=",
        "pbkdf2_sha256$1$$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=",
        "pbkdf2_sha256$1$salt$",
        "pbkdf2_sha256$1$salt$jAaZuBDpJzoL2qNIHwexnzPkZ7E=",
        "bcrypt$$2b$03$abcdefghijklmnopqrstuuanVo7Xut1CH8VGIGlz1JovQh9GJbbtG",
        "bcrypt$$2b$32$abcdefghijklmnopqrstuuanVo7Xut1CH8VGIGlz1JovQh9GJbbtG",
        "bcrypt$$2b$04$abcdefghijklmnopqrstuuanVo7Xut1CH8VGIGlz1JovQh9GJbbté",
        "bcrypt$$2b$04$ébcdefghijklmnopqrstuanVo7Xut1CH8VGIGlz1JovQh9GJbbt",
        "bcrypt$2b$04$abcdefghijklmnopqrstuuanVo7Xut1CH8VGIGlz1JovQh9GJbbtG",
        "scrypt$1000$salt$8$1$neXVE4VnalFdoSoEWKaoXcsAKTxzOIuy12HwcTP0KhvHtKiQtPRqZ/plFIEugEFhNWg0dt/iZkGtZhm58UAkog==",
        "scrypt$1$salt$8$1$neXVE4VnalFdoSoEWKaoXcsAKTxzOIuy12HwcTP0KhvHtKiQtPRqZ/plFIEugEFhNWg0dt/iZkGtZhm58UAkog==",
        "scrypt$2$salt$4294967295$4294967295$neXVE4VnalFdoSoEWKaoXcsAKTxzOIuy12HwcTP0KhvHtKiQtPRqZ/plFIEugEFhNWg0dt/iZkGtZhm58UAkog==",
        "scrypt$1024$salt$0$1$neXVE4VnalFdoSoEWKaoXcsAKTxzOIuy12HwcTP0KhvHtKiQtPRqZ/plFIEugEFhNWg0dt/iZkGtZhm58UAkog==",
        "md5$seasalt$3F86D0D3D465B7B458C231BF3555C0E3",
        "md5$seasalt$+f86d0d3d465b7b458c231bf3555c0e3",
        "md5$seasalt$é86d0d3d465b7b458c231bf3555c0e3",
        "md5$$5F4DCC3B5AA765D61D8327DEB882CF99",
        "5F4DCC3B5AA765D61D8327DEB882CF99",
        "5f4dcc3b5aa765d61d8327deb882cf9é",
        "5f4dcc3b5aa765d61d8327deb882cf9",
        "sha1$seasalt$CFF36EA83F5706CE9AA7454E63E431FC726B2DC8",
        "sha1$seasalt$3f86d0d3d465b7b458c231bf3555c0e3",
        "sha1$$5f4dcc3b5aa765d61d8327deb882cf99",
        "sha1$cff36ea83f5706ce9aa7454e63e431fc726b2dc8",
        "cff36ea83f5706ce9aa7454e63e431fc726b2dc8",
    ] {
        for password in ["", "password", "lètmein", "secret"] {
            assert_eq!(verify(password, encoded), Verdict::Unreadable, "{encoded:?}");
        }
    }
    let endless =
        format!("pbkdf2_sha256$1${}$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=", "s".repeat(1 << 20));
    assert_eq!(verify("", &endless), Verdict::Unreadable);
}

#[test]
fn hashes_that_cost_too_much_are_not_computed() {
    let tag = "neXVE4VnalFdoSoEWKaoXcsAKTxzOIuy12HwcTP0KhvHtKiQtPRqZ/plFIEugEFhNWg0dt/iZkGtZhm58UAkog==";
    for encoded in [
        "argon2$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "argon2$argon2id$v=19$m=8,t=17,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        "pbkdf2_sha256$10000001$salt$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=",
        "pbkdf2_sha1$4294967295$salt$jAaZuBDpJzoL2qNIHwexnzPkZ7E=",
        "bcrypt$$2b$17$abcdefghijklmnopqrstuuanVo7Xut1CH8VGIGlz1JovQh9GJbbtG",
        "bcrypt_sha256$$2b$31$abcdefghijklmnopqrstuuanVo7Xut1CH8VGIGlz1JovQh9GJbbtG",
        &format!("scrypt$262144$salt$8$1${tag}"),
        // Little memory for N, but r·p blocks before and after.
        &format!("scrypt$2$salt$1048576$15${tag}"),
        &format!("scrypt$1024$salt$8$17${tag}"),
    ] {
        assert_eq!(verify("password", encoded), Verdict::TooExpensive, "{encoded:?}");
    }
}

#[test]
fn the_operator_chooses_the_ceilings() {
    let mut ceilings = Ceilings::default();
    (ceilings.pbkdf2_iterations, ceilings.bcrypt_cost) = (999, 3);
    let hasher = Hasher::new(HashSettings::insecure_for_tests(), ceilings).unwrap();
    for encoded in [VALID[2], VALID[3], VALID[4]] {
        let hash = PasswordHash::from_stored(encoded.to_owned());
        let verdict = hasher.verify(&Password::new("lètmein"), &hash, &mut Arena::new());
        assert_eq!(verdict, Verdict::TooExpensive, "{encoded:?}");
    }
}

#[test]
fn valid_hashes_verify() {
    for encoded in VALID {
        let password = if encoded.starts_with("argon2") { "secret" } else { "lètmein" };
        assert_eq!(verify(password, encoded), Verdict::Match { needs_rehash: true }, "{encoded}");
    }
}

/// Strings that are almost right: a valid one with a few characters replaced, inserted or removed. Costs stay
/// low, because digits change to 0 and 1 only.
fn almost_valid() -> impl Strategy<Value = String> {
    let edit = (
        any::<prop::sample::Index>(),
        0..3,
        prop_oneof![Just('$'), Just('é'), Just('0'), Just('='), Just('A'), Just(',')],
    );
    (prop::sample::select(VALID.to_vec()), prop::collection::vec(edit, 1..4)).prop_map(|(valid, edits)| {
        let mut chars: Vec<char> = valid.chars().collect();
        for (at, kind, c) in edits {
            let at = at.index(chars.len());
            match kind {
                0 => chars[at] = c,
                1 if c != '0' => chars.insert(at, c),
                _ => drop(chars.remove(at)),
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn any_string_has_a_verdict(encoded: String, password: String) {
        let verdict = verify(&password, &encoded);
        let expected = if encoded.starts_with('!') { Verdict::Unusable } else { Verdict::Unreadable };
        prop_assert_eq!(verdict, expected);
    }

    #[test]
    fn any_string_behind_a_known_name_has_a_verdict(
        name in "(argon2|pbkdf2_sha256|pbkdf2_sha1|bcrypt|bcrypt_sha256|scrypt|md5|sha1)\\$(argon2(id|i|d))?\\$?",
        rest in "[!-~é$=,0-9]{0,80}",
    ) {
        let verdict = verify("password", &format!("{name}{rest}"));
        let refused = matches!(verdict, Verdict::NoMatch | Verdict::Unreadable | Verdict::TooExpensive);
        prop_assert!(refused, "{:?}", verdict);
    }

    #[test]
    fn almost_valid_strings_have_a_verdict(encoded in almost_valid(), password: String) {
        let hash = PasswordHash::from_stored(encoded);
        let verdict = cheap().verify(&Password::new(password), &hash, &mut Arena::new());
        prop_assert_ne!(verdict, Verdict::Unusable);
    }
}
