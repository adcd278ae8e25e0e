//! Rows in flight and rows collected.
//!
//! Absence inside a row is the stale marker's bit pattern ([`ABSENT`]): folds take markers out of
//! what is stored, and no arithmetic produces a signalling NaN, so the pattern is free. A separate
//! bitset was rejected: it doubles the state of every loop and saves nothing.
//!
//! Native histograms stand in a column of their own that rows without any do not have; the float
//! beside one is [`ABSENT`], so an operator that only knows floats sees no point there.

mod steps;

use std::sync::Arc;

use model::{
    Histogram, Labels, LabelsRef, METRIC_NAME, Points, ResultSeries, STALE_NAN_BITS, Samples,
    Selection, StepGrid,
};
use plan::RowStyle;
use plan::node::Text;
use plan::semantics::Naming;

use crate::budget::{Budget, Held};
use crate::error::ExecError;

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

/// Where a row's labels come from.
enum Origin<'s> {
    /// A stored series whose labels nobody asked for yet.
    Stored(&'s dyn Selection, usize),
    /// Known labels.
    Known(Labels),
}

/// Who a row is. Labels of stored series are built when they are first asked for.
pub(crate) struct Identity<'s> {
    origin: Origin<'s>,
    nameless: bool,
    /// The name is taken off at the end of the query.
    pub(crate) name_pending: bool,
    /// The rows of its scan come in label order, whether that was asked for or not.
    pub(crate) in_order: bool,
    /// What the query calls the row.
    pub(crate) title: Option<Text>,
    /// Labels that the rows behind an aggregate disagree on.
    pub(crate) disagreeing: Option<Arc<[String]>>,
    /// How the row presents itself and wants its points merged.
    pub(crate) style: Option<Arc<RowStyle>>,
}

impl<'s> Identity<'s> {
    /// The series at `index` of a selection.
    pub(crate) fn stored(selection: &'s dyn Selection, index: usize) -> Self {
        let in_order = selection.is_sorted();
        Self { in_order, ..Self::from_origin(Origin::Stored(selection, index)) }
    }

    /// A row with known labels.
    pub(crate) fn known(labels: Labels) -> Self {
        Self::from_origin(Origin::Known(labels))
    }

    fn from_origin(origin: Origin<'s>) -> Self {
        Self {
            origin,
            nameless: false,
            name_pending: false,
            in_order: false,
            title: None,
            disagreeing: None,
            style: None,
        }
    }

    /// Takes the metric's name off: now or when the labels are built, or at the end of the query.
    pub(crate) fn drop_name(&mut self, naming: Naming) {
        if naming.at_end {
            self.name_pending = true;
        } else {
            self.nameless = true;
        }
    }

    /// Takes a pending name off.
    pub(crate) fn settle_name(&mut self) {
        self.nameless |= std::mem::take(&mut self.name_pending);
    }

    /// The labels of what the row came from: with a name that the row may have lost since.
    pub(crate) fn source_labels(&self) -> Labels {
        match &self.origin {
            Origin::Stored(selection, index) => selection.labels(*index),
            Origin::Known(labels) => labels.clone(),
        }
    }

    /// The labels.
    pub(crate) fn labels(&mut self) -> &Labels {
        if let Origin::Stored(selection, index) = self.origin {
            self.origin = Origin::Known(selection.labels(index));
        }
        if std::mem::take(&mut self.nameless)
            && let Origin::Known(labels) = &mut self.origin
        {
            *labels = without_name(labels);
        }
        match &self.origin {
            Origin::Known(labels) => labels,
            Origin::Stored(..) => unreachable!("replaced above"),
        }
    }

    /// Appends the packed labels whose names are among the ascending `names`.
    pub(crate) fn put_labels(&mut self, names: &[String], out: &mut Vec<u8>) {
        let is_lost = |name: &String| self.nameless && METRIC_LABELS.contains(&name.as_str());
        match self.origin {
            Origin::Stored(selection, index) if !names.iter().any(is_lost) => {
                selection.put_labels(index, names, out);
            }
            _ => self.labels().view().put_some(out, |name| model::has_name(names, name)),
        }
    }

    /// Gives the row other labels.
    pub(crate) fn set_labels(&mut self, labels: Labels) {
        self.origin = Origin::Known(labels);
        self.nameless = false;
    }

    /// The title, or for a row without one its name in Graphite's spelling.
    pub(crate) fn title_or_name(&mut self) -> Text {
        match &self.title {
            Some(title) => title.clone(),
            None => model::identity::flat_name(self.labels()).into(),
        }
    }

    /// A copy of an identity whose labels are known.
    pub(crate) fn duplicate(&self) -> Identity<'s> {
        let origin = match &self.origin {
            Origin::Stored(selection, index) => Origin::Stored(*selection, *index),
            Origin::Known(labels) => Origin::Known(labels.clone()),
        };
        self.with_origin(origin)
    }

    fn with_origin<'o>(&self, origin: Origin<'o>) -> Identity<'o> {
        Identity {
            origin,
            nameless: self.nameless,
            name_pending: self.name_pending,
            in_order: self.in_order,
            title: self.title.clone(),
            disagreeing: self.disagreeing.clone(),
            style: self.style.clone(),
        }
    }

    /// A copy for as long as `selection` lives, which is that of the row if it is a stored one.
    pub(crate) fn placed<'p>(&self, selection: &'p dyn Selection) -> Identity<'p> {
        let origin = match &self.origin {
            Origin::Stored(_, index) => Origin::Stored(selection, *index),
            Origin::Known(labels) => Origin::Known(labels.clone()),
        };
        self.with_origin(origin)
    }

    /// An owned copy.
    pub(crate) fn keep(&mut self) -> Identity<'static> {
        let labels = self.labels().clone();
        self.with_origin(Origin::Known(labels))
    }

    /// The row as a result, which may take its points away.
    pub(crate) fn result(&mut self, row: &mut Row) -> ResultSeries {
        ResultSeries {
            labels: self.labels().clone(),
            title: self.title.clone(),
            disagreeing: self.disagreeing.clone().unwrap_or_default(),
            grid: row.grid,
            points: row.take_points(),
        }
    }
}

/// What describes the metric rather than the series: gone once the value is another quantity.
pub(crate) const METRIC_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// `labels` without the metric's name, type and unit.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    if METRIC_LABELS.iter().all(|name| labels.get(name).is_none()) {
        return labels.clone();
    }
    let mut packed = Vec::with_capacity(labels.as_packed().len());
    labels.view().put_some(&mut packed, |name| !METRIC_LABELS.contains(&name));
    LabelsRef::from_packed(&packed).to_labels()
}

/// Collected rows. Their room in the budget is given back when they are dropped.
pub(crate) struct Rows<'b> {
    rows: Vec<(Identity<'static>, Row)>,
    held: Held<'b>,
}

impl<'b> Rows<'b> {
    /// No rows yet.
    pub(crate) fn new(budget: &'b Budget) -> Self {
        Self { rows: Vec::new(), held: budget.hold() }
    }

    /// Adds a copy of a row.
    pub(crate) fn push(&mut self, identity: &mut Identity, row: &Row) -> Result<(), ExecError> {
        self.push_owned(identity.keep(), row.clone())
    }

    /// Adds a row that nobody else needs any more. One of listed instants is copied: it may lie in a buffer
    /// that is much longer.
    pub(crate) fn take(&mut self, identity: &mut Identity, row: &mut Row) -> Result<(), ExecError> {
        let row = if row.grid.is_some() { std::mem::take(row) } else { row.clone() };
        self.push_owned(identity.keep(), row)
    }

    /// Adds a row.
    pub(crate) fn push_owned(
        &mut self,
        identity: Identity<'static>,
        row: Row,
    ) -> Result<(), ExecError> {
        self.held.add_row(row.weight(), row.samples.integers.len())?;
        self.rows.push((identity, row));
        Ok(())
    }

    /// Changes the row at `index`, which may get more histograms by it.
    pub(crate) fn change(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Row) -> Result<(), ExecError>,
    ) -> Result<(), ExecError> {
        let row = &mut self.rows[index].1;
        let before = row.weight();
        change(row)?;
        self.held.add(0, row.weight().saturating_sub(before))
    }

    /// Where their room is taken.
    pub(crate) fn budget(&self) -> &'b Budget {
        self.held.budget()
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Identity<'static>, Row)> {
        self.rows.iter()
    }

    /// The rows, to be changed in place but not made longer.
    pub(crate) fn as_mut(&mut self) -> &mut [(Identity<'static>, Row)] {
        &mut self.rows
    }

    /// The row at `index`.
    pub(crate) fn row(&self, index: usize) -> &Row {
        &self.rows[index].1
    }

    /// The values of the row at `index`.
    pub(crate) fn values(&self, index: usize) -> &[f64] {
        self.rows[index].1.values()
    }

    /// The samples held, as they weigh.
    pub(crate) fn weight(&self) -> usize {
        self.held.samples()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_integers_count_while_they_are_held() {
        let row = |integers: usize| {
            let mut row = Row::default();
            row.reset_to_grid(StepGrid::new(0, 9, 1), 10);
            row.samples.integers.resize(integers, Some(7));
            row
        };
        // A row, its ten values and ten integers.
        let memory_bytes_max = 256 + 10 * 16 + 10 * 16;
        let limits = plan::QueryLimits { memory_bytes_max, ..plan::QueryLimits::default() };
        let budget = Budget::new(limits);
        let check = |integers: usize, want: bool| {
            let mut rows = Rows::new(&budget);
            let pushed = rows.push_owned(Identity::known(Labels::empty()), row(integers));
            assert_eq!(pushed.is_ok(), want, "{integers} integers");
        };
        check(10, true);
        check(11, false);
        check(10, true);
    }
}
