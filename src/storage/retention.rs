//! What is too old to keep (policy).

use crate::layout::BlockId;
use crate::manifest::edit::BlockEntry;

/// The earliest instant that is kept at `now_ms`.
pub(crate) fn earliest_kept(now_ms: i64, retention_ms: Option<i64>) -> i64 {
    retention_ms.map_or(i64::MIN, |ms| now_ms.saturating_sub(ms))
}

/// Blocks without a sample at or after `earliest_ms`.
pub(crate) fn expired(blocks: &[BlockEntry], earliest_ms: i64) -> Vec<BlockId> {
    let is_expired = |entry: &&BlockEntry| entry.meta.max_time_ms < earliest_ms;
    blocks.iter().filter(is_expired).map(|entry| entry.meta.id).collect()
}
