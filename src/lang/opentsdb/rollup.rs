//! Points that were aggregated before they were sent: which kinds of them there are, and under which
//! name they are kept.
//!
//! They lie in the same store as all others, under a metric of their own: `__rollup__:`, the interval,
//! the aggregator over time, the aggregator over tags and the metric, with a colon between each. No
//! metric of OpenTSDB has a colon, so none can be mistaken for one of these, and no question for the
//! raw points finds them.

use serde_json::{Map, Value};

use super::time::parse_duration;
use super::validate::Checked;

/// Start of the metrics under which such points are kept.
pub const STORED_PREFIX: &str = "__rollup__:";

/// One table of points by interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupInterval {
    /// As it is spelled: `1h`.
    pub name: String,
    /// In milliseconds.
    pub step_ms: i64,
    /// Holds the raw points.
    pub is_default: bool,
}

/// Which points that were aggregated before are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollupConfig {
    /// Functions over time that are kept.
    pub aggregators: Vec<String>,
    /// Intervals, shortest first.
    pub intervals: Vec<RollupInterval>,
}

/// Why a point is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollupError {
    /// No table has this interval.
    #[error("No rollups configured for the interval: {0}")]
    Interval(String),
    /// The function is not kept.
    #[error("No ID found mapping to aggregator: {0}")]
    Aggregator(String),
}

impl RollupConfig {
    /// Reads the original's document: `aggregationIds` and `intervals`. `Err` says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let ids = document.get("aggregationIds").and_then(Value::as_object);
        let ids = ids.ok_or("aggregationIds is missing")?;
        let aggregators = ids.keys().map(|name| name.to_ascii_lowercase()).collect();
        let items = document.get("intervals").and_then(Value::as_array);
        let mut intervals = Vec::new();
        for item in items.ok_or("intervals is missing")? {
            let name = item.get("interval").and_then(Value::as_str);
            let name = name.ok_or("an interval without its interval")?.to_owned();
            let duration = parse_duration(&name).map_err(|error| error.to_string())?;
            let is_default = item.get("defaultInterval").and_then(Value::as_bool).unwrap_or(false);
            intervals.push(RollupInterval { name, step_ms: duration.nominal_ms, is_default });
        }
        intervals.sort_by_key(|interval| interval.step_ms);
        Ok(Self { aggregators, intervals })
    }

    /// `Err` when points of this interval and function over time are not taken. Without an interval
    /// a point is aggregated over tags alone.
    pub fn check(&self, interval: Option<&str>, aggregator: &str) -> Result<(), RollupError> {
        if let Some(name) = interval
            && !self.intervals.iter().any(|known| known.name == name)
        {
            return Err(RollupError::Interval(name.to_owned()));
        }
        if !self.aggregators.iter().any(|known| known.eq_ignore_ascii_case(aggregator)) {
            return Err(RollupError::Aggregator(aggregator.to_owned()));
        }
        Ok(())
    }

    /// The longest interval that divides `step_ms`, among those with points of their own.
    pub fn interval_for(&self, step_ms: i64) -> Option<&RollupInterval> {
        let fits = |interval: &&RollupInterval| {
            !interval.is_default && interval.step_ms > 0 && step_ms % interval.step_ms == 0
        };
        self.intervals.iter().rev().find(fits)
    }
}

/// Points that were aggregated before, to be read in place of the raw ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupRead {
    /// Their interval, as it is spelled.
    pub interval: String,
    /// Raw points are read where there are none of these.
    pub falls_back: bool,
}

impl RollupConfig {
    /// What is read for a sub-query: points whose interval divides that of its buckets, if what its
    /// function needs is kept; `None` for the raw points.
    pub fn read(&self, sub: &Checked) -> Option<RollupRead> {
        let downsample = sub.downsample.as_ref()?;
        let usage = sub.query.rollup_usage.as_deref().unwrap_or_default();
        if usage == "ROLLUP_RAW" || sub.query.is_histogram() {
            return None;
        }
        let kept = |name: &str| self.aggregators.iter().any(|known| known == name);
        let is_kept = match downsample.function.as_str() {
            // Quotients need regular buckets.
            "avg" => kept("sum") && kept("count") && !downsample.calendar,
            other => kept(&other.to_ascii_lowercase()),
        };
        let interval = self.interval_for(downsample.interval?.nominal_ms).filter(|_| is_kept)?;
        let falls_back = matches!(usage, "ROLLUP_FALLBACK" | "ROLLUP_FALLBACK_RAW");
        Some(RollupRead { interval: interval.name.clone(), falls_back })
    }
}

/// The metric under which points are kept. Empty parts are those that a point does not have.
pub fn stored_metric(interval: &str, aggregator: &str, group_by: &str, metric: &str) -> String {
    let (aggregator, group_by) = (aggregator.to_ascii_lowercase(), group_by.to_ascii_lowercase());
    format!("{STORED_PREFIX}{interval}:{aggregator}:{group_by}:{metric}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_document_is_read() {
        let text = r#"{"aggregationIds":{"sum":0,"Count":1},"intervals":[
            {"table":"t","preAggregationTable":"a","interval":"1h","rowSpan":"1d"},
            {"table":"t","preAggregationTable":"a","interval":"1m","rowSpan":"1h","defaultInterval":true}]}"#;
        let config = RollupConfig::parse(text).unwrap();
        assert_eq!(config.intervals[0].name, "1m");
        assert_eq!(config.check(Some("1h"), "SUM"), Ok(()));
        assert_eq!(config.check(None, "count"), Ok(()));
        let error = config.check(Some("2h"), "sum").unwrap_err();
        assert_eq!(error.to_string(), "No rollups configured for the interval: 2h");
        let error = config.check(Some("1h"), "avg").unwrap_err();
        assert_eq!(error.to_string(), "No ID found mapping to aggregator: avg");
        let of = |step_ms| config.interval_for(step_ms).map(|interval| interval.name.as_str());
        assert_eq!((of(7_200_000), of(5_400_000), of(60_000)), (Some("1h"), None, None));
        assert!(RollupConfig::parse("{}").is_err());
        assert_eq!(stored_metric("1h", "SUM", "", "m"), "__rollup__:1h:sum::m");
    }
}
