//! A sub-query over histograms: they are added up over buckets of time and over the group, and shown
//! as percentiles or bucket by bucket. Nothing is interpolated.

use model::{Matcher, StepGrid, TenantId, TimeRange};
use plan::node::Number;
use plan::semantics::{
    Alignment, Arithmetic, Between, Buckets, Fill, FoldFunction, GroupLabels, Grouping, Reducer,
    SortOrder, Staleness,
};
use plan::{Aggregate, Fold, Node, Op, Rows, RowsFunction, Scan, SpreadColumns};

use super::downsample::Downsample;
use super::error::OpenTsdbError;
use super::lower::{BUCKETS_MAX, group_keys, scan, too_many, union};
use super::validate::{Checked, Query};

const SUM: Reducer = Reducer::Sum(Arithmetic::SkipNaN);

/// The rows of all columns of all groups.
pub(super) fn lower_histograms(
    query: &Query,
    sub: &Checked,
    selections: Vec<Vec<Matcher>>,
    hours: TimeRange,
    tenant: TenantId,
) -> Result<Node, OpenTsdbError> {
    let mut node = union(selections.into_iter().map(|matchers| {
        Node::new(Op::Scan(Scan { histograms: true, ..scan(matchers, hours, tenant, false) }))
    }));
    if let Some(downsample) = &sub.downsample {
        node = fold(node, buckets(query, downsample, hours)?);
    }
    if !sub.aggregator.is_none {
        node = aggregate(node, sub);
    }
    let named = |percent: &f64| (Number(*percent), format!("_pct_{percent:?}"));
    let columns = SpreadColumns {
        percentiles: sub.query.percentiles.iter().flatten().map(named).collect(),
        buckets: sub.query.show_buckets,
    };
    let function = RowsFunction::Spread(columns);
    Ok(Node::new(Op::Rows(Rows { inputs: vec![node], function })))
}

fn buckets(
    query: &Query,
    downsample: &Downsample,
    hours: TimeRange,
) -> Result<Buckets, OpenTsdbError> {
    let Some(interval) = downsample.interval else {
        let grid = StepGrid::instant(query.range.start_ms);
        let until_ms = query.range.end_ms.saturating_sub(query.range.start_ms) - 1;
        return Ok(Buckets::Steps { grid, after_ms: -1, until_ms });
    };
    if downsample.calendar {
        return Err(OpenTsdbError::invalid("Histograms have no calendar buckets"));
    }
    let width = interval.nominal_ms;
    let floor = |at_ms: i64| at_ms - at_ms.rem_euclid(width);
    let grid = StepGrid::new(floor(hours.start_ms + width - 1), floor(hours.end_ms), width);
    if grid.len() > BUCKETS_MAX {
        return Err(too_many(grid.len(), BUCKETS_MAX));
    }
    Ok(Buckets::Steps { grid, after_ms: -1, until_ms: width - 1 })
}

fn fold(input: Node, buckets: Buckets) -> Node {
    Node::new(Op::Fold(Fold {
        input: Box::new(input),
        buckets,
        function: FoldFunction::Reduce(SUM),
        arguments: Vec::new(),
        staleness: Staleness::Skipped,
        fill: Fill::Absent,
        drop_name: false,
    }))
}

fn aggregate(input: Node, sub: &Checked) -> Node {
    let keys = group_keys(sub);
    let alignment = match sub.downsample {
        Some(_) => Alignment::Steps,
        None => Alignment::Union { between: Between::Zero },
    };
    let node = Node::new(Op::Aggregate(Aggregate {
        input: Box::new(input),
        reducer: SUM,
        argument: None,
        grouping: Grouping::By(keys.clone()),
        alignment,
        labels: GroupLabels::Agreeing,
    }));
    if keys.is_empty() {
        return node;
    }
    Node::new(Op::Sort { input: Box::new(node), order: SortOrder::Numbers { names: keys } })
}
