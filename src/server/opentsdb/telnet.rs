//! The port that speaks both protocols, and the line protocol itself.
//!
//! What a socket holds is decoded into one batch, made durable, and only then answered: a reply to
//! `version` behind some points says that the points are stored. A store that cannot write is waited
//! for, so senders see back-pressure instead of losing points.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use base::memory::MemoryLevel;
use bytes::{Buf, BytesMut};
use model::{AppendError, TenantId, WriteBatch};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::opentsdb::telnet::{Command, LineDecoder, PutError};

use super::admission::{Admission, Fresh};
use super::{info, special, stats};
use crate::listen::{Shutdown, serve_http};
use crate::prometheus::write::reject_label;
use crate::state::State;

/// Bytes asked for in one read; what a busy socket holds at once.
const READ_BYTES: usize = 256 * 1024;
/// Pause before a refused batch is tried again.
const RETRY_MS: u64 = 200;
/// The commands of the original, each with a blank behind it.
const HELP: &str = "available commands: stats dropcaches version status exit help put rollup \
                    histogram diediedie \n";

/// Serves a connection in the protocol that its first byte tells: a capital letter begins HTTP.
pub async fn serve(stream: TcpStream, router: Router, state: Arc<State>, mut shutdown: Shutdown) {
    let mut first = [0u8; 1];
    let peeked = tokio::select! {
        peeked = stream.peek(&mut first) => peeked,
        () = shutdown.wait() => return,
    };
    match peeked {
        Ok(0) | Err(_) => {}
        Ok(_) if first[0].is_ascii_uppercase() => serve_http(stream, router, shutdown).await,
        Ok(_) => serve_lines(stream, state, shutdown).await,
    }
}

/// Takes lines until the stream ends or says `exit`.
pub async fn serve_lines<S>(mut stream: S, state: Arc<State>, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut decoder = LineDecoder::default();
    let mut buffer = BytesMut::new();
    let mut spare = None;
    loop {
        while state.settings.memory.is_full() {
            // The sender waits until there is memory for its lines.
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
                () = shutdown.wait() => return,
            }
        }
        buffer.reserve(READ_BYTES);
        let read = tokio::select! {
            read = stream.read_buf(&mut buffer) => read,
            () = shutdown.wait() => return,
        };
        if !matches!(read, Ok(bytes) if bytes > 0) {
            // Half a line without its end may be half a number: it is no point.
            return;
        }
        let Some(round) = take(&state, &decoder, &buffer, &mut spare, &mut shutdown).await else {
            return;
        };
        buffer.advance(round.bytes);
        decoder = round.decoder;
        if !round.replies.is_empty() && stream.write_all(&round.replies).await.is_err() {
            return;
        }
        if round.exit {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// What became of the lines in a buffer.
struct Round {
    decoder: LineDecoder,
    bytes: usize,
    replies: Vec<u8>,
    exit: bool,
}

impl Round {
    fn refuse(&mut self, refusal: Option<String>, command: &str, answers: bool) {
        if let Some(text) = refusal.filter(|text| answers && !text.is_empty()) {
            self.replies.extend_from_slice(format!("{command}: {text}\n").as_bytes());
        }
    }
}

/// Decodes and stores what the buffer holds, again and again until the store takes it. `None` when
/// the process stops first.
async fn take(
    state: &State,
    decoder: &LineDecoder,
    buffer: &[u8],
    spare: &mut Option<WriteBatch>,
    shutdown: &mut Shutdown,
) -> Option<Round> {
    loop {
        let mut batch = spare.take().unwrap_or_else(|| state.appender.batch(TenantId::DEFAULT));
        batch.clear();
        let mut refusals = Vec::new();
        let (mut round, fresh) = decode(state, decoder, buffer, &mut batch, &mut refusals);
        fresh.settle(state, &state.telnet_keys).await;
        let stored = if batch.is_empty() {
            *spare = Some(batch);
            Ok(())
        } else {
            store(state, batch, spare, &mut round.replies).await
        };
        match stored {
            Ok(()) => {
                refusals.iter().for_each(|label| state.metrics.rejected_samples.with(label).inc());
                return Some(round);
            }
            Err(AppendError::Closing) => return None,
            Err(error) => {
                tracing::warn!(%error, "telnet: the store takes nothing, waiting");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
                    () = shutdown.wait() => return None,
                }
            }
        }
    }
}

fn decode(
    state: &State,
    decoder: &LineDecoder,
    buffer: &[u8],
    batch: &mut WriteBatch,
    refusals: &mut Vec<&'static str>,
) -> (Round, Fresh) {
    let mut gate = Admission::new(state, &state.telnet_keys, None);
    let answers = state.settings.opentsdb.telnet_errors;
    let decoder = decoder.clone();
    let mut round = Round { decoder, bytes: 0, replies: Vec::new(), exit: false };
    while !round.exit {
        let Round { decoder, replies, bytes, .. } = &mut round;
        let fed = decoder.feed(&buffer[*bytes..], batch, &mut gate, |error: PutError| {
            refusals.push(error.label());
            if answers {
                replies.extend_from_slice(format!("put: {error}\n").as_bytes());
            }
        });
        *bytes += fed.bytes;
        match fed.command {
            None => break,
            Some(Command::Exit) => round.exit = true,
            Some(Command::Rollup(line)) => {
                let refused = special::rollup(state, line, batch, &mut gate);
                round.refuse(refused.err(), "rollup", answers);
            }
            Some(Command::Histogram(line)) => {
                let refused = special::histogram(state, line, batch, &mut gate);
                round.refuse(refused.err(), "histogram", answers);
            }
            Some(command) => reply(state, command, &mut round.replies),
        }
    }
    (round, gate.finish())
}

async fn store(
    state: &State,
    batch: WriteBatch,
    spare: &mut Option<WriteBatch>,
    replies: &mut Vec<u8>,
) -> Result<(), AppendError> {
    let report = state.appender.append(batch).await?;
    state.metrics.ingested_samples.with("telnet").add(report.written);
    for reject in &report.rejects {
        state.metrics.rejected_samples.with(reject_label(&reject.reason)).inc();
        let line = format!("put: illegal argument: {}\n", reject.reason);
        replies.extend_from_slice(line.as_bytes());
    }
    // A connection that falls silent must not keep what the next one needs.
    let is_calm = state.settings.memory.level() == MemoryLevel::Calm;
    *spare = is_calm.then_some(report.batch);
    Ok(())
}

fn reply(state: &State, command: Command<'_>, out: &mut Vec<u8>) {
    match command {
        Command::Version => out.extend_from_slice(info::version_lines().as_bytes()),
        Command::Help => out.extend_from_slice(HELP.as_bytes()),
        Command::Stats => {
            for line in stats::lines(state) {
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
        }
        Command::Status => out.extend_from_slice(b"ok\n"),
        Command::DropCaches => out.extend_from_slice(b"Caches dropped.\n"),
        Command::DieDieDie => {
            out.extend_from_slice(b"diediedie: stopping the server over the network is disabled\n");
        }
        // Taken before it comes to replies.
        Command::Exit | Command::Rollup(_) | Command::Histogram(_) => {}
        Command::Unknown(word) => {
            out.extend_from_slice(b"unknown command: ");
            out.extend_from_slice(word);
            out.extend_from_slice(b".  Try `help'.\n");
        }
    }
}
