//! Changes of valid ceremonies: each is refused, with its reason, and none panics.

use crate::craft::{Registration, Vector, ceremony, hex, party, stored, user, vector, vectors};
use doorwarden_testkit::authenticator::{Authenticator, byte_string, integer, map, text};
use doorwarden_webauthn::authenticator_data::AuthenticatorDataError;
use doorwarden_webauthn::cbor::CborError;
use doorwarden_webauthn::client_data::ClientDataError;
use doorwarden_webauthn::{
    Challenge, KeyError, Refusal, Registered, RelyingParty, Requirement, StoredCredential,
};
use proptest::prelude::*;
use std::slice::from_ref;

/// Accepts what is in frames too.
fn lenient() -> RelyingParty {
    party().with_top_origins(["https://example.com"]).unwrap()
}

fn register(registration: &Registration) -> Result<Registered, Refusal> {
    registration.verify(&lenient(), Requirement::Discouraged)
}

/// The ceremonies of the W3C that are accepted, with their credentials.
fn accepted() -> Vec<(Vector, StoredCredential)> {
    let registered = |vector: Vector| Some((stored(&register(&vector.registration).ok()?), vector));
    let accepted: Vec<_> = vectors().into_iter().filter_map(registered).collect();
    assert_eq!(accepted.len(), 13);
    accepted.into_iter().map(|(credential, vector)| (vector, credential)).collect()
}

#[test]
fn every_bit_of_an_authentication_is_signed() {
    for (vector, credential) in accepted() {
        let verify = |change: &dyn Fn(&mut crate::craft::Authentication)| {
            let mut changed = vector.authentication.clone();
            change(&mut changed);
            changed.verify(&lenient(), &credential, Requirement::Discouraged)
        };
        assert!(verify(&|_| ()).is_ok());
        let data = &vector.authentication.data;
        for bit in 0..data.len() * 8 {
            let refused = verify(&|changed| changed.data[bit / 8] ^= 1 << (bit % 8)).unwrap_err();
            match bit / 8 {
                0..32 => assert_eq!(refused, Refusal::WrongRelyingParty, "{} bit {bit}", vector.title),
                32 => assert!(
                    matches!(
                        (bit % 8, &refused),
                        (0, Refusal::UserNotPresent)
                            | (1 | 2 | 5, Refusal::BadSignature)
                            | (3 | 4, Refusal::BadSignature | Refusal::AuthenticatorData(_))
                            | (6 | 7, Refusal::AuthenticatorData(_))
                    ),
                    "{} flag {}: {refused}",
                    vector.title,
                    bit % 8
                ),
                _ => assert_eq!(refused, Refusal::BadSignature, "{} bit {bit}", vector.title),
            }
        }
        for byte in 0..vector.authentication.signature.len() {
            for change in [1, 0x80, 0xff] {
                let refused = verify(&|changed| changed.signature[byte] ^= change);
                assert_eq!(refused, Err(Refusal::BadSignature), "{} byte {byte}", vector.title);
            }
        }
        for length in 0..vector.authentication.signature.len() {
            let refused = verify(&|changed| changed.signature.truncate(length));
            assert_eq!(refused, Err(Refusal::BadSignature), "{} length {length}", vector.title);
        }
        for length in 0..data.len() {
            let refused = verify(&|changed| changed.data.truncate(length)).unwrap_err();
            assert_eq!(refused, Refusal::AuthenticatorData(AuthenticatorDataError::Truncated), "{length}");
        }
        let refused = verify(&|changed| changed.data.push(0)).unwrap_err();
        assert_eq!(refused, Refusal::AuthenticatorData(AuthenticatorDataError::Trailing));
        for byte in 0..vector.authentication.client_data.len() {
            let refused = verify(&|changed| changed.client_data[byte] ^= 1);
            assert!(refused.is_err(), "{} byte {byte} of the client data", vector.title);
        }
    }
}

#[test]
fn a_registration_is_refused_wherever_it_ends() {
    for (vector, _) in accepted() {
        for length in 0..vector.registration.object.len() {
            let mut changed = vector.registration.clone();
            changed.object.truncate(length);
            let refused = register(&changed).unwrap_err();
            assert_eq!(
                refused,
                Refusal::AttestationObject(CborError::Truncated),
                "{}: {length}",
                vector.title
            );
        }
        let mut changed = vector.registration.clone();
        changed.object.push(0);
        let refused = register(&changed).unwrap_err();
        assert_eq!(refused, Refusal::AttestationObject(CborError::Trailing), "{}", vector.title);
    }
}

/// Without an attestation nothing of a registration is signed: what matters is refused, and the rest
/// reported.
#[test]
fn every_bit_of_the_beginning_of_a_registration_matters() {
    for (vector, _) in accepted() {
        let start = vector.registration.data_start();
        let before = register(&vector.registration).unwrap();
        let self_attested = before.attestation == doorwarden_webauthn::Attestation::SelfAttested;
        for bit in 0..37 * 8 {
            let mut changed = vector.registration.clone();
            changed.object[start + bit / 8] ^= 1 << (bit % 8);
            let result = register(&changed);
            match (bit / 8, bit % 8) {
                (0..32, _) => assert_eq!(result, Err(Refusal::WrongRelyingParty), "{}", vector.title),
                (32, 0) => assert_eq!(result, Err(Refusal::UserNotPresent), "{}", vector.title),
                (32, 6 | 7) => {
                    assert!(
                        matches!(result, Err(Refusal::AuthenticatorData(_))),
                        "{}: {result:?}",
                        vector.title
                    );
                }
                _ if self_attested => assert!(result.is_err(), "{} bit {bit}", vector.title),
                (32, 1 | 5) => assert_eq!(result.as_ref(), Ok(&before), "reserved"),
                (32, 2) => assert_eq!(result.unwrap().user_verified, !before.user_verified),
                (32, 3) if before.backed_up => assert!(result.is_err()),
                (32, 3) => assert_eq!(result.unwrap().backup_eligible, !before.backup_eligible),
                (32, 4) if !before.backup_eligible => assert!(result.is_err()),
                (32, 4) => assert_eq!(result.unwrap().backed_up, !before.backed_up),
                _ => assert_ne!(result.unwrap().sign_count, before.sign_count),
            }
        }
    }
}

#[test]
fn a_change_of_any_byte_of_an_attestation_object_never_panics() {
    for (vector, _) in accepted() {
        for byte in 0..vector.registration.object.len() {
            let mut changed = vector.registration.clone();
            changed.object[byte] ^= [1, 0x20, 0x80, 0xff][byte % 4];
            if let Ok(registered) = register(&changed) {
                assert_eq!(registered.credential_id.as_bytes(), vector.registration.id);
            }
        }
    }
}

#[test]
fn the_context_of_a_ceremony_is_checked() {
    let vector = vector("ES256 Credential with No Attestation");
    let credential = stored(&register(&vector.registration).unwrap());
    let registration = |from: &str, to: &str| {
        let mut changed = vector.registration.clone();
        let text = String::from_utf8(changed.client_data).unwrap();
        assert!(text.contains(from));
        changed.client_data = text.replacen(from, to, 1).into_bytes();
        register(&changed).unwrap_err()
    };
    let authentication = |from: &str, to: &str| {
        let mut changed = vector.authentication.clone();
        let text = String::from_utf8(changed.client_data).unwrap();
        assert!(text.contains(from));
        changed.client_data = text.replacen(from, to, 1).into_bytes();
        changed.verify(&party(), &credential, Requirement::Discouraged).unwrap_err()
    };
    let get = Refusal::WrongCeremony("webauthn.get".into());
    assert_eq!(registration("webauthn.create", "webauthn.get"), get);
    let create = Refusal::WrongCeremony("webauthn.create".into());
    assert_eq!(authentication("webauthn.get", "webauthn.create"), create);
    let evil = "https://example.org.evil.example";
    assert_eq!(registration("https://example.org", evil), Refusal::WrongOrigin(evil.into()));
    assert_eq!(authentication("https://example.org", evil), Refusal::WrongOrigin(evil.into()));
    let duplicate = Refusal::ClientData(ClientDataError::DuplicateMember("origin".into()));
    assert_eq!(registration("{", "{\"origin\":\"https://evil.example\","), duplicate);
    assert_eq!(authentication("{", "{\"origin\":\"https://evil.example\","), duplicate);
    let malformed = Refusal::ClientData(ClientDataError::Malformed("crossOrigin"));
    assert_eq!(registration("false", "\"yes\""), malformed);
    assert_eq!(authentication("false", "\"yes\""), malformed);
    // What the bytes mean is the same, but they are not those that were signed.
    assert_eq!(authentication("{", "\u{feff}{"), Refusal::BadSignature);
    assert_eq!(authentication("{", "{ "), Refusal::BadSignature);

    let mut other = vector.registration.clone();
    other.challenge[0] ^= 1;
    assert_eq!(register(&other).unwrap_err(), Refusal::WrongChallenge);
    let mut other = vector.authentication.clone();
    other.challenge.truncate(31);
    let refused = other.verify(&party(), &credential, Requirement::Discouraged);
    assert_eq!(refused, Err(Refusal::WrongChallenge));
    let elsewhere = RelyingParty::new("org.example", "Other", ["https://org.example"]).unwrap();
    let elsewhere = elsewhere.with_related_origins(["https://example.org"]).unwrap();
    let refused = vector.authentication.verify(&elsewhere, &credential, Requirement::Discouraged);
    assert_eq!(refused, Err(Refusal::WrongRelyingParty));
}

/// An attestation object with authenticator data whose parts a test can change.
struct Crafted {
    flags: u8,
    id_length: u16,
    id: Vec<u8>,
    cose: Vec<u8>,
    after: Vec<u8>,
    format: Vec<u8>,
    statement: Vec<u8>,
}

impl Crafted {
    fn new() -> Self {
        let (registration, _) = ceremony(&mut Authenticator::new(-7));
        let cose = register(&registration).unwrap().public_key.as_cose().to_vec();
        Self {
            flags: 0x41,
            id_length: 4,
            id: vec![9; 4],
            cose,
            after: vec![],
            format: text("none"),
            statement: map(&[]),
        }
    }

    fn data(&self) -> Vec<u8> {
        let party = lenient();
        let head = [&party.id_hash()[..], &[self.flags], &[0; 4], &[0; 16], &self.id_length.to_be_bytes()];
        [&head.concat()[..], &self.id, &self.cose, &self.after].concat()
    }

    fn object(&self) -> Vec<u8> {
        map(&[
            (text("fmt"), self.format.clone()),
            (text("attStmt"), self.statement.clone()),
            (text("authData"), byte_string(&self.data())),
        ])
    }

    fn register_object(&self, object: Vec<u8>) -> Result<Registered, Refusal> {
        let challenge = Challenge::new([1; 16]).unwrap();
        let client_data = format!(
            r#"{{"type":"webauthn.create","challenge":"{}","origin":"https://example.org"}}"#,
            challenge.to_base64url()
        );
        let id = if self.id.is_empty() { vec![1] } else { self.id[..self.id.len().min(1023)].to_vec() };
        register(&Registration {
            challenge: challenge.as_bytes().to_vec(),
            id,
            client_data: client_data.into_bytes(),
            object,
        })
    }

    fn register(&self) -> Result<Registered, Refusal> {
        self.register_object(self.object())
    }

    /// Why it is refused with this change.
    fn refused(change: impl FnOnce(&mut Self)) -> Refusal {
        let mut crafted = Self::new();
        assert!(crafted.register().is_ok());
        change(&mut crafted);
        crafted.register().unwrap_err()
    }
}

#[test]
fn credential_ids_have_1_to_1023_bytes() {
    for length in [1_u16, 1023] {
        let mut crafted = Crafted::new();
        (crafted.id_length, crafted.id) = (length, vec![3; usize::from(length)]);
        assert_eq!(crafted.register().unwrap().credential_id.as_bytes(), crafted.id);
    }
    for length in [0, 1024, u16::MAX] {
        let refused = Crafted::refused(|crafted| {
            (crafted.id_length, crafted.id) = (length, vec![3; usize::from(length)]);
        });
        let error = AuthenticatorDataError::CredentialIdLength;
        assert_eq!(refused, Refusal::AuthenticatorData(error), "{length}");
    }
}

#[test]
fn the_flags_say_what_follows() {
    let data_error = |error| Refusal::AuthenticatorData(error);
    let extensions = map(&[(text("credProtect"), integer(2))]);
    let mut crafted = Crafted::new();
    (crafted.flags, crafted.after) = (0xc1, extensions.clone());
    assert!(crafted.register().is_ok());
    let refused = |flags, after: &[u8]| {
        Crafted::refused(|crafted| (crafted.flags, crafted.after) = (flags, after.to_vec()))
    };
    assert_eq!(refused(0x41, &extensions), data_error(AuthenticatorDataError::Trailing));
    let missing = AuthenticatorDataError::Extensions(CborError::Truncated);
    assert_eq!(refused(0xc1, b""), data_error(missing));
    assert_eq!(refused(0xc1, &text("x")), data_error(AuthenticatorDataError::ExtensionsNotAMap));
    let indefinite = AuthenticatorDataError::Extensions(CborError::Indefinite);
    assert_eq!(refused(0xc1, b"\xbf\xff"), data_error(indefinite));
    let twice = [extensions.clone(), extensions].concat();
    assert_eq!(refused(0xc1, &twice), data_error(AuthenticatorDataError::Trailing));
    assert_eq!(refused(0x51, b""), data_error(AuthenticatorDataError::BackedUpWithoutEligibility));

    let mut crafted = Crafted::new();
    (crafted.flags, crafted.cose, crafted.id) = (0x01, vec![], vec![]);
    let mut data = crafted.data();
    data.truncate(37);
    let object = map(&[
        (text("fmt"), text("none")),
        (text("attStmt"), map(&[])),
        (text("authData"), byte_string(&data)),
    ]);
    assert_eq!(crafted.register_object(object), Err(Refusal::NoCredential));
}

#[test]
fn an_authentication_has_no_new_credential() {
    let (registration, mut authentication) = ceremony(&mut Authenticator::new(-7));
    let credential = stored(&register(&registration).unwrap());
    authentication.data = registration.object[registration.data_start()..].to_vec();
    let refused = authentication.verify(&party(), &credential, Requirement::Discouraged);
    assert_eq!(refused, Err(Refusal::UnexpectedCredential));
}

#[test]
fn public_keys_are_canonical() {
    let key_error = |error| Refusal::AuthenticatorData(AuthenticatorDataError::PublicKey(error));
    let cose = Crafted::new().cose;
    let refused = |cose: Vec<u8>| Crafted::refused(|crafted| crafted.cose = cose);
    assert_eq!(refused(vec![]), key_error(CborError::Truncated));
    assert_eq!(refused([&[0xbf], &cose[1..], &[0xff]].concat()), key_error(CborError::Indefinite));
    assert_eq!(refused([&[0xb8, 5], &cose[1..]].concat()), key_error(CborError::NotShortest));
    assert_eq!(refused([&[0xa6, 1, 2], &cose[1..]].concat()), key_error(CborError::DuplicateKey));
    assert_eq!(refused([&[0xa5], &cose[3..], &cose[1..3]].concat()), key_error(CborError::KeyOrder));
    assert_eq!(refused(vec![0x81; 1000]), key_error(CborError::TooDeep));
    assert_eq!(refused(integer(1)), Refusal::Key(KeyError::NotAMap));
    let mut off_curve = cose.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    assert_eq!(refused(off_curve), Refusal::Key(KeyError::NotOnCurve));
    let mut another_algorithm = cose.clone();
    another_algorithm[4] = 0x25; // -6
    assert_eq!(refused(another_algorithm), Refusal::Key(KeyError::AlgorithmNotOffered(-6)));
    let mut another_curve = cose;
    another_curve[6] = 2;
    assert_eq!(refused(another_curve), Refusal::Key(KeyError::BadMember(-1)));
}

#[test]
fn an_attestation_object_has_exactly_its_members() {
    let crafted = Crafted::new();
    let (format, statement) = ((text("fmt"), text("none")), (text("attStmt"), map(&[])));
    let data = (text("authData"), byte_string(&crafted.data()));
    let refused = |members: &[(Vec<u8>, Vec<u8>)]| crafted.register_object(map(members)).unwrap_err();
    assert_eq!(
        crafted.register_object(map(&[format.clone(), statement.clone(), data.clone()])),
        crafted.register()
    );
    let bad = Refusal::BadAttestationObject;
    assert_eq!(refused(&[]), bad);
    assert_eq!(refused(&[format.clone(), data.clone()]), bad);
    assert_eq!(refused(&[(text("ep"), vec![0xf5]), format.clone(), statement.clone(), data.clone()]), bad);
    assert_eq!(refused(&[(text("fmu"), text("none")), statement.clone(), data.clone()]), bad);
    assert_eq!(refused(&[(integer(1), text("none")), statement.clone(), data.clone()]), bad);
    assert_eq!(refused(&[(text("fmt"), integer(1)), statement.clone(), data.clone()]), bad);
    assert_eq!(refused(&[format.clone(), statement.clone(), (text("authData"), text(""))]), bad);
    let order = Refusal::AttestationObject(CborError::KeyOrder);
    assert_eq!(refused(&[data.clone(), format.clone(), statement.clone()]), order);
    let duplicate = Refusal::AttestationObject(CborError::DuplicateKey);
    assert_eq!(refused(&[format.clone(), format, statement, data]), duplicate);
    assert_eq!(crafted.register_object(integer(1)), Err(bad));
    let deep = vec![0x81; 1000];
    let too_deep = Crafted::refused(|crafted| crafted.statement = deep);
    assert_eq!(too_deep, Refusal::AttestationObject(CborError::TooDeep));
}

#[test]
fn statements_are_verified_or_named() {
    let refused = |format: &str, statement: Vec<u8>| {
        Crafted::refused(|crafted| (crafted.format, crafted.statement) = (text(format), statement))
    };
    let (algorithm, signature) = ((text("alg"), integer(-7)), (text("sig"), byte_string(b"x")));
    let malformed = Refusal::BadAttestationStatement;
    assert_eq!(refused("none", map(from_ref(&algorithm))), malformed);
    assert_eq!(refused("none", vec![0x80]), malformed);
    assert_eq!(refused("packed", map(&[])), malformed);
    assert_eq!(refused("packed", vec![0x80]), malformed);
    assert_eq!(refused("packed", map(from_ref(&algorithm))), malformed);
    assert_eq!(refused("packed", map(from_ref(&signature))), malformed);
    assert_eq!(refused("packed", map(&[(text("alg"), integer(-8)), signature.clone()])), malformed);
    let further = (text("more"), integer(1));
    assert_eq!(refused("packed", map(&[algorithm.clone(), signature.clone(), further])), malformed);
    let bad = Refusal::BadAttestationSignature;
    assert_eq!(refused("packed", map(&[algorithm.clone(), signature.clone()])), bad);
    for format in ["", "a b", "\"", "\\", "é", &"x".repeat(33)] {
        assert_eq!(refused(format, map(&[])), Refusal::BadAttestationFormat, "{format:?}");
    }
    let mut crafted = Crafted::new();
    (crafted.format, crafted.statement) = (text("later"), vec![0x80]);
    let attestation = crafted.register().unwrap().attestation;
    assert_eq!((attestation.format(), attestation.is_verified()), ("later", false));
    let certificates = (text("x5c"), vec![0x80]);
    (crafted.format, crafted.statement) = (text("packed"), map(&[algorithm, signature, certificates]));
    let attestation = crafted.register().unwrap().attestation;
    assert_eq!((attestation.format(), attestation.is_verified()), ("packed", false));
}

proptest! {
    #[test]
    fn an_edited_registration_never_panics(
        which in 0_usize..13,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..6)
    ) {
        let (vector, _) = accepted().swap_remove(which);
        let mut registration = vector.registration;
        for (place, byte, kind) in edits {
            let at = place.index(registration.object.len());
            match kind {
                0 => registration.object[at] = byte,
                1 => registration.object.insert(at, byte),
                _ => drop(registration.object.remove(at)),
            }
        }
        if let Ok(registered) = register(&registration) {
            prop_assert_eq!(registered.credential_id.as_bytes(), registration.id);
            prop_assert!(!registered.backed_up || registered.backup_eligible);
        }
    }

    #[test]
    fn no_random_bytes_authenticate(
        data in prop::collection::vec(any::<u8>(), 0..80),
        signature in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        let (registration, mut authentication) = fixed();
        let credential = stored(&register(&registration).unwrap());
        authentication.data = [&party().id_hash()[..], &[1], &data].concat();
        authentication.signature = signature;
        prop_assert!(authentication.verify(&party(), &credential, Requirement::Discouraged).is_err());
        authentication.data = data;
        prop_assert!(authentication.verify(&party(), &credential, Requirement::Discouraged).is_err());
    }
}

fn fixed() -> (Registration, crate::craft::Authentication) {
    let vector = vector("ES256 Credential with No Attestation");
    (vector.registration, vector.authentication)
}

#[test]
fn the_hash_of_the_relying_party_is_that_of_its_id() {
    let hash = hex("bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5");
    assert_eq!(party().id_hash()[..], hash);
    assert_eq!(user().id.as_bytes(), [7; 16]);
}
