//! A server over an empty store, listening on a port of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::clock::SystemClock;
use base::metrics::Metrics;
use server::state::{StoreFigures, StoreStatus};
use server::{Bound, Listeners, Settings, Shutdown, State};
use storage::{Engine, EngineOptions, WalSync};
use tokio::runtime::Runtime;
use tokio::sync::watch;

struct NoFigures;

impl StoreStatus for NoFigures {
    fn status(&self) -> StoreFigures {
        StoreFigures::default()
    }
}

/// Stops, and deletes its store, with the value.
pub(crate) struct Server {
    engine: Arc<Engine>,
    address: SocketAddr,
    shared: SocketAddr,
    carbon: SocketAddr,
    folder: PathBuf,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Starts one.
    pub(crate) fn start(runtime: &Runtime, settings: Settings) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tributary-opentsdb-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let options = EngineOptions {
            wal_sync: WalSync::Interval(3_600_000),
            partition_ms: 12 * 86_400_000,
            partitions_max: 1_000_000,
            background: false,
            ..EngineOptions::new(&folder)
        };
        let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::default()));
        let engine = Engine::open(options, clock.clone(), metrics.clone()).unwrap();
        let engine = Arc::new(engine);
        let figures = Arc::new(NoFigures);
        let store = engine.clone();
        let state = State::new(store.clone(), store, figures, metrics, clock, settings);
        let state = Arc::new(state.with_documents(engine.documents()));
        state.set_ready(true);
        let any = Some("127.0.0.1:0".to_owned());
        let (opentsdb, graphite_tcp) = (any.clone(), any.clone());
        let listeners = Listeners { opentsdb, graphite_tcp, http: any, ..Listeners::default() };
        let bound = runtime.block_on(Bound::bind(&listeners)).unwrap();
        let address = |name: &str| {
            let found = bound.addresses().into_iter().find(|(known, _)| *known == name);
            found.unwrap().1
        };
        let (address, shared, carbon) = (address("opentsdb"), address("http"), address("graphite"));
        let (stop, shutdown) = Shutdown::channel();
        runtime.spawn(bound.serve(state, shutdown));
        Self { engine, address, shared, carbon, folder, stop }
    }

    /// Its store.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The port of all three protocols.
    pub(crate) fn shared(&self) -> SocketAddr {
        self.shared
    }

    /// Graphite's plaintext.
    pub(crate) fn carbon(&self) -> SocketAddr {
        self.carbon
    }

    /// OpenTSDB's own port.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
