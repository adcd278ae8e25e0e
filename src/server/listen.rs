//! Sockets: binding with a clear message, accepting, and stopping in order.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Remote;
use crate::connections::{BUSY_HTTP, Connection};
use crate::graphite::receive;
use crate::http::Site;
use crate::opentsdb::telnet;
use crate::patience::{PATIENCE, Patient};
use crate::request_line::EscapedLines;
use crate::self_wake::SelfWake;
use crate::state::State;

/// How long open connections may finish their requests after a stop was asked for.
const DRAIN_MS: u64 = 5_000;

/// Tells every connection loop that the process is stopping. Clones see the same signal.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// The signal and the switch that sets it off.
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Returns once the process is stopping.
    pub async fn wait(&mut self) {
        // An error means the switch is gone, which is a stop as well.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// Addresses to listen on; `None` leaves a listener out.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// All three HTTP APIs.
    pub http: Option<String>,
    /// Graphite plaintext over TCP.
    pub graphite_tcp: Option<String>,
    /// Graphite plaintext over UDP.
    pub graphite_udp: Option<String>,
    /// Graphite pickle over TCP.
    pub graphite_pickle: Option<String>,
    /// OpenTSDB, telnet and HTTP on one port.
    pub opentsdb: Option<String>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {source}{hint}")]
pub struct BindError {
    address: String,
    purpose: &'static str,
    hint: &'static str,
    source: io::Error,
}

fn bind_error(address: &str, purpose: &'static str, source: io::Error) -> BindError {
    let hint = match source.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program has the port; set another address in [listen], or stop it)"
        }
        io::ErrorKind::PermissionDenied => " (ports below 1024 need privileges)",
        _ => "",
    };
    BindError { address: address.to_owned(), purpose, hint, source }
}

async fn tcp(
    address: &Option<String>,
    purpose: &'static str,
) -> Result<Option<TcpListener>, BindError> {
    match address {
        None => Ok(None),
        Some(address) => match TcpListener::bind(address).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => Err(bind_error(address, purpose, error)),
        },
    }
}

/// Sockets that are bound but not yet served, so that a taken port is found before recovery starts.
#[derive(Debug)]
pub struct Bound {
    http: Option<TcpListener>,
    graphite_tcp: Option<TcpListener>,
    graphite_udp: Option<UdpSocket>,
    graphite_pickle: Option<TcpListener>,
    opentsdb: Option<TcpListener>,
}

impl Bound {
    /// Binds all addresses, or says which one cannot be bound and why.
    pub async fn bind(listeners: &Listeners) -> Result<Self, BindError> {
        let graphite_udp = match &listeners.graphite_udp {
            None => None,
            Some(address) => match UdpSocket::bind(address).await {
                Ok(socket) => Some(socket),
                Err(error) => return Err(bind_error(address, "Graphite UDP", error)),
            },
        };
        Ok(Self {
            http: tcp(&listeners.http, "HTTP").await?,
            graphite_tcp: tcp(&listeners.graphite_tcp, "Graphite plaintext").await?,
            graphite_udp,
            graphite_pickle: tcp(&listeners.graphite_pickle, "Graphite pickle").await?,
            opentsdb: tcp(&listeners.opentsdb, "OpenTSDB").await?,
        })
    }

    /// Name and address of every bound socket.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let tcp = |listener: &Option<TcpListener>| {
            listener.as_ref().and_then(|listener| listener.local_addr().ok())
        };
        let udp = self.graphite_udp.as_ref().and_then(|socket| socket.local_addr().ok());
        [
            ("http", tcp(&self.http)),
            ("graphite", tcp(&self.graphite_tcp)),
            ("graphite-udp", udp),
            ("graphite-pickle", tcp(&self.graphite_pickle)),
            ("opentsdb", tcp(&self.opentsdb)),
        ]
        .into_iter()
        .filter_map(|(name, address)| address.map(|address| (name, address)))
        .collect()
    }

    /// Serves until `shutdown`, then lets open requests finish for a few seconds.
    pub async fn serve(self, state: Arc<State>, shutdown: Shutdown) {
        let mut loops = JoinSet::new();
        let port = |listener, busy| Port { listener, busy, state: Arc::clone(&state) };
        if let Some(listener) = self.http {
            let site = Site::http(Arc::clone(&state));
            loops.spawn(accept(
                port(listener, BUSY_HTTP),
                shutdown.clone(),
                move |stream, shutdown| serve_http(stream, site.clone(), shutdown),
            ));
        }
        if let Some(listener) = self.graphite_tcp {
            let state = Arc::clone(&state);
            loops.spawn(accept(port(listener, b""), shutdown.clone(), move |stream, shutdown| {
                receive::serve_plaintext(stream, Arc::clone(&state), shutdown)
            }));
        }
        if let Some(listener) = self.graphite_pickle {
            let state = Arc::clone(&state);
            loops.spawn(accept(port(listener, b""), shutdown.clone(), move |stream, shutdown| {
                receive::serve_pickle(stream, Arc::clone(&state), shutdown)
            }));
        }
        if let Some(socket) = self.graphite_udp {
            loops.spawn(receive::serve_udp(socket, Arc::clone(&state), shutdown.clone()));
        }
        if let Some(listener) = self.opentsdb {
            let site = Site::opentsdb(Arc::clone(&state));
            loops.spawn(accept(port(listener, b""), shutdown.clone(), move |stream, shutdown| {
                telnet::serve(stream, site.clone(), Arc::clone(&state), shutdown)
            }));
        }
        while loops.join_next().await.is_some() {}
    }
}

/// A socket that takes connections.
struct Port {
    listener: TcpListener,
    /// What a connection is told that is one too many.
    busy: &'static [u8],
    state: Arc<State>,
}

/// Accepts connections until `shutdown`, then waits for the open ones, but not for ever.
async fn accept<F, C>(port: Port, mut shutdown: Shutdown, connection: F)
where
    F: Fn(TcpStream, Shutdown) -> C + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = port.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Some(open) = Connection::open(&port.state, &stream, port.busy) else {
                        continue;
                    };
                    let _ = stream.set_nodelay(true);
                    let served = connection(stream, shutdown.clone());
                    connections.spawn(SelfWake::new(async move {
                        served.await;
                        drop(open);
                    }));
                }
                Err(error) => {
                    // Out of descriptors, mostly: the open connections must go on.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = shutdown.wait() => break,
        }
    }
    drop(port);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_millis(DRAIN_MS), drained).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not finish");
        connections.shutdown().await;
    }
}

/// Serves HTTP/1.1 on one connection; the request under way is finished on shutdown.
pub async fn serve_http(stream: TcpStream, site: Site, mut shutdown: Shutdown) {
    let remote = stream.peer_addr().ok().map(|address| Remote(address.ip()));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().header_read_timeout(None);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (site, mut request) = (site.clone(), request.map(Body::new));
        if let Some(remote) = remote {
            request.extensions_mut().insert(remote);
        }
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let connection = builder
        .serve_connection(TokioIo::new(EscapedLines::new(Patient::new(stream, PATIENCE))), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}
