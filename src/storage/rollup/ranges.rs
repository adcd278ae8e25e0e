//! Lists of ranges of time: ascending, and none touches another.

use model::TimeRange;

/// Adds `range` to the list.
pub(crate) fn add(ranges: &mut Vec<TimeRange>, range: TimeRange) {
    if range.is_empty() {
        return;
    }
    let before = ranges.partition_point(|known| known.end_ms < range.start_ms.saturating_sub(1));
    let end = ranges.partition_point(|known| known.start_ms <= range.end_ms.saturating_add(1));
    let hull = ranges[before..end].iter().fold(range, |hull, known| hull.hull(known));
    ranges.splice(before..end, [hull]);
}

/// Takes `range` out of the list.
pub(crate) fn remove(ranges: &mut Vec<TimeRange>, range: TimeRange) {
    let cut = |known: &TimeRange| {
        if !known.overlaps(&range) {
            return [Some(*known), None];
        }
        let before = TimeRange::new(known.start_ms, range.start_ms.saturating_sub(1));
        let behind = TimeRange::new(range.end_ms.saturating_add(1), known.end_ms);
        [
            (known.start_ms < range.start_ms).then_some(before),
            (range.end_ms < known.end_ms).then_some(behind),
        ]
    };
    *ranges = ranges.iter().flat_map(cut).flatten().collect();
}

/// What the list has inside `range`.
pub(crate) fn inside(ranges: &[TimeRange], range: TimeRange) -> Vec<TimeRange> {
    let overlapping = ranges.iter().filter(|known| known.overlaps(&range));
    overlapping.map(|known| known.intersect(&range)).collect()
}

/// True when one of the ranges has the instant.
pub(crate) fn contains(ranges: &[TimeRange], at_ms: i64) -> bool {
    let next = ranges.partition_point(|known| known.end_ms < at_ms);
    ranges.get(next).is_some_and(|known| known.start_ms <= at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;

    /// Against a set of instants.
    #[test]
    fn ranges_are_sets() {
        let mut rng = Rng::new(1);
        for _ in 0..500 {
            let (mut ranges, mut set) = (Vec::new(), [false; 60]);
            for _ in 0..12 {
                let start = rng.below(60) as i64;
                let range = TimeRange::new(start, (start + rng.below(10) as i64).min(59));
                let is_added = rng.one_in(2);
                let change = if is_added { add } else { remove };
                change(&mut ranges, range);
                (range.start_ms..=range.end_ms).for_each(|at| set[at as usize] = is_added);
            }
            for (at, want) in set.iter().enumerate() {
                assert_eq!(contains(&ranges, at as i64), *want, "{ranges:?}");
            }
            let apart = |pair: &[TimeRange]| pair[0].end_ms < pair[1].start_ms;
            assert!(ranges.windows(2).all(apart), "{ranges:?}");
            let part = inside(&ranges, TimeRange::new(10, 20));
            for (at, is_in) in set.iter().enumerate() {
                assert_eq!(contains(&part, at as i64), *is_in && (10..=20).contains(&at));
            }
        }
    }
}
