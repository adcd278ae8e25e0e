//! A word to users who treat as a counter what does not look like one.

use model::{METRIC_NAME, ValueTest};
use plan::semantics::{Counted, FoldFunction};
use plan::{AnnotationKind, Fold, Node, Op, Span};

use crate::executor::Executor;
use crate::row::{Identity, Row, is_absent};

/// Notes metrics that are treated as counters and do not look like ones.
pub(super) struct CounterCheck {
    enabled: bool,
    typed: bool,
    /// The name that all rows have, if the plan says so.
    common: Option<String>,
    noted: bool,
}

impl CounterCheck {
    pub(super) fn new(executor: &Executor<'_>, fold: &Fold) -> Self {
        let counted = match fold.function {
            FoldFunction::AtEdges { counted, .. } => Some(counted),
            FoldFunction::Increase { counter, per_second } => {
                Some(Counted::Growth { counter, per_second })
            }
            _ => None,
        };
        let enabled = matches!(counted, Some(Counted::Growth { counter: true, .. }));
        let typed = executor.naming.typed;
        let common = if typed { None } else { common_name(&fold.input) };
        Self { enabled, typed, common, noted: false }
    }

    pub(super) fn look(
        &mut self,
        executor: &Executor<'_>,
        identity: &mut Identity<'_>,
        row: &Row,
        span: Option<Span>,
    ) {
        let sounds_right = |name: &str| {
            name.is_empty()
                || ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end))
        };
        if !self.enabled || self.noted && self.common.is_some() {
            return;
        }
        if self.common.as_deref().is_some_and(sounds_right)
            || row.values().iter().all(|value| is_absent(*value))
        {
            return;
        }
        let name = match &self.common {
            Some(name) => name.as_str(),
            None => identity.labels().metric_name().unwrap_or_default(),
        };
        let name = name.to_owned();
        if self.typed {
            let kind = identity.labels().get("__type__").unwrap_or_default().to_owned();
            if !name.is_empty() && kind != "counter" && kind != "histogram" {
                let note = AnnotationKind::NotTypedCounter { metric: name, got: kind };
                executor.annotate(note, span);
            }
        } else if !sounds_right(&name) {
            executor.annotate(AnnotationKind::PossiblyNotCounter(name), span);
            self.noted = true;
        }
    }
}

fn common_name(node: &Node) -> Option<String> {
    let scan = match &node.op {
        Op::Scan(scan) => scan,
        Op::Statistics(input) => return common_name(input),
        _ => return None,
    };
    scan.matchers.iter().find_map(|matcher| match &matcher.test {
        ValueTest::Equal(name) if matcher.name == METRIC_NAME => Some(name.clone()),
        _ => None,
    })
}
