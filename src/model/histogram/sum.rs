//! Sums and differences of histograms, with compensation of rounding in every field.
//!
//! Two layouts meet in the coarser one: the lower schema, a bucket around zero wide enough for both,
//! the custom bounds that both have.

use std::sync::Arc;

use super::compare::coarser;
use super::layout::coarser_index;
use super::{Histogram, HistogramBuckets, ResetHint};

/// Exponential and custom buckets cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms have incompatible schemas")]
pub struct Incompatible;

/// What is remarkable about an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// One side is known to be a reset, the other one known to be none.
    pub resets_conflict: bool,
    /// Custom bounds that only one side had are gone.
    pub bounds_reconciled: bool,
}

/// A number and what rounding took off it (Neumaier 1974).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Exact {
    value: f64,
    rest: f64,
}

impl Exact {
    fn of(value: f64) -> Self {
        Self { value, rest: 0.0 }
    }

    #[inline]
    fn add(&mut self, value: f64) {
        let total = self.value + value;
        let lost = if self.value.abs() >= value.abs() {
            (self.value - total) + value
        } else {
            (value - total) + self.value
        };
        self.rest = if total.is_infinite() { 0.0 } else { self.rest + lost };
        self.value = total;
    }

    fn map(&mut self, change: impl Fn(f64) -> f64) {
        self.value = change(self.value);
        self.rest = change(self.rest);
    }

    fn total(self) -> f64 {
        self.value + self.rest
    }
}

/// Buckets by index, ascending.
type Cells = Vec<(i32, Exact)>;

/// A running sum of histograms.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    schema: i32,
    hint: ResetHint,
    zero_threshold: f64,
    zero_count: Exact,
    count: Exact,
    sum: Exact,
    positive: Cells,
    negative: Cells,
    bounds: Arc<[f64]>,
}

impl HistogramSum {
    /// A sum of one histogram.
    pub fn new(first: &Histogram) -> Self {
        let cells = |side: &HistogramBuckets| {
            side.iter().map(|(index, count)| (index, Exact::of(count))).collect()
        };
        Self {
            schema: first.schema,
            hint: first.reset_hint,
            zero_threshold: first.zero_threshold,
            zero_count: Exact::of(first.zero_count),
            count: Exact::of(first.count),
            sum: Exact::of(first.sum),
            positive: cells(&first.positive),
            negative: cells(&first.negative),
            bounds: first.bounds.clone(),
        }
    }

    /// Adds a histogram.
    pub fn add(&mut self, other: &Histogram) -> Result<Merged, Incompatible> {
        self.merge(other, 1.0)
    }

    /// Takes a histogram away.
    pub fn subtract(&mut self, other: &Histogram) -> Result<Merged, Incompatible> {
        self.merge(other, -1.0)
    }

    /// Multiplies every number by `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.each(|value| value * factor);
    }

    /// Divides every number by `divisor`, which must not be zero.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|value| value / divisor);
    }

    /// Bytes of its buckets.
    pub fn buckets_bytes(&self) -> usize {
        (self.positive.len() + self.negative.len()) * size_of::<(i32, Exact)>()
    }

    /// True when a field left the finite numbers.
    pub fn has_overflow(&self) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, cell)| cell.value);
        let fields = [self.zero_count.value, self.count.value, self.sum.value];
        buckets.chain(fields).any(f64::is_infinite)
    }

    /// The sum as a histogram; buckets that came to nothing are still there.
    pub fn finish(&self) -> Histogram {
        let side = |cells: &Cells| {
            HistogramBuckets::from_counts(cells.iter().map(|(index, cell)| (*index, cell.total())))
        };
        Histogram {
            schema: self.schema,
            reset_hint: self.hint,
            is_integer: false,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.total(),
            count: self.count.total(),
            sum: self.sum.total(),
            positive: side(&self.positive),
            negative: side(&self.negative),
            bounds: self.bounds.clone(),
        }
    }

    fn each(&mut self, change: impl Fn(f64) -> f64) {
        let buckets = self.positive.iter_mut().chain(&mut self.negative).map(|(_, cell)| cell);
        let fields = [&mut self.zero_count, &mut self.count, &mut self.sum];
        buckets.chain(fields).for_each(|number| number.map(&change));
    }

    fn is_custom(&self) -> bool {
        self.schema == super::CUSTOM_SCHEMA
    }

    fn merge(&mut self, other: &Histogram, sign: f64) -> Result<Merged, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let resets_conflict = self.merge_hint(other.reset_hint);
        let mut bounds_reconciled = false;
        if self.is_custom() {
            if self.bounds == other.bounds {
                add_cells(&mut self.positive, other.positive.iter(), sign);
            } else {
                bounds_reconciled = true;
                self.merge_on_shared_bounds(other, sign);
            }
        } else {
            let other_zero_count = self.share_zero_bucket(other);
            self.zero_count.add(sign * other_zero_count);
            self.coarsen(other.schema);
            let (schema, threshold) = (self.schema, self.zero_threshold);
            let outside =
                |(index, _): &(i32, f64)| threshold == 0.0 || magnitude(*index, schema) > threshold;
            let positive = coarser(&other.positive, other.schema, schema);
            add_cells(&mut self.positive, positive.iter().filter(outside), sign);
            let negative = coarser(&other.negative, other.schema, schema);
            add_cells(&mut self.negative, negative.iter().filter(outside), sign);
        }
        self.count.add(sign * other.count);
        self.sum.add(sign * other.sum);
        Ok(Merged { resets_conflict, bounds_reconciled })
    }

    /// The hint of a sum; true when the two contradict each other.
    fn merge_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        let (merged, conflict) = match (self.hint, other) {
            (one, two) if one == two => (one, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.hint = merged;
        conflict
    }

    /// Widens the bucket around zero until its edge lies in no populated bucket of either side; what
    /// `other` counts in a bucket of that width.
    fn share_zero_bucket(&mut self, other: &Histogram) -> f64 {
        let mut other_count = other.zero_count;
        let mut other_threshold = other.zero_threshold;
        if other_threshold.is_nan() || self.zero_threshold.is_nan() {
            // Widths that are no numbers never meet.
            return other_count;
        }
        while other_threshold != self.zero_threshold {
            if self.zero_threshold > other_threshold {
                (other_count, other_threshold) = zero_count_within(other, self.zero_threshold);
            }
            if other_threshold > self.zero_threshold {
                self.widen_zero_bucket(other_threshold);
            }
        }
        other_count
    }

    fn widen_zero_bucket(&mut self, wanted: f64) {
        let plain = |cells: &Cells| -> Vec<(i32, f64)> {
            cells.iter().map(|(index, cell)| (*index, cell.total())).collect()
        };
        let sides = [plain(&self.positive), plain(&self.negative)];
        let (count, threshold) = widened(self.schema, self.zero_count.total(), wanted, |side| {
            sides[side].iter().copied()
        });
        self.zero_count = Exact::of(count);
        self.zero_threshold = threshold;
        let schema = self.schema;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|(index, cell)| {
                cell.value != 0.0 && magnitude(index.saturating_sub(1), schema) >= threshold
            });
        }
    }

    /// Merges buckets to those of a coarser schema; a finer one changes nothing.
    pub fn coarsen(&mut self, schema: i32) {
        if schema >= self.schema {
            return;
        }
        for side in [&mut self.positive, &mut self.negative] {
            let mut merged: Cells = Vec::with_capacity(side.len());
            for (index, cell) in side.iter() {
                let index = coarser_index(*index, self.schema, schema);
                match merged.last_mut() {
                    Some((last, sum)) if *last == index => {
                        sum.add(cell.value);
                        sum.add(cell.rest);
                    }
                    _ => merged.push((index, *cell)),
                }
            }
            *side = merged;
        }
        self.schema = schema;
    }

    /// Brings both sides to the bounds that they share.
    fn merge_on_shared_bounds(&mut self, other: &Histogram, sign: f64) {
        let shared: Vec<f64> =
            self.bounds.iter().copied().filter(|bound| other.bounds.contains(bound)).collect();
        let place = |bounds: &[f64], index: i32| match usize::try_from(index) {
            Ok(index) => match bounds.get(index) {
                Some(bound) => shared.partition_point(|edge| edge < bound),
                None => shared.len(),
            },
            Err(_) => 0,
        };
        let mut cells = vec![Exact::default(); shared.len() + 1];
        for (index, cell) in &self.positive {
            let target = &mut cells[place(&self.bounds, *index)];
            target.add(cell.value);
            target.add(cell.rest);
        }
        for (index, count) in other.positive.iter() {
            cells[place(&other.bounds, index)].add(sign * count);
        }
        let cells = cells.into_iter().zip(0..).map(|(cell, index)| (index, cell));
        self.positive = cells.filter(|(_, cell)| cell.value != 0.0 || cell.rest != 0.0).collect();
        self.bounds = shared.into();
    }
}

impl Histogram {
    /// The sum of two histograms.
    pub fn plus(&self, other: &Histogram) -> Result<(Histogram, Merged), Incompatible> {
        let mut sum = HistogramSum::new(self);
        let merged = sum.add(other)?;
        Ok((sum.finish(), merged))
    }

    /// The difference of two histograms.
    pub fn minus(&self, other: &Histogram) -> Result<(Histogram, Merged), Incompatible> {
        let mut sum = HistogramSum::new(self);
        let merged = sum.subtract(other)?;
        Ok((sum.finish(), merged))
    }

    /// Multiplies every number by `factor`; a negative one makes it a gauge.
    pub fn scale(&mut self, factor: f64) {
        self.each(|value| value * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides every number by `divisor`; zero leaves no buckets, a negative one makes it a gauge.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|value| value / divisor);
        if divisor == 0.0 {
            self.positive = HistogramBuckets::default();
            self.negative = HistogramBuckets::default();
        } else if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    fn each(&mut self, change: impl Fn(f64) -> f64) {
        let buckets = self.positive.counts.iter_mut().chain(&mut self.negative.counts);
        let fields = [&mut self.zero_count, &mut self.count, &mut self.sum];
        buckets.chain(fields).for_each(|number| *number = change(*number));
        self.is_integer = false;
    }
}

/// Adds counts in ascending order of their indexes.
fn add_cells(cells: &mut Cells, counts: impl Iterator<Item = (i32, f64)>, sign: f64) {
    let mut place = 0;
    let mut missing: Cells = Vec::new();
    for (index, count) in counts {
        while cells.get(place).is_some_and(|(known, _)| *known < index) {
            place += 1;
        }
        match cells.get_mut(place) {
            Some((known, cell)) if *known == index => cell.add(sign * count),
            _ => missing.push((index, Exact::of(sign * count))),
        }
    }
    if !missing.is_empty() {
        cells.append(&mut missing);
        cells.sort_by_key(|(index, _)| *index);
    }
}

/// The upper bound of an exponential bucket.
fn magnitude(index: i32, schema: i32) -> f64 {
    super::layout::exponential_bound(index, schema)
}

/// What a histogram counts in a bucket around zero of at least the width `wanted`, and how wide the
/// bucket must be so that its edge lies in no populated bucket.
pub(super) fn zero_count_within(histogram: &Histogram, wanted: f64) -> (f64, f64) {
    if wanted == histogram.zero_threshold || histogram.is_custom() {
        return (histogram.zero_count, wanted);
    }
    widened(histogram.schema, histogram.zero_count, wanted, |side| {
        if side == 0 { histogram.positive.iter() } else { histogram.negative.iter() }
    })
}

fn widened<I: Iterator<Item = (i32, f64)>>(
    schema: i32,
    zero_count: f64,
    mut wanted: f64,
    side: impl Fn(usize) -> I,
) -> (f64, f64) {
    loop {
        let mut total = Exact::of(zero_count);
        let before = wanted;
        for number in 0..2 {
            for (index, count) in side(number) {
                if magnitude(index.saturating_sub(1), schema) >= wanted {
                    break;
                }
                total.add(count);
                let upper = magnitude(index, schema);
                if upper > wanted {
                    if count != 0.0 {
                        wanted = upper;
                    }
                    break;
                }
            }
        }
        // A wider bucket may hold more of either side: count again.
        if wanted == before {
            return (total.total(), wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(schema: i32, threshold: f64, zero: f64, positive: &[(i32, f64)]) -> Histogram {
        Histogram {
            schema,
            zero_threshold: threshold,
            zero_count: zero,
            count: zero + positive.iter().map(|bucket| bucket.1).sum::<f64>(),
            positive: HistogramBuckets::from_counts(positive.iter().copied()),
            ..Histogram::default()
        }
    }

    #[test]
    fn layouts_meet_in_the_coarser_one() {
        let fine = some(1, 0.0, 0.0, &[(1, 1.0), (2, 2.0), (5, 4.0)]);
        let coarse = some(0, 1.5, 1.0, &[(2, 1.0)]);
        let (sum, merged) = fine.plus(&coarse).unwrap();
        assert_eq!(merged, Merged::default());
        // 1.5 lies inside a populated bucket of the fine side, whose edge is 2.
        assert_eq!((sum.schema, sum.zero_threshold, sum.zero_count), (0, 2.0, 4.0));
        assert_eq!(sum.positive.iter().collect::<Vec<_>>(), [(2, 1.0), (3, 4.0)]);
        assert_eq!(sum.count, 9.0);
        let (back, _) = sum.minus(&coarse).unwrap();
        assert_eq!(back.count, 7.0);
    }

    #[test]
    fn custom_bounds_meet_in_the_shared_ones() {
        let custom = |bounds: &[f64], counts: &[(i32, f64)]| Histogram {
            bounds: bounds.into(),
            ..some(super::super::CUSTOM_SCHEMA, 0.0, 0.0, counts)
        };
        let one = custom(&[1.0, 2.0, 3.0], &[(0, 1.0), (1, 1.0), (3, 5.0)]);
        let two = custom(&[1.0, 3.0], &[(1, 2.0)]);
        let (sum, merged) = one.plus(&two).unwrap();
        assert!(merged.bounds_reconciled);
        assert_eq!(&*sum.bounds, [1.0, 3.0]);
        assert_eq!(sum.positive.iter().collect::<Vec<_>>(), [(0, 1.0), (1, 3.0), (2, 5.0)]);
        assert_eq!(one.plus(&some(0, 0.0, 0.0, &[])).unwrap_err(), Incompatible);
    }

    #[test]
    fn hints_contradict() {
        let hinted = |hint| Histogram { reset_hint: hint, ..Histogram::default() };
        let (sum, merged) = hinted(ResetHint::Reset).plus(&hinted(ResetHint::NotReset)).unwrap();
        assert!(merged.resets_conflict);
        assert_eq!(sum.reset_hint, ResetHint::Unknown);
        let (sum, merged) = hinted(ResetHint::Reset).plus(&hinted(ResetHint::Gauge)).unwrap();
        assert!(!merged.resets_conflict);
        assert_eq!(sum.reset_hint, ResetHint::Gauge);
    }
}
