//! Whose query runs next: permits dealt out fairly among clients.
//!
//! Invariants: no more queries run than the limits allow, in all and of one client; a free permit goes to
//! the client that has waited longest for one, whatever the number of queries behind it, and to its
//! oldest query; a waiting query whose client has gone holds no place. A permit is handed over inside
//! the channel that wakes its query, so one that nobody takes comes back by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base::metrics::Metrics;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::client::ClientId;

/// How many queries run and wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLimits {
    /// Running at once.
    pub running_max: usize,
    /// Running at once of one client, so that there is room for the next one.
    pub client_running_max: usize,
    /// Waiting for their turn.
    pub waiting_max: usize,
    /// Waiting of one client.
    pub client_waiting_max: usize,
}

/// Why a query gets no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// The client has used up its own places.
    #[error("cannot take more queries of this client: {waiting} of them are waiting")]
    ClientFull {
        /// How many.
        waiting: usize,
    },
    /// All places are taken.
    #[error("cannot take more queries: {waiting} are waiting")]
    Full {
        /// How many.
        waiting: usize,
    },
    /// The turn did not come in time.
    #[error("query timed out in query queue")]
    TimedOut,
}

/// Deals out permits.
#[derive(Debug)]
pub struct Turns {
    limits: TurnLimits,
    metrics: Arc<Metrics>,
    queues: Mutex<Queues>,
}

/// The permit to run one query; it goes to the next one when the value goes.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    client: ClientId,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.leave(self.client);
    }
}

#[derive(Debug, Default)]
struct Queues {
    running: usize,
    waiting: usize,
    next_ticket: u64,
    /// Those with a query that runs or waits.
    clients: HashMap<ClientId, Queue>,
    /// Those with a query that waits; the first one's turn is next.
    order: VecDeque<ClientId>,
}

#[derive(Debug, Default)]
struct Queue {
    running: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Turn>)>,
}

/// A query that waits; it gives its place up when the value goes.
struct Waiting<'t> {
    turns: &'t Turns,
    client: ClientId,
    ticket: u64,
    turn: oneshot::Receiver<Turn>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.give_up(self.client, self.ticket);
    }
}

impl Turns {
    /// Permits within `limits`, none of them taken.
    pub fn new(limits: TurnLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits, metrics, queues: Mutex::default() })
    }

    /// Waits for a permit, at most for `timeout`.
    pub async fn take(
        self: &Arc<Self>,
        client: ClientId,
        timeout: Duration,
    ) -> Result<Turn, TurnError> {
        let Some(mut waiting) = self.enter(client)? else {
            return Ok(Turn { turns: Arc::clone(self), client });
        };
        match tokio::time::timeout(timeout, &mut waiting.turn).await {
            Ok(Ok(turn)) => Ok(turn),
            // Nobody drops the other end before the turn is sent.
            Ok(Err(_)) | Err(_) => Err(TurnError::TimedOut),
        }
    }

    /// Counts a query as running, or `Some` where it has to wait.
    fn enter(&self, client: ClientId) -> Result<Option<Waiting<'_>>, TurnError> {
        let mut queues = self.queues.lock();
        let all_waiting = queues.waiting;
        let is_room = queues.running < self.limits.running_max;
        let queue = queues.clients.entry(client).or_default();
        // Where there is room, those that wait are at their own bound.
        if is_room && queue.running < self.limits.client_running_max {
            queue.running += 1;
            queues.running += 1;
            self.note(&queues);
            return Ok(None);
        }
        let waiting = queue.waiting.len();
        if waiting >= self.limits.client_waiting_max {
            return Err(TurnError::ClientFull { waiting });
        }
        if all_waiting >= self.limits.waiting_max {
            queues.forget_idle(client);
            return Err(TurnError::Full { waiting: all_waiting });
        }
        let (sender, turn) = oneshot::channel();
        let ticket = queues.push(client, sender);
        self.note(&queues);
        drop(queues);
        Ok(Some(Waiting { turns: self, client, ticket, turn }))
    }

    /// Gives a permit back, and to the next query.
    fn leave(self: &Arc<Self>, client: ClientId) {
        let mut queues = self.queues.lock();
        queues.running -= 1;
        if let Some(queue) = queues.clients.get_mut(&client) {
            queue.running -= 1;
        }
        queues.forget_idle(client);
        let mut next = Vec::new();
        while queues.running < self.limits.running_max
            && let Some(woken) = queues.pop(self.limits.client_running_max)
        {
            next.push(woken);
        }
        self.note(&queues);
        drop(queues);
        for (client, sender) in next {
            // One that has gone meanwhile leaves its turn in the error, which gives it back.
            let _ = sender.send(Turn { turns: Arc::clone(self), client });
        }
    }

    fn give_up(&self, client: ClientId, ticket: u64) {
        let mut queues = self.queues.lock();
        queues.remove(client, ticket);
        self.note(&queues);
    }

    fn note(&self, queues: &Queues) {
        self.metrics.queries_waiting.set(queues.waiting as i64);
        self.metrics.query_clients.set(queues.clients.len() as i64);
    }
}

impl Queues {
    fn push(&mut self, client: ClientId, sender: oneshot::Sender<Turn>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        let queue = self.clients.entry(client).or_default();
        if queue.waiting.is_empty() {
            self.order.push_back(client);
        }
        queue.waiting.push_back((ticket, sender));
        ticket
    }

    /// The next query to run, counted as running: of the first client in turn that may run one more,
    /// which then is the last.
    fn pop(&mut self, client_running_max: usize) -> Option<(ClientId, oneshot::Sender<Turn>)> {
        let clients = &self.clients;
        let may_run = |client: &ClientId| clients[client].running < client_running_max;
        let place = self.order.iter().position(may_run)?;
        let client = self.order.remove(place)?;
        let queue = self.clients.get_mut(&client)?;
        let (_, sender) = queue.waiting.pop_front()?;
        queue.running += 1;
        if !queue.waiting.is_empty() {
            self.order.push_back(client);
        }
        self.running += 1;
        self.waiting -= 1;
        Some((client, sender))
    }

    /// Takes a waiting query out; one that has got its turn is not there.
    fn remove(&mut self, client: ClientId, ticket: u64) {
        let Some(queue) = self.clients.get_mut(&client) else { return };
        let Some(place) = queue.waiting.iter().position(|(one, _)| *one == ticket) else { return };
        queue.waiting.remove(place);
        self.waiting -= 1;
        if queue.waiting.is_empty() {
            self.order.retain(|one| *one != client);
        }
        self.forget_idle(client);
    }

    fn forget_idle(&mut self, client: ClientId) {
        let is_idle = |queue: &Queue| queue.running == 0 && queue.waiting.is_empty();
        if self.clients.get(&client).is_some_and(is_idle) {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests;
