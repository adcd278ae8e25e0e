//! Carbon's listeners: lines and frames on a stream, whose rules are those of [`crate::stream`], and
//! datagrams. Those that come while the store takes nothing are lost, as always with UDP.

use std::sync::Arc;

use base::memory::MemoryLevel;
use model::{AppendReport, TenantId, WriteBatch};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UdpSocket;
use wire::graphite::intake::Intake;
use wire::graphite::line::{LineDecoder, decode_datagram};
use wire::graphite::pickle::{self, Frame};
use wire::graphite::reject::{Reason, Rejects};

use crate::listen::Shutdown;
use crate::state::State;
use crate::stream::{self, Protocol};

/// Largest datagram of UDP.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Samples of one batch of datagrams.
const DATAGRAM_SAMPLES_MAX: usize = 50_000;

/// Takes lines until the stream ends.
pub async fn serve_plaintext<S>(stream: S, state: Arc<State>, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let lines = Lines { desk: Desk::new(&state, "carbon"), decoder: LineDecoder::default() };
    stream::serve(stream, &state, lines, shutdown).await;
}

/// Takes frames until the stream ends or is out of step.
pub async fn serve_pickle<S>(stream: S, state: Arc<State>, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let length_max = state.settings.graphite.pickle_bytes_max;
    let frames = Frames { desk: Desk::new(&state, "pickle"), length_max, too_long: None };
    stream::serve(stream, &state, frames, shutdown).await;
}

/// Carbon's plaintext.
struct Lines<'s> {
    desk: Desk<'s>,
    decoder: LineDecoder,
}

/// How a piece of lines was decoded.
struct LinesPiece {
    decoder: LineDecoder,
    now_ms: i64,
    is_end: bool,
}

impl LinesPiece {
    fn decode(
        &self,
        bytes: &[u8],
        batch: &mut WriteBatch,
        rejects: &mut Rejects,
        intake: &mut Intake<'_>,
    ) -> (usize, LineDecoder) {
        let (now_ms, mut decoder) = (self.now_ms, self.decoder.clone());
        let used = decoder.feed(bytes, now_ms, batch, rejects, intake);
        if !self.is_end {
            return (used, decoder);
        }
        decoder.finish(&bytes[used..], now_ms, batch, intake);
        (bytes.len(), decoder)
    }
}

impl Protocol for Lines<'_> {
    type Piece = LinesPiece;

    fn decode(
        &mut self,
        bytes: &[u8],
        is_end: bool,
        batch: &mut WriteBatch,
    ) -> (usize, LinesPiece) {
        let now_ms = self.desk.state.now_ms();
        let piece = LinesPiece { decoder: self.decoder.clone(), now_ms, is_end };
        let (used, decoder) =
            self.desk.take_in(|rejects, intake| piece.decode(bytes, batch, rejects, intake));
        self.decoder = decoder;
        (used, piece)
    }

    fn decode_again(&self, piece: &LinesPiece, bytes: &[u8], batch: &mut WriteBatch) {
        self.desk.take_in_again(|rejects, intake| piece.decode(bytes, batch, rejects, intake));
    }

    fn stored(&mut self, _: LinesPiece, report: &AppendReport) -> Vec<u8> {
        self.desk.note(report);
        Vec::new()
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Carbon's pickles.
struct Frames<'s> {
    desk: Desk<'s>,
    length_max: usize,
    /// Announced by a frame that closes the connection.
    too_long: Option<u32>,
}

/// Decodes the complete frames at the front of `bytes`; returns how many bytes they took, and the
/// length of a frame that is too long.
fn decode_frames(
    bytes: &[u8],
    length_max: usize,
    now_ms: i64,
    batch: &mut WriteBatch,
    (rejects, intake): (&mut Rejects, &mut Intake<'_>),
) -> (usize, Option<u32>) {
    let mut used = 0;
    loop {
        match pickle::next_frame(&bytes[used..], length_max) {
            Frame::Complete(length) => {
                let body = &bytes[used + 4..used + 4 + length];
                if let Err(error) = pickle::decode(body, now_ms, batch, rejects, intake) {
                    tracing::warn!(%error, "pickle: skipped a frame");
                    rejects.note(Reason::Malformed, &[]);
                }
                used += 4 + length;
            }
            Frame::Incomplete(_) => return (used, None),
            Frame::TooLong(length) => return (used, Some(length)),
        }
    }
}

impl Protocol for Frames<'_> {
    /// The time of arrival.
    type Piece = i64;

    fn decode(&mut self, bytes: &[u8], _: bool, batch: &mut WriteBatch) -> (usize, i64) {
        let (now_ms, length_max) = (self.desk.state.now_ms(), self.length_max);
        let (used, too_long) = self.desk.take_in(|rejects, intake| {
            decode_frames(bytes, length_max, now_ms, batch, (rejects, intake))
        });
        if let Some(length) = too_long {
            tracing::warn!(length, "pickle: closing a connection that announces too long a frame");
        }
        self.too_long = too_long;
        (used, now_ms)
    }

    fn decode_again(&self, now_ms: &i64, bytes: &[u8], batch: &mut WriteBatch) {
        self.desk.take_in_again(|rejects, intake| {
            decode_frames(bytes, self.length_max, *now_ms, batch, (rejects, intake))
        });
    }

    fn stored(&mut self, _: i64, report: &AppendReport) -> Vec<u8> {
        self.desk.note(report);
        Vec::new()
    }

    fn is_over(&self) -> bool {
        self.too_long.is_some()
    }
}

/// Takes datagrams until the process stops.
pub async fn serve_udp(socket: UdpSocket, state: Arc<State>, mut shutdown: Shutdown) {
    let mut desk = Desk::new(&state, "carbon");
    let mut spare = None;
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let length = tokio::select! {
            received = socket.recv(&mut datagram) => match received {
                Ok(length) => length,
                Err(error) => {
                    tracing::debug!(%error, "udp: cannot receive");
                    continue;
                }
            },
            () = shutdown.wait() => return,
        };
        let mut batch = spare.take().unwrap_or_else(|| state.appender.batch(TenantId::DEFAULT));
        batch.clear();
        let now_ms = state.now_ms();
        desk.take_in(|rejects, intake| {
            decode_datagram(&datagram[..length], now_ms, &mut batch, rejects, intake);
            // What arrived meanwhile rides the same commit.
            while batch.sample_count() < DATAGRAM_SAMPLES_MAX {
                let Ok(length) = socket.try_recv(&mut datagram) else { break };
                decode_datagram(&datagram[..length], now_ms, &mut batch, rejects, intake);
            }
        });
        spare = store_datagrams(&desk, batch).await;
    }
}

/// Stores what datagrams brought, if the store takes it; returns the batch to be filled again.
async fn store_datagrams(desk: &Desk<'_>, batch: WriteBatch) -> Option<WriteBatch> {
    let samples = batch.sample_count() as u64;
    if samples == 0 {
        return Some(batch);
    }
    match desk.state.appender.append(batch).await {
        Ok(report) => {
            desk.note(&report);
            // Silence must not keep what others need.
            let is_calm = desk.state.settings.memory.level() == MemoryLevel::Calm;
            is_calm.then_some(report.batch)
        }
        Err(error) => {
            desk.state.metrics.rejected_samples.with("other").add(samples);
            tracing::warn!(%error, samples, "udp: lost samples");
            None
        }
    }
}

/// What the listeners share: the paths that are known, and the counts of what became of samples.
struct Desk<'s> {
    state: &'s State,
    protocol: &'static str,
    /// Keeps which reasons were shown already.
    rejects: Rejects,
}

impl<'s> Desk<'s> {
    fn new(state: &'s State, protocol: &'static str) -> Self {
        Self { state, protocol, rejects: Rejects::default() }
    }

    /// Decodes with what is known of paths, remembers what was new, and counts what was refused.
    fn take_in<T>(&mut self, decode: impl FnOnce(&mut Rejects, &mut Intake<'_>) -> T) -> T {
        let mut rejects = std::mem::take(&mut self.rejects);
        let decoded = self.with_known_paths(&mut rejects, decode);
        let (counts, examples) = rejects.take();
        for (reason, count) in counts {
            self.state.metrics.rejected_samples.with(reason.label()).add(count);
        }
        for (reason, example) in examples {
            let reason = reason.label();
            tracing::warn!(reason, example, "{}: refused, and others like it", self.protocol);
        }
        self.rejects = rejects;
        decoded
    }

    /// Decodes what was taken in, and counted, before.
    fn take_in_again<T>(&self, decode: impl FnOnce(&mut Rejects, &mut Intake<'_>) -> T) {
        self.with_known_paths(&mut Rejects::default(), decode);
    }

    fn with_known_paths<T>(
        &self,
        rejects: &mut Rejects,
        decode: impl FnOnce(&mut Rejects, &mut Intake<'_>) -> T,
    ) -> T {
        let known = self.state.graphite_keys.read();
        let mut intake = Intake::new(&self.state.settings.graphite.paths, &known);
        let decoded = decode(rejects, &mut intake);
        let learned = intake.learned();
        drop(known);
        if !learned.is_empty() {
            self.state.graphite_keys.write().learn(&learned);
        }
        decoded
    }

    /// Counts what was stored, and what the store did not take of it.
    fn note(&self, report: &AppendReport) {
        let metrics = &self.state.metrics;
        metrics.ingested_samples.with(self.protocol).add(report.written);
        for reject in &report.rejects {
            let reason = crate::prometheus::write::reject_label(&reject.reason);
            metrics.rejected_samples.with(reason).inc();
            tracing::debug!(reason = %reject.reason, "{}: refused", self.protocol);
        }
    }
}
