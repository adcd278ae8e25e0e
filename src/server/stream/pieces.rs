//! The pieces of one connection that the store was given and has not answered for, oldest first.

use std::collections::VecDeque;
use std::future::ready;
use std::time::Duration;

use base::memory::MemoryLevel;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use model::{AppendError, AppendReport, WriteBatch};

use super::{Protocol, RETRY_MS};
use crate::listen::Shutdown;
use crate::state::State;

/// Bytes of the pieces of a connection, as sent: what a socket brings during a slow sync. Their batches
/// take about as much again.
const BYTES_MAX: usize = 4 << 20;
/// Pieces smaller than this are copied, so that they hold no buffer of a whole read.
const COPIED_BYTES_MAX: usize = 16 * 1024;

type Commit<'s> = BoxFuture<'s, Result<AppendReport, AppendError>>;

/// See the module.
pub(super) struct Pieces<'s, T> {
    state: &'s State,
    shutdown: Shutdown,
    waiting: VecDeque<Waiting<'s, T>>,
    bytes: usize,
    /// The store took nothing when it was last asked.
    is_refused: bool,
    /// The last batch, to be filled again.
    spare: Option<WriteBatch>,
}

struct Waiting<'s, T> {
    piece: T,
    /// As sent.
    bytes: Bytes,
    /// `None` when it was refused, or stored in front of one that was.
    commit: Option<Commit<'s>>,
}

impl<'s, T: Send + Sync> Pieces<'s, T> {
    pub(super) fn new(state: &'s State, shutdown: Shutdown) -> Self {
        Self { state, shutdown, waiting: VecDeque::new(), bytes: 0, is_refused: false, spare: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// True where more may be read beside `read` bytes that are no piece yet. While memory is tight, or
    /// the store refuses, one piece at a time is enough.
    pub(super) fn has_room(&self, read: usize) -> bool {
        let is_smooth = self.state.settings.memory.level() == MemoryLevel::Calm
            && self.waiting.iter().all(|waiting| waiting.commit.is_some());
        self.is_empty() || is_smooth && self.bytes + read < BYTES_MAX
    }

    /// Takes what is complete in `buffer` to the store.
    pub(super) async fn push<P>(&mut self, protocol: &mut P, buffer: &mut BytesMut, is_end: bool)
    where
        P: Protocol<Piece = T>,
    {
        let mut batch = self.batch();
        let (used, mut piece) = protocol.decode(buffer, is_end, &mut batch);
        if used == 0 {
            return self.keep(batch);
        }
        protocol.prepare(&mut piece).await;
        let bytes = if used < COPIED_BYTES_MAX {
            let copy = Bytes::copy_from_slice(&buffer[..used]);
            buffer.advance(used);
            copy
        } else {
            buffer.split_to(used).freeze()
        };
        self.bytes += used;
        let commit = Some(append(self.state, batch));
        self.waiting.push_back(Waiting { piece, bytes, commit });
    }

    /// Waits until the oldest piece is stored, repeating what is refused; `None` when the store closes
    /// or the process stops while it takes nothing. Nothing is lost where the future is dropped.
    pub(super) async fn next<P>(&mut self, protocol: &P) -> Option<(T, AppendReport)>
    where
        P: Protocol<Piece = T>,
    {
        loop {
            let oldest = self.waiting.front_mut()?;
            let Some(commit) = &mut oldest.commit else {
                self.repeat_oldest(protocol).await?;
                continue;
            };
            match commit.await {
                Ok(report) => {
                    let stored = self.waiting.pop_front()?;
                    self.bytes -= stored.bytes.len();
                    return Some((stored.piece, report));
                }
                Err(AppendError::Closing) => return None,
                Err(error) => tracing::warn!(%error, "waiting for the store"),
            }
            oldest.commit = None;
            self.is_refused = true;
        }
    }

    /// Gives the oldest piece to the store once more, after a while where that took nothing. Those behind it may be stored
    /// already: they are repeated when their turn comes, so that the later sample wins as it should.
    async fn repeat_oldest<P>(&mut self, protocol: &P) -> Option<()>
    where
        P: Protocol<Piece = T>,
    {
        for waiting in &mut self.waiting {
            if let Some(commit) = &mut waiting.commit {
                let _ = commit.await;
                waiting.commit = None;
            }
        }
        if self.is_refused {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
                () = self.shutdown.wait() => return None,
            }
            self.is_refused = false;
        }
        let mut batch = self.batch();
        let oldest = self.waiting.front_mut()?;
        protocol.decode_again(&oldest.piece, &oldest.bytes, &mut batch);
        oldest.commit = Some(append(self.state, batch));
        Some(())
    }

    fn batch(&mut self) -> WriteBatch {
        let Some(mut batch) = self.spare.take() else { return self.state.batch() };
        batch.clear();
        batch
    }

    /// Keeps a batch for the next piece, one of them here and others for all connections. A connection
    /// that falls silent must not keep what others need.
    pub(super) fn keep(&mut self, batch: WriteBatch) {
        if self.state.settings.memory.level() != MemoryLevel::Calm {
            self.spare = None;
        } else if let Some(other) = self.spare.replace(batch) {
            self.state.spare_batches.give(other);
        }
    }
}

fn append(state: &State, batch: WriteBatch) -> Commit<'_> {
    if batch.is_empty() {
        return Box::pin(ready(Ok(AppendReport { batch, written: 0, rejects: Vec::new() })));
    }
    state.appender.append(batch)
}
