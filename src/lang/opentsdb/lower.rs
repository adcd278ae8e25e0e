//! A sub-query becomes a plan: scan, fold into buckets, rates, aggregation over the union of instants,
//! and the cut to what was asked for.
//!
//! The scan reads whole hours around the request (OpenTSDB stores a series in rows of an hour): points
//! of those hours take part in interpolation and in rates although they are not shown, and clients
//! see that in the first and last values of every graph.

use std::sync::Arc;

use model::{METRIC_NAME, Matcher, Pattern, StepGrid, TenantId, TimeRange};
use plan::node::Number;
use plan::semantics::{
    Alignment, Buckets, DifferenceRule, Falls, Fill, FirstPoint, FoldFunction, Gaps, GroupLabels,
    Grouping, MapFunction, Reducer, RelabelRule, SortOrder, Staleness,
};
use plan::{Aggregate, Fold, Map, Node, Op, Plan, QueryLimits, Relabel, Scan};

use super::aggregator::Aggregator;
use super::calendar::Calendar;
use super::downsample::{Downsample, FillPolicy};
use super::error::OpenTsdbError;
use super::lower_histogram::lower_histograms;
use super::lower_rollup::folded_rollups;
use super::request::RateOptions;
use super::rollup::RollupRead;
use super::time::Duration;
use super::validate::{Checked, Query};

/// Milliseconds below which a time is taken for seconds: an accident of 1970 that is kept.
const SECONDS_END: i64 = 1 << 32;
/// Seconds of a stored row.
const ROW_SECONDS: i64 = 3_600;
/// Buckets of one series. A year of seconds has 32 million; a graph has no use for a tenth of it.
pub(super) const BUCKETS_MAX: usize = 16_000_000;

/// Buckets of a calendar, which are listed; also those of all phases together, where series that start
/// behind them keep the last phase.
const EDGES_MAX: usize = 2_000_000;

/// What only the store knows about a sub-query.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    /// With explicit tags: keys of tags that series of the metric have and no filter names.
    pub other_keys: Vec<String>,
    /// With numeric names: what each of their series must satisfy, in the order of the names.
    pub series: Option<Vec<Vec<Matcher>>>,
    /// Points that were aggregated before are read in place of the raw ones.
    pub rollup: Option<RollupRead>,
}

/// The plan of one sub-query.
pub fn lower(
    query: &Query,
    sub: &Checked,
    resolution: &Resolution,
    tenant: TenantId,
    limits: QueryLimits,
) -> Result<Plan, OpenTsdbError> {
    let input = Box::new(lower_rows(query, sub, resolution, tenant)?);
    Ok(Plan { root: Node::new(Op::Clip { input, range: query.range }), limits })
}

/// The rows of one sub-query over all hours that are read, not cut to what was asked for.
pub fn lower_rows(
    query: &Query,
    sub: &Checked,
    resolution: &Resolution,
    tenant: TenantId,
) -> Result<Node, OpenTsdbError> {
    let hours = hours_of(query, sub)?;
    let selections = selections(sub, resolution);
    if sub.query.is_histogram() {
        return lower_histograms(query, sub, selections, hours, tenant);
    }
    let node = match &resolution.rollup {
        None => folded(query, sub, selections, hours, tenant)?,
        Some(read) => folded_rollups(query, sub, selections, (hours, tenant), read)?,
    };
    Ok(merged(node, sub))
}

/// First and last millisecond of the hours that are read for a sub-query.
pub fn hours_of(query: &Query, sub: &Checked) -> Result<TimeRange, OpenTsdbError> {
    let interval = sub.downsample.as_ref().and_then(|downsample| downsample.interval);
    scanned_hours(query.range, interval)
}

/// The series that take part in a sub-query: a row of one point for each that has samples in the hours
/// that are read.
pub fn lower_members(
    query: &Query,
    sub: &Checked,
    resolution: &Resolution,
    tenant: TenantId,
) -> Result<Node, OpenTsdbError> {
    let hours = hours_of(query, sub)?;
    let mut selections = selections(sub, resolution);
    if let Some(read) = &resolution.rollup {
        selections = read.selections(sub, selections);
    }
    let scans = selections.into_iter().map(|matchers| {
        let histograms = sub.query.is_histogram();
        Node::new(Op::Scan(Scan { histograms, ..scan(matchers, hours, tenant, false) }))
    });
    let mut input = Box::new(Node::new(Op::Union(scans.collect())));
    if resolution.rollup.is_some() {
        input = Box::new(named(*input, &sub.metric));
    }
    let grid = StepGrid::instant(hours.start_ms);
    let until_ms = hours.end_ms.saturating_sub(hours.start_ms);
    Ok(Node::new(Op::Fold(Fold {
        input,
        buckets: Buckets::Steps { grid, after_ms: -1, until_ms },
        function: FoldFunction::Present,
        arguments: Vec::new(),
        staleness: Staleness::Skipped,
        fill: Fill::Absent,
        drop_name: false,
    })))
}

/// What each selection of a sub-query must satisfy; a series belongs to it if it passes one of them.
pub fn selections(sub: &Checked, resolution: &Resolution) -> Vec<Vec<Matcher>> {
    match &resolution.series {
        None => vec![matchers(sub, resolution)],
        Some(series) => series.clone(),
    }
}

pub(super) fn scan(
    matchers: Vec<Matcher>,
    range: TimeRange,
    tenant: TenantId,
    integers: bool,
) -> Scan {
    Scan { tenant, sorted: true, integers, ..Scan::new(matchers, range) }
}

/// The rows of a sub-query over what any of the selections finds in these hours.
pub fn lower_over(
    query: &Query,
    sub: &Checked,
    selections: Vec<Vec<Matcher>>,
    hours: TimeRange,
    tenant: TenantId,
) -> Result<Node, OpenTsdbError> {
    Ok(merged(folded(query, sub, selections, hours, tenant)?, sub))
}

/// The rows of all groups, of the rows of all series.
fn merged(mut node: Node, sub: &Checked) -> Node {
    if sub.query.rate {
        node = rate(node, sub.query.rate_options.unwrap_or_default());
    }
    aggregate(node, sub)
}

/// A row for every series that any of the selections finds, thinned.
pub(super) fn folded(
    query: &Query,
    sub: &Checked,
    selections: Vec<Vec<Matcher>>,
    hours: TimeRange,
    tenant: TenantId,
) -> Result<Node, OpenTsdbError> {
    let folded = match &sub.downsample {
        Some(downsample) => Some(buckets(query, downsample, hours)?),
        None => None,
    };
    let range = folded.as_ref().map_or(hours, |(_, range)| *range);
    let scans = selections.into_iter().map(|matchers| {
        // Buckets hold floats, so the exact integers would be read in vain.
        let integers = sub.downsample.is_none();
        let scan = Node::new(Op::Scan(scan(matchers, hours, tenant, integers)));
        if !follows_order(&sub.aggregator) {
            return scan;
        }
        let order = SortOrder::Numbers { names: Vec::new() };
        Node::new(Op::Sort { input: Box::new(scan), order })
    });
    let mut node = union(scans);
    if range != hours {
        // A series exists with any point of the hours, also with one that no bucket takes.
        node = Node::new(Op::Clip { input: Box::new(node), range });
    }
    Ok(match (folded, &sub.downsample) {
        (Some((buckets, _)), Some(downsample)) => fold(node, downsample, buckets),
        _ => node,
    })
}

/// All rows of all nodes; of one, the node itself.
pub(super) fn union(mut nodes: impl Iterator<Item = Node>) -> Node {
    match (nodes.next(), nodes.next()) {
        (Some(only), None) => only,
        (first, second) => {
            Node::new(Op::Union(first.into_iter().chain(second).chain(nodes).collect()))
        }
    }
}

/// Rows of a metric that is kept under another name.
pub(super) fn named(input: Node, metric: &str) -> Node {
    let Ok(pattern) = Pattern::new(".*") else { return input };
    let rule = RelabelRule::Replace {
        destination: METRIC_NAME.to_owned(),
        template: metric.replace('$', "$$"),
        source: METRIC_NAME.to_owned(),
        pattern,
    };
    Node::new(Op::Relabel(Relabel { input: Box::new(input), rule }))
}

/// What a series must satisfy.
pub fn matchers(sub: &Checked, resolution: &Resolution) -> Vec<Matcher> {
    let mut matchers = vec![Matcher::equal(METRIC_NAME, sub.metric.clone())];
    for filter in &sub.query.filters {
        matchers.extend(filter.matchers());
    }
    if sub.query.explicit_tags && !sub.query.filters.is_empty() {
        matchers.extend(resolution.other_keys.iter().map(|key| Matcher::equal(key.as_str(), "")));
    }
    matchers
}

/// The stored rows that a request touches, as the instants of their first and last millisecond.
fn scanned_hours(range: TimeRange, interval: Option<Duration>) -> Result<TimeRange, OpenTsdbError> {
    let interval_ms = i128::from(interval.map_or(0, |interval| interval.nominal_ms));
    let seconds = |ms: i64| i128::from(if ms >= SECONDS_END { ms / 1000 } else { ms });
    let (mut start, end) = (seconds(range.start_ms), seconds(range.end_ms) + 1);
    let row = i128::from(ROW_SECONDS);
    let end = if interval_ms > 0 {
        start -= (1000 * start) % interval_ms / 1000;
        let behind = end + (interval_ms - (1000 * end) % interval_ms) / 1000;
        behind + (row - behind % row) % row
    } else {
        end + row - end % row
    };
    let start = (start - start % row).max(0);
    let bound = |seconds: i128| i64::try_from(seconds * 1000).ok();
    match (bound(start), bound(end)) {
        (Some(start_ms), Some(end_ms)) => Ok(TimeRange::new(start_ms, end_ms - 1)),
        _ => Err(OpenTsdbError::invalid("Time range is too large")),
    }
}

/// The buckets, and the part of the scanned hours whose points may fall into them.
fn buckets(
    query: &Query,
    downsample: &Downsample,
    hours: TimeRange,
) -> Result<(Buckets, TimeRange), OpenTsdbError> {
    let Some(interval) = downsample.interval else {
        return Ok((Buckets::Whole(query.range), hours));
    };
    if downsample.calendar {
        let zone = query.zone.clone();
        let calendar = Calendar { count: interval.count, unit: interval.unit, zone };
        return calendar_buckets(&calendar, downsample.fill, hours);
    }
    let width = interval.nominal_ms;
    let floor = |at_ms: i64| at_ms - at_ms.rem_euclid(width);
    let first = floor(hours.start_ms.saturating_add(width - 1));
    if downsample.fill == FillPolicy::None {
        let range = TimeRange::new(first, hours.end_ms);
        return Ok((Buckets::Occupied { range, step_ms: width }, hours));
    }
    // The bucket that the scan starts in exists, but takes no points.
    let end_ms = floor(hours.end_ms + 1) - width;
    let grid = StepGrid::new(floor(hours.start_ms), end_ms, width);
    if grid.len() > BUCKETS_MAX {
        return Err(too_many(grid.len(), BUCKETS_MAX));
    }
    let range = TimeRange::new(first, hours.end_ms);
    Ok((Buckets::Steps { grid, after_ms: -1, until_ms: width - 1 }, range))
}

pub(super) fn too_many(count: usize, limit: usize) -> OpenTsdbError {
    OpenTsdbError::too_large(format!(
        "Sorry, you have attempted to fetch more than our limit of {limit} data points. The \
         downsampling interval makes {count} of one series. Please try filtering using more tags or \
         decrease your time range."
    ))
}

fn calendar_buckets(
    calendar: &Calendar,
    fill: FillPolicy,
    hours: TimeRange,
) -> Result<(Buckets, TimeRange), OpenTsdbError> {
    let outside = || OpenTsdbError::invalid("Time range is outside the calendar");
    let first = calendar.start_of(hours.start_ms).ok_or_else(outside)?;
    let whole =
        if first < hours.start_ms { calendar.next(first).ok_or_else(outside)? } else { first };
    let behind = hours.end_ms.saturating_add(1);
    if fill == FillPolicy::None {
        return Ok((phased(calendar, whole, behind)?, hours));
    }
    let end = calendar.start_of(behind).ok_or_else(outside)?;
    let end = if end == first { calendar.next(first).ok_or_else(outside)? } else { end };
    let edges = edges(calendar, first, end)?;
    Ok((Buckets::Edges(edges), TimeRange::new(whole, hours.end_ms)))
}

/// Starts of buckets from `start` until one is not before `last`.
fn edges(calendar: &Calendar, start: i64, last: i64) -> Result<Arc<[i64]>, OpenTsdbError> {
    let nominal_ms = calendar.count.saturating_mul(calendar.unit.nominal_ms()).max(1);
    let count = last.saturating_sub(start) / nominal_ms;
    if count > EDGES_MAX as i64 {
        return Err(too_many(usize::try_from(count).unwrap_or(usize::MAX), EDGES_MAX));
    }
    let mut edges = vec![start];
    let mut edge = start;
    while edge < last {
        let next = calendar.next(edge).filter(|next| *next > edge);
        edge = next.ok_or_else(|| OpenTsdbError::invalid("Time range is outside the calendar"))?;
        edges.push(edge);
        if edges.len() > EDGES_MAX {
            return Err(too_many(edges.len(), EDGES_MAX));
        }
    }
    Ok(edges.into())
}

/// A series steps off from the anchor before its first point, and never looks at an anchor again. So
/// there is a list of edges for every anchor that is not an edge of the list before.
fn phased(calendar: &Calendar, start: i64, last: i64) -> Result<Buckets, OpenTsdbError> {
    let mut lists = vec![edges(calendar, start, last)?];
    let mut count = lists[0].len();
    let mut anchor = start;
    while let Some(next) = calendar.anchor_after(anchor).filter(|next| *next < last) {
        if next <= anchor || count > EDGES_MAX {
            break;
        }
        anchor = next;
        if lists.last().is_some_and(|edges| edges.binary_search(&anchor).is_err()) {
            lists.push(edges(calendar, anchor, last)?);
            count += lists.last().map_or(0, |edges| edges.len());
        }
    }
    if lists.len() == 1 {
        return Ok(Buckets::Edges(lists.swap_remove(0)));
    }
    Ok(Buckets::Phased(lists.into()))
}

fn fold(input: Node, downsample: &Downsample, buckets: Buckets) -> Node {
    // The one bucket of a whole request is never filled.
    let whole = matches!(buckets, Buckets::Whole(_));
    let fill = match downsample.fill {
        _ if whole => Fill::Absent,
        FillPolicy::None | FillPolicy::Scalar => Fill::Absent,
        FillPolicy::Nan | FillPolicy::Null => Fill::Value(Number(f64::NAN)),
        FillPolicy::Zero => Fill::Value(Number(0.0)),
    };
    Node::new(Op::Fold(Fold {
        input: Box::new(input),
        buckets,
        function: FoldFunction::Reduce(downsample.reducer.clone()),
        arguments: Vec::new(),
        staleness: Staleness::Skipped,
        fill,
        drop_name: false,
    }))
}

fn rate(input: Node, options: RateOptions) -> Node {
    let falls = match options {
        RateOptions { counter: false, .. } => Falls::Kept,
        RateOptions { drop_resets: true, .. } => Falls::Dropped,
        RateOptions { counter_max: max, reset_value: resets_above, .. } => {
            Falls::Wraps { max, resets_above }
        }
    };
    let rule =
        DifferenceRule { per_second: true, falls, gaps: Gaps::Bridged, first: FirstPoint::Origin };
    Node::new(Op::Map(Map {
        input: Box::new(input),
        function: MapFunction::Difference(rule),
        arguments: Vec::new(),
        drop_name: false,
    }))
}

/// The tags whose values make groups, sorted.
pub(super) fn group_keys(sub: &Checked) -> Vec<String> {
    let filters = sub.query.filters.iter().filter(|filter| filter.group_by);
    let mut keys: Vec<String> = filters.map(|filter| filter.tagk.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Groups in the order of their tag values; by number where the original has numbers for names.
fn aggregate(input: Node, sub: &Checked) -> Node {
    let keys = group_keys(sub);
    let none = sub.aggregator.is_none;
    let grouping = if none { Grouping::Each } else { Grouping::By(keys.clone()) };
    let node = Node::new(Op::Aggregate(Aggregate {
        input: Box::new(input),
        reducer: sub.aggregator.reducer.clone(),
        argument: None,
        grouping,
        alignment: Alignment::Union { between: sub.aggregator.between },
        labels: GroupLabels::Agreeing,
    }));
    if none || keys.is_empty() {
        return node;
    }
    Node::new(Op::Sort { input: Box::new(node), order: SortOrder::Numbers { names: keys } })
}

/// True where the order of the series shows in the answer.
fn follows_order(aggregator: &Aggregator) -> bool {
    aggregator.is_none
        || matches!(aggregator.reducer, Reducer::First | Reducer::Last | Reducer::Difference)
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::super::time::Unit;
    use super::super::validate::validate;
    use super::*;

    fn plan(m: &str, start: &str, end: &str) -> Result<String, OpenTsdbError> {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let params = [pair("start", start), pair("end", end), pair("m", m)];
        let query = validate(Request::from_params(&params)?, 0)?;
        let (resolution, limits) = (Resolution::default(), QueryLimits::default());
        let plan = lower(&query, &query.queries[0], &resolution, TenantId::DEFAULT, limits)?;
        plan::check::check(&plan).map_err(|error| OpenTsdbError::bad(error.to_string()))?;
        Ok(format!("{:?}", plan.root))
    }

    #[test]
    fn whole_hours_are_scanned() {
        let hours = |start: i64, end: i64, interval: Option<(i64, Unit)>| {
            let interval = interval.map(|(count, unit)| Duration {
                count,
                unit,
                nominal_ms: count * unit.nominal_ms(),
            });
            let range = TimeRange::new(start * 1000, end * 1000);
            let hours = scanned_hours(range, interval).unwrap();
            (hours.start_ms / 1000, (hours.end_ms + 1) / 1000)
        };
        let hour = 1_356_998_400;
        assert_eq!(hours(hour + 10, hour + 20, None), (hour, hour + 3600));
        // An end on the hour reads one hour more.
        assert_eq!(hours(hour, hour + 3600, None), (hour, hour + 7200));
        let day = Some((1, Unit::Day));
        assert_eq!(hours(hour + 7200, hour + 7300, day), (hour, hour + 86_400));
    }

    #[test]
    fn plans_are_sound() {
        for m in [
            "sum:a",
            "none:a{h=*}",
            "avg:10s-avg-nan:rate{counter,,1}:a{h=*}{dc=regexp(x)}",
            "p99:1nc-max:a",
            "count:0all-count-zero:a",
            "max:1dc-max-zero:explicit_tags:a{h=b}",
        ] {
            plan(m, "1356998400", "1357084800").unwrap();
        }
        let error = plan("sum:1ms-avg-zero:a", "1356998400", "1388534400").unwrap_err();
        assert!(error.message.starts_with("Sorry, you have attempted to fetch more than"));
    }
}
