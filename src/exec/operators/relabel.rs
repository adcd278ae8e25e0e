//! Labels and titles changed, values untouched.

use model::{LabelBuilder, Labels, METRIC_NAME};
use plan::semantics::{RelabelRule, TaggedName, TitleRule};
use plan::{EvalError, Relabel};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::{distinct, title};

/// The rows under their new labels.
pub(crate) fn stream(
    executor: &Executor<'_>,
    relabel: &Relabel,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    match &relabel.rule {
        RelabelRule::Title(rule @ TitleRule::Tagged { name: TaggedName::CommonOr(_), .. }) => {
            let mut rows = executor.collect(&relabel.input)?;
            let rule = title::with_common_name(rule, &rows);
            rows.as_mut().iter_mut().try_for_each(|(identity, row)| {
                title::apply(&rule, identity)?;
                sink(identity, row)
            })
        }
        RelabelRule::Title(rule) => {
            let rule = title::Compiled::new(rule)?;
            executor.stream(&relabel.input, &mut |identity, row| {
                rule.apply(identity);
                sink(identity, row)
            })
        }
        // Rows may be called alike then, and stay rows of their own.
        RelabelRule::Compose(template) => executor.stream(&relabel.input, &mut |identity, row| {
            let labels = composed(template, identity.labels());
            identity.set_labels(labels);
            identity.disagreeing = None;
            sink(identity, row)
        }),
        rule => {
            let changed = |sink: &mut Sink<'_>| {
                let rule = Labeler::new(rule)?;
                executor.stream(&relabel.input, &mut |identity, row| {
                    if let Some(labels) = rule.apply(identity.labels()) {
                        identity.set_labels(labels);
                        // A name given on purpose is not taken off at the end.
                        identity.name_pending &= !rule.names_metric();
                    }
                    sink(identity, row)
                })
            };
            distinct::stream(executor, changed, sink)
        }
    }
}

enum Labeler<'r> {
    Replace { destination: &'r str, template: &'r str, source: &'r str, regex: Regex },
    Join { destination: &'r str, separator: &'r str, sources: &'r [String] },
}

impl<'r> Labeler<'r> {
    fn new(rule: &'r RelabelRule) -> Result<Self, ExecError> {
        match rule {
            RelabelRule::Replace { destination, template, source, pattern } => {
                let regex = compile(&format!(r"\A(?:{})\z", pattern.as_str()))?;
                Ok(Self::Replace { destination, template, source, regex })
            }
            RelabelRule::Join { destination, separator, sources } => {
                Ok(Self::Join { destination, separator, sources })
            }
            RelabelRule::Compose(_) | RelabelRule::Title(_) => {
                Err(ExecError::Internal("a title is no label".to_owned()))
            }
        }
    }

    /// True when the metric's name is what changes.
    fn names_metric(&self) -> bool {
        match self {
            Self::Replace { destination, .. } | Self::Join { destination, .. } => {
                *destination == model::METRIC_NAME
            }
        }
    }

    /// The new labels; `None` leaves them as they are.
    fn apply(&self, labels: &Labels) -> Option<Labels> {
        let mut builder = LabelBuilder::from_labels(labels.view());
        match self {
            Self::Replace { destination, template, source, regex } => {
                let value = labels.get(source).unwrap_or_default();
                let mut captures = regex.create_captures();
                regex.captures(value, &mut captures);
                if !captures.is_match() {
                    return None;
                }
                builder.set(destination, &expand(template, value, &captures));
            }
            Self::Join { destination, separator, sources } => {
                let values: Vec<&str> =
                    sources.iter().map(|source| labels.get(source).unwrap_or_default()).collect();
                builder.set(destination, &values.join(separator));
            }
        }
        Some(builder.build())
    }
}

/// A name alone. The longest label's name is looked for first, since it may start with another's.
fn composed(template: &str, labels: &Labels) -> Labels {
    let mut pairs: Vec<(&str, &str)> = labels.iter().filter(|(n, _)| *n != METRIC_NAME).collect();
    pairs.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut name = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('@') {
        name.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        match pairs.iter().find(|(label, _)| behind.starts_with(label)) {
            Some((label, value)) => {
                name.push_str(value);
                rest = &behind[label.len()..];
            }
            None => {
                name.push('@');
                rest = behind;
            }
        }
    }
    name.push_str(rest);
    Labels::from_pairs([(METRIC_NAME, name.as_str())])
}

/// Compiles a pattern in which a dot matches line ends.
pub(crate) fn compile(pattern: &str) -> Result<Regex, ExecError> {
    let config = Regex::config().nfa_size_limit(Some(base::limits::REGEX_BYTES_MAX));
    Regex::builder()
        .configure(config)
        .syntax(syntax::Config::new().dot_matches_new_line(true))
        .build(pattern)
        .map_err(|error| {
            EvalError::BadArgument(format!("invalid regular expression {pattern:?}: {error}"))
                .into()
        })
}

/// Expands `$1`, `$name` and `${name}`; `$$` is a dollar sign; unknown groups are empty.
fn expand(template: &str, value: &str, captures: &Captures) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let behind = &rest[dollar + 1..];
        if let Some(after) = behind.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        match reference(behind) {
            Some((name, after)) => {
                let span = match name.parse::<usize>() {
                    Ok(index) => captures.get_group(index),
                    Err(_) => captures.get_group_by_name(name),
                };
                out.push_str(span.and_then(|span| value.get(span.range())).unwrap_or_default());
                rest = after;
            }
            None => {
                out.push('$');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The group named at the start of `text`, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let word = |text: &str| {
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        text.chars().take_while(is_word).map(char::len_utf8).sum::<usize>()
    };
    if let Some(inside) = text.strip_prefix('{') {
        let length = word(inside);
        let after = inside.get(length..)?.strip_prefix('}')?;
        return (length > 0).then(|| (&inside[..length], after));
    }
    let length = word(text);
    (length > 0).then(|| text.split_at(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Pattern;

    fn replace(template: &str, pattern: &str, value: &str) -> Option<String> {
        let rule = RelabelRule::Replace {
            destination: "d".into(),
            template: template.into(),
            source: "s".into(),
            pattern: Pattern::new(pattern).unwrap(),
        };
        let labels = Labels::from_pairs([("s", value)]);
        let out = Labeler::new(&rule).unwrap().apply(&labels)?;
        Some(out.get("d").unwrap_or("").to_owned())
    }

    #[test]
    fn templates_expand_as_in_go() {
        let cases = [
            ("$1-$2", "(.*)-(.*)", "a-b", "a-b"),
            ("${1}x", "(.*)", "a", "ax"),
            ("$1x", "(.*)", "a", ""),
            ("${name}", "(?P<name>.*)", "a", "a"),
            ("$$1", "(.*)", "a", "$1"),
            ("$", "(.*)", "a", "$"),
            ("$9", "(.*)", "a", ""),
            ("${1", "(.*)", "a", "${1"),
        ];
        for (template, pattern, value, expected) in cases {
            assert_eq!(replace(template, pattern, value).as_deref(), Some(expected), "{template}");
        }
        assert_eq!(replace("x", "a", "ab"), None);
    }
}
