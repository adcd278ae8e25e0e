//! Rows: what flows from node to node. A row is its values over time; who it is stands beside it ([`Identity`]), and
//! nodes that need all rows at once collect them ([`Rows`]).
//!
//! Absence inside a row is the stale marker's bit pattern ([`ABSENT`]): folds take markers out of
//! what is stored, and no arithmetic produces a signalling NaN, so the pattern is free. A separate
//! bitset was rejected: it doubles the state of every loop and saves nothing.
//!
//! Native histograms stand in a column of their own that rows without any do not have; the float
//! beside one is [`ABSENT`], so an operator that only knows floats sees no point there.

mod collected;
mod identity;
mod steps;

use std::sync::Arc;

use model::{Histogram, Points, STALE_NAN_BITS, Samples, StepGrid};

pub(crate) use self::collected::Rows;
pub(crate) use self::identity::{Identity, METRIC_LABELS, without_name};

/// The value of an instant at which a row on a grid has no point.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// True where there is no point.
#[inline(always)]
pub(crate) fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The value of a row at one instant.
#[derive(Clone, Debug)]
pub(crate) enum Point {
    /// There is none.
    Absent,
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl Point {
    /// The float, unless it is [`ABSENT`].
    pub(crate) fn from_float(value: f64) -> Self {
        if is_absent(value) { Self::Absent } else { Self::Float(value) }
    }

    /// The histogram, where there is one.
    pub(crate) fn from_histogram(histogram: Option<Histogram>) -> Self {
        histogram.map_or(Self::Absent, |histogram| Self::Histogram(Arc::new(histogram)))
    }
}

/// The values of one row; reused from row to row.
///
/// With a grid, `samples.values` has one entry per instant, [`ABSENT`] where there is no point, and
/// `samples.timestamps` is empty. Without one, the instants are listed and every point is present
/// (a raw row may hold stale markers until it is folded).
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// The regular instants.
    pub(crate) grid: Option<StepGrid>,
    /// The values, and the instants where they are listed.
    pub(crate) samples: Samples,
    /// The row is a rate in OpenTSDB's sense: between its points it holds its last value.
    pub(crate) held: bool,
    /// The rate against the point (0, 0), which only an aggregate over the union of instants sees.
    pub(crate) hidden: Option<(i64, f64)>,
}

impl Row {
    /// Makes this a row on `grid` without any point.
    pub(crate) fn reset_to_grid(&mut self, grid: StepGrid, steps: usize) {
        self.reset_to_list();
        self.grid = Some(grid);
        self.samples.values.resize(steps, ABSENT);
    }

    /// Makes this a row of listed instants without any point.
    pub(crate) fn reset_to_list(&mut self) {
        self.samples.clear();
        self.grid = None;
        self.held = false;
        self.hidden = None;
    }

    /// The values.
    pub(crate) fn values(&self) -> &[f64] {
        &self.samples.values
    }

    /// The instant at `index`.
    pub(crate) fn at(&self, index: usize) -> i64 {
        match &self.grid {
            Some(grid) => grid.at(index),
            None => self.samples.timestamps.get(index).copied().unwrap_or_default(),
        }
    }

    /// How many samples of numbers take as much memory.
    pub(crate) fn weight(&self) -> usize {
        self.samples.weight()
    }

    /// The exact integer at `index`, where there is one.
    pub(crate) fn integer(&self, index: usize) -> Option<i64> {
        self.samples.integers.get(index).copied().flatten()
    }

    /// True when there may be histograms.
    pub(crate) fn has_histograms(&self) -> bool {
        !self.samples.histograms.is_empty()
    }

    /// True when there is neither a float nor a histogram at `index`.
    pub(crate) fn is_absent_at(&self, index: usize) -> bool {
        is_absent(self.samples.values[index]) && self.samples.histogram(index).is_none()
    }

    /// The point at `index`.
    pub(crate) fn point(&self, index: usize) -> Point {
        match self.samples.histogram(index) {
            Some(histogram) => Point::Histogram(histogram.clone()),
            None => Point::from_float(self.samples.values[index]),
        }
    }

    /// Replaces the point at `index`.
    pub(crate) fn set_point(&mut self, index: usize, point: Point) {
        let (value, histogram) = match point {
            Point::Absent => (ABSENT, None),
            Point::Float(value) => (value, None),
            Point::Histogram(histogram) => (ABSENT, Some(histogram)),
        };
        self.samples.values[index] = value;
        if histogram.is_some() || self.has_histograms() {
            self.samples.histograms.resize(self.samples.values.len(), None);
            self.samples.histograms[index] = histogram;
        }
    }

    /// Takes the point at `index` away.
    pub(crate) fn clear_at(&mut self, index: usize) {
        self.samples.values[index] = ABSENT;
        if let Some(histogram) = self.samples.histograms.get_mut(index) {
            *histogram = None;
        }
    }

    /// Takes all histograms away.
    pub(crate) fn clear_histograms(&mut self) {
        self.samples.histograms.clear();
    }

    /// Number of present points.
    pub(crate) fn point_count(&self) -> usize {
        match self.grid {
            Some(_) => (0..self.values().len()).filter(|at| !self.is_absent_at(*at)).count(),
            None => self.samples.len(),
        }
    }

    /// True when no point is present.
    pub(crate) fn is_empty(&self) -> bool {
        (0..self.values().len()).all(|index| self.is_absent_at(index))
    }

    /// Turns a row on a grid into one of listed instants.
    pub(crate) fn list(&mut self) {
        let Some(grid) = self.grid.take() else { return };
        let mut kept = 0;
        self.samples.timestamps.clear();
        for index in 0..self.samples.values.len() {
            if !self.is_absent_at(index) {
                self.samples.timestamps.push(grid.at(index));
                self.samples.values[kept] = self.samples.values[index];
                if let Some(integer) = self.samples.integers.get(index).copied() {
                    self.samples.integers[kept] = integer;
                }
                if index < self.samples.histograms.len() {
                    self.samples.histograms.swap(kept, index);
                }
                kept += 1;
            }
        }
        self.samples.values.truncate(kept);
        self.samples.integers.truncate(kept);
        self.samples.histograms.truncate(kept);
        self.samples.starts.clear();
    }

    /// Replaces the content by that of `other`.
    pub(crate) fn copy_from(&mut self, other: &Row) {
        self.grid = other.grid;
        self.held = other.held;
        self.hidden = other.hidden;
        self.samples.timestamps.clone_from(&other.samples.timestamps);
        self.samples.values.clone_from(&other.samples.values);
        self.samples.integers.clone_from(&other.samples.integers);
        self.samples.histograms.clone_from(&other.samples.histograms);
        self.samples.starts.clone_from(&other.samples.starts);
        self.samples.summaries.clone_from(&other.samples.summaries);
        self.samples.reach_ms = other.samples.reach_ms;
    }

    /// [`Self::points`] of a row that nobody needs any more: where it has all of its points, these are taken.
    fn take_points(&mut self) -> Points {
        let values = &mut self.samples.values;
        let has_all = values.iter().fold(true, |all, value| all & !is_absent(*value));
        match &self.grid {
            Some(grid) if has_all && self.samples.integers.is_empty() => Points {
                timestamps: (0..values.len()).map(|index| grid.at(index)).collect(),
                values: std::mem::take(values),
                ..Points::default()
            },
            _ => self.points(),
        }
    }

    /// The present points.
    pub(crate) fn points(&self) -> Points {
        if self.samples.integers.is_empty() && !self.has_histograms() {
            return self.float_points();
        }
        let mut points = Points::default();
        for index in (0..self.values().len()).filter(|index| !self.is_absent_at(*index)) {
            points.timestamps.push(self.at(index));
            points.values.push(self.values()[index]);
            if !self.samples.integers.is_empty() {
                points.integers.push(self.integer(index));
            }
            if self.has_histograms() {
                points.histograms.push(self.samples.histogram(index).cloned());
            }
        }
        points
    }

    /// The present points of a row of floats: mostly all of them, which are copied at once.
    fn float_points(&self) -> Points {
        let values = self.values();
        let count = values.iter().filter(|value| !is_absent(**value)).count();
        let mut points = Points::default();
        if count == values.len() {
            points.values = values.to_vec();
            points.timestamps = match &self.grid {
                Some(grid) => (0..count).map(|index| grid.at(index)).collect(),
                None => self.samples.timestamps.clone(),
            };
            return points;
        }
        points.timestamps.reserve_exact(count);
        points.values.reserve_exact(count);
        for index in (0..values.len()).filter(|index| !is_absent(values[*index])) {
            points.timestamps.push(self.at(index));
            points.values.push(values[index]);
        }
        points
    }
}
