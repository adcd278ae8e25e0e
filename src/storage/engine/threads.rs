//! The engine's threads: the committer and, with `background`, the maintenance.
//!
//! Invariant: a thread that panics takes the acceptance of writes with it, and nothing else; the process and
//! reads go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::committer::Committer;
use crate::error::StorageError;
use crate::maintenance::Maintenance;
use crate::shared::Shared;

/// How often the maintenance thread looks for work.
const TICK: Duration = Duration::from_millis(500);
/// Longest pause after failed maintenance, in ticks.
const BACKOFF_TICKS_MAX: u32 = 120;

/// Tells a thread to stop.
#[derive(Debug, Default)]
pub(super) struct StopFlag {
    is_set: Mutex<bool>,
    wake: Condvar,
}

impl StopFlag {
    /// The thread stops soon; it waits no longer.
    pub(super) fn set(&self) {
        *self.is_set.lock() = true;
        self.wake.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.is_set.lock()
    }

    /// Waits; true when it is time to stop.
    fn wait(&self, pause: Duration) -> bool {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            self.wake.wait_for(&mut is_set, pause);
        }
        *is_set
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StorageError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| StorageError::io("start a thread for", Path::new(name), &error))
}

/// Runs `body`; a panic in it ends the acceptance of writes, not that of reads.
fn guarded(shared: &Shared, body: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        shared.is_poisoned.store(true, Ordering::Relaxed);
        shared.metrics.panics.inc();
        shared.metrics.storage_writable.set(0);
        shared.queue.abandon();
        tracing::error!("a thread of the store has died; writes are refused until a restart");
    }
}

/// Starts the thread that serves the queue.
pub(super) fn start_committer(
    shared: &Arc<Shared>,
    committer: Committer,
) -> Result<JoinHandle<()>, StorageError> {
    let shared = shared.clone();
    spawn("committer", move || guarded(&shared, || committer.run()))
}

/// Starts the thread that does what maintenance is due, until it is told to stop.
pub(super) fn start_background(
    shared: &Arc<Shared>,
    maintenance: &Arc<Mutex<Maintenance>>,
) -> Result<(Arc<StopFlag>, JoinHandle<()>), StorageError> {
    let stop = Arc::new(StopFlag::default());
    let (shared, maintenance, seen) = (shared.clone(), maintenance.clone(), stop.clone());
    let thread = spawn("maintenance", move || {
        guarded(&shared, || {
            let mut pause = 1u32;
            while !seen.wait(TICK * pause) {
                let done = maintenance.lock().run_due();
                pause = match shared.fence(done) {
                    Ok(()) => 1,
                    Err(StorageError::Closed { .. }) if seen.is_set() => break,
                    Err(error) => {
                        tracing::error!(%error, "maintenance failed; it will be tried again");
                        (pause * 2).min(BACKOFF_TICKS_MAX)
                    }
                };
            }
        });
    })?;
    Ok((stop, thread))
}
