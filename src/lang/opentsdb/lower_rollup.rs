//! A sub-query over points that were aggregated before: the same folds over what is kept of them.
//!
//! Of an average the sums and the counts are kept, and its value is the quotient of both.

use model::{METRIC_NAME, Matcher, TenantId, TimeRange, ValueTest};
use plan::node::Number;
use plan::semantics::{Arithmetic, BinaryOp, Cardinality, Matching, Reducer};
use plan::{Join, Node, Op, Rows, RowsFunction};

use super::downsample::FillPolicy;
use super::error::OpenTsdbError;
use super::lower::{folded, named};
use super::rollup::{RollupRead, stored_metric};
use super::validate::{Checked, Query};

impl RollupRead {
    /// What the kept series must satisfy that stand for those of `selections`. For an average these
    /// are the sums.
    pub(super) fn selections(
        &self,
        sub: &Checked,
        selections: Vec<Vec<Matcher>>,
    ) -> Vec<Vec<Matcher>> {
        let function = sub.downsample.as_ref().map_or("", |downsample| &downsample.function);
        self.kept(if function == "avg" { "sum" } else { function }, selections)
    }

    fn kept(&self, function: &str, mut selections: Vec<Vec<Matcher>>) -> Vec<Vec<Matcher>> {
        for matcher in selections.iter_mut().flatten() {
            if let ValueTest::Equal(metric) = &mut matcher.test
                && matcher.name == METRIC_NAME
            {
                *metric = stored_metric(&self.interval, function, "", metric);
            }
        }
        selections
    }
}

/// A row for every series, thinned, under the metric's own name.
pub(super) fn folded_rollups(
    query: &Query,
    sub: &Checked,
    selections: Vec<Vec<Matcher>>,
    (hours, tenant): (TimeRange, TenantId),
    read: &RollupRead,
) -> Result<Node, OpenTsdbError> {
    let function = sub.downsample.as_ref().map_or("", |downsample| downsample.function.as_str());
    let fold = |function: &str, changed: &Checked| {
        folded(query, changed, read.kept(function, selections.clone()), hours, tenant)
    };
    let node = match function {
        "avg" => {
            let changed = reduced(sub, Some(FillPolicy::Nan));
            let quotient = divided(fold("sum", &changed)?, fold("count", &changed)?);
            filled(quotient, sub)
        }
        "count" => fold("count", &reduced(sub, None))?,
        other => fold(other, sub)?,
    };
    let node = named(node, &sub.metric);
    if !read.falls_back {
        return Ok(node);
    }
    let inputs = vec![node, folded(query, sub, selections, hours, tenant)?];
    Ok(Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Fallback })))
}

/// The sub-query with sums in place of its function: counts are summed.
fn reduced(sub: &Checked, fill: Option<FillPolicy>) -> Checked {
    let mut sub = sub.clone();
    if let Some(downsample) = &mut sub.downsample {
        downsample.reducer = Reducer::Sum(Arithmetic::SkipNaN);
        downsample.fill = fill.unwrap_or(downsample.fill);
    }
    sub
}

fn divided(left: Node, right: Node) -> Node {
    let matching = Matching {
        on: false,
        labels: Vec::new(),
        cardinality: Cardinality::OneToOne,
        include: Vec::new(),
        fill: (None, None),
    };
    let (left, right) = (Box::new(left), Box::new(right));
    Node::new(Op::Join(Join { left, right, op: BinaryOp::Divide, return_bool: false, matching }))
}

/// What stands in buckets that have no quotient.
fn filled(quotient: Node, sub: &Checked) -> Node {
    let apply = |input, function| Node::new(Op::Rows(Rows { inputs: vec![input], function }));
    match sub.downsample.as_ref().map(|downsample| downsample.fill) {
        Some(FillPolicy::Nan | FillPolicy::Null) => quotient,
        Some(FillPolicy::Zero) => {
            let finite = apply(quotient, RowsFunction::Finite);
            apply(finite, RowsFunction::FillAbsent(Number(0.0)))
        }
        _ => apply(quotient, RowsFunction::Finite),
    }
}
