//! Writes a block: series in label order, each with its samples, become the objects `chunks`,
//! `index` and `meta.json`, in that order.
//!
//! Invariant: the block exists for readers only once a manifest names it; whatever a failed writer
//! leaves behind is removed by the sweep.

use std::sync::Arc;

use base::frame::checksum;
use bytes::Bytes;
use chunk::{
    Effort, HistogramsEncoder, SummariesEncoder, TimestampsEncoder, ValuesEncoder, put_starts,
};
use hashbrown::HashMap;
use index::SegmentWriter;
use model::{Histogram, LabelsRef, SampleKind, Samples, SeriesHasher, TenantId};

use crate::block::meta::{BLOCK_VERSION, BlockMeta, ROLLUP_VERSION, RollupMeta};
use crate::block::page::{CHUNKS_MAGIC, ColumnEntry, Footer, PageBuilder, PageEntry, Section};
use crate::collect::{for_each_run, run_bits, run_starts};
use crate::error::{StorageError, index_error};
use crate::layout::{BlockId, BlockPart, Layout};
use crate::object::io::{ObjectIo, Upload};

/// What distinguishes a new block.
#[derive(Clone, Debug)]
pub(crate) struct NewBlock {
    /// Its id.
    pub(crate) id: BlockId,
    /// Whose samples.
    pub(crate) tenant: TenantId,
    /// How often they have been merged.
    pub(crate) level: u32,
    /// Most samples of a chunk.
    pub(crate) chunk_samples_max: usize,
    /// The blocks that it is merged from.
    pub(crate) sources: Vec<BlockId>,
    /// What it covers, if it takes summaries instead of samples.
    pub(crate) rollup: Option<RollupMeta>,
}

/// A block that is being written.
pub(crate) struct BlockWriter<'a> {
    io: &'a Arc<ObjectIo>,
    layout: &'a Layout,
    new: NewBlock,
    upload: Upload<'a>,
    segment: SegmentWriter,
    page: PageBuilder,
    pages: Vec<u8>,
    page_first_series: u32,
    columns: Columns,
    meta: BlockMeta,
    scratch: Scratch,
}

struct Scratch {
    timestamps_encoder: TimestampsEncoder,
    values_encoder: ValuesEncoder,
    histograms_encoder: HistogramsEncoder,
    summaries_encoder: SummariesEncoder,
    histograms: Vec<Arc<Histogram>>,
    bits: Vec<u64>,
    blob: Vec<u8>,
    values: Vec<u8>,
    columns: Vec<u32>,
    lengths: Vec<u32>,
    page: Vec<u8>,
}

impl Scratch {
    fn new() -> Self {
        Self {
            timestamps_encoder: TimestampsEncoder::new(Effort::Best),
            values_encoder: ValuesEncoder::new(Effort::Best),
            histograms_encoder: HistogramsEncoder::new(Effort::Best),
            summaries_encoder: SummariesEncoder::new(Effort::Best),
            histograms: Vec::new(),
            bits: Vec::new(),
            blob: Vec::new(),
            values: Vec::new(),
            columns: Vec::new(),
            lengths: Vec::new(),
            page: Vec::new(),
        }
    }
}

impl Scratch {
    /// Appends the values of a run to `values`, with its start timestamps if it has any; returns
    /// the bytes they take.
    fn put_values(
        &mut self,
        samples: &Samples,
        kind: SampleKind,
        range: std::ops::Range<usize>,
    ) -> u32 {
        let (before, count) = (self.values.len(), range.len());
        if let Some(summaries) = samples.summaries.get(range.clone()) {
            self.summaries_encoder.encode(summaries, &mut self.values);
        } else if kind == SampleKind::Histogram {
            self.histograms.clear();
            self.histograms.extend(samples.histograms[range.clone()].iter().flatten().cloned());
            self.histograms_encoder.encode(&self.histograms, &mut self.values);
        } else {
            run_bits(samples, kind, range.clone(), &mut self.bits);
            self.values_encoder.encode(kind, &self.bits, &mut self.values);
        }
        if run_starts(samples, range, &mut self.bits) {
            self.blob.clear();
            self.values_encoder.encode(SampleKind::Integer, &self.bits, &mut self.blob);
            put_starts(count, &self.blob, before, &mut self.values);
        }
        (self.values.len() - before) as u32
    }
}

/// The distinct columns of timestamps.
struct Columns {
    hasher: SeriesHasher,
    /// Hash of a blob → its number. 128 bits under a random seed stand for the blob itself.
    known: HashMap<u128, u32>,
    table: Vec<u8>,
    count: u32,
}

impl Columns {
    /// The number of the column `blob`; a new one is written to `upload`.
    fn intern(
        &mut self,
        timestamps: &[i64],
        blob: &[u8],
        upload: &mut Upload<'_>,
    ) -> Result<u32, StorageError> {
        let hash = self.hasher.hash(blob);
        if let Some(number) = self.known.get(&hash) {
            return Ok(*number);
        }
        let entry = ColumnEntry {
            offset: upload.length(),
            length: blob.len() as u32,
            crc: checksum(blob),
            count: timestamps.len() as u32,
            min_ms: timestamps.first().copied().unwrap_or_default(),
            max_ms: timestamps.last().copied().unwrap_or_default(),
        };
        upload.write(blob)?;
        entry.put(&mut self.table);
        self.known.insert(hash, self.count);
        self.count += 1;
        Ok(self.count - 1)
    }
}

impl<'a> BlockWriter<'a> {
    /// Begins a block.
    pub(crate) fn new(
        io: &'a Arc<ObjectIo>,
        layout: &'a Layout,
        new: NewBlock,
    ) -> Result<Self, StorageError> {
        let mut upload = io.upload(&layout.block_part(new.tenant, new.id, BlockPart::Chunks))?;
        upload.write(&CHUNKS_MAGIC)?;
        let meta = BlockMeta {
            block_version: new.rollup.map_or(BLOCK_VERSION, |_| ROLLUP_VERSION),
            id: new.id,
            tenant: new.tenant.0,
            shard: layout.shard(),
            level: new.level,
            min_time_ms: i64::MAX,
            max_time_ms: i64::MIN,
            series: 0,
            samples: 0,
            chunks: 0,
            index_bytes: 0,
            chunks_bytes: 0,
            sources: new.sources.clone(),
            rollup: new.rollup,
        };
        let columns = Columns {
            hasher: SeriesHasher::from_entropy(),
            known: HashMap::new(),
            table: Vec::new(),
            count: 0,
        };
        Ok(Self {
            io,
            layout,
            new,
            upload,
            segment: SegmentWriter::new(),
            page: PageBuilder::default(),
            pages: Vec::new(),
            page_first_series: 0,
            columns,
            meta,
            scratch: Scratch::new(),
        })
    }

    /// Adds a series behind all those added before, with its samples, which were collected with
    /// all their columns. A series without samples is left out.
    pub(crate) fn add(
        &mut self,
        labels: LabelsRef<'_>,
        samples: &Samples,
    ) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (samples.timestamps.first(), samples.timestamps.last())
        else {
            return Ok(());
        };
        self.meta.min_time_ms = self.meta.min_time_ms.min(*first);
        self.meta.max_time_ms = self.meta.max_time_ms.max(*last);
        self.encode(samples)?;
        self.segment.push(labels).map_err(|error| index_error("a new block", error))?;
        let Scratch { columns, lengths, values, .. } = &self.scratch;
        self.page.add(columns, lengths, values);
        self.meta.series += 1;
        self.meta.samples += samples.len() as u64;
        self.meta.chunks += columns.len() as u64;
        if self.page.is_full() { self.close_page() } else { Ok(()) }
    }

    /// Encodes the samples into the scratch: columns, lengths and values.
    fn encode(&mut self, samples: &Samples) -> Result<(), StorageError> {
        let Self { scratch, columns, upload, new, .. } = self;
        scratch.columns.clear();
        scratch.lengths.clear();
        scratch.values.clear();
        let mut result = Ok(());
        for_each_run(samples, new.chunk_samples_max, |kind, range| {
            if result.is_err() {
                return;
            }
            let timestamps = &samples.timestamps[range.clone()];
            scratch.blob.clear();
            scratch.timestamps_encoder.encode(timestamps, &mut scratch.blob);
            match columns.intern(timestamps, &scratch.blob, upload) {
                Ok(column) => scratch.columns.push(column),
                Err(error) => result = Err(error),
            }
            let length = scratch.put_values(samples, kind, range);
            scratch.lengths.push(length);
        });
        result
    }

    fn close_page(&mut self) -> Result<(), StorageError> {
        if self.page.is_empty() {
            return Ok(());
        }
        let page = &mut self.scratch.page;
        page.clear();
        self.page.finish(page);
        let entry = PageEntry {
            first_series: self.page_first_series,
            codec: 0,
            offset: self.upload.length(),
            length: page.len() as u32,
            crc: checksum(page),
        };
        self.upload.write(page)?;
        entry.put(&mut self.pages);
        self.page_first_series = self.meta.series as u32;
        Ok(())
    }

    fn put_section(&mut self, bytes: &[u8]) -> Result<Section, StorageError> {
        let offset = self.upload.length();
        self.upload.write(bytes)?;
        Ok(Section { offset, length: bytes.len() as u64, crc: checksum(bytes) })
    }

    /// Completes the block; `None`, and nothing is left behind, when it has no series.
    pub(crate) fn finish(mut self) -> Result<Option<BlockMeta>, StorageError> {
        if self.meta.series == 0 {
            return Ok(None);
        }
        self.close_page()?;
        let pages = std::mem::take(&mut self.pages);
        let columns = std::mem::take(&mut self.columns.table);
        let footer = Footer {
            pages: self.put_section(&pages)?,
            columns: self.put_section(&columns)?,
            series: self.meta.series as u32,
        };
        let mut end = Vec::new();
        footer.put(&mut end);
        self.upload.write(&end)?;
        self.meta.chunks_bytes = self.upload.length();
        self.upload.finish()?;
        let failed = |error| index_error("a new block", error);
        let segment = self.segment.finish().map_err(failed)?;
        self.meta.index_bytes = segment.len() as u64;
        let (tenant, id) = (self.new.tenant, self.new.id);
        let part = |part| self.layout.block_part(tenant, id, part);
        create(self.io, &part(BlockPart::Index), Bytes::from(segment))?;
        let document = self.meta.document()?;
        create(self.io, &part(BlockPart::Meta), Bytes::from(document))?;
        Ok(Some(self.meta))
    }
}

fn create(
    io: &ObjectIo,
    path: &object_store::path::Path,
    bytes: Bytes,
) -> Result<(), StorageError> {
    if io.create(path, bytes)? {
        return Ok(());
    }
    let reason = "it exists already".to_owned();
    Err(StorageError::Store { action: "create", path: path.to_string(), reason })
}
