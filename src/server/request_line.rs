//! Request lines as people type them: `curl -g 'localhost:9009/api/v1/query?query=up{job="a"}'`.
//!
//! Go, Netty and Python take `"`, `<`, `>` and a backtick in a request line as they stand; hyper answers 400
//! to them before any handler is asked, and cuts the line at a `#`. So they are escaped on their way in.
//!
//! Invariants: nothing but request lines is touched, and of those no byte of a line that hyper takes as it
//! stands (but a `#`). Where a body is announced the rest of the connection is passed on unseen: telling its
//! end would mean reading HTTP twice, and two readers of HTTP never quite agree.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Fields that announce something else than a next request; in lower case.
const FIELDS: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"upgrade"];
/// Bytes of a line that are remembered: the longest of [`FIELDS`].
const START_BYTES: usize = 17;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A request line, or an empty one before it.
    Request,
    /// The fields behind it.
    Fields,
    /// Something that is passed on unseen, for good.
    Body,
}

/// Follows the heads of requests, whatever pieces they come in.
#[derive(Debug)]
struct Heads {
    place: Place,
    has_body: bool,
    /// The first bytes of the present line, in lower case.
    start: [u8; START_BYTES],
    /// How many of them were there; more than fit are counted, too.
    length: usize,
}

impl Heads {
    fn new() -> Self {
        Self { place: Place::Request, has_body: false, start: [0; START_BYTES], length: 0 }
    }

    /// Takes the next bytes of the connection; gives what they should be where that is something else.
    fn escaped(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut copied, mut at) = (Vec::new(), 0, 0);
        while at < bytes.len() && self.place != Place::Body {
            let line_end = memchr(b'\n', &bytes[at..]).map(|length| at + length);
            let line = &bytes[at..line_end.unwrap_or(bytes.len())];
            if self.place == Place::Request {
                for (place, escape) in escapes(line) {
                    out.extend_from_slice(&bytes[copied..at + place]);
                    out.extend_from_slice(escape);
                    copied = at + place + 1;
                }
            }
            self.remember(line);
            at = line_end.map_or(bytes.len(), |end| end + 1);
            if line_end.is_some() {
                self.end_line();
            }
        }
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(&bytes[copied..]);
        Some(out)
    }

    fn remember(&mut self, line: &[u8]) {
        let room = self.start.iter_mut().skip(self.length);
        room.zip(line).for_each(|(place, byte)| *place = byte.to_ascii_lowercase());
        self.length += line.len();
    }

    fn end_line(&mut self) {
        let start = &self.start[..self.length.min(START_BYTES)];
        let is_empty = start.is_empty() || start == b"\r";
        match (self.place, is_empty) {
            (Place::Request, false) => self.place = Place::Fields,
            (Place::Fields, false) => {
                self.has_body |= FIELDS.iter().any(|field| start.starts_with(field));
            }
            (Place::Fields, true) if self.has_body => self.place = Place::Body,
            (Place::Fields, true) => self.place = Place::Request,
            (Place::Request, true) | (Place::Body, _) => {}
        }
        self.length = 0;
    }
}

/// Where hyper refuses a byte, and what to put in its place.
fn escapes(line: &[u8]) -> impl Iterator<Item = (usize, &'static [u8])> + '_ {
    line.iter().enumerate().filter_map(|(place, byte)| {
        let escape: &[u8] = match byte {
            b'"' => b"%22",
            b'#' => b"%23",
            b'<' => b"%3C",
            b'>' => b"%3E",
            b'`' => b"%60",
            _ => return None,
        };
        Some((place, escape))
    })
}

/// A connection whose request lines are escaped where they need it. Writing is the stream's own.
#[derive(Debug)]
pub(crate) struct EscapedLines<S> {
    stream: S,
    heads: Heads,
    /// Escaped bytes that did not fit into the reader's buffer.
    waiting: Vec<u8>,
}

impl<S> EscapedLines<S> {
    /// For a connection that nothing was read from yet.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, heads: Heads::new(), waiting: Vec::new() }
    }
}

/// Moves as much of `waiting` as fits.
fn give(waiting: &mut Vec<u8>, out: &mut ReadBuf<'_>) {
    let count = waiting.len().min(out.remaining());
    out.put_slice(&waiting[..count]);
    waiting.drain(..count);
}

impl<S: AsyncRead + Unpin> AsyncRead for EscapedLines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.waiting.is_empty() {
            give(&mut this.waiting, out);
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
        if let Some(escaped) = this.heads.escaped(&out.filled()[before..]) {
            out.set_filled(before);
            this.waiting = escaped;
            give(&mut this.waiting, out);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EscapedLines<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, BufReader};

    use super::*;

    /// Whatever pieces `sent` comes in, `expected` is read, through any buffer.
    fn check(sent: &str, expected: &str) {
        for size in 1..=sent.len() {
            let mut heads = Heads::new();
            let piece = |piece: &[u8]| heads.escaped(piece).unwrap_or_else(|| piece.to_vec());
            let read: Vec<u8> = sent.as_bytes().chunks(size).flat_map(piece).collect();
            assert_eq!(String::from_utf8(read).unwrap(), expected, "pieces of {size}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for size in [1, 2, 7, 4096] {
            let pieces = BufReader::with_capacity(size, sent.as_bytes());
            let mut reader = BufReader::with_capacity(3, EscapedLines::new(pieces));
            let mut read = String::new();
            runtime.block_on(reader.read_to_string(&mut read)).unwrap();
            assert_eq!(read, expected, "buffers of {size}");
        }
    }

    #[test]
    fn request_lines_are_escaped_and_nothing_else() {
        check(
            "GET /q?query=up{a=\"<b>\"}#` HTTP/1.1\r\n\r\n",
            "GET /q?query=up{a=%22%3Cb%3E%22}%23%60 HTTP/1.1\r\n\r\n",
        );
        let one = "GET /a HTTP/1.1\r\nX: \"<>\r\nCookie: a=\"b\"\r\n\r\n";
        check(one, one);
        // Several requests on one connection, with empty lines and bare line feeds between them.
        let sent = format!("{one}\r\n\nGET /?\" HTTP/1.1\n\nGET /?< HTTP/1.1\n\n");
        let expected = format!("{one}\r\n\nGET /?%22 HTTP/1.1\n\nGET /?%3C HTTP/1.1\n\n");
        check(&sent, &expected);
    }

    #[test]
    fn bodies_are_passed_on_and_so_is_all_behind_them() {
        for field in
            ["Content-Length: 4", "content-length:4", "TRANSFER-ENCODING: chunked", "Upgrade: x"]
        {
            let rest = format!(
                " HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n\"<>\n\r\n\r\nGET /\" HTTP/1.1\r\n\r\n"
            );
            check(&format!("POST /?\"{rest}"), &format!("POST /?%22{rest}"));
        }
    }
}
