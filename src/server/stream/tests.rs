//! Goal: nothing that a connection sent is lost, overtaken or held back, whatever the store does.
//! Method: lines through real listeners into a store that the test makes slow or refuses with.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::clock::SystemClock;
use base::metrics::Metrics;
use tokio::io::DuplexStream;

use super::*;
use crate::doubles::{Gate, Moody, Stored};
use crate::graphite::receive::serve_plaintext;
use crate::opentsdb::telnet::serve_lines;
use crate::state::Settings;

fn state(store: &Arc<Moody>) -> Arc<State> {
    let (reads, metrics) = (Arc::new(Gate::default()), Arc::new(Metrics::default()));
    let (clock, settings) = (Arc::new(SystemClock), Settings::default());
    Arc::new(State::new(store.clone(), reads.clone(), reads, metrics, clock, settings))
}

/// A carbon connection, and what it sends.
fn carbon(store: &Arc<Moody>) -> (tokio::task::JoinHandle<()>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (switch, shutdown) = Shutdown::channel();
    let state = state(store);
    let served = tokio::spawn(async move {
        let _switch = switch;
        serve_plaintext(theirs, state, shutdown).await;
    });
    (served, ours)
}

fn with_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(test);
}

/// Lines that write the instants below `count` of one series again and again; the value counts lines.
fn lines(first: usize, total: usize, count: usize) -> String {
    (first..first + total).map(|line| format!("a.b {line} {}\n", 1000 + line % count)).collect()
}

/// What is left of [`lines`] where the later line wins.
fn expected(total: usize, count: usize) -> Stored {
    (0..total)
        .map(|line| (("a.b".to_owned(), 1000 * (1000 + line % count) as i64), line as f64))
        .collect()
}

#[test]
fn more_is_read_while_the_store_commits() {
    with_runtime(async {
        let store = Arc::new(Moody::default());
        store.is_slow.store(true, Ordering::SeqCst);
        let (served, mut sender) = carbon(&store);
        let text = lines(0, 100_000, 7);
        let all = tokio::spawn(async move {
            sender.write_all(text.as_bytes()).await.unwrap();
            sender.shutdown().await.unwrap();
        });
        store.begun(3).await;
        store.is_slow.store(false, Ordering::SeqCst);
        all.await.unwrap();
        served.await.unwrap();
        assert_eq!(*store.stored.lock(), expected(100_000, 7));
    });
}

#[test]
fn what_is_under_way_is_bounded() {
    with_runtime(async {
        let store = Arc::new(Moody::default());
        store.is_slow.store(true, Ordering::SeqCst);
        let (served, mut sender) = carbon(&store);
        let text = lines(0, 50_000, 7);
        let mut taken = 0;
        // A sender that is not read for a while has met the bound.
        let patience = Duration::from_millis(500);
        while tokio::time::timeout(patience, sender.write_all(text.as_bytes())).await.is_ok() {
            taken += text.len();
            assert!(taken < 16 << 20, "{taken} bytes were read and not stored");
        }
        store.is_slow.store(false, Ordering::SeqCst);
        drop(sender);
        served.await.unwrap();
    });
}

#[test]
fn refused_pieces_are_repeated_in_their_order() {
    for refused in 0..4 {
        with_runtime(async {
            let store = Moody::refusing((0..6).map(|append| append == refused || append == 5));
            store.is_slow.store(true, Ordering::SeqCst);
            let (served, mut sender) = carbon(&store);
            let all = tokio::spawn(async move {
                for first in (0..200_000).step_by(20_000) {
                    sender.write_all(lines(first, 20_000, 7).as_bytes()).await.unwrap();
                }
                // The last line has no end, and counts.
                sender.write_all(b"a.b 200000 1000").await.unwrap();
                sender.shutdown().await.unwrap();
            });
            store.begun(4).await;
            store.is_slow.store(false, Ordering::SeqCst);
            all.await.unwrap();
            served.await.unwrap();
            let mut expected = expected(200_000, 7);
            expected.insert(("a.b".to_owned(), 1_000_000), 200_000.0);
            assert_eq!(*store.stored.lock(), expected, "append {refused} refused");
        });
    }
}

#[test]
fn answers_come_when_what_was_sent_before_is_stored() {
    with_runtime(async {
        let store = Moody::refusing([true]);
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let (_switch, shutdown) = Shutdown::channel();
        let served = tokio::spawn(serve_lines(theirs, state(&store), shutdown));
        ours.write_all(b"put m 1000 1 h=a\nput m 1000\nstatus\nput m 1001 2 h=a\n").await.unwrap();
        let mut answer = vec![0; 256];
        let length = ours.read(&mut answer).await.unwrap();
        assert_eq!(store.stored.lock().len(), 2);
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(text.starts_with("put: ") && text.ends_with("\nok\n"), "{text}");
        ours.write_all(b"exit\nput m 1002 3 h=a\n").await.unwrap();
        assert_eq!(ours.read(&mut answer).await.unwrap(), 0);
        served.await.unwrap();
        assert_eq!(store.stored.lock().len(), 2);
    });
}

#[test]
fn a_stop_stores_what_was_read() {
    with_runtime(async {
        let store = Arc::new(Moody::default());
        store.is_slow.store(true, Ordering::SeqCst);
        // What a write leaves in a pipe this small was read but for the last line.
        let (mut ours, theirs) = tokio::io::duplex(16);
        let (switch, shutdown) = Shutdown::channel();
        let served = tokio::spawn(serve_plaintext(theirs, state(&store), shutdown));
        ours.write_all(lines(0, 1, 1000).as_bytes()).await.unwrap();
        store.begun(1).await;
        ours.write_all(lines(1, 999, 1000).as_bytes()).await.unwrap();
        switch.send(true).unwrap();
        store.is_slow.store(false, Ordering::SeqCst);
        served.await.unwrap();
        let stored = store.stored.lock().clone();
        assert!(stored.len() >= 998, "{} of 1000 lines", stored.len());
        assert_eq!(stored, expected(stored.len(), 1000));
    });
}
