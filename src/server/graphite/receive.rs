//! Carbon's listeners: what a socket holds is decoded into one batch, made durable, and only then is
//! more read. A store that cannot write is waited for, so TCP senders see back-pressure instead of
//! losing samples; datagrams that come meanwhile are lost, as always with UDP.

use std::sync::Arc;
use std::time::Duration;

use base::memory::MemoryLevel;
use bytes::{Buf, BytesMut};
use model::{AppendError, TenantId, WriteBatch};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::UdpSocket;
use wire::graphite::intake::Intake;
use wire::graphite::line::{LineDecoder, decode_datagram};
use wire::graphite::pickle::{self, Frame};
use wire::graphite::reject::Rejects;

use crate::listen::Shutdown;
use crate::state::State;

/// Bytes asked for in one read; what a busy socket holds at once.
const READ_BYTES: usize = 256 * 1024;
/// Largest datagram of UDP.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Samples of one batch of datagrams.
const DATAGRAM_SAMPLES_MAX: usize = 50_000;
/// Pause before a refused batch is tried again.
const RETRY_MS: u64 = 200;

/// Takes lines until the stream ends.
pub async fn serve_plaintext<S>(mut stream: S, state: Arc<State>, mut shutdown: Shutdown)
where
    S: AsyncRead + Unpin + Send,
{
    let mut writer = Writer::new(&state, "carbon");
    let mut decoder = LineDecoder::default();
    let mut buffer = BytesMut::new();
    loop {
        match fill(&state, &mut stream, &mut buffer, &mut shutdown).await {
            Read::More => {}
            Read::End => break,
            Read::Broken => return,
        }
        let start = decoder.clone();
        let mut used = 0;
        let taken = writer
            .write(&mut shutdown, |now_ms, batch, rejects, intake| {
                // A refused batch is decoded once more, from the same place.
                decoder = start.clone();
                used = decoder.feed(&buffer, now_ms, batch, rejects, intake);
            })
            .await;
        if !taken {
            return;
        }
        buffer.advance(used);
    }
    let rest = buffer.split();
    writer
        .write(&mut shutdown, |now_ms, batch, _, intake| {
            decoder.clone().finish(&rest, now_ms, batch, intake);
        })
        .await;
}

/// Takes frames until the stream ends or is out of step.
pub async fn serve_pickle<S>(mut stream: S, state: Arc<State>, mut shutdown: Shutdown)
where
    S: AsyncRead + Unpin + Send,
{
    let mut writer = Writer::new(&state, "pickle");
    let length_max = state.settings.graphite.pickle_bytes_max;
    let mut buffer = BytesMut::new();
    while fill(&state, &mut stream, &mut buffer, &mut shutdown).await == Read::More {
        let mut used = 0;
        let mut too_long = None;
        let taken = writer
            .write(&mut shutdown, |now_ms, batch, rejects, intake| {
                (used, too_long) = (0, None);
                loop {
                    match pickle::next_frame(&buffer[used..], length_max) {
                        Frame::Complete(length) => {
                            let body = &buffer[used + 4..used + 4 + length];
                            let decoded = pickle::decode(body, now_ms, batch, rejects, intake);
                            if let Err(error) = decoded {
                                tracing::warn!(%error, "pickle: skipped a frame");
                                rejects.note(wire::graphite::reject::Reason::Malformed, &[]);
                            }
                            used += 4 + length;
                        }
                        Frame::Incomplete(_) => return,
                        Frame::TooLong(length) => {
                            too_long = Some(length);
                            return;
                        }
                    }
                }
            })
            .await;
        if let Some(length) = too_long {
            tracing::warn!(length, "pickle: closing a connection that announces too long a frame");
            return;
        }
        if !taken {
            return;
        }
        buffer.advance(used);
    }
}

/// Takes datagrams until the process stops.
pub async fn serve_udp(socket: UdpSocket, state: Arc<State>, mut shutdown: Shutdown) {
    let mut writer = Writer::new(&state, "carbon");
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
        let (mut batch, mut rejects) = writer.begin();
        let now_ms = state.now_ms();
        writer.take_in(|intake| {
            let mut decode = |bytes: &[u8], batch: &mut WriteBatch| {
                decode_datagram(bytes, now_ms, batch, &mut rejects, intake);
            };
            decode(&datagram[..length], &mut batch);
            // What arrived meanwhile rides the same commit.
            while batch.sample_count() < DATAGRAM_SAMPLES_MAX {
                let Ok(length) = socket.try_recv(&mut datagram) else { break };
                decode(&datagram[..length], &mut batch);
            }
        });
        let samples = batch.sample_count() as u64;
        if let Err(error) = writer.append(batch, rejects).await {
            state.metrics.rejected_samples.with("other").add(samples);
            tracing::warn!(%error, samples, "udp: lost samples");
        }
    }
}

/// What a read found.
#[derive(PartialEq)]
enum Read {
    /// Bytes.
    More,
    /// The sender's orderly end.
    End,
    /// A broken connection, or the end of this process.
    Broken,
}

/// Reads what there is, once there is memory for it: the sender waits meanwhile.
async fn fill<S>(
    state: &State,
    stream: &mut S,
    buffer: &mut BytesMut,
    shutdown: &mut Shutdown,
) -> Read
where
    S: AsyncRead + Unpin,
{
    while state.settings.memory.is_full() {
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

/// Makes batches durable and counts what became of them.
struct Writer<'s> {
    state: &'s State,
    protocol: &'static str,
    /// The last batch, to be filled again.
    spare: Option<WriteBatch>,
    /// Keeps which reasons were shown already.
    rejects: Rejects,
}

impl<'s> Writer<'s> {
    fn new(state: &'s State, protocol: &'static str) -> Self {
        Self { state, protocol, spare: None, rejects: Rejects::default() }
    }

    /// An empty batch, and the rejects of this connection.
    fn begin(&mut self) -> (WriteBatch, Rejects) {
        let mut batch =
            self.spare.take().unwrap_or_else(|| self.state.appender.batch(TenantId::DEFAULT));
        batch.clear();
        (batch, self.rejects.clone())
    }

    /// Decodes with what is known of paths, and remembers what was new.
    fn take_in(&self, decode: impl FnOnce(&mut Intake<'_>)) {
        let known = self.state.graphite_keys.read();
        let mut intake = Intake::new(&self.state.settings.graphite.paths, &known);
        decode(&mut intake);
        let learned = intake.learned();
        drop(known);
        if !learned.is_empty() {
            self.state.graphite_keys.write().learn(&learned);
        }
    }

    /// Decodes and stores, again and again until the store takes it; `false` if it never will.
    async fn write(
        &mut self,
        shutdown: &mut Shutdown,
        mut decode: impl FnMut(i64, &mut WriteBatch, &mut Rejects, &mut Intake<'_>),
    ) -> bool {
        loop {
            let (mut batch, mut rejects) = self.begin();
            let now_ms = self.state.now_ms();
            self.take_in(|intake| decode(now_ms, &mut batch, &mut rejects, intake));
            match self.append(batch, rejects).await {
                Ok(()) => return true,
                Err(AppendError::Closing) => return false,
                Err(error) => tracing::warn!(%error, "{}: waiting for the store", self.protocol),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
                () = shutdown.wait() => return false,
            }
        }
    }

    /// Stores a batch; on `Ok` its rejects are counted.
    async fn append(&mut self, batch: WriteBatch, mut rejects: Rejects) -> Result<(), AppendError> {
        if batch.is_empty() {
            self.spare = Some(batch);
        } else {
            let report = self.state.appender.append(batch).await?;
            let metrics = &self.state.metrics;
            metrics.ingested_samples.with(self.protocol).add(report.written);
            for reject in &report.rejects {
                let reason = crate::prometheus::write::reject_label(&reject.reason);
                metrics.rejected_samples.with(reason).inc();
                tracing::debug!(reason = %reject.reason, "{}: refused", self.protocol);
            }
            // A connection that falls silent must not keep what the next one needs.
            let is_calm = self.state.settings.memory.level() == MemoryLevel::Calm;
            self.spare = is_calm.then_some(report.batch);
        }
        let (counts, examples) = rejects.take();
        for (reason, count) in counts {
            self.state.metrics.rejected_samples.with(reason.label()).add(count);
        }
        for (reason, example) in examples {
            let reason = reason.label();
            tracing::warn!(reason, example, "{}: refused, and others like it", self.protocol);
        }
        self.rejects = rejects;
        Ok(())
    }
}
