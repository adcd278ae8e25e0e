//! `/api/query/exp`: named metrics, and expressions over them.
//!
//! Every metric is a sub-query as those of `/api/query`; an expression is a [`Formula`] over the rows
//! of its variables. What the original takes and does not use (`timeOffset`, the fill policy of the
//! downsampler) is taken and not used here.

use std::collections::BTreeSet;

use base::limits::QUERY_DEPTH_MAX;
use model::TimeRange;
use plan::formula::{Expression, Formula, Meeting, Operand};
use plan::node::Number;
use plan::{Node, Op};

use super::aggregator::aggregator;
use super::error::OpenTsdbError;
use super::exp_grammar::parse_expression;
use super::filter::Filter;
use super::request::{Request, SubQuery};
use super::validate::{Query, validate};

/// Variables that one output may be made of, every use counted.
const NODES_MAX: usize = 1_000;

/// A request as it is spelled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpRequest {
    /// Its name.
    pub name: Option<String>,
    /// When, and how.
    pub time: Option<Time>,
    /// Named lists of filters.
    pub filters: Option<Vec<Filters>>,
    /// Named metrics.
    pub metrics: Vec<Metric>,
    /// Named expressions.
    pub expressions: Option<Vec<NamedExpression>>,
    /// What is shown.
    pub outputs: Option<Vec<Output>>,
}

/// When, and how, where a metric does not say it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Time {
    /// Start, as text.
    pub start: Option<String>,
    /// End, as text.
    pub end: Option<String>,
    /// Zone of absolute dates.
    pub timezone: Option<String>,
    /// How points are thinned.
    pub downsampler: Option<Downsampler>,
    /// How series are merged.
    pub aggregator: Option<String>,
    /// Rates instead of values.
    pub rate: bool,
}

/// How points are thinned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Downsampler {
    /// The length of a bucket.
    pub interval: Option<String>,
    /// What becomes of its points.
    pub aggregator: Option<String>,
    /// What an empty bucket becomes; not used.
    pub fill: Option<Fill>,
}

/// A policy for missing values, with the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// `none`, `nan`, `null`, `zero` or `scalar`.
    pub policy: String,
    /// What stands for a missing value.
    pub value: f64,
}

impl Fill {
    /// Checks a policy and its value against each other.
    pub fn new(policy: Option<&str>, value: f64) -> Result<Self, OpenTsdbError> {
        let lower = policy.map(str::to_ascii_lowercase);
        let fill = |policy: &str, value: f64| Ok(Self { policy: policy.to_owned(), value });
        let wrong = |text: &str| Err(OpenTsdbError::json(text));
        match lower.as_deref() {
            None if value == 0.0 => fill("zero", 0.0),
            None => fill("scalar", value),
            Some(name @ ("nan" | "none")) if value == 0.0 || value.is_nan() => fill(name, f64::NAN),
            Some("nan" | "none") => wrong("The value for NONE and NAN must be NaN"),
            Some("zero") if value == 0.0 => fill("zero", 0.0),
            Some("zero") => wrong("The value for ZERO must be 0"),
            Some("null") if value == 0.0 || value.is_nan() => fill("null", f64::NAN),
            Some("null") => wrong("The value for NULL must be 0"),
            Some("scalar") => fill("scalar", value),
            Some(_) => {
                let name = policy.unwrap_or_default();
                Err(OpenTsdbError::json(format!("Unrecognized fill policy: {name}")))
            }
        }
    }
}

/// A named list of filters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// The name.
    pub id: Option<String>,
    /// The filters.
    pub tags: Option<Vec<Filter>>,
    /// Only series with the filters' keys and no other.
    pub explicit_tags: bool,
}

/// A named metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// The name of the variable.
    pub id: Option<String>,
    /// The metric.
    pub metric: Option<String>,
    /// Name of its filters.
    pub filter: Option<String>,
    /// How its series are merged.
    pub aggregator: Option<String>,
    /// Not used.
    pub time_offset: Option<String>,
    /// What stands for missing values.
    pub fill: Option<Fill>,
}

/// A named expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedExpression {
    /// The name of the variable.
    pub id: Option<String>,
    /// The expression's text.
    pub text: Option<String>,
    /// Which rows meet.
    pub join: Join,
    /// What stands for its missing values in other expressions.
    pub fill: Option<Fill>,
}

/// Which rows meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// All keys instead of those that all variables have.
    pub union: bool,
    /// Only the keys of filters are compared.
    pub query_tags: bool,
    /// The names of aggregated tags are compared too.
    pub aggregated_tags: bool,
}

impl Default for Join {
    fn default() -> Self {
        Self { union: true, query_tags: false, aggregated_tags: true }
    }
}

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The variable.
    pub id: Option<String>,
    /// What it is called.
    pub alias: Option<String>,
}

/// A request that can be answered.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// A sub-query for every metric, in order.
    pub query: Query,
    /// What is shown, in order.
    pub outputs: Vec<PreparedOutput>,
    metrics: Vec<Variable>,
    expressions: Vec<Compiled>,
}

/// Something shown.
#[derive(Clone, Debug)]
pub struct PreparedOutput {
    /// The variable.
    pub id: String,
    /// What it is called.
    pub alias: Option<String>,
    /// Names of the metrics behind it, in order of their variables.
    pub metrics: Vec<String>,
    /// Cut to the range of the request.
    pub range: Option<TimeRange>,
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Metric(usize),
    Expression(usize),
}

#[derive(Clone, Debug)]
struct Variable {
    id: String,
    fill: f64,
    keys: Vec<String>,
}

#[derive(Clone, Debug)]
struct Compiled {
    id: String,
    fill: f64,
    join: Join,
    expression: Expression,
    operands: Vec<Source>,
}

/// Checks a request at the time `now_ms`.
pub fn prepare(request: &ExpRequest, now_ms: i64) -> Result<Prepared, OpenTsdbError> {
    check_ids(request)?;
    let time = request.time.as_ref().ok_or_else(|| unmapped("missing time"))?;
    let sub_queries = request.metrics.iter().map(|metric| sub_query(request, time, metric));
    let asked = Request {
        start: time.start.clone(),
        end: time.end.clone(),
        timezone: time.timezone.clone(),
        queries: sub_queries.collect::<Result<_, _>>()?,
        ..Request::default()
    };
    let query = validate(asked, now_ms)?;
    let metrics: Vec<Variable> = request
        .metrics
        .iter()
        .zip(&query.queries)
        .map(|(metric, sub)| Variable {
            id: metric.id.clone().unwrap_or_default(),
            fill: metric.fill.as_ref().map_or(0.0, |fill| fill.value),
            keys: sub.query.filters.iter().map(|filter| filter.tagk.clone()).collect(),
        })
        .collect();
    let expressions = compile(request, &metrics)?;
    let mut prepared = Prepared { query, outputs: Vec::new(), metrics, expressions };
    check_cycles(&prepared)?;
    prepared.outputs = outputs(request, &prepared);
    Ok(prepared)
}

/// A mistake that the original does not map to a status.
fn unmapped(message: impl Into<String>) -> OpenTsdbError {
    OpenTsdbError::unmapped(message)
}

/// Checks in the original's order: clients see the first mistake.
fn check_ids(request: &ExpRequest) -> Result<(), OpenTsdbError> {
    let time = request.time.as_ref().ok_or_else(|| unmapped("missing time"))?;
    let known = |name: &Option<String>| name.as_deref().is_some_and(|n| aggregator(n).is_some());
    let downsampler = time.downsampler.as_ref();
    let thins = downsampler.is_none_or(|d| d.interval.is_some() && known(&d.aggregator));
    let starts = time.start.as_ref().is_some_and(|start| !start.is_empty());
    if !starts || !known(&time.aggregator) || !thins {
        return Err(unmapped("Invalid time"));
    }
    if request.metrics.is_empty() {
        return Err(unmapped("missing or empty metrics"));
    }
    let mut seen = BTreeSet::new();
    for metric in &request.metrics {
        if !seen.insert(&metric.id) {
            return Err(unmapped(format!("duplicated metric id: {}", shown(&metric.id))));
        }
    }
    let filters = request.filters.as_deref().unwrap_or_default();
    let mut filter_ids = BTreeSet::new();
    for filter in filters {
        if !filter_ids.insert(&filter.id) {
            return Err(unmapped(format!("duplicated filter id: {}", shown(&filter.id))));
        }
    }
    let expressions = request.expressions.as_deref().unwrap_or_default();
    for expression in expressions {
        if !seen.insert(&expression.id) {
            let id = shown(&expression.id);
            return Err(unmapped(format!("duplicated variable or expression id: {id}")));
        }
    }
    let invalid =
        |what: &str, index: usize| Err(unmapped(format!("Invalid {what} at index {index}")));
    let is_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    for (index, metric) in request.metrics.iter().enumerate() {
        let aggregates = metric.aggregator.is_none() || known(&metric.aggregator);
        if !is_id(&metric.id) || !is_text(&metric.metric) || !aggregates {
            return invalid("metric", index);
        }
    }
    if let Some(index) = filters.iter().position(|filter| !is_id(&filter.id)) {
        return invalid("filter", index);
    }
    for metric in &request.metrics {
        if let Some(filter) = metric.filter.as_ref().filter(|text| !text.is_empty())
            && !filter_ids.contains(&Some(filter.clone()))
        {
            let id = shown(&metric.id);
            return Err(unmapped(format!("unrecognized filter id {filter} in metric {id}")));
        }
    }
    let position = expressions.iter().position(|e| !is_id(&e.id) || !is_text(&e.text));
    position.map_or(Ok(()), |index| invalid("expression", index))
}

fn shown(id: &Option<String>) -> &str {
    id.as_deref().unwrap_or("null")
}

/// Letters and digits, and not a single digit.
fn is_id(id: &Option<String>) -> bool {
    let Some(id) = id.as_deref() else { return false };
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain && !(id.len() == 1 && id.as_bytes()[0].is_ascii_digit())
}

fn sub_query(
    request: &ExpRequest,
    time: &Time,
    metric: &Metric,
) -> Result<SubQuery, OpenTsdbError> {
    let filters = request.filters.as_deref().unwrap_or_default();
    let filter = metric.filter.as_ref().filter(|text| !text.is_empty());
    let filter = filter.and_then(|id| filters.iter().find(|known| known.id.as_ref() == Some(id)));
    let downsample = time.downsampler.as_ref().map(|downsampler| {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}-{}", part(&downsampler.interval), part(&downsampler.aggregator))
    });
    Ok(SubQuery {
        aggregator: metric.aggregator.clone().or_else(|| time.aggregator.clone()),
        metric: metric.metric.clone(),
        filters: filter.and_then(|filter| filter.tags.clone()).unwrap_or_default(),
        downsample,
        rate: time.rate,
        explicit_tags: filter.is_some_and(|filter| filter.explicit_tags),
        ..SubQuery::default()
    })
}

fn compile(request: &ExpRequest, metrics: &[Variable]) -> Result<Vec<Compiled>, OpenTsdbError> {
    let named = request.expressions.as_deref().unwrap_or_default();
    let find = |name: &str| {
        let metric = metrics.iter().position(|metric| metric.id == name).map(Source::Metric);
        let place = || named.iter().position(|other| other.id.as_deref() == Some(name));
        metric.or_else(|| place().map(Source::Expression))
    };
    let mut compiled = Vec::with_capacity(named.len());
    for item in named {
        let text = item.text.as_deref().unwrap_or_default();
        let (expression, names) = parse_expression(text)?;
        let mut operands = Vec::with_capacity(names.len());
        for name in &names {
            let missing = || unmapped(format!("Expression [{text}] was missing input {name}"));
            operands.push(find(name).ok_or_else(missing)?);
        }
        if operands.is_empty() {
            return Err(OpenTsdbError::bad(format!("Expression [{text}] has no variables")));
        }
        compiled.push(Compiled {
            id: item.id.clone().unwrap_or_default(),
            fill: item.fill.as_ref().map_or(0.0, |fill| fill.value),
            join: item.join,
            expression,
            operands,
        });
    }
    Ok(compiled)
}

/// Every expression must end in metrics.
fn check_cycles(prepared: &Prepared) -> Result<(), OpenTsdbError> {
    for (index, expression) in prepared.expressions.iter().enumerate() {
        let id = &expression.id;
        if expression.operands.contains(&Source::Expression(index)) {
            return Err(OpenTsdbError::invalid(format!("Self referencing expression found: {id}")));
        }
        let mut open = expression.operands.clone();
        let mut seen = BTreeSet::new();
        while let Some(source) = open.pop() {
            let Source::Expression(other) = source else { continue };
            if other == index {
                return Err(OpenTsdbError::invalid(format!("Circular reference found: {id}")));
            }
            if seen.insert(other) {
                open.extend(&prepared.expressions[other].operands);
            }
        }
    }
    let mut sizes = vec![None; prepared.expressions.len()];
    for index in 0..sizes.len() {
        if size(prepared, index, 0, &mut sizes) > NODES_MAX {
            let message = format!("Expressions are nested too deeply: over {NODES_MAX} variables");
            return Err(OpenTsdbError::bad(message));
        }
    }
    Ok(())
}

/// Variables below an expression when every use is counted: each use becomes a part of the plan.
fn size(prepared: &Prepared, index: usize, depth: usize, known: &mut [Option<usize>]) -> usize {
    if depth > QUERY_DEPTH_MAX {
        return usize::MAX;
    }
    if let Some(size) = known[index] {
        return size;
    }
    let operands = prepared.expressions[index].operands.iter();
    let total = operands.fold(1usize, |total, operand| {
        total.saturating_add(match *operand {
            Source::Metric(_) => 1,
            Source::Expression(other) => size(prepared, other, depth + 1, known),
        })
    });
    known[index] = Some(total);
    total
}

/// Without a list, all expressions are shown, and without these all metrics.
fn outputs(request: &ExpRequest, prepared: &Prepared) -> Vec<PreparedOutput> {
    let all = || -> Vec<Output> {
        let of = |id: &String| Output { id: Some(id.clone()), alias: None };
        let expressions: Vec<Output> = prepared.expressions.iter().map(|e| of(&e.id)).collect();
        if !expressions.is_empty() {
            return expressions;
        }
        prepared.metrics.iter().map(|metric| of(&metric.id)).collect()
    };
    let wanted = request.outputs.clone().filter(|list| !list.is_empty()).unwrap_or_else(all);
    let mut outputs = Vec::new();
    for Output { id, alias } in wanted {
        let id = id.unwrap_or_default();
        let metric = prepared.metrics.iter().position(|known| known.id == id).map(Source::Metric);
        let place = || prepared.expressions.iter().position(|known| known.id == id);
        let Some(source) = metric.or_else(|| place().map(Source::Expression)) else { continue };
        let mut metrics = Vec::new();
        prepared.gather_metrics(source, &mut metrics);
        // Rows of a metric are shown as far as they were read.
        let range = matches!(source, Source::Expression(_)).then_some(prepared.query.range);
        outputs.push(PreparedOutput { id, alias, metrics, range, source });
    }
    outputs
}

impl Prepared {
    fn gather_metrics(&self, source: Source, out: &mut Vec<String>) {
        match source {
            Source::Metric(index) => {
                let name = &self.query.queries[index].metric;
                if !out.contains(name) {
                    out.push(name.clone());
                }
            }
            Source::Expression(index) => {
                for operand in &self.expressions[index].operands {
                    self.gather_metrics(*operand, out);
                }
            }
        }
    }

    /// The node of an output; `metrics` are the nodes of the sub-queries, not cut to the range.
    pub fn lower(&self, output: &PreparedOutput, metrics: &[Node]) -> Node {
        let node = match output.source {
            Source::Metric(_) => {
                self.formula(Join::default(), &Expression::Operand(0), &[output.source], metrics)
            }
            Source::Expression(index) => self.expression(index, metrics),
        };
        match output.range {
            Some(range) => Node::new(Op::Clip { input: Box::new(node), range }),
            None => node,
        }
    }

    fn expression(&self, index: usize, metrics: &[Node]) -> Node {
        let compiled = &self.expressions[index];
        self.formula(compiled.join, &compiled.expression, &compiled.operands, metrics)
    }

    fn formula(
        &self,
        join: Join,
        expression: &Expression,
        operands: &[Source],
        metrics: &[Node],
    ) -> Node {
        let inputs = operands.iter().map(|source| {
            let (node, fill) = match *source {
                Source::Metric(index) => (metrics[index].clone(), self.metrics[index].fill),
                Source::Expression(index) => {
                    (self.expression(index, metrics), self.expressions[index].fill)
                }
            };
            let keys = join.query_tags.then(|| self.filter_keys(*source));
            Operand { node, keys, fill: Number(fill) }
        });
        let meeting = Meeting { union: join.union, disagreeing: join.aggregated_tags };
        let (inputs, expression) = (inputs.collect(), expression.clone());
        Node::new(Op::Formula(Formula { inputs, meeting, expression }))
    }

    fn filter_keys(&self, source: Source) -> Vec<String> {
        match source {
            Source::Metric(index) => self.metrics[index].keys.clone(),
            Source::Expression(index) => {
                let operands = self.expressions[index].operands.iter();
                let mut keys: Vec<String> =
                    operands.flat_map(|operand| self.filter_keys(*operand)).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exp_request::parse;
    use super::*;

    fn message(expressions: &str) -> String {
        let body = format!(
            r#"{{"time":{{"start":"1","end":"2","aggregator":"sum"}},
                "metrics":[{{"id":"a","metric":"A"}}],"expressions":[{expressions}]}}"#
        );
        match parse(body.as_bytes()).and_then(|request| prepare(&request, 0)) {
            Ok(prepared) => format!("{} outputs", prepared.outputs.len()),
            Err(error) => error.message,
        }
    }

    #[test]
    fn references_may_not_return_or_explode() {
        let one = |id: &str, expr: &str| format!(r#"{{"id":"{id}","expr":"{expr}"}}"#);
        assert_eq!(message(&one("e", "a + e")), "Self referencing expression found: e");
        let circle = format!("{},{}", one("e", "f"), one("f", "e"));
        assert_eq!(message(&circle), "Circular reference found: e");
        assert_eq!(message(&format!("{},{}", one("e", "f"), one("f", "a"))), "2 outputs");
        let chain = |count: usize| {
            let name = |index: usize| format!("x{index}");
            let links =
                (2..count).map(|n| one(&name(n), &format!("{} + {}", name(n - 1), name(n - 2))));
            let start = [one("x0", "a"), one("x1", "a")].into_iter();
            start.chain(links).collect::<Vec<_>>().join(",")
        };
        assert_eq!(message(&chain(8)), "8 outputs");
        assert!(message(&chain(90)).starts_with("Expressions are nested too deeply"));
        assert!(message(&chain(2_000)).starts_with("Expressions are nested too deeply"));
    }
}
