//! One seed per trial, split by name.
//!
//! Adding a consumer of randomness must not shift the numbers of the others, so each asks for a
//! stream of its own by name instead of drawing from a shared generator.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The seed of a trial, a campaign or a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// A generator for one named purpose, such as `"arrivals"`.
    ///
    /// ChaCha8 is specified byte for byte, so a stream is the same on every platform and version.
    pub fn stream(self, name: &str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.derive(name).0)
    }

    /// A seed for one named part, such as `"trial-2"`.
    #[must_use]
    pub fn derive(self, name: &str) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(mix(hash))
    }
}

/// The finaliser of SplitMix64: spreads every input bit over the whole word.
/// **Source**: Steele, Lea, Flood, OOPSLA 2014, variant 13 of Stafford's mixers.
pub fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The share, from 0 to below 1, that a word drawn evenly from all stands for.
pub fn share(word: u64) -> f64 {
    // The upper 53 bits, as many as a float holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let share = (word >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn a_share_goes_from_0_to_just_below_1() {
        assert_eq!([share(0), share(1 << 63)].map(|it| it.to_string()), ["0", "0.5"]);
        let last = share(u64::MAX);
        assert!(last < 1.0 && 1.0 <= last.next_up(), "{last}");
    }

    #[test]
    fn the_same_name_gives_the_same_numbers_and_another_name_others() {
        let draw = |seed: u64, name: &str| Seed(seed).stream(name).next_u64();
        assert_eq!(draw(7, "arrivals"), draw(7, "arrivals"));
        assert_ne!(draw(7, "arrivals"), draw(7, "keys"));
        assert_ne!(draw(7, "arrivals"), draw(8, "arrivals"));
    }
}
