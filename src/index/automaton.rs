//! What a matcher asks of a dictionary, and patterns as automata.
//!
//! A pattern is read once: when it is a list of literals it becomes point look-ups, when it is a
//! literal and `.*` it becomes a range, and `.*` alone asks nothing. Everything else runs as a lazily
//! built DFA that is stepped byte by byte, so that a dictionary can share the work of common
//! prefixes and leave out whole branches. When the DFA cannot be built, or outgrows its cache, the
//! pattern's own matcher decides each value; the answers are the same.

use hashbrown::HashMap;
use model::matcher::{Matcher, Pattern, ValueTest, unwrapped};
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, Hir, HirKind, Look, Repetition,
};

use crate::required::Required;

/// Bytes of the prefix that all values of a pattern share; the rest is the automaton's.
const PREFIX_BYTES_MAX: usize = 4096;
/// Memory of one pattern's automaton while a query runs.
const CACHE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The first character beyond ASCII.
const FIRST_WIDE: char = '\u{80}';

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
            Self::Matching(automaton) => automaton.is_match(value),
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
    let Some(hir) = pattern.core() else {
        return Values::Matching(Box::new(Automaton::new(pattern, Vec::new(), true, Vec::new())));
    };
    let parts: &[Hir] = match hir.kind() {
        HirKind::Concat(parts) => parts,
        _ => std::slice::from_ref(hir),
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
    let sequence = Extractor::new().limit_literal_len(PREFIX_BYTES_MAX).extract(hir);
    let prefix = sequence.longest_common_prefix().unwrap_or_default().to_vec();
    let open = parts.first().is_some_and(|first| any_loop(first).is_some());
    let required = Required::of(parts, &prefix);
    Values::Matching(Box::new(Automaton::new(pattern, prefix, open, required)))
}

/// For `.*` and `.+` the least number of characters.
fn any_loop(hir: &Hir) -> Option<u32> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    let HirKind::Class(Class::Unicode(class)) = unwrapped(&repetition.sub).into_kind() else {
        return None;
    };
    let any = matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX);
    (any && repetition.max.is_none() && repetition.min <= 1).then_some(repetition.min)
}

/// A pattern that is run over values byte by byte.
#[derive(Debug)]
pub(crate) struct Automaton {
    pattern: Pattern,
    prefix: Vec<u8>,
    open: bool,
    required: Vec<Required>,
    dfa: Option<Box<LazyDfa>>,
}

/// A state of an [`Automaton`], valid as long as it has not given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u16);

/// A lazily built DFA behind a flat table of the steps taken so far: the table is several times
/// faster to step through than the DFA's own cache, and a million values take few different steps.
#[derive(Debug)]
struct LazyDfa {
    dfa: DFA,
    cache: Cache,
    /// By state; 256 entries each: [`UNKNOWN`], [`DEAD`] or the next state.
    steps: Vec<u16>,
    /// By state: whether a value may end here, once that was asked.
    accepts: Vec<Option<bool>>,
    ids: Vec<LazyStateID>,
    numbers: HashMap<LazyStateID, u16>,
}

const UNKNOWN: u16 = u16::MAX;
const DEAD: u16 = u16::MAX - 1;
/// States of the flat table; 512 bytes each.
const STATES_MAX: usize = 8 * 1024;

/// A step that the automaton cannot take: it ran out of cache. The caller asks
/// [`Automaton::is_match`] about whole values from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaveUp;

impl LazyDfa {
    /// The number of a state; `None` when there are too many.
    fn number(&mut self, id: LazyStateID) -> Option<u16> {
        if let Some(number) = self.numbers.get(&id) {
            return Some(*number);
        }
        let number = self.ids.len();
        if number >= STATES_MAX {
            return None;
        }
        self.ids.push(id);
        self.accepts.push(None);
        self.steps.resize(self.steps.len() + 256, UNKNOWN);
        self.numbers.insert(id, number as u16);
        Some(number as u16)
    }

    /// Takes a step for the first time.
    #[cold]
    fn explore(&mut self, at: State, byte: u8) -> Option<u16> {
        let id = *self.ids.get(usize::from(at.0))?;
        let next = self.dfa.next_state(&mut self.cache, id, byte).ok()?;
        let number = match next {
            next if next.is_quit() => return None,
            next if next.is_dead() => DEAD,
            next => self.number(next)?,
        };
        *self.steps.get_mut(usize::from(at.0) * 256 + usize::from(byte))? = number;
        Some(number)
    }

    #[cold]
    fn ask(&mut self, at: State) -> Option<bool> {
        let id = *self.ids.get(usize::from(at.0))?;
        let end = self.dfa.next_eoi_state(&mut self.cache, id).ok()?;
        if end.is_quit() {
            return None;
        }
        *self.accepts.get_mut(usize::from(at.0))? = Some(end.is_match());
        Some(end.is_match())
    }
}

impl Automaton {
    fn new(pattern: &Pattern, prefix: Vec<u8>, open: bool, required: Vec<Required>) -> Self {
        let dfa = build(pattern).map(Box::new);
        Self { pattern: pattern.clone(), prefix, open, required, dfa }
    }

    /// True where something is known that every matching value contains.
    pub(crate) fn requires(&self) -> bool {
        !self.required.is_empty()
    }

    /// What every matching value contains, as far as that is known. It is taken out, since whoever
    /// looks for it steps the automaton meanwhile.
    pub(crate) fn take_required(&mut self) -> Vec<Required> {
        std::mem::take(&mut self.required)
    }

    /// Puts back what was taken out.
    pub(crate) fn put_required(&mut self, required: Vec<Required>) {
        self.required = required;
    }

    /// What every matching value starts with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// True when the pattern begins with `.*`, so that no branch can be left out early.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The state before the first byte.
    pub(crate) fn start(&self) -> Result<State, GaveUp> {
        if self.dfa.is_some() { Ok(State(0)) } else { Err(GaveUp) }
    }

    /// The state after one more byte; `None` when no continuation can match.
    #[inline]
    pub(crate) fn step(&mut self, at: State, byte: u8) -> Result<Option<State>, GaveUp> {
        let Some(dfa) = self.dfa.as_deref_mut() else { return Err(GaveUp) };
        let known = dfa.steps.get(usize::from(at.0) * 256 + usize::from(byte)).copied();
        let next = match known.unwrap_or(UNKNOWN) {
            UNKNOWN => dfa.explore(at, byte),
            known => Some(known),
        };
        match next {
            Some(DEAD) => Ok(None),
            Some(number) => Ok(Some(State(number))),
            None => self.give_up(),
        }
    }

    /// True when a value that ends in this state matches.
    #[inline]
    pub(crate) fn accepts(&mut self, at: State) -> Result<bool, GaveUp> {
        let Some(dfa) = self.dfa.as_deref_mut() else { return Err(GaveUp) };
        let known = dfa.accepts.get(usize::from(at.0)).copied().flatten();
        match known.or_else(|| dfa.ask(at)) {
            Some(accepts) => Ok(accepts),
            None => self.give_up(),
        }
    }

    #[cold]
    fn give_up<T>(&mut self) -> Result<T, GaveUp> {
        self.dfa = None;
        Err(GaveUp)
    }

    /// True when the whole of `value` matches.
    pub(crate) fn is_match(&mut self, value: &[u8]) -> bool {
        match self.run(value) {
            Ok(matches) => matches,
            Err(GaveUp) => std::str::from_utf8(value).is_ok_and(|text| self.pattern.is_match(text)),
        }
    }

    fn run(&mut self, value: &[u8]) -> Result<bool, GaveUp> {
        let mut state = self.start()?;
        for byte in value {
            match self.step(state, *byte)? {
                Some(next) => state = next,
                None => return Ok(false),
            }
        }
        self.accepts(state)
    }
}

/// The DFA with its start as state 0. States stay valid because the cache is never cleared: a
/// pattern that needs more gives up instead.
fn build(pattern: &Pattern) -> Option<LazyDfa> {
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .unicode_word_boundary(true)
        .cache_capacity(CACHE_BYTES_MAX)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0));
    let dfa = DFA::builder().configure(config).build_from_nfa(nfa(pattern)?).ok()?;
    let mut cache = dfa.create_cache();
    let anchored = start::Config::new().anchored(Anchored::Yes);
    let start = dfa.start_state(&mut cache, &anchored).ok()?;
    let mut lazy = LazyDfa {
        dfa,
        cache,
        steps: Vec::new(),
        accepts: Vec::new(),
        ids: Vec::new(),
        numbers: HashMap::new(),
    };
    lazy.number(start)?;
    Some(lazy)
}

/// The states of a whole-value match.
fn nfa(pattern: &Pattern) -> Option<thompson::NFA> {
    let config = thompson::Config::new()
        .nfa_size_limit(Some(base::limits::REGEX_BYTES_MAX))
        .which_captures(thompson::WhichCaptures::None);
    let mut compiler = thompson::Compiler::new();
    compiler.configure(config);
    match pattern.core() {
        Some(core) => {
            let whole = vec![Hir::look(Look::Start), of_bytes(core), Hir::look(Look::End)];
            compiler.build_from_hir(&Hir::concat(whole)).ok()
        }
        None => {
            let syntax = regex_automata::util::syntax::Config::new().dot_matches_new_line(true);
            compiler.syntax(syntax).build(&format!(r"\A(?:{})\z", pattern.as_str())).ok()
        }
    }
}

/// The same pattern for values that are UTF-8, with bytes instead of characters where a class has all
/// characters beyond ASCII, as `.` and `[^/]` have. The compiler spells such a class out as sequences of bytes
/// that nothing else begins with, by a table that takes longer to clear than most patterns to compile. Here it
/// is the first byte of a character and whatever continues that: all parts of a pattern begin with a first byte,
/// so none can match within a character.
fn of_bytes(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            wide_class(class).unwrap_or_else(|| Hir::class(Class::Unicode(class.clone())))
        }
        HirKind::Repetition(repetition) => {
            Hir::repetition(repetition.with(of_bytes(&repetition.sub)))
        }
        HirKind::Capture(capture) => of_bytes(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(of_bytes).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(of_bytes).collect()),
        _ => hir.clone(),
    }
}

/// A class that has all characters beyond ASCII, by bytes.
fn wide_class(class: &ClassUnicode) -> Option<Hir> {
    let last = class.ranges().last()?;
    if last.start() > FIRST_WIDE || last.end() < char::MAX {
        return None;
    }
    let narrow = class.ranges().iter().filter(|range| range.start() < FIRST_WIDE);
    let narrow = narrow.map(|range| {
        ClassBytesRange::new(range.start() as u8, (range.end() as u32).min(0x7f) as u8)
    });
    let firsts = narrow.chain([ClassBytesRange::new(0xc0, 0xff)]);
    let continued = ClassBytes::new([ClassBytesRange::new(0x80, 0xbf)]);
    let continued = Box::new(Hir::class(Class::Bytes(continued)));
    let continued = Repetition { min: 0, max: None, greedy: true, sub: continued };
    let first = Hir::class(Class::Bytes(ClassBytes::new(firsts)));
    Some(Hir::concat(vec![first, Hir::repetition(continued)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> String {
        match analyse(&Pattern::new(text).unwrap()) {
            Values::Nothing => "nothing".into(),
            Values::Everything => "everything".into(),
            Values::Literals(texts) => texts.join(" "),
            Values::Prefix { text, longer } => format!("{text}{}", if longer { '+' } else { '*' }),
            Values::Matching(automaton) => {
                let prefix = String::from_utf8_lossy(automaton.prefix()).into_owned();
                format!("~{prefix}{}", if automaton.is_open() { " open" } else { "" })
            }
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
