//! Selectors, windows and sub-queries: what is read, and when.

use model::{Matcher, StepGrid, TimeRange};
use plan::semantics::{Buckets, Counted, Fill, FoldFunction, Staleness, WindowEdges};
use plan::{Fold, Node, Op, Scan, Span};

use super::{LowerResult, Lowerer, Path, matchers};
use crate::error::LangError;
use crate::promql::ast::{
    At, DurationExpr, Edges as EdgeKind, Expr, ExprKind, Selector, Shift, Subquery,
};
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
    /// Counted from this instant rather than from each.
    fixed_ms: Option<i64>,
}

impl Edges {
    /// The samples that the windows at the instants of `grid` need.
    fn range(self, grid: StepGrid) -> TimeRange {
        let first = self.fixed_ms.unwrap_or(grid.start_ms);
        let last = self.fixed_ms.unwrap_or(grid.at(grid.len().saturating_sub(1)));
        TimeRange::new(
            first.saturating_add(self.after_ms).saturating_add(1),
            last.saturating_add(self.until_ms),
        )
    }

    fn buckets(self, grid: StepGrid) -> Buckets {
        let Self { after_ms, until_ms, fixed_ms } = self;
        match fixed_ms {
            None => Buckets::Steps { grid, after_ms, until_ms },
            Some(base_ms) => Buckets::Fixed {
                grid,
                after_ms: base_ms.saturating_add(after_ms),
                until_ms: base_ms.saturating_add(until_ms),
            },
        }
    }
}

impl Lowerer<'_> {
    /// The newest sample within the look-back, or the value on the line between the samples around.
    pub(super) fn newest(&self, selector: &Selector, span: Span, grid: StepGrid) -> LowerResult {
        match selector.edges {
            None => self.newest_of(selector, span, grid, FoldFunction::Newest),
            Some(EdgeKind::Anchored) => {
                Err(LangError::meaning("anchored modifier can only be used with range selectors"))
            }
            Some(EdgeKind::Smoothed) => {
                let lookback_ms = self.options.lookback_ms;
                let mut edges = self.edges(&selector.shift, lookback_ms)?;
                edges.until_ms = edges.until_ms.saturating_add(lookback_ms);
                let input = self.scan(selector, span, edges.range(grid), false);
                Ok(lookback(input, edges.buckets(grid), FoldFunction::Interpolated, span))
            }
        }
    }

    /// Something of the newest sample within the look-back.
    pub(super) fn newest_of(
        &self,
        selector: &Selector,
        span: Span,
        grid: StepGrid,
        function: FoldFunction,
    ) -> LowerResult {
        let edges = self.edges(&selector.shift, self.options.lookback_ms)?;
        let starts = function == FoldFunction::NewestStart;
        let input = self.scan(selector, span, edges.range(grid), starts);
        Ok(lookback(input, edges.buckets(grid), function, span))
    }

    /// The time of the newest sample of describing series.
    pub(super) fn newest_info(&self, matchers: Vec<Matcher>, span: Span, grid: StepGrid) -> Node {
        let edges = Edges { after_ms: -self.options.lookback_ms, until_ms: 0, fixed_ms: None };
        let input = self.scan_of(matchers, span, edges.range(grid), false);
        let fold = lookback(input, edges.buckets(grid), FoldFunction::NewestFloatTime, span);
        let Op::Fold(mut fold) = fold.op else { return fold };
        // Which metric describes is part of the answer.
        fold.drop_name = false;
        Node::at(Op::Fold(fold), span)
    }

    /// A function over the windows of a range selector or a sub-query.
    pub(super) fn fold(
        &self,
        argument: &Expr,
        grid: StepGrid,
        reduction: Reduction,
        name: &str,
        span: Span,
    ) -> LowerResult {
        let mut function = reduction.function;
        let (input, edges) = match &argument.unwrapped().kind {
            ExprKind::Range(range) => {
                let range_ms = self.positive_ms(&range.range)?;
                let mut edges = self.edges(&range.selector.shift, range_ms)?;
                if let Some(kind) = range.selector.edges {
                    let narrow = edges;
                    edges = self.widened(edges, kind);
                    function = at_edges(&function, kind, (narrow, edges), name)?;
                }
                let span = argument.unwrapped().span;
                let starts = self.options.features.start_timestamps && uses_starts(&function);
                (self.scan(&range.selector, span, edges.range(grid), starts), edges)
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, grid)?,
            _ => {
                return Err(LangError::meaning("a range vector is needed here"));
            }
        };
        let fold = Fold {
            input: Box::new(input),
            buckets: edges.buckets(grid),
            function,
            arguments: reduction.arguments,
            staleness: Staleness::Skipped,
            fill: Fill::Absent,
            drop_name: !reduction.keeps_name,
        };
        Ok(Node::at(Op::Fold(fold), span))
    }

    /// The window with the samples beyond its edges.
    fn widened(&self, edges: Edges, kind: EdgeKind) -> Edges {
        let more_ms = self.options.lookback_ms;
        let behind_ms = if kind == EdgeKind::Smoothed { more_ms } else { 0 };
        Edges {
            after_ms: edges.after_ms.saturating_sub(more_ms),
            until_ms: edges.until_ms.saturating_add(behind_ms),
            fixed_ms: edges.fixed_ms,
        }
    }

    /// The samples of a range selector or a sub-query that is the whole query.
    pub(super) fn samples(&self, expr: &Expr) -> LowerResult {
        let grid = StepGrid::instant(self.options.grid.start_ms);
        let (input, range) = match &expr.kind {
            ExprKind::Range(range) => {
                let range_ms = self.positive_ms(&range.range)?;
                let edges = self.edges(&range.selector.shift, range_ms)?;
                let wide = match range.selector.edges {
                    Some(kind) => self.widened(edges, kind),
                    None => edges,
                };
                let input = self.scan(&range.selector, expr.span, wide.range(grid), false);
                if let Some(kind) = range.selector.edges {
                    let (input, range) = (Box::new(input), edges.range(grid));
                    let edges = window_edges(kind);
                    return Ok(Node::at(Op::Edges { input, range, edges }, expr.span));
                }
                (input, edges.range(grid))
            }
            ExprKind::Subquery(subquery) => {
                let (input, edges) = self.subquery(subquery, grid)?;
                (input, edges.range(grid))
            }
            _ => return Err(LangError::meaning("a range vector is needed here")),
        };
        Ok(Node::at(Op::Clip { input: Box::new(input), range }, expr.span))
    }

    /// The expression of a sub-query over its own grid, and the windows over that.
    fn subquery(&self, subquery: &Subquery, grid: StepGrid) -> Result<(Node, Edges), LangError> {
        let range_ms = self.positive_ms(&subquery.range)?;
        let step_ms = match &subquery.step {
            Some(step) => self.positive_ms(step)?.max(1),
            None => self.options.subquery_step_ms.max(1),
        };
        let edges = self.edges(&subquery.shift, range_ms)?;
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
        let above = self.path.get();
        self.path.set(Path { needs_buckets: true, ..above });
        let inner = self.expr(&subquery.inner, inner_grid);
        self.path.set(above);
        Ok((inner?, edges))
    }

    fn scan(&self, selector: &Selector, span: Span, range: TimeRange, starts: bool) -> Node {
        self.scan_of(matchers(selector), span, range, starts)
    }

    /// The scan, without the buckets of native histograms where nothing above looks at them.
    fn scan_of(&self, matchers: Vec<Matcher>, span: Span, range: TimeRange, starts: bool) -> Node {
        let scan = Scan {
            matchers,
            range,
            tenant: self.options.tenant,
            // The order of sums is the order of labels, so that answers are reproducible.
            sorted: true,
            integers: false,
            histograms: true,
            starts,
            title: None,
            cut_ms: None,
        };
        let scan = Node::at(Op::Scan(scan), span);
        let path = self.path.get();
        if path.wants_statistics && !path.needs_buckets {
            Node::at(Op::Statistics(Box::new(scan)), span)
        } else {
            scan
        }
    }

    /// The window of `length_ms` that ends at each instant, shifted.
    fn edges(&self, shift: &Shift, length_ms: i64) -> Result<Edges, LangError> {
        let offset_ms = match &shift.offset {
            Some(offset) => self.duration_ms(offset)?,
            None => 0,
        };
        let fixed_ms = shift.at.map(|at| match at {
            At::Time(ms) => ms,
            At::Start => self.options.grid.start_ms,
            At::End => self.options.grid.end_ms,
        });
        let until_ms = 0i64.saturating_sub(offset_ms);
        Ok(Edges { after_ms: until_ms.saturating_sub(length_ms), until_ms, fixed_ms })
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

/// A fold over the newest samples of each window.
fn lookback(input: Node, buckets: Buckets, function: FoldFunction, span: Span) -> Node {
    let keeps_name = matches!(function, FoldFunction::Newest | FoldFunction::Interpolated);
    let fold = Fold {
        input: Box::new(input),
        buckets,
        function,
        arguments: Vec::new(),
        staleness: Staleness::Ends,
        fill: Fill::Absent,
        drop_name: !keeps_name,
    };
    Node::at(Op::Fold(fold), span)
}

/// The functions for which it matters when samples began to count.
fn uses_starts(function: &FoldFunction) -> bool {
    matches!(
        function,
        FoldFunction::Increase { counter: true, .. }
            | FoldFunction::LastStep { counter: true, .. }
            | FoldFunction::AtEdges { counted: Counted::Resets, .. }
            | FoldFunction::Resets
    )
}

fn window_edges(kind: EdgeKind) -> WindowEdges {
    match kind {
        EdgeKind::Anchored => WindowEdges::Anchored,
        EdgeKind::Smoothed => WindowEdges::Smoothed,
    }
}

/// The function `name` with values at the edges of its windows.
fn at_edges(
    function: &FoldFunction,
    kind: EdgeKind,
    (narrow, wide): (Edges, Edges),
    name: &str,
) -> Result<FoldFunction, LangError> {
    let refused = |word: &str, allowed: &str| {
        let text = format!("{word} modifier can only be used with: {allowed} - not with {name}");
        Err(LangError::meaning(text))
    };
    let counted = match (function, kind) {
        (FoldFunction::Increase { counter, per_second }, _) => {
            Counted::Growth { counter: *counter, per_second: *per_second }
        }
        (FoldFunction::Changes, EdgeKind::Anchored) => Counted::Changes,
        (FoldFunction::Resets, EdgeKind::Anchored) => Counted::Resets,
        (_, EdgeKind::Anchored) => {
            return refused("anchored", "changes, delta, increase, rate, resets");
        }
        (_, EdgeKind::Smoothed) => return refused("smoothed", "delta, increase, rate"),
    };
    let (before_ms, behind_ms) = (narrow.after_ms - wide.after_ms, wide.until_ms - narrow.until_ms);
    Ok(FoldFunction::AtEdges { counted, edges: window_edges(kind), before_ms, behind_ms })
}
