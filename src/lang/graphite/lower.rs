//! Targets to a plan.
//!
//! Every expression becomes a node whose rows carry a title (the series' name in the answer) and a
//! style (what calls around it are named after, and how its points are merged). Functions that the
//! original evaluates anew over another window lower their argument once more with that window.

pub(super) mod alias;
pub(super) mod combine;
pub(super) mod groups;
pub(super) mod legend;
pub(super) mod moving;
pub(super) mod percent;
pub(super) mod season;
pub(super) mod series;
mod session;
pub(super) mod shift;
pub(super) mod special;
pub(super) mod transform;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use model::{Matcher, StepGrid, TenantId, TimeRange};
use plan::semantics::{
    Arithmetic, BinaryOp, Buckets, Fill, FoldFunction, MapFunction, Reducer, Staleness, TitleRule,
};
use plan::{
    ExpressionRule, Fold, LabelRule, Map, Node, Op, Plan, Presentation, QueryLimits, Rows,
    RowsFunction, Scan, node::Number,
};

use super::argument::Arguments;
use super::ast::{Call, Expr, ExprKind};
use super::error::GraphiteError;
use super::functions;
use super::glob::name_matcher;
use super::parser::parse;
use super::probe::{NoProbe, Probe};
use super::schemas::{StepRules, search_pattern};
use super::tagspec::label_of;
use super::template::expand;
use session::Session;

/// Points that one series may have; a year at 15 s.
const POINTS_MAX: i64 = 2_102_400;

/// The merge of points where nothing else is asked for.
pub(super) const AVERAGE: Reducer = Reducer::Average(Arithmetic::Plain);

/// A render request without its targets.
#[derive(Clone, Debug)]
pub struct LowerOptions {
    /// Start of the window in seconds; excluded.
    pub from_s: i64,
    /// End of the window in seconds; included.
    pub until_s: i64,
    /// The request's time in seconds: nothing later is read.
    pub now_s: i64,
    /// How far back, in seconds, a series must have a sample to be listed without values.
    pub known_s: i64,
    /// Share of values that a merged value needs.
    pub x_files_factor: f64,
    /// Points that a series may have in the answer; `None` = all.
    pub max_data_points: Option<usize>,
    /// Values of templates.
    pub templates: BTreeMap<String, String>,
    /// Steps of the series.
    pub steps: StepRules,
    /// Whose series.
    pub tenant: TenantId,
    /// Bounds of the query.
    pub limits: QueryLimits,
    /// Where the wall clock of times inside targets hangs.
    pub zone: TimeZone,
}

/// One plan for all targets: the rows of each in order. Functions that have to know the data in order
/// to be planned are refused.
pub fn lower<'t>(
    targets: impl IntoIterator<Item = &'t str>,
    options: &LowerOptions,
) -> Result<Plan, GraphiteError> {
    lower_probing(targets, options, &NoProbe)
}

/// [`lower`] with `probe` to ask about the data.
pub fn lower_probing<'t>(
    targets: impl IntoIterator<Item = &'t str>,
    options: &LowerOptions,
    probe: &dyn Probe,
) -> Result<Plan, GraphiteError> {
    let session = Session::new(probe);
    let mut inputs = Vec::new();
    let mut x_files_factor = options.x_files_factor;
    for text in targets {
        let expr = expand(parse(text)?, &options.templates)?;
        let mut lowering = Lowering {
            session: &session,
            options,
            text,
            from_s: options.from_s,
            until_s: options.until_s,
            x_files_factor,
            depth: 0,
            given: Vec::new(),
        };
        inputs.push(lowering.expression(&expr)?);
        x_files_factor = lowering.x_files_factor;
    }
    let mut root = match inputs.len() {
        1 => inputs.swap_remove(0),
        _ => Node::new(Op::Union(inputs)),
    };
    if let Some(points_max) = options.max_data_points {
        let input = Box::new(root);
        root = Node::new(Op::Condense { input, points_max, function: AVERAGE });
    }
    Ok(Plan { root, limits: options.limits })
}

/// The state of one target's lowering.
pub(super) struct Lowering<'a> {
    session: &'a Session<'a>,
    pub(super) options: &'a LowerOptions,
    text: &'a str,
    pub(super) from_s: i64,
    pub(super) until_s: i64,
    /// `setXFilesFactor` changes it for what follows, later targets included.
    pub(super) x_files_factor: f64,
    /// Targets around this one that look it up.
    depth: usize,
    /// What [`ExprKind::Given`] stands for.
    given: Vec<Node>,
}

impl Lowering<'_> {
    /// Any expression that gives series.
    pub(super) fn expression(&mut self, expr: &Expr) -> Result<Node, GraphiteError> {
        match &expr.kind {
            ExprKind::Path(path) => self.path(path),
            ExprKind::Call(call) => self.call(call, expr),
            ExprKind::Given(number) if *number < self.given.len() => {
                Ok(self.given[*number].clone())
            }
            _ => Err(GraphiteError::Syntax {
                position: self.text.get(..expr.span.start).map_or(0, |head| head.chars().count()),
                expected: "a path or a function call",
            }),
        }
    }

    fn call(&mut self, call: &Call, expr: &Expr) -> Result<Node, GraphiteError> {
        let Some(function) = functions::find(&call.name) else {
            return Err(GraphiteError::UnknownFunction(call.name.clone()));
        };
        let arguments = Arguments::bind(function, call)?;
        if function.name == "seriesByTag" {
            let written = self.text.get(expr.span.clone()).unwrap_or(&call.name);
            return special::series_by_tag_as(self, &arguments, written);
        }
        (function.lower)(self, &arguments)
    }

    /// The one list of series of a parameter.
    pub(super) fn series(
        &mut self,
        arguments: &Arguments<'_>,
        parameter: &str,
    ) -> Result<Node, GraphiteError> {
        match arguments.get(parameter) {
            Some(expr) => self.series_of(arguments, parameter, expr),
            None => Err(arguments.bad(parameter, "series")),
        }
    }

    /// All lists of a parameter as one.
    pub(super) fn series_lists(
        &mut self,
        arguments: &Arguments<'_>,
        parameter: &str,
    ) -> Result<Node, GraphiteError> {
        let mut inputs = Vec::new();
        for expr in arguments.all(parameter) {
            inputs.push(self.series_of(arguments, parameter, expr)?);
        }
        Ok(match inputs.len() {
            1 => inputs.swap_remove(0),
            _ => Node::new(Op::Union(inputs)),
        })
    }

    fn series_of(
        &mut self,
        arguments: &Arguments<'_>,
        parameter: &str,
        expr: &Expr,
    ) -> Result<Node, GraphiteError> {
        match &expr.kind {
            ExprKind::Path(_) | ExprKind::Call(_) | ExprKind::Given(_) => self.expression(expr),
            _ => Err(arguments.bad(parameter, "series")),
        }
    }

    /// The series that a path names. One with tags names exactly one series.
    fn path(&self, path: &str) -> Result<Node, GraphiteError> {
        let Some((name, tags)) = path.split_once(';') else {
            return self.scan(vec![name_matcher(path)?], path);
        };
        let mut matchers = vec![Matcher::equal(model::METRIC_NAME, name)];
        let mut parts: Vec<&str> = tags.split(';').collect();
        parts.sort_unstable();
        for part in &parts {
            let Some((tag, value)) = part.split_once('=').filter(|(tag, _)| *tag != "name") else {
                return Ok(Node::new(Op::Union(Vec::new())));
            };
            matchers.push(Matcher::equal(label_of(tag), value));
        }
        // Further labels would make it another series.
        let canonical = format!("{name};{}", parts.join(";"));
        let exact: String = canonical.chars().map(escaped).collect();
        let pattern = model::Pattern::new(&exact)?;
        let input = self.scan(matchers, path)?;
        Ok(rows(input, RowsFunction::FilterTitle { pattern, keep: true }))
    }

    /// Stored series, each on its own step, in the order of their names. `written` is what calls
    /// around them are named after.
    pub(super) fn scan(
        &self,
        matchers: Vec<Matcher>,
        written: &str,
    ) -> Result<Node, GraphiteError> {
        let (from_s, until_s) = (self.from_s, self.until_s.min(self.options.now_s));
        if from_s > until_s {
            return Ok(Node::new(Op::Union(Vec::new())));
        }
        let steps = self.options.steps.at(from_s, self.options.now_s);
        let points = (until_s - from_s).saturating_mul(1000) / steps.shortest_ms.max(1);
        if points > POINTS_MAX {
            return Err(GraphiteError::TooManySteps { got: points, max: POINTS_MAX });
        }
        let range = TimeRange::new(from_s.saturating_mul(1000), until_s.saturating_mul(1000));
        // The last slot may begin at `until` and ends a step later; where no slot begins inside of
        // the window, the next one stands for it.
        let is_within_slot = until_s.saturating_sub(from_s).saturating_mul(1000) < steps.longest_ms;
        let slots_read = if is_within_slot { 2 } else { 1 };
        let end_ms = range.end_ms.saturating_add(steps.longest_ms * slots_read - 1);
        let scan = Scan {
            tenant: self.options.tenant,
            sorted: true,
            title: Some(TitleRule::SeriesName),
            ..Scan::new(matchers, TimeRange::new(range.start_ms, end_ms))
        };
        let buckets = Buckets::PerSeries { range, slots: steps.slots };
        let mut slots = Node::new(Op::Fold(Fold {
            input: Box::new(Node::new(Op::Scan(scan.clone()))),
            buckets: buckets.clone(),
            function: FoldFunction::Reduce(Reducer::Last),
            arguments: Vec::new(),
            staleness: Staleness::Skipped,
            fill: Fill::Absent,
            drop_name: false,
        }));
        let known_ms = self.options.now_s.saturating_sub(self.options.known_s).saturating_mul(1000);
        if known_ms < range.start_ms {
            // A series that began later is listed as well.
            let known_end_ms = end_ms.max(self.options.now_s.saturating_mul(1000));
            let known = Scan { range: TimeRange::new(known_ms, known_end_ms), ..scan };
            let known = Box::new(known);
            slots = rows(slots, RowsFunction::AddSilent { known, buckets });
        }
        let sorted = rows(slots, RowsFunction::SortByTitle { natural: false, descending: false });
        Ok(present(
            sorted,
            Presentation {
                expression: Some(ExpressionRule::Text(written.to_owned())),
                present_min: Some(Number(self.x_files_factor)),
                ..Presentation::default()
            },
        ))
    }

    /// The grid of a made-up series: from the request's start, while before its end.
    pub(super) fn request_grid(&self, step_s: i64) -> Result<StepGrid, GraphiteError> {
        let points = (self.until_s - self.from_s) / step_s.max(1);
        if points > POINTS_MAX {
            return Err(GraphiteError::TooManySteps { got: points, max: POINTS_MAX });
        }
        Ok(StepGrid::new(self.from_s * 1000, self.until_s * 1000 - 1, step_s.max(1) * 1000))
    }
}

/// A character of a literal inside a pattern.
fn escaped(character: char) -> String {
    let slash = if regex_meta(character) { "\\" } else { "" };
    format!("{slash}{character}")
}

fn regex_meta(character: char) -> bool {
    regex_syntax::is_meta_character(character)
}

/// A pattern found anywhere in a title.
pub(super) fn title_pattern(search: &str) -> Result<model::Pattern, GraphiteError> {
    Ok(search_pattern(search)?)
}

/// A function of whole rows over one input.
pub(super) fn rows(input: Node, function: RowsFunction) -> Node {
    Node::new(Op::Rows(Rows { inputs: vec![input], function }))
}

/// New title, style and labels.
pub(super) fn present(input: Node, presentation: Presentation) -> Node {
    rows(input, RowsFunction::Present(Box::new(presentation)))
}

/// The title inside a call: `before + title + after`; the new title is also the new expression.
pub(super) fn wrapped(input: Node, before: &str, after: &str, mark: (&str, &str)) -> Node {
    present(
        input,
        Presentation {
            title: Some(wrap(before, after)),
            expression: Some(ExpressionRule::Title),
            marks: vec![(mark.0.to_owned(), mark.1.to_owned())],
            ..Presentation::default()
        },
    )
}

/// Series made anew: nothing but values, title and the share of points that a merged one needs.
pub(super) fn anew(input: Node, present_min: f64) -> Node {
    present(
        input,
        Presentation {
            expression: Some(ExpressionRule::Title),
            labels: Some(LabelRule::Name),
            present_min: Some(Number(present_min)),
            plain: true,
            ..Presentation::default()
        },
    )
}

pub(super) fn wrap(before: &str, after: &str) -> TitleRule {
    TitleRule::Wrap { prefix: before.to_owned(), suffix: after.to_owned() }
}

/// A function of single values, or along a row.
pub(super) fn map(input: Node, function: MapFunction, arguments: Vec<Node>) -> Node {
    Node::new(Op::Map(Map { input: Box::new(input), function, arguments, drop_name: false }))
}

/// `value op constant`.
pub(super) fn binary(input: Node, op: BinaryOp, constant: f64) -> Node {
    let function = MapFunction::Binary { op, argument_left: false, return_bool: false };
    map(input, function, vec![constant_node(constant)])
}

/// A number that holds at every instant.
pub(super) fn constant_node(value: f64) -> Node {
    Node::new(Op::Constant(Number(value), StepGrid::instant(0)))
}

/// The reduction of this name.
pub(super) fn reducer(name: &str) -> Option<Reducer> {
    Some(match name {
        "average" | "avg" => AVERAGE,
        "avg_zero" => Reducer::AverageOfSlots,
        "count" => Reducer::Count,
        "current" | "last" => Reducer::Last,
        "first" => Reducer::First,
        "diff" => Reducer::Subtract,
        "max" => Reducer::Max,
        "median" => Reducer::Median { upper: false },
        "min" => Reducer::Min,
        "multiply" => Reducer::Product(Arithmetic::Plain),
        "range" | "rangeOf" => Reducer::Range,
        "stddev" => Reducer::StdDev(Arithmetic::Plain),
        "sum" | "total" => Reducer::Sum(Arithmetic::Plain),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
