//! What a block is: the content of `meta.json`, repeated in the manifest.

use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::layout::BlockId;

/// Version that this program writes.
pub(crate) const BLOCK_VERSION: u32 = 1;

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
    /// The bytes of `meta.json`.
    pub(crate) fn document(&self) -> Result<Vec<u8>, StorageError> {
        serde_json::to_vec_pretty(self).map_err(|error| StorageError::Invariant {
            invariant: "meta.json is JSON",
            detail: error.to_string(),
        })
    }
}
