//! The columnar unit of ingest: every protocol's decoder fills one, the store takes it whole.
//!
//! A batch is a list of rows; a row is one series (its packed labels and their hash) with a run of
//! samples of one kind. Nothing is allocated per label or per row once the buffers have grown, and
//! a decoder recycles the batch it gets back in the report.
//!
//! A decoder that has seen the very bytes of a label set before may hand them over as they are, with the
//! hash it remembers ([`WriteBatch::begin_known_row`]); they become labels only if the store asks
//! ([`WriteBatch::unpack`]), which it does for a series that it does not know.
//!
//! Rows are *not* validated here beyond order: whether a label set is valid UTF-8 and within limits
//! is checked by the store when it creates the series, so a known series never pays for it. Rules of
//! one protocol alone (the characters OpenTSDB allows) are the decoder's.

use base::codec::put_bytes;

use crate::histogram::{self, Histogram, HistogramError};
use crate::label::{LabelError, LabelsRef, SeriesHasher};
use crate::sample::{STALE_NAN_BITS, SampleKind, is_stale};
use crate::time::TenantId;

/// One series of a batch with its samples.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Hash of the packed labels under the batch's hasher.
    pub hash: u128,
    /// Where the packed labels start in the key buffer.
    pub key_offset: u32,
    /// Bytes of the packed labels.
    pub key_bytes: u32,
    /// Index of the first sample.
    pub first_sample: u32,
    /// Number of samples.
    pub sample_count: u32,
    /// What the values of this row are.
    pub kind: SampleKind,
    /// The key is still in the sender's spelling.
    pub is_raw: bool,
}

/// Turns the sender's spelling of a label set, known to be a valid one, into packed labels; `shared`
/// is what the decoder put into [`WriteBatch::shared_mut`].
pub type UnpackKey = fn(raw: &[u8], shared: &[u8], packed: &mut Vec<u8>);

/// Rows of samples on their way into the store.
#[derive(Clone, Debug)]
pub struct WriteBatch {
    tenant: TenantId,
    hasher: SeriesHasher,
    keys: Vec<u8>,
    rows: Vec<Row>,
    timestamps: Vec<i64>,
    values: Vec<u64>,
    /// Bytes of the histograms, one behind the other.
    blobs: Vec<u8>,
    /// Start timestamps: as long as `timestamps` up to the last sample that has one, else shorter.
    starts: Vec<i64>,
    /// The open row's pairs as ranges of `keys`: (name start, name end, value start, value end).
    pairs: Vec<[u32; 4]>,
    sorted: bool,
    scratch: Vec<u8>,
    unpack: Option<UnpackKey>,
    /// What the spellings of all raw rows refer to.
    shared: Vec<u8>,
}

impl WriteBatch {
    /// An empty batch; the store's own hasher comes from [`crate::Appender::batch`].
    pub fn new(tenant: TenantId, hasher: SeriesHasher) -> Self {
        Self {
            tenant,
            hasher,
            keys: Vec::new(),
            rows: Vec::new(),
            timestamps: Vec::new(),
            values: Vec::new(),
            blobs: Vec::new(),
            starts: Vec::new(),
            pairs: Vec::new(),
            sorted: true,
            scratch: Vec::new(),
            unpack: None,
            shared: Vec::new(),
        }
    }

    /// Forgets the rows, keeps the memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
        self.timestamps.clear();
        self.values.clear();
        self.blobs.clear();
        self.starts.clear();
        self.shared.clear();
        self.pairs.clear();
        self.sorted = true;
    }

    /// Whose samples these are.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The rows in arrival order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Number of samples in all rows.
    pub fn sample_count(&self) -> usize {
        self.timestamps.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Estimated bytes of the batch's content.
    pub fn bytes(&self) -> usize {
        let samples = (self.timestamps.len() * 2 + self.starts.len()) * 8 + self.blobs.len();
        self.keys.len() + self.shared.len() + samples + self.rows.len() * size_of::<Row>()
    }

    /// The hasher of label sets, and of whatever else a decoder wants to recognise.
    pub fn hasher(&self) -> SeriesHasher {
        self.hasher
    }

    /// The packed labels of `row`; of a raw one none before [`WriteBatch::unpack`].
    pub fn labels(&self, row: &Row) -> LabelsRef<'_> {
        if row.is_raw {
            return LabelsRef::from_packed(&[]);
        }
        let start = row.key_offset as usize;
        LabelsRef::from_packed(&self.keys[start..start + row.key_bytes as usize])
    }

    /// Timestamps (ms) and value bits of `row`.
    pub fn samples(&self, row: &Row) -> (&[i64], &[u64]) {
        let range = row.first_sample as usize..(row.first_sample + row.sample_count) as usize;
        (&self.timestamps[range.clone()], &self.values[range])
    }

    /// The bytes of the histogram that the bits of a sample of this batch stand for.
    pub fn histogram(&self, bits: u64) -> &[u8] {
        let start = (bits >> 32) as usize;
        self.blobs.get(start..start + (bits & 0xffff_ffff) as usize).unwrap_or_default()
    }

    /// True when a sample is a histogram or says when its counting began.
    pub fn is_extended(&self) -> bool {
        !self.blobs.is_empty() || !self.starts.is_empty()
    }

    /// When the counting of sample `index` of `row` began, in ms; 0 where that is unknown.
    #[inline]
    pub fn start_ms(&self, row: &Row, index: usize) -> i64 {
        self.starts.get(row.first_sample as usize + index).copied().unwrap_or(0)
    }

    /// Opens a row. Labels are pushed next, then [`WriteBatch::end_labels`] closes the label set and
    /// samples follow.
    pub fn begin_row(&mut self) {
        self.pairs.clear();
        self.sorted = true;
        self.rows.push(Row {
            hash: 0,
            key_offset: self.keys.len() as u32,
            key_bytes: 0,
            first_sample: self.timestamps.len() as u32,
            sample_count: 0,
            kind: SampleKind::Float,
            is_raw: false,
        });
    }

    /// Opens a row of a label set that was seen before: `raw` is the sender's spelling in as many pieces
    /// as it comes in, `hash` that of its packed form. All raw rows of a batch have the same `unpack`.
    #[inline]
    pub fn begin_known_row(&mut self, raw: &[&[u8]], hash: u128, unpack: UnpackKey) {
        self.begin_row();
        self.unpack = Some(unpack);
        raw.iter().for_each(|piece| self.keys.extend_from_slice(piece));
        let end = self.keys.len() as u32;
        if let Some(row) = self.rows.last_mut() {
            row.hash = hash;
            row.key_bytes = end - row.key_offset;
            row.is_raw = true;
        }
    }

    /// What the spellings of raw rows refer to, in a form of the decoder's own: empty, to be filled.
    pub fn shared_mut(&mut self) -> &mut Vec<u8> {
        self.shared.clear();
        &mut self.shared
    }

    /// Makes labels of the key of row `index`, where it is raw.
    pub fn unpack(&mut self, index: usize) {
        let Some((row, unpack)) = self.rows.get_mut(index).zip(self.unpack) else {
            return;
        };
        if !row.is_raw {
            return;
        }
        let start = row.key_offset as usize;
        self.scratch.clear();
        let raw = &self.keys[start..start + row.key_bytes as usize];
        unpack(raw, &self.shared, &mut self.scratch);
        row.key_offset = self.keys.len() as u32;
        row.key_bytes = self.scratch.len() as u32;
        row.is_raw = false;
        self.keys.extend_from_slice(&self.scratch);
    }

    /// Adds a label to the open row, in any order; empty values are left out.
    #[inline]
    pub fn push_label(&mut self, name: &[u8], value: &[u8]) {
        if value.is_empty() {
            return;
        }
        if let Some(&[start, end, ..]) = self.pairs.last() {
            self.sorted &= &self.keys[start as usize..end as usize] < name;
        }
        put_bytes(&mut self.keys, name);
        let name_end = self.keys.len();
        put_bytes(&mut self.keys, value);
        let value_end = self.keys.len();
        self.pairs.push([
            (name_end - name.len()) as u32,
            name_end as u32,
            (value_end - value.len()) as u32,
            value_end as u32,
        ]);
    }

    /// Sorts and hashes the labels of the open row. `Err` when a name occurs twice; the row is then
    /// still open and must be dropped with [`WriteBatch::abandon_row`].
    pub fn end_labels(&mut self) -> Result<(), LabelError> {
        if !self.sorted {
            self.sort_pairs()?;
        }
        let Some(row) = self.rows.last_mut() else {
            return Ok(());
        };
        let key = &self.keys[row.key_offset as usize..];
        row.key_bytes = key.len() as u32;
        row.hash = self.hasher.hash(key);
        Ok(())
    }

    /// Gives the open row the packed labels of `labels` instead of pushed ones.
    pub fn set_labels(&mut self, labels: LabelsRef<'_>) {
        if let Some(row) = self.rows.last_mut() {
            self.keys.truncate(row.key_offset as usize);
            self.keys.extend_from_slice(labels.as_packed());
            row.key_bytes = labels.as_packed().len() as u32;
            row.hash = self.hasher.hash(labels.as_packed());
        }
    }

    fn sort_pairs(&mut self) -> Result<(), LabelError> {
        let keys = &self.keys;
        let part = |start: u32, end: u32| &keys[start as usize..end as usize];
        // Stable, so that of two equal names the error shows the later one.
        self.pairs.sort_by(|a, b| part(a[0], a[1]).cmp(part(b[0], b[1])));
        self.scratch.clear();
        let mut previous: Option<&[u8]> = None;
        for &[name_start, name_end, value_start, value_end] in &self.pairs {
            let name = part(name_start, name_end);
            if previous == Some(name) {
                return Err(LabelError::Duplicate(String::from_utf8_lossy(name).into_owned()));
            }
            put_bytes(&mut self.scratch, name);
            put_bytes(&mut self.scratch, part(value_start, value_end));
            previous = Some(name);
        }
        if let Some(row) = self.rows.last() {
            self.keys.truncate(row.key_offset as usize);
            self.keys.extend_from_slice(&self.scratch);
        }
        Ok(())
    }

    /// Adds a float to the open row.
    #[inline]
    pub fn push_float(&mut self, timestamp_ms: i64, value: f64) {
        self.push_bits(timestamp_ms, SampleKind::Float, value.to_bits());
    }

    /// Adds an integer to the open row.
    #[inline]
    pub fn push_integer(&mut self, timestamp_ms: i64, value: i64) {
        self.push_bits(timestamp_ms, SampleKind::Integer, value as u64);
    }

    /// Adds a native histogram to the open row, or the stale marker when its sum is that. `Err`, and
    /// nothing is added, when it breaks a rule.
    pub fn push_histogram(
        &mut self,
        timestamp_ms: i64,
        histogram: &Histogram,
    ) -> Result<(), HistogramError> {
        if is_stale(histogram.sum) {
            self.push_bits(timestamp_ms, SampleKind::Float, STALE_NAN_BITS);
            return Ok(());
        }
        histogram.validate()?;
        let start = self.blobs.len();
        histogram::encode(histogram, &mut self.blobs);
        let bits = (start as u64) << 32 | (self.blobs.len() - start) as u64;
        self.push_bits(timestamp_ms, SampleKind::Histogram, bits);
        Ok(())
    }

    /// Says when the counting of the last sample began; 0 says nothing.
    #[inline]
    pub fn set_start(&mut self, start_ms: i64) {
        if start_ms != 0 && !self.timestamps.is_empty() {
            self.starts.resize(self.timestamps.len() - 1, 0);
            self.starts.push(start_ms);
        }
    }

    /// Adds a sample; one of another kind than the row's opens a further row of the same series.
    #[inline]
    pub fn push_bits(&mut self, timestamp_ms: i64, kind: SampleKind, bits: u64) {
        let Some(row) = self.rows.last_mut() else {
            return;
        };
        if row.sample_count == 0 {
            row.kind = kind;
        }
        if row.kind == kind {
            row.sample_count += 1;
        } else {
            let first_sample = self.timestamps.len() as u32;
            let next = Row { first_sample, sample_count: 1, kind, ..*row };
            self.rows.push(next);
        }
        self.timestamps.push(timestamp_ms);
        self.values.push(bits);
    }

    /// Drops the open row with its labels and samples.
    pub fn abandon_row(&mut self) {
        if let Some(mut row) = self.rows.pop() {
            // Samples of several kinds are several rows of one key.
            while let Some(same) = self.rows.pop_if(|same| same.key_offset == row.key_offset) {
                row = same;
            }
            self.keys.truncate(row.key_offset as usize);
            self.timestamps.truncate(row.first_sample as usize);
            self.values.truncate(row.first_sample as usize);
            self.starts.truncate(row.first_sample as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Labels;

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    #[test]
    fn rows_come_out_sorted_and_hash_alike() {
        let mut batch = batch();
        for pairs in [[("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]] {
            batch.begin_row();
            for (name, value) in pairs {
                batch.push_label(name.as_bytes(), value.as_bytes());
            }
            batch.push_label(b"empty", b"");
            batch.end_labels().unwrap();
            batch.push_float(1, 2.0);
        }
        let rows = batch.rows();
        assert_eq!(rows[0].hash, rows[1].hash);
        let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
        assert_eq!(batch.labels(&rows[1]), labels.view());
        assert_eq!(batch.samples(&rows[1]), (&[1i64][..], &[2.0f64.to_bits()][..]));
    }

    #[test]
    fn duplicates_are_refused_and_kinds_split_rows() {
        let mut batch = batch();
        batch.begin_row();
        batch.push_label(b"a", b"1");
        batch.push_label(b"a", b"2");
        assert!(batch.end_labels().is_err());
        batch.abandon_row();
        assert!(batch.is_empty());
        batch.begin_row();
        batch.push_label(b"a", b"1");
        batch.end_labels().unwrap();
        batch.push_integer(1, 5);
        batch.push_float(2, 5.5);
        assert_eq!(batch.rows().len(), 2);
        assert_eq!(batch.rows()[0].hash, batch.rows()[1].hash);
        assert_eq!(batch.samples(&batch.rows()[1]).0, [2]);
    }
}
