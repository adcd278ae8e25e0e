//! What a query answers: series of points, ready for any protocol's encoder.

use std::sync::Arc;

use crate::histogram::{self, Histogram};
use crate::label::Labels;

/// The points of one result series in time order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// Milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// Values; where `integers` holds a number this is its nearest float.
    pub values: Vec<f64>,
    /// Empty, or as long as `values`: the exact integer where the point is one.
    pub integers: Vec<Option<i64>>,
    /// Empty, or as long as `values`: the native histogram where the point is one; its value is then
    /// the stale marker.
    pub histograms: Vec<Option<Arc<Histogram>>>,
}

impl Points {
    /// How many points of numbers take as much memory: see [`Histogram::weight`].
    pub fn weight(&self) -> usize {
        self.values.len() + histogram::weight(&self.histograms)
    }
}

/// One result series.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultSeries {
    /// Its labels.
    pub labels: Labels,
    /// What the query calls it, where the language names results.
    pub title: Option<Arc<str>>,
    /// Names of labels that its source series carry with different values.
    pub disagreeing: Arc<[String]>,
    /// The regular grid it stands on, where there is one: start, step and number of slots. Points
    /// are then the present slots only.
    pub grid: Option<crate::time::StepGrid>,
    /// Its points.
    pub points: Points,
}
