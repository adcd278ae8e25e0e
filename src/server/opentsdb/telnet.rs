//! The port that speaks both protocols, and the line protocol itself.
//!
//! Lines follow the rules of [`crate::stream`]: a reply to `version` behind some points says that the
//! points are stored.

use std::sync::Arc;

use model::{AppendReport, WriteBatch};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use wire::opentsdb::telnet::{Command, LineDecoder, PutError};

use super::admission::{Admission, Fresh};
use super::{info, special, stats};
use crate::http::Site;
use crate::listen::{Shutdown, serve_http};
use crate::prometheus::write::reject_label;
use crate::state::State;
use crate::stream::{self, Protocol};

/// The commands of the original, each with a blank behind it.
const HELP: &str = "available commands: stats dropcaches version status exit help put rollup \
                    histogram diediedie \n";

/// Serves a connection in the protocol that its first byte tells: a capital letter begins HTTP.
pub async fn serve(stream: TcpStream, site: Site, state: Arc<State>, mut shutdown: Shutdown) {
    let mut first = [0u8; 1];
    let peeked = tokio::select! {
        peeked = stream.peek(&mut first) => peeked,
        () = shutdown.wait() => return,
    };
    match peeked {
        Ok(0) | Err(_) => {}
        Ok(_) if first[0].is_ascii_uppercase() => serve_http(stream, site, shutdown).await,
        Ok(_) => serve_lines(stream, state, shutdown).await,
    }
}

/// Takes lines until the stream ends or says `exit`.
pub async fn serve_lines<S>(stream: S, state: Arc<State>, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let lines = Lines { state: &state, decoder: LineDecoder::default(), is_over: false };
    stream::serve(stream, &state, lines, shutdown).await;
}

/// The line protocol.
struct Lines<'s> {
    state: &'s State,
    decoder: LineDecoder,
    is_over: bool,
}

/// How a piece of lines was decoded, and what came of it.
struct Piece {
    /// In front of the piece.
    decoder: LineDecoder,
    replies: Vec<u8>,
    fresh: Fresh,
}

/// One decoding of some lines.
struct Round {
    decoder: LineDecoder,
    bytes: usize,
    replies: Vec<u8>,
    refusals: Vec<&'static str>,
    exit: bool,
}

impl Round {
    fn refuse(&mut self, refusal: Option<String>, command: &str, answers: bool) {
        if let Some(text) = refusal.filter(|text| answers && !text.is_empty()) {
            self.replies.extend_from_slice(format!("{command}: {text}\n").as_bytes());
        }
    }
}

impl Protocol for Lines<'_> {
    type Piece = Piece;

    /// Half a line without its end may be half a number: it is no point, also when nothing follows.
    fn decode(&mut self, bytes: &[u8], _: bool, batch: &mut WriteBatch) -> (usize, Piece) {
        let (round, fresh) = decode(self.state, &self.decoder, bytes, batch);
        let rejected = &self.state.metrics.rejected_samples;
        round.refusals.iter().for_each(|label| rejected.with(label).inc());
        let decoder = std::mem::replace(&mut self.decoder, round.decoder);
        self.is_over = round.exit;
        (round.bytes, Piece { decoder, replies: round.replies, fresh })
    }

    async fn prepare(&mut self, piece: &mut Piece) {
        let fresh = std::mem::take(&mut piece.fresh);
        fresh.settle(self.state, &self.state.telnet_keys).await;
    }

    fn decode_again(&self, piece: &Piece, bytes: &[u8], batch: &mut WriteBatch) {
        decode(self.state, &piece.decoder, bytes, batch);
    }

    fn stored(&mut self, piece: Piece, report: &AppendReport) -> Vec<u8> {
        let (metrics, mut replies) = (&self.state.metrics, piece.replies);
        metrics.ingested_samples.with("telnet").add(report.written);
        for reject in &report.rejects {
            metrics.rejected_samples.with(reject_label(&reject.reason)).inc();
            let line = format!("put: illegal argument: {}\n", reject.reason);
            replies.extend_from_slice(line.as_bytes());
        }
        replies
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

fn decode(
    state: &State,
    decoder: &LineDecoder,
    buffer: &[u8],
    batch: &mut WriteBatch,
) -> (Round, Fresh) {
    let mut gate = Admission::new(state, &state.telnet_keys, None);
    let answers = state.settings.opentsdb.telnet_errors;
    let decoder = decoder.clone();
    let (replies, refusals) = (Vec::new(), Vec::new());
    let mut round = Round { decoder, bytes: 0, replies, refusals, exit: false };
    while !round.exit {
        let Round { decoder, replies, bytes, refusals, .. } = &mut round;
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
