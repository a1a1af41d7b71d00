//! Helpers of the fuzz targets.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};

/// The compact JWS of any header and any payload, with a valid signature.
pub fn signed(header: &str, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(payload));
    let signature = sign(text.as_bytes());
    format!("{text}.{}", BASE64URL.encode(signature))
}

/// The text to try. An even first byte: the rest is the text. An odd one: the rest is a sample's number and
/// edits of it, three bytes each (what, where, which character), because chance alone does not write a
/// checksum or a base64 key.
pub fn text_or_edited(data: &[u8], samples: &[&str]) -> Option<String> {
    let (mode, rest) = data.split_first()?;
    if mode % 2 == 0 {
        return String::from_utf8(rest.to_vec()).ok();
    }
    let (number, edits) = rest.split_first()?;
    let mut text = samples[usize::from(*number) % samples.len()].as_bytes().to_vec();
    for edit in edits.chunks_exact(3) {
        let (place, byte) = (usize::from(edit[1]) * (text.len() + 1) / 256, edit[2]);
        match edit[0] % 5 {
            0 => text.insert(place, byte),
            1 if place < text.len() => text[place] = byte,
            2 if place < text.len() => drop(text.remove(place)),
            3 => text.truncate(place),
            _ => text.extend_from_within(place..),
        }
        if text.len() > 16 * 1024 {
            break;
        }
    }
    String::from_utf8(text).ok()
}
