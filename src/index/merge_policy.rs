//! Which of a head's dictionaries to merge.
//!
//! Dictionaries of about one size are merged once there are [`WIDTH`] of them, so there are few and
//! every term is written O(log n) times. A policy that keeps sizes strictly geometric leaves fewer,
//! but was measured to write each of a million terms ten times instead of three.

/// Neighbours of one size that are merged into one.
const WIDTH: usize = 4;

/// Given sizes from oldest to newest, how many of the newest to merge into one; 0 when there is
/// nothing to gain.
pub(crate) fn newest_to_merge(sizes: &[usize]) -> usize {
    let Some(newest) = sizes.last() else { return 0 };
    // Anything smaller than the newest that got between larger ones is taken along.
    let small = sizes.iter().rev().take_while(|size| **size < newest.saturating_mul(WIDTH) / 2);
    let count = small.count();
    if count >= WIDTH { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_are_merged_and_larger_ones_left_alone() {
        for (sizes, expected) in [
            (&[][..], 0),
            (&[10], 0),
            (&[10, 10, 10], 0),
            (&[10, 10, 10, 10], 4),
            (&[1000, 10, 10, 10], 0),
            (&[1000, 10, 1, 10, 10], 4),
            (&[40, 10, 10, 10, 10], 4),
        ] {
            assert_eq!(newest_to_merge(sizes), expected, "{sizes:?}");
        }
    }

    #[test]
    fn many_freezes_leave_few_dictionaries() {
        let mut sizes = Vec::new();
        let mut written = 0;
        for frozen in std::iter::repeat_n(32, 1000) {
            sizes.push(frozen);
            loop {
                let take = newest_to_merge(&sizes);
                if take == 0 {
                    break;
                }
                let merged = sizes.split_off(sizes.len() - take).iter().sum();
                written += merged;
                sizes.push(merged);
            }
        }
        assert!(sizes.len() <= 15, "{sizes:?}");
        assert!(written < 32_000 * 5, "{written}");
    }
}
