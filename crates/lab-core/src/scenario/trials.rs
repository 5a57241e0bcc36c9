//! How often every cell is run.

use std::{
    fmt::{self, Display, Formatter},
    num::NonZeroU32,
};

use serde::{Deserialize, Deserializer, Serialize, de};

/// Repetitions of every cell: one number for all loads, or one for each load factor, in their order.
/// Written as a number or as a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Trials {
    /// As often under every load.
    Each(NonZeroU32),
    /// So often under each load factor.
    OfLoadFactors(Vec<NonZeroU32>),
}

impl Trials {
    /// What a command line with these numbers asks for; `None` without any.
    pub fn from_numbers(numbers: &[NonZeroU32]) -> Option<Self> {
        match numbers {
            [] => None,
            [one] => Some(Self::Each(*one)),
            several => Some(Self::OfLoadFactors(several.to_vec())),
        }
    }

    /// Those of the load factor at this place. `None`: it has no number of its own, and there is none
    /// for all.
    pub fn of_load_factor(&self, place: usize) -> Option<u32> {
        match self {
            Self::Each(n) => Some(n.get()),
            Self::OfLoadFactors(all) => all.get(place).map(|it| it.get()),
        }
    }

    /// The greatest of the numbers.
    pub fn most(&self) -> u32 {
        match self {
            Self::Each(n) => n.get(),
            Self::OfLoadFactors(all) => all.iter().map(|it| it.get()).max().unwrap_or(0),
        }
    }

    /// For how many load factors there is a number; `None`: there is one for all.
    pub(super) fn n_load_factors(&self) -> Option<usize> {
        match self {
            Self::Each(_) => None,
            Self::OfLoadFactors(all) => Some(all.len()),
        }
    }
}

impl Display for Trials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Each(n) => n.fmt(f),
            Self::OfLoadFactors(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(","))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Trials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrList)
    }
}

/// By hand, because an untagged enum says nothing about what is wrong.
struct NumberOrList;

impl<'de> de::Visitor<'de> for NumberOrList {
    type Value = Trials;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a nonzero number, or a list of one for each load factor")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Trials, E> {
        let number = u32::try_from(value).ok().and_then(NonZeroU32::new);
        number
            .map(Trials::Each)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Trials, E> {
        let refused = || E::invalid_value(de::Unexpected::Signed(value), &self);
        u64::try_from(value).map_err(|_| refused()).and_then(|it| self.visit_u64(it))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Trials, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Trials::OfLoadFactors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Trials, String> {
        serde_json::from_str(json).map_err(|it| it.to_string())
    }

    #[test]
    fn a_number_is_for_every_load_and_a_list_for_one_each() {
        let [three, five] = [3, 5].map(|it| NonZeroU32::new(it).unwrap());
        assert_eq!(read("3"), Ok(Trials::Each(three)));
        let listed = read("[5,3]").unwrap();
        assert_eq!(listed, Trials::OfLoadFactors(vec![five, three]));
        assert_eq!([0, 1, 2].map(|it| listed.of_load_factor(it)), [Some(5), Some(3), None]);
        assert_eq!(Trials::Each(three).of_load_factor(7), Some(3));
        assert_eq!([listed.most(), Trials::Each(three).most()], [5, 3]);
        assert_eq!(serde_json::to_string(&listed).unwrap(), "[5,3]");
        assert_eq!([listed.to_string(), Trials::Each(three).to_string()], ["5,3", "3"]);
    }

    #[test]
    fn what_is_no_number_of_trials_is_refused_and_told() {
        for wrong in ["0", "-1", "\"3\"", "4294967296"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("nonzero number"), "{wrong}: {error}");
        }
        assert!(read("[5,0]").unwrap_err().contains("nonzero"));
    }
}
