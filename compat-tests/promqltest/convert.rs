//! Classic histograms converted to native ones with custom buckets, for `load_with_nhcb`.

use std::collections::BTreeMap;

use model::histogram::CUSTOM_SCHEMA;
use model::{Histogram, HistogramBuckets, LabelBuilder, Labels, METRIC_NAME};

use super::series::{Series, Value};

/// What is known of a histogram at one instant.
#[derive(Default)]
struct Classic {
    /// Upper bounds and cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native series of the classic ones among `series`.
pub(crate) fn custom_histograms(
    series: &[Series],
    step_ms: i64,
) -> Vec<(Labels, Vec<(i64, Histogram)>)> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for one in series {
        let name = one.labels.metric_name().unwrap_or_default();
        let part = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|end| Some((end, name.strip_suffix(end)?)));
        let Some((part, base)) = part else { continue };
        let bound: Option<f64> = one.labels.get("le").and_then(|text| text.parse().ok());
        if part == "_bucket" && bound.is_none_or(f64::is_nan) {
            continue;
        }
        let mut builder = LabelBuilder::from_labels(one.labels.view());
        let labels = builder.set(METRIC_NAME, base).remove("le").build();
        let points = found.entry(labels).or_default();
        for (index, value) in one.values.iter().enumerate() {
            let Value::Float(value) = value else { continue };
            let classic = points.entry(index as i64 * step_ms).or_default();
            match (part, bound) {
                ("_bucket", Some(bound)) => classic.buckets.push((bound, *value)),
                ("_sum", _) => classic.sum = *value,
                _ => classic.count = Some(*value),
            }
        }
    }
    let native = |(labels, points): (Labels, BTreeMap<i64, Classic>)| {
        (labels, points.into_iter().map(|(at_ms, one)| (at_ms, convert(one))).collect())
    };
    found.into_iter().map(native).collect()
}

fn convert(mut classic: Classic) -> Histogram {
    classic.buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    classic.buckets.dedup_by(|later, earlier| later.0 == earlier.0);
    let last = classic.buckets.last().copied();
    let count = classic.count.or(last.map(|(_, count)| count)).unwrap_or_default();
    if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
        classic.buckets.push((f64::INFINITY, count));
    }
    let mut before = 0.0;
    let counts = classic.buckets.iter().zip(0..).map(|((_, cumulative), index)| {
        let own = cumulative - before;
        before = *cumulative;
        (index, own)
    });
    let positive = HistogramBuckets::from_counts(counts);
    let bounds = classic.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
    let mut histogram = Histogram {
        schema: CUSTOM_SCHEMA,
        count,
        sum: classic.sum,
        positive,
        bounds: bounds.collect(),
        ..Histogram::default()
    };
    histogram.compact();
    histogram
}
