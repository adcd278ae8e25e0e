//! An ordered dictionary of terms: text → ordinal through an FST, ordinal → text through a
//! front-coded table.
//!
//! A term is a label pair, `name 0xFF value`: 0xFF occurs in no UTF-8 text, so names and values may
//! hold any character and the pairs of one name stand together. Ordinals count terms in byte order,
//! which has three uses: the FST's outputs are sums along a path and its equal endings stay shared,
//! a prefix is a range of ordinals, and everything known of a term is an array by ordinal.
//!
//! A pattern that can fail early walks the FST; one that begins with `.*` has to see every value and
//! runs over the front-coded table, where each term costs only the bytes in which it differs from
//! the one before it; if all matches contain some text (`sift.rs`), that is looked for first.

mod nodes;
mod sift;

use std::cell::{Cell, RefCell};
use std::ops::Range;

use base::codec::{ByteReader, put_uvarint};
use fst::{IntoStreamer, Streamer};

use crate::automaton::{Automaton, GaveUp, State, Values};
use crate::blocked::{BlockedReader, BlockedWriter};
use crate::error::IndexError;

/// Stands between name and value.
pub(crate) const SEPARATOR: u8 = 0xff;
/// Terms between two places where the table starts afresh.
const TERMS_PER_BLOCK: u32 = 8;
/// Ranges up to this many terms are scanned; walking the FST costs more to set up.
const SCAN_MAX: u32 = 256;
/// Terms that are looked at to choose between scan and walk.
const SAMPLES: u32 = 64;

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
    let bytes = if table.len() > 0 { table.block(0)? } else { &[] };
    let (reader, end) = (ByteReader::new(bytes), table.len());
    let mut cursor = TermCursor { table, reader, next: 0, end, length: 0, term: Vec::new() };
    let mut terms = Vec::new();
    while cursor.next()?.is_some() {
        terms.push(cursor.term.clone());
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
        let start = if range.start < end { range.start } else { end };
        let block = start / TERMS_PER_BLOCK;
        let bytes = if start < end { self.table.block(block)? } else { &[] };
        let mut cursor = TermCursor {
            table: self.table,
            reader: ByteReader::new(bytes),
            next: if start < end { block * TERMS_PER_BLOCK } else { end },
            end,
            length: 0,
            term: Vec::new(),
        };
        while cursor.next < start {
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
            if cursor.term.as_slice() >= bound {
                return Ok(cursor.next - 1);
            }
        }
        Ok(cursor.next)
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

    /// Calls `found` with the ordinals of the terms of `name` whose value is in `values`.
    pub(crate) fn matching(
        &self,
        name: &str,
        values: &mut Values,
        found: &mut dyn FnMut(u32),
    ) -> Result<(), IndexError> {
        let name = name.as_bytes();
        match values {
            Values::Nothing => Ok(()),
            Values::Everything => {
                self.values_from(name, b"", true)?.for_each(found);
                Ok(())
            }
            Values::Literals(texts) => {
                let mut term = key(name, b"");
                for text in texts {
                    term.truncate(name.len() + 1);
                    term.extend_from_slice(text.as_bytes());
                    self.ordinal(&term).into_iter().for_each(&mut *found);
                }
                Ok(())
            }
            Values::Prefix { text, longer } => {
                self.values_from(name, text.as_bytes(), *longer)?.for_each(found);
                Ok(())
            }
            Values::Matching(automaton) => self.run(name, automaton, found),
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

    fn run(
        &self,
        name: &[u8],
        automaton: &mut Automaton,
        found: &mut dyn FnMut(u32),
    ) -> Result<(), IndexError> {
        let range = self.values_from(name, automaton.prefix(), false)?;
        if range.is_empty() {
            return Ok(());
        }
        let mut ordinals = Vec::new();
        let scans = automaton.is_open()
            || range.len() as u32 <= SCAN_MAX
            || self.mostly_survive(range.clone(), name.len() + 1, automaton)?;
        let range = match scans {
            true => self.sift(range, name.len() + 1, automaton, &mut ordinals)?,
            false => range,
        };
        let sifted = ordinals.len();
        let walked = if scans {
            self.scan(range.clone(), name.len() + 1, automaton, &mut ordinals)?
        } else {
            self.walk(name, automaton, &mut ordinals)
        };
        if walked.is_err() {
            ordinals.truncate(sifted);
            self.ask_each(range, name.len() + 1, automaton, &mut ordinals)?;
        }
        ordinals.into_iter().for_each(found);
        Ok(())
    }

    /// True when the FST's branches cannot be left out, so that a scan is three times faster than the
    /// walk: when the automaton gets to the end of many terms of the range, or where there is a text to
    /// look for, which is faster yet, behind what many share with the term before. Looks at a few terms.
    fn mostly_survive(
        &self,
        range: Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
    ) -> Result<bool, IndexError> {
        let Ok(start) = automaton.start() else { return Ok(true) };
        let (mut before, mut term) = (Vec::new(), Vec::new());
        let sifts = automaton.requires();
        let mut survivors = 0;
        for sample in 0..SAMPLES {
            let distance = u64::from(sample) * range.len() as u64 / u64::from(SAMPLES);
            let ordinal = range.start + distance as u32;
            self.term(ordinal.saturating_sub(1), &mut before)?;
            self.term(ordinal, &mut term)?;
            let value = term.get(skip..).unwrap_or_default();
            let mut scan = Scan { automaton: &mut *automaton, states: vec![start], dead: false };
            match scan.test(0, value) {
                Ok(_) => {
                    let behind = skip + scan.states.len() > common_prefix(&before, &term) + 1;
                    survivors += u32::from(!scan.dead || sifts && behind);
                }
                Err(GaveUp) => return Ok(true),
            }
        }
        Ok(survivors * 4 > SAMPLES)
    }

    /// Runs the automaton over the table, keeping its state after each byte of the last term.
    fn scan(
        &self,
        range: Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
        out: &mut Vec<u32>,
    ) -> Result<Result<(), GaveUp>, IndexError> {
        let Ok(start) = automaton.start() else { return Ok(Err(GaveUp)) };
        let mut scan = Scan { automaton, states: vec![start], dead: false };
        let mut cursor = self.terms(range)?;
        // The first term may share more with its neighbour before the range than the scan has seen.
        let mut next = cursor.next()?.map(|(ordinal, _)| ordinal);
        if let Some(ordinal) = next {
            match scan.test(0, cursor.term.get(skip..).unwrap_or_default()) {
                Ok(true) => out.push(ordinal),
                Ok(false) => {}
                Err(GaveUp) => return Ok(Err(GaveUp)),
            }
        }
        while next.is_some() {
            next = match cursor.next_suffix()? {
                None => None,
                Some((ordinal, common, suffix)) => {
                    // All terms of the range share what is skipped, so a suffix that begins inside
                    // it holds the whole value.
                    let value = suffix.get(skip.saturating_sub(common)..).unwrap_or_default();
                    match scan.test(common.saturating_sub(skip), value) {
                        Ok(true) => out.push(ordinal),
                        Ok(false) => {}
                        Err(GaveUp) => return Ok(Err(GaveUp)),
                    }
                    Some(ordinal)
                }
            };
        }
        Ok(Ok(()))
    }

    /// Intersects the automaton with the FST.
    fn walk(
        &self,
        name: &[u8],
        automaton: &mut Automaton,
        out: &mut Vec<u32>,
    ) -> Result<(), GaveUp> {
        let header = key(name, b"");
        let start = automaton.start()?;
        let walker = Walker {
            header: &header,
            start,
            automaton: RefCell::new(automaton),
            gave_up: Cell::new(false),
        };
        let mut stream = self.fst.search(&walker).into_stream();
        while let Some((_, output)) = stream.next() {
            out.push(output.value() as u32);
        }
        if walker.gave_up.get() { Err(GaveUp) } else { Ok(()) }
    }

    /// The last resort: asks the pattern's own matcher about each value of the range.
    fn ask_each(
        &self,
        range: Range<u32>,
        skip: usize,
        automaton: &mut Automaton,
        out: &mut Vec<u32>,
    ) -> Result<(), IndexError> {
        let mut cursor = self.terms(range)?;
        while let Some((ordinal, _)) = cursor.next()? {
            if automaton.is_match(cursor.term.get(skip..).unwrap_or_default()) {
                out.push(ordinal);
            }
        }
        Ok(())
    }
}

/// An automaton on its way through ascending values.
struct Scan<'a> {
    automaton: &'a mut Automaton,
    /// `states[d]` is the state after d bytes of the value tested last.
    states: Vec<State>,
    /// The byte behind the last of `states` leads nowhere.
    dead: bool,
}

impl Scan<'_> {
    /// Tests a value that has its first `common` bytes from the one before and then `suffix`.
    #[inline]
    fn test(&mut self, common: usize, suffix: &[u8]) -> Result<bool, GaveUp> {
        if self.dead && common >= self.states.len() {
            return Ok(false);
        }
        self.states.truncate(common + 1);
        let Some(mut state) = self.states.last().copied() else { return Err(GaveUp) };
        for byte in suffix {
            match self.automaton.step(state, *byte)? {
                Some(next) => state = next,
                None => {
                    self.dead = true;
                    return Ok(false);
                }
            }
            self.states.push(state);
        }
        self.dead = false;
        self.automaton.accepts(state)
    }
}

/// The automaton of one name as the `fst` crate wants it.
struct Walker<'a> {
    header: &'a [u8],
    start: State,
    automaton: RefCell<&'a mut Automaton>,
    gave_up: Cell<bool>,
}

#[derive(Clone, Copy)]
enum WalkState {
    /// This many bytes of the header were read.
    Header(usize),
    /// The header is behind.
    Value(State),
    Dead,
}

impl fst::Automaton for &Walker<'_> {
    type State = WalkState;

    fn start(&self) -> WalkState {
        WalkState::Header(0)
    }

    fn is_match(&self, state: &WalkState) -> bool {
        let WalkState::Value(state) = state else { return false };
        self.automaton.borrow_mut().accepts(*state).unwrap_or_else(|GaveUp| {
            self.gave_up.set(true);
            false
        })
    }

    fn can_match(&self, state: &WalkState) -> bool {
        !matches!(state, WalkState::Dead) && !self.gave_up.get()
    }

    fn accept(&self, state: &WalkState, byte: u8) -> WalkState {
        match state {
            WalkState::Dead => WalkState::Dead,
            WalkState::Header(read) if *read < self.header.len() => {
                if self.header.get(*read) == Some(&byte) {
                    WalkState::Header(read + 1)
                } else {
                    WalkState::Dead
                }
            }
            WalkState::Header(_) => self.step(self.start, byte),
            WalkState::Value(state) => self.step(*state, byte),
        }
    }
}

impl Walker<'_> {
    fn step(&self, state: State, byte: u8) -> WalkState {
        match self.automaton.borrow_mut().step(state, byte) {
            Ok(Some(next)) => WalkState::Value(next),
            Ok(None) => WalkState::Dead,
            Err(GaveUp) => {
                self.gave_up.set(true);
                WalkState::Dead
            }
        }
    }
}

/// Ordinal, bytes shared with the term before, and the bytes behind them.
type Suffix<'a> = (u32, usize, &'a [u8]);

/// Decodes terms one after another.
pub(crate) struct TermCursor<'a> {
    table: BlockedReader<'a>,
    reader: ByteReader<'a>,
    next: u32,
    end: u32,
    /// Bytes of the term that was read last.
    length: usize,
    /// The term that was read last.
    pub(crate) term: Vec<u8>,
}

impl<'a> TermCursor<'a> {
    /// Reads the next term: its ordinal, and how many first bytes it surely shares with the term
    /// read before it. `None` at the end of the range.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, usize)>, IndexError> {
        match self.next_suffix()? {
            None => Ok(None),
            Some((ordinal, common, suffix)) => {
                self.term.truncate(common);
                self.term.extend_from_slice(suffix);
                Ok(Some((ordinal, common)))
            }
        }
    }

    /// Like [`Self::next`], giving the bytes behind the shared ones and leaving `term` alone, which
    /// may not be used from then on.
    #[inline]
    fn next_suffix(&mut self) -> Result<Option<Suffix<'a>>, IndexError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let ordinal = self.next;
        let common = self.reader.uvarint() as usize;
        let suffix = self.reader.bytes();
        let restart = ordinal.is_multiple_of(TERMS_PER_BLOCK);
        if self.reader.failed() || common > self.length || (restart && common > 0) {
            return Err(self.table.broken(ordinal));
        }
        self.length = common + suffix.len();
        self.next += 1;
        Ok(Some((ordinal, common, suffix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automaton::Clause;
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
            let mut found = Vec::new();
            dictionary
                .matching("host", &mut clause.values, &mut |ordinal| found.push(ordinal))
                .unwrap();
            let matching = (0..).zip(&values).filter(|(_, value)| pattern.is_match(value));
            let expected: Vec<u32> = matching.map(|(index, _)| first + index).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
