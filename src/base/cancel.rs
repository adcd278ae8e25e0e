//! Withdrawing work that nobody waits for any more.
//!
//! A [`CancelToken`] is shared between the side that waits (an HTTP connection, a shutdown) and the
//! side that works (a query thread), which looks at it between batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Why work stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The waiting side withdrew the request.
    Canceled,
    /// The deadline passed.
    TimedOut,
}

/// A shared flag with an optional deadline. Clones observe the same flag.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    canceled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl CancelToken {
    /// A token that stops on [`CancelToken::cancel`] only.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that also stops once `deadline` has passed.
    pub fn with_deadline(deadline: Instant) -> Self {
        Self { canceled: Arc::default(), deadline: Some(deadline) }
    }

    /// Makes every clone report [`Stopped::Canceled`] from now on.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    /// `Err` once the work should stop. Cheap enough to call for every series.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(Stopped::Canceled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Stopped::TimedOut),
            _ => Ok(()),
        }
    }
}

/// Cancels its token when dropped: tie it to the future that waits for the answer.
#[derive(Debug)]
pub struct CancelOnDrop(pub CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
