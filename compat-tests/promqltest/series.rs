//! Series descriptions: `metric{a="b"} 1 2+3x4 _ stale {{schema:0 count:1}}`.

use std::sync::Arc;

use lang::promql::unquoted;
use model::{Histogram, Labels, METRIC_NAME};

use super::literal::parse_literal;

/// One value of a description.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `_`
    Omitted,
    /// A number or the stale marker.
    Float(f64),
    /// A native histogram.
    Histogram(Described),
}

/// A native histogram as it was described.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Described {
    /// What was described.
    pub(crate) histogram: Arc<Histogram>,
    /// The description says something about resets.
    pub(crate) tells_resets: bool,
}

/// A series and its values.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) labels: Labels,
    /// One value per step.
    pub(crate) values: Vec<Value>,
}

/// Values that one item may stand for.
const REPEAT_MAX: u64 = 1_000_000;

/// Reads a description.
pub(crate) fn parse_series(text: &str) -> Result<Series, String> {
    let (labels, rest) = parse_metric(text)?;
    let mut values = Vec::new();
    let mut rest = rest.trim_start();
    while !rest.is_empty() {
        rest = parse_item(rest, &mut values)?.trim_start();
    }
    Ok(Series { labels, values })
}

/// Reads the metric at the start of `text`; gives its labels and what follows.
pub(crate) fn parse_metric(text: &str) -> Result<(Labels, &str), String> {
    let name_end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let mut pairs = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    if let Some(inside) = rest.strip_prefix('{') {
        rest = parse_labels(inside, &mut pairs)?;
    } else if name.is_empty() {
        return Err(format!("no metric in {text:?}"));
    }
    let labels =
        Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Ok((labels, rest))
}

fn parse_labels<'a>(
    mut rest: &'a str,
    pairs: &mut Vec<(String, String)>,
) -> Result<&'a str, String> {
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok(behind);
        }
        let (name, is_quoted) = match rest.chars().next() {
            Some('"' | '\'' | '`') => {
                let (token, behind) = split_quoted(rest)?;
                rest = behind;
                (unquoted(token).ok_or_else(|| format!("bad text {token}"))?, true)
            }
            _ => {
                let end = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                rest = behind;
                (name.to_owned(), false)
            }
        };
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('=') {
            let (token, behind) = split_quoted(behind.trim_start())?;
            rest = behind.trim_start();
            pairs.push((name, unquoted(token).ok_or_else(|| format!("bad text {token}"))?));
        } else if is_quoted {
            pairs.push((METRIC_NAME.to_owned(), name));
        } else {
            return Err(format!("label {name:?} has no value"));
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// Splits behind the quoted text at the start.
fn split_quoted(text: &str) -> Result<(&str, &str), String> {
    let quote = text.chars().next().filter(|c| "\"'`".contains(*c));
    let quote = quote.ok_or_else(|| format!("no quoted text in {text:?}"))?;
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' && quote != '`' {
            escaped = true;
        } else if character == quote {
            return Ok(text.split_at(at + 1));
        }
    }
    Err(format!("unended text in {text:?}"))
}

/// Reads one item and gives what follows.
fn parse_item<'a>(text: &'a str, values: &mut Vec<Value>) -> Result<&'a str, String> {
    if text.starts_with("{{") {
        return parse_histogram(text, values);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (item, rest) = text.split_at(end);
    if let Some(times) = item.strip_prefix('_') {
        let count = if times.is_empty() { 1 } else { repeat(times)? };
        values.extend((0..count).map(|_| Value::Omitted));
        return Ok(rest);
    }
    let (first, behind) = match item.strip_prefix("stale") {
        Some(behind) => (f64::from_bits(model::STALE_NAN_BITS), behind),
        None => split_number(item)?,
    };
    let (delta, times) = match behind.chars().next() {
        Some('+' | '-') => {
            let (delta, times) = split_number(behind)?;
            if times.is_empty() {
                return Err(format!("item {item:?} has no count"));
            }
            (delta, times)
        }
        _ => (0.0, behind),
    };
    let count = if times.is_empty() { 0 } else { repeat(times)? };
    let mut value = first;
    for index in 0..=count {
        values.push(Value::Float(value));
        if index < count && delta != 0.0 {
            value += delta;
        }
    }
    Ok(rest)
}

fn parse_histogram<'a>(text: &'a str, values: &mut Vec<Value>) -> Result<&'a str, String> {
    let (first, mut rest) = parse_literal(text)?;
    let mut step: Option<(Described, bool)> = None;
    for (sign, adds) in [("+", true), ("-", false)] {
        if let Some(second) = rest.strip_prefix(sign).filter(|second| second.starts_with("{{")) {
            let (increment, behind) = parse_literal(second)?;
            step = Some((increment, adds));
            rest = behind;
            break;
        }
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (times, rest) = rest.split_at(end);
    let count = if times.is_empty() { 0 } else { repeat(times)? };
    let mut current = first;
    for index in 0..=count {
        values.push(Value::Histogram(current.clone()));
        let Some((increment, adds)) = step.as_ref().filter(|_| index < count) else { continue };
        if increment.histogram.schema < current.histogram.schema {
            return Err(format!(
                "error combining histograms: cannot merge from schema {} to {}",
                increment.histogram.schema, current.histogram.schema
            ));
        }
        let (one, other) = (&current.histogram, &increment.histogram);
        let next = if *adds { one.plus(other) } else { one.minus(other) };
        let mut next = next.map_err(|error| error.to_string())?.0;
        next.reset_hint = one.reset_hint;
        current.histogram = Arc::new(next);
    }
    Ok(rest)
}

/// The count of `xN`.
fn repeat(text: &str) -> Result<u64, String> {
    let count = text.strip_prefix('x').and_then(|digits| digits.parse().ok());
    count.filter(|count| *count <= REPEAT_MAX).ok_or_else(|| format!("bad count {text:?}"))
}

/// The number at the start of `text`, and what follows.
fn split_number(text: &str) -> Result<(f64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let lower = unsigned.to_ascii_lowercase();
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if lower.starts_with(word) {
            return Ok((sign * value, &unsigned[3..]));
        }
    }
    let bytes = unsigned.as_bytes();
    let is_exponent_sign = |at: usize| {
        at > 0 && matches!(bytes[at], b'+' | b'-') && matches!(bytes[at - 1], b'e' | b'E')
    };
    let end = (0..bytes.len())
        .find(|at| {
            let byte = bytes[*at];
            !(byte.is_ascii_digit() || b"._eE".contains(&byte) || is_exponent_sign(*at))
        })
        .unwrap_or(bytes.len());
    let (digits, rest) = unsigned.split_at(end);
    let number: f64 =
        digits.replace('_', "").parse().map_err(|_| format!("bad number in {text:?}"))?;
    Ok((sign * number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_expand() {
        for (text, expected) in [
            ("{} 1+2x2", vec![1.0, 3.0, 5.0]),
            ("{} 1x2", vec![1.0, 1.0, 1.0]),
            ("{} -2-1x1 +5 1e3", vec![-2.0, -3.0, 5.0, 1000.0]),
            ("a{b='c'} Inf -Inf", vec![f64::INFINITY, f64::NEG_INFINITY]),
        ] {
            let floats: Vec<f64> = parse_series(text)
                .unwrap()
                .values
                .iter()
                .map(|value| if let Value::Float(float) = value { *float } else { f64::NAN })
                .collect();
            assert_eq!(floats, expected, "{text}");
        }
        let mixed =
            parse_series("{\"a b\", c=\"d\"} _x2 {{schema:0 sum:1}}+{{sum:1}}x1 1").unwrap();
        assert_eq!(mixed.labels.to_string(), "{__name__=\"a b\", c=\"d\"}");
        assert_eq!(mixed.values.len(), 5);
        assert!(parse_series("{} 1 {{").is_err());
    }
}
