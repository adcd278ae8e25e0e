//! How much memory the process holds, against how much it may: one reading that everybody who takes
//! or gives memory looks at.
//!
//! What is counted is memory that the system cannot take back: resident pages that are no file's. Pages
//! of mapped blocks come and go as the system likes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Milliseconds for which a reading holds.
const READING_MS: u64 = 2;
/// Shares of the limit, in percent, from which memory is tight and full. Between the second and the limit
/// there is room for what was begun before.
const TIGHT_PERCENT: u64 = 60;
const FULL_PERCENT: u64 = 75;
/// Bytes of a page, as `/proc` counts them on all platforms that we build for.
const PAGE_BYTES: u64 = 4096;

/// How full memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryLevel {
    /// There is enough.
    Calm,
    /// What can be written out and given back should be.
    Tight,
    /// Nothing more may be begun.
    Full,
}

/// Watches the memory of this process.
#[derive(Debug)]
pub struct MemoryWatch {
    /// Bytes; 0 is no limit.
    limit: u64,
    began: Instant,
    /// When `used` was read, in milliseconds since `began`, plus one; 0 is never.
    read_ms: AtomicU64,
    used: AtomicU64,
    read: fn() -> Option<u64>,
}

impl Default for MemoryWatch {
    fn default() -> Self {
        Self::new(0)
    }
}

impl MemoryWatch {
    /// Watches for `limit` bytes; 0 is no limit.
    pub fn new(limit: u64) -> Self {
        Self::reading(limit, anonymous_bytes)
    }

    /// A watch whose readings come from `read`, for tests.
    pub fn reading(limit: u64, read: fn() -> Option<u64>) -> Self {
        let (read_ms, used) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { limit, began: Instant::now(), read_ms, used, read }
    }

    /// The limit in bytes; 0 is none.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that the process holds, as read at most some milliseconds ago; 0 where nobody can tell.
    pub fn used(&self) -> u64 {
        let now_ms = self.began.elapsed().as_millis() as u64 + 1;
        let read_ms = self.read_ms.load(Ordering::Relaxed);
        let is_due = read_ms == 0 || now_ms >= read_ms + READING_MS;
        let order = Ordering::Relaxed;
        // One thread reads; the others take what there is.
        if is_due && self.read_ms.compare_exchange(read_ms, now_ms, order, order).is_ok() {
            self.used.store((self.read)().unwrap_or(0), order);
        }
        self.used.load(order)
    }

    /// How full memory is; always calm without a limit.
    pub fn level(&self) -> MemoryLevel {
        if self.limit == 0 {
            return MemoryLevel::Calm;
        }
        let percent = self.used().saturating_mul(100) / self.limit;
        match percent {
            FULL_PERCENT.. => MemoryLevel::Full,
            TIGHT_PERCENT.. => MemoryLevel::Tight,
            _ => MemoryLevel::Calm,
        }
    }

    /// True when nothing more may be begun.
    pub fn is_full(&self) -> bool {
        self.level() == MemoryLevel::Full
    }
}

/// Resident bytes that are no file's: the second field of `statm` without the third. proc(5).
fn anonymous_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split(' ').skip(1).map_while(|field| field.parse::<u64>().ok());
    let (resident, of_files) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(of_files) * PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_share_of_the_limit() {
        let check =
            |limit, want| assert_eq!(MemoryWatch::reading(limit, || Some(700)).level(), want);
        check(0, MemoryLevel::Calm);
        check(1167, MemoryLevel::Calm);
        check(1166, MemoryLevel::Tight);
        check(934, MemoryLevel::Tight);
        check(933, MemoryLevel::Full);
        check(1, MemoryLevel::Full);
        assert!(!MemoryWatch::reading(1, || None).is_full(), "nobody can tell");
    }

    #[test]
    fn memory_that_is_held_is_counted() {
        let watch = MemoryWatch::new(1);
        let before = anonymous_bytes();
        let held = vec![1u8; 64 << 20];
        let after = anonymous_bytes();
        if let (Some(before), Some(after)) = (before, after) {
            assert!(after > before + (48 << 20), "{before} {after}");
            assert!(watch.is_full());
        }
        assert_eq!(held[held.len() - 1], 1);
    }
}
