//! How many connections there may be at once, over all ports.
//!
//! One too many is told so and closed at once, however little it asks: what a connection costs (a
//! descriptor, a task, buffers) it costs before its first byte. The others go on undisturbed.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::state::State;

/// What a refused connection is told on a port that speaks HTTP alone. Lines have no word for it.
pub(crate) const BUSY_HTTP: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 21\r\nConnection: close\r\n\r\n\
    too many connections\n";

/// An open connection, counted while the value lives.
pub(crate) struct Connection(Arc<State>);

impl Connection {
    /// `None` where there are as many as there may be: then `stream` was told `busy`.
    pub(crate) fn open(state: &Arc<State>, stream: &TcpStream, busy: &[u8]) -> Option<Self> {
        let (metrics, max) = (&state.metrics, state.settings.connections_max);
        let before = metrics.connections.add(1);
        let connection = Self(Arc::clone(state));
        if max == 0 || (before as u64) < max {
            return Some(connection);
        }
        metrics.connections_refused.inc();
        // Whoever does not take even this much at once gets the end of the connection alone.
        let _ = stream.try_write(busy);
        tracing::debug!(max, "refused a connection: there are too many");
        None
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.metrics.connections.add(-1);
    }
}
