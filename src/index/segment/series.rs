//! All series of a segment one after another, for merges and checks.
//!
//! Neighbours share most labels, so each label's packed form is kept until its value changes.

use base::codec::{ByteReader, put_bytes};
use hashbrown::HashMap;
use model::label::LabelsRef;

use super::layout::{Names, SERIES_PER_BLOCK, SeriesParts, SetDecoder, next_series};
use super::reader::{each_label, ordinal_of};
use crate::blocked::BlockedReader;
use crate::dictionary::Dictionary;
use crate::error::IndexError;

/// Values of a label up to which their packed pairs are kept. A label of more values seldom has the
/// same one again nearby.
const CACHED_MAX: u32 = 4096;

/// Goes over series in label order. Before the first [`SeriesCursor::advance`] there is no series.
pub struct SeriesCursor<'a> {
    table: BlockedReader<'a>,
    sets: BlockedReader<'a>,
    dictionary: Dictionary<'a>,
    names: &'a Names,
    metric: Option<u32>,
    reader: ByteReader<'a>,
    next: u32,
    parts: SeriesParts,
    set: SetDecoder,
    /// The set that `set` holds and where its successor begins.
    set_at: Option<(u32, ByteReader<'a>)>,
    packed: Vec<u8>,
    term: Vec<u8>,
    /// Packed pairs by ordinal.
    cached: HashMap<u32, Box<[u8]>>,
}

impl<'a> SeriesCursor<'a> {
    pub(super) fn new(
        table: BlockedReader<'a>,
        sets: BlockedReader<'a>,
        dictionary: Dictionary<'a>,
        names: &'a Names,
        metric: Option<u32>,
    ) -> Result<Self, IndexError> {
        Ok(Self {
            table,
            sets,
            dictionary,
            names,
            metric,
            reader: ByteReader::new(&[]),
            next: 0,
            parts: SeriesParts::default(),
            set: SetDecoder::default(),
            set_at: None,
            packed: Vec::new(),
            term: Vec::new(),
            cached: HashMap::new(),
        })
    }

    /// Reads the next series; false at the end.
    pub fn advance(&mut self) -> Result<bool, IndexError> {
        let id = self.next;
        if id >= self.table.len() {
            return Ok(false);
        }
        if id.is_multiple_of(SERIES_PER_BLOCK) {
            self.reader = ByteReader::new(self.table.block(id / SERIES_PER_BLOCK)?);
            self.parts = SeriesParts::default();
        }
        let parts = next_series(&mut self.reader, self.parts);
        self.parts = parts.ok_or_else(|| self.table.broken(id))?;
        self.read_set()?;
        self.pack()?;
        self.next = id + 1;
        Ok(true)
    }

    /// The number of the series read last.
    pub fn id(&self) -> u32 {
        self.next.saturating_sub(1)
    }

    /// The labels of the series read last.
    pub fn labels(&self) -> LabelsRef<'_> {
        LabelsRef::from_packed(&self.packed)
    }

    /// Moves to the set of the series, which mostly is the one behind the last.
    fn read_set(&mut self) -> Result<(), IndexError> {
        let wanted = self.parts.set;
        match &mut self.set_at {
            Some((at, _)) if *at == wanted => return Ok(()),
            Some((at, reader))
                if *at + 1 == wanted
                    && !wanted.is_multiple_of(self.sets.per_block)
                    && wanted < self.sets.len() =>
            {
                let read = self.set.next(reader, &self.names.schemas, false);
                read.ok_or_else(|| self.sets.broken(wanted))?;
                *at = wanted;
                return Ok(());
            }
            _ => {}
        }
        let reader = self.set.seek(&self.sets, &self.names.schemas, wanted)?;
        self.set_at = Some((wanted, reader));
        Ok(())
    }

    fn pack(&mut self) -> Result<(), IndexError> {
        let Self { packed, dictionary, term, cached, .. } = self;
        packed.clear();
        each_label(self.names, self.metric, self.parts, &self.set, |name, place| {
            let ordinal = ordinal_of(name, place)?;
            if let Some(pair) = cached.get(&ordinal) {
                packed.extend_from_slice(pair);
                return Ok(());
            }
            dictionary.term(ordinal, term)?;
            let start = packed.len();
            put_bytes(packed, name.text.as_bytes());
            put_bytes(packed, term.get(name.text.len() + 1..).unwrap_or_default());
            if name.values <= CACHED_MAX {
                cached.insert(ordinal, packed.get(start..).unwrap_or_default().into());
            }
            Ok(())
        })
    }
}
