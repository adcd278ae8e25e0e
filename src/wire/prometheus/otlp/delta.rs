//! Differences become totals: what the feature `otlp-deltatocumulative` of Prometheus does.
//!
//! For each series the total so far is kept in memory, for as long as its sender goes on. The first
//! difference is the first total. One that is older than the total, or of a time before it began, is
//! dropped. A series of which nothing came for [`STALE_MS`] begins anew. As in the original nothing of
//! this outlives the process.

use std::collections::HashMap;

use model::SeriesHasher;

use self::exponential::ExponentialTotal;
use super::message::{
    Data, ExponentialPoint, HistogramPoint, Metric, Number, NumberPoint, Request, Resource,
    ScopeMetrics, Stamp, Temporality,
};
use super::value::{AnyValue, KeyValue};

pub mod exponential;

/// How long a series is remembered after its last difference.
pub const STALE_MS: i64 = 5 * 60_000;
/// Time between two looks for series to forget.
const SWEEP_MS: i64 = 60_000;
/// Series that are remembered; points of more are dropped. A total takes some hundred bytes.
pub const SERIES_MAX: usize = 1_000_000;

/// The totals of all series.
#[derive(Debug, Default)]
pub struct Totals {
    series: HashMap<u128, Total>,
    swept_ms: i64,
}

#[derive(Debug)]
struct Total {
    seen_ms: i64,
    stamp: Stamp,
    value: TotalValue,
}

#[derive(Debug)]
enum TotalValue {
    Number(Number),
    Histogram { count: u64, sum: Option<f64>, counts: Vec<u64>, bounds: Vec<f64> },
    Exponential(ExponentialTotal),
}

/// Points that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Older than the total.
    pub late: u64,
    /// Of series beyond [`SERIES_MAX`].
    pub beyond_limit: u64,
}

/// True when a request has differences.
pub fn has_delta(request: &Request<'_>) -> bool {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics.any(|metric| temporality(&metric.data) == Some(Temporality::Delta))
}

fn temporality(data: &Data<'_>) -> Option<Temporality> {
    match data {
        Data::Sum { temporality, .. }
        | Data::Histogram { temporality, .. }
        | Data::Exponential { temporality, .. } => Some(*temporality),
        Data::Empty | Data::Gauge(_) | Data::Summary(_) => None,
    }
}

impl Totals {
    /// Replaces the differences of `request` by totals; `now_ms` is the time of its arrival.
    /// `hasher` tells series apart and must be the same at every call.
    pub fn accumulate(
        &mut self,
        request: &mut Request<'_>,
        hasher: SeriesHasher,
        now_ms: i64,
    ) -> Dropped {
        self.sweep(now_ms);
        let mut dropped = Dropped::default();
        for metrics in &mut request.resource_metrics {
            for scope in &mut metrics.scope_metrics {
                let mut key = Vec::new();
                put_scope(&mut key, &metrics.resource, scope);
                let scope_key = key.len();
                for metric in &mut scope.metrics {
                    key.truncate(scope_key);
                    put_metric(&mut key, metric);
                    let mut run = Run { totals: self, key: &mut key, hasher, now_ms, dropped };
                    run.metric(metric);
                    dropped = run.dropped;
                }
                scope.metrics.retain(|metric| !is_empty_total(metric));
            }
        }
        dropped
    }

    /// Forgets series whose senders fell silent.
    fn sweep(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.swept_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        self.series.retain(|_, total| now_ms.saturating_sub(total.seen_ms) <= STALE_MS);
    }
}

/// Of a metric with differences nothing is left.
fn is_empty_total(metric: &Metric<'_>) -> bool {
    match &metric.data {
        Data::Sum { points, temporality: Temporality::Delta, .. } => points.is_empty(),
        Data::Histogram { points, temporality: Temporality::Delta } => points.is_empty(),
        Data::Exponential { points, temporality: Temporality::Delta } => points.is_empty(),
        _ => false,
    }
}

/// One metric on its way to totals.
struct Run<'r> {
    totals: &'r mut Totals,
    /// What tells the metric from others; the attributes of a point are put behind it.
    key: &'r mut Vec<u8>,
    hasher: SeriesHasher,
    now_ms: i64,
    dropped: Dropped,
}

impl Run<'_> {
    fn metric(&mut self, metric: &mut Metric<'_>) {
        if temporality(&metric.data) != Some(Temporality::Delta) {
            return;
        }
        let is_left = match &mut metric.data {
            Data::Sum { points, .. } => {
                points.retain_mut(|point| self.number(point));
                !points.is_empty()
            }
            Data::Histogram { points, .. } => {
                points.retain_mut(|point| self.histogram(point));
                !points.is_empty()
            }
            Data::Exponential { points, .. } => {
                points.retain_mut(|point| self.exponential(point));
                !points.is_empty()
            }
            Data::Empty | Data::Gauge(_) | Data::Summary(_) => false,
        };
        if let Data::Sum { temporality, .. }
        | Data::Histogram { temporality, .. }
        | Data::Exponential { temporality, .. } = &mut metric.data
            && is_left
        {
            *temporality = Temporality::Cumulative;
        }
    }

    /// The total of a series where it has one that the point may be added to: `None` when the point
    /// is to be dropped, `Some(None)` when it is the first.
    fn find(
        &mut self,
        attributes: &[KeyValue<'_>],
        stamp: &Stamp,
    ) -> Option<(u128, Option<&mut Total>)> {
        let base = self.key.len();
        put_attributes(self.key, attributes);
        let id = self.hasher.hash(self.key);
        self.key.truncate(base);
        let count = self.totals.series.len();
        let Some(total) = self.totals.series.get_mut(&id) else {
            if count >= SERIES_MAX {
                self.dropped.beyond_limit += 1;
                return None;
            }
            return Some((id, None));
        };
        total.seen_ms = self.now_ms;
        if total.stamp.time_ns == 0 {
            return Some((id, None));
        }
        if stamp.start_ns < total.stamp.start_ns || stamp.time_ns <= total.stamp.time_ns {
            self.dropped.late += 1;
            return None;
        }
        total.stamp.time_ns = stamp.time_ns;
        Some((id, Some(total)))
    }

    fn first(&mut self, id: u128, stamp: &Stamp, value: TotalValue) {
        let total = Total { seen_ms: self.now_ms, stamp: stamp.clone(), value };
        self.totals.series.insert(id, total);
    }

    fn number(&mut self, point: &mut NumberPoint<'_>) -> bool {
        let Some((id, total)) = self.find(&point.attributes, &point.stamp) else {
            return false;
        };
        match total {
            Some(Total { value: TotalValue::Number(sum), stamp, .. }) => {
                *sum = match (*sum, point.value) {
                    (Number::Integer(a), Number::Integer(b)) => Number::Integer(a.wrapping_add(b)),
                    (Number::Double(a), Number::Double(b)) => Number::Double(a + b),
                    // A sender that changes its mind about the type begins anew.
                    (_, Number::Integer(_) | Number::Double(_)) => point.value,
                    (sum, Number::None) => sum,
                };
                (point.value, point.stamp) = (*sum, stamp.clone());
            }
            _ => self.first(id, &point.stamp, TotalValue::Number(point.value)),
        }
        true
    }

    fn histogram(&mut self, point: &mut HistogramPoint<'_>) -> bool {
        let Some((id, total)) = self.find(&point.attributes, &point.stamp) else {
            return false;
        };
        match total {
            Some(Total {
                value: TotalValue::Histogram { count, sum, counts, bounds },
                stamp,
                ..
            }) if *bounds == point.bounds => {
                for (total, more) in counts.iter_mut().zip(&point.bucket_counts) {
                    *total = total.wrapping_add(*more);
                }
                *count = count.wrapping_add(point.count);
                *sum = sum.zip(point.sum).map(|(a, b)| a + b);
                (point.count, point.sum) = (*count, *sum);
                point.bucket_counts.clone_from(counts);
                point.stamp = stamp.clone();
            }
            // Other bounds cannot be added: the total begins anew with them.
            _ => {
                let value = TotalValue::Histogram {
                    count: point.count,
                    sum: point.sum,
                    counts: point.bucket_counts.clone(),
                    bounds: point.bounds.clone(),
                };
                self.first(id, &point.stamp, value);
            }
        }
        true
    }

    fn exponential(&mut self, point: &mut ExponentialPoint<'_>) -> bool {
        let Some((id, total)) = self.find(&point.attributes, &point.stamp) else {
            return false;
        };
        match total {
            Some(Total { value: TotalValue::Exponential(sum), stamp, .. }) => {
                sum.add(point);
                point.stamp = stamp.clone();
            }
            _ => {
                let value = TotalValue::Exponential(ExponentialTotal::first(point));
                self.first(id, &point.stamp, value);
            }
        }
        true
    }
}

fn put_text(key: &mut Vec<u8>, text: &[u8]) {
    key.extend_from_slice(&(text.len() as u64).to_le_bytes());
    key.extend_from_slice(text);
}

/// What tells a scope from others.
fn put_scope(key: &mut Vec<u8>, resource: &Resource<'_>, scope: &ScopeMetrics<'_>) {
    put_attributes(key, &resource.attributes);
    put_text(key, scope.scope.name.as_bytes());
    put_text(key, scope.scope.version.as_bytes());
    put_attributes(key, &scope.scope.attributes);
}

/// What tells a metric from others of its scope.
fn put_metric(key: &mut Vec<u8>, metric: &Metric<'_>) {
    put_text(key, metric.name.as_bytes());
    put_text(key, metric.unit.as_bytes());
    key.push(match &metric.data {
        Data::Empty => 0,
        Data::Gauge(_) => 1,
        Data::Sum { is_monotonic: false, .. } => 2,
        Data::Sum { is_monotonic: true, .. } => 3,
        Data::Histogram { .. } => 4,
        Data::Exponential { .. } => 5,
        Data::Summary(_) => 6,
    });
}

/// Attributes, in whatever order they were sent.
fn put_attributes(key: &mut Vec<u8>, attributes: &[KeyValue<'_>]) {
    let mut sorted: Vec<&KeyValue<'_>> = attributes.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    key.extend_from_slice(&(sorted.len() as u64).to_le_bytes());
    for attribute in sorted {
        put_text(key, attribute.key.as_bytes());
        put_value(key, &attribute.value);
    }
}

fn put_value(key: &mut Vec<u8>, value: &AnyValue<'_>) {
    key.push(match value {
        AnyValue::Empty => 0,
        AnyValue::Text(_) => 1,
        AnyValue::Bool(_) => 2,
        AnyValue::Integer(_) => 3,
        AnyValue::Double(_) => 4,
        AnyValue::List(_) => 5,
        AnyValue::Map(_) => 6,
        AnyValue::Bytes(_) => 7,
    });
    match value {
        AnyValue::Empty => {}
        AnyValue::Text(text) => put_text(key, text.as_bytes()),
        AnyValue::Bool(value) => key.push(u8::from(*value)),
        AnyValue::Integer(value) => key.extend_from_slice(&value.to_le_bytes()),
        AnyValue::Double(value) => key.extend_from_slice(&value.to_bits().to_le_bytes()),
        AnyValue::Map(entries) => put_attributes(key, entries),
        AnyValue::Bytes(bytes) => put_text(key, bytes),
        AnyValue::List(items) => {
            key.extend_from_slice(&(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| put_value(key, item));
        }
    }
}
