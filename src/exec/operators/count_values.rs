//! One row per distinct value of a group.

use hashbrown::HashMap;
use model::{LabelBuilder, StepGrid};
use plan::Aggregate;
use plan::semantics::GroupLabels;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::native;
use crate::operators::aggregate::GroupTable;
use crate::operators::distinct;
use crate::row::{Row, is_absent};
use base::number_text::decimal;

/// The distinct values of a group, in order of appearance, with their count at every step.
#[derive(Default)]
struct Values {
    grid: Option<StepGrid>,
    places: HashMap<String, usize>,
    counts: Vec<(String, Row)>,
}

/// One row per group and value, the value as text under `label`.
pub(crate) fn stream(
    executor: &Executor<'_>,
    aggregate: &Aggregate,
    label: &str,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut table: GroupTable<'_, Values> =
        GroupTable::new(&aggregate.grouping, &GroupLabels::Group);
    let mut held = executor.budget.hold();
    executor.stream(&aggregate.input, &mut |identity, row| {
        let values = table.of(identity, || Ok(Values::default()))?;
        values.grid = row.grid;
        let steps = row.values().len();
        for index in (0..steps).filter(|index| !row.is_absent_at(*index)) {
            let text = match row.samples.histogram(index) {
                Some(histogram) => native::text::text(histogram),
                None => decimal(row.values()[index]),
            };
            let next = values.counts.len();
            let place = *values.places.entry(text.clone()).or_insert(next);
            if place == next {
                held.add(1, steps)?;
                // The text of a histogram may be long; it stands in the table and in the row.
                held.add_bytes(2 * text.len())?;
                let mut counts = Row::default();
                if let Some(grid) = row.grid {
                    counts.reset_to_grid(grid, steps);
                }
                values.counts.push((text, counts));
            }
            if let Some(count) = values.counts[place].1.samples.values.get_mut(index) {
                *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
            }
        }
        Ok(())
    })?;
    let produce = |sink: &mut Sink<'_>| {
        table.finish().try_for_each(|(mut identity, values)| {
            identity.name_pending = false;
            let group = identity.labels().clone();
            values.counts.into_iter().try_for_each(|(text, mut counts)| {
                let mut builder = LabelBuilder::from_labels(group.view());
                identity.set_labels(builder.set(label, &text).build());
                sink(&mut identity, &mut counts)
            })
        })
    };
    // The label may overwrite one that kept two groups apart.
    distinct::stream(executor, produce, sink)
}
