//! Frozen parts of the head's dictionary.
//!
//! A [`FrozenTerms`] is an immutable dictionary whose ordinals lead to pair numbers. They are built
//! and merged aside, without any lock, from terms copied out of the head.

use std::ops::Range;
use std::sync::Arc;

use crate::dictionary::{Dictionary, DictionaryWriter, SEPARATOR};
use crate::error::IndexError;
use crate::runs::Runs;
use crate::values::Values;

/// An immutable dictionary: term → pair number.
#[derive(Debug)]
pub(crate) struct FrozenTerms {
    fst: Vec<u8>,
    table: Vec<u8>,
    pairs: Vec<u32>,
}

impl FrozenTerms {
    /// Freezes terms, each occurring once.
    pub(crate) fn build(terms: &TermTexts) -> Result<Self, IndexError> {
        let mut sorted: Vec<(&[u8], u32)> = terms.iter().collect();
        sorted.sort_unstable();
        let mut writer = FrozenWriter::new(sorted.len());
        for (term, pair) in sorted {
            writer.push(term, pair)?;
        }
        writer.finish()
    }

    /// Unites dictionaries without common terms, leaving out the pairs of which `is_gone` is true.
    pub(crate) fn merge(
        parts: &[Arc<Self>],
        is_gone: impl Fn(u32) -> bool,
    ) -> Result<Self, IndexError> {
        let mut writer = FrozenWriter::new(parts.iter().map(|part| part.pairs.len()).sum());
        let mut cursors = Vec::with_capacity(parts.len());
        for part in parts {
            let mut cursor = part.open()?.terms(0..u32::MAX)?;
            if let Some((ordinal, _)) = cursor.next()? {
                cursors.push((cursor, ordinal, part));
            }
        }
        // There are few parts, so the smallest is found by looking at all.
        loop {
            let smallest = cursors.iter().enumerate().min_by(|a, b| a.1.0.term().cmp(b.1.0.term()));
            let Some(smallest) = smallest.map(|(index, _)| index) else { break };
            let Some((cursor, ordinal, part)) = cursors.get_mut(smallest) else { break };
            let pair = part.pair(*ordinal);
            if !is_gone(pair) {
                writer.push(cursor.term(), pair)?;
            }
            match cursor.next()? {
                Some((next, _)) => *ordinal = next,
                None => drop(cursors.swap_remove(smallest)),
            }
        }
        writer.finish()
    }

    fn open(&self) -> Result<Dictionary<'_>, IndexError> {
        Dictionary::new(&self.fst, &self.table)
    }

    fn pair(&self, ordinal: u32) -> u32 {
        self.pairs.get(ordinal as usize).copied().unwrap_or(u32::MAX)
    }

    /// Number of terms.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The ordinals of the terms of `name` whose value is in `values`; [`Self::pairs`] tells what pairs
    /// they are.
    pub(crate) fn matching(&self, name: &str, values: &mut Values) -> Result<Runs, IndexError> {
        self.open()?.matching(name, values)
    }

    /// The ordinals of all terms of `name`.
    pub(crate) fn values(&self, name: &str) -> Result<Range<u32>, IndexError> {
        self.open()?.values_from(name.as_bytes(), b"", true)
    }

    /// The numbers of the pairs of a run of ordinals.
    pub(crate) fn pairs(&self, run: Range<u32>) -> &[u32] {
        self.pairs.get(run.start as usize..run.end as usize).unwrap_or_default()
    }

    /// The numbers of the pairs of `name` whose value starts with `prefix`, in the order of the values.
    pub(crate) fn with_prefix(&self, name: &str, prefix: &str) -> Result<&[u32], IndexError> {
        let range = self.open()?.values_from(name.as_bytes(), prefix.as_bytes(), false)?;
        Ok(self.pairs(range))
    }

    /// Calls `found` with the nodes of [`Dictionary::nodes`], at most `limit`, whose pairs are `alive`;
    /// without `check` all are.
    pub(crate) fn nodes(
        &self,
        name: &str,
        prefix: &str,
        limit: usize,
        check: bool,
        alive: &dyn Fn(u32) -> bool,
        found: &mut dyn FnMut(&[u8], bool, bool),
    ) -> Result<(), IndexError> {
        let dictionary = self.open()?;
        let (mut count, mut outcome) = (0, Ok(()));
        dictionary.nodes(name.as_bytes(), prefix.as_bytes(), &mut |text, leaf, branch| {
            let leaf = leaf.is_some_and(|ordinal| !check || alive(self.pair(ordinal)));
            let mut branch = branch;
            if branch && check {
                let below = [prefix.as_bytes(), text, b"."].concat();
                match dictionary.values_from(name.as_bytes(), &below, false) {
                    Ok(mut range) => branch = range.any(|ordinal| alive(self.pair(ordinal))),
                    Err(error) => outcome = Err(error),
                }
            }
            if leaf || branch {
                found(text, leaf, branch);
                count += 1;
            }
            count < limit && outcome.is_ok()
        });
        outcome
    }

    /// Bytes of memory.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.fst.capacity() + self.table.capacity() + 4 * self.pairs.capacity()
    }
}

/// Terms copied out of the head, in one piece, so that copying is quick.
#[derive(Debug, Default)]
pub(crate) struct TermTexts {
    text: Vec<u8>,
    entries: Vec<(usize, u32)>,
}

impl TermTexts {
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8], pair: u32) {
        self.text.extend_from_slice(name);
        self.text.push(SEPARATOR);
        self.text.extend_from_slice(value);
        self.entries.push((self.text.len(), pair));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        let mut start = 0;
        self.entries.iter().map(move |(end, pair)| {
            let term = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (term, *pair)
        })
    }
}

struct FrozenWriter {
    writer: DictionaryWriter,
    pairs: Vec<u32>,
}

impl FrozenWriter {
    fn new(count: usize) -> Self {
        Self { writer: DictionaryWriter::new(), pairs: Vec::with_capacity(count) }
    }

    fn push(&mut self, term: &[u8], pair: u32) -> Result<(), IndexError> {
        self.writer.push(term)?;
        self.pairs.push(pair);
        Ok(())
    }

    fn finish(mut self) -> Result<FrozenTerms, IndexError> {
        let (mut fst, mut table) = self.writer.finish()?;
        fst.shrink_to_fit();
        table.shrink_to_fit();
        self.pairs.shrink_to_fit();
        Ok(FrozenTerms { fst, table, pairs: self.pairs })
    }
}
