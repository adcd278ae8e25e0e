//! A plan in, rows out: permits, deadline, cancellation, metrics.
//!
//! Operators are synchronous, so they run on the blocking pool; the future that waits for them holds a
//! [`CancelOnDrop`], so a client that goes away stops its query.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::cancel::{CancelOnDrop, CancelToken};
use base::error::{Classify, ErrorKind};
use exec::{Context, ExecError, Output};
use model::StepGrid;
use plan::{EvalError, Plan};

use crate::state::State;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The executor failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// All permits stayed taken until the deadline.
    #[error("query timed out in query queue")]
    QueueTimeout,
    /// So many queries wait already that this one would not get its turn.
    #[error("cannot take more queries: {waiting} are waiting")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// The process has no memory to give.
    #[error("cannot take more queries: the process is at its memory limit of {limit} bytes")]
    MemoryFull {
        /// The limit.
        limit: u64,
    },
    /// An operator panicked.
    #[error("query failed: {0}")]
    Panicked(String),
}

impl Classify for QueryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exec(error) => error.kind(),
            Self::QueueTimeout => ErrorKind::Timeout,
            Self::QueueFull { .. } | Self::MemoryFull { .. } => ErrorKind::Unavailable,
            Self::Panicked(_) => ErrorKind::Internal,
        }
    }
}

/// What is measured of a query beside its answer.
#[derive(Clone, Copy, Debug, Default)]
pub enum Measuring {
    /// Nothing that costs.
    #[default]
    Nothing,
    /// Every node of the plan.
    Nodes,
    /// The samples of each step of the plan's grid.
    Steps(StepGrid),
}

/// Runs `plan` within `timeout` (capped by the server's own) and counts it under `language`.
pub async fn run_query(
    state: &Arc<State>,
    plan: Plan,
    timeout: Option<Duration>,
    language: &'static str,
) -> Result<Output, QueryError> {
    run_counted(state, plan, timeout, language, Measuring::Nothing).await
}

/// [`run_query`] with every node of the plan measured.
pub async fn analyze_query(
    state: &Arc<State>,
    plan: Plan,
    timeout: Option<Duration>,
) -> Result<Output, QueryError> {
    run_counted(state, plan, timeout, "other", Measuring::Nodes).await
}

/// Plans and runs a query under one permit: `plan` runs where it may block, and may ask the data.
/// Fails inside with what `plan` fails with.
pub async fn run_planned<E: Send + 'static>(
    state: &Arc<State>,
    language: &'static str,
    plan: impl FnOnce(&Asking<'_>) -> Result<Plan, E> + Send + 'static,
) -> Result<Result<Output, E>, QueryError> {
    let refused = Arc::new(parking_lot::Mutex::new(None));
    let refusal = Arc::clone(&refused);
    let outcome = counted(state, None, language, Measuring::Nothing, move |state, context| {
        let asking = Asking { state, cancel: context.cancel.clone() };
        match plan(&asking) {
            Ok(plan) => exec::execute(&plan, &*state.source, context),
            Err(error) => {
                *refusal.lock() = Some(error);
                Err(EvalError::BadArgument("refused while it was planned".to_owned()).into())
            }
        }
    })
    .await;
    match refused.lock().take() {
        Some(error) => Ok(Err(error)),
        None => outcome.map(Ok),
    }
}

/// A query that is being planned, and stops when its client leaves.
pub struct Asking<'s> {
    /// The server.
    pub state: &'s State,
    cancel: CancelToken,
}

impl Asking<'_> {
    /// Asks for as long as any query may take.
    pub fn of(state: &State) -> Asking<'_> {
        let timeout = Duration::from_millis(state.settings.query_timeout_ms);
        Asking { state, cancel: CancelToken::with_deadline(Instant::now() + timeout) }
    }

    /// Runs a part of the query.
    pub fn run(&self, plan: &Plan) -> Result<Output, ExecError> {
        exec::execute(plan, &*self.state.source, &Context::new(self.cancel.clone()))
    }
}

/// [`run_query`] with more or less measured.
pub async fn run_counted(
    state: &Arc<State>,
    plan: Plan,
    timeout: Option<Duration>,
    language: &'static str,
    measuring: Measuring,
) -> Result<Output, QueryError> {
    counted(state, timeout, language, measuring, move |state, context| {
        exec::execute(&plan, &*state.source, context)
    })
    .await
}

async fn counted(
    state: &Arc<State>,
    timeout: Option<Duration>,
    language: &'static str,
    measuring: Measuring,
    work: impl FnOnce(&State, &Context) -> Result<Output, ExecError> + Send + 'static,
) -> Result<Output, QueryError> {
    let started = Instant::now();
    let outcome = run(state, timeout, started, measuring, work).await;
    state.metrics.queries.with(language).inc();
    state.metrics.query_seconds.observe(started.elapsed());
    match &outcome {
        Ok(output) => state.metrics.query_samples.add(output.samples_read),
        Err(error) => state.metrics.query_failures.with(failure_label(error.kind())).inc(),
    }
    outcome
}

fn failure_label(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Canceled => "canceled",
        _ => "other",
    }
}

async fn run(
    state: &Arc<State>,
    timeout: Option<Duration>,
    started: Instant,
    measuring: Measuring,
    work: impl FnOnce(&State, &Context) -> Result<Output, ExecError> + Send + 'static,
) -> Result<Output, QueryError> {
    let cap = Duration::from_millis(state.settings.query_timeout_ms);
    let timeout = timeout.map_or(cap, |asked| asked.min(cap));
    let cancel = CancelToken::with_deadline(started + timeout);
    let _stop_with_the_client = CancelOnDrop(cancel.clone());
    let waiting = state.metrics.queries_waiting.get().max(0) as usize;
    if waiting >= state.settings.queries_waiting_max {
        return Err(QueryError::QueueFull { waiting });
    }
    state.metrics.queries_waiting.add(1);
    let permit = tokio::time::timeout(timeout, state.query_permits.acquire()).await;
    state.metrics.queries_waiting.add(-1);
    let _permit = permit.map_err(|_| QueryError::QueueTimeout)?;
    if state.settings.memory.is_full() {
        return Err(QueryError::MemoryFull { limit: state.settings.memory.limit() });
    }
    let state_of_query = Arc::clone(state);
    state.metrics.queries_running.add(1);
    let outcome = tokio::task::spawn_blocking(move || {
        let numbers = Some(state_of_query.uids.numbers(model::TenantId::DEFAULT));
        let analyze = matches!(measuring, Measuring::Nodes);
        let count_steps = match measuring {
            Measuring::Steps(grid) => Some(grid),
            _ => None,
        };
        let memory = state_of_query.settings.memory.clone();
        let context = Context { cancel, analyze, count_steps, numbers, memory };
        work(&state_of_query, &context)
    })
    .await;
    state.metrics.queries_running.add(-1);
    match outcome {
        Ok(result) => Ok(result?),
        Err(panic) => {
            state.metrics.panics.inc();
            Err(QueryError::Panicked(panic.to_string()))
        }
    }
}

/// Runs a look-up in the index (labels, series, find) on the blocking pool.
pub async fn run_lookup<T: Send + 'static>(
    state: &Arc<State>,
    lookup: impl FnOnce(&dyn model::Source) -> Result<T, model::SourceError> + Send + 'static,
) -> Result<T, QueryError> {
    let state = Arc::clone(state);
    match tokio::task::spawn_blocking(move || lookup(&*state.source)).await {
        Ok(result) => Ok(result.map_err(ExecError::from)?),
        Err(panic) => Err(QueryError::Panicked(panic.to_string())),
    }
}
