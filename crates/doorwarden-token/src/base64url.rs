//! Base64url without padding (RFC 7515, section 2), one spelling per value: no padding, no whitespace, no
//! other alphabet, unused bits zero.

use base64_simd::{AsOut, URL_SAFE_NO_PAD};

/// Encodes these bytes.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

pub(crate) fn encode_append(bytes: &[u8], text: &mut String) {
    URL_SAFE_NO_PAD.encode_append(bytes, text);
}

/// Decodes a text; `None` if it is anything but their one spelling.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// Decodes into the beginning of `buffer`. `None` also if `buffer` is too small.
pub(crate) fn decode_into<'b>(text: &[u8], buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    if URL_SAFE_NO_PAD.estimated_decoded_length(text.len()) > buffer.len() {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text, buffer.as_out()).ok().map(|bytes| &*bytes)
}

/// Decodes exactly `N` bytes; `None` if the text is anything but their one spelling.
pub fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != URL_SAFE_NO_PAD.encoded_length(N) {
        return None;
    }
    let mut bytes = [0; N];
    URL_SAFE_NO_PAD.decode(text, bytes.as_mut_slice().as_out()).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_texts_of_four_characters_only_the_canonical_one_decodes() {
        let alphabet: Vec<u8> = (0..=255).collect();
        for length in [2_usize, 3] {
            let mut accepted = 0_u32;
            for &a in &alphabet {
                for &b in &alphabet {
                    let text = if length == 2 { vec![a, b] } else { vec![b'A', a, b] };
                    if let Some(bytes) = decode(&text) {
                        assert_eq!(encode(&bytes).as_bytes(), text, "two spellings of one value");
                        accepted += 1;
                    }
                }
            }
            assert_eq!(accepted, if length == 2 { 256 } else { 64 * 16 }, "length {length}");
        }
    }

    #[test]
    fn long_texts_are_as_strict_as_short_ones() {
        let good = encode(&[0xfb; 100]);
        assert_eq!(decode(good.as_bytes()), Some(vec![0xfb; 100]));
        for position in 0..good.len() {
            for wrong in [b'+', b'/', b'=', b' ', b'\n', b'.', 0, 0xff] {
                let mut text = good.clone().into_bytes();
                text[position] = wrong;
                assert_eq!(decode(&text), None, "{wrong:#x} at {position}");
            }
        }
        let last = good.len() - 1;
        assert!(good.ends_with('w') || good.ends_with('s'), "100 bytes leave four unused bits: {good}");
        let spellings = (0..=255_u8).filter(|&c| {
            let mut text = good.clone().into_bytes();
            text[last] = c;
            decode(&text).is_some()
        });
        assert_eq!(spellings.count(), 4, "two bits of the last character are used");
    }

    #[test]
    fn arrays_have_their_exact_length() {
        assert_eq!(decode_array::<16>(encode(&[7; 16]).as_bytes()), Some([7; 16]));
        assert_eq!(decode_array::<16>(encode(&[7; 15]).as_bytes()), None);
        assert_eq!(decode_array::<16>(encode(&[7; 17]).as_bytes()), None);
        let mut small = [0; 4];
        assert_eq!(decode_into(b"AAAAAAAA", &mut small), None);
        assert_eq!(decode_into(b"AAAA", &mut small), Some(&[0; 3][..]));
    }
}
