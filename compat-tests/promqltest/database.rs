//! The store under test: a real engine in a folder of its own.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use base::clock::ManualClock;
use base::metrics::Metrics;
use model::{Appender, Source, TenantId};
use storage::{Engine, EngineOptions, WalSync};

use super::convert;
use super::script::Load;
use super::series::Value;

/// Where the samples lie when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// In memory.
    Head,
    /// In immutable blocks.
    Blocks,
}

/// A store that is deleted with the value.
pub(crate) struct Database {
    engine: Engine,
    folder: PathBuf,
    store: Store,
}

impl Database {
    /// An empty store.
    pub(crate) fn open(store: Store) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tributary-promqltest-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let options = EngineOptions {
            wal_sync: WalSync::Interval(3_600_000),
            // Some scripts span years in a handful of samples.
            partition_ms: 12 * 86_400_000,
            partitions_max: 1_000_000,
            background: false,
            ..EngineOptions::new(&folder)
        };
        let clock = Arc::new(ManualClock::new(0));
        let engine = Engine::open(options, clock, Arc::new(Metrics::default())).unwrap();
        Self { engine, folder, store }
    }

    /// What queries read.
    pub(crate) fn source(&self) -> &dyn Source {
        &self.engine
    }

    /// Stores what `load` describes.
    pub(crate) fn load(&mut self, load: &Load) {
        let mut batch = self.engine.batch(TenantId::DEFAULT);
        for series in &load.series {
            let starts = load.started.iter().find(|(labels, _)| *labels == series.labels);
            batch.begin_row();
            batch.set_labels(series.labels.view());
            for (index, value) in series.values.iter().enumerate() {
                let at_ms = index as i64 * load.step_ms;
                match value {
                    Value::Omitted => continue,
                    Value::Float(float) => batch.push_float(at_ms, *float),
                    Value::Histogram(described) => {
                        batch.push_histogram(at_ms, &described.histogram).unwrap();
                    }
                }
                if let Some(start) = starts.and_then(|(_, starts)| *starts.get(index)?) {
                    batch.set_start(at_ms + start);
                }
            }
        }
        if load.with_histograms {
            for (labels, points) in convert::custom_histograms(&load.series, load.step_ms) {
                batch.begin_row();
                batch.set_labels(labels.view());
                for (at_ms, histogram) in points {
                    batch.push_histogram(at_ms, &histogram).unwrap();
                }
            }
        }
        let report = block_on(self.engine.append(batch)).unwrap();
        assert!(report.rejects.is_empty(), "{:?}", report.rejects);
        if self.store == Store::Blocks {
            self.engine.flush_now().unwrap();
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.engine.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
