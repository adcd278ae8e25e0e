//! Patterns that require some text: many values are put one behind the other, the text is looked for in
//! all of them at once, and only those that contain it are asked.

use std::ops::Range;

use super::{Dictionary, SEPARATOR};
use crate::automaton::Automaton;
use crate::error::IndexError;
use crate::required::Required;

/// Bytes of values that are searched at once: well within a core's own cache.
const BYTES_AT_ONCE: usize = 64 * 1024;
/// One in so many values may contain the text; where it is more, stepping through all is cheaper.
const RARE_ONE_IN: usize = 8;

impl Dictionary<'_> {
    /// Appends the ordinals of the terms of `range` whose value, behind `skip` bytes, passes; stops where
    /// all texts turn out to be frequent, and returns what is left of the range.
    pub(super) fn sift(
        &self,
        mut range: Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
        out: &mut Vec<u32>,
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
        out: &mut Vec<u32>,
    ) -> Result<(), IndexError> {
        let mut cursor = self.terms(range.clone())?;
        let mut pile = Pile::default();
        let mut is_first = true;
        while range.start < range.end {
            pile.clear();
            let first = range.start;
            while pile.text.len() < BYTES_AT_ONCE && range.start < range.end {
                if std::mem::take(&mut is_first) {
                    // Terms before the range share bytes with it that the pile does not have.
                    cursor.next()?;
                    pile.push(0, cursor.term.get(skip..).unwrap_or_default());
                } else if let Some((_, common, suffix)) = cursor.next_suffix()? {
                    let value = suffix.get(skip.saturating_sub(common)..).unwrap_or_default();
                    pile.push(common.saturating_sub(skip), value);
                } else {
                    return Err(self.table.broken(range.start));
                }
                range.start += 1;
            }
            let hits = pile.search(required, |index, value| {
                if automaton.is_match(value) {
                    out.push(first + index as u32);
                }
            });
            if hits * RARE_ONE_IN > pile.ends.len() {
                break;
            }
        }
        Ok(())
    }
}

/// Values one behind the other.
#[derive(Default)]
struct Pile {
    /// Each value with a byte behind it that no text contains.
    text: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
    /// The value of the pile before that the next one may share bytes with.
    last: Vec<u8>,
}

impl Pile {
    /// Forgets all values but what the next one needs.
    fn clear(&mut self) {
        let start = self.last_start();
        if let Some(end) = self.ends.last() {
            self.last.clear();
            self.last.extend_from_slice(self.text.get(start..*end).unwrap_or_default());
        }
        self.text.clear();
        self.ends.clear();
    }

    fn last_start(&self) -> usize {
        let before = self.ends.len().checked_sub(2).and_then(|index| self.ends.get(index));
        before.map_or(0, |end| end + 1)
    }

    /// Adds a value that has its first `common` bytes from the one before and then `suffix`.
    #[inline]
    fn push(&mut self, common: usize, suffix: &[u8]) {
        if self.ends.is_empty() {
            self.text.extend_from_slice(self.last.get(..common).unwrap_or_default());
        } else {
            let start = self.last_start();
            let end = (start + common).min(self.text.len());
            self.text.extend_from_within(start..end);
        }
        self.text.extend_from_slice(suffix);
        self.ends.push(self.text.len());
        self.text.push(SEPARATOR);
    }

    /// Shows the values that contain a required text, by their place in the pile; returns how many.
    fn search(&self, required: &Required, mut hit: impl FnMut(usize, &[u8])) -> usize {
        let (mut hits, mut index, mut at) = (0, 0, 0);
        while let Some(place) = required.find(&self.text, at) {
            let rest = self.ends.get(index..).unwrap_or_default();
            index += rest.partition_point(|end| *end <= place);
            let Some(end) = self.ends.get(index).copied() else { break };
            let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
            let start = start.map_or(0, |end| end + 1);
            hit(index, self.text.get(start..end).unwrap_or_default());
            (hits, at, index) = (hits + 1, end + 1, index + 1);
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DictionaryWriter, key};
    use super::*;
    use crate::automaton::Clause;
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
            let crate::automaton::Values::Matching(mut automaton) = clause.values else {
                panic!("{text} is simple")
            };
            assert!(automaton.requires());
            let (skip, mut found) = ("device".len() + 1, Vec::new());
            // The range begins inside a block of the table.
            let range = 3..dictionary.len();
            let left = dictionary.sift(range, skip, &mut automaton, &mut found).unwrap();
            assert_eq!(left.is_empty(), is_rare, "{text}");
            let seen = (3..left.start).filter(|at| pattern.is_match(&values[*at as usize]));
            assert_eq!(found, seen.collect::<Vec<u32>>(), "{text}");
        }
    }
}
