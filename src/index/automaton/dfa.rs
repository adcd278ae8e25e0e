//! A lazily built DFA behind a flat table of the steps taken so far: the table is several times faster to
//! step through than the DFA's own cache, and a million values take few different steps.

use hashbrown::{HashMap, HashSet};
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

/// Memory of one automaton while a query runs.
const CACHE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// States of the flat table; 512 bytes each.
const STATES_MAX: usize = 8 * 1024;
/// States behind one that all must accept for everything behind it to match.
const BEHIND_MAX: usize = 16;
/// Steps that are taken ahead in all to find out behind which states everything matches.
const AHEAD_MAX: usize = 16 * 1024;

const UNKNOWN: u16 = u16::MAX;
const DEAD: u16 = u16::MAX - 1;
const ALL: u16 = u16::MAX - 2;

/// A state of a [`LazyDfa`], valid as long as that has not given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u16);

impl State {
    /// Before the first byte.
    pub(crate) const START: Self = Self(0);
}

/// Where a byte leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To another state.
    Next(State),
    /// To where whatever follows matches.
    All,
    /// To where nothing matches.
    Dead,
}

/// A step that cannot be taken: the DFA ran out of cache, or met what only the pattern's own matcher
/// understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaveUp;

/// States stay valid because the cache is never cleared: a pattern that needs more gives up instead.
#[derive(Debug)]
pub(crate) struct LazyDfa {
    dfa: DFA,
    cache: Cache,
    /// By state; 256 entries each: [`UNKNOWN`], [`DEAD`], [`ALL`] or the next state.
    steps: Vec<u16>,
    /// By state: whether a value may end here, once that was asked.
    accepts: Vec<Option<bool>>,
    ids: Vec<LazyStateID>,
    numbers: HashMap<LazyStateID, u16>,
    /// States behind which everything matches.
    universal: HashSet<LazyStateID>,
    /// Steps that may still be taken ahead.
    ahead: usize,
}

impl LazyDfa {
    /// The DFA with its start as state 0; `None` when it cannot be built.
    pub(super) fn new(nfa: thompson::NFA) -> Option<Self> {
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .unicode_word_boundary(true)
            .cache_capacity(CACHE_BYTES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let mut cache = dfa.create_cache();
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let start = dfa.start_state(&mut cache, &anchored).ok()?;
        let mut lazy = Self {
            dfa,
            cache,
            steps: Vec::new(),
            accepts: Vec::new(),
            ids: Vec::new(),
            numbers: HashMap::new(),
            universal: HashSet::new(),
            ahead: AHEAD_MAX,
        };
        lazy.number(start)?;
        Some(lazy)
    }

    /// Where one more byte leads.
    #[inline]
    pub(crate) fn step(&mut self, at: State, byte: u8) -> Result<Step, GaveUp> {
        let known = self.steps.get(usize::from(at.0) * 256 + usize::from(byte)).copied();
        match known.unwrap_or(UNKNOWN) {
            number if number < ALL => Ok(Step::Next(State(number))),
            ALL => Ok(Step::All),
            DEAD => Ok(Step::Dead),
            _ => self.explore(at, byte).ok_or(GaveUp),
        }
    }

    /// True when a value that ends in this state matches.
    #[inline]
    pub(crate) fn accepts(&mut self, at: State) -> Result<bool, GaveUp> {
        let known = self.accepts.get(usize::from(at.0)).copied().flatten();
        known.or_else(|| self.ask(at)).ok_or(GaveUp)
    }

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
    fn explore(&mut self, at: State, byte: u8) -> Option<Step> {
        let id = *self.ids.get(usize::from(at.0))?;
        let next = self.dfa.next_state(&mut self.cache, id, byte).ok()?;
        let (number, step) = match next {
            next if next.is_quit() => return None,
            next if next.is_dead() => (DEAD, Step::Dead),
            next if self.is_universal(next) => (ALL, Step::All),
            next => {
                let number = self.number(next)?;
                (number, Step::Next(State(number)))
            }
        };
        *self.steps.get_mut(usize::from(at.0) * 256 + usize::from(byte))? = number;
        Some(step)
    }

    #[cold]
    fn ask(&mut self, at: State) -> Option<bool> {
        let id = *self.ids.get(usize::from(at.0))?;
        let accepts = self.may_end(id)?;
        *self.accepts.get_mut(usize::from(at.0))? = Some(accepts);
        Some(accepts)
    }

    fn may_end(&mut self, id: LazyStateID) -> Option<bool> {
        let end = self.dfa.next_eoi_state(&mut self.cache, id).ok()?;
        (!end.is_quit()).then_some(end.is_match())
    }

    /// True when the state and all that can come behind it accept, as far as a few steps tell.
    fn is_universal(&mut self, id: LazyStateID) -> bool {
        if self.universal.contains(&id) {
            return true;
        }
        let is_universal = self.all_behind(id);
        if let Some(behind) = is_universal {
            self.universal.extend(behind);
            return true;
        }
        false
    }

    /// The state and all that can come behind it, if these are few and all accept.
    fn all_behind(&mut self, id: LazyStateID) -> Option<Vec<LazyStateID>> {
        let bytes: Vec<u8> = self
            .dfa
            .byte_classes()
            .representatives(0..=255)
            .filter_map(|unit| unit.as_u8())
            .collect();
        let mut behind = vec![id];
        let mut next = 0;
        while let Some(id) = behind.get(next).copied() {
            next += 1;
            self.ahead = self.ahead.checked_sub(1)?;
            if !self.may_end(id)? {
                return None;
            }
            for byte in &bytes {
                self.ahead = self.ahead.checked_sub(1)?;
                let state = self.dfa.next_state(&mut self.cache, id, *byte).ok()?;
                if state.is_dead() || state.is_quit() {
                    return None;
                }
                if !behind.contains(&state) {
                    behind.push(state);
                }
                if behind.len() > BEHIND_MAX {
                    return None;
                }
            }
        }
        Some(behind)
    }
}
