//! Checks of a public RSA key beyond its form.

/// Whether modulus and exponent (big-endian, without leading zeros) are strong enough.
pub(super) fn is_strong(n: &[u8], e: &[u8]) -> bool {
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let exponent = e.iter().take(8).fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    // RFC 7518, section 3.3; FIPS 186-5, section 5.4 (exponent). aws-lc takes at most 33 bits of exponent.
    (2048..=8192).contains(&bits) && odd(n) && odd(e) && e.len() <= 5 && exponent >= 65_537 && !is_roca(n)
}

/// Whether the key was made by the broken generator of Infineon chips (CVE-2017-15361): its primes are powers
/// of 65537 modulo a product of small primes, and so is the modulus. By chance this is true of one key in
/// 2^28.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.into_iter().all(|prime| {
        let rest = n.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * 65_537 % prime;
            power == rest
        })
    })
}

/// Modulus and exponent of the DER form `RSAPublicKey` (RFC 8017, appendix A.1.1), without leading zeros.
pub(super) fn components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(0x30, der)?;
    let (n, rest) = element(0x02, sequence)?;
    let (e, _) = element(0x02, rest)?;
    let trimmed = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    Some((&n[trimmed(n)..], &e[trimmed(e)..]))
}

/// The contents of a DER element with this tag, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}
