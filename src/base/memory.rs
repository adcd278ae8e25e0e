//! How much memory the process holds, against how much it may: one reading that everybody who takes
//! or gives memory looks at.
//!
//! What is counted is memory that the system cannot take back: resident pages that are no file's. Pages
//! of mapped blocks come and go as the system likes. Work that is about to take much at once, such as a
//! body that is read or an answer that is written out, claims it first: a claim counts as held already,
//! so two of them cannot both see the last free room. Memory that has been taken is seen by the
//! reading, so a claim ends when the growth does.
//!
//! What has been taken in must be written out one day, which takes memory again: that is owed, and counts
//! as held from the beginning, or there would be no room left to make room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Milliseconds for which a reading holds.
const READING_MS: u64 = 2;
/// Shares of the limit, in percent, from which memory is tight, scarce, crowded and full. Between the last
/// and the limit there is room for what was begun before.
const TIGHT_PERCENT: u64 = 60;
const SCARCE_PERCENT: u64 = 67;
const CROWDED_PERCENT: u64 = 70;
const FULL_PERCENT: u64 = 75;
/// Share of the limit, in percent, from which it is worth the trouble to give freed memory back.
const GIVE_BACK_PERCENT: u64 = 40;
/// Bytes of a page, as `/proc` counts them on all platforms that we build for.
const PAGE_BYTES: u64 = 4096;

/// How full memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryLevel {
    /// There is enough.
    Calm,
    /// What can be written out and given back should be.
    Tight,
    /// No new series may be taken in: what is left is for samples of those that there are.
    Scarce,
    /// Nothing more may be taken in: what is left is for questions, which are small and soon over.
    Crowded,
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
    /// Bytes of all claims.
    claimed: AtomicU64,
    /// Bytes that are needed to write out what was taken in.
    owed: AtomicU64,
    /// While some of that is being spent: how much of it, and what will be held at the end; else 0.
    spending: AtomicU64,
    due: AtomicU64,
    give_back: fn(),
}

/// Memory that somebody is about to take; the claim ends with the value.
#[derive(Debug)]
pub struct Claim {
    watch: Arc<MemoryWatch>,
    bytes: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.watch.claimed.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Memory that is owed and now needed; one at a time. Ends with the value.
#[derive(Debug)]
pub struct Spending(Arc<MemoryWatch>);

impl Drop for Spending {
    fn drop(&mut self) {
        self.0.due.store(0, Ordering::Relaxed);
        self.0.spending.store(0, Ordering::Relaxed);
    }
}

/// The process has no memory to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process is at its memory limit of {limit} bytes")]
pub struct MemoryFull {
    /// The limit in bytes.
    pub limit: u64,
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
        Self {
            limit,
            began: Instant::now(),
            read_ms: AtomicU64::new(0),
            used: AtomicU64::new(0),
            read,
            claimed: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            spending: AtomicU64::new(0),
            due: AtomicU64::new(0),
            give_back: || {},
        }
    }

    /// With a function that returns what the calling thread has freed to the system; only the program
    /// knows its allocator.
    pub fn giving_back(self, give_back: fn()) -> Self {
        Self { give_back, ..self }
    }

    /// Returns freed memory of this thread to the system while memory is not calm. For the end of work
    /// that took much: an allocator keeps what a thread has freed until the thread asks for more.
    pub fn give_back(&self) {
        if self.level() != MemoryLevel::Calm {
            (self.give_back)();
        }
    }

    /// [`Self::give_back`] for a thread that waits for work and has nothing better to do: it begins while
    /// memory is still calm.
    pub fn give_back_idle(&self) {
        if self.is_worth_giving_back() {
            (self.give_back)();
        }
    }

    /// True when so much is held that freed memory should not be kept for later.
    pub fn is_worth_giving_back(&self) -> bool {
        self.limit > 0 && self.used().saturating_mul(100) / self.limit >= GIVE_BACK_PERCENT
    }

    /// Claims `bytes` for a question that is about to take them; fails where memory would be full with
    /// them.
    pub fn claim(self: &Arc<Self>, bytes: u64) -> Result<Claim, MemoryFull> {
        self.claim_below(MemoryLevel::Full, bytes)
    }

    /// [`Self::claim`] for what is to be stored; fails where memory would be crowded.
    pub fn claim_to_write(self: &Arc<Self>, bytes: u64) -> Result<Claim, MemoryFull> {
        self.claim_below(MemoryLevel::Crowded, bytes)
    }

    fn claim_below(self: &Arc<Self>, level: MemoryLevel, bytes: u64) -> Result<Claim, MemoryFull> {
        let before = self.claimed.fetch_add(bytes, Ordering::Relaxed);
        // From here on the claim gives back what was added.
        let claim = Claim { watch: Arc::clone(self), bytes };
        if self.limit == 0 {
            return Ok(claim);
        }
        let held = self.held().saturating_add(before).saturating_add(bytes);
        if self.level_of(held) >= level {
            return Err(MemoryFull { limit: self.limit });
        }
        Ok(claim)
    }

    /// Notes that writing out what was taken in will need `bytes` more.
    pub fn owe(&self, bytes: u64) {
        self.owed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that `bytes` of what [`Self::owe`] noted are needed no more.
    pub fn settle(&self, bytes: u64) {
        self.owed.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that are owed.
    pub fn owed(&self) -> u64 {
        self.owed.load(Ordering::Relaxed)
    }

    /// From now on `bytes` more will be taken, of which `owed` were noted before. Nobody is asked: what is
    /// in the way of room must go.
    pub fn spend(self: &Arc<Self>, bytes: u64, owed: u64) -> Spending {
        self.due.store(self.used().saturating_add(bytes), Ordering::Relaxed);
        self.spending.store(owed, Ordering::Relaxed);
        Spending(Arc::clone(self))
    }

    /// Bytes that are held or will be, without the claims.
    fn held(&self) -> u64 {
        let owed = self.owed().saturating_sub(self.spending.load(Ordering::Relaxed));
        self.used().max(self.due.load(Ordering::Relaxed)).saturating_add(owed)
    }

    /// Bytes that can be taken before memory is tight.
    pub fn room(&self) -> u64 {
        if self.limit == 0 {
            return u64::MAX;
        }
        let end = u128::from(self.limit) * u128::from(TIGHT_PERCENT) / 100;
        (end as u64).saturating_sub(self.held().saturating_add(self.claimed()))
    }

    /// Bytes of all claims.
    pub fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::Relaxed)
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
        self.level_of(self.held().saturating_add(self.claimed()))
    }

    fn level_of(&self, held: u64) -> MemoryLevel {
        match held.saturating_mul(100) / self.limit {
            FULL_PERCENT.. => MemoryLevel::Full,
            CROWDED_PERCENT.. => MemoryLevel::Crowded,
            SCARCE_PERCENT.. => MemoryLevel::Scarce,
            TIGHT_PERCENT.. => MemoryLevel::Tight,
            _ => MemoryLevel::Calm,
        }
    }

    /// Fails when nothing more may be begun.
    pub fn check(&self) -> Result<(), MemoryFull> {
        if self.is_full() { Err(MemoryFull { limit: self.limit }) } else { Ok(()) }
    }

    /// Fails when nothing more may be taken in.
    pub fn check_writes(&self) -> Result<(), MemoryFull> {
        if self.takes_writes() { Ok(()) } else { Err(MemoryFull { limit: self.limit }) }
    }

    /// True while more may be taken in.
    pub fn takes_writes(&self) -> bool {
        self.level() < MemoryLevel::Crowded
    }

    /// True while new series may be taken in.
    pub fn takes_series(&self) -> bool {
        self.level() < MemoryLevel::Scarce
    }

    /// True when nothing more may be begun.
    pub fn is_full(&self) -> bool {
        self.level() == MemoryLevel::Full
    }
}

/// Resident bytes of this process that are no file's: the second field of `statm` without the third,
/// proc(5). None where the system has no such file.
pub fn anonymous_bytes() -> Option<u64> {
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
        check(1045, MemoryLevel::Tight);
        check(1044, MemoryLevel::Scarce);
        check(1001, MemoryLevel::Scarce);
        check(1000, MemoryLevel::Crowded);
        check(934, MemoryLevel::Crowded);
        check(933, MemoryLevel::Full);
        check(1, MemoryLevel::Full);
        assert!(!MemoryWatch::reading(1, || None).is_full(), "nobody can tell");
    }

    #[test]
    fn claims_count_as_held_until_they_end() {
        let watch = Arc::new(MemoryWatch::reading(1000, || Some(500)));
        let first = watch.claim(200).unwrap();
        assert_eq!(watch.level(), MemoryLevel::Crowded);
        assert_eq!(watch.claim(60).unwrap_err(), MemoryFull { limit: 1000 });
        assert_eq!(watch.claimed(), 200, "a refused claim leaves nothing behind");
        assert!(watch.claim_to_write(20).is_err() && watch.claim(20).is_ok());
        assert_eq!(watch.room(), 0);
        let second = watch.claim(40).unwrap();
        drop(first);
        assert_eq!(watch.claimed(), 40);
        drop(second);
        assert_eq!(watch.level(), MemoryLevel::Calm);
        let unlimited = Arc::new(MemoryWatch::reading(0, || Some(500)));
        assert!(unlimited.claim(u64::MAX / 2).is_ok());
        assert_eq!((watch.room(), unlimited.room()), (100, u64::MAX));
    }

    #[test]
    fn what_is_owed_counts_until_it_is_held() {
        static HELD: AtomicU64 = AtomicU64::new(400);
        let hold = |bytes| {
            HELD.store(bytes, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(2 * READING_MS));
        };
        let watch = MemoryWatch::reading(1000, || Some(HELD.load(Ordering::Relaxed)));
        let watch = Arc::new(watch);
        watch.owe(300);
        assert_eq!((watch.level(), watch.takes_writes()), (MemoryLevel::Crowded, false));
        let spending = watch.spend(250, 250);
        assert_eq!(watch.level(), MemoryLevel::Crowded, "nothing is taken yet, and it will be");
        hold(640);
        assert_eq!(watch.level(), MemoryLevel::Crowded, "it is held, and not counted twice");
        hold(420);
        drop(spending);
        watch.settle(250);
        assert_eq!((watch.level(), watch.owed()), (MemoryLevel::Calm, 50));
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
