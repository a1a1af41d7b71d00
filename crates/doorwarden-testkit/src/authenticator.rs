//! A browser and its authenticator in one, for tests of passkeys: from the options of a ceremony, in JSON, to
//! the response, in JSON. It is written for itself, from the specification, and shares no code with the
//! verification.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256,
};
use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fmt;
use std::sync::LazyLock;

/// A software authenticator with a screen lock that synchronizes nothing and counts its signatures, until a
/// field is changed: each says how the next ceremony behaves.
///
/// ```
/// use doorwarden_testkit::authenticator::Authenticator;
/// use serde_json::json;
///
/// let mut authenticator = Authenticator::new(-7);
/// let options = json!({"rpId": "example.org", "challenge": "AAAAAAAAAAAAAAAAAAAAAA"});
/// assert_eq!(authenticator.get(&options, "https://example.org"), None, "it has no credential yet");
/// ```
#[derive(Debug)]
pub struct Authenticator {
    /// The number in COSE of the algorithm of new credentials.
    pub algorithm: i64,
    /// UV: whether it verifies the user.
    pub user_verified: bool,
    /// BE: whether its credentials can be synchronized.
    pub backup_eligible: bool,
    /// BS: whether its credentials are synchronized.
    pub backed_up: bool,
    /// By how much a signature increases the counter of its credential; 0 for an authenticator that does not
    /// count.
    pub counter_step: u32,
    /// Whether a new key signs its registration (attestation format `packed`).
    pub self_attestation: bool,
    /// The page is in a frame of a page of this origin.
    pub top_origin: Option<String>,
    /// What it has made.
    pub credentials: Vec<Credential>,
}

/// A discoverable credential.
#[derive(Debug)]
pub struct Credential {
    /// Its id.
    pub id: Vec<u8>,
    /// The relying party that it is for.
    pub rp_id: String,
    /// The user that it is for.
    pub user_handle: Vec<u8>,
    /// The counter of signatures.
    pub sign_count: u32,
    key: Key,
}

impl Authenticator {
    /// An authenticator that supports the algorithm with this number in COSE: -7, -8, -35 or -257.
    ///
    /// # Panics
    ///
    /// When making a credential, if it is another one.
    pub const fn new(algorithm: i64) -> Self {
        Self {
            algorithm,
            user_verified: true,
            backup_eligible: false,
            backed_up: false,
            counter_step: 1,
            self_attestation: false,
            top_origin: None,
            credentials: Vec::new(),
        }
    }

    /// Takes over a credential of another authenticator: a key for ES256 in PKCS #8.
    ///
    /// # Panics
    ///
    /// If it is no such key.
    pub fn take_over(
        &mut self,
        id: Vec<u8>,
        rp_id: &str,
        user_handle: Vec<u8>,
        sign_count: u32,
        pkcs8: &[u8],
    ) {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).expect("a key for ES256");
        let (rp_id, key) = (rp_id.to_owned(), Key::P256(key));
        self.credentials.push(Credential { id, rp_id, user_handle, sign_count, key });
    }

    /// `navigator.credentials.create`, on a page of this origin: from
    /// `PublicKeyCredentialCreationOptionsJSON` to `RegistrationResponseJSON`. `None` if the algorithm is not
    /// offered, if a credential is excluded, or if the user must be verified and is not.
    pub fn create(&mut self, options: &Value, origin: &str) -> Option<Value> {
        let offered = options["pubKeyCredParams"].as_array()?;
        let selection = &options["authenticatorSelection"];
        if !offered.iter().any(|offer| offer["alg"] == self.algorithm)
            || self.listed(&options["excludeCredentials"]).next().is_some()
            || selection["userVerification"] == "required" && !self.user_verified
        {
            return None;
        }
        let mut id = vec![0; 32];
        fill(&mut id).expect("the system has randomness");
        let rp_id = options["rp"]["id"].as_str()?.to_owned();
        let user_handle = bytes(&options["user"]["id"])?;
        let credential =
            Credential { id, rp_id, user_handle, sign_count: 0, key: Key::generate(self.algorithm) };
        let client_data = self.client_data("webauthn.create", options, origin);
        let data = [
            self.authenticator_data(&credential, true),
            [0x53; 16].to_vec(), // the AAGUID
            u16::try_from(credential.id.len()).expect("32").to_be_bytes().to_vec(),
            credential.id.clone(),
            credential.key.cose(),
        ]
        .concat();
        let statement = if self.self_attestation {
            let signature =
                credential.key.sign(&[&data[..], digest(&SHA256, &client_data).as_ref()].concat());
            map(&[(text("alg"), integer(self.algorithm)), (text("sig"), byte_string(&signature))])
        } else {
            map(&[])
        };
        let format = if self.self_attestation { "packed" } else { "none" };
        let object = map(&[
            (text("fmt"), text(format)),
            (text("attStmt"), statement),
            (text("authData"), byte_string(&data)),
        ]);
        let id = base64url(&credential.id);
        self.credentials.push(credential);
        Some(json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": true}},
            "response": {
                "clientDataJSON": base64url(&client_data),
                "attestationObject": base64url(&object),
                "authenticatorData": base64url(&data),
                "publicKeyAlgorithm": self.algorithm,
                "transports": ["internal", "hybrid"],
            },
        }))
    }

    /// `navigator.credentials.get`, on a page of this origin: from `PublicKeyCredentialRequestOptionsJSON` to
    /// `AuthenticationResponseJSON`, with the newest credential that is allowed. `None` if there is none, or
    /// if the user must be verified and is not.
    pub fn get(&mut self, options: &Value, origin: &str) -> Option<Value> {
        if options["userVerification"] == "required" && !self.user_verified {
            return None;
        }
        let all_allowed = options["allowCredentials"].as_array().is_none_or(Vec::is_empty);
        let listed: Vec<_> = self.listed(&options["allowCredentials"]).collect();
        let is_allowed = |(index, credential): &(usize, &Credential)| {
            options["rpId"] == credential.rp_id && (all_allowed || listed.contains(index))
        };
        let (index, _) = self.credentials.iter().enumerate().rev().find(is_allowed)?;
        self.credentials[index].sign_count += self.counter_step;
        let credential = &self.credentials[index];
        let client_data = self.client_data("webauthn.get", options, origin);
        let data = self.authenticator_data(credential, false);
        let signature = credential.key.sign(&[&data[..], digest(&SHA256, &client_data).as_ref()].concat());
        let id = base64url(&credential.id);
        Some(json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(&client_data),
                "authenticatorData": base64url(&data),
                "signature": base64url(&signature),
                "userHandle": base64url(&credential.user_handle),
            },
        }))
    }

    /// The places of those credentials that a list of descriptors names.
    fn listed(&self, descriptors: &Value) -> impl Iterator<Item = usize> {
        let ids: Vec<_> =
            descriptors.as_array().into_iter().flatten().filter_map(|one| bytes(&one["id"])).collect();
        self.credentials
            .iter()
            .enumerate()
            .filter(move |(_, one)| ids.contains(&one.id))
            .map(|(index, _)| index)
    }

    fn client_data(&self, kind: &str, options: &Value, origin: &str) -> Vec<u8> {
        let mut data = json!({
            "type": kind,
            "challenge": options["challenge"],
            "origin": origin,
            "crossOrigin": self.top_origin.is_some(),
        });
        if let Some(top) = &self.top_origin {
            data["topOrigin"] = top.as_str().into();
        }
        data.to_string().into_bytes()
    }

    fn authenticator_data(&self, credential: &Credential, is_new: bool) -> Vec<u8> {
        let bits =
            [(0, true), (2, self.user_verified), (3, self.backup_eligible), (4, self.backed_up), (6, is_new)];
        let flags = bits.into_iter().map(|(bit, is_set)| u8::from(is_set) << bit).sum();
        let rp_id_hash = digest(&SHA256, credential.rp_id.as_bytes());
        [rp_id_hash.as_ref(), &[flags], &credential.sign_count.to_be_bytes()].concat()
    }
}

enum Key {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn generate(algorithm: i64) -> Self {
        // Making a key takes longer than all that is tested with it.
        static RSA: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("it can be encoded").as_ref().to_vec()
        });
        let ecdsa = |algorithm| EcdsaKeyPair::generate(algorithm).expect("a key");
        match algorithm {
            -7 => Self::P256(ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)),
            -8 => Self::Ed25519(Ed25519KeyPair::generate().expect("a key")),
            -35 => Self::P384(ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)),
            -257 => Self::Rsa(RsaKeyPair::from_pkcs8(&RSA).expect("its own key")),
            other => panic!("the algorithm {other} is not supported"),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, message).expect("a signature").as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a signature");
                signature
            }
        }
    }

    fn cose(&self) -> Vec<u8> {
        let curve = |algorithm, curve, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            map(&[
                (integer(1), integer(2)),
                (integer(3), integer(algorithm)),
                (integer(-1), integer(curve)),
                (integer(-2), byte_string(x)),
                (integer(-3), byte_string(y)),
            ])
        };
        match self {
            Self::P256(pair) => curve(-7, 1, pair.public_key().as_ref()),
            Self::P384(pair) => curve(-35, 2, pair.public_key().as_ref()),
            Self::Ed25519(pair) => map(&[
                (integer(1), integer(1)),
                (integer(3), integer(-8)),
                (integer(-1), integer(6)),
                (integer(-2), byte_string(pair.public_key().as_ref())),
            ]),
            Self::Rsa(pair) => {
                // RSAPublicKey in DER (RFC 8017, appendix A.1.1): with 2048 bits, everything has its place.
                let der = pair.public_key().as_ref();
                assert_eq!((der.len(), &der[265..]), (270, &[2, 3, 1, 0, 1][..]));
                map(&[
                    (integer(1), integer(3)),
                    (integer(3), integer(-257)),
                    (integer(-1), byte_string(&der[9..265])),
                    (integer(-2), byte_string(&der[267..])),
                ])
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

fn bytes(text: &Value) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text.as_str()?).ok()
}

/// The first bytes of a CBOR value (RFC 8949, section 3).
fn head(major: u8, argument: u64) -> Vec<u8> {
    let bytes = argument.to_be_bytes();
    let (info, length) = match argument {
        0..=23 => return vec![major << 5 | bytes[7]],
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    [&[major << 5 | info], &bytes[8 - length..]].concat()
}

/// An integer in CBOR.
pub fn integer(number: i64) -> Vec<u8> {
    if number < 0 { head(1, number.unsigned_abs() - 1) } else { head(0, number.unsigned_abs()) }
}

/// A byte string in CBOR.
pub fn byte_string(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len() as u64), bytes.to_vec()].concat()
}

/// A text string in CBOR.
pub fn text(text: &str) -> Vec<u8> {
    [head(3, text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// A map of these encoded entries in CBOR, in the given order.
pub fn map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let contents = entries.iter().flat_map(|(key, value)| [key.as_slice(), value]);
    [head(5, entries.len() as u64), contents.collect::<Vec<_>>().concat()].concat()
}
