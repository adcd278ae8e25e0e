//! Goal: what a server cannot take now is refused early, says when to come back, and is taken later.
//! Method: real routes over a store whose reads wait until the test lets them go.

use std::sync::atomic::{AtomicU64, Ordering};

use base::clock::SystemClock;
use base::memory::MemoryWatch;
use base::metrics::Metrics;

use super::*;
use crate::doubles::{Gate, Moody};
use crate::state::Settings;
use crate::turns::TurnLimits;

fn served(settings: Settings) -> (Arc<Gate>, Arc<State>, Site) {
    let (gate, metrics) = (Arc::new(Gate::default()), Arc::new(Metrics::default()));
    let (writes, clock) = (Arc::new(Moody::default()), Arc::new(SystemClock));
    let state = State::new(writes, gate.clone(), gate.clone(), metrics, clock, settings);
    let state = Arc::new(state);
    state.set_ready(true);
    (gate, state.clone(), Site::http(state))
}

fn with_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

/// Status, and whether it says when to come back.
async fn answer(site: &Site, request: Request) -> (u16, bool) {
    let response = site.answer(request).await;
    (response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER))
}

fn query(client: &str) -> Request {
    let request = axum::http::Request::get("/api/v1/query?query=up");
    request.header("X-Scope-OrgID", client).body(Body::empty()).unwrap()
}

fn write(body: Body) -> Request {
    axum::http::Request::post("/api/v1/write").body(body).unwrap()
}

#[test]
fn a_client_is_refused_its_own_share_and_all_are_refused_when_all_is_full() {
    with_runtime(async {
        let turns = TurnLimits {
            running_max: 2,
            client_running_max: 1,
            waiting_max: 2,
            client_waiting_max: 1,
        };
        let (gate, state, routes) = served(Settings { turns, ..Settings::default() });
        let ask = |client: &'static str| {
            let routes = routes.clone();
            tokio::spawn(async move { answer(&routes, query(client)).await })
        };
        let waiting = |count: i64| {
            let state = state.clone();
            async move {
                while state.metrics.queries_waiting.get() < count {
                    tokio::task::yield_now().await;
                }
            }
        };
        let mut asked = vec![ask("a")];
        gate.wait_for(1).await;
        asked.push(ask("a"));
        waiting(1).await;
        assert_eq!(answer(&routes, query("a")).await, (429, true));
        // Another client neither waits behind them nor is refused.
        asked.push(ask("b"));
        gate.wait_for(2).await;
        asked.push(ask("c"));
        waiting(2).await;
        assert_eq!(answer(&routes, query("d")).await, (503, true));
        gate.open();
        for one in asked {
            assert_eq!(one.await.unwrap(), (200, false));
        }
        assert_eq!(answer(&routes, query("a")).await, (200, false));
        assert_eq!(state.metrics.query_failures.with("throttled").get(), 1);
        assert_eq!(state.metrics.query_failures.with("unavailable").get(), 1);
    });
}

#[test]
fn bodies_under_way_are_bounded() {
    with_runtime(async {
        let settings = Settings { bodies_bytes_max: 1 << 20, ..Settings::default() };
        let (_, state, routes) = served(settings);
        // Two bodies of which nothing comes; their lengths are not known.
        let never = || Body::from_stream(futures::stream::pending::<std::io::Result<Vec<u8>>>());
        let first = {
            let (routes, request) = (routes.clone(), write(never()));
            tokio::spawn(async move { answer(&routes, request).await })
        };
        while state.metrics.body_bytes.get() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(answer(&routes, write(never())).await, (503, true));
        assert_eq!(answer(&routes, write(Body::from(vec![0xff; 100_000]))).await, (503, true));
        let small = write(Body::from(vec![0xff; 1000]));
        assert_eq!(answer(&routes, small).await, (400, false), "small ones are free");
        first.abort();
        let _ = first.await;
        assert_eq!(state.metrics.body_bytes.get(), 0);
        // It is taken now, and found to be no remote write.
        assert_eq!(answer(&routes, write(Body::from(vec![0xff; 100_000]))).await, (400, false));
        assert_eq!(state.metrics.body_bytes.get(), 0);
    });
}

#[test]
fn full_memory_refuses_and_recovers() {
    static HELD: AtomicU64 = AtomicU64::new(900 << 20);
    let read = || Some(HELD.load(Ordering::SeqCst));
    with_runtime(async {
        let memory = Arc::new(MemoryWatch::reading(1000 << 20, read));
        let (gate, _, routes) = served(Settings { memory, ..Settings::default() });
        gate.open();
        let body = || write(Body::from(vec![0xff; 100_000]));
        let labels = || axum::http::Request::get("/api/v1/labels").body(Body::empty()).unwrap();
        assert_eq!(answer(&routes, query("a")).await, (503, true));
        assert_eq!(answer(&routes, body()).await, (503, true));
        assert_eq!(answer(&routes, labels()).await, (503, true));
        assert_eq!(gate.entered.load(Ordering::SeqCst), 0, "nothing was begun");
        HELD.store(100 << 20, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        assert_eq!(answer(&routes, query("a")).await, (200, false));
        assert_eq!(answer(&routes, body()).await, (400, false));
        assert_eq!(answer(&routes, labels()).await, (200, false));
    });
}

#[test]
fn small_queries_run_where_they_are_asked_and_may_panic_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (gate, state, routes) = served(Settings::default());
        gate.open();
        let query = |metric: &str| {
            let path = format!("/api/v1/query?query={metric}");
            axum::http::Request::get(path).body(Body::empty()).unwrap()
        };
        let here = std::thread::current().id();
        assert_eq!(answer(&routes, query("few")).await, (200, false));
        assert_eq!(*gate.thread.lock(), Some(here));
        assert_eq!(answer(&routes, query("many")).await, (200, false));
        assert_ne!(*gate.thread.lock(), Some(here));
        // One that only looks small begins here and is begun anew where it may take its time.
        let before = gate.entered.load(Ordering::SeqCst);
        assert_eq!(answer(&routes, query("long")).await, (200, false));
        assert_ne!(*gate.thread.lock(), Some(here));
        assert_eq!(gate.entered.load(Ordering::SeqCst), before + 2);
        assert_eq!(answer(&routes, query("broken")).await, (500, false));
        assert_eq!((state.metrics.panics.get(), state.metrics.queries_running.get()), (1, 0));
        assert_eq!(answer(&routes, query("few")).await, (200, false));
    });
}

#[test]
fn look_ups_wait_for_each_other_where_memory_is_limited() {
    with_runtime(async {
        let most_at_once = async |limit: u64| {
            let memory = Arc::new(MemoryWatch::reading(limit, || Some(0)));
            let (_, state, _) = served(Settings { memory, ..Settings::default() });
            let running = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
            let look_up = || {
                let (state, running) = (Arc::clone(&state), Arc::clone(&running));
                tokio::spawn(async move {
                    let found = crate::run_query::run_lookup(&state, move |_| {
                        let (now, most) = &*running;
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        now.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    });
                    found.await.unwrap();
                })
            };
            let all: Vec<_> = (0..100).map(|_| look_up()).collect();
            for one in all {
                one.await.unwrap();
            }
            running.1.load(Ordering::SeqCst)
        };
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        assert!(most_at_once(1 << 30).await <= processors.max(2) as u64);
        assert!(most_at_once(0).await > processors.max(2) as u64);
    });
}

#[test]
fn a_handler_that_panics_harms_nobody_else() {
    with_runtime(async {
        let (_, state, _) = served(Settings::default());
        let broken = async |request: Request| -> &'static str {
            assert!(request.uri().query().is_some(), "no query");
            "fine"
        };
        let routes = Router::new().route("/broken", axum::routing::get(broken));
        let site = Site::new(routes, Arc::clone(&state));
        let ask = |uri: &str| axum::http::Request::get(uri).body(Body::empty()).unwrap();
        assert_eq!(answer(&site, ask("/broken")).await, (500, false));
        assert_eq!(answer(&site, ask("/broken?a")).await, (200, false));
        assert_eq!(state.metrics.panics.get(), 1);
    });
}

#[test]
fn answers_that_last_are_broken_off_where_memory_is_wanted() {
    static HELD: AtomicU64 = AtomicU64::new(0);
    with_runtime(async {
        let memory = MemoryWatch::reading(1000, || Some(HELD.load(Ordering::SeqCst)));
        let memory = Arc::new(memory);
        let (_, state, _) = served(Settings { memory, ..Settings::default() });
        let slow = || async {
            let pieces = futures::stream::unfold(0, async |number| {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                (number < 20).then_some((Ok::<_, std::io::Error>("piece"), number + 1))
            });
            Body::from_stream(pieces)
        };
        let routes = Router::new().route("/slow", axum::routing::get(slow));
        let site = Site::new(routes, state);
        let ask = || async {
            let request = axum::http::Request::get("/slow").body(Body::empty()).unwrap();
            let answer = site.answer(request).await.into_body();
            axum::body::to_bytes(answer, usize::MAX).await.map(|bytes| bytes.len())
        };
        assert_eq!(ask().await.unwrap(), 100, "memory is calm");
        HELD.store(650, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        assert!(ask().await.is_err());
    });
}

/// All that the server says on a connection that asks `question`, until it closes or falls silent.
async fn said(address: std::net::SocketAddr, question: &[u8]) -> (tokio::net::TcpStream, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // A refused connection may be gone before it has asked.
    let _ = stream.write_all(question).await;
    let mut buffer = vec![0; 4096];
    let patience = std::time::Duration::from_secs(10);
    let read = tokio::time::timeout(patience, stream.read(&mut buffer)).await.unwrap();
    (stream, String::from_utf8_lossy(&buffer[..read.unwrap_or(0)]).into_owned())
}

#[test]
fn connections_are_bounded_over_all_ports() {
    with_runtime(async {
        let (_, state, _) = served(Settings { connections_max: 2, ..Settings::default() });
        let any = || Some("127.0.0.1:0".to_owned());
        let listeners =
            crate::Listeners { http: any(), graphite_tcp: any(), ..crate::Listeners::default() };
        let bound = crate::Bound::bind(&listeners).await.unwrap();
        let addresses: Vec<_> = bound.addresses().into_iter().map(|(_, address)| address).collect();
        let (_switch, shutdown) = crate::Shutdown::channel();
        tokio::spawn(bound.serve(Arc::clone(&state), shutdown));
        let open = |count| {
            let state = Arc::clone(&state);
            async move {
                while state.metrics.connections.get() != count {
                    tokio::task::yield_now().await;
                }
            }
        };
        let ready = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n";
        let carbon = tokio::net::TcpStream::connect(addresses[1]).await.unwrap();
        open(1).await;
        let (first, text) = said(addresses[0], ready).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let (_, text) = said(addresses[0], b"").await;
        assert!(text.starts_with("HTTP/1.1 503") && text.contains("Retry-After: "), "{text}");
        assert!(text.ends_with("\r\n\r\ntoo many connections\n"), "{text}");
        let (_, text) = said(addresses[1], b"").await;
        assert_eq!(text, "", "lines have no word for it");
        assert_eq!(state.metrics.connections_refused.get(), 2);
        drop((carbon, first));
        open(0).await;
        let (_, text) = said(addresses[0], ready).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    });
}
