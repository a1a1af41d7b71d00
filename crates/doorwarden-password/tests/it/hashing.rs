//! New hashes.

use crate::{cheap, verify};
use doorwarden_password::{
    Arena, Ceilings, HashPool, HashSettings, HashSettingsError, Hasher, Password, PasswordHash, PoolSettings,
    Verdict,
};
use proptest::prelude::*;

#[test]
fn the_default_hash_is_what_owasp_asks_for_and_django_reads() {
    let hasher = Hasher::new(HashSettings::default(), Ceilings::default()).unwrap();
    let mut arena = Arena::new();
    let password = Password::new("lètmein");
    let hash = hasher.hash(&password, *b"0123456789abcdef", &mut arena);
    // `argon2.PasswordHasher().verify` of argon2-cffi 25.1.0 and Django 5.2.19's `check_password` accept this
    // string.
    assert_eq!(
        hash.as_str(),
        "argon2$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$4DTDyHuJ0mOJsShuLIusxDoKCTxG2p+QzdRoLa6kems"
    );
    assert_eq!(hasher.verify(&password, &hash, &mut arena), Verdict::Match { needs_rehash: false });
    assert_eq!(hasher.verify(&Password::new("letmein"), &hash, &mut arena), Verdict::NoMatch);
    assert_eq!(arena.held_kib(), 19_456);
    assert_eq!(arena.filled_kib(), 3 * 2 * 19_456);
}

#[test]
fn reused_memory_changes_nothing() {
    let mut arena = Arena::new();
    let first = cheap().hash(&Password::new("first"), [1; 16], &mut arena);
    let fresh = cheap().hash(&Password::new("second"), [2; 16], &mut Arena::new());
    assert_eq!(cheap().hash(&Password::new("second"), [2; 16], &mut arena), fresh);
    assert_eq!(cheap().hash(&Password::new("first"), [1; 16], &mut arena), first);
}

#[test]
fn a_password_matches_exactly_as_typed() {
    let mut arena = Arena::new();
    let long = "x".repeat(72);
    for (password, others) in [
        ("Secret", vec!["secret", " Secret", "Secret ", "Secret\0", "Secret\0Secret", ""]),
        // Composed and decomposed, full width and plain: other characters, other passwords.
        ("é", vec!["e\u{301}", "e"]),
        ("ﬀ１", vec!["ff1"]),
        (&format!("{long}y"), vec![&long[..], &long[1..]]),
    ] {
        let hash = cheap().hash(&Password::new(password), [1; 16], &mut arena);
        assert!(matches!(cheap().verify(&Password::new(password), &hash, &mut arena), Verdict::Match { .. }));
        for other in others {
            assert_eq!(
                cheap().verify(&Password::new(other), &hash, &mut arena),
                Verdict::NoMatch,
                "{other:?}"
            );
        }
    }
}

/// bcrypt uses only 72 bytes, as it did when Django stored the hash; with SHA-256 before it, every byte
/// matters.
#[test]
fn bcrypt_uses_72_bytes_and_no_nul() {
    let stored = "bcrypt$$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq";
    assert_eq!(verify("", stored), Verdict::Match { needs_rehash: true });
    assert_eq!(verify("\0", stored), Verdict::NoMatch);
    assert_eq!(verify("\0\0", stored), Verdict::NoMatch);

    let of_72 = "bcrypt$$2b$04$abcdefghijklmnopqrstuuBzzIgyKkz7xMWYSzkIjUSnxEQFQ0WNe";
    let a = "a".repeat(72);
    assert_eq!(verify(&a, of_72), Verdict::Match { needs_rehash: true });
    assert_eq!(verify(&format!("{a}x"), of_72), Verdict::Match { needs_rehash: true });
    assert_eq!(verify(&a[1..], of_72), Verdict::NoMatch);
    let behind_sha256 = "bcrypt_sha256$$2b$04$abcdefghijklmnopqrstuueiVbI.1LvrYtsLQbqPc9PgSpTKLmESm";
    assert_eq!(verify(&a, behind_sha256), Verdict::Match { needs_rehash: true });
    assert_eq!(verify(&format!("{a}x"), behind_sha256), Verdict::NoMatch);
}

#[test]
fn unusable_is_an_exclamation_mark_and_forty_characters() {
    let mut random = [0; 40];
    random.iter_mut().zip((0..=255).step_by(6)).for_each(|(byte, value)| *byte = value);
    let hash = PasswordHash::unusable(random);
    let (mark, suffix) = hash.as_str().split_at(1);
    assert_eq!((mark, suffix.len()), ("!", 40));
    assert!(suffix.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_ne!(hash, PasswordHash::unusable([1; 40]));
    assert!(!hash.is_usable());
    assert_eq!(verify("", hash.as_str()), Verdict::Unusable);
    assert_eq!(verify(hash.as_str(), hash.as_str()), Verdict::Unusable);
}

#[test]
fn hashes_above_the_ceilings_are_not_made() {
    let mut ceilings = Ceilings::default();
    (ceilings.argon2_memory_kib, ceilings.argon2_iterations) = (19_456, 2);
    assert!(Hasher::new(HashSettings::default(), ceilings).is_ok());
    for settings in [HashSettings::new(19_457, 2, 1), HashSettings::new(19_456, 3, 1)] {
        assert!(matches!(
            Hasher::new(settings.unwrap(), ceilings),
            Err(HashSettingsError::AboveCeilings { .. })
        ));
    }
}

#[test]
fn debug_shows_no_secret() {
    let password = Password::new("hunter2");
    let hash = cheap().hash(&password, *b"saltsaltsaltsalt", &mut Arena::new());
    assert_eq!(format!("{password:?} {hash:?}"), "Password(..) PasswordHash(argon2, ..)");
}

#[tokio::test]
async fn the_pool_computes_the_same() {
    let mut settings = PoolSettings::default();
    settings.threads = 2;
    let pool = HashPool::start(settings, cheap(), [9; 48]).unwrap();
    let password = Password::new("correct horse");
    let hash = pool.hash(&password, [4; 16]).await.unwrap();
    assert_eq!(hash, cheap().hash(&password, [4; 16], &mut Arena::new()));
    assert_eq!(pool.verify(&password, &hash).await, Ok(Verdict::Match { needs_rehash: false }));
    assert_eq!(pool.verify(&Password::new("wrong"), &hash).await, Ok(Verdict::NoMatch));
    assert_eq!(pool.verify_dummy(&password).await, Ok(()));
    let rendered = format!("{pool:?}");
    assert!(!rendered.contains("correct horse") && !rendered.contains("argon2$"));
}

proptest! {
    #[test]
    fn any_password_round_trips(password: String, other: String, salt: [u8; 16]) {
        let (hasher, mut arena) = (cheap(), Arena::new());
        let hash = hasher.hash(&Password::new(&*password), salt, &mut arena);
        let stored = PasswordHash::from_stored(hash.as_str().to_owned());
        prop_assert!(hasher.is_current(&stored));
        let verdict = hasher.verify(&Password::new(&*password), &stored, &mut arena);
        prop_assert_eq!(verdict, Verdict::Match { needs_rehash: false });
        let verdict = hasher.verify(&Password::new(&*other), &stored, &mut arena);
        prop_assert_eq!(verdict == Verdict::NoMatch, password != other);
    }
}
