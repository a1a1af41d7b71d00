//! Ceremonies for tests: those of the W3C, and those of a software authenticator.

use base64_simd::URL_SAFE_NO_PAD;
use doorwarden_testkit::authenticator::Authenticator;
use doorwarden_webauthn::{
    Authenticated, Challenge, CredentialId, Expectation, PublicKey, Refusal, Registered, RelyingParty,
    Requirement, StoredCredential, User, UserHandle,
};
use serde_json::{Value, json};

pub(crate) const ORIGIN: &str = "https://example.org";
pub(crate) const TOP_ORIGIN: &str = "https://example.com";

pub(crate) fn party() -> RelyingParty {
    RelyingParty::new("example.org", "Example", [ORIGIN]).unwrap()
}

pub(crate) fn user() -> User {
    User {
        id: UserHandle::new([7; 16]).unwrap(),
        name: "jane@example.org".into(),
        display_name: "Jane".into(),
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// A registration or an authentication in parts that a test can change.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) challenge: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) object: Vec<u8>,
}

impl Registration {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": base64url(&self.id),
            "rawId": base64url(&self.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(&self.client_data),
                "attestationObject": base64url(&self.object),
            },
        })
    }

    pub(crate) fn verify(&self, party: &RelyingParty, required: Requirement) -> Result<Registered, Refusal> {
        let response = serde_json::from_value(self.json()).unwrap();
        party.register(&response, &Challenge::new(self.challenge.clone()).unwrap(), required)
    }

    /// Where the authenticator data of the attestation object begins: it is its last member.
    pub(crate) fn data_start(&self) -> usize {
        let name = b"authData";
        let at = self.object.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        at + match self.object[at] {
            0x58 => 2,
            0x59 => 3,
            other => panic!("{other:#x} is not the length of authenticator data"),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Authentication {
    pub(crate) challenge: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) user_handle: Option<Vec<u8>>,
}

impl Authentication {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": base64url(&self.id),
            "rawId": base64url(&self.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(&self.client_data),
                "authenticatorData": base64url(&self.data),
                "signature": base64url(&self.signature),
                "userHandle": self.user_handle.as_deref().map(base64url),
            },
        })
    }

    pub(crate) fn verify(
        &self,
        party: &RelyingParty,
        credential: &StoredCredential,
        required: Requirement,
    ) -> Result<Authenticated, Refusal> {
        let response = serde_json::from_value(self.json()).unwrap();
        party.authenticate(
            &response,
            &Expectation {
                challenge: &Challenge::new(self.challenge.clone()).unwrap(),
                credential,
                user_handle: &user().id,
                discoverable: false,
                user_verification: required,
            },
        )
    }
}

pub(crate) fn stored(registered: &Registered) -> StoredCredential {
    StoredCredential {
        id: registered.credential_id.clone(),
        public_key: registered.public_key.clone(),
        sign_count: registered.sign_count,
    }
}

/// A ceremony of the W3C.
pub(crate) struct Vector {
    pub(crate) title: String,
    pub(crate) registration: Registration,
    pub(crate) authentication: Authentication,
}

pub(crate) fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/w3c_webauthn_vectors.json");
    let file: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let vector = |case: &Value| {
        let registration = |name| hex(case["registration"][name].as_str().unwrap());
        let authentication = |name| hex(case["authentication"][name].as_str().unwrap());
        Vector {
            title: case["title"].as_str().unwrap().to_owned(),
            registration: Registration {
                challenge: registration("challenge"),
                id: registration("credential_id"),
                client_data: registration("clientDataJSON"),
                object: registration("attestationObject"),
            },
            authentication: Authentication {
                challenge: authentication("challenge"),
                id: registration("credential_id"),
                client_data: authentication("clientDataJSON"),
                data: authentication("authenticatorData"),
                signature: authentication("signature"),
                user_handle: None,
            },
        }
    };
    file.iter().map(vector).collect()
}

pub(crate) fn vector(title: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.title == title).unwrap()
}

/// A registration and an authentication by the software authenticator, which both verify.
pub(crate) fn ceremony(authenticator: &mut Authenticator) -> (Registration, Authentication) {
    let bytes = |value: &Value| URL_SAFE_NO_PAD.decode_to_vec(value.as_str().unwrap()).unwrap();
    let challenge = Challenge::new([1; 32]).unwrap();
    let options = party().creation_options(user(), challenge.clone(), vec![]);
    let made = authenticator.create(&serde_json::to_value(options).unwrap(), ORIGIN).unwrap();
    let options = party().request_options(challenge.clone(), vec![], Requirement::Preferred);
    let signed = authenticator.get(&serde_json::to_value(options).unwrap(), ORIGIN).unwrap();
    let registration = Registration {
        challenge: challenge.as_bytes().to_vec(),
        id: bytes(&made["rawId"]),
        client_data: bytes(&made["response"]["clientDataJSON"]),
        object: bytes(&made["response"]["attestationObject"]),
    };
    let authentication = Authentication {
        challenge: challenge.as_bytes().to_vec(),
        id: bytes(&signed["rawId"]),
        client_data: bytes(&signed["response"]["clientDataJSON"]),
        data: bytes(&signed["response"]["authenticatorData"]),
        signature: bytes(&signed["response"]["signature"]),
        user_handle: Some(bytes(&signed["response"]["userHandle"])),
    };
    (registration, authentication)
}

/// The credential with this id and this key.
pub(crate) fn credential(id: &[u8], cose: &[u8]) -> StoredCredential {
    StoredCredential {
        id: CredentialId::new(id).unwrap(),
        public_key: PublicKey::from_cose(cose).unwrap(),
        sign_count: 0,
    }
}
