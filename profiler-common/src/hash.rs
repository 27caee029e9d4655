//! A hash with a key, for what others may choose: who does not know the key cannot find two texts with one hash.

/// `SipHash` with one round a word and three at the end (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), over
/// whole words. The loops that feed it have to be bounded, for the verifier's sake; here there is none.
#[derive(Clone, Copy, Debug)]
pub struct SipHash {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
    words: u64,
}

impl SipHash {
    /// Of nothing, with this key.
    #[inline(always)]
    pub fn new(key: [u64; 2]) -> Self {
        let [k0, k1] = key;
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
            words: 0,
        }
    }

    /// Takes in a word, little-endian.
    #[inline(always)]
    pub fn add(&mut self, word: u64) {
        self.words = self.words.wrapping_add(1);
        self.mix(word);
    }

    /// The hash of what was taken in.
    #[inline(always)]
    pub fn finish(mut self) -> u64 {
        // The last word has no bytes left, and the number of all, of which only the lowest byte counts.
        self.mix(self.words.wrapping_mul(8) << 56);
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline(always)]
    fn mix(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::hash::Hasher as _;
    use std::hash::DefaultHasher;

    use super::*;

    #[test]
    fn it_is_the_one_that_the_standard_library_has() {
        for count in [0_u64, 1, 2, 31, 32, 65, 513] {
            // Keys of zero, as `DefaultHasher::new` has them.
            let (mut ours, mut theirs) = (SipHash::new([0, 0]), DefaultHasher::new());
            for word in 0..count {
                let word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                ours.add(word);
                theirs.write(&word.to_le_bytes());
            }
            assert_eq!(ours.finish(), theirs.finish(), "{count} words");
        }
    }

    #[test]
    fn another_key_is_another_hash() {
        let hash = |key| {
            let mut hash = SipHash::new(key);
            hash.add(7);
            hash.finish()
        };
        assert_ne!(hash([1, 0]), hash([0, 0]));
        assert_ne!(hash([0, 1]), hash([0, 0]));
    }
}
