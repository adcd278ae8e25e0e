//! What the targets of one request share while they are lowered, and what is asked of the data then.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use model::{ResultSeries, TimeRange};
use plan::semantics::{Alignment, Buckets};
use plan::slots::SlotRule;
use plan::{Fold, Map, Node, Op, Plan, RowsFunction};

use super::{Lowering, expand, parse};
use crate::graphite::argument::Arguments;
use crate::graphite::ast::Expr;
use crate::graphite::error::GraphiteError;
use crate::graphite::probe::Probe;

/// Targets that the functions of one request may look up.
const TARGETS_MAX: usize = 4096;

/// Targets that look up targets that look up targets ….
const DEPTH_MAX: usize = 8;

/// The state of a request.
pub(super) struct Session<'a> {
    pub(super) probe: &'a dyn Probe,
    next_id: Cell<usize>,
    targets: Cell<usize>,
    /// Coarsest step, in milliseconds, of expressions that were asked about.
    steps: RefCell<BTreeMap<String, Option<i64>>>,
    /// The inputs of earlier `stacked` calls, by stack.
    stacks: RefCell<BTreeMap<String, Vec<Node>>>,
}

impl<'a> Session<'a> {
    /// Nothing lowered yet.
    pub(super) fn new(probe: &'a dyn Probe) -> Self {
        Self {
            probe,
            next_id: Cell::new(0),
            targets: Cell::new(0),
            steps: RefCell::default(),
            stacks: RefCell::default(),
        }
    }
}

impl Lowering<'_> {
    /// A number that no other node of the request has.
    pub(super) fn next_id(&self) -> usize {
        let id = self.session.next_id.get();
        self.session.next_id.set(id + 1);
        id
    }

    /// Puts series onto a stack; what was on it before, and then they.
    pub(super) fn pile(&self, stack: &str, input: &Node) -> Vec<Node> {
        let mut stacks = self.session.stacks.borrow_mut();
        let pile = stacks.entry(stack.to_owned()).or_default();
        pile.push(input.clone());
        pile.clone()
    }

    /// Another target, over the same window.
    pub(super) fn target(&self, text: &str) -> Result<Node, GraphiteError> {
        let count = self.session.targets.get() + 1;
        self.session.targets.set(count);
        if count > TARGETS_MAX || self.depth >= DEPTH_MAX {
            return Err(GraphiteError::TooManyTargets { max: TARGETS_MAX });
        }
        let expr = expand(parse(text)?, &self.options.templates)?;
        let mut inner = Lowering {
            session: self.session,
            options: self.options,
            text,
            from_s: self.from_s,
            until_s: self.until_s,
            x_files_factor: self.x_files_factor,
            depth: self.depth + 1,
            given: Vec::new(),
        };
        inner.expression(&expr)
    }

    /// The rows of `node` without their points; `None` where nobody can say.
    pub(super) fn probe(&self, node: Node) -> Result<Option<Vec<ResultSeries>>, GraphiteError> {
        let range = TimeRange::new(i64::MAX - 1, i64::MAX);
        let root = Node::new(Op::Clip { input: Box::new(node), range });
        let plan = Plan { root, limits: self.options.limits };
        Ok(self.session.probe.rows(&plan)?)
    }

    /// The titles of the rows of `node`.
    pub(super) fn titles(&self, node: Node) -> Result<Vec<String>, GraphiteError> {
        let rows = self.probe(node)?.ok_or(GraphiteError::Probe {
            kind: base::error::ErrorKind::Invalid,
            message: "a target that looks up others cannot be planned without data".to_owned(),
        })?;
        Ok(rows.iter().map(|row| row.title.as_deref().unwrap_or_default().to_owned()).collect())
    }

    /// The coarsest step of a parameter's series over the present window; `None` without series.
    pub(super) fn coarsest_step_ms(
        &mut self,
        arguments: &Arguments<'_>,
        parameter: &str,
    ) -> Result<Option<i64>, GraphiteError> {
        let key = arguments.get(parameter).map(expression_key).unwrap_or_default();
        if let Some(known) = self.session.steps.borrow().get(&key) {
            return Ok(*known);
        }
        // Lowered for the question only: nothing of it may stay behind.
        let stacks = self.session.stacks.borrow().clone();
        let x_files_factor = self.x_files_factor;
        let node = self.series(arguments, parameter);
        self.x_files_factor = x_files_factor;
        *self.session.stacks.borrow_mut() = stacks;
        let node = node?;
        let step = match static_step_ms(&node) {
            Some(step) => Some(step),
            None => match self.probe(node)? {
                Some(rows) => rows.iter().filter_map(|row| row.grid).map(|grid| grid.step_ms).max(),
                None => Some(self.options.steps.longest_ms()),
            },
        };
        self.session.steps.borrow_mut().insert(key, step);
        Ok(step)
    }
}

/// Equal for equal expressions of one target.
fn expression_key(expr: &Expr) -> String {
    format!("{:?}", expr.kind)
}

/// The step of all rows of a node, where it follows from the node alone.
fn static_step_ms(node: &Node) -> Option<i64> {
    match &node.op {
        Op::Fold(Fold { buckets: Buckets::PerSeries { slots, .. }, .. }) => {
            let default = slots.default_step_ms;
            let same = |rule: &SlotRule| rule.steps_ms.last() == Some(&default);
            (!slots.learned && slots.rules.iter().all(same)).then_some(default)
        }
        Op::Map(Map { input, .. }) => static_step_ms(input),
        Op::Aggregate(aggregate) => match aggregate.alignment {
            Alignment::LeastCommonStep { .. } => static_step_ms(&aggregate.input),
            _ => None,
        },
        Op::Union(inputs) => {
            let mut steps = inputs.iter().map(static_step_ms);
            let first = steps.next()??;
            steps.all(|step| step == Some(first)).then_some(first)
        }
        Op::Relabel(relabel) => static_step_ms(&relabel.input),
        Op::Rows(rows) => match (&rows.function, rows.inputs.as_slice()) {
            (
                RowsFunction::Summarize { interval_ms, .. }
                | RowsFunction::SpreadHits { interval_ms, .. },
                _,
            ) => Some(*interval_ms),
            (RowsFunction::Level { grid: Some(_), .. } | RowsFunction::CompressGaps, _) => None,
            (RowsFunction::Restart { .. }, [input, _]) | (_, [input]) => static_step_ms(input),
            _ => None,
        },
        _ => None,
    }
}
