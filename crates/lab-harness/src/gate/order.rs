//! Which version goes first in each pair. Pure.

use lab_core::{artifact::gate::Side, seed::Seed};
use rand::seq::SliceRandom;

/// Which version goes first in each of `n_pairs` pairs: in every two pairs each of them once, which
/// of them before is drawn (ABBA or BAAB). What belongs to the place and not to the version, such as
/// a cold processor, then cancels at every even number of pairs, and so does a steady drift.
pub(crate) fn first_sides(seed: Seed, n_pairs: u32) -> Vec<Side> {
    let mut rng = seed.stream("gate-order");
    let n_blocks = n_pairs.div_ceil(2);
    let mut sides: Vec<Side> = (0..n_blocks)
        .flat_map(|_| {
            let mut block = Side::ALL;
            block.shuffle(&mut rng);
            block
        })
        .collect();
    sides.truncate(usize::try_from(n_pairs).unwrap_or(usize::MAX));
    sides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_every_two_pairs_each_version_goes_first_once() {
        for seed in 0..20 {
            let sides = first_sides(Seed(seed), 20);
            assert_eq!(sides.len(), 20);
            assert!(sides.chunks(2).all(|it| it[0] == it[1].other()), "{sides:?}");
        }
        assert_eq!(first_sides(Seed(1), 3).len(), 3);
    }

    #[test]
    fn the_order_comes_from_the_seed() {
        assert_eq!(first_sides(Seed(1), 20), first_sides(Seed(1), 20));
        assert_ne!(first_sides(Seed(1), 20), first_sides(Seed(2), 20));
        let begin: Vec<Side> = (0..40).map(|seed| first_sides(Seed(seed), 2)[0]).collect();
        assert!(Side::ALL.iter().all(|it| begin.contains(it)), "both begin: {begin:?}");
    }
}
