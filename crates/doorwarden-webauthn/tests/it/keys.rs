//! Public keys in the form of COSE.

use crate::craft::{ceremony, party};
use crate::craft::{credential, hex, stored, vector, vectors};
use doorwarden_testkit::authenticator::{Authenticator, byte_string, integer, map};
use doorwarden_webauthn::cbor::CborError;
use doorwarden_webauthn::{Algorithm, KeyError, PublicKey, Refusal, Requirement};

type Members = Vec<(Vec<u8>, Vec<u8>)>;

fn members(algorithm: Algorithm) -> Members {
    let (registration, _) = ceremony(&mut Authenticator::new(algorithm.cose()));
    let registered = registration.verify(&party(), Requirement::Preferred).unwrap();
    let cose = registered.public_key.as_cose();
    let doorwarden_webauthn::cbor::Value::Map(entries) =
        doorwarden_webauthn::cbor::Value::read(cose).unwrap()
    else {
        panic!("a key is a map")
    };
    let members = entries.iter().map(|(label, value)| {
        let value = value.as_bytes().map_or_else(|| integer(value.as_integer().unwrap()), byte_string);
        (integer(label.as_integer().unwrap()), value)
    });
    members.collect()
}

fn refused(members: &Members) -> KeyError {
    PublicKey::from_cose(&map(members)).unwrap_err()
}

/// The key with another value for a member.
fn with(algorithm: Algorithm, label: i64, value: &[u8]) -> Members {
    let mut members = members(algorithm);
    members.iter_mut().find(|(found, _)| *found == integer(label)).unwrap().1 = value.to_vec();
    members
}

#[test]
fn a_key_is_stored_as_it_was_read() {
    for algorithm in Algorithm::ALL {
        let cose = map(&members(algorithm));
        let key = PublicKey::from_cose(&cose).unwrap();
        assert_eq!((key.algorithm(), key.as_cose()), (algorithm, &cose[..]));
        assert_eq!(PublicKey::from_cose(key.as_cose()), Ok(key));
        assert_eq!(Algorithm::from_cose(algorithm.cose()), Some(algorithm));
    }
}

#[test]
fn a_key_has_exactly_its_members() {
    for algorithm in Algorithm::ALL {
        let whole = members(algorithm);
        for left_out in 0..whole.len() {
            let mut members = whole.clone();
            let (label, _) = members.remove(left_out);
            let error = refused(&members);
            assert!(
                matches!(error, KeyError::BadMember(number) if integer(number) == label),
                "{algorithm}: {error}"
            );
        }
        for further in [integer(4), integer(-4), byte_string(b"")] {
            let mut members = whole.clone();
            let at =
                members.iter().position(|(label, _)| (label[0] >> 5, label) > (further[0] >> 5, &further));
            members.insert(at.unwrap_or(whole.len()), (further, integer(1)));
            assert_eq!(refused(&members), KeyError::FurtherMembers, "{algorithm}");
        }
        for (label, value) in
            [(1, integer(4)), (3, byte_string(b"ES256")), (-1, integer(9)), (-2, integer(1))]
        {
            let error = refused(&with(algorithm, label, &value));
            assert!(matches!(error, KeyError::BadMember(_)), "{algorithm} {label}: {error}");
        }
    }
    assert_eq!(PublicKey::from_cose(&integer(1)), Err(KeyError::NotAMap));
    assert_eq!(PublicKey::from_cose(b""), Err(KeyError::Cbor(CborError::Truncated)));
}

#[test]
fn an_algorithm_belongs_to_one_kind_of_key() {
    for algorithm in Algorithm::ALL {
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            let error = refused(&with(algorithm, 3, &integer(other.cose())));
            assert!(matches!(error, KeyError::BadMember(_)), "{algorithm} as {other}: {error}");
        }
        for unknown in [-36, -37, -47, -53, -65535, 0, 5, i64::MIN, i64::MAX] {
            let error = refused(&with(algorithm, 3, &integer(unknown)));
            assert_eq!(error, KeyError::AlgorithmNotOffered(unknown));
        }
    }
}

#[test]
fn the_keys_of_the_nist_curves_are_points_of_them() {
    for (algorithm, length) in [(Algorithm::Es256, 32), (Algorithm::Es384, 48)] {
        for label in [-2, -3] {
            for wrong in [vec![0; length], vec![0xff; length]] {
                let error = refused(&with(algorithm, label, &byte_string(&wrong)));
                assert_eq!(error, KeyError::NotOnCurve, "{algorithm}");
            }
            for wrong in [length - 1, length + 1, 0] {
                let error = refused(&with(algorithm, label, &byte_string(&vec![1; wrong])));
                assert_eq!(error, KeyError::BadMember(label), "{algorithm}");
            }
        }
    }
    // A compressed point (RFC 9053, section 7.1.1) is not allowed (WebAuthn section 5.8.5).
    assert_eq!(refused(&with(Algorithm::Es256, -3, b"\xf5")), KeyError::BadMember(-3));
}

#[test]
fn what_is_no_point_of_ed25519_verifies_nothing() {
    let vector = vector("Packed Attestation with Ed25519 Credential");
    let registered = vector.registration.verify(&party(), Requirement::Preferred).unwrap();
    let good = stored(&registered);
    assert!(vector.authentication.verify(&party(), &good, Requirement::Preferred).is_ok());
    // y = 2 has no x.
    let x = hex(&format!("02{}", "00".repeat(31)));
    let bad = credential(&vector.registration.id, &map(&with(Algorithm::EdDsa, -2, &byte_string(&x))));
    let refused = vector.authentication.verify(&party(), &bad, Requirement::Preferred);
    assert_eq!(refused, Err(Refusal::BadSignature));
}

#[test]
fn rsa_has_2048_to_4096_bits_and_an_odd_exponent_from_65537() {
    let odd = |bytes: usize, first: u8| byte_string(&[&vec![first; 1][..], &vec![0xff; bytes - 1]].concat());
    let accepts = |label, value: &[u8]| PublicKey::from_cose(&map(&with(Algorithm::Rs256, label, value)));
    assert!(accepts(-1, &odd(256, 0x80)).is_ok());
    assert!(accepts(-1, &odd(512, 0xff)).is_ok());
    for weak in [odd(128, 0xff), odd(256, 0x7f), odd(255, 0xff), odd(513, 1), odd(1024, 0xff)] {
        assert_eq!(accepts(-1, &weak), Err(KeyError::WeakRsa));
    }
    assert_eq!(accepts(-1, &byte_string(&[0xfe; 256])), Err(KeyError::WeakRsa), "even");
    assert_eq!(accepts(-1, &odd(257, 0)), Err(KeyError::BadMember(-1)), "a leading zero");
    assert_eq!(accepts(-1, &byte_string(b"")), Err(KeyError::BadMember(-1)));
    assert!(accepts(-2, &byte_string(&[1, 0, 1])).is_ok());
    for weak in [&[1][..], &[3], &[17], &[1, 0, 0], &[0xff, 0xff], &[2, 0, 0, 0, 0, 1], &[0xff; 9]] {
        assert_eq!(accepts(-2, &byte_string(weak)), Err(KeyError::WeakRsa), "{weak:?}");
    }
}

#[test]
fn keys_are_equal_if_their_bytes_are() {
    let mut keys: Vec<PublicKey> = Vec::new();
    for vector in vectors() {
        let party = party().with_top_origins(["https://example.com"]).unwrap();
        if let Ok(registered) = vector.registration.verify(&party, Requirement::Preferred) {
            assert!(!keys.contains(&registered.public_key), "{}", vector.title);
            keys.push(registered.public_key);
        }
    }
    assert_eq!(keys.len(), 13);
}
