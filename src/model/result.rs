//! What a query answers: series of points, ready for any protocol's encoder.

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
}

/// One result series.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its points.
    pub points: Points,
}
