//! Ceremonies with a software authenticator.

use crate::craft::{ORIGIN, TOP_ORIGIN, ceremony, party, stored, user};
use doorwarden_testkit::authenticator::Authenticator;
use doorwarden_webauthn::authenticator_data::AuthenticatorDataError;
use doorwarden_webauthn::{
    Algorithm, Attestation, Authenticated, Challenge, Counter, Descriptor, Expectation, Refusal, Registered,
    RelyingParty, Requirement, StoredCredential, Transport, UserHandle,
};
use serde_json::Value;

fn create(authenticator: &mut Authenticator) -> Value {
    let options = party().creation_options(user(), Challenge::new([1; 16]).unwrap(), vec![]);
    authenticator.create(&serde_json::to_value(options).unwrap(), ORIGIN).unwrap()
}

fn register(response: Value) -> Result<Registered, Refusal> {
    let response = serde_json::from_value(response).unwrap();
    party().register(&response, &Challenge::new([1; 16]).unwrap(), Requirement::Preferred)
}

fn get(authenticator: &mut Authenticator) -> Value {
    let options = party().request_options(Challenge::new([2; 16]).unwrap(), vec![], Requirement::Preferred);
    authenticator.get(&serde_json::to_value(options).unwrap(), ORIGIN).unwrap()
}

fn authenticate(response: Value, credential: &StoredCredential) -> Result<Authenticated, Refusal> {
    authenticate_as(response, credential, &user().id, true)
}

fn authenticate_as(
    response: Value,
    credential: &StoredCredential,
    user_handle: &UserHandle,
    discoverable: bool,
) -> Result<Authenticated, Refusal> {
    party().authenticate(
        &serde_json::from_value(response).unwrap(),
        &Expectation {
            challenge: &Challenge::new([2; 16]).unwrap(),
            credential,
            user_handle,
            discoverable,
            user_verification: Requirement::Preferred,
        },
    )
}

#[test]
fn every_algorithm_registers_and_authenticates() {
    for algorithm in Algorithm::ALL {
        for self_attestation in [false, true] {
            let mut authenticator =
                Authenticator { self_attestation, ..Authenticator::new(algorithm.cose()) };
            let registered = register(create(&mut authenticator)).unwrap();
            assert_eq!(registered.public_key.algorithm(), algorithm);
            let attestation = if self_attestation { Attestation::SelfAttested } else { Attestation::None };
            assert!(attestation.is_verified());
            assert_eq!(registered.attestation, attestation);
            assert_eq!(registered.discoverable, Some(true));
            let transports: Vec<_> = registered.transports.iter().map(Transport::as_str).collect();
            assert_eq!(transports, ["hybrid", "internal"]);
            assert!(authenticate(get(&mut authenticator), &stored(&registered)).is_ok(), "{algorithm}");
        }
    }
}

#[test]
fn a_self_attestation_is_signed_by_the_new_key() {
    for algorithm in Algorithm::ALL {
        let mut authenticator =
            Authenticator { self_attestation: true, ..Authenticator::new(algorithm.cose()) };
        let (good, _) = ceremony(&mut authenticator);
        let aaguid = good.data_start() + 37;
        let mut forged = good.clone();
        forged.object[aaguid] ^= 1;
        let refused = forged.verify(&party(), Requirement::Preferred);
        assert_eq!(refused, Err(Refusal::BadAttestationSignature), "{algorithm}");
    }
}

#[test]
fn what_the_authenticator_says_is_reported() {
    for flags in 0..8 {
        let mut authenticator = Authenticator {
            user_verified: flags & 1 != 0,
            backup_eligible: flags & 2 != 0,
            backed_up: flags & 4 != 0,
            ..Authenticator::new(-7)
        };
        let expected = (authenticator.user_verified, authenticator.backup_eligible, authenticator.backed_up);
        let response = create(&mut authenticator);
        let signed = get(&mut authenticator);
        if expected.2 && !expected.1 {
            let error = AuthenticatorDataError::BackedUpWithoutEligibility;
            assert_eq!(register(response), Err(Refusal::AuthenticatorData(error)));
            continue;
        }
        let registered = register(response).unwrap();
        assert_eq!((registered.user_verified, registered.backup_eligible, registered.backed_up), expected);
        let authenticated = authenticate(signed, &stored(&registered)).unwrap();
        assert_eq!(
            (authenticated.user_verified, authenticated.backup_eligible, authenticated.backed_up),
            expected
        );
    }
}

#[test]
fn a_change_of_the_backup_flags_is_no_error() {
    let mut authenticator = Authenticator::new(-7);
    let credential = stored(&register(create(&mut authenticator)).unwrap());
    for (backup_eligible, backed_up) in [(true, true), (true, false), (false, false), (true, true)] {
        (authenticator.backup_eligible, authenticator.backed_up) = (backup_eligible, backed_up);
        let authenticated = authenticate(get(&mut authenticator), &credential).unwrap();
        assert_eq!((authenticated.backup_eligible, authenticated.backed_up), (backup_eligible, backed_up));
    }
}

#[test]
fn a_counter_that_does_not_grow_is_reported() {
    let mut authenticator = Authenticator { counter_step: 0, ..Authenticator::new(-7) };
    let mut credential = stored(&register(create(&mut authenticator)).unwrap());
    for (before, after, outcome) in [
        (0, 0, Counter::Zero),
        (0, 1, Counter::Grew),
        (5, 6, Counter::Grew),
        (5, u32::MAX, Counter::Grew),
        (5, 5, Counter::NotGrown),
        (5, 4, Counter::NotGrown),
        (5, 0, Counter::NotGrown),
    ] {
        credential.sign_count = before;
        authenticator.credentials[0].sign_count = after;
        let authenticated = authenticate(get(&mut authenticator), &credential).unwrap();
        assert_eq!(
            (authenticated.sign_count, authenticated.counter),
            (after, outcome),
            "{before} to {after}"
        );
    }
}

#[test]
fn a_credential_belongs_to_its_user() {
    let mut authenticator = Authenticator::new(-7);
    let credential = stored(&register(create(&mut authenticator)).unwrap());
    let other = stored(&register(create(&mut authenticator)).unwrap());
    let response = get(&mut authenticator);
    assert_eq!(authenticate(response.clone(), &credential), Err(Refusal::WrongCredential));
    assert!(authenticate(response.clone(), &other).is_ok());

    let stranger = UserHandle::new([8; 16]).unwrap();
    for discoverable in [true, false] {
        let refused = authenticate_as(response.clone(), &other, &stranger, discoverable);
        assert_eq!(refused, Err(Refusal::WrongUserHandle));
    }
    for no_handle in [Value::Null, "".into()] {
        let mut response = response.clone();
        response["response"]["userHandle"] = no_handle;
        assert!(authenticate_as(response.clone(), &other, &user().id, false).is_ok());
        let refused = authenticate_as(response, &other, &user().id, true);
        assert_eq!(refused, Err(Refusal::NoUserHandle));
    }
}

#[test]
fn the_key_of_another_credential_verifies_nothing() {
    let mut authenticator = Authenticator::new(-7);
    let credential = stored(&register(create(&mut authenticator)).unwrap());
    let newer = stored(&register(create(&mut authenticator)).unwrap());
    let mixed = StoredCredential { public_key: credential.public_key, ..newer };
    assert_eq!(authenticate(get(&mut authenticator), &mixed), Err(Refusal::BadSignature));
}

#[test]
fn the_ids_in_a_response_agree() {
    let mut authenticator = Authenticator::new(-7);
    let mut made = create(&mut authenticator);
    let credential = stored(&register(made.clone()).unwrap());
    made["id"] = "AQID".into();
    assert_eq!(register(made.clone()), Err(Refusal::IdsDiffer));
    made["rawId"] = "AQID".into();
    assert_eq!(register(made), Err(Refusal::WrongCredential), "the authenticator data names another one");
    let mut signed = get(&mut authenticator);
    signed["id"] = "AQID".into();
    assert_eq!(authenticate(signed, &credential), Err(Refusal::IdsDiffer));
}

#[test]
fn related_origins_are_accepted_and_others_are_not() {
    let challenge = Challenge::new([1; 16]).unwrap();
    let related = party().with_related_origins(["https://example.de"]).unwrap();
    let register = |party: &RelyingParty, origin: &str| {
        let options = party.creation_options(user(), challenge.clone(), vec![]);
        let made = Authenticator::new(-7).create(&serde_json::to_value(options).unwrap(), origin).unwrap();
        party.register(&serde_json::from_value(made).unwrap(), &challenge, Requirement::Preferred)
    };
    assert!(register(&related, "https://example.de").is_ok());
    for (party, origin) in [
        (party(), "https://example.de"),
        (related.clone(), "https://www.example.de"),
        (related.clone(), "https://app.example.org"),
        (related.clone(), "https://example.org:8443"),
        (related, "http://example.org"),
    ] {
        assert_eq!(register(&party, origin), Err(Refusal::WrongOrigin(origin.into())));
    }
}

#[test]
fn a_top_origin_is_only_there_in_a_frame() {
    let mut authenticator = Authenticator { top_origin: Some(TOP_ORIGIN.into()), ..Authenticator::new(-7) };
    let (mut registration, _) = ceremony(&mut authenticator);
    let embedded = party().with_top_origins([TOP_ORIGIN]).unwrap();
    assert!(registration.verify(&embedded, Requirement::Preferred).is_ok());
    let text = String::from_utf8(registration.client_data).unwrap();
    registration.client_data = text.replace("true", "false").into_bytes();
    let refused = registration.verify(&embedded, Requirement::Preferred);
    assert_eq!(refused, Err(Refusal::UnexpectedTopOrigin));
}

#[test]
fn the_authenticator_keeps_to_the_options() {
    let mut authenticator = Authenticator::new(-8);
    let registered = register(create(&mut authenticator)).unwrap();
    let exclude = vec![Descriptor::new(registered.credential_id, registered.transports)];
    let challenge = Challenge::new([1; 16]).unwrap();
    let options = party().creation_options(user(), challenge.clone(), exclude.clone());
    assert_eq!(authenticator.create(&serde_json::to_value(options).unwrap(), ORIGIN), None);
    let newer = create(&mut authenticator);
    assert_eq!(get(&mut authenticator)["id"], newer["id"]);
    let options = party().request_options(challenge.clone(), exclude.clone(), Requirement::Required);
    let options = serde_json::to_value(options).unwrap();
    let signed = authenticator.get(&options, ORIGIN).unwrap();
    assert_eq!(signed["id"], exclude[0].id.to_base64url());
    authenticator.user_verified = false;
    assert_eq!(authenticator.get(&options, ORIGIN), None);
    assert_eq!(Authenticator::new(-8).get(&options, ORIGIN), None);
}
