//! Which rows stay, and in which order.

use std::cmp::Ordering;
use std::collections::HashSet;

use plan::semantics::{BinaryOp, Reducer};
use plan::{Rows, RowsFunction};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::reduce::reduce;
use crate::row::{Identity, Row, is_absent};

/// The rows in the function's order.
pub(super) fn ordered(
    executor: &Executor<'_>,
    rows: &Rows,
    function: &RowsFunction,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut collected = crate::row::Rows::new(executor.budget);
    for input in &rows.inputs {
        executor.stream(input, &mut |identity, row| collected.push(identity, row))?;
    }
    let count = collected.len();
    let items = collected.as_mut();
    let mut taken = count;
    match function {
        RowsFunction::SortByScore { score: reducer, descending } => {
            // The key is computed once a row; the sort is stable either way round.
            let mut scratch = Vec::new();
            let mut keyed = |row: &Row| {
                let key = score(reducer, row, &mut scratch).unwrap_or(f64::NEG_INFINITY);
                if *descending { Reversed(-1.0, key) } else { Reversed(1.0, key) }
            };
            items.sort_by_cached_key(|(_, row)| keyed(row));
        }
        RowsFunction::SortByTitle { natural, descending } => {
            items
                .iter_mut()
                .for_each(|(identity, _)| identity.title = Some(identity.title_or_name()));
            let key = |identity: &Identity<'_>| {
                let title = identity.title.as_deref().unwrap_or_default();
                if *natural { padded(title) } else { title.to_owned() }
            };
            if *descending {
                items.sort_by_cached_key(|(identity, _)| std::cmp::Reverse(key(identity)));
            } else {
                items.sort_by_cached_key(|(identity, _)| key(identity));
            }
        }
        RowsFunction::First(wanted) => {
            let dropped = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
            taken = if *wanted < 0 { count.saturating_sub(dropped) } else { dropped.min(count) };
        }
        _ => {}
    }
    items[..taken].iter_mut().try_for_each(|(identity, row)| sink(identity, row))
}

/// A number that sorts by all its bits, upwards or downwards.
struct Reversed(f64, f64);

impl Ord for Reversed {
    fn cmp(&self, other: &Self) -> Ordering {
        let upwards = self.1.total_cmp(&other.1);
        if self.0 < 0.0 { upwards.reverse() } else { upwards }
    }
}

impl PartialOrd for Reversed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Reversed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Reversed {}

/// The rows that pass.
pub(super) fn filtered(
    executor: &Executor<'_>,
    rows: &Rows,
    function: &RowsFunction,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut titles = HashSet::new();
    let mut scratch = Vec::new();
    for input in &rows.inputs {
        executor.stream(input, &mut |identity, row| {
            let passes = match function {
                RowsFunction::Filter { score: reducer, comparison, threshold } => {
                    compare(score(reducer, row, &mut scratch), *comparison, threshold.0)
                }
                RowsFunction::FilterTitle { pattern, keep } => {
                    pattern.is_match(&identity.title_or_name()) == *keep
                }
                RowsFunction::NotEmpty { present_min } => {
                    let present = row.point_count();
                    let share = present as f64 / row.values().len().max(1) as f64;
                    present > 0 && share >= present_min.0
                }
                RowsFunction::DistinctTitles => titles.insert(identity.title_or_name()),
                _ => true,
            };
            if passes { sink(identity, row) } else { Ok(()) }
        })?;
    }
    Ok(())
}

/// One number of a row; `None` where it has none.
pub(super) fn score(reducer: &Reducer, row: &Row, scratch: &mut Vec<f64>) -> Option<f64> {
    let values = row.values();
    let present: Vec<f64> = values.iter().copied().filter(|value| !is_absent(*value)).collect();
    let gaps = present.len() < values.len();
    match reducer {
        Reducer::Count => Some(present.len() as f64),
        // A product is missing where any factor is.
        Reducer::Product(_) if gaps => None,
        // A gap counts as 0, and nothing but gaps as nothing but that.
        Reducer::AverageOfSlots if present.is_empty() && gaps => Some(0.0),
        _ if present.is_empty() => None,
        _ => Some(reduce(reducer, &present, f64::NAN, values.len(), scratch)),
    }
}

/// An absent number is less than everything and unequal to everything.
fn compare(score: Option<f64>, comparison: BinaryOp, threshold: f64) -> bool {
    let Some(score) = score else {
        use BinaryOp::{Less, LessOrEqual, NotEqual};
        return matches!(comparison, Less | LessOrEqual | NotEqual);
    };
    match comparison {
        BinaryOp::Equal => score == threshold,
        BinaryOp::NotEqual => score != threshold,
        BinaryOp::Greater => score > threshold,
        BinaryOp::GreaterOrEqual => score >= threshold,
        BinaryOp::Less => score < threshold,
        BinaryOp::LessOrEqual => score <= threshold,
        _ => false,
    }
}

/// The title with every run of digits widened to ten.
fn padded(title: &str) -> String {
    let mut out = String::with_capacity(title.len() + 16);
    let mut rest = title;
    while !rest.is_empty() {
        let text = rest.find(|next: char| next.is_ascii_digit()).unwrap_or(rest.len());
        out.push_str(&rest[..text]);
        rest = &rest[text..];
        let digits = rest.find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len());
        if digits > 0 {
            out.push_str(&format!("{:0>10}", &rest[..digits]));
        }
        rest = &rest[digits..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_numbers_are_less_and_unequal() {
        assert!(
            compare(None, BinaryOp::LessOrEqual, -1.0) && compare(None, BinaryOp::NotEqual, 0.0)
        );
        assert!(!compare(None, BinaryOp::Greater, -1.0) && !compare(None, BinaryOp::Equal, 0.0));
        assert!(compare(Some(2.0), BinaryOp::GreaterOrEqual, 2.0));
    }

    #[test]
    fn numbers_inside_titles_compare_as_numbers() {
        assert!(padded("web2.a") < padded("web10.a"));
        assert_eq!(padded("a1b"), "a0000000001b");
    }
}
