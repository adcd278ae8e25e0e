//! How many threads the queries of a process keep busy together.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

/// Series of a scan from which on a second thread pays: fewer are folded before it has begun.
const SERIES_MIN: usize = 256;

/// Threads that queries may use beside their own while the machine has nothing else to do: as soon as as many
/// queries run as there are processors, each has one thread.
#[derive(Debug)]
pub struct Helpers {
    /// Processors that run no query; below zero when more queries run than there are.
    idle: AtomicIsize,
    series_min: usize,
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
        Self { idle, series_min: SERIES_MIN }
    }

    /// The same for scans of any size, for tests.
    #[cfg(test)]
    pub(crate) fn for_all(threads: usize) -> Self {
        Self { series_min: 1, ..Self::new(threads) }
    }

    /// Counts the thread of a query that begins.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// True when a scan of so many series may be shared among threads at the moment.
    pub(crate) fn pay_for(&self, series: usize) -> bool {
        series >= self.series_min && self.idle.load(Ordering::Relaxed) > 0
    }

    /// Up to `wanted` threads that have nothing else to do.
    pub(crate) fn take(self: &Arc<Self>, wanted: usize) -> Vec<Busy> {
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
        assert!(helpers.pay_for(SERIES_MIN) && !helpers.pay_for(SERIES_MIN - 1));
        let taken = helpers.take(5);
        assert_eq!(taken.len(), 2);
        assert!(!helpers.pay_for(SERIES_MIN));
        let others = [helpers.begin(), helpers.begin()];
        drop(taken);
        assert_eq!(helpers.take(1).len(), 0);
        drop((others, own));
        assert_eq!(helpers.take(9).len(), 3);
        assert_eq!(Arc::new(Helpers::default()).take(1).len(), 0);
    }
}
