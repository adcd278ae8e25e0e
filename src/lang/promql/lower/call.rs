//! Functions.

use model::{LabelBuilder, METRIC_NAME, Matcher, StepGrid, ValueTest};
use plan::node::Number;
use plan::semantics::{
    Arithmetic, BucketFunction, DatePart, FoldFunction, Grouping, HistogramPart, MapFunction,
    Reducer, RelabelRule, SortOrder, Trig,
};
use plan::{Inform, Node, Op, Rank, RankKind, Relabel, Span};

use super::window::Reduction;
use super::{LowerResult, Lowerer};
use crate::error::LangError;
use crate::promql::ast::{Call, Expr, ExprKind, LabelTestOp, Selector};
use crate::promql::re2;
use crate::promql::syntax::quote::has_bad_bytes;

impl Lowerer<'_> {
    pub(super) fn call(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let mut path = self.path.get();
        match call.function {
            "histogram_count" | "histogram_sum" | "histogram_avg" => path.wants_statistics = true,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                path.needs_buckets = true;
            }
            _ => {}
        }
        let above = self.path.replace(path);
        let outcome = self.call_below(call, span, grid);
        self.path.set(above);
        outcome
    }

    fn call_below(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        if let Some(function) = plain_map(call.function) {
            return self.map_call(call, function, span, grid);
        }
        if let Some(part) = date_part(call.function) {
            return self.date(call, part, span, grid);
        }
        if let Some(reduction) = plain_fold(call.function) {
            return self.fold(argument(call, 0)?, grid, reduction, call.function, span);
        }
        match call.function {
            "time" => Ok(Node::at(Op::Time(grid), span)),
            "pi" => Ok(constant(std::f64::consts::PI, grid, span)),
            "start" => Ok(constant(self.options.grid.start_ms as f64 / 1e3, grid, span)),
            "end" => Ok(constant(self.options.grid.end_ms as f64 / 1e3, grid, span)),
            "step" => Ok(constant(self.options.step_ms as f64 / 1e3, grid, span)),
            "range" => {
                let range_ms = self.options.grid.end_ms - self.options.grid.start_ms;
                Ok(constant(range_ms as f64 / 1e3, grid, span))
            }
            "min_of" | "max_of" => {
                let is_min = call.function == "min_of";
                let function = if is_min { MapFunction::MinOf } else { MapFunction::MaxOf };
                self.map_call(call, function, span, grid)
            }
            "vector" => {
                let input = Box::new(self.expr(argument(call, 0)?, grid)?);
                Ok(Node::at(Op::ToVector(input), span))
            }
            "scalar" => {
                let input = Box::new(self.expr(argument(call, 0)?, grid)?);
                Ok(Node::at(Op::ToScalar(input), span))
            }
            "timestamp" => self.timestamp(call, span, grid),
            "absent" => self.absent(call, span, grid),
            "absent_over_time" => self.absent_over_time(call, span, grid),
            "quantile_over_time" => {
                let arguments = vec![self.expr(argument(call, 0)?, grid)?];
                let function = FoldFunction::Reduce(Reducer::Quantile);
                let reduction = Reduction { function, arguments, keeps_name: false };
                self.fold(argument(call, 1)?, grid, reduction, call.function, span)
            }
            "predict_linear" => {
                let reduction = self.with_scalars(call, FoldFunction::PredictLinear, grid)?;
                self.fold(argument(call, 0)?, grid, reduction, call.function, span)
            }
            "double_exponential_smoothing" => {
                let reduction = self.with_scalars(call, FoldFunction::DoubleExponential, grid)?;
                self.fold(argument(call, 0)?, grid, reduction, call.function, span)
            }
            _ => self.vector_call(call, span, grid),
        }
    }

    fn vector_call(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        match call.function {
            "label_replace" => self.label_replace(call, span, grid),
            "label_join" => self.label_join(call, span, grid),
            "sort" | "sort_desc" => {
                let order = SortOrder::Value { descending: call.function == "sort_desc" };
                self.sort(call, order, span, grid)
            }
            "sort_by_label" | "sort_by_label_desc" => {
                let names = texts(call, 1)?;
                let descending = call.function == "sort_by_label_desc";
                self.sort(call, SortOrder::Labels { names, descending }, span, grid)
            }
            "histogram_quantile" => {
                let arguments = vec![self.expr(argument(call, 0)?, grid)?];
                let input = argument(call, 1)?;
                self.buckets(BucketFunction::Quantile, input, arguments, span, grid)
            }
            "histogram_fraction" => {
                let lower = self.expr(argument(call, 0)?, grid)?;
                let upper = self.expr(argument(call, 1)?, grid)?;
                let input = argument(call, 2)?;
                self.buckets(BucketFunction::Fraction, input, vec![lower, upper], span, grid)
            }
            "histogram_quantiles" => {
                let label = text(call, 1)?;
                let quantiles = call.arguments.iter().skip(2);
                let quantiles =
                    quantiles.map(|one| self.expr(one, grid)).collect::<Result<_, _>>()?;
                let function = BucketFunction::Quantiles(label);
                self.buckets(function, argument(call, 0)?, quantiles, span, grid)
            }
            "info" => self.info(call, span, grid),
            "start_timestamp" => self.start_timestamp(call, span, grid),
            other => Err(LangError::meaning(format!("function {other} is not supported"))),
        }
    }

    /// A function of the first argument's values; the others are scalars.
    fn map_call(
        &self,
        call: &Call,
        function: MapFunction,
        span: Span,
        grid: StepGrid,
    ) -> LowerResult {
        let input = self.expr(argument(call, 0)?, grid)?;
        let arguments = call.arguments.iter().skip(1);
        let arguments = arguments.map(|one| self.expr(one, grid)).collect::<Result<_, _>>()?;
        self.mapped(input, function, arguments, span)
    }

    fn with_scalars(
        &self,
        call: &Call,
        function: FoldFunction,
        grid: StepGrid,
    ) -> Result<Reduction, LangError> {
        let arguments = call.arguments.iter().skip(1);
        let arguments = arguments.map(|one| self.expr(one, grid)).collect::<Result<_, _>>()?;
        Ok(Reduction { function, arguments, keeps_name: false })
    }

    fn date(&self, call: &Call, part: DatePart, span: Span, grid: StepGrid) -> LowerResult {
        let input = match call.arguments.first() {
            Some(argument) => self.expr(argument, grid)?,
            None => {
                let time = Box::new(Node::at(Op::Time(grid), span));
                Node::at(Op::ToVector(time), span)
            }
        };
        self.mapped(input, MapFunction::Date(part), Vec::new(), span)
    }

    fn timestamp(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let input = argument(call, 0)?;
        // Only directly on a selector is the sample's own time seen.
        match &input.unwrapped().kind {
            ExprKind::Selector(selector) => {
                self.newest_of(selector, span, grid, FoldFunction::NewestTime)
            }
            _ => self.mapped(self.expr(input, grid)?, MapFunction::Timestamp, Vec::new(), span),
        }
    }

    /// Only of a selector itself is it known when its samples began to count.
    fn start_timestamp(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let input = argument(call, 0)?;
        match &input.unwrapped().kind {
            ExprKind::Selector(selector) if self.options.features.start_timestamps => {
                self.newest_of(selector, span, grid, FoldFunction::NewestStart)
            }
            _ => {
                let input = Box::new(self.expr(input, grid)?);
                let count = Box::new(Node::at(Op::Constant(Number(0.0), grid), span));
                let grouping = Grouping::By(Vec::new());
                let rank = Rank { input, kind: RankKind::First, count, grouping, unsorted: false };
                Ok(Node::at(Op::Rank(rank), span))
            }
        }
    }

    /// The rows with labels of the rows that describe their job and instance.
    fn info(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let input = Box::new(self.expr(argument(call, 0)?, grid)?);
        let selector = match call.arguments.get(1).map(|one| &one.unwrapped().kind) {
            Some(ExprKind::Selector(selector)) => selector.clone(),
            _ => Selector::default(),
        };
        let (mut names, wanted): (Vec<Matcher>, Vec<Matcher>) =
            super::matchers(&selector).into_iter().partition(|one| one.name == METRIC_NAME);
        let is_positive = |one: &Matcher| {
            matches!(one.test, ValueTest::Equal(_) | ValueTest::Regex(_) | ValueTest::OneOf(_))
        };
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, "target_info"));
        } else if !names.iter().any(is_positive) {
            let pattern = re2::pattern(".+_info").map_err(|_| LangError::meaning("bad pattern"))?;
            names.insert(0, Matcher::new(METRIC_NAME, ValueTest::Regex(pattern)));
        }
        let matchers = names.iter().chain(&wanted).cloned().collect();
        let info = Box::new(self.newest_info(matchers, span, grid));
        let identifying = ["instance", "job"].map(str::to_owned).to_vec();
        Ok(Node::at(Op::Inform(Inform { input, info, names, identifying, wanted }), span))
    }

    fn absent(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let argument = argument(call, 0)?;
        let labels = match &argument.kind {
            ExprKind::Selector(selector) => expected_labels(selector),
            _ => LabelBuilder::default(),
        };
        let input = Box::new(self.expr(argument, grid)?);
        Ok(Node::at(Op::Absent { input, labels: labels.build() }, span))
    }

    fn absent_over_time(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let argument = argument(call, 0)?;
        let labels = match &argument.unwrapped().kind {
            ExprKind::Range(range) => expected_labels(&range.selector),
            _ => LabelBuilder::default(),
        };
        let present = self.fold(
            argument,
            grid,
            Reduction::plain(FoldFunction::Present),
            call.function,
            span,
        )?;
        let input = Box::new(present);
        Ok(Node::at(Op::Absent { input, labels: labels.build() }, span))
    }

    fn sort(&self, call: &Call, order: SortOrder, span: Span, grid: StepGrid) -> LowerResult {
        let input = self.expr(argument(call, 0)?, grid)?;
        Ok(Node::at(Op::Sort { input: Box::new(input), order }, span))
    }

    fn buckets(
        &self,
        function: BucketFunction,
        input: &Expr,
        arguments: Vec<Node>,
        span: Span,
        grid: StepGrid,
    ) -> LowerResult {
        let input = Box::new(self.expr(input, grid)?);
        Ok(Node::at(Op::Buckets { function, input, arguments }, span))
    }

    fn label_replace(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let (destination, template) = (text(call, 1)?, text(call, 2)?);
        let (source, expression) = (text(call, 3)?, text(call, 4)?);
        let pattern = re2::pattern(&expression).map_err(|_| {
            LangError::meaning(format!(
                "invalid regular expression in label_replace(): {expression}"
            ))
        })?;
        if !is_label_name(&destination) {
            return Err(LangError::meaning(format!(
                "invalid destination label name in label_replace(): {destination}"
            )));
        }
        let rule = RelabelRule::Replace { destination, template, source, pattern };
        self.relabel(call, rule, span, grid)
    }

    fn label_join(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let (destination, separator) = (text(call, 1)?, text(call, 2)?);
        let sources = texts(call, 3)?;
        if let Some(bad) = sources.iter().find(|source| !is_label_name(source)) {
            return Err(LangError::meaning(format!(
                "invalid source label name in label_join(): {bad}"
            )));
        }
        if !is_label_name(&destination) {
            return Err(LangError::meaning(format!(
                "invalid destination label name in label_join(): {destination}"
            )));
        }
        let rule = RelabelRule::Join { destination, separator, sources };
        self.relabel(call, rule, span, grid)
    }

    fn relabel(&self, call: &Call, rule: RelabelRule, span: Span, grid: StepGrid) -> LowerResult {
        let input = self.expr(argument(call, 0)?, grid)?;
        Ok(Node::at(Op::Relabel(Relabel { input: Box::new(input), rule }), span))
    }
}

fn constant(value: f64, grid: StepGrid, span: Span) -> Node {
    Node::at(Op::Constant(Number(value), grid), span)
}

fn argument(call: &Call, index: usize) -> Result<&Expr, LangError> {
    call.arguments
        .get(index)
        .ok_or_else(|| LangError::meaning(format!("{} needs more arguments", call.function)))
}

fn text(call: &Call, index: usize) -> Result<String, LangError> {
    match &argument(call, index)?.unwrapped().kind {
        ExprKind::Text(text) => Ok(text.clone()),
        _ => Err(LangError::meaning(format!("{} needs a string here", call.function))),
    }
}

fn texts(call: &Call, from: usize) -> Result<Vec<String>, LangError> {
    (from..call.arguments.len()).map(|index| text(call, index)).collect()
}

/// Any text is a label's name in UTF-8 mode, but the empty one and what was no UTF-8.
fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !has_bad_bytes(name)
}

/// The labels that the missing series of a selector would have.
fn expected_labels(selector: &Selector) -> LabelBuilder {
    let mut labels = LabelBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for test in selector.matchers.iter().filter(|test| test.name != METRIC_NAME) {
        if matches!(test.op, LabelTestOp::Equal) && !seen.contains(&test.name.as_str()) {
            labels.set(&test.name, &test.value);
            seen.push(&test.name);
        } else {
            labels.remove(&test.name);
        }
    }
    labels
}

fn plain_map(name: &str) -> Option<MapFunction> {
    Some(match name {
        "abs" => MapFunction::Abs,
        "ceil" => MapFunction::Ceil,
        "floor" => MapFunction::Floor,
        "round" => MapFunction::Round,
        "sqrt" => MapFunction::Sqrt,
        "exp" => MapFunction::Exp,
        "ln" => MapFunction::Ln,
        "log2" => MapFunction::Log2,
        "log10" => MapFunction::Log10,
        "sgn" => MapFunction::Sign,
        "rad" => MapFunction::Radians,
        "deg" => MapFunction::Degrees,
        "histogram_count" => MapFunction::Histogram(HistogramPart::Count),
        "histogram_sum" => MapFunction::Histogram(HistogramPart::Sum),
        "histogram_avg" => MapFunction::Histogram(HistogramPart::Average),
        "histogram_stddev" => MapFunction::Histogram(HistogramPart::StdDev),
        "histogram_stdvar" => MapFunction::Histogram(HistogramPart::StdVar),
        "clamp" => MapFunction::Clamp,
        "clamp_min" => MapFunction::ClampMin,
        "clamp_max" => MapFunction::ClampMax,
        "sin" => MapFunction::Trig(Trig::Sin),
        "cos" => MapFunction::Trig(Trig::Cos),
        "tan" => MapFunction::Trig(Trig::Tan),
        "asin" => MapFunction::Trig(Trig::Asin),
        "acos" => MapFunction::Trig(Trig::Acos),
        "atan" => MapFunction::Trig(Trig::Atan),
        "sinh" => MapFunction::Trig(Trig::Sinh),
        "cosh" => MapFunction::Trig(Trig::Cosh),
        "tanh" => MapFunction::Trig(Trig::Tanh),
        "asinh" => MapFunction::Trig(Trig::Asinh),
        "acosh" => MapFunction::Trig(Trig::Acosh),
        "atanh" => MapFunction::Trig(Trig::Atanh),
        _ => return None,
    })
}

fn date_part(name: &str) -> Option<DatePart> {
    Some(match name {
        "year" => DatePart::Year,
        "month" => DatePart::Month,
        "day_of_month" => DatePart::DayOfMonth,
        "day_of_week" => DatePart::DayOfWeek,
        "day_of_year" => DatePart::DayOfYear,
        "days_in_month" => DatePart::DaysInMonth,
        "hour" => DatePart::Hour,
        "minute" => DatePart::Minute,
        _ => return None,
    })
}

/// Functions of one range vector alone.
fn plain_fold(name: &str) -> Option<Reduction> {
    use FoldFunction::{Increase, LastStep, Reduce};
    let precise = Arithmetic::Compensated;
    let function = match name {
        "rate" => Increase { counter: true, per_second: true },
        "increase" => Increase { counter: true, per_second: false },
        "delta" => Increase { counter: false, per_second: false },
        "irate" => LastStep { counter: true, per_second: true },
        "idelta" => LastStep { counter: false, per_second: false },
        "sum_over_time" => Reduce(Reducer::Sum(precise)),
        "avg_over_time" => Reduce(Reducer::Average(precise)),
        "min_over_time" => Reduce(Reducer::Min),
        "max_over_time" => Reduce(Reducer::Max),
        "count_over_time" => Reduce(Reducer::Count),
        "stddev_over_time" => Reduce(Reducer::StdDev(precise)),
        "stdvar_over_time" => Reduce(Reducer::StdVar(precise)),
        "first_over_time" => Reduce(Reducer::First),
        "last_over_time" => Reduce(Reducer::Last),
        "present_over_time" => FoldFunction::Present,
        "changes" => FoldFunction::Changes,
        "resets" => FoldFunction::Resets,
        "deriv" => FoldFunction::Slope,
        "mad_over_time" => FoldFunction::MedianAbsoluteDeviation,
        "ts_of_min_over_time" => FoldFunction::TimeOfMin,
        "ts_of_max_over_time" => FoldFunction::TimeOfMax,
        "ts_of_first_over_time" => FoldFunction::TimeOfFirst,
        "ts_of_last_over_time" => FoldFunction::TimeOfLast,
        _ => return None,
    };
    let keeps_name = matches!(name, "first_over_time" | "last_over_time");
    Some(Reduction { function, arguments: Vec::new(), keeps_name })
}
