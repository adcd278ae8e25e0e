//! Patterns that require some text: it is looked for in the bytes of the table, many terms at once, and
//! only values that contain it are asked. A text that begins in what a term shares with the one before
//! stands in no one place there; the few bytes around that seam are looked at for each term.

use std::ops::Range;

use super::{Dictionary, TermCursor};
use crate::automaton::Automaton;
use crate::error::IndexError;
use crate::required::Required;
use crate::runs::Runs;

/// Bytes that are searched at once: well within a core's own cache.
const BYTES_AT_ONCE: usize = 64 * 1024;
/// Bytes of the table that are stepped through in the time it takes to come to a value that contains the text,
/// beside its own.
const HIT_BYTES: usize = 16;
/// Terms after which that is looked at.
const TERMS_AT_ONCE: u32 = 4096;

impl Dictionary<'_> {
    /// Appends the ordinals of the terms of `range` whose value, behind `skip` bytes, passes; stops where
    /// all texts turn out too frequent to save work, and returns what is left of the range.
    pub(super) fn sift(
        &self,
        mut range: Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
        out: &mut Runs,
    ) -> Result<Range<u32>, IndexError> {
        let all = automaton.take_required();
        let mut outcome = Ok(());
        for required in &all {
            outcome = self.sift_by(&mut range, skip, automaton, required, out);
            if range.is_empty() || outcome.is_err() {
                break;
            }
        }
        automaton.put_required(all);
        outcome.map(|()| range)
    }

    /// [`Self::sift`] by one set of texts; takes what it has looked at off the range.
    fn sift_by(
        &self,
        range: &mut Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
        required: &Required,
        out: &mut Runs,
    ) -> Result<(), IndexError> {
        let mut cursor = self.terms(range.clone())?;
        let end = cursor.bytes().len().saturating_sub(self.bytes_from(range.end));
        let mut sieve = Sieve::new(required, &cursor, end, skip);
        while range.start < range.end {
            let stop = range.end.min(range.start.saturating_add(TERMS_AT_ONCE));
            let (start, mut stepped) = (cursor.position(), 0);
            while cursor.ordinal() < stop {
                let Some((ordinal, common)) = cursor.next()? else { break };
                if sieve.contains(&cursor, common) {
                    let value = cursor.term().get(skip..).unwrap_or_default();
                    if required.is_enough() {
                        out.push(ordinal);
                        continue;
                    }
                    stepped += HIT_BYTES + value.len();
                    if automaton.is_match(value) {
                        out.push(ordinal);
                    }
                }
            }
            range.start = stop;
            // A scan steps through all that terms do not share.
            if stepped > cursor.position() - start {
                break;
            }
        }
        Ok(())
    }

    /// Bytes of the table from the block behind the term before `ordinal` on.
    fn bytes_from(&self, ordinal: u32) -> usize {
        let block = ordinal.div_ceil(self.table.per_block);
        self.table.block(block).map_or(0, <[u8]>::len)
    }
}

/// Finds a required text in one term after another.
struct Sieve<'a> {
    required: &'a Required,
    /// The table up to the end of the range.
    bytes: &'a [u8],
    skip: usize,
    /// Before this place no text begins that was not seen yet.
    at: usize,
    /// The end of the first text in the term seen last.
    held: Option<usize>,
    is_first: bool,
}

impl<'a> Sieve<'a> {
    /// For the terms from the cursor's next one up to the end of the table's first `end` bytes.
    fn new(required: &'a Required, cursor: &TermCursor<'a>, end: usize, skip: usize) -> Self {
        let bytes = cursor.bytes().get(..end).unwrap_or_default();
        Self { required, bytes, skip, at: cursor.position(), held: None, is_first: true }
    }

    /// True when the term just read, which has its first `common` bytes from the one before, contains a text.
    #[inline]
    fn contains(&mut self, cursor: &TermCursor<'a>, common: usize) -> bool {
        if self.held.is_some_and(|end| end <= common) && !self.is_first {
            return true;
        }
        let term = cursor.term();
        let start = match std::mem::take(&mut self.is_first) {
            // It may share a text with terms before the range, which nobody has seen.
            true => self.required.find(term, self.skip),
            false => self.required.straddles(term, common).or_else(|| {
                let suffix = cursor.position() - (term.len() - common)..cursor.position();
                let is_near = self.at < suffix.end;
                let place = if is_near { self.first_in(suffix.clone(), common) } else { None };
                place.map(|place| place - suffix.start + common)
            }),
        };
        self.held = start.map(|start| start + self.required.length());
        start.is_some()
    }

    /// Where the first text within `suffix` begins: the bytes of a term behind its first `common`.
    #[inline(never)]
    fn first_in(&mut self, suffix: Range<usize>, common: usize) -> Option<usize> {
        // Whole terms begin with the label's name.
        let start = suffix.start + self.skip.saturating_sub(common);
        self.at = self.at.max(start);
        while self.at < suffix.end {
            let limit = self.bytes.len().min(self.at + BYTES_AT_ONCE);
            match self.required.find(self.bytes.get(..limit)?, self.at) {
                Some(place) => {
                    self.at = place;
                    return (place + self.required.length() <= suffix.end).then_some(place);
                }
                None if limit == self.bytes.len() => self.at = usize::MAX,
                None => self.at = limit - (self.required.length() - 1),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DictionaryWriter, key};
    use super::*;
    use crate::values::{Clause, Values};
    use model::matcher::{Matcher, Pattern, ValueTest};

    #[test]
    fn values_beyond_one_pile_are_found_and_frequent_texts_left_to_the_automaton() {
        let mut values: Vec<String> = (0..20_000)
            .map(|at| format!("dev-{:05}.rack{}.org", at * 7 % 20_011, at % 31))
            .collect();
        values.sort();
        let mut writer = DictionaryWriter::new();
        for value in &values {
            writer.push(&key(b"device", value.as_bytes())).unwrap();
        }
        let (fst, table) = writer.finish().unwrap();
        let dictionary = Dictionary::new(&fst, &table).unwrap();
        for (text, is_rare) in [
            (r".*rack17\.org", true),
            (".*7.*rack30.*", true),
            (".*(0042|1313).*", true),
            (".*rack17.org", true),
            (".*rack.*7.*", false),
            (".*org", false),
        ] {
            let pattern = Pattern::new(text).unwrap();
            let clause = Clause::new(&Matcher::new("device", ValueTest::Regex(pattern.clone())));
            let Values::Matching(mut automaton) = clause.values else { panic!("{text} is simple") };
            assert!(!automaton.facts().required.is_empty());
            let (skip, mut found) = ("device".len() + 1, Runs::default());
            // The range begins inside a block of the table.
            let range = 3..dictionary.len();
            let left = dictionary.sift(range, skip, &mut automaton, &mut found).unwrap();
            assert_eq!(left.is_empty(), is_rare, "{text}");
            let seen = (3..left.start).filter(|at| pattern.is_match(&values[*at as usize]));
            assert!(found.iter().flatten().eq(seen), "{text}");
        }
    }
}
