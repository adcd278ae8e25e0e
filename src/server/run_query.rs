//! A plan in, rows out: permits, deadline, cancellation, metrics.
//!
//! Operators are synchronous, so they run on the blocking pool; the future that waits for them holds a
//! [`CancelOnDrop`], so a client that goes away stops its query. A query that is over before another thread
//! has begun runs where it was asked ([`exec::is_small`]), unless it proves to be larger than it looked.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::cancel::{CancelOnDrop, CancelToken};
use base::error::{Classify, ErrorKind};
use base::memory::MemoryFull;
use exec::{Context, ExecError, Output};
use model::StepGrid;
use plan::{EvalError, Plan};

use crate::client::ClientId;
use crate::state::State;
use crate::turns::{Turn, TurnError};

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The executor failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// It did not get its turn.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The process has no memory to give.
    #[error("cannot take more queries: {0}")]
    Memory(#[from] MemoryFull),
    /// An operator panicked.
    #[error("query failed: {0}")]
    Panicked(String),
}

impl Classify for QueryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exec(error) => error.kind(),
            Self::Turn(TurnError::TimedOut) => ErrorKind::Timeout,
            Self::Turn(TurnError::ClientFull { .. }) => ErrorKind::Throttled,
            Self::Turn(TurnError::Full { .. }) | Self::Memory(_) => ErrorKind::Unavailable,
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
    let (place, mut plan) = (Place::Pool, Some(plan));
    let outcome =
        counted(state, None, language, Measuring::Nothing, place, move |state, context| {
            let Some(plan) = plan.take() else {
                return Err(ExecError::Internal("a query was planned twice".to_owned()));
            };
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
        let (memory, helpers) =
            (self.state.settings.memory.clone(), self.state.settings.helpers.clone());
        let context = Context { memory, helpers, ..Context::new(self.cancel.clone()) };
        exec::execute(plan, &*self.state.source, &context)
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
    let is_small = matches!(measuring, Measuring::Nothing) && exec::is_small(&plan, &*state.source);
    let place = if is_small { Place::Here } else { Place::Pool };
    counted(state, timeout, language, measuring, place, move |state, context| {
        exec::execute(&plan, &*state.source, context)
    })
    .await
}

/// What computes the answer.
trait Work: FnMut(&State, &Context) -> Result<Output, ExecError> + Send + 'static {}

impl<W: FnMut(&State, &Context) -> Result<Output, ExecError> + Send + 'static> Work for W {}

/// Where a query runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the thread that asks, which serves sockets meanwhile to nobody.
    Here,
    /// Where it may take its time.
    Pool,
}

async fn counted(
    state: &Arc<State>,
    timeout: Option<Duration>,
    language: &'static str,
    measuring: Measuring,
    place: Place,
    work: impl Work,
) -> Result<Output, QueryError> {
    let started = Instant::now();
    let outcome = run(state, timeout, started, measuring, place, work).await;
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
        ErrorKind::Throttled => "throttled",
        ErrorKind::Unavailable => "unavailable",
        _ => "other",
    }
}

async fn run(
    state: &Arc<State>,
    timeout: Option<Duration>,
    started: Instant,
    measuring: Measuring,
    place: Place,
    work: impl Work,
) -> Result<Output, QueryError> {
    let cap = Duration::from_millis(state.settings.query_timeout_ms);
    let timeout = timeout.map_or(cap, |asked| asked.min(cap));
    let cancel = CancelToken::with_deadline(started + timeout);
    let _stop_with_the_client = CancelOnDrop(cancel.clone());
    let turn = take_turn(state, timeout).await?;
    let mut query = Query { state: Arc::clone(state), cancel, measuring, work, _turn: turn };
    state.metrics.queries_running.add(1);
    let mut outcome = Ok(Err(ExecError::NotSmall));
    if place == Place::Here {
        outcome = catch_unwind(AssertUnwindSafe(|| query.run(place)))
            .map_err(|panic| panic_text(&*panic));
    }
    if matches!(outcome, Ok(Err(ExecError::NotSmall))) {
        let ran = tokio::task::spawn_blocking(move || query.run(Place::Pool)).await;
        outcome = ran.map_err(|panic| panic.to_string());
    }
    state.metrics.queries_running.add(-1);
    match outcome {
        Ok(result) => Ok(result?),
        Err(panic) => {
            state.metrics.panics.inc();
            Err(QueryError::Panicked(panic))
        }
    }
}

/// A query that has its turn.
struct Query<W> {
    state: Arc<State>,
    cancel: CancelToken,
    measuring: Measuring,
    work: W,
    /// A query whose client has left ends some time later: until then it has its turn.
    _turn: Turn,
}

impl<W: Work> Query<W> {
    fn run(&mut self, place: Place) -> Result<Output, ExecError> {
        let settings = &self.state.settings;
        let context = Context {
            cancel: self.cancel.clone(),
            analyze: matches!(self.measuring, Measuring::Nodes),
            count_steps: match self.measuring {
                Measuring::Steps(grid) => Some(grid),
                _ => None,
            },
            numbers: Some(self.state.uids.numbers(model::TenantId::DEFAULT)),
            memory: settings.memory.clone(),
            helpers: settings.helpers.clone(),
            is_small: place == Place::Here,
        };
        let _thread = context.helpers.begin();
        let outcome = (self.work)(&self.state, &context);
        settings.memory.give_back();
        outcome
    }
}

/// What was said of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// The permit of a query of this task's client, once there is one and memory to run it in.
pub async fn take_turn(state: &State, timeout: Duration) -> Result<Turn, QueryError> {
    let turn = state.turns.take(ClientId::current(), timeout).await?;
    state.settings.memory.check()?;
    Ok(turn)
}

/// Runs a look-up in the index (labels, series, find) on the blocking pool, once there is a permit and memory
/// for it.
pub async fn run_lookup<T: Send + 'static>(
    state: &Arc<State>,
    lookup: impl FnOnce(&dyn model::Catalog) -> Result<T, model::SourceError> + Send + 'static,
) -> Result<T, QueryError> {
    let timeout = Duration::from_millis(state.settings.query_timeout_ms);
    let permit = tokio::time::timeout(timeout, Arc::clone(&state.lookups).acquire_owned()).await;
    let permit = permit.map_err(|_| TurnError::TimedOut)?;
    state.settings.memory.check()?;
    let state = Arc::clone(state);
    let run = move || {
        // One whose client has left ends some time later: until then it has its permit.
        let _permit = permit;
        let found = lookup(&*state.source);
        state.settings.memory.give_back();
        found
    };
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => Ok(result.map_err(ExecError::from)?),
        Err(panic) => Err(QueryError::Panicked(panic.to_string())),
    }
}
