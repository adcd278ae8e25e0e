//! What a label's value must look like.
//!
//! A missing label is the empty value for every test, as in Prometheus. Each language lowers its own
//! patterns (RE2 expressions, globs, wildcards, literal lists) to these few tests; patterns are in the
//! syntax of the `regex` crate and always match the **whole** value, with `.` matching newlines.

use std::fmt;
use std::sync::Arc;

use base::limits::REGEX_BYTES_MAX;
use regex_automata::meta::Regex;

/// A compiled pattern that must match a whole value.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    regex: Arc<Regex>,
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression {pattern:?}: {reason}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What the compiler said, on one line.
    pub reason: String,
}

impl Pattern {
    /// Compiles `text` (regex-crate syntax, unanchored in itself). Refuses what compiles to more than
    /// [`REGEX_BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let error = |reason: String| PatternError { pattern: text.to_owned(), reason };
        let syntax = regex_automata::util::syntax::Config::new().dot_matches_new_line(true);
        let config = Regex::config().nfa_size_limit(Some(REGEX_BYTES_MAX));
        // Parsed alone first, so that `a)(b` cannot escape the group below.
        regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .build()
            .parse(text)
            .map_err(|e| error(e.to_string().lines().last().unwrap_or_default().to_owned()))?;
        let regex = Regex::builder()
            .configure(config)
            .syntax(syntax)
            .build(&format!(r"\A(?:{text})\z"))
            .map_err(|e| error(e.to_string()))?;
        Ok(Self { text: text.into(), regex: Arc::new(regex) })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True when the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// A test of one label's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueTest {
    /// Is this text; the empty text means "the label is missing".
    Equal(String),
    /// Is not this text; `NotEqual("")` means "the label is there".
    NotEqual(String),
    /// Matches the pattern.
    Regex(Pattern),
    /// Does not match the pattern.
    NotRegex(Pattern),
    /// Is one of these texts (sorted, unique).
    OneOf(Vec<String>),
}

/// A label and the test of its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// What its value must satisfy.
    pub test: ValueTest,
}

impl Matcher {
    /// A matcher from its parts.
    pub fn new(name: impl Into<String>, test: ValueTest) -> Self {
        Self { name: name.into(), test }
    }

    /// `name = value`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(name, ValueTest::Equal(value.into()))
    }

    /// True when `value` passes; a missing label is tested as `""`.
    pub fn matches(&self, value: &str) -> bool {
        match &self.test {
            ValueTest::Equal(text) => value == text,
            ValueTest::NotEqual(text) => value != text,
            ValueTest::Regex(pattern) => pattern.is_match(value),
            ValueTest::NotRegex(pattern) => !pattern.is_match(value),
            ValueTest::OneOf(texts) => texts.iter().any(|text| text == value),
        }
    }

    /// True when a series without the label passes.
    pub fn matches_missing(&self) -> bool {
        self.matches("")
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.test {
            ValueTest::Equal(text) => write!(f, "{name}={text:?}"),
            ValueTest::NotEqual(text) => write!(f, "{name}!={text:?}"),
            ValueTest::Regex(pattern) => write!(f, "{name}=~{pattern:?}"),
            ValueTest::NotRegex(pattern) => write!(f, "{name}!~{pattern:?}"),
            ValueTest::OneOf(texts) => write!(f, "{name} in {texts:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_values_across_newlines() {
        let pattern = Pattern::new("a.c|x").unwrap();
        assert!(pattern.is_match("a\nc") && pattern.is_match("x"));
        assert!(!pattern.is_match("abcd") && !pattern.is_match("xx"));
        assert!(Pattern::new("a)(b").is_err());
        assert!(Pattern::new("(a{1000}){1000}").is_err());
    }

    #[test]
    fn a_missing_label_is_the_empty_value() {
        assert!(Matcher::equal("a", "").matches_missing());
        let any = Matcher::new("a", ValueTest::Regex(Pattern::new(".*").unwrap()));
        assert!(any.matches_missing());
        assert!(!Matcher::new("a", ValueTest::NotEqual(String::new())).matches_missing());
    }
}
