//! What the verification of a passkey costs beyond the bare signature.

use crate::tokens::median;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use doorwarden_webauthn::authenticator_data::AuthenticatorData;
use doorwarden_webauthn::cbor::Value as Cbor;
use doorwarden_webauthn::{
    Algorithm, AuthenticationResponse, Challenge, CredentialId, Expectation, PublicKey, RelyingParty,
    Requirement, StoredCredential, UserHandle,
};
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 21;
const TIMES: u32 = 200;
const TITLES: [&str; 4] = [
    "ES256 Credential with No Attestation",
    "Packed Attestation with Ed25519 Credential",
    "Packed Attestation with RS256 Credential",
    "Packed Attestation with ES384 Credential",
];

/// For each algorithm, the time of an authentication (from the response in JSON and the stored key to the
/// verdict) and of the bare signature (from the key in its parts), in nanoseconds.
pub fn measure() -> Value {
    let file = include_str!("../../../crates/doorwarden-webauthn/tests/data/w3c_webauthn_vectors.json");
    let cases: Vec<Value> = serde_json::from_str(file).expect("JSON");
    let case = |title| cases.iter().find(|case| case["title"] == title).expect("a ceremony");
    TITLES.into_iter().map(|title| passkey(case(title))).collect::<Vec<_>>().into()
}

fn passkey(case: &Value) -> Value {
    let registration = |name| hex(&case["registration"][name]);
    let authentication = |name| hex(&case["authentication"][name]);
    let party =
        RelyingParty::new("example.org", "Example", ["https://example.org"]).expect("a relying party");
    let object = registration("attestationObject");
    let object = Cbor::read(&object).expect("CBOR");
    let (_, data) = object.as_map().expect("a map").last().expect("it has members");
    let data = AuthenticatorData::parse(data.as_bytes().expect("bytes")).expect("authenticator data");
    let cose = data.attested_credential.expect("a credential").public_key;

    let id = CredentialId::new(registration("credential_id")).expect("an id");
    let challenge = Challenge::new(authentication("challenge")).expect("a challenge");
    let user_handle = UserHandle::new([7; 16]).expect("a handle");
    let (data, client_data) = (authentication("authenticatorData"), authentication("clientDataJSON"));
    let signature = authentication("signature");
    let response = json!({
        "id": id,
        "rawId": id,
        "type": "public-key",
        "response": {
            "clientDataJSON": base64url(&client_data),
            "authenticatorData": base64url(&data),
            "signature": base64url(&signature),
        },
    })
    .to_string();
    let whole = || {
        let response: AuthenticationResponse =
            serde_json::from_str(black_box(&response)).expect("a response");
        let public_key = PublicKey::from_cose(black_box(cose)).expect("a key");
        let credential = StoredCredential { id: id.clone(), public_key, sign_count: 0 };
        let expectation = Expectation {
            challenge: &challenge,
            credential: &credential,
            user_handle: &user_handle,
            discoverable: false,
            user_verification: Requirement::Preferred,
        };
        black_box(party.authenticate(&response, &expectation)).expect("valid");
    };

    let key = Cbor::read(cose).expect("CBOR");
    let part = |label: i64| {
        let members = key.as_map().expect("a map").iter();
        let found = members
            .filter(|(name, _)| name.as_integer() == Some(label))
            .find_map(|(_, part)| part.as_bytes());
        found.expect("a part of the key")
    };
    let message = [&data, digest(&SHA256, &client_data).as_ref()].concat();
    let algorithm = PublicKey::from_cose(cose).expect("a key").algorithm();
    let bare = || {
        let (message, signature) = (black_box(&message), black_box(&signature));
        let point = || [&[4], part(-2), part(-3)].concat();
        match algorithm {
            Algorithm::Es256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point()).verify(message, signature)
            }
            Algorithm::Es384 => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point()).verify(message, signature)
            }
            Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, part(-2)).verify(message, signature),
            Algorithm::Rs256 => RsaPublicKeyComponents { n: part(-1), e: part(-2) }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        }
        .expect("valid");
    };

    // In turn, so that a change of the machine's speed affects both.
    let (mut bare_ns, mut whole_ns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare_ns.push(once(bare));
        whole_ns.push(once(whole));
    }
    json!({"algorithm": algorithm.as_str(), "bare_ns": median(bare_ns), "whole_ns": median(whole_ns)})
}

fn once(operation: impl Fn()) -> f64 {
    let began = Instant::now();
    (0..TIMES).for_each(|_| operation());
    began.elapsed().as_nanos() as f64 / f64::from(TIMES)
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("hex");
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(pair).collect()
}

fn base64url(bytes: &[u8]) -> String {
    doorwarden::core::token::base64url::encode(bytes)
}
