//! What a request holds, as far as metrics need it; texts are borrowed from the body where they can be.
//!
//! The derived readers are for JSON: protobuf's JSON names, or those of the `.proto` files. What is
//! not known is passed over, and `null` is nothing, as in the original.

use std::borrow::Cow;

use serde::Deserialize;

use super::json::fields::{double, list, small, text, unsigned_list};
use super::json::{
    JsonExemplar, JsonExponentialPoint, JsonHistogramPoint, JsonMetric, JsonNumberPoint,
    JsonSummaryPoint,
};
use super::value::KeyValue;

/// One export.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Request<'a> {
    /// By the thing that sent them.
    #[serde(borrow, alias = "resource_metrics", deserialize_with = "list")]
    pub resource_metrics: Vec<ResourceMetrics<'a>>,
}

/// The metrics of one resource: a process, mostly.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceMetrics<'a> {
    /// Who sent them.
    #[serde(borrow)]
    pub resource: Resource<'a>,
    /// By the library that made them.
    #[serde(borrow, alias = "scope_metrics", deserialize_with = "list")]
    pub scope_metrics: Vec<ScopeMetrics<'a>>,
}

/// Who sends.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resource<'a> {
    /// What is known of it.
    #[serde(borrow, deserialize_with = "list")]
    pub attributes: Vec<KeyValue<'a>>,
}

/// The metrics of one library.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScopeMetrics<'a> {
    /// The library.
    #[serde(borrow)]
    pub scope: Scope<'a>,
    /// Its metrics.
    #[serde(borrow, deserialize_with = "list")]
    pub metrics: Vec<Metric<'a>>,
    /// Where the names are defined.
    #[serde(borrow, alias = "schema_url", deserialize_with = "text")]
    pub schema_url: Cow<'a, str>,
}

/// A library that makes metrics.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Scope<'a> {
    /// Its name.
    #[serde(borrow, deserialize_with = "text")]
    pub name: Cow<'a, str>,
    /// Its version.
    #[serde(borrow, deserialize_with = "text")]
    pub version: Cow<'a, str>,
    /// What else is known of it.
    #[serde(borrow, deserialize_with = "list")]
    pub attributes: Vec<KeyValue<'a>>,
}

/// A metric with its points.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "JsonMetric<'a>", bound(deserialize = "'de: 'a"))]
pub struct Metric<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it means.
    pub description: Cow<'a, str>,
    /// Its unit, as UCUM spells units.
    pub unit: Cow<'a, str>,
    /// Kind and points.
    pub data: Data<'a>,
}

/// The kinds of metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Data<'a> {
    /// None was given.
    #[default]
    Empty,
    /// Values that go up and down.
    Gauge(Vec<NumberPoint<'a>>),
    /// Sums.
    Sum {
        /// The points.
        points: Vec<NumberPoint<'a>>,
        /// Totals or differences.
        temporality: Temporality,
        /// Never falls.
        is_monotonic: bool,
    },
    /// Histograms with listed bounds.
    Histogram {
        /// The points.
        points: Vec<HistogramPoint<'a>>,
        /// Totals or differences.
        temporality: Temporality,
    },
    /// Histograms with exponential bounds.
    Exponential {
        /// The points.
        points: Vec<ExponentialPoint<'a>>,
        /// Totals or differences.
        temporality: Temporality,
    },
    /// Quantiles that the sender computed.
    Summary(Vec<SummaryPoint<'a>>),
}

/// What a point counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// The sender does not say, or says something unknown.
    #[default]
    Unspecified,
    /// What came since the point before.
    Delta,
    /// All since the start.
    Cumulative,
}

impl Temporality {
    /// The one with this number.
    pub fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// What every point has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stamp {
    /// When counting began, in ns; 0 for unknown.
    pub start_ns: u64,
    /// When the point was taken, in ns.
    pub time_ns: u64,
    /// Bits; the first: there is no value, the series has ended.
    pub flags: u32,
}

impl Stamp {
    /// True when the point only says that there is none.
    pub fn is_stale(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// A number, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Number {
    /// Not given.
    #[default]
    None,
    /// An integer.
    Integer(i64),
    /// A float.
    Double(f64),
}

impl Number {
    /// As a sample has it.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Integer(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

/// A point of a gauge or of a sum.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "JsonNumberPoint<'a>", bound(deserialize = "'de: 'a"))]
pub struct NumberPoint<'a> {
    /// Its labels.
    pub attributes: Vec<KeyValue<'a>>,
    /// When.
    pub stamp: Stamp,
    /// The value.
    pub value: Number,
    /// Traces that stand for it.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// A point of a histogram with listed bounds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "JsonHistogramPoint<'a>", bound(deserialize = "'de: 'a"))]
pub struct HistogramPoint<'a> {
    /// Its labels.
    pub attributes: Vec<KeyValue<'a>>,
    /// When.
    pub stamp: Stamp,
    /// All observations.
    pub count: u64,
    /// Their sum, where it is kept.
    pub sum: Option<f64>,
    /// Observations of each bucket by itself; one more than bounds.
    pub bucket_counts: Vec<u64>,
    /// Upper bounds without the last, infinite one.
    pub bounds: Vec<f64>,
    /// Traces that stand for it.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// A point of an exponential histogram.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "JsonExponentialPoint<'a>", bound(deserialize = "'de: 'a"))]
pub struct ExponentialPoint<'a> {
    /// Its labels.
    pub attributes: Vec<KeyValue<'a>>,
    /// When.
    pub stamp: Stamp,
    /// All observations.
    pub count: u64,
    /// Their sum, where it is kept.
    pub sum: Option<f64>,
    /// Resolution: bounds are powers of `2^(2^-scale)`.
    pub scale: i32,
    /// Observations around zero.
    pub zero_count: u64,
    /// How far around zero.
    pub zero_threshold: f64,
    /// Above zero.
    pub positive: Buckets,
    /// Below zero, by magnitude.
    pub negative: Buckets,
    /// Traces that stand for it.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// Neighbouring exponential buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Buckets {
    /// Index of the first.
    #[serde(deserialize_with = "small")]
    pub offset: i32,
    /// Observations of each by itself.
    #[serde(alias = "bucket_counts", deserialize_with = "unsigned_list")]
    pub bucket_counts: Vec<u64>,
}

/// A point of a summary.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "JsonSummaryPoint<'a>", bound(deserialize = "'de: 'a"))]
pub struct SummaryPoint<'a> {
    /// Its labels.
    pub attributes: Vec<KeyValue<'a>>,
    /// When.
    pub stamp: Stamp,
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantile and value.
    pub quantiles: Vec<Quantile>,
}

/// One quantile of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Quantile {
    /// Which, 0 to 1.
    #[serde(deserialize_with = "double")]
    pub quantile: f64,
    /// Its value.
    #[serde(deserialize_with = "double")]
    pub value: f64,
}

/// A trace that stands for a point.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "JsonExemplar<'a>", bound(deserialize = "'de: 'a"))]
pub struct Exemplar<'a> {
    /// Labels of the observation that the point has not.
    pub attributes: Vec<KeyValue<'a>>,
    /// When, in ns.
    pub time_ns: u64,
    /// The observation.
    pub value: Number,
    /// Bytes of the trace's number; empty or all zero for none.
    pub trace_id: Vec<u8>,
    /// Likewise of the span's.
    pub span_id: Vec<u8>,
}
