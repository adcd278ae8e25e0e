//! Patterns as automata.
//!
//! A pattern runs as a lazily built DFA that is stepped byte by byte, so that a dictionary can share the
//! work of common prefixes, leave out whole branches and take others whole. When the DFA cannot be
//! built, or outgrows its cache, the pattern's own matcher decides each value; the answers are the same.

mod compile;
mod dfa;

use model::matcher::Pattern;
use regex_syntax::hir::Hir;

pub(crate) use self::compile::any_loop;
pub(crate) use self::dfa::{GaveUp, LazyDfa, State, Step};
use crate::required::Required;

/// From which end values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the first byte on.
    Forward,
    /// From the last byte on: where a pattern begins with `.*`, few bytes tell.
    Backward,
}

/// What is known of a pattern beside its text.
#[derive(Debug)]
pub(crate) struct Facts {
    /// What every matching value starts with.
    pub(crate) prefix: Vec<u8>,
    /// The pattern begins with `.*`, so that a value's first bytes rule nothing out.
    pub(crate) is_open: bool,
    /// The pattern ends with `.*`.
    pub(crate) is_open_ended: bool,
    /// Sets of texts that every matching value contains one of.
    pub(crate) required: Vec<Required>,
}

/// A pattern, or some of its alternatives, that is run over values byte by byte.
#[derive(Debug)]
pub(crate) struct Automaton {
    /// Decides where there is no DFA. That it matches more than these alternatives does no harm, since it is
    /// the pattern's matches that are looked for.
    pattern: Pattern,
    /// The alternatives; `None` for a pattern that looks around.
    core: Option<Hir>,
    facts: Facts,
    dfa: Dfa,
}

#[derive(Debug)]
enum Dfa {
    Unbuilt,
    Built(Box<LazyDfa>),
    GaveUp,
}

impl Automaton {
    /// The alternatives `core` of a pattern. Nothing is compiled before it is needed.
    pub(crate) fn new(pattern: &Pattern, core: Hir, facts: Facts) -> Self {
        Self { pattern: pattern.clone(), core: Some(core), facts, dfa: Dfa::Unbuilt }
    }

    /// A pattern that looks around.
    pub(crate) fn of_text(pattern: &Pattern) -> Self {
        let facts =
            Facts { prefix: Vec::new(), is_open: true, is_open_ended: true, required: Vec::new() };
        Self { pattern: pattern.clone(), core: None, facts, dfa: Dfa::Unbuilt }
    }

    /// What is known of the pattern.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What every matching value contains, as far as that is known. It is taken out, since whoever
    /// looks for it steps the automaton meanwhile.
    pub(crate) fn take_required(&mut self) -> Vec<Required> {
        std::mem::take(&mut self.facts.required)
    }

    /// Puts back what was taken out.
    pub(crate) fn put_required(&mut self, required: Vec<Required>) {
        self.facts.required = required;
    }

    /// The way values are best read.
    pub(crate) fn direction(&self) -> Direction {
        match self.facts.is_open && !self.facts.is_open_ended && self.core.is_some() {
            true => Direction::Backward,
            false => Direction::Forward,
        }
    }

    /// The DFA that reads values in [`Automaton::direction`].
    pub(crate) fn dfa(&mut self) -> Result<&mut LazyDfa, GaveUp> {
        if matches!(self.dfa, Dfa::Unbuilt) {
            let is_reverse = self.direction() == Direction::Backward;
            let nfa = match &self.core {
                Some(core) => compile::of_core(core, is_reverse),
                None => compile::of_text(&self.pattern),
            };
            let built = nfa.and_then(LazyDfa::new);
            self.dfa = built.map_or(Dfa::GaveUp, |dfa| Dfa::Built(Box::new(dfa)));
        }
        match &mut self.dfa {
            Dfa::Built(dfa) => Ok(dfa),
            _ => Err(GaveUp),
        }
    }

    /// False when `value` lacks what every match contains, which takes less time to see than to run.
    pub(crate) fn may_match(&self, value: &[u8]) -> bool {
        let required = self.facts.required.first().filter(|required| required.is_one());
        required.is_none_or(|required| required.find(value, 0).is_some())
    }

    /// True when the whole of `value` matches.
    pub(crate) fn is_match(&mut self, value: &[u8]) -> bool {
        let direction = self.direction();
        let matches = match self.dfa() {
            Ok(dfa) => run(dfa, direction, value),
            Err(GaveUp) => Err(GaveUp),
        };
        matches.unwrap_or_else(|GaveUp| {
            self.dfa = Dfa::GaveUp;
            std::str::from_utf8(value).is_ok_and(|text| self.pattern.is_match(text))
        })
    }
}

/// Reads a whole value.
#[inline]
pub(crate) fn run(dfa: &mut LazyDfa, direction: Direction, value: &[u8]) -> Result<bool, GaveUp> {
    match direction {
        Direction::Forward => run_bytes(dfa, value.iter()),
        Direction::Backward => run_bytes(dfa, value.iter().rev()),
    }
}

#[inline]
fn run_bytes<'v>(dfa: &mut LazyDfa, bytes: impl Iterator<Item = &'v u8>) -> Result<bool, GaveUp> {
    let mut state = State::START;
    for byte in bytes {
        match dfa.step(state, *byte)? {
            Step::Next(next) => state = next,
            Step::All => return Ok(true),
            Step::Dead => return Ok(false),
        }
    }
    dfa.accepts(state)
}
