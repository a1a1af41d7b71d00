use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// HMAC-SHA256 (RFC 2104) with the key already processed.
#[derive(Clone)]
pub(crate) struct Mac(Hmac<Sha256>);

impl Mac {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of every length"))
    }

    pub(crate) fn tag(&self, message: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(message).finalize().into_bytes().into()
    }

    /// Whether `given` is the beginning of the tag of `message`, in constant time. `N` is a multiple of
    /// eight.
    pub(crate) fn fits<const N: usize>(&self, message: &[u8], given: &[u8; N]) -> bool {
        // Compared word by word: comparing bytes would take a sixth of the time of the hash itself.
        let tag = self.tag(message);
        let (tag, given) = (tag.as_chunks::<8>().0, given.as_chunks::<8>().0);
        let same = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a).ct_eq(&u64::from_ne_bytes(*b));
        tag.iter().zip(given).map(same).fold(Choice::from(1), |all, one| all & one).into()
    }
}

#[cfg(test)]
mod tests {
    use super::Mac;

    #[test]
    fn the_whole_tag_is_compared() {
        let mac = Mac::new(b"key");
        let tag = mac.tag(b"message");
        assert!(mac.fits(b"message", &tag));
        assert!(mac.fits(b"message", tag.first_chunk::<24>().unwrap()));
        assert!(!mac.fits(b"massage", &tag));
        for bit in 0..256 {
            let mut wrong = tag;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!mac.fits(b"message", &wrong), "bit {bit}");
        }
    }
}
