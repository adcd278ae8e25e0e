//! The bounded queue in front of the committer.
//!
//! Invariants: requests are taken in the order in which they came; the bytes waiting never exceed
//! the bound by more than one request; once closed, everything queued before is still answered.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use futures::channel::oneshot;
use index::HeadIndex;
use model::{AppendError, AppendReport, TenantId, WriteBatch};
use parking_lot::{Condvar, Mutex};

use crate::error::StorageError;
use crate::head::log_ids::LogIds;
use crate::head::partition::Partition;
use crate::wal::writer::WalPosition;

/// Answer to an append.
pub(crate) type AppendReply = oneshot::Sender<Result<AppendReport, AppendError>>;

/// Partitions that no longer grow.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// Those of the asked-for ones that were growing.
    pub(crate) partitions: Vec<(TenantId, Arc<Partition>)>,
    /// Their samples are in front of this place of the log; later ones open new partitions.
    pub(crate) position: WalPosition,
}

/// The series of a tenant with their numbers in the log.
#[derive(Debug)]
pub(crate) struct LoggedSeries {
    /// Whose.
    pub(crate) tenant: TenantId,
    /// Their labels.
    pub(crate) index: Arc<HeadIndex>,
    /// Their numbers there.
    pub(crate) log_ids: LogIds,
}

/// Work for the committer.
#[derive(Debug)]
pub(crate) enum Message {
    /// Store a batch.
    Append(Box<WriteBatch>, AppendReply),
    /// Stop growing the partitions of these windows.
    Freeze(Vec<(TenantId, i64)>, mpsc::Sender<Frozen>),
    /// List the series that the log knows, and the place where the log ends.
    ListSeries(mpsc::Sender<(Vec<LoggedSeries>, WalPosition)>),
    /// Forget series of the head that no partition holds.
    ForgetSeries(TenantId, mpsc::Sender<usize>),
    /// Give freed memory back.
    GiveBack,
    /// Sync the log.
    Sync(mpsc::Sender<()>),
    /// Finish the newest log file; the number of the next one is the answer.
    Rotate(mpsc::Sender<Result<u64, StorageError>>),
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    is_closed: bool,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    bytes_max: usize,
}

/// Bytes of batches that are committed as one group at most.
const GROUP_BYTES_MAX: usize = 64 << 20;

impl Queue {
    /// An empty queue for at most `bytes_max` bytes of batches.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), bytes_max }
    }

    /// Queues a batch.
    pub(crate) fn append(
        &self,
        batch: Box<WriteBatch>,
        reply: AppendReply,
    ) -> Result<(), AppendError> {
        let bytes = batch.bytes();
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(AppendError::Closing);
        }
        // An empty queue takes any batch, so that one larger than the bound can be stored at all.
        if state.bytes > 0 && state.bytes + bytes > self.bytes_max {
            return Err(AppendError::Overloaded { queued_bytes: state.bytes });
        }
        state.bytes += bytes;
        state.messages.push_back(Message::Append(batch, reply));
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Queues the message that `ask` makes and waits for its answer; an error, which says that `action`
    /// cannot be done, once the queue is closed.
    pub(crate) fn ask<T>(
        &self,
        action: &'static str,
        ask: impl FnOnce(mpsc::Sender<T>) -> Message,
    ) -> Result<T, StorageError> {
        let (reply, answer) = mpsc::channel();
        let is_queued = self.command(ask(reply));
        // A committer that dies drops what is queued, and the reply with it.
        is_queued.then(|| answer.recv().ok()).flatten().ok_or(StorageError::Closed { action })
    }

    /// Queues a message; false once the queue is closed.
    pub(crate) fn command(&self, message: Message) -> bool {
        let mut state = self.state.lock();
        if state.is_closed {
            return false;
        }
        state.messages.push_back(message);
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Moves waiting messages to `out`, as many as make one group: batches up to a bound, or one
    /// other message. Waits for the first until `deadline`; false once closed and empty.
    pub(crate) fn take_group(&self, out: &mut Vec<Message>, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while state.messages.is_empty() {
            if state.is_closed {
                return false;
            }
            match deadline {
                None => self.wake.wait(&mut state),
                Some(deadline) => {
                    if self.wake.wait_until(&mut state, deadline).timed_out() {
                        return true;
                    }
                }
            }
        }
        let mut bytes = 0;
        while let Some(message) = state.messages.pop_front() {
            if let Message::Append(batch, _) = &message {
                bytes += batch.bytes();
                out.push(message);
                if bytes >= GROUP_BYTES_MAX {
                    break;
                }
            } else if out.is_empty() {
                out.push(message);
                break;
            } else {
                state.messages.push_front(message);
                break;
            }
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        true
    }

    /// Refuses everything from now on.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_all();
    }

    /// Closes and drops what waits: for a committer that has died.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.messages.clear();
        state.bytes = 0;
    }
}
