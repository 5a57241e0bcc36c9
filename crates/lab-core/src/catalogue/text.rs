//! Numbers and plain ASCII texts drawn from the id of a row, without any state in between.

use crate::seed::{Seed, mix};

/// SplitMix64 seeded by a table's name and a row's id, so that a row can be made on its own.
/// **Source**: Steele, Lea, Flood, OOPSLA 2014.
#[derive(Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(seed: Seed, purpose: &str, id: u32) -> Self {
        Self(seed.derive(purpose).0 ^ mix(u64::from(id)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A whole number from 0 to n − 1.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        let product = (self.next() >> 32) * u64::from(n);
        u32::try_from(product >> 32).expect("a share of n is below n")
    }

    /// A number from 0 to 1, 1 excluded.
    pub(super) fn share(&mut self) -> f64 {
        f64::from(self.below(u32::MAX)) / f64::from(u32::MAX)
    }

    fn word(&mut self) -> &'static str {
        let n = u32::try_from(WORDS.len()).expect("the list is short");
        WORDS[self.below(n) as usize]
    }

    /// `n_words` words, the first with a capital.
    pub(super) fn phrase(&mut self, n_words: u32) -> String {
        let mut phrase = String::with_capacity(n_words as usize * 7);
        for index in 0..n_words {
            if 0 < index {
                phrase.push(' ');
            }
            phrase.push_str(self.word());
        }
        phrase[..1].make_ascii_uppercase();
        phrase
    }

    /// `n_sentences` sentences of 8 to 13 words.
    pub(super) fn paragraph(&mut self, n_sentences: u32) -> String {
        let mut paragraph = String::new();
        for index in 0..n_sentences {
            if 0 < index {
                paragraph.push(' ');
            }
            let n_words = 8 + self.below(6);
            paragraph.push_str(&self.phrase(n_words));
            paragraph.push('.');
        }
        paragraph
    }
}

/// The whole part of a number that is not negative and small.
pub(super) fn floor(value: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the whole part is what is wanted, and shares of a count are not negative"
    )]
    let whole = value as usize;
    whole
}

/// Plain words: nothing that JSON or COPY would have to escape.
const WORDS: [&str; 64] = [
    "amber", "anchor", "apple", "autumn", "basket", "birch", "bright", "bronze", "candle",
    "canvas", "cedar", "chalk", "clever", "copper", "cotton", "cradle", "crisp", "daily", "deep",
    "dusk", "early", "ember", "field", "fine", "folded", "gentle", "glass", "golden", "grain",
    "harbor", "hollow", "indigo", "ivory", "juniper", "kettle", "lantern", "light", "linen",
    "maple", "marble", "meadow", "mellow", "north", "oak", "olive", "paper", "pebble", "plain",
    "quiet", "rapid", "river", "round", "saddle", "silver", "simple", "spruce", "sturdy", "summer",
    "thistle", "timber", "velvet", "walnut", "warm", "willow",
];
