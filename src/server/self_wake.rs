//! A connection that wakes itself while it is polled is polled again at once.
//!
//! An HTTP connection is one task: whoever reads the body of a request wakes the part of the connection that
//! fetches it, which is the task that runs just then. The runtime takes such a wake for work that anybody may
//! do, rouses another thread for it and queues the task: for a small query that costs more than its answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// How often a future is polled before it is the turn of other tasks.
const POLLS_MAX: usize = 16;

/// Nobody polls: a wake goes to the task.
const RESTS: u8 = 0;
/// Being polled, and not woken since that began.
const POLLED: u8 = 1;
/// Woken while it is polled.
const WOKEN: u8 = 2;

/// See the module.
pub(crate) struct SelfWake<F> {
    inner: Pin<Box<F>>,
    signal: Arc<Signal>,
    /// What the inner future is given; the signal's.
    waker: Waker,
}

#[derive(Debug, Default)]
struct Signal {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self.state.compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if noted == Err(RESTS) {
            self.task.wake();
        }
    }
}

impl<F> SelfWake<F> {
    /// Around `inner`.
    pub(crate) fn new(inner: F) -> Self {
        let signal = Arc::<Signal>::default();
        Self { inner: Box::pin(inner), waker: Waker::from(Arc::clone(&signal)), signal }
    }
}

impl<F: Future> Future for SelfWake<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { inner, signal, waker } = &mut *self;
        signal.task.register(context.waker());
        for _ in 0..POLLS_MAX {
            signal.state.store(POLLED, Ordering::Release);
            if let Poll::Ready(output) = inner.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            let rests = (Ordering::AcqRel, Ordering::Acquire);
            if signal.state.compare_exchange(POLLED, RESTS, rests.0, rests.1).is_ok() {
                return Poll::Pending;
            }
        }
        signal.state.store(RESTS, Ordering::Release);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often the task is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Is polled `left` times more, and wakes itself each time; then waits until it is woken from elsewhere.
    fn waking_itself(mut left: usize, mut keep: impl FnMut(Waker)) -> impl Future<Output = ()> {
        std::future::poll_fn(move |context| {
            if left > 0 {
                left -= 1;
                context.waker().wake_by_ref();
            } else {
                keep(context.waker().clone());
            }
            Poll::Pending
        })
    }

    #[test]
    fn own_wakes_are_answered_at_once_and_those_of_others_by_the_task() {
        let task = Arc::<Task>::default();
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        let woken = || task.0.load(Ordering::Relaxed);
        let mut kept = None;
        let mut future = Box::pin(SelfWake::new(waking_itself(3, |waker| kept = Some(waker))));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(woken(), 0);
        drop(future);
        let elsewhere = kept.expect("all four polls happened");
        elsewhere.wake_by_ref();
        assert_eq!(woken(), 1, "nobody polls it now");
    }

    #[test]
    fn who_never_rests_gives_way_to_other_tasks() {
        let task = Arc::<Task>::default();
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        let mut future = Box::pin(SelfWake::new(waking_itself(usize::MAX, drop)));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn no_wake_of_another_thread_is_lost() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let (to, mut from) = tokio::sync::mpsc::channel(1);
            let reader = tokio::spawn(SelfWake::new(async move {
                let mut sum = 0;
                while let Some(number) = from.recv().await {
                    sum += number;
                }
                sum
            }));
            for number in 0..20_000u64 {
                to.send(number).await.unwrap();
            }
            drop(to);
            assert_eq!(reader.await.unwrap(), 20_000 * 19_999 / 2);
        });
    }
}
