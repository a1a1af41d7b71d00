//! The 15 ceremonies of the W3C (WebAuthn section 16).

use crate::craft::{TOP_ORIGIN, Vector, party, stored, vector, vectors};
use doorwarden_webauthn::{Algorithm, Attestation, Counter, KeyError, Refusal, Requirement};

/// Algorithm, attestation, and the flags UV, BE and BS of the registration and of the authentication.
fn expected(title: &str) -> Option<(Algorithm, Attestation, [[bool; 3]; 2])> {
    let flags = |registration: u8, authentication: u8| {
        [registration, authentication].map(|flags| [2, 3, 4].map(|bit| flags & 1 << bit != 0))
    };
    let unverified = |format: &str| Attestation::Unverified(format.into());
    let packed = unverified("packed");
    Some(match title {
        "ES256 Credential with No Attestation" => (Algorithm::Es256, Attestation::None, flags(0x59, 0x19)),
        "ES256 Credential with Self Attestation" => {
            (Algorithm::Es256, Attestation::SelfAttested, flags(0x5d, 0x09))
        }
        "ES256 Credential with very long credential ID" => {
            (Algorithm::Es256, Attestation::None, flags(0x49, 0x0d))
        }
        "Packed Attestation with ES256 Credential" => (Algorithm::Es256, packed, flags(0x4d, 0x0d)),
        "Packed Attestation with ES384 Credential" => (Algorithm::Es384, packed, flags(0x59, 0x0d)),
        "Packed Attestation with RS256 Credential" => (Algorithm::Rs256, packed, flags(0x5d, 0x19)),
        "Packed Attestation with Ed25519 Credential" => (Algorithm::EdDsa, packed, flags(0x41, 0x01)),
        "TPM Attestation with ES256 Credential" => (Algorithm::Es256, unverified("tpm"), flags(0x4d, 0x0d)),
        "Android Key Attestation with ES256 Credential" => {
            (Algorithm::Es256, unverified("android-key"), flags(0x5d, 0x09))
        }
        "Apple Anonymous Attestation with ES256 Credential" => {
            (Algorithm::Es256, unverified("apple"), flags(0x49, 0x09))
        }
        "FIDO U2F Attestation with ES256 Credential" => {
            (Algorithm::Es256, unverified("fido-u2f"), flags(0x41, 0x01))
        }
        "Packed Attestation with ES512 Credential" | "Packed Attestation with Ed448 Credential" => {
            return None;
        }
        other => panic!("an unknown ceremony: {other}"),
    })
}

fn is_framed(vector: &Vector) -> bool {
    vector.title.contains("crossOrigin") || vector.title.contains("topOrigin")
}

#[test]
fn eleven_of_fifteen_are_accepted_and_their_flags_reported() {
    let mut accepted = 0;
    for vector in vectors().iter().filter(|vector| !is_framed(vector)) {
        let title = &vector.title;
        let Some((algorithm, attestation, flags)) = expected(title) else { continue };
        let registered = vector.registration.verify(&party(), Requirement::Preferred).unwrap();
        assert_eq!(registered.public_key.algorithm(), algorithm, "{title}");
        assert_eq!(registered.attestation, attestation, "{title}");
        assert_eq!(registered.credential_id.as_bytes(), vector.registration.id, "{title}");
        let credential = stored(&registered);
        let authenticated =
            vector.authentication.verify(&party(), &credential, Requirement::Preferred).unwrap();
        let seen = [registered.user_verified, registered.backup_eligible, registered.backed_up];
        assert_eq!(seen, flags[0], "{title}");
        let seen = [authenticated.user_verified, authenticated.backup_eligible, authenticated.backed_up];
        assert_eq!(seen, flags[1], "{title}");
        assert_eq!((authenticated.sign_count, authenticated.counter), (0, Counter::Zero), "{title}");
        accepted += 1;
    }
    assert_eq!(accepted, 11);
}

#[test]
fn where_the_user_must_be_verified_the_others_are_refused() {
    for vector in vectors().iter().filter(|vector| !is_framed(vector)) {
        let Some((.., [[registers, ..], [logs_in, ..]])) = expected(&vector.title) else { continue };
        let registered = vector.registration.verify(&party(), Requirement::Required);
        assert_eq!(registered.err(), (!registers).then_some(Refusal::UserNotVerified), "{}", vector.title);
        let credential = stored(&vector.registration.verify(&party(), Requirement::Discouraged).unwrap());
        let authenticated = vector.authentication.verify(&party(), &credential, Requirement::Required);
        assert_eq!(authenticated.err(), (!logs_in).then_some(Refusal::UserNotVerified), "{}", vector.title);
    }
}

#[test]
fn a_frame_of_another_origin_is_accepted_only_where_it_is_listed() {
    for (word, refusal) in
        [("crossOrigin", Refusal::CrossOrigin), ("topOrigin", Refusal::WrongTopOrigin(TOP_ORIGIN.into()))]
    {
        let vectors = vectors();
        let vector = vectors.iter().find(|vector| vector.title.contains(word)).unwrap();
        let (plain, embedded) = (party(), party().with_top_origins([TOP_ORIGIN]).unwrap());
        let refused = vector.registration.verify(&party(), Requirement::Preferred).unwrap_err();
        assert_eq!(refused, refusal);
        let credential = stored(&vector.registration.verify(&embedded, Requirement::Preferred).unwrap());
        let verify = |party| vector.authentication.verify(party, &credential, Requirement::Preferred);
        assert_eq!(verify(&plain).unwrap_err(), refusal);
        assert!(verify(&embedded).is_ok());
    }
}

#[test]
fn a_top_origin_that_is_not_listed_is_refused_although_another_one_is() {
    let vector = vector("ES256 Credential with \"topOrigin\" in clientDataJSON");
    let embedded = party().with_top_origins(["https://other.example"]).unwrap();
    let refused = vector.registration.verify(&embedded, Requirement::Preferred).unwrap_err();
    assert_eq!(refused, Refusal::WrongTopOrigin(TOP_ORIGIN.into()));
}

#[test]
fn algorithms_that_were_not_offered_are_refused() {
    for (title, number) in
        [("Packed Attestation with ES512 Credential", -36), ("Packed Attestation with Ed448 Credential", -53)]
    {
        let refused = vector(title).registration.verify(&party(), Requirement::Preferred).unwrap_err();
        assert_eq!(refused, Refusal::Key(KeyError::AlgorithmNotOffered(number)), "{title}");
    }
}
