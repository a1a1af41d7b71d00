//! The JSON types of WebAuthn section 5.1: options as browsers read them, responses as browsers write them.

use crate::craft::{ceremony, party, user};
use doorwarden_testkit::authenticator::Authenticator;
use doorwarden_webauthn::{
    AuthenticationResponse, AuthenticatorSelection, Challenge, CredentialId, Descriptor,
    RegistrationResponse, Requirement, Transport,
};
use serde_json::{Value, json};

fn descriptor() -> Descriptor {
    let transports = vec![Transport::new("internal").unwrap(), Transport::new("hybrid").unwrap()];
    Descriptor::new(CredentialId::new([1, 2, 3]).unwrap(), transports)
}

#[test]
fn creation_options_are_those_of_the_specification() {
    let challenge = Challenge::new([0xff; 16]).unwrap();
    let mut options = party().creation_options(user(), challenge, vec![descriptor()]);
    assert_eq!(
        serde_json::to_value(&options).unwrap(),
        json!({
            "rp": {"id": "example.org", "name": "Example"},
            "user": {"id": "BwcHBwcHBwcHBwcHBwcHBw", "name": "jane@example.org", "displayName": "Jane"},
            "challenge": "_____________________w",
            "pubKeyCredParams": [
                {"type": "public-key", "alg": -7},
                {"type": "public-key", "alg": -8},
                {"type": "public-key", "alg": -257},
                {"type": "public-key", "alg": -35},
            ],
            "timeout": 300_000,
            "excludeCredentials": [{"id": "AQID", "type": "public-key", "transports": ["internal", "hybrid"]}],
            "authenticatorSelection": {
                "residentKey": "required",
                "requireResidentKey": true,
                "userVerification": "preferred",
            },
            "attestation": "none",
            "extensions": {"credProps": true},
        })
    );
    options.authenticator_selection =
        AuthenticatorSelection::new(Requirement::Discouraged, Requirement::Required);
    let selection = &serde_json::to_value(&options).unwrap()["authenticatorSelection"];
    assert_eq!(
        *selection,
        json!({"residentKey": "discouraged", "requireResidentKey": false, "userVerification": "required"})
    );
}

#[test]
fn request_options_are_those_of_the_specification() {
    let challenge = Challenge::new([0; 16]).unwrap();
    let none = Descriptor::new(CredentialId::new([4]).unwrap(), vec![]);
    let options = party().request_options(challenge, vec![descriptor(), none], Requirement::Required);
    assert_eq!(
        serde_json::to_value(options).unwrap(),
        json!({
            "challenge": "AAAAAAAAAAAAAAAAAAAAAA",
            "timeout": 300_000,
            "rpId": "example.org",
            "allowCredentials": [
                {"id": "AQID", "type": "public-key", "transports": ["internal", "hybrid"]},
                {"id": "BA", "type": "public-key"},
            ],
            "userVerification": "required",
        })
    );
}

#[test]
fn challenge_and_credential_are_known_before_anything_is_verified() {
    let (registration, authentication) = ceremony(&mut Authenticator::new(-7));
    let response: RegistrationResponse = serde_json::from_value(registration.json()).unwrap();
    assert_eq!(response.challenge().unwrap().as_bytes(), registration.challenge);
    assert_eq!(response.credential_id().as_bytes(), registration.id);
    let response: AuthenticationResponse = serde_json::from_value(authentication.json()).unwrap();
    assert_eq!(response.challenge().unwrap().as_bytes(), authentication.challenge);
    assert_eq!(response.credential_id().as_bytes(), authentication.id);
}

#[test]
fn responses_are_strict_about_what_is_read() {
    let (registration, authentication) = ceremony(&mut Authenticator::new(-7));
    let reads = |json: &Value| match json["response"]["signature"] {
        Value::Null => serde_json::from_value::<RegistrationResponse>(json.clone()).is_ok(),
        _ => serde_json::from_value::<AuthenticationResponse>(json.clone()).is_ok(),
    };
    let long = "A".repeat(1366); // 1,024 bytes
    for good in [registration.json(), authentication.json()] {
        assert!(reads(&good));
        let mut later = good.clone();
        later["response"]["later"] = json!([]);
        later["authenticatorAttachment"] = Value::Null;
        assert!(reads(&later), "members of a later specification are ignored");
        for (member, wrong) in [
            ("type", json!("password")),
            ("type", Value::Null),
            ("id", json!("")),
            ("rawId", json!("AQID=")),
            ("rawId", json!("AQ+D")),
            ("rawId", json!(long)),
            ("rawId", json!([1, 2, 3])),
            ("response", Value::Null),
        ] {
            let mut bad = good.clone();
            bad[member] = wrong.clone();
            assert!(!reads(&bad), "{member}: {wrong}");
        }
        for member in ["clientDataJSON", "attestationObject", "authenticatorData", "signature"] {
            let mut bad = good.clone();
            if bad["response"].as_object_mut().unwrap().remove(member).is_some() {
                assert!(!reads(&bad), "without {member}");
                bad["response"][member] = json!("A");
                assert!(!reads(&bad), "{member} is not base64url");
            }
        }
    }
    let twice = r#"{"id":"AQ","id":"AQ","rawId":"AQ","type":"public-key","response":
        {"clientDataJSON":"","authenticatorData":"","signature":""}}"#;
    assert!(serde_json::from_str::<AuthenticationResponse>(twice).is_err(), "a duplicate member");
    assert!(serde_json::from_str::<AuthenticationResponse>(&twice.replacen("\"id\":\"AQ\",", "", 1)).is_ok());
}

#[test]
fn names_of_transports_are_those_of_a_list_or_similar() {
    for name in ["usb", "nfc", "ble", "smart-card", "hybrid", "internal", "later-2"] {
        assert_eq!(Transport::new(name).unwrap().as_str(), name);
    }
    for name in ["", "USB", "a b", "<b>", &"a".repeat(33)] {
        assert_eq!(Transport::new(name), None, "{name}");
    }
}

#[test]
fn common_authenticators_have_names() {
    let name = |aaguid: &str| doorwarden_webauthn::aaguid::name(aaguid.parse().unwrap());
    assert_eq!(name("fbfc3007-154e-4ecc-8c0b-6e020557d7bd"), Some("iCloud Keychain"));
    assert_eq!(name("00000000-0000-0000-0000-000000000000"), None);
}
