//! What a label's value must look like.
//!
//! A missing label is the empty value for every test, as in Prometheus. Each language lowers its own
//! patterns (RE2 expressions, globs, wildcards, literal lists) to these few tests; patterns are in the
//! syntax of the `regex` crate and always match the **whole** value, with `.` matching newlines.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base::limits::REGEX_BYTES_MAX;
use regex_automata::meta::Regex;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// A pattern that must match a whole value.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    /// See [`Pattern::core`].
    core: Option<Arc<Hir>>,
    test: Test,
}

/// How a value is tested.
#[derive(Clone)]
enum Test {
    /// It is one of these; sorted and unique.
    Texts(Arc<[String]>),
    /// Compiled when it is first asked, which an index that has the pattern's own automaton never does.
    Regex(Arc<OnceLock<Regex>>),
}

/// Texts that a pattern may be a list of. Beyond, an automaton is cheaper.
const TEXTS_MAX: usize = 2048;
/// Text of a small list, in bytes.
const SMALL_TEXTS_BYTES: usize = 4096;
/// States of a pattern that is sure to stay below [`REGEX_BYTES_MAX`]: they take some dozens of bytes each.
const STATES_SURE: u64 = 4096;
/// States of a range of characters, at most: it falls into a dozen sequences of up to four bytes.
const STATES_OF_RANGE: u64 = 64;

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
    /// Reads `text` (regex-crate syntax, unanchored in itself). Refuses what compiles to more than
    /// [`REGEX_BYTES_MAX`]. A list of texts, however it is spelled, needs no compiling.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let error = |reason: String| PatternError { pattern: text.to_owned(), reason };
        // Parsed alone first, so that `a)(b` cannot escape the group around it.
        let parsed = regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .build()
            .parse(text)
            .map_err(|e| error(e.to_string().lines().last().unwrap_or_default().to_owned()))?;
        let core = without_anchors(&parsed).map(Arc::new);
        let test = match core.as_deref().and_then(texts) {
            Some(texts) => Test::Texts(texts.into()),
            None => Test::Regex(Arc::default()),
        };
        if let Test::Regex(regex) = &test
            && states_max(&parsed) > STATES_SURE
        {
            let compiled = compile(text).map_err(|e| error(e.to_string()))?;
            regex.get_or_init(|| compiled);
        }
        Ok(Self { text: text.into(), core, test })
    }

    /// What the pattern says beside that it is about whole values: no anchors at its ends, no groups
    /// around its parts. `None` when it looks around in any other way.
    pub fn core(&self) -> Option<&Hir> {
        self.core.as_deref()
    }

    /// The texts that the pattern is a list of, sorted and unique; `None` when it is no list.
    pub fn texts(&self) -> Option<&[String]> {
        match &self.test {
            Test::Texts(texts) => Some(texts),
            Test::Regex(_) => None,
        }
    }

    /// True for a pattern of a few kilobytes: one that is not compiled yet, or a list of few texts.
    pub fn is_small(&self) -> bool {
        match &self.test {
            Test::Texts(texts) => texts.iter().map(String::len).sum::<usize>() <= SMALL_TEXTS_BYTES,
            Test::Regex(regex) => regex.get().is_none(),
        }
    }

    /// The same pattern, which is compiled for itself: the other one stays as small as it is.
    pub fn apart(&self) -> Self {
        let test = match &self.test {
            Test::Regex(regex) if regex.get().is_none() => Test::Regex(Arc::default()),
            known => known.clone(),
        };
        Self { test, ..self.clone() }
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True when the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        match (&self.test, &self.core) {
            (Test::Texts(texts), _) => is_one_of(texts, value),
            // Whether a missing label passes is asked of every matcher.
            (Test::Regex(_), Some(core)) if value.is_empty() => {
                core.properties().minimum_len() == Some(0)
            }
            (Test::Regex(regex), _) => regex.get_or_init(|| self.compile_sure()).is_match(value),
        }
    }

    fn compile_sure(&self) -> Regex {
        let compiled = compile(&self.text);
        compiled.unwrap_or_else(|error| unreachable!("{self:?} is small: {error}"))
    }
}

/// Most states that the automaton of a pattern may have.
fn states_max(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() as u64 * STATES_OF_RANGE,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(0).max(repetition.min).saturating_add(1);
            states_max(&repetition.sub).saturating_add(2).saturating_mul(u64::from(copies))
        }
        HirKind::Capture(capture) => states_max(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(1, |sum: u64, part| sum.saturating_add(states_max(part)))
        }
    }
}

/// True when `value` is among the ascending `texts`.
fn is_one_of(texts: &[String], value: &str) -> bool {
    texts.binary_search_by(|text| text.as_str().cmp(value)).is_ok()
}

/// The automaton of a whole-value match.
fn compile(text: &str) -> Result<Regex, Box<regex_automata::meta::BuildError>> {
    let syntax = regex_automata::util::syntax::Config::new().dot_matches_new_line(true);
    let config = Regex::config().nfa_size_limit(Some(REGEX_BYTES_MAX));
    let mut builder = Regex::builder();
    let built = builder.configure(config).syntax(syntax).build(&format!(r"\A(?:{text})\z"));
    built.map_err(Box::new)
}

/// The texts that a pattern without anchors is a list of.
fn texts(core: &Hir) -> Option<Vec<String>> {
    let mut extractor = Extractor::new();
    extractor.limit_total(TEXTS_MAX).limit_class(16).limit_repeat(16).limit_literal_len(4096);
    let found = extractor.extract(core);
    if !found.is_exact() {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut texts =
        found.literals()?.iter().map(|one| text(one.as_bytes())).collect::<Option<Vec<_>>>()?;
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

/// The pattern without the anchors that a whole-value match implies; `None` when it looks around
/// in any other way, which the literal extractor would not see.
fn without_anchors(hir: &Hir) -> Option<Hir> {
    let mut hir = hir;
    while let HirKind::Capture(capture) = hir.kind() {
        hir = &capture.sub;
    }
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let is =
        |part: &Hir, wanted: Look| matches!(part.kind(), HirKind::Look(look) if *look == wanted);
    let parts = match parts {
        [first, rest @ ..] if is(first, Look::Start) => rest,
        _ => parts,
    };
    let parts = match parts {
        [rest @ .., last] if is(last, Look::End) => rest,
        _ => parts,
    };
    let rest = Hir::concat(parts.iter().map(unwrapped).collect());
    rest.properties().look_set().is_empty().then_some(rest)
}

/// A part of a pattern without the capture group around it.
pub fn unwrapped(part: &Hir) -> Hir {
    match part.kind() {
        HirKind::Capture(capture) => unwrapped(&capture.sub),
        _ => part.clone(),
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
            ValueTest::OneOf(texts) => is_one_of(texts, value),
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
    fn lists_of_texts_are_not_compiled() {
        let texts = |text: &str| Pattern::new(text).unwrap().texts().map(|texts| texts.join(" "));
        for (pattern, expected) in [
            ("web", "web"),
            ("^web$", "web"),
            ("a|b|", " a b"),
            ("(host-)(1|2|30)", "host-1 host-2 host-30"),
            ("cpu_[ab]", "cpu_a cpu_b"),
            ("(?i)ab", "AB Ab aB ab"),
            ("", ""),
        ] {
            assert_eq!(texts(pattern).as_deref(), Some(expected), "{pattern}");
            let pattern = Pattern::new(pattern).unwrap();
            let compiled = compile(pattern.as_str()).unwrap();
            for value in ["", "web", "a", "b", "host-2", "host-3", "cpu_a", "cpu_c", "aB", "web "] {
                assert_eq!(
                    pattern.is_match(value),
                    compiled.is_match(value),
                    "{pattern:?} {value:?}"
                );
            }
        }
        for pattern in [".*", "a.c", r"web\b", "a{2000}", "[a-z]{3}", "^a|b$"] {
            assert_eq!(texts(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn patterns_apart_are_compiled_apart() {
        let pattern = Pattern::new("a.*").unwrap();
        let apart = pattern.apart();
        assert!(apart.is_match("ab") && !apart.is_small() && pattern.is_small());
        assert!(apart.apart().is_match("ab") && apart == pattern);
        assert!(Pattern::new("a|b").unwrap().is_small());
        assert!(!Pattern::new("(?i)abcdefghij").unwrap().is_small());
    }

    #[test]
    fn patterns_that_may_be_large_are_compiled_at_once() {
        let compiled = |text: &str| match Pattern::new(text).unwrap().test {
            Test::Regex(regex) => regex.get().is_some(),
            Test::Texts(_) => panic!("{text} is no list"),
        };
        assert!(!compiled(".*") && !compiled("web-[0-9]+|.*x") && !compiled("(a.{2}){3}.+"));
        assert!(compiled("(.{20}){20}") && compiled(r"\w+"));
        for (text, is_missing) in
            [(".*", true), (".+", false), ("(a*|b)", true), (r"\b|a.*", false)]
        {
            assert_eq!(Pattern::new(text).unwrap().is_match(""), is_missing, "{text}");
            assert_eq!(compile(text).unwrap().is_match(""), is_missing, "{text}");
        }
    }

    #[test]
    fn a_missing_label_is_the_empty_value() {
        assert!(Matcher::equal("a", "").matches_missing());
        let any = Matcher::new("a", ValueTest::Regex(Pattern::new(".*").unwrap()));
        assert!(any.matches_missing());
        assert!(!Matcher::new("a", ValueTest::NotEqual(String::new())).matches_missing());
    }
}
