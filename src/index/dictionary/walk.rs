//! Goes down the FST with an automaton: branches where nothing can match are left out, and those where
//! everything does are taken whole, since all terms below a node are a range of ordinals. What remains
//! is small ranges, or large ones where a pattern that begins with `.*` decides nothing: these are the
//! table's.

use std::ops::Range;

use super::{Dictionary, key};
use crate::automaton::{Automaton, Direction, GaveUp, LazyDfa, State, Step};
use crate::error::IndexError;
use crate::runs::Runs;

/// Ranges of up to so many terms are scanned: that takes as long as to look at some nodes.
const RANGE_MIN: usize = 64;
/// The same for a pattern of which no branch can be left out.
const OPEN_RANGE_MIN: usize = 4096;

/// What a walk knows of the terms of a range.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// They match.
    pub(super) found: Runs,
    /// They have to be looked at.
    pub(super) left: Runs,
}

/// A part of the FST on the way down.
struct Branch {
    range: Range<u32>,
    /// Where it goes on, unless all of its terms match.
    node: Option<Place>,
}

/// A node that was reached.
#[derive(Clone, Copy)]
struct Place {
    address: fst::raw::CompiledAddr,
    /// The outputs before it: the ordinal of its first term.
    sum: u64,
    state: State,
}

impl Dictionary<'_> {
    /// Looks at the terms of `range`: those of `name` with the automaton's prefix.
    pub(super) fn walk(
        &self,
        name: &[u8],
        range: Range<u32>,
        automaton: &mut Automaton,
    ) -> Result<Walked, IndexError> {
        let facts = automaton.facts();
        let range_min = if facts.is_open { OPEN_RANGE_MIN } else { RANGE_MIN };
        let prefix = facts.prefix.clone();
        if range.len() > range_min
            && automaton.direction() == Direction::Forward
            && let Ok(dfa) = automaton.dfa()
            && let Ok(walked) = self.descend(dfa, name, &prefix, range.clone(), range_min)
        {
            return Ok(walked);
        }
        Ok(Walked { found: Runs::default(), left: range.into() })
    }

    fn descend(
        &self,
        dfa: &mut LazyDfa,
        name: &[u8],
        prefix: &[u8],
        range: Range<u32>,
        range_min: usize,
    ) -> Result<Walked, GaveUp> {
        let mut walked = Walked::default();
        let step = after(dfa, State::START, prefix)?;
        let place = |(address, sum), state| Place { address, sum, state };
        let first = match (step, self.node_of(&key(name, prefix))) {
            (Step::Dead, _) | (_, None) => return Ok(walked),
            (Step::All, _) => None,
            (Step::Next(state), Some(node)) => Some(place(node, state)),
        };
        let mut open = vec![Branch { range, node: first }];
        while let Some(Branch { range, node }) = open.pop() {
            match node {
                None => walked.found.push_run(range),
                Some(_) if range.len() <= range_min => walked.left.push_run(range),
                Some(place) => {
                    let node = self.fst.node(place.address);
                    let own = (place.sum + node.final_output().value()) as u32;
                    // The name itself is no value.
                    if node.is_final() && range.contains(&own) && dfa.accepts(place.state)? {
                        walked.found.push(own);
                    }
                    branch(dfa, &node, place, range, &mut open)?;
                }
            }
        }
        Ok(walked)
    }

    /// Where the FST has read `key`, and the outputs on the way.
    fn node_of(&self, key: &[u8]) -> Option<(fst::raw::CompiledAddr, u64)> {
        let (mut node, mut sum) = (self.fst.root(), 0);
        for byte in key {
            let transition = node.transition(node.find_input(*byte)?);
            sum += transition.out.value();
            node = self.fst.node(transition.addr);
        }
        Some((node.addr(), sum))
    }
}

/// Puts the branches below a node, the last one first, on the stack.
fn branch(
    dfa: &mut LazyDfa,
    node: &fst::raw::Node<'_>,
    at: Place,
    range: Range<u32>,
    open: &mut Vec<Branch>,
) -> Result<(), GaveUp> {
    let mut end = range.end;
    for index in (0..node.len()).rev() {
        let transition = node.transition(index);
        let sum = at.sum + transition.out.value();
        let start = (sum.min(u64::from(end)) as u32).max(range.start);
        let below = start..end;
        end = start;
        let node = match dfa.step(at.state, transition.inp)? {
            Step::Dead => continue,
            Step::All => None,
            Step::Next(state) => Some(Place { address: transition.addr, sum, state }),
        };
        open.push(Branch { range: below, node });
    }
    Ok(())
}

/// Where the bytes of a text lead.
fn after(dfa: &mut LazyDfa, state: State, text: &[u8]) -> Result<Step, GaveUp> {
    let mut step = Step::Next(state);
    for byte in text {
        match step {
            Step::Next(state) => step = dfa.step(state, *byte)?,
            decided => return Ok(decided),
        }
    }
    Ok(step)
}
