//! Runs an automaton over the front-coded table: forwards each term costs only the bytes in which it
//! differs from the one before it, backwards only those that it takes to tell.

use std::ops::Range;

use super::Dictionary;
use crate::automaton::{Automaton, Direction, GaveUp, LazyDfa, State, Step, run};
use crate::error::IndexError;
use crate::runs::Runs;

impl Dictionary<'_> {
    /// Appends the ordinals of the terms of `range` whose value, behind `skip` bytes, matches.
    pub(super) fn scan(
        &self,
        range: Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
        out: &mut Runs,
    ) -> Result<(), IndexError> {
        let direction = automaton.direction();
        let Ok(dfa) = automaton.dfa() else { return self.ask_each(range, skip, automaton, out) };
        let left = match direction {
            Direction::Forward => self.scan_forward(range, skip, dfa, out)?,
            Direction::Backward => self.scan_backward(range, skip, dfa, out)?,
        };
        match left {
            None => Ok(()),
            Some(left) => self.ask_each(left, skip, automaton, out),
        }
    }

    /// Scans with the state after each byte of the last term; returns what is left where the automaton
    /// gives up.
    fn scan_forward(
        &self,
        range: Range<u32>,
        skip: usize,
        dfa: &mut LazyDfa,
        out: &mut Runs,
    ) -> Result<Option<Range<u32>>, IndexError> {
        let mut scan = Scan { dfa, states: vec![State::START], decided: None };
        let mut cursor = self.terms(range.clone())?;
        // Terms before the range share bytes with its first that the scan has not seen.
        let mut is_first = true;
        while let Some((ordinal, common)) = cursor.next()? {
            let common =
                if std::mem::take(&mut is_first) { 0 } else { common.saturating_sub(skip) };
            let kept = cursor.next_common().saturating_sub(skip);
            match scan.test(common, cursor.term().get(skip..).unwrap_or_default(), kept) {
                Ok(true) => out.push(ordinal),
                Ok(false) => {}
                Err(GaveUp) => return Ok(Some(ordinal..range.end)),
            }
        }
        Ok(None)
    }

    /// [`Self::scan_forward`] from the values' ends, with nothing to share.
    fn scan_backward(
        &self,
        range: Range<u32>,
        skip: usize,
        dfa: &mut LazyDfa,
        out: &mut Runs,
    ) -> Result<Option<Range<u32>>, IndexError> {
        let mut cursor = self.terms(range.clone())?;
        while let Some((ordinal, _)) = cursor.next()? {
            let value = cursor.term().get(skip..).unwrap_or_default();
            match run(dfa, Direction::Backward, value) {
                Ok(true) => out.push(ordinal),
                Ok(false) => {}
                Err(GaveUp) => return Ok(Some(ordinal..range.end)),
            }
        }
        Ok(None)
    }

    /// The last resort: asks the pattern's own matcher about each value of the range.
    fn ask_each(
        &self,
        range: Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
        out: &mut Runs,
    ) -> Result<(), IndexError> {
        let mut cursor = self.terms(range)?;
        while let Some((ordinal, _)) = cursor.next()? {
            if automaton.is_match(cursor.term().get(skip..).unwrap_or_default()) {
                out.push(ordinal);
            }
        }
        Ok(())
    }
}

/// An automaton on its way through ascending values.
struct Scan<'a> {
    dfa: &'a mut LazyDfa,
    /// `states[d]` is the state after d bytes of the value tested last.
    states: Vec<State>,
    /// What the byte behind the last of `states` decides for all values that have it.
    decided: Option<bool>,
}

impl Scan<'_> {
    /// Tests a value that has its first `common` bytes from the one before, and at most its first `kept`
    /// will be the next one's.
    #[inline]
    fn test(&mut self, common: usize, value: &[u8], kept: usize) -> Result<bool, GaveUp> {
        if let Some(decided) = self.decided
            && common >= self.states.len()
        {
            return Ok(decided);
        }
        self.decided = None;
        self.states.truncate(common + 1);
        let Some(mut state) = self.states.last().copied() else { return Err(GaveUp) };
        let kept = kept.min(value.len());
        for byte in value.get(common..kept).unwrap_or_default() {
            match self.dfa.step(state, *byte)? {
                Step::Next(next) => state = next,
                step => {
                    let matches = step == Step::All;
                    self.decided = Some(matches);
                    return Ok(matches);
                }
            }
            self.states.push(state);
        }
        for byte in value.get(common.max(kept)..).unwrap_or_default() {
            match self.dfa.step(state, *byte)? {
                Step::Next(next) => state = next,
                step => return Ok(step == Step::All),
            }
        }
        self.dfa.accepts(state)
    }
}
