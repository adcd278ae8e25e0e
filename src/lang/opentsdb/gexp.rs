//! Expressions in Graphite's manner: `function(query, …, parameter, …)`.
//!
//! Functions become the plan's own nodes over the rows of their queries. Where the original's own
//! accidents would only harm (an alias that makes values positive, a shift that always fails) the
//! documented meaning holds.

use base::limits::QUERY_DEPTH_MAX;
use model::StepGrid;
use plan::formula::{Expression, Formula, Meeting, Operand};
use plan::node::Number;
use plan::semantics::{
    BinaryOp, DifferenceRule, Falls, FirstPoint, Gaps, MapFunction, Reducer, RelabelRule,
};
use plan::{Map, MovingWindow, Node, Op, Relabel, Rows, RowsFunction};

use super::error::OpenTsdbError;
use super::metric::parse_m;
use super::request::SubQuery;

/// Operands that an operator may have.
const OPERANDS: std::ops::RangeInclusive<usize> = 2..=26;

/// A call, or a query of stored series.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// The sub-query with this index.
    Query(usize),
    /// A function of other calls.
    Function {
        /// The function.
        function: Function,
        /// Rows.
        inputs: Vec<Call>,
        /// Texts and numbers behind them.
        parameters: Vec<String>,
    },
}

/// The functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Values times a number.
    Scale,
    /// Absolute values.
    Absolute,
    /// Another name.
    Alias,
    /// Means of the latest points.
    MovingAverage,
    /// The rows with the highest last values.
    HighestCurrent,
    /// The rows with the highest values.
    HighestMax,
    /// Differences of neighbours.
    FirstDifference,
    /// Points moved in time.
    Shift,
    /// Rows of several calls combined by their tags.
    Combine(BinaryOp),
}

impl Function {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "scale" => Self::Scale,
            "absolute" => Self::Absolute,
            "alias" => Self::Alias,
            "movingAverage" => Self::MovingAverage,
            "highestCurrent" => Self::HighestCurrent,
            "highestMax" => Self::HighestMax,
            "firstDiff" => Self::FirstDifference,
            "shift" | "timeShift" => Self::Shift,
            "sum" | "sumSeries" => Self::Combine(BinaryOp::Add),
            "difference" | "diffSeries" => Self::Combine(BinaryOp::Subtract),
            "multiply" | "multiplySeries" => Self::Combine(BinaryOp::Multiply),
            "divide" | "divideSeries" => Self::Combine(BinaryOp::Divide),
            _ => return None,
        })
    }
}

impl Call {
    /// True if the rows are made by combining others; the original shows these differently.
    pub fn is_combined(&self) -> bool {
        matches!(self, Self::Function { function: Function::Combine(_), .. })
    }
}

/// Reads one expression. Its queries are added to `queries`.
pub fn parse(text: &str, queries: &mut Vec<SubQuery>) -> Result<Call, OpenTsdbError> {
    parse_call(text.trim(), queries, 0)
}

fn parse_call(
    text: &str,
    queries: &mut Vec<SubQuery>,
    depth: usize,
) -> Result<Call, OpenTsdbError> {
    let failed = || OpenTsdbError::unmapped(format!("Failed to parse {text}"));
    if depth > QUERY_DEPTH_MAX {
        return Err(OpenTsdbError::bad("Expression is nested too deeply"));
    }
    let (name, rest) = text.split_once('(').ok_or_else(failed)?;
    let inside = rest.strip_suffix(')').ok_or_else(failed)?;
    let name = name.trim();
    let function = Function::from_name(name).ok_or_else(|| {
        OpenTsdbError::unmapped(format!("Function {name} has not been implemented"))
    })?;
    let (mut inputs, mut parameters) = (Vec::new(), Vec::new());
    for argument in split(inside).ok_or_else(failed)? {
        let argument = argument.trim();
        // The text of an alias may look like anything.
        let is_text = function == Function::Alias && !inputs.is_empty();
        if !is_text && is_call(argument) {
            inputs.push(parse_call(argument, queries, depth + 1)?);
        } else if !is_text && argument.contains(':') && !argument.starts_with(['\'', '"']) {
            inputs.push(Call::Query(queries.len()));
            queries.push(parse_m(argument)?);
        } else {
            parameters.push(argument.to_owned());
        }
    }
    Ok(Call::Function { function, inputs, parameters })
}

/// True for `name(`: what stands before the first bracket is a name.
fn is_call(text: &str) -> bool {
    text.split_once('(').is_some_and(|(name, _)| {
        !name.is_empty() && name.trim().bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// The parts between commas outside brackets, braces and quotes; `None` where these do not match.
fn split(text: &str) -> Option<Vec<&str>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0usize, None);
    for (index, byte) in text.bytes().enumerate() {
        match (byte, quote) {
            (_, Some(open)) if byte == open => quote = None,
            (_, Some(_)) => {}
            (b'\'' | b'"', None) => quote = Some(byte),
            (b'(' | b'{', None) => depth += 1,
            (b')' | b'}', None) => depth = depth.checked_sub(1)?,
            (b',', None) if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0 && quote.is_none()).then_some(parts)
}

/// The node of a call; `queries` are those of its sub-queries.
pub fn lower_call(call: &Call, queries: &[Node]) -> Result<Node, OpenTsdbError> {
    let (function, inputs, parameters) = match call {
        Call::Query(index) => {
            let node = queries.get(*index).cloned();
            return node.ok_or_else(|| OpenTsdbError::invalid("Missing sub queries"));
        }
        Call::Function { function, inputs, parameters } => (*function, inputs, parameters),
    };
    let mut nodes = Vec::with_capacity(inputs.len());
    for input in inputs {
        nodes.push(lower_call(input, queries)?);
    }
    if let Function::Combine(op) = function {
        return combine(op, nodes);
    }
    let input = if nodes.len() == 1 {
        nodes.swap_remove(0)
    } else if nodes.is_empty() {
        return Err(OpenTsdbError::invalid("Missing query argument"));
    } else {
        Node::new(Op::Union(nodes))
    };
    single(function, input, parameters)
}

fn single(function: Function, input: Node, parameters: &[String]) -> Result<Node, OpenTsdbError> {
    let first = parameters.first().map(String::as_str).filter(|text| !text.is_empty());
    let need = |what: &str| first.ok_or_else(|| OpenTsdbError::invalid(format!("Missing {what}")));
    Ok(match function {
        Function::Scale => scale(input, need("scaling factor")?)?,
        Function::Absolute => map(input, MapFunction::Abs, vec![]),
        Function::Alias => {
            need("the alias")?;
            let rule = RelabelRule::Compose(parameters.join(","));
            Node::new(Op::Relabel(Relabel { input: Box::new(input), rule }))
        }
        Function::MovingAverage => {
            let window = window(need("moving average window size")?)?;
            rows(input, RowsFunction::Trailing { window })
        }
        Function::HighestCurrent => highest(input, Reducer::Last, need("number of series")?)?,
        Function::HighestMax => highest(input, Reducer::Max, need("number of series")?)?,
        Function::Shift => rows(input, RowsFunction::Shift(time(need("timeshift amount")?)?)),
        Function::FirstDifference | Function::Combine(_) => first_difference(input),
    })
}

fn map(input: Node, function: MapFunction, arguments: Vec<Node>) -> Node {
    Node::new(Op::Map(Map { input: Box::new(input), function, arguments, drop_name: false }))
}

fn rows(input: Node, function: RowsFunction) -> Node {
    Node::new(Op::Rows(Rows { inputs: vec![input], function }))
}

fn scale(input: Node, factor: &str) -> Result<Node, OpenTsdbError> {
    let plain = factor.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let number: f64 = factor.parse().ok().filter(|_| plain).ok_or_else(|| {
        OpenTsdbError::invalid(format!("Invalid scaling factor: {factor} is not a number"))
    })?;
    let op = BinaryOp::Multiply;
    let function = MapFunction::Binary { op, argument_left: false, return_bool: false };
    let constant = Node::new(Op::Constant(Number(number), StepGrid::instant(0)));
    Ok(map(input, function, vec![constant]))
}

fn first_difference(input: Node) -> Node {
    // Floats even between integers.
    let zero = Node::new(Op::Constant(Number(0.0), StepGrid::instant(0)));
    let op = BinaryOp::Add;
    let plus = MapFunction::Binary { op, argument_left: false, return_bool: false };
    let rule = DifferenceRule {
        per_second: false,
        falls: Falls::Kept,
        gaps: Gaps::Bridged,
        first: FirstPoint::Itself,
    };
    map(map(input, plus, vec![zero]), MapFunction::Difference(rule), vec![])
}

fn highest(input: Node, score: Reducer, count: &str) -> Result<Node, OpenTsdbError> {
    let wanted: i64 = count.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
        OpenTsdbError::invalid(format!("Invalid parameter, must be greater than zero: {count}"))
    })?;
    let sorted = rows(input, RowsFunction::SortByScore { score, descending: true });
    Ok(rows(sorted, RowsFunction::First(wanted)))
}

fn window(text: &str) -> Result<MovingWindow, OpenTsdbError> {
    if text.starts_with(['\'', '"']) {
        return time(text).map(MovingWindow::Milliseconds);
    }
    let points = text.parse().ok().filter(|points| *points > 0);
    points
        .map(MovingWindow::Points)
        .ok_or_else(|| OpenTsdbError::invalid(format!("Invalid moving window parameter: {text}")))
}

/// `'2min'` in milliseconds.
fn time(text: &str) -> Result<i64, OpenTsdbError> {
    let wrong = |what: &str| OpenTsdbError::invalid(format!("{what}={text}"));
    let inside = text.trim_matches(['\'', '"']);
    let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = inside.split_at(digits);
    let unit_ms = match unit {
        "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" | "hr" | "hour" => 3_600_000,
        "d" | "day" => 86_400_000,
        "w" | "week" => 7 * 86_400_000,
        _ => return Err(wrong("unknown time unit")),
    };
    let count: i64 = count.parse().map_err(|_| wrong("Invalid time interval"))?;
    count.checked_mul(unit_ms).ok_or_else(|| wrong("Invalid time interval"))
}

fn combine(op: BinaryOp, nodes: Vec<Node>) -> Result<Node, OpenTsdbError> {
    if !OPERANDS.contains(&nodes.len()) {
        return Err(OpenTsdbError::invalid(format!(
            "Must have {} to {} series, got {} instead",
            OPERANDS.start(),
            OPERANDS.end(),
            nodes.len()
        )));
    }
    let operands = (1..nodes.len()).map(Expression::Operand);
    let expression = operands.fold(Expression::Operand(0), |left, right| {
        Expression::Binary(op, Box::new(left), Box::new(right))
    });
    let inputs = nodes.into_iter().map(|node| Operand { node, keys: None, fill: Number(0.0) });
    Ok(Node::new(Op::Formula(Formula {
        inputs: inputs.collect(),
        meeting: Meeting { union: true, disagreeing: false },
        expression,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Call, usize), String> {
        let mut queries = Vec::new();
        let call = parse(text, &mut queries).map_err(|error| error.message)?;
        Ok((call, queries.len()))
    }

    #[test]
    fn calls_nest_and_braces_hold_commas() {
        let (call, queries) =
            parsed("alias(scale(sum:1m-avg:a{h=*,d=x}, 2), cpu:@h,of(@d))").unwrap();
        let Call::Function { function, inputs, parameters } = call else { panic!() };
        assert_eq!((function, queries), (Function::Alias, 1));
        assert_eq!(parameters, vec!["cpu:@h", "of(@d)"]);
        let Call::Function { parameters, .. } = &inputs[0] else { panic!() };
        assert_eq!(parameters, &["2"]);
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for (text, want) in [
            ("sum:A", "Failed to parse sum:A"),
            ("foo(sum:A)", "Function foo has not been implemented"),
            ("scale(sum:A", "Failed to parse scale(sum:A"),
            ("scale(sum:a{h=(},1)", "Failed to parse scale(sum:a{h=(},1)"),
        ] {
            assert_eq!(parsed(text).unwrap_err(), want, "{text}");
        }
        let deep = "scale(".repeat(5_000) + &")".repeat(5_000);
        assert_eq!(parsed(&deep).unwrap_err(), "Expression is nested too deeply");
    }

    #[test]
    fn parameters_are_checked() {
        let lowered = |text: &str| {
            let mut queries = Vec::new();
            let call = parse(text, &mut queries).unwrap();
            let nodes = vec![Node::new(Op::Union(vec![])); queries.len()];
            lower_call(&call, &nodes).map(|node| node.to_string()).map_err(|e| e.message)
        };
        for (text, want) in [
            ("scale(sum:A)", "Missing scaling factor"),
            ("scale(sum:A,1e3)", "Invalid scaling factor: 1e3 is not a number"),
            ("sum(sum:A)", "Must have 2 to 26 series, got 1 instead"),
            ("highestMax(sum:A,-1)", "Invalid parameter, must be greater than zero: -1"),
            ("movingAverage(sum:A,'2moons')", "unknown time unit='2moons'"),
            ("scale(7)", "Missing query argument"),
        ] {
            assert_eq!(lowered(text).unwrap_err(), want, "{text}");
        }
        assert!(lowered("shift(sum:A,'1min')").unwrap().contains("Shift(60000)"));
        assert!(lowered("divide(sum:A,sum:B)").unwrap().contains("($0 Divide $1), all keys"));
    }

    #[test]
    fn any_text_is_survived() {
        let parts = ["scale(", "sum(", "sum:a", "{h=*", "}", ",", ")", "'", "\"", "2min", "é", ":"];
        let mut rng = base::rng::Rng::new(11);
        for _ in 0..5_000 {
            let count = rng.below(14);
            let text: String =
                (0..count).map(|_| parts[rng.below(parts.len() as u64) as usize]).collect();
            let mut queries = Vec::new();
            if let Ok(call) = parse(&text, &mut queries) {
                let nodes = vec![Node::new(Op::Union(vec![])); queries.len()];
                let _ = lower_call(&call, &nodes);
            }
        }
    }
}
