//! What the engine says of itself, for status pages.

use index::HeadStatistics;
use model::{TenantId, TimeRange};

use super::Engine;
use crate::block::meta::BlockMeta;

/// One block, for status pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStatus {
    /// Its id.
    pub id: String,
    /// Earliest sample.
    pub min_time_ms: i64,
    /// Latest sample.
    pub max_time_ms: i64,
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// How often its samples have been merged; 0 comes from the head.
    pub level: u32,
    /// The blocks that it was merged from.
    pub sources: Vec<String>,
    /// Version of the format.
    pub version: u32,
}

impl BlockStatus {
    fn of(meta: &BlockMeta) -> Self {
        Self {
            id: meta.id.to_string(),
            min_time_ms: meta.min_time_ms,
            max_time_ms: meta.max_time_ms,
            series: meta.series,
            samples: meta.samples,
            chunks: meta.chunks,
            level: meta.level,
            sources: meta.sources.iter().map(ToString::to_string).collect(),
            version: meta.block_version,
        }
    }
}

/// What the engine holds, for status pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Series in the head.
    pub head_series: u64,
    /// Samples in the head.
    pub head_samples: u64,
    /// Chunks and open buffers in the head.
    pub head_chunks: u64,
    /// Open windows.
    pub partitions: u64,
    /// Blocks.
    pub blocks: u64,
    /// Samples in blocks; what several blocks have counts several times.
    pub block_samples: u64,
    /// Bytes of the blocks.
    pub block_bytes: u64,
    /// The earliest sample.
    pub min_time_ms: Option<i64>,
    /// The latest sample.
    pub max_time_ms: Option<i64>,
    /// False while writes are refused.
    pub is_writable: bool,
}

impl Engine {
    /// What the engine holds now.
    pub fn status(&self) -> EngineStatus {
        let view = self.shared.view.load();
        let mut range: Option<TimeRange> = None;
        let mut cover = |found: TimeRange| {
            range = Some(range.map_or(found, |range| range.hull(&found)));
        };
        let (mut head_samples, mut head_chunks, mut partitions) = (0, 0, 0);
        for (_, partition) in view.partitions() {
            let data = partition.read();
            head_samples += data.samples();
            head_chunks += data.chunks();
            partitions += 1;
            data.time_range().into_iter().for_each(&mut cover);
        }
        let (mut blocks, mut block_samples, mut block_bytes) = (0, 0, 0);
        for block in view.blocks().chain(view.rollups()) {
            blocks += 1;
            block_samples += block.meta.samples;
            block_bytes += block.bytes();
            cover(block.time_range());
        }
        EngineStatus {
            head_series: view.tenants.values().map(|tenant| tenant.index.len() as u64).sum(),
            head_samples,
            head_chunks,
            partitions,
            blocks,
            block_samples,
            block_bytes,
            min_time_ms: range.map(|range| range.start_ms),
            max_time_ms: range.map(|range| range.end_ms),
            is_writable: self.shared.metrics.storage_writable.get() == 1,
        }
    }

    /// The labels in the head of the default tenant, counted; at most `limit` counts of a kind.
    pub fn label_statistics(&self, limit: usize) -> HeadStatistics {
        let view = self.shared.view.load();
        view.tenants
            .get(&TenantId::DEFAULT)
            .map(|tenant| tenant.index.statistics(limit))
            .unwrap_or_default()
    }

    /// The live blocks, by time.
    pub fn block_list(&self) -> Vec<BlockStatus> {
        let view = self.shared.view.load();
        let mut blocks: Vec<BlockStatus> =
            view.blocks().chain(view.rollups()).map(|block| BlockStatus::of(&block.meta)).collect();
        blocks.sort_by_key(|block| block.min_time_ms);
        blocks
    }
}
