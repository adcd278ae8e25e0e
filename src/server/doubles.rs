//! Stores for tests: [`Gate`] is read, [`Moody`] is written to, and both wait as long as the test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ThreadId;

use futures::future::BoxFuture;
use model::{
    AppendError, AppendReport, Appender, Catalog, DeleteError, Hints, Labels, Matcher, SampleKind,
    Samples, Selection, SeriesHasher, Size, SnapshotError, Source, SourceError, TenantId,
    TimeRange, WriteBatch,
};
use parking_lot::{Condvar, Mutex};

use crate::state::{StoreFigures, StoreStatus};

/// A store without series, whose reads wait.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    /// Reads that came so far.
    pub(crate) entered: AtomicUsize,
    /// Where the last one was.
    pub(crate) thread: Mutex<Option<ThreadId>>,
}

impl Gate {
    /// Lets all reads go.
    pub(crate) fn open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }

    /// Waits until `count` reads have come.
    pub(crate) async fn wait_for(&self, count: usize) {
        while self.entered.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

/// A series that is longer than anybody could tell.
struct Long;

impl Selection for Long {
    fn len(&self) -> usize {
        1
    }

    fn labels(&self, _: usize) -> Labels {
        Labels::empty()
    }

    fn read(&self, _: usize, out: &mut Samples) -> Result<(), SourceError> {
        out.clear();
        (0..1_000_000).for_each(|at| out.push(at, SampleKind::Float, 0));
        Ok(())
    }
}

struct Nothing;

impl Selection for Nothing {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _: usize) -> Labels {
        Labels::empty()
    }

    fn read(&self, _: usize, _: &mut Samples) -> Result<(), SourceError> {
        Ok(())
    }
}

impl Source for Gate {
    fn select(
        &self,
        matchers: &[Matcher],
        _: TimeRange,
        _: &Hints,
    ) -> Result<Box<dyn Selection>, SourceError> {
        *self.thread.lock() = Some(std::thread::current().id());
        assert!(!matchers.contains(&Matcher::equal("__name__", "broken")), "this one panics");
        self.entered.fetch_add(1, Ordering::SeqCst);
        let mut is_open = self.is_open.lock();
        while !*is_open {
            self.opened.wait(&mut is_open);
        }
        if matchers.contains(&Matcher::equal("__name__", "long")) {
            return Ok(Box::new(Long));
        }
        Ok(Box::new(Nothing))
    }

    fn size_max(&self, matchers: &[Matcher], _: TimeRange, _: &Hints) -> Option<Size> {
        let is_few = |name: &str| matchers.contains(&Matcher::equal("__name__", name));
        ["few", "broken", "long"]
            .into_iter()
            .any(is_few)
            .then_some(Size { series: 1, length_ms: 0 })
    }
}

impl Catalog for Gate {
    fn label_names(
        &self,
        _: TenantId,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: TenantId,
        _: &str,
        _: &[Matcher],
        _: TimeRange,
        _: &str,
        _: usize,
    ) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }
}

impl StoreStatus for Gate {
    fn status(&self) -> StoreFigures {
        StoreFigures::default()
    }
}

/// What is stored: the series and time of each sample, and its value.
pub(crate) type Stored = BTreeMap<(String, i64), f64>;

/// A store that commits when the test lets it, and refuses what the test says.
#[derive(Default)]
pub(crate) struct Moody {
    /// Appends wait.
    pub(crate) is_slow: AtomicBool,
    /// Appends that were begun.
    begun: AtomicUsize,
    /// For each append to come: whether it is refused. Further ones are taken.
    refusals: Mutex<VecDeque<bool>>,
    /// What was taken.
    pub(crate) stored: Mutex<Stored>,
}

impl Moody {
    /// A store that refuses what `refusals` says, one append after the other.
    pub(crate) fn refusing(refusals: impl IntoIterator<Item = bool>) -> Arc<Self> {
        Arc::new(Self { refusals: Mutex::new(refusals.into_iter().collect()), ..Self::default() })
    }

    /// Waits until so many appends were begun.
    pub(crate) async fn begun(&self, count: usize) {
        while self.begun.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Appender for Moody {
    fn batch(&self, tenant: TenantId) -> WriteBatch {
        WriteBatch::new(tenant, SeriesHasher::from_entropy())
    }

    fn append(&self, mut batch: WriteBatch) -> BoxFuture<'_, Result<AppendReport, AppendError>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let is_refused = self.refusals.lock().pop_front().unwrap_or(false);
        if !is_refused {
            let mut stored = self.stored.lock();
            for row in 0..batch.rows().len() {
                batch.unpack(row);
                let row = batch.rows()[row];
                let name = batch.labels(&row).iter().next().unwrap().1.to_owned();
                let (times, values) = batch.samples(&row);
                for (time, bits) in times.iter().zip(values) {
                    stored.insert((name.clone(), *time), row.kind.to_f64(*bits));
                }
            }
        }
        Box::pin(async move {
            while self.is_slow.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            if is_refused {
                return Err(AppendError::Unavailable { reason: "no mood".to_owned() });
            }
            let written = batch.sample_count() as u64;
            Ok(AppendReport { batch, written, rejects: Vec::new() })
        })
    }

    fn delete(&self, _: TenantId, _: &[Matcher], _: TimeRange) -> Result<(), DeleteError> {
        Ok(())
    }

    fn purge(&self) -> Result<(), DeleteError> {
        Ok(())
    }

    fn snapshot(&self, _: bool) -> Result<String, SnapshotError> {
        Ok(String::new())
    }
}
