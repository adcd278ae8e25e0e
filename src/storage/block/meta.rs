//! What a block is: the content of `meta.json`, repeated in the manifest.

use model::TimeRange;
use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::layout::BlockId;

/// Version that this program writes.
pub(crate) const BLOCK_VERSION: u32 = 1;
/// Version of blocks of summaries.
pub(crate) const ROLLUP_VERSION: u32 = 2;

/// What a block of summaries covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RollupMeta {
    /// Length of the buckets in milliseconds; they begin at its multiples.
    pub(crate) width_ms: i64,
    /// First instant covered, the start of a bucket.
    pub(crate) start_ms: i64,
    /// Last instant covered, the end of a bucket.
    pub(crate) end_ms: i64,
    /// Which rules chose the series: `rollup/rules.rs` makes the number.
    pub(crate) rules: u64,
}

impl RollupMeta {
    /// All that is covered.
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange::new(self.start_ms, self.end_ms)
    }

    /// `range` widened to whole buckets.
    pub(crate) fn widen(&self, range: TimeRange) -> TimeRange {
        let start = |at_ms: i64| at_ms.div_euclid(self.width_ms).saturating_mul(self.width_ms);
        let end_ms = start(range.end_ms).saturating_add(self.width_ms - 1);
        TimeRange::new(start(range.start_ms), end_ms)
    }
}

/// A block's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockMeta {
    /// Version of the block's format.
    pub(crate) block_version: u32,
    /// Its id.
    pub(crate) id: BlockId,
    /// Whose samples.
    pub(crate) tenant: u32,
    /// Of which shard.
    pub(crate) shard: u16,
    /// How often its samples have been merged; 0 comes from the head.
    pub(crate) level: u32,
    /// Earliest sample.
    pub(crate) min_time_ms: i64,
    /// Latest sample.
    pub(crate) max_time_ms: i64,
    /// Number of series.
    pub(crate) series: u64,
    /// Number of samples.
    pub(crate) samples: u64,
    /// Number of chunks.
    pub(crate) chunks: u64,
    /// Bytes of the object `index`.
    pub(crate) index_bytes: u64,
    /// Bytes of the object `chunks`.
    pub(crate) chunks_bytes: u64,
    /// The blocks that it was merged from.
    pub(crate) sources: Vec<BlockId>,
    /// What it covers, if it holds summaries instead of samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollup: Option<RollupMeta>,
}

impl Serialize for BlockId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BlockId::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no block id")))
    }
}

impl BlockMeta {
    /// From the earliest to the latest sample.
    pub(crate) fn time_range(&self) -> TimeRange {
        TimeRange::new(self.min_time_ms, self.max_time_ms)
    }

    /// What it holds, in a word.
    pub(crate) fn content(&self) -> &'static str {
        if self.rollup.is_some() { "summaries" } else { "samples" }
    }

    /// The bytes of `meta.json`.
    pub(crate) fn document(&self) -> Result<Vec<u8>, StorageError> {
        serde_json::to_vec_pretty(self).map_err(|error| StorageError::Invariant {
            invariant: "meta.json is JSON",
            detail: error.to_string(),
        })
    }
}

#[cfg(test)]
impl BlockMeta {
    /// The description of a block with one sample, for tests.
    pub(crate) fn example(id: u128) -> Self {
        Self {
            block_version: BLOCK_VERSION,
            id: BlockId(id),
            tenant: 0,
            shard: 0,
            level: 0,
            min_time_ms: 0,
            max_time_ms: 1,
            series: 1,
            samples: 1,
            chunks: 1,
            index_bytes: 0,
            chunks_bytes: 0,
            sources: Vec::new(),
            rollup: None,
        }
    }
}
