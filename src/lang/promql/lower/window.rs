//! Selectors, windows and sub-queries: what is read, and when.

use model::{StepGrid, TimeRange};
use plan::semantics::{Buckets, Fill, FoldFunction, Staleness};
use plan::{Fold, Node, Op, Scan, Span};

use super::{LowerResult, Lowered, Lowerer, matchers};
use crate::error::LangError;
use crate::promql::ast::{At, DurationExpr, Expr, ExprKind, Selector, Shift, Subquery};
use crate::promql::syntax::duration;

/// What to do with the samples of a window.
pub(super) struct Reduction {
    /// The reduction.
    pub(super) function: FoldFunction,
    /// Its scalar arguments.
    pub(super) arguments: Vec<Node>,
    /// The rows keep their names.
    pub(super) keeps_name: bool,
}

impl Reduction {
    /// A reduction without arguments that takes names off.
    pub(super) fn plain(function: FoldFunction) -> Self {
        Self { function, arguments: Vec::new(), keeps_name: false }
    }
}

/// Edges of a window relative to the instant: `(after, until]`.
#[derive(Clone, Copy)]
struct Edges {
    after_ms: i64,
    until_ms: i64,
}

impl Edges {
    /// The samples that the windows at the instants of `grid` need.
    fn range(self, grid: StepGrid) -> TimeRange {
        let last = grid.at(grid.len().saturating_sub(1));
        TimeRange::new(
            grid.start_ms.saturating_add(self.after_ms).saturating_add(1),
            last.saturating_add(self.until_ms),
        )
    }

    fn buckets(self, grid: StepGrid) -> Buckets {
        Buckets::Steps { grid, after_ms: self.after_ms, until_ms: self.until_ms }
    }
}

impl Lowerer<'_> {
    /// The newest sample within the look-back, or its time.
    pub(super) fn newest(
        &self,
        selector: &Selector,
        span: Span,
        grid: StepGrid,
        time_wanted: bool,
    ) -> LowerResult {
        refuse_edges(selector)?;
        let edges = self.edges(&selector.shift, self.options.lookback_ms, grid)?;
        let (drop_name, name_pending) = if time_wanted { self.dropping() } else { (false, false) };
        let function = if time_wanted { FoldFunction::NewestTime } else { FoldFunction::Newest };
        let fold = Fold {
            input: Box::new(self.scan(selector, span, edges.range(grid))),
            buckets: edges.buckets(grid),
            function,
            arguments: Vec::new(),
            staleness: Staleness::Ends,
            fill: Fill::Absent,
            drop_name,
        };
        Ok(Lowered { node: Node::at(Op::Fold(fold), span), name_pending })
    }

    /// A function over the windows of a range selector or a sub-query.
    pub(super) fn fold(
        &self,
        argument: &Expr,
        grid: StepGrid,
        reduction: Reduction,
        span: Span,
    ) -> LowerResult {
        let (input, edges) = match &argument.unwrapped().kind {
            ExprKind::Range(range) => {
                refuse_edges(&range.selector)?;
                let range_ms = self.positive_ms(&range.range)?;
                let edges = self.edges(&range.selector.shift, range_ms, grid)?;
                let span = argument.unwrapped().span;
                let scan = self.scan(&range.selector, span, edges.range(grid));
                (Lowered { node: scan, name_pending: false }, edges)
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, grid)?,
            _ => {
                return Err(LangError::meaning("a range vector is needed here"));
            }
        };
        let (drop_name, pending) =
            if reduction.keeps_name { (false, input.name_pending) } else { self.dropping() };
        let fold = Fold {
            input: Box::new(input.node),
            buckets: edges.buckets(grid),
            function: reduction.function,
            arguments: reduction.arguments,
            staleness: Staleness::Skipped,
            fill: Fill::Absent,
            drop_name,
        };
        Ok(Lowered { node: Node::at(Op::Fold(fold), span), name_pending: pending })
    }

    /// The samples of a range selector or a sub-query that is the whole query.
    pub(super) fn samples(&self, expr: &Expr) -> LowerResult {
        let grid = StepGrid::instant(self.options.grid.start_ms);
        let (input, edges) = match &expr.kind {
            ExprKind::Range(range) => {
                refuse_edges(&range.selector)?;
                let range_ms = self.positive_ms(&range.range)?;
                let edges = self.edges(&range.selector.shift, range_ms, grid)?;
                let scan = self.scan(&range.selector, expr.span, edges.range(grid));
                (Lowered { node: scan, name_pending: false }, edges)
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, grid)?,
            _ => return Err(LangError::meaning("a range vector is needed here")),
        };
        let clip = Op::Clip { input: Box::new(input.node), range: edges.range(grid) };
        Ok(Lowered { node: Node::at(clip, expr.span), name_pending: input.name_pending })
    }

    /// The expression of a sub-query over its own grid, and the windows over that.
    fn subquery(&self, subquery: &Subquery, grid: StepGrid) -> Result<(Lowered, Edges), LangError> {
        let range_ms = self.positive_ms(&subquery.range)?;
        let step_ms = match &subquery.step {
            Some(step) => self.positive_ms(step)?.max(1),
            None => self.options.subquery_step_ms.max(1),
        };
        let edges = self.edges(&subquery.shift, range_ms, grid)?;
        let range = edges.range(grid);
        // The first multiple of the step inside: `after` itself is outside.
        let before = range.start_ms.saturating_sub(1);
        let first = before.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        let inner_grid = StepGrid::new(first, range.end_ms, step_ms);
        if inner_grid.len() as u64 > self.options.limits.samples_max {
            return Err(LangError::limit(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        Ok((self.expr(&subquery.inner, inner_grid)?, edges))
    }

    fn scan(&self, selector: &Selector, span: Span, range: TimeRange) -> Node {
        let scan = Scan {
            matchers: matchers(selector),
            range,
            tenant: self.options.tenant,
            // The order of sums is the order of labels, so that answers are reproducible.
            sorted: true,
            integers: false,
            histograms: true,
            starts: false,
            title: None,
        };
        Node::at(Op::Scan(scan), span)
    }

    /// The window of `length_ms` that ends at each instant of `grid`, shifted.
    fn edges(&self, shift: &Shift, length_ms: i64, grid: StepGrid) -> Result<Edges, LangError> {
        let offset_ms = match &shift.offset {
            Some(offset) => self.duration_ms(offset)?,
            None => 0,
        };
        // A fixed instant is an offset as long as there is only one instant to stand at.
        let fixed_ms = match shift.at {
            None => 0,
            Some(_) if grid.len() > 1 => {
                return Err(LangError::meaning(
                    "@ inside a function whose other arguments vary is not supported",
                ));
            }
            Some(At::Time(ms)) => ms.saturating_sub(grid.start_ms),
            Some(At::Start) => self.options.grid.start_ms.saturating_sub(grid.start_ms),
            Some(At::End) => self.options.grid.end_ms.saturating_sub(grid.start_ms),
        };
        let until_ms = fixed_ms.saturating_sub(offset_ms);
        Ok(Edges { after_ms: until_ms.saturating_sub(length_ms), until_ms })
    }

    /// A duration in milliseconds for this query's step and range.
    fn duration_ms(&self, expr: &DurationExpr) -> Result<i64, LangError> {
        let seconds = |ms: i64| ms as f64 / 1e3;
        let grid = self.options.grid;
        let range_ms = grid.end_ms.saturating_sub(grid.start_ms);
        let value = duration::evaluate(expr, seconds(self.options.step_ms), seconds(range_ms))
            .map_err(|error| {
                LangError::syntax(format!("{}:{}: {}", error.start, error.end, error.message))
            })?;
        // By way of whole nanoseconds, as the reference computes.
        Ok(((value * 1e9).round() as i64) / 1_000_000)
    }

    fn positive_ms(&self, expr: &DurationExpr) -> Result<i64, LangError> {
        let ms = self.duration_ms(expr)?;
        if ms <= 0 && !matches!(expr.kind, crate::promql::ast::DurationKind::Literal { .. }) {
            let (start, end) = (expr.span.start, expr.span.end);
            return Err(LangError::syntax(format!(
                "{start}:{end}: duration must be greater than 0"
            )));
        }
        Ok(ms)
    }
}

fn refuse_edges(selector: &Selector) -> Result<(), LangError> {
    match selector.edges {
        Some(_) => Err(LangError::meaning("anchored and smoothed selectors are not supported")),
        None => Ok(()),
    }
}
