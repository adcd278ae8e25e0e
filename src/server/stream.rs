//! Connections that send samples without asking for anything: what a socket holds is decoded into one
//! batch, a *piece*, and more is read while the store makes it durable.
//!
//! Invariants: pieces take effect in the order in which they were sent, also where one was refused and
//! had to be repeated; an answer leaves when everything sent before it is stored; the bytes of pieces
//! under way are bounded; whatever was read is stored before the connection is closed. A store that
//! takes nothing is waited for, so senders see back-pressure instead of losing samples.
//!
//! Small pieces are not worth a commit of their own: while one is under way, bytes are collected until
//! they are many.

mod pieces;

use std::future::{Future, ready};
use std::time::Duration;

use bytes::BytesMut;
use model::{AppendReport, WriteBatch};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::pieces::Pieces;
use crate::listen::Shutdown;
use crate::state::State;

/// Bytes asked for in one read; what a busy socket holds at once.
const READ_BYTES: usize = 256 * 1024;
/// Bytes that are worth a commit beside those that are under way.
const PIECE_BYTES: usize = 64 * 1024;
/// Pause before a refused piece is tried again.
const RETRY_MS: u64 = 200;

/// A protocol that reads a stream of bytes.
pub(crate) trait Protocol: Send + Sync {
    /// What has to be remembered of a piece until it is stored.
    type Piece: Send + Sync;

    /// Decodes what is complete at the front of `bytes` and says how many bytes that were.
    /// `is_end` when nothing will ever follow.
    fn decode(
        &mut self,
        bytes: &[u8],
        is_end: bool,
        batch: &mut WriteBatch,
    ) -> (usize, Self::Piece);

    /// What has to be done before a decoded piece is stored.
    fn prepare(&mut self, _piece: &mut Self::Piece) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Decodes the bytes of a piece once more, for a store that has refused it.
    fn decode_again(&self, piece: &Self::Piece, bytes: &[u8], batch: &mut WriteBatch);

    /// Hears that a piece is stored, and returns what the sender is answered.
    fn stored(&mut self, piece: Self::Piece, report: &AppendReport) -> Vec<u8>;

    /// True once the connection is to be closed, whatever else was sent.
    fn is_over(&self) -> bool;
}

/// What a read found.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    /// Bytes.
    More,
    /// The sender's orderly end.
    End,
    /// A broken connection, or the end of this process.
    Broken,
}

/// Takes samples until the stream ends, the protocol is over or the process stops.
pub(crate) async fn serve<S, P>(
    mut stream: S,
    state: &State,
    mut protocol: P,
    mut shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    P: Protocol,
{
    let mut pieces = Pieces::new(state, shutdown.clone());
    let mut buffer = BytesMut::new();
    let mut last_read = Read::More;
    let mut is_heard = true;
    loop {
        let is_reading = last_read == Read::More && !protocol.is_over();
        if !is_reading && pieces.is_empty() {
            break;
        }
        tokio::select! {
            stored = pieces.next(&protocol), if !pieces.is_empty() => {
                let Some((piece, report)) = stored else { return };
                let replies = protocol.stored(piece, &report);
                pieces.keep(report.batch);
                // Nobody listens any more, but what was sent before is stored all the same.
                is_heard = is_heard && stream.write_all(&replies).await.is_ok();
                if !is_heard {
                    last_read = Read::Broken;
                }
            }
            read = fill(state, &mut stream, &mut buffer, &mut shutdown),
                if is_reading && pieces.has_room(buffer.len()) => last_read = read,
        }
        if !protocol.is_over() && (pieces.is_empty() || buffer.len() >= PIECE_BYTES) {
            let is_end = last_read == Read::End && pieces.is_empty();
            pieces.push(&mut protocol, &mut buffer, is_end).await;
        }
    }
    if protocol.is_over() {
        let _ = stream.shutdown().await;
    }
}

/// Reads what there is, once there is memory for it: the sender waits meanwhile. Nothing is lost where
/// the future is dropped.
async fn fill<S>(
    state: &State,
    stream: &mut S,
    buffer: &mut BytesMut,
    shutdown: &mut Shutdown,
) -> Read
where
    S: AsyncRead + Unpin,
{
    while !state.settings.memory.takes_writes() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
            () = shutdown.wait() => return Read::Broken,
        }
    }
    buffer.reserve(READ_BYTES);
    tokio::select! {
        read = stream.read_buf(buffer) => match read {
            Ok(0) => Read::End,
            Ok(_) => Read::More,
            Err(_) => Read::Broken,
        },
        () = shutdown.wait() => Read::Broken,
    }
}

#[cfg(test)]
mod tests;
