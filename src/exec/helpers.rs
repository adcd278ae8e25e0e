//! How many threads the queries of a process keep busy together.

use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, OnceLock};

use model::TimeRange;
use rayon_core::{ThreadPool, ThreadPoolBuilder};

/// Series of a scan from which on a second thread pays: fewer are folded before it has begun.
const SERIES_MIN: usize = 256;
/// Milliseconds that a scan must reach over: to hand on a row that was folded from few samples costs more than
/// to fold it. Instants with the usual look-back or window stay below.
const SPAN_MIN_MS: i64 = 20 * 60 * 1000;

/// Threads that queries may use beside their own while the machine has nothing else to do: as soon as as many
/// queries run as there are processors, each has one thread.
#[derive(Debug)]
pub struct Helpers {
    /// Processors that run no query; below zero when more queries run than there are.
    idle: AtomicIsize,
    threads: usize,
    /// Started when the first query wants them; `None` where they cannot be.
    pool: OnceLock<Option<ThreadPool>>,
    series_min: usize,
    span_min_ms: i64,
}

/// A thread that works for a query, until it is dropped.
#[derive(Debug)]
pub struct Busy(Arc<Helpers>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Helpers {
    /// Every query has its own thread only.
    fn default() -> Self {
        Self::new(0)
    }
}

impl Helpers {
    /// For `threads` threads in all; with up to one every query has its own only.
    pub fn new(threads: usize) -> Self {
        let idle = AtomicIsize::new(isize::try_from(threads).unwrap_or(isize::MAX));
        let pool = OnceLock::new();
        Self { idle, threads, pool, series_min: SERIES_MIN, span_min_ms: SPAN_MIN_MS }
    }

    /// The same for scans of any size, for tests.
    #[cfg(test)]
    pub(crate) fn for_all(threads: usize) -> Self {
        Self { series_min: 1, span_min_ms: 0, ..Self::new(threads) }
    }

    /// Counts the thread of a query that begins.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// The threads. They wait between queries: one that is started for a query begins without a heap, and
    /// later than the query's own thread has done a good part of the work.
    pub(crate) fn pool(&self) -> Option<&ThreadPool> {
        let start = || {
            let builder =
                ThreadPoolBuilder::new().num_threads(self.threads.saturating_sub(1).max(1));
            let pool = builder.thread_name(|number| format!("query-helper-{number}")).build();
            pool.ok()
        };
        self.pool.get_or_init(start).as_ref()
    }

    /// True when a scan of this range may be shared among threads at the moment, if it finds many series.
    pub(crate) fn pay_for(&self, range: TimeRange) -> bool {
        range.end_ms.saturating_sub(range.start_ms) >= self.span_min_ms
            && self.idle.load(Ordering::Relaxed) > 0
    }

    /// Up to `wanted` threads that have nothing else to do, for a scan of so many series.
    pub(crate) fn take(self: &Arc<Self>, wanted: usize, series: usize) -> Vec<Busy> {
        let wanted = if series >= self.series_min { wanted } else { 0 };
        let mut taken = Vec::new();
        let order = Ordering::Relaxed;
        while taken.len() < wanted
            && self.idle.fetch_update(order, order, |idle| (idle > 0).then_some(idle - 1)).is_ok()
        {
            taken.push(Busy(Arc::clone(self)));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_help_while_nobody_else_needs_them() {
        let helpers = Arc::new(Helpers::new(3));
        let own = helpers.begin();
        let (long, short) = (TimeRange::new(0, SPAN_MIN_MS), TimeRange::new(1, SPAN_MIN_MS));
        assert!(helpers.pay_for(long) && !helpers.pay_for(short));
        assert_eq!(helpers.take(5, SERIES_MIN - 1).len(), 0);
        let taken = helpers.take(5, SERIES_MIN);
        assert_eq!(taken.len(), 2);
        assert!(!helpers.pay_for(long));
        let others = [helpers.begin(), helpers.begin()];
        drop(taken);
        assert_eq!(helpers.take(1, SERIES_MIN).len(), 0);
        drop((others, own));
        assert_eq!(helpers.take(9, SERIES_MIN).len(), 3);
        assert_eq!(Arc::new(Helpers::default()).take(1, SERIES_MIN).len(), 0);
    }
}
