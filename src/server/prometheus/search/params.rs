//! Parameters of a search, checked in the order and refused in the words of Prometheus 3.14.

use axum::response::Response;
use lang::promql::quoted;
use model::{Matcher, TimeRange};

use super::filter::{Algorithm, Filter, Order};
use crate::prometheus::labels::selectors;
use crate::prometheus::params::Params;
use crate::prometheus::reply::bad_data;
use crate::prometheus::targets::parse_bool;

/// Items without a `limit`, and of a batch without a `batch_size`.
const DEFAULT_COUNT: usize = 100;
/// Terms of a search: each is held against every name.
const TERMS_MAX: usize = 32;
/// How far back a search looks without a `start`, in milliseconds.
const DEFAULT_RANGE_MS: i64 = 3_600_000;

/// What all three searches are asked with.
pub(super) struct Search {
    pub(super) selectors: Vec<Vec<Matcher>>,
    pub(super) range: TimeRange,
    pub(super) filter: Filter,
    pub(super) order: Order,
    pub(super) shows_score: bool,
    pub(super) limit: usize,
    pub(super) batch_size: usize,
}

impl Search {
    /// Reads the parameters; `endpoint` is named where an order is refused. `limit_max` 0 = any.
    pub(super) fn read(
        params: &Params,
        endpoint: &str,
        now_ms: i64,
        limit_max: usize,
    ) -> Result<Self, Response> {
        params.well_formed()?;
        let range = range(params, now_ms)?;
        let selectors = selectors(params, bad_data)?;
        let terms = params.all("search[]");
        if terms.len() > TERMS_MAX {
            let count = terms.len();
            let text = format!("too many search[] terms: got {count}, maximum is {TERMS_MAX}");
            return Err(bad_data(&text));
        }
        let (threshold, algorithm) = (threshold(params)?, algorithm(params)?);
        let folds_case = !boolean(params, "case_sensitive", true)?;
        let shows_score = boolean(params, "include_score", false)?;
        let descends = descends(params, &terms)?;
        let limit = limit(params, limit_max)?;
        let batch_size = match params.get("batch_size") {
            None => DEFAULT_COUNT,
            Some(text) => positive(text).ok_or_else(|| refused_count("batch_size", text))?,
        };
        let order = order(params, descends, endpoint)?;
        let filter = Filter::new(&terms, algorithm, threshold, folds_case);
        Ok(Self { selectors, range, filter, order, shows_score, limit, batch_size })
    }
}

fn range(params: &Params, now_ms: i64) -> Result<TimeRange, Response> {
    let time = |name, default_ms| {
        let read = params.optional_time(name).map_err(|text| bad_data(&text))?;
        Ok::<_, Response>(read.unwrap_or(default_ms))
    };
    let start_ms = time("start", now_ms - DEFAULT_RANGE_MS)?;
    let end_ms = time("end", now_ms)?;
    if end_ms < start_ms {
        return Err(bad_data("end timestamp must not be before start timestamp"));
    }
    Ok(TimeRange::new(start_ms, end_ms))
}

/// 0 to 1.
fn threshold(params: &Params) -> Result<f64, Response> {
    let Some(text) = params.get("fuzz_threshold") else {
        return Ok(0.0);
    };
    match text.parse::<i64>() {
        Ok(percent) if (0..=100).contains(&percent) => Ok(percent as f64 / 100.0),
        _ => Err(bad_data(&format!("invalid fuzz_threshold {}: must be 0-100", quoted(text)))),
    }
}

fn algorithm(params: &Params) -> Result<Algorithm, Response> {
    match params.get("fuzz_alg") {
        None | Some("subsequence") => Ok(Algorithm::Subsequence),
        Some("jarowinkler") => Ok(Algorithm::JaroWinkler),
        Some(text) => Err(bad_data(&format!(
            "unsupported fuzz_alg {}: must be one of [subsequence jarowinkler]",
            quoted(text)
        ))),
    }
}

/// Whether `sort_dir` turns the order round. What `sort_by` is only matters for what is not allowed
/// beside it.
fn descends(params: &Params, terms: &[&str]) -> Result<bool, Response> {
    let (by, direction) = (params.get("sort_by"), params.get("sort_dir"));
    let descends = match (by, direction) {
        (None, Some(_)) => return Err(bad_data("sort_dir is only valid when sort_by is set")),
        (Some("score"), Some(_)) => {
            return Err(bad_data("sort_dir is not supported for sort_by=score"));
        }
        (_, None | Some("asc")) => false,
        (_, Some("dsc")) => true,
        (_, Some(other)) => {
            let text = format!("invalid sort_dir {}: must be \"asc\" or \"dsc\"", quoted(other));
            return Err(bad_data(&text));
        }
    };
    if by == Some("score") && terms.is_empty() {
        return Err(bad_data("sort_by=score requires search[] to be set"));
    }
    Ok(descends)
}

fn order(params: &Params, descends: bool, endpoint: &str) -> Result<Order, Response> {
    match params.get("sort_by") {
        Some("score") => Ok(Order::Score),
        None | Some("alpha") if descends => Ok(Order::Descending),
        None | Some("alpha") => Ok(Order::Ascending),
        Some(other) => Err(bad_data(&format!(
            "invalid sort_by {} for {endpoint}: must be \"alpha\" or \"score\"",
            quoted(other)
        ))),
    }
}

fn limit(params: &Params, limit_max: usize) -> Result<usize, Response> {
    let limit_max = if limit_max == 0 { usize::MAX } else { limit_max };
    let Some(text) = params.get("limit") else {
        return Ok(DEFAULT_COUNT.min(limit_max));
    };
    let limit = positive(text).ok_or_else(|| refused_count("limit", text))?;
    if limit > limit_max {
        return Err(bad_data(&format!(
            "limit {limit} exceeds the configured maximum ({limit_max}, see --web.search.max-limit)"
        )));
    }
    Ok(limit)
}

fn positive(text: &str) -> Option<usize> {
    text.parse::<i64>().ok().filter(|number| *number > 0).and_then(|number| number.try_into().ok())
}

fn refused_count(name: &str, text: &str) -> Response {
    bad_data(&format!("invalid {name} {}: must be a positive integer", quoted(text)))
}

/// A switch, `default` where it is not given.
pub(super) fn boolean(params: &Params, name: &str, default: bool) -> Result<bool, Response> {
    let Some(text) = params.get(name) else {
        return Ok(default);
    };
    parse_bool(text)
        .ok_or_else(|| bad_data(&format!("invalid {name} {}: must be boolean", quoted(text))))
}
