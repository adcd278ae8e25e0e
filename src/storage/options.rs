//! What a user may choose about the store, with its defaults and the reason for each.

use std::path::PathBuf;
use std::sync::Arc;

use base::memory::MemoryWatch;

use crate::error::StorageError;
use crate::head::series::OFFSET_BELOW;
use crate::retention::RetentionRule;
use crate::rollup::rules::{RollupRule, WIDTHS_DIVIDE_MS, WIDTHS_MAX, widths};

/// When the write-ahead log is synced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalSync {
    /// Before every acknowledgement; many requests share one sync.
    Always,
    /// Every so many milliseconds; a power failure may lose what was acknowledged since the last.
    Interval(u64),
}

/// Options of one engine; [`EngineOptions::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Everything the store writes lies below this directory.
    pub data_dir: PathBuf,
    /// Which shard this engine is.
    pub shard: u16,
    /// When the log is synced. Default: always.
    pub wal_sync: WalSync,
    /// Size at which the next log file is started. Default 128 MiB: small enough that disk space
    /// comes back soon after a flush.
    pub wal_file_bytes: u64,
    /// Size of the whole log beyond which the oldest partitions are flushed early, which bounds
    /// the time of a restart. Default 2 GiB.
    pub wal_bytes_max: u64,
    /// Length of a time window in milliseconds, below 2^31. Default 2 h.
    pub partition_ms: i64,
    /// How long after the end of its window a partition is flushed. Default 15 min: the stragglers
    /// of a window are in its first block.
    pub flush_after_ms: i64,
    /// Estimated bytes of samples in the head beyond which the oldest partitions are flushed
    /// early; at twice that writes are refused until a flush has made room. Default 2 GiB.
    pub head_bytes_max: u64,
    /// Open windows beyond which the oldest are flushed early (a back-fill opens one per window);
    /// at eight times that writes are refused until a flush has made room. Default 64.
    pub partitions_max: usize,
    /// How long samples are kept. Default: for ever.
    pub retention_ms: Option<i64>,
    /// How long those of some series are kept instead; the first rule that matches counts. Default:
    /// no rules.
    pub retention_rules: Vec<RetentionRule>,
    /// Which series are rolled up; the first rule that matches counts. Default: none.
    pub rollup_rules: Vec<RollupRule>,
    /// Length of the ranges that are rolled up at once, a whole number of every width of the rules.
    /// Default 24 h.
    pub rollup_range_ms: i64,
    /// Bytes of log and blocks beyond which the oldest blocks go. Default: any number.
    pub retention_bytes: Option<u64>,
    /// How far in the future a sample may lie. Default: anywhere.
    pub future_ms_max: Option<i64>,
    /// Series that may be in the head at once. Default: any number.
    pub series_max: Option<u64>,
    /// The memory of the process: when it is tight the head is flushed, when it is full writes are
    /// refused. Default: no limit.
    pub memory: Arc<MemoryWatch>,
    /// Bytes of requests that may wait for the log. Default 256 MiB.
    pub queue_bytes_max: usize,
    /// Estimated memory of all documents. Default 1 GiB.
    pub document_bytes_max: u64,
    /// Where random numbers (of blocks, of copies) begin. Default: where nobody else does; tests
    /// give one to see the same life again.
    pub seed: Option<u64>,
    /// Run flush, compaction and retention by themselves. Default true; tests drive them by hand.
    pub background: bool,
    /// Write the whole head to blocks on [`crate::Engine::close`]. Default false: the log has it.
    pub flush_on_close: bool,
}

impl EngineOptions {
    /// The defaults, over `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            shard: 0,
            wal_sync: WalSync::Always,
            wal_file_bytes: 128 << 20,
            wal_bytes_max: 2 << 30,
            partition_ms: 2 * 3_600_000,
            flush_after_ms: 15 * 60_000,
            head_bytes_max: 2 << 30,
            partitions_max: 64,
            retention_ms: None,
            retention_rules: Vec::new(),
            rollup_rules: Vec::new(),
            rollup_range_ms: WIDTHS_DIVIDE_MS,
            retention_bytes: None,
            future_ms_max: None,
            series_max: None,
            memory: Arc::default(),
            queue_bytes_max: 256 << 20,
            document_bytes_max: 1 << 30,
            seed: None,
            background: true,
            flush_on_close: false,
        }
    }

    /// `Err` for values with which the store cannot work.
    pub fn check(&self) -> Result<(), StorageError> {
        let refuse = |name, reason: &str| {
            Err(StorageError::InvalidOption { name, reason: reason.to_owned() })
        };
        // Offsets inside a partition are 30 bits.
        if !(1..i64::from(OFFSET_BELOW)).contains(&self.partition_ms) {
            return refuse("partition_ms", "must be between 1 and 1073741823");
        }
        if self.wal_file_bytes < 4096 {
            return refuse("wal_file_bytes", "must be at least 4096");
        }
        if self.partitions_max == 0 {
            return refuse("partitions_max", "must be at least 1");
        }
        if self.queue_bytes_max == 0 {
            return refuse("queue_bytes_max", "must be at least 1");
        }
        let is_nothing = |keep_ms: Option<i64>| keep_ms.is_some_and(|ms| ms <= 0);
        if self.retention_rules.iter().any(|rule| is_nothing(rule.keep_ms)) {
            return refuse("retention_rules", "must keep for a positive time");
        }
        if is_nothing(self.retention_ms) {
            return refuse("retention_ms", "must be positive");
        }
        if self.rollup_rules.iter().any(|rule| is_nothing(rule.keep_ms)) {
            return refuse("rollup_rules", "must keep for a positive time");
        }
        let widths = widths(&self.rollup_rules);
        if widths.iter().any(|width| *width <= 0 || self.rollup_range_ms % width != 0) {
            return refuse("rollup_rules", "resolutions must divide a day");
        }
        let too_short = |keep_ms: i64| keep_ms < self.rollup_range_ms.saturating_mul(2);
        if !widths.is_empty() && self.retention_ms.is_some_and(too_short) {
            // What is let go before its range is over is never rolled up.
            return refuse("retention_ms", "must be two days at least where there are rollups");
        }
        if widths.len() > WIDTHS_MAX {
            return refuse("rollup_rules", "must not have more than eight resolutions");
        }
        Ok(())
    }
}
