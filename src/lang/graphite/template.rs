//! `template(expression, values…)`: names in paths are replaced by values before anything is looked up.

use std::collections::BTreeMap;

use super::ast::{Call, Expr, ExprKind};
use super::error::GraphiteError;

/// Values by name, with the spelling that goes into paths.
type Values = BTreeMap<String, (String, ExprKind)>;

/// Replaces every template by its body with the values put in. `given` are the values of the request
/// (`template[name]=…`), which go before those in the text.
pub fn expand(expr: Expr, given: &BTreeMap<String, String>) -> Result<Expr, GraphiteError> {
    let span = expr.span;
    let kind = match expr.kind {
        ExprKind::Template { body, values, named } => {
            let values = bind(values, named, given)?;
            let body = expand(*body, given)?;
            return Ok(substitute(body, &values));
        }
        ExprKind::Call(call) => {
            let arguments = call.arguments.into_iter().map(|argument| expand(argument, given));
            let keywords =
                call.keywords.into_iter().map(|(name, value)| Ok((name, expand(value, given)?)));
            ExprKind::Call(Call {
                arguments: arguments.collect::<Result<_, _>>()?,
                keywords: keywords.collect::<Result<_, GraphiteError>>()?,
                name: call.name,
                piped: call.piped,
            })
        }
        other => other,
    };
    Ok(Expr { kind, span })
}

fn bind(
    values: Vec<Expr>,
    named: Vec<(String, Expr)>,
    given: &BTreeMap<String, String>,
) -> Result<Values, GraphiteError> {
    let numbered = values.into_iter().enumerate();
    let numbered = numbered.map(|(index, value)| ((index + 1).to_string(), value));
    let mut bound = Values::new();
    for (name, value) in numbered.chain(named) {
        let spelling = match &value.kind {
            ExprKind::Integer(value) => value.to_string(),
            ExprKind::Float(value, _) => super::number::python(*value),
            ExprKind::Text(text) => text.clone(),
            _ => return Err(GraphiteError::Template("values must be numbers or texts")),
        };
        bound.insert(name, (spelling, value.kind));
    }
    for (name, text) in given {
        bound.insert(name.clone(), (text.clone(), ExprKind::Text(text.clone())));
    }
    Ok(bound)
}

fn substitute(expr: Expr, values: &Values) -> Expr {
    let span = expr.span;
    let kind = match expr.kind {
        ExprKind::Path(path) => replace_path(path, values),
        ExprKind::Call(mut call) => {
            call.arguments =
                call.arguments.into_iter().map(|argument| substitute(argument, values)).collect();
            for (_, value) in &mut call.keywords {
                let taken = std::mem::replace(
                    value,
                    Expr { kind: ExprKind::None, span: value.span.clone() },
                );
                *value = substitute(taken, values);
            }
            ExprKind::Call(call)
        }
        other => other,
    };
    Expr { kind, span }
}

/// A path that is exactly `$name` becomes the value itself; a text that looks like a number becomes
/// one. Longer names are replaced first, so that `$ab` is never `$a` and a `b`.
fn replace_path(path: String, values: &Values) -> ExprKind {
    if let Some((_, value)) = path.strip_prefix('$').and_then(|name| values.get(name)) {
        if let ExprKind::Text(text) = value
            && !text.is_empty()
            && text
                .trim_start_matches('-')
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
            && let Ok(number) = text.parse::<f64>()
        {
            return ExprKind::Float(number, text.clone());
        }
        return value.clone();
    }
    let mut names: Vec<&String> = values.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let mut out = path;
    for name in names {
        if let Some((spelling, _)) = values.get(name) {
            out = out.replace(&format!("${name}"), spelling);
        }
    }
    ExprKind::Path(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphite::parser::parse;

    fn check(text: &str, given: &[(&str, &str)], expected: &str) {
        let given =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let got = expand(parse(text).unwrap(), &given).unwrap();
        let expected = parse(expected).unwrap();
        let bare =
            |expr: &Expr| format!("{:?}", expr.kind).replace(|c: char| c.is_ascii_digit(), "");
        let strip = |text: String| {
            // Spans differ; the trees must not.
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some(at) = rest.find(", span: ..") {
                out.push_str(&rest[..at]);
                rest = &rest[at + 10..];
            }
            out + rest
        };
        assert_eq!(strip(bare(&got)), strip(bare(&expected)), "{text}");
    }

    #[test]
    fn values_go_into_paths() {
        check("template(a.$x.$xy,x=\"p\",xy=\"q\")", &[], "a.p.q");
        check("template(f(a.$1,g($2)),\"p\",5)", &[("1", "z")], "f(a.z,g(5))");
        check("template(f(a,$k),k=\"avg\")", &[], "f(a,\"avg\")");
        let bad = expand(parse("template(a.$x)").unwrap(), &BTreeMap::new());
        assert!(bad.is_ok());
    }
}
