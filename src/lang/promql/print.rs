//! An expression as text, on one line and indented, as Prometheus prints it.

use std::fmt::{self, Display, Formatter};

use model::label::is_legacy_name;

use super::ast::{
    Aggregate, At, Binary, DurationExpr, DurationKind, Edges, Expr, ExprKind, Group, LabelTest,
    LabelTestOp, Selector, Shift, Subquery,
};
use super::syntax::number::print_duration;
use super::syntax::quote::quoted;

/// Characters of a line that [`prettify`] does not break.
const LINE_CHARACTERS: usize = 100;

/// The expression over several lines, as the `format_query` endpoint shows it.
pub fn prettify(expr: &Expr) -> String {
    pretty(expr, 0, LINE_CHARACTERS)
}

fn pretty(expr: &Expr, level: usize, width: usize) -> String {
    let indent = "  ".repeat(level);
    let line = expr.to_string();
    // A sign keeps its operand's own breaks, whatever their length.
    let is_short = line.len() <= width && !matches!(expr.kind, ExprKind::Unary { .. });
    let below = |inner: &Expr| pretty(inner, level + 1, width);
    match &expr.kind {
        _ if is_short => format!("{indent}{line}"),
        ExprKind::Aggregate(aggregate) => {
            let parameter = aggregate.parameter.as_ref();
            let parameter = parameter.map_or(String::new(), |one| format!("{},\n", below(one)));
            let operand = below(&aggregate.operand);
            format!("{indent}{}(\n{parameter}{operand}\n{indent})", Clause(aggregate))
        }
        ExprKind::Call(call) => {
            let arguments: Vec<String> = call.arguments.iter().map(below).collect();
            format!("{indent}{}(\n{}\n{indent})", call.function, arguments.join(",\n"))
        }
        ExprKind::Binary(binary) => {
            let (left, right) = (below(&binary.left), below(&binary.right));
            format!("{left}\n{indent}{}\n{right}", OperatorText(binary))
        }
        ExprKind::Paren(inner) => format!("{indent}(\n{}\n{indent})", below(inner)),
        ExprKind::Subquery(subquery) => {
            format!("{}{}", pretty(&subquery.inner, level, width), WindowText(subquery))
        }
        ExprKind::Unary { negative, operand } => {
            let sign = if *negative { '-' } else { '+' };
            format!("{indent}{sign}{}", pretty(operand, level, width).trim())
        }
        _ => format!("{indent}{line}"),
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number { value, is_duration: true } => {
                f.write_str(&print_duration((value * 1e3).round() as i64))
            }
            ExprKind::Number { value, .. } => f.write_str(&number(*value)),
            ExprKind::Text(text) => f.write_str(&quoted(text)),
            ExprKind::Selector(selector) => {
                write!(f, "{selector}{}", AtText(&selector.shift))?;
                edges(f, selector)?;
                write!(f, "{}", OffsetText(&selector.shift))
            }
            ExprKind::Range(range) => {
                write!(f, "{}[{}]", range.selector, Window(&range.range))?;
                edges(f, &range.selector)?;
                write!(f, "{}", range.selector.shift)
            }
            ExprKind::Subquery(subquery) => write!(f, "{}{}", subquery.inner, WindowText(subquery)),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function)?;
                list(f, &call.arguments)?;
                f.write_str(")")
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", Clause(aggregate))?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.operand)
            }
            ExprKind::Binary(binary) => {
                write!(f, "{} {} {}", binary.left, OperatorText(binary), binary.right)
            }
            ExprKind::Unary { negative: true, operand } => write!(f, "-{operand}"),
            ExprKind::Unary { operand, .. } => write!(f, "+{operand}"),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

fn list(f: &mut Formatter<'_>, items: &[impl Display]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// Shortest decimal digits without an exponent.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

/// A label's name, quoted where it must be.
fn label(name: &str) -> String {
    if is_legacy_name(name) { name.to_owned() } else { quoted(name) }
}

/// `by (a, b)` in parentheses.
struct LabelList<'a>(&'a [String]);

impl Display for LabelList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.0.iter().map(|name| label(name)).collect();
        write!(f, "({})", labels.join(", "))
    }
}

/// An aggregation up to its parenthesis.
struct Clause<'a>(&'a Aggregate);

impl Display for Clause<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Aggregate { op, grouping, without, .. } = self.0;
        f.write_str(op.name())?;
        if *without {
            write!(f, " without {} ", LabelList(grouping))
        } else if grouping.is_empty() {
            Ok(())
        } else {
            write!(f, " by {} ", LabelList(grouping))
        }
    }
}

/// An operator with its modifiers.
struct OperatorText<'a>(&'a Binary);

impl Display for OperatorText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Binary { op, return_bool, matching, .. } = self.0;
        f.write_str(op.name())?;
        if *return_bool {
            f.write_str(" bool")?;
        }
        if matching.on || !matching.labels.is_empty() || matching.group.is_some() {
            let word = if matching.on { "on" } else { "ignoring" };
            write!(f, " {word} {}", LabelList(&matching.labels))?;
        }
        if let Some(group) = matching.group {
            let word = if group == Group::Left { "group_left" } else { "group_right" };
            write!(f, " {word} {}", LabelList(&matching.include))?;
        }
        match (matching.fill_left, matching.fill_right) {
            (Some(left), Some(right)) if left == right => {
                write!(f, " fill ({})", number(left))
            }
            (left, right) => {
                for (word, value) in [("fill_left", left), ("fill_right", right)] {
                    if let Some(value) = value {
                        write!(f, " {word} ({})", number(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for Selector {
    /// The selector without its modifiers.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or_default())?;
        if self.matchers.is_empty() {
            return if self.name.is_none() { f.write_str("{}") } else { Ok(()) };
        }
        let mut tests: Vec<String> = self.matchers.iter().map(LabelTest::to_string).collect();
        tests.sort_unstable();
        write!(f, "{{{}}}", tests.join(","))
    }
}

impl Display for LabelTest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            LabelTestOp::Equal => "=",
            LabelTestOp::NotEqual => "!=",
            LabelTestOp::Regex(_) => "=~",
            LabelTestOp::NotRegex(_) => "!~",
        };
        write!(f, "{}{op}{}", label(&self.name), quoted(&self.value))
    }
}

fn edges(f: &mut Formatter<'_>, selector: &Selector) -> fmt::Result {
    match selector.edges {
        Some(Edges::Anchored) => f.write_str(" anchored"),
        Some(Edges::Smoothed) => f.write_str(" smoothed"),
        None => Ok(()),
    }
}

impl Display for Shift {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", AtText(self), OffsetText(self))
    }
}

struct AtText<'a>(&'a Shift);

impl Display for AtText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.at {
            Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1e3),
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
            None => Ok(()),
        }
    }
}

struct OffsetText<'a>(&'a Shift);

impl Display for OffsetText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.offset {
            // A zero offset leaves no trace.
            Some(DurationExpr { kind: DurationKind::Literal { seconds: 0.0, .. }, .. }) => Ok(()),
            Some(offset) => write!(f, " offset {}", Window(offset)),
            None => Ok(()),
        }
    }
}

/// What follows a sub-query's expression.
struct WindowText<'a>(&'a Subquery);

impl Display for WindowText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", Window(&self.0.range))?;
        if let Some(step) = &self.0.step {
            write!(f, "{}", Window(step))?;
        }
        write!(f, "]{}", self.0.shift)
    }
}

/// A whole duration: a literal is printed with units.
struct Window<'a>(&'a DurationExpr);

impl Display for Window<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            DurationKind::Literal { seconds, .. } => {
                f.write_str(&print_duration((seconds * 1e3).round() as i64))
            }
            _ => write!(f, "{}", self.0),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Literal { seconds, is_duration: true } => {
                f.write_str(&print_duration((seconds * 1e3).round() as i64))
            }
            DurationKind::Literal { seconds, .. } => f.write_str(&number(*seconds)),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Negative(inner) => write!(f, "-{inner}"),
            DurationKind::Paren(inner) => write!(f, "({inner})"),
            DurationKind::MinOf(a, b) => write!(f, "min_of({a}, {b})"),
            DurationKind::MaxOf(a, b) => write!(f, "max_of({a}, {b})"),
            DurationKind::Arithmetic(op, a, b) => write!(f, "{a} {} {b}", op.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::promql::{Features, parse, tests::vectors};

    use super::*;

    #[test]
    fn prints_as_prometheus() {
        let Some(text) = vectors("promql-parse/print_pairs.jsonl") else { return };
        let (mut total, mut failures) = (0, Vec::new());
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let (input, expected) = (row["in"].as_str().unwrap(), row["out"].as_str().unwrap());
            let is_pretty = row["file"] == "prettier_test.go";
            let printed = parse(input, Features::ALL)
                .map(|expr| if is_pretty { pretty(&expr, 0, 10) } else { expr.to_string() })
                .unwrap_or_else(|error| error.to_string());
            total += 1;
            if printed != expected {
                failures.push(format!("{input}\n  got  {printed:?}\n  want {expected:?}"));
            }
        }
        println!("print_pairs: {} of {total} print alike", total - failures.len());
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}
