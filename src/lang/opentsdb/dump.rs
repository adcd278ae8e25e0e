//! A request as the original prints it where something is wrong with it.

use std::fmt::Write as _;

use super::downsample::parse_downsample;
use super::request::{Request, SubQuery};

/// The text. The first `checked` sub-queries were found to be in order, which shows in what it says
/// of them.
pub(super) fn dump(request: &Request, checked: usize) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    let mut out = format!(
        "TSQuery(start_time={}, end_time={}, subQueries[",
        text(&request.start),
        text(&request.end)
    );
    for (index, query) in request.queries.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        sub_query(&mut out, query, index, index < checked);
    }
    let flags = &request.flags;
    let _ = write!(
        out,
        "] padding=false, no_annotations={}, with_global_annotations={}, show_tsuids={}, \
         ms_resolution={}, options=[])",
        flags.no_annotations, flags.global_annotations, flags.show_tsuids, flags.milliseconds
    );
    out
}

fn sub_query(out: &mut String, query: &SubQuery, index: usize, checked: bool) {
    let filters: Vec<String> = query
        .filters
        .iter()
        .map(|filter| {
            let (kind, group_by) = (filter.kind.name(), filter.group_by);
            format!("{kind}({}={}, group_by={group_by})", filter.tagk, filter.text)
        })
        .collect();
    let downsample = query.downsample.as_deref().unwrap_or("null");
    let interval = checked.then(|| parse_downsample(downsample).ok()).flatten();
    let interval_ms = interval.and_then(|downsample| downsample.interval);
    let rate_options = query.rate_options.map_or_else(
        || "null".to_owned(),
        |rate| format!("{{{},{},{}}}", rate.counter, rate.counter_max, rate.reset_value),
    );
    let percentiles = query.percentiles.as_ref();
    let percentiles = percentiles.map_or_else(|| "null".to_owned(), |list| format!("{list:?}"));
    let _ = write!(
        out,
        "TSSubQuery(metric={}, filters=[{}], tsuids=[{}], agg={}, downsample={downsample}, \
         ds_interval={}, rate={}, rate_options={rate_options}, explicit_tags=explicit_tags, \
         index={}, percentiles={percentiles}, show_histogram_buckets={})",
        query.metric.as_deref().unwrap_or_default(),
        filters.join(", "),
        query.tsuids.join(", "),
        query.aggregator.as_deref().unwrap_or("null"),
        interval_ms.map_or(0, |interval| interval.nominal_ms),
        query.rate,
        if checked { index } else { 0 },
        query.show_buckets,
    );
}
