//! Which of a head's dictionaries to merge.
//!
//! Sizes shrink from old to new at least by [`FACTOR`], so there are O(log n) dictionaries and every
//! term is written O(log n) times.

/// The least ratio between neighbours.
const FACTOR: usize = 3;

/// Given sizes from oldest to newest, how many of the newest to merge into one; 0 when the sizes are
/// in order.
pub(crate) fn newest_to_merge(sizes: &[usize]) -> usize {
    let mut sum = 0;
    let mut take = 0;
    for (index, size) in sizes.iter().rev().enumerate() {
        if index > 0 {
            if *size >= sum * FACTOR {
                break;
            }
            take = index + 1;
        }
        sum += size;
    }
    take
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_geometric() {
        for (sizes, expected) in [
            (&[][..], 0),
            (&[10], 0),
            (&[10, 10], 2),
            (&[100, 10], 0),
            (&[1000, 10, 10], 2),
            (&[100, 50, 10, 10], 4),
            (&[31, 10], 0),
        ] {
            assert_eq!(newest_to_merge(sizes), expected, "{sizes:?}");
        }
    }

    #[test]
    fn many_freezes_leave_few_dictionaries() {
        let mut sizes = Vec::new();
        let mut written = 0;
        for _ in 0..1000 {
            sizes.push(32);
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
        assert!(sizes.len() <= 8, "{sizes:?}");
        assert!(written < 32_000 * 10, "{written}");
    }
}
