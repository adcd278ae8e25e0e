//! Functions of whole rows.
//!
//! What concerns one row streams; orders and choices among rows collect first. Every function
//! respects each row's own grid.

mod choose;
mod many;
mod numbers;
mod present;
mod ratio;
mod shape;
mod smooth;
mod spread;
mod whole;

use std::collections::HashSet;

use model::{Hints, METRIC_NAME};
use plan::semantics::{Buckets, CallTitle, Called, GroupLabels};
use plan::{Node, Rows, RowsFunction, Scan, node::Number};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::fold::own_grid;
use crate::operators::group_labels::GroupIdentity;
use crate::operators::{align_step, title};
use crate::row::{Identity, Row};

/// The rows that the function makes of its inputs.
pub(crate) fn stream(
    executor: &Executor<'_>,
    rows: &Rows,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    match &rows.function {
        RowsFunction::Present(presentation) => present::stream(executor, rows, presentation, sink),
        RowsFunction::Fallback => fallback(executor, &rows.inputs, sink),
        RowsFunction::CountRows { function } => count(executor, rows, function, sink),
        RowsFunction::AddSilent { known, buckets } => silent(executor, rows, known, buckets, sink),
        function @ (RowsFunction::SortByScore { .. }
        | RowsFunction::SortByTitle { .. }
        | RowsFunction::First(_)) => choose::ordered(executor, rows, function, sink),
        function @ (RowsFunction::Filter { .. }
        | RowsFunction::FilterTitle { .. }
        | RowsFunction::NotEmpty { .. }
        | RowsFunction::DistinctTitles) => choose::filtered(executor, rows, function, sink),
        RowsFunction::Ratio(ratio) => ratio::stream(executor, rows, ratio, sink),
        _ => among(executor, rows, sink),
    }
}

/// Functions of several inputs, and, last, those of one row.
fn among(executor: &Executor<'_>, rows: &Rows, sink: &mut Sink<'_>) -> Result<(), ExecError> {
    match &rows.function {
        RowsFunction::Sole => many::sole(executor, rows, sink),
        RowsFunction::IfAny => many::if_any(executor, rows, sink),
        RowsFunction::Interleave => many::interleave(executor, rows, sink),
        RowsFunction::FillWhere(number) => many::fill_where(executor, rows, number.0, sink),
        RowsFunction::Stack => many::stack(executor, rows, sink),
        RowsFunction::Area { function } => many::area(executor, rows, function, sink),
        RowsFunction::Beyond => many::beyond(executor, rows, sink),
        RowsFunction::Trend => many::trends(executor, rows, sink),
        RowsFunction::Outside { percent, score } => {
            many::outside(executor, rows, percent.0, score.as_ref(), sink)
        }
        RowsFunction::TitleNumbers(fields) => numbers::titles(executor, rows, fields, sink),
        RowsFunction::MarkNumber { label, number, format } => numbers::mark(
            executor,
            rows,
            label,
            |row, scratch| {
                let number = choose::score(number, row, scratch);
                Some(number.map_or_else(|| "None".to_owned(), |number| format.print(number)))
            },
            sink,
        ),
        RowsFunction::MarkPresent { label, text } => numbers::mark(
            executor,
            rows,
            label,
            |row, _| (!row.is_empty()).then(|| text.clone()),
            sink,
        ),
        RowsFunction::Spread(columns) => rows.inputs.iter().try_for_each(|input| {
            executor.stream(input, &mut |identity, row| spread::apply(columns, identity, row, sink))
        }),
        RowsFunction::Restart { by_ms, until_ms } => {
            many::restart(executor, rows, *by_ms, *until_ms, sink)
        }
        RowsFunction::TitleFromLast { before, format, after } => {
            numbers::from_last(executor, rows, (before, format, after), sink)
        }
        RowsFunction::TitleCall { function, after } => {
            numbers::call(executor, rows, (function, after), sink)
        }
        function => each(executor, rows, sink, |identity, row| {
            shape::apply(function, identity, row);
            Ok(())
        }),
    }
}

/// Every row of every input, after `change`.
fn each(
    executor: &Executor<'_>,
    rows: &Rows,
    sink: &mut Sink<'_>,
    mut change: impl FnMut(&mut Identity<'_>, &mut Row) -> Result<(), ExecError>,
) -> Result<(), ExecError> {
    rows.inputs.iter().try_for_each(|input| {
        executor.stream(input, &mut |identity, row| {
            change(identity, row)?;
            sink(identity, row)
        })
    })
}

/// The rows of the first input that has any.
fn fallback(
    executor: &Executor<'_>,
    inputs: &[Node],
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    for input in inputs {
        let mut any = false;
        executor.stream(input, &mut |identity, row| {
            any = true;
            sink(identity, row)
        })?;
        if any {
            break;
        }
    }
    Ok(())
}

/// The rows, then one without points for every series of `known` that is not among them.
fn silent(
    executor: &Executor<'_>,
    rows: &Rows,
    known: &Scan,
    buckets: &Buckets,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut titles = HashSet::new();
    each(executor, rows, sink, |identity, _| {
        titles.insert(identity.title_or_name());
        Ok(())
    })?;
    let Buckets::PerSeries { range, slots } = buckets else { return Ok(()) };
    let hints = Hints { tenant: known.tenant, labels_only: true, ..Hints::default() };
    let selection = executor.source.select(&known.matchers, known.range, &hints)?;
    executor.budget.series(selection.len())?;
    let mut row = Row::default();
    for index in 0..selection.len() {
        executor.check()?;
        let mut identity = Identity::stored(&*selection, index);
        if let Some(rule) = &known.title {
            title::apply(rule, &mut identity)?;
        }
        let name = identity.title_or_name();
        if titles.insert(name.clone()) {
            let Some(grid) = own_grid(*range, slots, &name, &[]) else { continue };
            row.reset_to_grid(grid, grid.len());
            sink(&mut identity, &mut row)?;
        }
    }
    Ok(())
}

/// One row with the number of rows at every instant of their common grid.
fn count(
    executor: &Executor<'_>,
    rows: &Rows,
    function: &str,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let rule = GroupLabels::Called(Box::new(Called {
        function: function.to_owned(),
        suffix: String::new(),
        title: CallTitle::Expressions,
        mark: None,
        present_min: Number(0.0),
    }));
    let mut group = GroupIdentity::new(model::Labels::empty(), None);
    let mut grids = Vec::new();
    for input in &rows.inputs {
        executor.stream(input, &mut |identity, row| {
            group.add(&rule, identity, grids.is_empty());
            grids.extend(row.grid);
            Ok(())
        })?;
    }
    let Some(common) = align_step::common_grid(&grids) else { return Ok(()) };
    let mut identity = group.finish(&rule);
    let name = identity.title_or_name();
    identity.set_labels(model::Labels::from_pairs([(METRIC_NAME, &*name)]));
    let mut row = Row::default();
    row.reset_to_grid(common, common.len());
    row.samples.values.fill(grids.len() as f64);
    sink(&mut identity, &mut row)
}
