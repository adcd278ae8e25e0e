//! What a matcher asks of a dictionary.
//!
//! A pattern is read once: when it is a list of literals it becomes point look-ups, when it is a
//! literal and `.*` it becomes a range, and `.*` alone asks nothing. Everything else runs as an
//! automaton; alternatives that are found in different ways are looked for one after another.

use model::matcher::{Matcher, Pattern, ValueTest};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind};

use crate::automaton::{Automaton, Facts, any_loop};
use crate::required::Required;

/// Bytes of the prefix that all values of a pattern share; the rest is the automaton's.
const PREFIX_BYTES_MAX: usize = 4096;
/// Alternatives that are looked at one by one; an automaton takes any number.
const ALTERNATIVES_MAX: usize = 32;

/// A set of non-empty values.
#[derive(Debug)]
pub(crate) enum Values {
    /// No value.
    Nothing,
    /// Every value.
    Everything,
    /// These, sorted and unique.
    Literals(Vec<String>),
    /// Those that start with the text; `longer` leaves out the text itself.
    Prefix { text: String, longer: bool },
    /// Those that match.
    Matching(Box<Automaton>),
    /// Those of some simpler sets.
    AnyOf(Vec<Values>),
}

/// A matcher in normal form: the series whose value is in `values` (or is not, when `negated`), and
/// the series without the label when `missing`.
#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) name: String,
    pub(crate) values: Values,
    pub(crate) negated: bool,
    pub(crate) missing: bool,
}

impl Clause {
    /// Brings a matcher into normal form.
    pub(crate) fn new(matcher: &Matcher) -> Self {
        let missing = matcher.matches_missing();
        let (values, negated) = match &matcher.test {
            ValueTest::Equal(text) => (literals([text.clone()]), false),
            ValueTest::NotEqual(text) => (literals([text.clone()]), true),
            ValueTest::OneOf(texts) => (literals(texts.iter().cloned()), false),
            ValueTest::Regex(pattern) => (analyse(pattern), false),
            ValueTest::NotRegex(pattern) => (analyse(pattern), true),
        };
        Self { name: matcher.name.clone(), values, negated, missing }
    }

    /// True when the clause passes every series.
    pub(crate) fn is_trivial(&self) -> bool {
        let all = if self.negated { Values::is_nothing } else { Values::is_everything };
        self.missing && all(&self.values)
    }

    /// True when a series with this value passes; the empty value is a missing label.
    pub(crate) fn passes(&mut self, value: &[u8]) -> bool {
        if value.is_empty() { self.missing } else { self.values.contains(value) != self.negated }
    }
}

impl Values {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }

    /// True when the non-empty `value` is in the set.
    pub(crate) fn contains(&mut self, value: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Literals(texts) => {
                texts.binary_search_by(|text| text.as_bytes().cmp(value)).is_ok()
            }
            Self::Prefix { text, longer } => {
                value.starts_with(text.as_bytes()) && !(*longer && value.len() == text.len())
            }
            Self::Matching(automaton) => automaton.may_match(value) && automaton.is_match(value),
            Self::AnyOf(parts) => parts.iter_mut().any(|part| part.contains(value)),
        }
    }
}

fn literals(texts: impl IntoIterator<Item = String>) -> Values {
    let mut texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() { Values::Nothing } else { Values::Literals(texts) }
}

/// Reads a pattern and picks the cheapest way to find its values.
fn analyse(pattern: &Pattern) -> Values {
    if let Some(texts) = pattern.texts() {
        return literals(texts.iter().cloned());
    }
    let Some(core) = pattern.core() else {
        return Values::Matching(Box::new(Automaton::of_text(pattern)));
    };
    match core.kind() {
        HirKind::Alternation(parts) if parts.len() <= ALTERNATIVES_MAX => {
            any_of(pattern, core, parts)
        }
        _ => of_core(pattern, core),
    }
}

/// The values of alternatives: those of simple ones, those that must contain some text, and the rest.
fn any_of(pattern: &Pattern, core: &Hir, alternatives: &[Hir]) -> Values {
    let mut simple = Vec::new();
    let (mut containing, mut others) = (Vec::new(), Vec::new());
    for alternative in alternatives {
        match of_core(pattern, alternative) {
            Values::Everything => return Values::Everything,
            Values::Nothing => {}
            Values::Matching(automaton) => {
                let facts = automaton.facts();
                let contains = facts.is_open && !facts.required.is_empty();
                let group = if contains { &mut containing } else { &mut others };
                group.push(alternative.clone());
            }
            values => simple.push(values),
        }
    }
    let groups = [containing, others].into_iter().filter(|group| !group.is_empty());
    let mut parts: Vec<Values> =
        groups.map(|group| of_core(pattern, &Hir::alternation(group))).collect();
    if simple.is_empty() && parts.len() == 1 {
        return of_core(pattern, core);
    }
    parts.extend(simple);
    Values::AnyOf(parts)
}

/// The values of a pattern, or of some of its alternatives.
fn of_core(pattern: &Pattern, core: &Hir) -> Values {
    let parts: &[Hir] = match core.kind() {
        HirKind::Concat(parts) => parts,
        _ => std::slice::from_ref(core),
    };
    if let [only] = parts
        && any_loop(only).is_some()
    {
        return Values::Everything;
    }
    if let [literal, rest] = parts
        && let (HirKind::Literal(literal), Some(least)) = (literal.kind(), any_loop(rest))
        && let Ok(text) = std::str::from_utf8(&literal.0)
    {
        return Values::Prefix { text: text.to_owned(), longer: least > 0 };
    }
    let sequence = Extractor::new().limit_literal_len(PREFIX_BYTES_MAX).extract(core);
    if sequence.is_exact()
        && let Some(found) = sequence.literals()
        && let Ok(texts) = found
            .iter()
            .map(|text| String::from_utf8(text.as_bytes().to_vec()))
            .collect::<Result<Vec<_>, _>>()
    {
        return literals(texts);
    }
    let prefix = sequence.longest_common_prefix().unwrap_or_default().to_vec();
    let required = Required::of(core, &prefix);
    let facts = Facts { prefix, is_open: opens(core), is_open_ended: ends_open(core), required };
    Values::Matching(Box::new(Automaton::new(pattern, core.clone(), facts)))
}

/// True where a match may begin with anything.
fn opens(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Concat(parts) => parts.first().is_some_and(opens),
        HirKind::Alternation(parts) => parts.iter().any(opens),
        HirKind::Capture(capture) => opens(&capture.sub),
        _ => any_loop(hir).is_some(),
    }
}

/// True where a match may end with anything.
fn ends_open(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Concat(parts) => parts.last().is_some_and(ends_open),
        HirKind::Alternation(parts) => parts.iter().any(ends_open),
        HirKind::Capture(capture) => ends_open(&capture.sub),
        _ => any_loop(hir).is_some(),
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> String {
        shown(&analyse(&Pattern::new(text).unwrap()))
    }

    fn shown(values: &Values) -> String {
        match values {
            Values::Nothing => "nothing".into(),
            Values::Everything => "everything".into(),
            Values::Literals(texts) => texts.join(" "),
            Values::Prefix { text, longer } => format!("{text}{}", if *longer { '+' } else { '*' }),
            Values::Matching(automaton) => {
                let facts = automaton.facts();
                let prefix = String::from_utf8_lossy(&facts.prefix).into_owned();
                format!("~{prefix}{}", if facts.is_open { " open" } else { "" })
            }
            Values::AnyOf(parts) => parts.iter().map(shown).collect::<Vec<_>>().join(" | "),
        }
    }

    #[test]
    fn patterns_become_the_cheapest_set() {
        for (pattern, expected) in [
            (".*", "everything"),
            (".+", "everything"),
            ("^.*$", "everything"),
            ("(.*)", "everything"),
            ("(?-s).*", "~"),
            ("", "nothing"),
            ("web", "web"),
            ("^web$", "web"),
            ("a|b|", "a b"),
            ("(host-)(1|2|30)", "host-1 host-2 host-30"),
            ("cpu_[ab]", "cpu_a cpu_b"),
            ("(?i)ab", "AB Ab aB ab"),
            ("web.*", "web*"),
            ("web(.*)", "web*"),
            ("web.+", "web+"),
            ("web-[0-9]+", "~web-"),
            ("(web-1|web-2).*", "~web-"),
            (".*77", "~ open"),
            (r"web\b.*", "~ open"),
            ("a{2000}", "~"),
            ("a.*|.*foo.*", "~ open | a*"),
            ("a.*|b.+|x|[a-c]y", "a* | b+ | x | ay by cy"),
            ("a.*|.*foo|.+bar|x[0-9]+", "~ open | ~x | a*"),
            ("x[0-9]+|y[0-9]+", "~"),
            ("a|.*", "everything"),
        ] {
            let found = plan(pattern);
            match expected {
                "~" => assert!(found.starts_with('~'), "{pattern}: {found}"),
                _ => assert_eq!(found, expected, "{pattern}"),
            }
        }
    }

    #[test]
    fn an_automaton_agrees_with_its_pattern() {
        let values = [
            "a",
            "ab",
            "abc",
            "web-1",
            "web-12",
            "é",
            "aé77",
            "x\ny77",
            "77",
            "web",
            "",
            "éé",
            "aé",
            "éa",
            "x€",
            "\u{7f}\u{80}",
            "€😀",
            "a/b",
            "a/",
            "é/é",
            "a\u{10ffff}",
        ];
        for text in [
            ".*77",
            "a|ab|abc.?",
            "web-[0-9]+",
            r"\w+",
            r"(?-u:\w)+",
            r"web\b.*",
            "a{900}",
            ".",
            "..",
            ".+.+",
            "(.+){2}",
            "(.?a)*.",
            "[^a].*",
            "[^/]+/[^/]*",
            "a[^a-z]",
            "[é-\u{10ffff}]+",
            "(.*é|a.).*",
            r"[^\x7f]{2}",
            "[^é].*",
            "(?:.|a{3})+b?",
            ".+.*.+",
            "(.+|é)(.+|a)",
            ".*.+é.*.+",
            ".+(?:é|a)+",
            "(?i).*É",
            "a.*|.*é.*",
            "a|.*7|[é€].+",
        ] {
            let pattern = Pattern::new(text).unwrap();
            let mut values_of = analyse(&pattern);
            for value in values {
                let found = values_of.contains(value.as_bytes());
                assert_eq!(found, pattern.is_match(value), "{text} on {value}");
            }
        }
    }
}
