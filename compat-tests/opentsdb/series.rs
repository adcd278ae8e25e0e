//! Whole pipelines of the original — downsampler, rate, merge — against the plans of sub-queries.

use base::cancel::CancelToken;
use exec::testing::MemorySource;
use exec::{Context, Value as Answer, execute};
use lang::opentsdb::calendar::Calendar;
use lang::opentsdb::{Query, RateOptions, Request, SubQuery, lower_over, validate};
use model::{Labels, Points, SampleKind, TenantId, TimeRange};
use plan::{Plan, QueryLimits};
use serde_json::{Value, json};

use super::functions::{Sample, sample, shown};
use super::{array, text};

/// One series by itself. Its first rate is for merges only, so none is expected here.
pub(super) fn run(op: &Value) -> Result<Value, String> {
    let points = samples(op);
    let query = query(op, op, "sum")?;
    let hours = hours(op, &query, &points)?;
    let mut shown = shown(&merged(&query, vec![points], hours)?);
    if query.queries[0].query.rate {
        // What the original computes first, we hide until a merge asks for it.
        let hidden = hidden_rate(op, &query, hours)?;
        shown.splice(0..0, hidden);
    }
    Ok(json!(shown))
}

/// Several series merged.
pub(super) fn merge(op: &Value) -> Result<Value, String> {
    let all = array(op, "series");
    let first = all.first().ok_or("no series")?;
    let query = query(first, op, text(op, "agg"))?;
    let hours = TimeRange::new(time(op, "start").unwrap_or(0), time(op, "end").unwrap_or(i64::MAX));
    let points = all.iter().map(samples).collect();
    let points = shown(&merged(&query, points, TimeRange::new(hours.start_ms, last_ms(all)))?);
    let inside = |point: &Value| point[0].as_i64().is_some_and(|at_ms| at_ms <= hours.end_ms);
    Ok(json!(points.into_iter().filter(inside).collect::<Vec<_>>()))
}

/// The rate that one series hides, seen by merging it with one that has points from then on.
fn hidden_rate(op: &Value, query: &Query, hours: TimeRange) -> Result<Vec<Value>, String> {
    let points: Vec<_> =
        samples(op).into_iter().filter(|(at_ms, _)| *at_ms >= hours.start_ms).collect();
    let Some((first_ms, _)) = points.first().copied() else { return Ok(vec![]) };
    // A second series with a rate of 0 everywhere and a point at the hidden instant; its own hidden
    // rate lies before.
    let other: Vec<(i64, Sample)> =
        [first_ms - 1000, first_ms].into_iter().map(|at| (at, Sample::Integer(0))).collect();
    let range = TimeRange::new(hours.start_ms.min(first_ms - 1000), hours.end_ms);
    let merged = shown(&merged(query, vec![points, other], range)?);
    Ok(merged.into_iter().filter(|point| point[0] == json!(first_ms)).collect())
}

fn time(op: &Value, key: &str) -> Option<i64> {
    op[key].as_i64()
}

fn last_ms(series: &[Value]) -> i64 {
    let times = series.iter().flat_map(samples).map(|(at_ms, _)| at_ms);
    times.max().unwrap_or_default()
}

fn samples(series: &Value) -> Vec<(i64, Sample)> {
    let points = array(series, "points").iter().map(|point| {
        let float = point[1].to_string().contains(['.', 'e', 'E']);
        (point[0].as_i64().unwrap_or_default(), sample(&point[1], float))
    });
    points.collect()
}

/// The query of these parts: `series` says how points are thinned and rates computed.
fn query(series: &Value, op: &Value, aggregator: &str) -> Result<Query, String> {
    let rate = &series["rate"];
    let options = RateOptions {
        counter: rate["counter"].as_bool().unwrap_or(false),
        counter_max: rate["counter_max"].as_i64().unwrap_or(i64::MAX),
        reset_value: rate["reset_value"].as_i64().unwrap_or(0),
        drop_resets: rate["drop_resets"].as_bool().unwrap_or(false),
    };
    let asked = Request {
        start: Some("1ms".to_owned()),
        end: Some("1ms".to_owned()),
        timezone: op["timezone"].as_str().map(str::to_owned),
        queries: vec![SubQuery {
            aggregator: Some(aggregator.to_owned()),
            metric: Some("m".to_owned()),
            downsample: series["downsample"].as_str().map(str::to_owned),
            rate: rate.is_object(),
            rate_options: Some(options),
            ..SubQuery::default()
        }],
        ..Request::default()
    };
    let mut query = validate(asked, 0).map_err(|error| error.message)?;
    let start_ms = time(op, "query_start").unwrap_or(0);
    query.range = TimeRange::new(start_ms, time(op, "query_end").unwrap_or(i64::MAX / 4));
    Ok(query)
}

/// The bounds of the scan. Without a seek no point is skipped: the scan starts with the bucket of its
/// first instant. One bucket over all takes the points wherever they lie.
fn hours(op: &Value, query: &Query, points: &[(i64, Sample)]) -> Result<TimeRange, String> {
    let first = points.first().map_or(0, |point| point.0);
    let last = points.last().map_or(0, |point| point.0);
    let end = time(op, "end").map_or(last, |end| end - 1);
    if let Some(seek) = time(op, "seek") {
        return Ok(TimeRange::new(seek, end));
    }
    let Some(downsample) = &query.queries[0].downsample else {
        return Ok(TimeRange::new(first, end));
    };
    let Some(interval) = downsample.interval else { return Ok(TimeRange::new(first, last)) };
    let start = time(op, "start").unwrap_or(first);
    let start = if downsample.calendar {
        let zone = query.zone.clone();
        let calendar = Calendar { count: interval.count, unit: interval.unit, zone };
        calendar.start_of(start).ok_or("no start")?
    } else {
        start - start.rem_euclid(interval.nominal_ms)
    };
    Ok(TimeRange::new(start, end))
}

fn merged(
    query: &Query,
    series: Vec<Vec<(i64, Sample)>>,
    hours: TimeRange,
) -> Result<Points, String> {
    let mut source = MemorySource::new();
    for (index, samples) in series.into_iter().enumerate() {
        let labels = Labels::from_pairs([("i", format!("{index:06}").as_str())]);
        let raw = samples.into_iter().map(|(at_ms, sample)| match sample {
            Sample::Integer(value) => (at_ms, SampleKind::Integer, value as u64),
            Sample::Float(value) => (at_ms, SampleKind::Float, value.to_bits()),
        });
        source.add_raw(labels, raw);
    }
    let (sub, tenant) = (&query.queries[0], TenantId::DEFAULT);
    let root = lower_over(query, sub, vec![vec![]], hours, tenant).map_err(|e| e.message)?;
    let plan = Plan { root, limits: QueryLimits::default() };
    let output = execute(&plan, &source, &Context::new(CancelToken::new()));
    match output.map_err(|error| error.to_string())?.value {
        Answer::Vector(rows) => Ok(rows.into_iter().next().map(|r| r.points).unwrap_or_default()),
        other => Err(format!("no rows: {other:?}")),
    }
}
