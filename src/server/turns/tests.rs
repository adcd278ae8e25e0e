//! Goal: no client holds another up, and no permit is ever lost. Method: futures polled by hand, so that
//! the order of events is the test's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use base::rng::Rng;

use super::*;

const LIMITS: TurnLimits =
    TurnLimits { running_max: 4, client_running_max: 3, waiting_max: 12, client_waiting_max: 8 };
const LONG: Duration = Duration::from_secs(3600);

type Taking = Pin<Box<dyn Future<Output = Result<Turn, TurnError>>>>;

fn take(turns: &Arc<Turns>, client: u64) -> Taking {
    let turns = Arc::clone(turns);
    Box::pin(async move { turns.take(ClientId::numbered(client), LONG).await })
}

fn poll(taking: &mut Taking) -> Option<Result<Turn, TurnError>> {
    match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// A turn that must be there at once.
fn taken(taking: &mut Taking) -> Turn {
    poll(taking).expect("a turn at once").unwrap()
}

fn figures(turns: &Turns) -> (usize, usize, usize, usize) {
    let queues = turns.queues.lock();
    (queues.running, queues.waiting, queues.clients.len(), queues.order.len())
}

/// Timeouts need tokio's clock, not its threads.
fn with_clock(test: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    test();
}

#[test]
fn a_client_with_many_queries_does_not_hold_up_another() {
    with_clock(|| {
        let turns = Turns::new(LIMITS, Arc::default());
        let mut running: Vec<Turn> = (0..3).map(|_| taken(&mut take(&turns, 1))).collect();
        let mut many: Vec<Taking> = (0..8).map(|_| take(&turns, 1)).collect();
        assert!(many.iter_mut().all(|one| poll(one).is_none()), "three is the client's bound");
        let mut other = take(&turns, 2);
        let own = taken(&mut other);
        let mut late = take(&turns, 2);
        assert!(poll(&mut late).is_none(), "all permits are taken");
        // The eight came before, but their client is served by turns with the other one.
        drop(running.pop());
        let first = taken(&mut many[0]);
        assert!(poll(&mut late).is_none());
        drop(first);
        let second = taken(&mut late);
        assert!(poll(&mut many[1]).is_none());
        drop((own, second, running, many));
        assert_eq!(figures(&turns), (0, 0, 0, 0));
        assert_eq!(turns.metrics.queries_waiting.get(), 0);
        assert_eq!(turns.metrics.query_clients.get(), 0);
    });
}

#[test]
fn refusals_say_whose_share_is_full() {
    with_clock(|| {
        let turns = Turns::new(LIMITS, Arc::default());
        let _running: Vec<Turn> = (0..4).map(|n| taken(&mut take(&turns, n % 2))).collect();
        let mut waiting: Vec<Taking> = (0..8).map(|_| take(&turns, 1)).collect();
        waiting.extend((0..4).map(|_| take(&turns, 2)));
        assert!(waiting.iter_mut().all(|one| poll(one).is_none()));
        let refused = |client| poll(&mut take(&turns, client)).unwrap().unwrap_err();
        assert_eq!(refused(1), TurnError::ClientFull { waiting: 8 });
        assert_eq!(refused(2), TurnError::Full { waiting: 12 });
        assert_eq!(refused(9), TurnError::Full { waiting: 12 });
        assert_eq!(figures(&turns), (4, 12, 3, 2), "a refused client is not remembered");
        // Whoever goes makes room.
        drop(waiting.remove(3));
        assert!(poll(&mut take(&turns, 9)).is_none());
    });
}

#[test]
fn a_turn_that_nobody_takes_goes_on() {
    with_clock(|| {
        let turns = Turns::new(TurnLimits { running_max: 1, ..LIMITS }, Arc::default());
        let running = taken(&mut take(&turns, 1));
        let (mut gone, mut next) = (take(&turns, 2), take(&turns, 3));
        assert!(poll(&mut gone).is_none() && poll(&mut next).is_none());
        drop(running);
        // The turn is on its way to a query whose client leaves without looking.
        drop(gone);
        drop(taken(&mut next));
        assert_eq!(figures(&turns), (0, 0, 0, 0));
    });
}

#[test]
fn waiting_ends_with_the_timeout() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let turns = Turns::new(TurnLimits { running_max: 1, ..LIMITS }, Arc::default());
        let client = ClientId::numbered(1);
        let _running = turns.take(client, LONG).await.unwrap();
        let late = turns.take(client, Duration::from_millis(5)).await;
        assert_eq!(late.unwrap_err(), TurnError::TimedOut);
        assert_eq!(figures(&turns), (1, 0, 1, 0));
    });
}

#[test]
fn no_permit_is_lost_or_made_up() {
    with_clock(|| {
        let mut rng = Rng::new(7);
        let turns = Turns::new(LIMITS, Arc::default());
        let (mut waiting, mut running) = (Vec::<(u64, Taking)>::new(), Vec::<(u64, Turn)>::new());
        for _ in 0..20_000 {
            match rng.below(4) {
                0 | 1 => {
                    let client = rng.below(5);
                    waiting.push((client, take(&turns, client)));
                }
                2 if !running.is_empty() => {
                    running.swap_remove(rng.below(running.len() as u64) as usize);
                }
                _ if !waiting.is_empty() => {
                    drop(waiting.swap_remove(rng.below(waiting.len() as u64) as usize));
                }
                _ => {}
            }
            waiting = waiting
                .into_iter()
                .filter_map(|(client, mut taking)| match poll(&mut taking) {
                    None => Some((client, taking)),
                    Some(Ok(turn)) => {
                        running.push((client, turn));
                        None
                    }
                    Some(Err(_)) => None,
                })
                .collect();
            let (count, queued, ..) = figures(&turns);
            assert_eq!((count, queued), (running.len(), waiting.len()));
            assert!(count <= LIMITS.running_max);
            for client in 0..5 {
                let own = |ids: &[u64]| ids.iter().filter(|id| **id == client).count();
                let runs = own(&running.iter().map(|(id, _)| *id).collect::<Vec<_>>());
                let waits = own(&waiting.iter().map(|(id, _)| *id).collect::<Vec<_>>());
                assert!(runs <= LIMITS.client_running_max && waits <= LIMITS.client_waiting_max);
                // Nobody waits while there is room.
                assert!(waits == 0 || runs == LIMITS.client_running_max || count == 4);
            }
        }
        drop((waiting, running));
        assert_eq!(figures(&turns), (0, 0, 0, 0));
    });
}
