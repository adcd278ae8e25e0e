//! Filters of tag values.
//!
//! A filter of any type, also a negative one, wants the series to have its key.

use model::{Matcher, Pattern, ValueTest};

use super::regexp::anywhere;

/// Why a filter is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A key without text.
    #[error("The tagk cannot be null or empty")]
    NoKey,
    /// A type without text.
    #[error("The filter type cannot be null or empty")]
    NoType,
    /// A type that does not exist.
    #[error("Could not find a tag value filter of the type: {0}")]
    UnknownType(String),
    /// A filter without text.
    #[error("Filter cannot be null or empty")]
    Empty,
    /// A list of nothing.
    #[error("Filter must contain more than just a pipe")]
    OnlyPipe,
    /// A wildcard without one.
    #[error("Filter must contain an asterisk")]
    NoAsterisk,
    /// `type(` without an end.
    #[error("Filter must end with a ')': {0}")]
    NoParenthesis(String),
    /// An expression that cannot be compiled.
    #[error("{0}")]
    Regexp(String),
}

/// Types of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterType {
    /// One of a list.
    LiteralOr,
    /// One of a list, in any case.
    ILiteralOr,
    /// None of a list.
    NotLiteralOr,
    /// None of a list, in any case.
    NotILiteralOr,
    /// Pieces with anything between them.
    Wildcard,
    /// Pieces with anything between them, in any case.
    IWildcard,
    /// A match anywhere in the value.
    Regexp,
}

/// Every type with its name, an example of its use and what it does.
pub const TYPES: [(FilterType, &str, &str, &str); 7] = [
    (
        FilterType::ILiteralOr,
        "iliteral_or",
        "host=iliteral_or(web01),  host=iliteral_or(web01|web02|web03)",
        "Accepts one or more exact values, in any case, and matches if the series has one of them.",
    ),
    (
        FilterType::IWildcard,
        "iwildcard",
        "host=iwildcard(web*),  host=iwildcard(web*.tsdb.net)",
        "Matches values in any case; an asterisk stands for any characters.",
    ),
    (
        FilterType::LiteralOr,
        "literal_or",
        "host=literal_or(web01),  host=literal_or(web01|web02|web03)",
        "Accepts one or more exact values and matches if the series has one of them.",
    ),
    (
        FilterType::NotILiteralOr,
        "not_iliteral_or",
        "host=not_iliteral_or(web01),  host=not_iliteral_or(web01|web02|web03)",
        "Accepts one or more exact values, in any case, and matches if the series has none of them.",
    ),
    (
        FilterType::NotLiteralOr,
        "not_literal_or",
        "host=not_literal_or(web01),  host=not_literal_or(web01|web02|web03)",
        "Accepts one or more exact values and matches if the series has none of them.",
    ),
    (
        FilterType::Regexp,
        "regexp",
        "host=regexp(.*),  host=regexp(^web[0-9]+$)",
        "Matches if the expression matches anywhere in the value.",
    ),
    (
        FilterType::Wildcard,
        "wildcard",
        "host=wildcard(web*),  host=wildcard(web*.tsdb.net)",
        "Matches values; an asterisk stands for any characters.",
    ),
];

impl FilterType {
    /// The type of this name; names are case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|known| known.1 == name).map(|known| known.0)
    }

    /// The type's name.
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|known| known.0 == self).map_or("", |known| known.1)
    }
}

/// A filter of the values of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The tag's key.
    pub tagk: String,
    /// The type.
    pub kind: FilterType,
    /// A `wildcard` that is told by its asterisk alone ignores case, and still calls itself that.
    pub any_case: bool,
    /// What the type tests against.
    pub text: String,
    /// Values of the tag make groups.
    pub group_by: bool,
    /// The compiled test; `None` where it is "any value".
    pattern: Option<Pattern>,
}

impl Filter {
    /// The filter of a type by its exact name.
    pub fn new(tagk: &str, kind: &str, text: &str, group_by: bool) -> Result<Self, FilterError> {
        if kind.is_empty() {
            return Err(FilterError::NoType);
        }
        let found = FilterType::from_name(kind);
        let kind = found.ok_or_else(|| FilterError::UnknownType(kind.to_owned()))?;
        Self::build(tagk, kind, false, text, group_by)
    }

    /// The filter that a value in braces stands for: `*`, `a*b`, `type(text)` or `a|b`.
    pub fn from_value(tagk: &str, value: &str, group_by: bool) -> Result<Self, FilterError> {
        if value.is_empty() {
            return Err(FilterError::Empty);
        }
        if let Some((kind, text)) = value.split_once('(').filter(|_| value != "*") {
            let text = text
                .strip_suffix(')')
                .ok_or_else(|| FilterError::NoParenthesis(value.to_owned()))?;
            return Self::new(tagk, &kind.to_lowercase(), text, group_by);
        }
        if value.contains('*') {
            let any_case = value != "*";
            return Self::build(tagk, FilterType::Wildcard, any_case, value, group_by);
        }
        Self::build(tagk, FilterType::LiteralOr, false, value, group_by)
    }

    fn build(
        tagk: &str,
        kind: FilterType,
        any_case: bool,
        text: &str,
        group_by: bool,
    ) -> Result<Self, FilterError> {
        if tagk.is_empty() {
            return Err(FilterError::NoKey);
        }
        if text.is_empty() {
            return Err(FilterError::Empty);
        }
        let ignores_case = any_case
            || matches!(
                kind,
                FilterType::IWildcard | FilterType::ILiteralOr | FilterType::NotILiteralOr
            );
        let expression = match kind {
            FilterType::Wildcard | FilterType::IWildcard => wildcard(text)?,
            FilterType::Regexp => Some(anywhere(text)?),
            _ if text == "|" => return Err(FilterError::OnlyPipe),
            _ => Some(alternatives(text)),
        };
        let pattern = expression.map(|expression| {
            let flags = if ignores_case { "(?i)" } else { "" };
            Pattern::new(&format!("{flags}{expression}"))
        });
        let pattern = pattern.transpose().map_err(|error| FilterError::Regexp(error.reason))?;
        let (tagk, text) = (tagk.to_owned(), text.to_owned());
        Ok(Self { tagk, kind, any_case, text, group_by, pattern })
    }

    /// The values of a list, a last empty one left out.
    pub fn literals(&self) -> Vec<&str> {
        literals(&self.text)
    }

    /// What a series must satisfy.
    pub fn matchers(&self) -> Vec<Matcher> {
        let matcher = |test| Matcher::new(self.tagk.clone(), test);
        let present = matcher(ValueTest::NotEqual(String::new()));
        match (self.kind, &self.pattern) {
            (FilterType::LiteralOr, _) => {
                let mut values: Vec<String> = self
                    .literals()
                    .into_iter()
                    .filter(|v| !v.is_empty())
                    .map(str::to_owned)
                    .collect();
                values.sort_unstable();
                values.dedup();
                match <[String; 1]>::try_from(values) {
                    Ok([value]) => vec![matcher(ValueTest::Equal(value))],
                    Err(values) => vec![matcher(ValueTest::OneOf(values))],
                }
            }
            (_, None) => vec![present],
            (FilterType::NotLiteralOr | FilterType::NotILiteralOr, Some(pattern)) => {
                vec![present, matcher(ValueTest::NotRegex(pattern.clone()))]
            }
            (_, Some(pattern)) if pattern.is_match("") => {
                vec![present, matcher(ValueTest::Regex(pattern.clone()))]
            }
            (_, Some(pattern)) => vec![matcher(ValueTest::Regex(pattern.clone()))],
        }
    }
}

fn literals(text: &str) -> Vec<&str> {
    text.strip_suffix('|').unwrap_or(text).split('|').collect()
}

fn alternatives(text: &str) -> String {
    let values = literals(text).into_iter().filter(|value| !value.is_empty());
    let values: Vec<String> = values.map(regex_syntax::escape).collect();
    format!("(?:{})", values.join("|"))
}

/// The pieces between the asterisks, anchored at both ends. `None` for "any value".
fn wildcard(text: &str) -> Result<Option<String>, FilterError> {
    if !text.contains('*') {
        return Err(FilterError::NoAsterisk);
    }
    if text.bytes().all(|byte| byte == b'*') {
        return Ok(None);
    }
    let pieces: Vec<String> = text.split('*').map(regex_syntax::escape).collect();
    Ok(Some(pieces.join(".*")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(kind: &str, text: &str, value: &str) -> bool {
        let filter = Filter::new("host", kind, text, false).unwrap();
        filter.matchers().iter().all(|matcher| matcher.matches(value))
    }

    #[test]
    fn every_type_wants_the_key() {
        for (_, kind, _, _) in TYPES {
            let text = if kind == "regexp" { ".*" } else { "*|a" };
            assert!(!matches(kind, text, ""), "{kind}");
        }
    }

    #[test]
    fn values_are_tested_by_type() {
        for (kind, text, value, want) in [
            ("wildcard", "*.morpork.com", "ogg-01.ops.ankh.morpork.com", true),
            ("wildcard", "ogg***com", "ogg-01.com", true),
            ("wildcard", "Ogg*", "ogg", false),
            ("iwildcard", "Ogg*", "oGG", true),
            ("wildcard", "a*a", "a", false),
            ("wildcard", "****", "x", true),
            ("literal_or", "a|b|", "b", true),
            ("literal_or", "a|b", "A", false),
            ("iliteral_or", "a", "A", true),
            ("not_literal_or", "a", "A", true),
            ("not_iliteral_or", "a|c", "A", false),
            ("regexp", "eb0", "web01", true),
            ("regexp", "^web.*$", "web01", true),
            ("regexp", "^eb", "web01", false),
            ("regexp", "^a|b", "xb", true),
            ("regexp", "(?i)WEB", "web01", true),
        ] {
            assert_eq!(matches(kind, text, value), want, "{kind} {text} {value}");
        }
    }

    #[test]
    fn values_in_braces_name_their_type() {
        let of = |value: &str| match Filter::from_value("host", value, true) {
            Ok(filter) => format!("{} {} {}", filter.kind.name(), filter.text, filter.any_case),
            Err(error) => error.to_string(),
        };
        assert_eq!(of("*"), "wildcard * false");
        assert_eq!(of("w*"), "wildcard w* true");
        assert_eq!(of("a|b"), "literal_or a|b false");
        assert_eq!(of("IWildcard(W*)"), "iwildcard W* false");
        assert_eq!(of("foo(x)"), "Could not find a tag value filter of the type: foo");
        assert_eq!(of("literal_or(a"), "Filter must end with a ')': literal_or(a");
        assert_eq!(of("wildcard(a)"), "Filter must contain an asterisk");
        assert_eq!(of("literal_or(|)"), "Filter must contain more than just a pipe");
        assert_eq!(of("regexp([)"), "Unclosed character class near index 0\n[\n^");
    }
}
