//! Random numbers that are the same on every machine and in every version.

/// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Passes
/// the usual batteries of tests, and a dependency would not promise the same numbers in its next version.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of a list, each as likely as the other (to one part in 2^64 over the length; Lemire, "Fast random integer
    /// generation in an interval", ACM TOMACS 2019, without the rejection that removes that). `None` of an empty list.
    pub(super) fn choose<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let length = u128::try_from(list.len()).unwrap_or(0);
        let index = (u128::from(self.next()) * length) >> 64;
        list.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        // The first five for the seed 1234567, as Rosetta Code and the reference implementation print them.
        let mut random = Random::new(1_234_567);
        for expected in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ] {
            assert_eq!(random.next(), expected);
        }
    }

    #[test]
    fn each_of_a_list_is_chosen_about_as_often() {
        let mut random = Random::new(7);
        let mut seen = [0; 5];
        for _ in 0..50_000 {
            seen[*random.choose(&[0, 1, 2, 3, 4]).unwrap()] += 1;
        }
        for count in seen {
            // Ten standard deviations of a binomial count.
            assert!((9_100..=10_900).contains(&count), "{seen:?}");
        }
        assert_eq!(random.choose::<u8>(&[]), None);
    }
}
