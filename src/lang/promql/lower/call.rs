//! Functions.

use model::{LabelBuilder, METRIC_NAME, StepGrid};
use plan::node::Number;
use plan::semantics::{
    Arithmetic, BinaryOp, BucketFunction, Cardinality, DatePart, FoldFunction, MapFunction,
    Matching, Reducer, RelabelRule, SortOrder, Trig,
};
use plan::{Join, Map, Node, Op, Relabel, Span};

use super::window::Reduction;
use super::{LowerResult, Lowered, Lowerer, anything};
use crate::error::LangError;
use crate::promql::ast::{Call, Expr, ExprKind, LabelTestOp, Selector};
use crate::promql::re2;

impl Lowerer<'_> {
    pub(super) fn call(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        if let Some(function) = plain_map(call.function) {
            return self.map_call(call, function, span, grid);
        }
        if let Some(part) = date_part(call.function) {
            return self.date(call, part, span, grid);
        }
        if let Some(reduction) = plain_fold(call.function) {
            return self.fold(argument(call, 0)?, grid, reduction, span);
        }
        match call.function {
            "time" => Ok(Lowered::settled(Op::Time(grid), span)),
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
                let input = Box::new(self.scalar(argument(call, 0)?, grid)?);
                Ok(Lowered::settled(Op::ToVector(input), span))
            }
            "scalar" => {
                let input = Box::new(self.expr(argument(call, 0)?, grid)?.node);
                Ok(Lowered::settled(Op::ToScalar(input), span))
            }
            "timestamp" => self.timestamp(call, span, grid),
            "absent" => self.absent(call, span, grid),
            "absent_over_time" => self.absent_over_time(call, span, grid),
            "quantile_over_time" => {
                let arguments = vec![self.scalar(argument(call, 0)?, grid)?];
                let function = FoldFunction::Reduce(Reducer::Quantile);
                let reduction = Reduction { function, arguments, keeps_name: false };
                self.fold(argument(call, 1)?, grid, reduction, span)
            }
            "predict_linear" => self.predict_linear(call, span, grid),
            "double_exponential_smoothing" => {
                let reduction = self.with_scalars(call, FoldFunction::DoubleExponential, grid)?;
                self.fold(argument(call, 0)?, grid, reduction, span)
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
                let arguments = vec![self.scalar(argument(call, 0)?, grid)?];
                let input = argument(call, 1)?;
                self.buckets(BucketFunction::Quantile, input, arguments, span, grid)
            }
            "histogram_fraction" => {
                let lower = self.scalar(argument(call, 0)?, grid)?;
                let upper = self.scalar(argument(call, 1)?, grid)?;
                let input = argument(call, 2)?;
                self.buckets(BucketFunction::Fraction, input, vec![lower, upper], span, grid)
            }
            "histogram_quantiles" => self.histogram_quantiles(call, span, grid),
            // These look at native histograms alone, and there are none.
            "histogram_avg" | "histogram_count" | "histogram_stddev" | "histogram_stdvar"
            | "histogram_sum" => Ok(Lowered::settled(Op::Union(Vec::new()), span)),
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
        let arguments = arguments.map(|one| self.scalar(one, grid)).collect::<Result<_, _>>()?;
        self.mapped(input, function, arguments, span)
    }

    fn with_scalars(
        &self,
        call: &Call,
        function: FoldFunction,
        grid: StepGrid,
    ) -> Result<Reduction, LangError> {
        let arguments = call.arguments.iter().skip(1);
        let arguments = arguments.map(|one| self.scalar(one, grid)).collect::<Result<_, _>>()?;
        Ok(Reduction { function, arguments, keeps_name: false })
    }

    /// Over a window fixed by `@` the line is the same at every instant, but the horizon counts from
    /// each: the line's value at the first instant plus its slope times the seconds since.
    fn predict_linear(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let window = argument(call, 0)?;
        if grid.len() <= 1 || !super::is_invariant(window) {
            let reduction = self.with_scalars(call, FoldFunction::PredictLinear, grid)?;
            return self.fold(window, grid, reduction, span);
        }
        let first = StepGrid::instant(grid.start_ms);
        let number = |value: f64, grid| Node::at(Op::Constant(Number(value), grid), span);
        let repeated =
            |lowered: Lowered| Node::at(Op::Repeat { input: Box::new(lowered.node), grid }, span);
        let arguments = vec![number(0.0, first)];
        let function = FoldFunction::PredictLinear;
        let reduction = Reduction { function, arguments, keeps_name: false };
        let start = repeated(self.fold(window, first, reduction, span)?);
        let reduction = Reduction::plain(FoldFunction::Slope);
        let slope = repeated(self.fold(window, first, reduction, span)?);
        let scalar_sum = |left: Node, right: Node| {
            let function =
                MapFunction::Binary { op: BinaryOp::Add, argument_left: false, return_bool: false };
            let (input, arguments) = (Box::new(left), vec![right]);
            Node::at(Op::Map(Map { input, function, arguments, drop_name: false }), span)
        };
        let since =
            scalar_sum(Node::at(Op::Time(grid), span), number(-(grid.start_ms as f64) / 1e3, grid));
        let seconds = scalar_sum(since, self.scalar(argument(call, 1)?, grid)?);
        let function = MapFunction::Binary {
            op: BinaryOp::Multiply,
            argument_left: false,
            return_bool: false,
        };
        let (input, arguments) = (Box::new(slope), vec![seconds]);
        let growth = Node::at(Op::Map(Map { input, function, arguments, drop_name: true }), span);
        let matching = Matching {
            on: false,
            labels: Vec::new(),
            cardinality: Cardinality::OneToOne,
            include: Vec::new(),
            fill: (None, None),
        };
        let (left, right) = (Box::new(start), Box::new(growth));
        let join = Join { left, right, op: BinaryOp::Add, return_bool: false, matching };
        Ok(Lowered::settled(Op::Join(join), span))
    }

    fn date(&self, call: &Call, part: DatePart, span: Span, grid: StepGrid) -> LowerResult {
        let input = match call.arguments.first() {
            Some(argument) => self.expr(argument, grid)?,
            None => {
                let time = Box::new(Node::at(Op::Time(grid), span));
                Lowered::settled(Op::ToVector(time), span)
            }
        };
        self.mapped(input, MapFunction::Date(part), Vec::new(), span)
    }

    fn timestamp(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let input = argument(call, 0)?;
        // Only directly on a selector is the sample's own time seen.
        match &input.unwrapped().kind {
            ExprKind::Selector(selector) => self.newest(selector, span, grid, true),
            _ => self.mapped(self.expr(input, grid)?, MapFunction::Timestamp, Vec::new(), span),
        }
    }

    fn absent(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let argument = argument(call, 0)?;
        let labels = match &argument.kind {
            ExprKind::Selector(selector) => expected_labels(selector),
            _ => LabelBuilder::default(),
        };
        let input = Box::new(self.expr(argument, grid)?.node);
        Ok(Lowered::settled(Op::Absent { input, labels: labels.build() }, span))
    }

    fn absent_over_time(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let argument = argument(call, 0)?;
        let labels = match &argument.unwrapped().kind {
            ExprKind::Range(range) => expected_labels(&range.selector),
            _ => LabelBuilder::default(),
        };
        let present = self.fold(argument, grid, Reduction::plain(FoldFunction::Present), span)?;
        let input = Box::new(present.node);
        Ok(Lowered::settled(Op::Absent { input, labels: labels.build() }, span))
    }

    fn sort(&self, call: &Call, order: SortOrder, span: Span, grid: StepGrid) -> LowerResult {
        let input = self.expr(argument(call, 0)?, grid)?;
        let name_pending = input.name_pending;
        let op = Op::Sort { input: Box::new(input.node), order };
        Ok(Lowered { node: Node::at(op, span), name_pending })
    }

    fn buckets(
        &self,
        function: BucketFunction,
        input: &Expr,
        arguments: Vec<Node>,
        span: Span,
        grid: StepGrid,
    ) -> LowerResult {
        let input = Box::new(self.expr(input, grid)?.node);
        Ok(Lowered::settled(Op::Buckets { function, input, arguments }, span))
    }

    fn histogram_quantiles(&self, call: &Call, span: Span, grid: StepGrid) -> LowerResult {
        let input = argument(call, 0)?;
        let label = text(call, 1)?;
        let mut parts = Vec::new();
        for quantile in call.arguments.iter().skip(2) {
            let ExprKind::Number { value, .. } = quantile.unwrapped().kind else {
                return Err(LangError::meaning(
                    "histogram_quantiles with quantiles that are no numbers is not supported",
                ));
            };
            let arguments = vec![self.scalar(quantile, grid)?];
            let one = self.buckets(BucketFunction::Quantile, input, arguments, span, grid)?;
            let rule = RelabelRule::Replace {
                destination: label.clone(),
                template: open_metrics_number(value),
                source: METRIC_NAME.to_owned(),
                pattern: anything(),
            };
            let op = Op::Relabel(Relabel { input: Box::new(one.node), rule });
            parts.push(Node::at(op, span));
        }
        Ok(Lowered::settled(Op::Union(parts), span))
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
        let names_metric = destination == METRIC_NAME;
        let rule = RelabelRule::Replace { destination, template, source, pattern };
        self.relabel(call, rule, names_metric, span, grid)
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
        let names_metric = destination == METRIC_NAME;
        let rule = RelabelRule::Join { destination, separator, sources };
        self.relabel(call, rule, names_metric, span, grid)
    }

    fn relabel(
        &self,
        call: &Call,
        rule: RelabelRule,
        names_metric: bool,
        span: Span,
        grid: StepGrid,
    ) -> LowerResult {
        let input = self.expr(argument(call, 0)?, grid)?;
        // A name given on purpose is not taken off at the end.
        let name_pending = input.name_pending && !names_metric;
        let op = Op::Relabel(Relabel { input: Box::new(input.node), rule });
        Ok(Lowered { node: Node::at(op, span), name_pending })
    }
}

fn constant(value: f64, grid: StepGrid, span: Span) -> Lowered {
    Lowered::settled(Op::Constant(Number(value), grid), span)
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
    !name.is_empty() && !name.contains('\u{fffd}')
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

/// `0.5`, `1.0`: always with a point or an exponent.
fn open_metrics_number(value: f64) -> String {
    if value.is_finite() && value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.1}")
    } else {
        value.to_string()
    }
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
