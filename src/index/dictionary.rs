//! An ordered dictionary of terms: text → ordinal through an FST, ordinal → text through a
//! front-coded table.
//!
//! A term is a label pair, `name 0xFF value`: 0xFF occurs in no UTF-8 text, so names and values may
//! hold any character and the pairs of one name stand together. Ordinals count terms in byte order,
//! which has three uses: the FST's outputs are sums along a path and its equal endings stay shared,
//! a prefix is a range of ordinals, and everything known of a term is an array by ordinal.
//!
//! A pattern first walks the FST (`walk.rs`), which leaves out and takes whole branches. The ranges of
//! terms that this leaves undecided are scanned in the front-coded table (`scan.rs`), where each term
//! costs only the bytes in which it differs from the one before it; if all matches contain some text
//! (`sift.rs`), that is looked for first.

mod cursor;
mod nodes;
mod scan;
mod sift;
mod walk;

use std::ops::Range;

use base::codec::{ByteReader, put_uvarint};
use fst::Streamer;

pub(crate) use self::cursor::TermCursor;
use crate::automaton::Automaton;
use crate::blocked::{BlockedReader, BlockedWriter};
use crate::error::IndexError;
use crate::runs::Runs;
use crate::values::Values;

/// Stands between name and value.
pub(crate) const SEPARATOR: u8 = 0xff;
/// Terms between two places where the table starts afresh.
const TERMS_PER_BLOCK: u32 = 8;

const FST: &str = "fst";
const TABLE: &str = "terms";

/// The key of a pair; with an empty value the start of all keys of `name`.
pub(crate) fn key(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + value.len() + 1);
    out.extend_from_slice(name);
    out.push(SEPARATOR);
    out.extend_from_slice(value);
    out
}

/// Builds a dictionary from ascending terms.
pub(crate) struct DictionaryWriter {
    fst: fst::MapBuilder<Vec<u8>>,
    table: BlockedWriter,
    previous: Vec<u8>,
    count: u32,
}

impl DictionaryWriter {
    pub(crate) fn new() -> Self {
        Self {
            fst: fst::MapBuilder::memory(),
            table: BlockedWriter::new(TABLE, TERMS_PER_BLOCK),
            previous: Vec::new(),
            count: 0,
        }
    }

    /// Adds a term, which must be larger than the one before it; its ordinal is the number of terms
    /// added before.
    pub(crate) fn push(&mut self, term: &[u8]) -> Result<u32, IndexError> {
        let ordinal = self.count;
        let unordered = |_| IndexError::malformed(FST, ordinal as usize, "terms do not ascend");
        self.fst.insert(term, u64::from(ordinal)).map_err(unordered)?;
        let (first, out) = self.table.entry()?;
        let common = if first { 0 } else { common_prefix(&self.previous, term) };
        put_uvarint(out, common as u64);
        put_uvarint(out, (term.len() - common) as u64);
        out.extend_from_slice(term.get(common..).unwrap_or_default());
        self.previous.clear();
        self.previous.extend_from_slice(term);
        self.count += 1;
        Ok(ordinal)
    }

    /// The FST and the table.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, Vec<u8>), IndexError> {
        let broken = |_| IndexError::malformed(FST, 0, "cannot be finished");
        Ok((self.fst.into_inner().map_err(broken)?, self.table.finish()))
    }
}

/// All terms of a front-coded table, by ordinal.
pub(crate) fn terms_of_table(table: &[u8]) -> Result<Vec<Vec<u8>>, IndexError> {
    let table = BlockedReader::new(TABLE, TERMS_PER_BLOCK, table)?;
    let mut cursor = TermCursor::new(table, 0, table.len())?;
    let mut terms = Vec::new();
    while cursor.next()?.is_some() {
        terms.push(cursor.term().to_vec());
    }
    Ok(terms)
}

/// All terms of an FST, by ordinal; its bytes must have passed a checksum.
pub(crate) fn terms_of_fst(fst: &[u8]) -> Result<Vec<Vec<u8>>, IndexError> {
    let map = fst::Map::new(fst).map_err(|_| IndexError::malformed(FST, 0, "not an fst"))?;
    let mut terms = Vec::new();
    let mut stream = map.stream();
    while let Some((term, _)) = stream.next() {
        terms.push(term.to_vec());
    }
    Ok(terms)
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Reads a dictionary. The bytes of the FST must have passed a checksum: the `fst` crate checks no
/// address while it walks.
pub(crate) struct Dictionary<'a> {
    fst: fst::raw::Fst<&'a [u8]>,
    table: BlockedReader<'a>,
}

impl<'a> Dictionary<'a> {
    pub(crate) fn new(fst: &'a [u8], table: &'a [u8]) -> Result<Self, IndexError> {
        let broken = |_| IndexError::malformed(FST, 0, "not an fst");
        Ok(Self {
            fst: fst::raw::Fst::new(fst).map_err(broken)?,
            table: BlockedReader::new(TABLE, TERMS_PER_BLOCK, table)?,
        })
    }

    /// Number of terms.
    pub(crate) fn len(&self) -> u32 {
        self.table.len()
    }

    /// The ordinal of a term.
    pub(crate) fn ordinal(&self, term: &[u8]) -> Option<u32> {
        self.fst.get(term).map(|output| output.value() as u32)
    }

    /// Replaces `out` by the term of an ordinal.
    pub(crate) fn term(&self, ordinal: u32, out: &mut Vec<u8>) -> Result<(), IndexError> {
        out.clear();
        if ordinal >= self.len() {
            return Err(self.table.broken(ordinal));
        }
        let mut reader = ByteReader::new(self.table.block(ordinal / TERMS_PER_BLOCK)?);
        for _ in 0..=ordinal % TERMS_PER_BLOCK {
            let common = reader.uvarint() as usize;
            let suffix = reader.bytes();
            if reader.failed() || common > out.len() {
                return Err(self.table.broken(ordinal));
            }
            out.truncate(common);
            out.extend_from_slice(suffix);
        }
        Ok(())
    }

    /// Goes over the terms of a range.
    pub(crate) fn terms(&self, range: Range<u32>) -> Result<TermCursor<'a>, IndexError> {
        let end = range.end.min(self.len());
        // An empty range begins at its end.
        let start = range.start.min(end);
        let first = if start < end { start - start % TERMS_PER_BLOCK } else { end };
        let mut cursor = TermCursor::new(self.table, first, end)?;
        for _ in first..start {
            cursor.next()?;
        }
        Ok(cursor)
    }

    /// The ordinal of the first term that is not smaller than `bound`.
    fn lower_bound(&self, bound: &[u8]) -> Result<u32, IndexError> {
        let (mut low, mut high) = (0, self.table.blocks());
        let mut term = Vec::new();
        // Invariant: blocks below `low` begin below the bound, those from `high` on do not.
        while low < high {
            let middle = low + (high - low) / 2;
            self.term(middle * TERMS_PER_BLOCK, &mut term)?;
            if term.as_slice() < bound { low = middle + 1 } else { high = middle }
        }
        let Some(block) = low.checked_sub(1) else { return Ok(0) };
        let start = block * TERMS_PER_BLOCK;
        let mut cursor = self.terms(start..start + TERMS_PER_BLOCK)?;
        while cursor.next()?.is_some() {
            if cursor.term() >= bound {
                return Ok(cursor.ordinal() - 1);
            }
        }
        Ok(cursor.ordinal())
    }

    /// The ordinals of the terms that start with `prefix`.
    pub(crate) fn prefix_range(&self, prefix: &[u8]) -> Result<Range<u32>, IndexError> {
        let start = self.lower_bound(prefix)?;
        let mut after = prefix.to_vec();
        while let Some(last) = after.pop() {
            if let Some(larger) = last.checked_add(1) {
                after.push(larger);
                return Ok(start..self.lower_bound(&after)?);
            }
        }
        Ok(start..self.len())
    }

    /// The ordinals of the terms of `name` whose value is in `values`.
    pub(crate) fn matching(&self, name: &str, values: &mut Values) -> Result<Runs, IndexError> {
        let bytes = name.as_bytes();
        match values {
            Values::Nothing => Ok(Runs::default()),
            Values::Everything => Ok(self.values_from(bytes, b"", true)?.into()),
            Values::Literals(texts) => {
                let mut found = Runs::default();
                for text in texts {
                    self.ordinal(&key(bytes, text.as_bytes()))
                        .into_iter()
                        .for_each(|at| found.push(at));
                }
                Ok(found)
            }
            Values::Prefix { text, longer } => {
                Ok(self.values_from(bytes, text.as_bytes(), *longer)?.into())
            }
            Values::Matching(automaton) => self.run(bytes, automaton),
            Values::AnyOf(parts) => {
                let sets = parts.iter_mut().map(|part| self.matching(name, part));
                Ok(Runs::united(sets.collect::<Result<_, _>>()?))
            }
        }
    }

    /// The ordinals of the non-empty values of `name` that start with `prefix`.
    pub(crate) fn values_from(
        &self,
        name: &[u8],
        prefix: &[u8],
        longer: bool,
    ) -> Result<Range<u32>, IndexError> {
        let term = key(name, prefix);
        let mut range = self.prefix_range(&term)?;
        if (longer || prefix.is_empty()) && self.ordinal(&term).is_some() {
            range.start += 1;
        }
        Ok(range)
    }

    fn run(&self, name: &[u8], automaton: &mut Automaton) -> Result<Runs, IndexError> {
        let range = self.values_from(name, &automaton.facts().prefix, false)?;
        let walked = self.walk(name, range, automaton)?;
        let mut found = Runs::default();
        for range in walked.left.iter() {
            let range = self.sift(range, name.len() + 1, automaton, &mut found)?;
            self.scan(range, name.len() + 1, automaton, &mut found)?;
        }
        Ok(Runs::united(vec![walked.found, found]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Clause;
    use model::matcher::{Matcher, Pattern, ValueTest};

    fn dictionary(values: &[String]) -> (Vec<u8>, Vec<u8>) {
        let mut writer = DictionaryWriter::new();
        for name in ["a", "host"] {
            writer.push(&key(name.as_bytes(), b"")).unwrap();
            for value in values {
                writer.push(&key(name.as_bytes(), value.as_bytes())).unwrap();
            }
        }
        writer.finish().unwrap()
    }

    #[test]
    fn terms_are_found_both_ways_and_by_pattern() {
        let mut values: Vec<String> = (0..2000).map(|index| format!("web_{index}")).collect();
        values.extend(["é", "é77", "x\u{0}y", "web"].map(String::from));
        values.sort();
        let (fst, table) = dictionary(&values);
        let dictionary = Dictionary::new(&fst, &table).unwrap();
        let mut term = Vec::new();
        for ordinal in 0..dictionary.len() {
            dictionary.term(ordinal, &mut term).unwrap();
            assert_eq!(dictionary.ordinal(&term), Some(ordinal));
            assert_eq!(dictionary.lower_bound(&term).unwrap(), ordinal);
        }
        let first = values.len() as u32 + 2;
        for text in [
            "web_1.*",
            "web_1.+",
            ".*77",
            "web_[0-9]*7",
            ".+",
            "x|é",
            "[wx].*",
            "[wq]eb_19[0-9]*5",
            "q.*",
            r"\w+",
            ".*b_19.*",
            ".*b_1[12].*7",
            ".*_(199|77|5).*",
            "we.*_7.*9",
            ".*eb_.*7",
        ] {
            let pattern = Pattern::new(text).unwrap();
            let mut clause = Clause::new(&Matcher::new("host", ValueTest::Regex(pattern.clone())));
            let found = dictionary.matching("host", &mut clause.values).unwrap();
            let matching = (0..).zip(&values).filter(|(_, value)| pattern.is_match(value));
            let expected = matching.map(|(index, _)| first + index);
            assert!(found.iter().flatten().eq(expected), "{text}");
        }
    }
}
