//! Rows brought into an order.

use std::cmp::Ordering;

use model::{LabelBuilder, Labels};
use plan::semantics::SortOrder;
use plan::{AnnotationKind, Node, Op, Span};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::{Identity, Row};

/// The rows in order; by value only where there is a single instant.
pub(crate) fn stream(
    executor: &Executor<'_>,
    input: &Node,
    order: &SortOrder,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if let SortOrder::Numbers { names } = order {
        return by_numbers(executor, input, names, sink);
    }
    let mut rows = executor.collect(input)?;
    // Without rows only the plan tells whether there is a single instant.
    let asked = plan::check::grid(input).is_none_or(|grid| grid.len() <= 1);
    let single = asked && rows.iter().all(|(_, row)| row.values().len() <= 1);
    if !single && !matches!(order, SortOrder::Title) {
        executor.annotate(AnnotationKind::SortInRangeQuery, span);
        if matches!(order, SortOrder::Value { .. }) {
            rows.as_mut().iter_mut().for_each(|(_, row)| row.clear_histograms());
        }
        return rows.as_mut().iter_mut().try_for_each(|(identity, row)| sink(identity, row));
    }
    match order {
        SortOrder::Value { descending } => {
            // Histograms have no order: they go.
            rows.as_mut().iter_mut().for_each(|(_, row)| row.clear_histograms());
            rows.as_mut().sort_by(|left, right| by_value(&left.1, &right.1, *descending));
        }
        SortOrder::Labels { names, descending } => {
            rows.as_mut().sort_by(|left, right| {
                // Collected identities have their labels.
                let order = by_labels(names, &labels_of(&left.0), &labels_of(&right.0));
                if *descending { order.reverse() } else { order }
            });
        }
        SortOrder::Title => {
            rows.as_mut().sort_by_cached_key(|(identity, _)| identity.duplicate().title_or_name());
        }
        SortOrder::Numbers { .. } => {}
    }
    rows.as_mut().iter_mut().try_for_each(|(identity, row)| sink(identity, row))
}

fn by_numbers(
    executor: &Executor<'_>,
    input: &Node,
    names: &[String],
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    match (&executor.context.numbers, &input.op) {
        (None, _) => executor.stream(input, sink),
        (Some(numbers), Op::Scan(scan)) if names.is_empty() => {
            super::scan::numbered(executor, scan, &**numbers, sink)
        }
        (Some(numbers), _) => {
            let mut rows = executor.collect(input)?;
            rows.as_mut().sort_by_cached_key(|(identity, _)| {
                let labels = labels_of(identity);
                let counts = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
                numbers.key(&LabelBuilder::from_labels(labels.view()).retain(counts).build())
            });
            rows.as_mut().iter_mut().try_for_each(|(identity, row)| sink(identity, row))
        }
    }
}

fn labels_of(identity: &Identity<'_>) -> Labels {
    identity.duplicate().labels().clone()
}

fn by_value(left: &Row, right: &Row, descending: bool) -> Ordering {
    let value = |row: &Row| row.values().first().copied().unwrap_or(f64::NAN);
    let (left, right) = (value(left), value(right));
    match left.partial_cmp(&right) {
        Some(order) if descending => order.reverse(),
        Some(order) => order,
        // NaN is last either way.
        None => left.is_nan().cmp(&right.is_nan()),
    }
}

fn by_labels(names: &[String], left: &Labels, right: &Labels) -> Ordering {
    let value = |labels: &'_ Labels, name: &str| labels.get(name).unwrap_or_default().to_owned();
    names
        .iter()
        .map(|name| natural(&value(left, name), &value(right, name)))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| left.cmp(right))
}

/// Compares texts with their runs of digits as numbers.
pub(crate) fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while let (Some(a), Some(b)) = (left.first(), right.first()) {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let (left_number, left_rest) = left.split_at(digits(left));
            let (right_number, right_rest) = right.split_at(digits(right));
            let order = number_order(left_number, right_number);
            if order.is_ne() {
                return order;
            }
            (left, right) = (left_rest, right_rest);
        } else {
            if a != b {
                return a.cmp(b);
            }
            (left, right) = (&left[1..], &right[1..]);
        }
    }
    left.len().cmp(&right.len())
}

fn number_order(left: &[u8], right: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits[zeros..].to_vec()
    };
    let (a, b) = (significant(left), significant(right));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b)).then_with(|| left.len().cmp(&right.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        for (less, more) in
            [("a2", "a10"), ("a", "b"), ("a1", "a1b"), ("2", "10"), ("a1b2", "a1b11")]
        {
            assert_eq!(natural(less, more), Ordering::Less, "{less} {more}");
        }
        assert_eq!(natural("x7", "x7"), Ordering::Equal);
    }
}
