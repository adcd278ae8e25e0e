//! What goes into an execution beside the plan, and what comes out.

use std::sync::Arc;
use std::time::Duration;

use base::cancel::CancelToken;
use base::memory::MemoryWatch;
use model::{Labels, Points, ResultSeries, StepGrid};
use plan::{Annotation, RowStyle};

use crate::counts::StepCounts;
use crate::helpers::Helpers;

/// Numbers for names, kept outside of queries.
pub trait Numbers: Send + Sync + std::fmt::Debug {
    /// Bytes that sort as the numbers of the labels do, the metric's name left out.
    fn key(&self, labels: &Labels) -> Vec<u8>;
}

/// The circumstances of one execution.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Stops the query.
    pub cancel: CancelToken,
    /// Measure every node. Costs two clock readings per row and node.
    pub analyze: bool,
    /// Count the samples of each step of this grid, which the plan's rows are over. Reads everything
    /// twice.
    pub count_steps: Option<StepGrid>,
    /// See [`plan::semantics::SortOrder::Numbers`].
    pub numbers: Option<Arc<dyn Numbers>>,
    /// The memory of the process: a query that wants more when it is full ends.
    pub memory: Arc<MemoryWatch>,
    /// Threads that may help this query.
    pub helpers: Arc<Helpers>,
    /// The plan was found small ([`crate::is_small`]): it ends with [`crate::ExecError::NotSmall`] as soon as it
    /// proves otherwise.
    pub is_small: bool,
}

impl Context {
    /// A context that `cancel` stops.
    pub fn new(cancel: CancelToken) -> Self {
        Self { cancel, ..Self::default() }
    }

    /// The same, with every node measured.
    pub fn analyzing(cancel: CancelToken) -> Self {
        Self { cancel, analyze: true, ..Self::default() }
    }
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct Output {
    /// The rows.
    pub value: Value,
    /// How each row presents itself, in the order of the rows; empty where no row has a style.
    pub styles: Vec<Option<Arc<RowStyle>>>,
    /// What is remarkable about them; no two are equal.
    pub annotations: Vec<Annotation>,
    /// Samples read from the source.
    pub samples_read: u64,
    /// The most samples held in memory at once.
    pub peak_samples: u64,
    /// See [`Context::count_steps`]; empty where it is not asked for.
    pub steps: StepCounts,
    /// What each node did; empty unless [`Context::analyze`] asks for it.
    pub profile: Profile,
}

impl Output {
    /// The rows; none of a scalar or a text.
    pub fn rows(&self) -> &[ResultSeries] {
        match &self.value {
            Value::Vector(rows) => rows,
            Value::Scalar(_) | Value::Text(_) => &[],
        }
    }
}

/// The rows of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One value per instant.
    Scalar(Points),
    /// Rows in the order of the plan's root. PromQL rows without a point are left out; rows that a
    /// node clipped or placed on a grid of their own stay, even without one.
    Vector(Vec<ResultSeries>),
    /// A text.
    Text(String),
}

/// What one node did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The node, as `EXPLAIN` spells it.
    pub node: String,
    /// Rows that left it.
    pub rows: u64,
    /// Present points that left it.
    pub points: u64,
    /// Estimated bytes that left it.
    pub bytes: u64,
    /// Time in it and in the nodes below, without the nodes above.
    pub elapsed: Duration,
    /// The nodes below.
    pub children: Vec<Profile>,
}

/// Brings result rows into label order, as Prometheus wants its matrices.
pub fn sort_by_labels(rows: &mut Vec<ResultSeries>) {
    if rows.is_sorted_by(|left, right| left.labels <= right.labels) {
        return;
    }
    // A row is large: each is moved once, to its place.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|left, right| rows[*left].labels.cmp(&rows[*right].labels));
    let mut unsorted: Vec<_> = std::mem::take(rows).into_iter().map(Some).collect();
    rows.extend(order.into_iter().filter_map(|place| unsorted[place].take()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_into_label_order() {
        let row = |x: &str| ResultSeries {
            labels: Labels::from_pairs([("x", x)]),
            title: Some(x.into()),
            disagreeing: Arc::default(),
            grid: None,
            points: Points::default(),
        };
        let titles = |rows: &[ResultSeries]| -> String {
            rows.iter().filter_map(|row| row.title.as_deref()).collect()
        };
        for unsorted in ["", "a", "abc", "cab", "hgfedcba"] {
            let mut rows: Vec<_> = unsorted.chars().map(|x| row(&x.to_string())).collect();
            sort_by_labels(&mut rows);
            assert_eq!(titles(&rows), "abcdefgh"[..unsorted.len()]);
        }
    }
}
