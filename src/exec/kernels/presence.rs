//! Which steps of a row have a point: a bit a step, 64 to a word.

use crate::row::is_absent;

/// Steps of a word.
pub(crate) const WORD: usize = u64::BITS as usize;

/// Words of so many steps.
pub(crate) fn words(steps: usize) -> usize {
    steps.div_ceil(WORD)
}

/// The word of `count` steps, at most [`WORD`], that all have a point.
#[inline(always)]
pub(crate) fn full(count: usize) -> u64 {
    if count < WORD { (1 << count) - 1 } else { u64::MAX }
}

/// The word of up to [`WORD`] values.
#[inline]
pub(crate) fn word_of(values: &[f64]) -> u64 {
    // Mostly none is absent, which is told of all at once.
    if values.iter().fold(true, |all, value| all & !is_absent(*value)) {
        return full(values.len());
    }
    let bit = |(at, value): (usize, &f64)| u64::from(!is_absent(*value)) << at;
    values.iter().enumerate().map(bit).fold(0, |word, bit| word | bit)
}

/// The steps of a word that have a point, ascending.
pub(crate) fn steps_of(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let step = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        step
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::ABSENT;

    #[test]
    fn words_tell_which_values_are_present() {
        assert_eq!((words(0), words(64), words(65)), (0, 1, 2));
        assert_eq!((full(0), full(3), full(64)), (0, 7, u64::MAX));
        for count in [0, 1, 5, 63, 64] {
            assert_eq!(word_of(&vec![f64::NAN; count]), full(count));
            assert_eq!(word_of(&vec![ABSENT; count]), 0);
        }
        let word = word_of(&[ABSENT, 1.0, ABSENT, f64::NAN]);
        assert_eq!(steps_of(word).collect::<Vec<_>>(), [1, 3]);
    }
}
