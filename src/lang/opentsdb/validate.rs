//! What is wrong with a request, found in the original's order, since clients see the first mistake.

use model::TimeRange;

use super::aggregator::{Aggregator, aggregator};
use super::downsample::{Downsample, FillPolicy, parse_downsample};
use super::dump::dump;
use super::error::OpenTsdbError;
use super::filter::FilterType;
use super::request::{Flags, Request, SubQuery};
use super::time::{TimeError, parse_time, parse_zone};

/// A request that can be answered.
#[derive(Clone, Debug)]
pub struct Query {
    /// From and until when; both included.
    pub range: TimeRange,
    /// What the answer looks like.
    pub flags: Flags,
    /// Zone of the calendar.
    pub zone: jiff::tz::TimeZone,
    /// The sub-queries, in order.
    pub queries: Vec<Checked>,
}

/// A sub-query that can be answered.
#[derive(Clone, Debug)]
pub struct Checked {
    /// As it was given.
    pub query: SubQuery,
    /// The metric; empty where series are named by numbers.
    pub metric: String,
    /// The aggregator.
    pub aggregator: Aggregator,
    /// How points are thinned.
    pub downsample: Option<Downsample>,
}

/// A name that must exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A metric.
    Metric(String),
    /// A tag key.
    Key(String),
    /// A tag value, and the key under which it is most likely found.
    Value {
        /// The key of the filter.
        key: String,
        /// The value.
        value: String,
    },
}

impl Name {
    /// The original's complaint about a name that does not exist.
    pub fn unknown(&self) -> OpenTsdbError {
        let (kind, name) = match self {
            Self::Metric(name) => ("metrics", name),
            Self::Key(name) => ("tagk", name),
            Self::Value { value, .. } => ("tagv", value),
        };
        OpenTsdbError::invalid(format!("No such name for '{kind}': '{name}'"))
    }
}

impl Checked {
    /// The names that must exist, in the order in which the original looks for them.
    pub fn names(&self) -> Result<Vec<Name>, OpenTsdbError> {
        if !self.query.tsuids.is_empty() {
            return Ok(Vec::new());
        }
        let mut names = vec![Name::Metric(self.metric.clone())];
        for filter in &self.query.filters {
            names.push(Name::Key(filter.tagk.clone()));
            if filter.kind != FilterType::LiteralOr {
                continue;
            }
            for value in filter.literals() {
                if value.is_empty() {
                    return Err(OpenTsdbError::bad("Missing UID name"));
                }
                names.push(Name::Value { key: filter.tagk.clone(), value: value.to_owned() });
            }
        }
        Ok(names)
    }
}

/// Checks a request at the time `now_ms`. What is wrong with it is said with the request beside it.
pub fn validate(request: Request, now_ms: i64) -> Result<Query, OpenTsdbError> {
    let mut checked = 0;
    let query = check_all(&request, now_ms, &mut checked).map_err(|error| OpenTsdbError {
        details: error.details.is_some().then(|| dump(&request, checked)),
        ..error
    })?;
    let downsamples = query.queries.iter().filter_map(|query| query.downsample.as_ref());
    for downsample in downsamples {
        if downsample.fill == FillPolicy::Scalar && downsample.interval.is_some() {
            // The original takes it and fails at the first empty bucket.
            return Err(OpenTsdbError::invalid("unhandled fill policy"));
        }
    }
    Ok(query)
}

/// `checked` counts the sub-queries with which nothing is wrong.
fn check_all(request: &Request, now_ms: i64, checked: &mut usize) -> Result<Query, OpenTsdbError> {
    let invalid = |text: String| OpenTsdbError::invalid(text);
    let zone = request.timezone.as_deref();
    let time = |text: Option<&str>| {
        parse_time(text.unwrap_or_default(), zone, now_ms).map_err(|e| invalid(e.to_string()))
    };
    let start_ms = time(request.start.as_deref())?;
    let start_ms = start_ms.ok_or_else(|| invalid("Missing start time".to_owned()))?;
    let end_ms = time(request.end.as_deref())?.unwrap_or(now_ms);
    if end_ms < start_ms {
        return Err(invalid(format!(
            "End time [{end_ms}] must be greater than or equal to the start time [{start_ms}]"
        )));
    }
    if request.queries.is_empty() {
        return Err(invalid("Missing queries".to_owned()));
    }
    let mut queries = Vec::with_capacity(request.queries.len());
    for query in &request.queries {
        queries.push(check(query.clone(), request.use_calendar)?);
        *checked += 1;
    }
    let downsamples = queries.iter().any(|query| query.downsample.is_some());
    let zone = match zone.filter(|name| downsamples && !name.is_empty()) {
        None => jiff::tz::TimeZone::UTC,
        Some(name) => parse_zone(name).map_err(|_: TimeError| {
            invalid("The timezone specification could not be found".to_owned())
        })?,
    };
    let range = TimeRange::new(start_ms, end_ms);
    Ok(Query { range, flags: request.flags, zone, queries })
}

/// What can be asked of histograms.
fn check_histogram(
    query: &SubQuery,
    aggregator: &str,
    downsample: Option<&Downsample>,
) -> Result<(), OpenTsdbError> {
    let invalid = |text: &str| Err(OpenTsdbError::invalid(text));
    if !matches!(aggregator, "none" | "sum") {
        return invalid("Only NONE or SUM aggregation function supported for histogram query");
    }
    if downsample.is_some_and(|downsample| downsample.function != "sum") {
        return invalid("Only SUM downsampling aggregation supported for histogram query");
    }
    let percentiles = query.percentiles.iter().flatten();
    match percentiles.copied().find(|percentile| !(0.0..=100.0).contains(percentile)) {
        Some(percentile) => {
            Err(OpenTsdbError::invalid(format!("Invalid percentile parameters: {percentile:?}")))
        }
        None => Ok(()),
    }
}

fn check(query: SubQuery, use_calendar: bool) -> Result<Checked, OpenTsdbError> {
    let invalid = |text: &str| OpenTsdbError::invalid(text);
    let name = query.aggregator.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| invalid("Missing the aggregation function"))?;
    let aggregator = aggregator(name)
        .ok_or_else(|| OpenTsdbError::invalid(format!("No such aggregation function: {name}")))?;
    let by_number = !query.tsuids.is_empty();
    let metric = query.metric.clone().filter(|metric| !by_number && !metric.is_empty());
    if metric.is_none() && !by_number {
        return Err(invalid("Missing the metric or tsuids, provide at least one"));
    }
    let metric = metric.unwrap_or_default();
    let downsample = query.downsample.as_deref().map(parse_downsample).transpose();
    let mut downsample = downsample.map_err(|error| invalid(&error.to_string()))?;
    if let Some(downsample) = &mut downsample {
        downsample.calendar |= use_calendar && downsample.interval.is_some();
    }
    if query.is_histogram() {
        check_histogram(&query, name, downsample.as_ref())?;
    }
    Ok(Checked { query, metric, aggregator, downsample })
}
