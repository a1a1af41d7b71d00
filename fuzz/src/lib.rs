//! Helpers of the fuzz targets.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use doorwarden_webauthn::cbor::Value as Cbor;
use serde_json::Value;

/// The compact JWS of any header and any payload, with a valid signature.
pub fn signed(header: &str, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(payload));
    let signature = sign(text.as_bytes());
    format!("{text}.{}", BASE64URL.encode(signature))
}

/// As [`bytes_or_edited`], for text.
pub fn text_or_edited(data: &[u8], samples: &[&str]) -> Option<String> {
    let samples: Vec<_> = samples.iter().map(|sample| sample.as_bytes()).collect();
    String::from_utf8(bytes_or_edited(data, &samples)?).ok()
}

/// The bytes to try. An even first byte: the rest is what to try. An odd one: the rest is a sample's number
/// and edits of it, three bytes each (what, where, which byte), because chance alone does not write a
/// checksum or a base64 key.
pub fn bytes_or_edited(data: &[u8], samples: &[&[u8]]) -> Option<Vec<u8>> {
    let (mode, rest) = data.split_first()?;
    if mode % 2 == 0 {
        return Some(rest.to_vec());
    }
    let (number, edits) = rest.split_first()?;
    let mut bytes = samples[usize::from(*number) % samples.len()].to_vec();
    for edit in edits.chunks_exact(3) {
        let (place, byte) = (usize::from(edit[1]) * (bytes.len() + 1) / 256, edit[2]);
        match edit[0] % 5 {
            0 => bytes.insert(place, byte),
            1 if place < bytes.len() => bytes[place] = byte,
            2 if place < bytes.len() => drop(bytes.remove(place)),
            3 => bytes.truncate(place),
            _ => bytes.extend_from_within(place..),
        }
        if bytes.len() > 16 * 1024 {
            break;
        }
    }
    Some(bytes)
}

/// The ceremonies of the W3C (WebAuthn section 16).
pub struct Ceremonies {
    /// `clientDataJSON`.
    pub client_data: Vec<Vec<u8>>,
    /// `attestationObject`.
    pub attestation_objects: Vec<Vec<u8>>,
    /// Authenticator data of registrations and of authentications.
    pub authenticator_data: Vec<Vec<u8>>,
}

impl Ceremonies {
    /// Reads the file of the vectors.
    pub fn read() -> Self {
        let file = include_str!("../../crates/doorwarden-webauthn/tests/data/w3c_webauthn_vectors.json");
        let cases: Vec<Value> = serde_json::from_str(file).expect("JSON");
        let bytes =
            |ceremony, name| cases.iter().map(move |case| hex(case[ceremony][name].as_str().expect("hex")));
        let attestation_objects: Vec<_> = bytes("registration", "attestationObject").collect();
        // The last member of an attestation object, after its name and its length.
        let new = attestation_objects.iter().map(|object| {
            let at = object.windows(8).position(|window| window == b"authData").expect("it is there") + 8;
            object[at + if object[at] == 0x58 { 2 } else { 3 }..].to_vec()
        });
        Self {
            client_data: bytes("registration", "clientDataJSON")
                .chain(bytes("authentication", "clientDataJSON"))
                .collect(),
            authenticator_data: new.chain(bytes("authentication", "authenticatorData")).collect(),
            attestation_objects,
        }
    }
}

/// As the targets take their samples.
pub fn slices(samples: &[Vec<u8>]) -> Vec<&[u8]> {
    samples.iter().map(Vec::as_slice).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Writes a value in canonical CBOR.
pub fn canonical(value: &Cbor<'_>) -> Vec<u8> {
    match value {
        Cbor::Integer(number) if *number < 0 => head(1, u64::try_from(-1 - number).expect("64 bits")),
        Cbor::Integer(number) => head(0, u64::try_from(*number).expect("64 bits")),
        Cbor::Bytes(bytes) => [head(2, bytes.len() as u64), bytes.to_vec()].concat(),
        Cbor::Text(text) => [head(3, text.len() as u64), text.as_bytes().to_vec()].concat(),
        Cbor::Array(items) => {
            [head(4, items.len() as u64), items.iter().flat_map(canonical).collect()].concat()
        }
        Cbor::Map(entries) => {
            let contents =
                entries.iter().flat_map(|(key, value)| [canonical(key), canonical(value)].concat());
            [head(5, entries.len() as u64), contents.collect()].concat()
        }
        Cbor::Bool(is) => vec![0xf4 + u8::from(*is)],
        Cbor::Null => vec![0xf6],
    }
}

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
