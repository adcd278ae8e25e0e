//! Rows of a group reduced to one row.
//!
//! On a common grid the plain reductions accumulate row by row, so a group costs its steps and not
//! its rows; quantiles and their like keep the values of the group. Rows on different instants are
//! collected and aligned first.

use plan::node::Text;
use plan::semantics::{Alignment, GroupLabels, Grouping, Reducer};
use plan::{Aggregate, Span};

use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink};
use crate::kernels::accumulate::Accumulator;
use crate::operators::fold::warn_of_quantiles;
use crate::operators::group_histograms::{GroupHistograms, HistogramRule};
use crate::operators::group_labels::GroupIdentity;
use crate::operators::grouping::Groups;
use crate::operators::{align_step, align_union, count_values, union_steps};
use crate::row::{Identity, Row, Rows};

/// One row per group, in order of the groups' first rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    aggregate: &Aggregate,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if let Reducer::CountValues(label) = &aggregate.reducer {
        return count_values::stream(executor, aggregate, label, sink);
    }
    match &aggregate.alignment {
        Alignment::Steps => on_steps(executor, aggregate, span, sink),
        Alignment::Union { between } => {
            if let Some(steps) = union_steps::Steps::of(aggregate) {
                return union_steps::stream(executor, aggregate, steps, sink);
            }
            for (mut identity, rows) in collect_groups(executor, aggregate)? {
                executor.check()?;
                let mut out = align_union::reduce(&aggregate.reducer, *between, &rows)?;
                sink(&mut identity, &mut out)?;
            }
            Ok(())
        }
        Alignment::LeastCommonStep { present_min } => {
            for (mut identity, rows) in collect_groups(executor, aggregate)? {
                executor.check()?;
                let mut out = align_step::reduce(&aggregate.reducer, present_min.0, rows);
                sink(&mut identity, &mut out)?;
            }
            Ok(())
        }
    }
}

/// The groups met so far, with what each keeps.
pub(crate) struct GroupTable<'a, T> {
    groups: Groups,
    labels: &'a GroupLabels,
    by_title: bool,
    states: Vec<(GroupIdentity, T)>,
}

impl<'a, T> GroupTable<'a, T> {
    /// No groups yet.
    pub(crate) fn new(grouping: &Grouping, labels: &'a GroupLabels) -> Self {
        let by_title = matches!(grouping, Grouping::Title);
        Self { groups: Groups::new(grouping), labels, by_title, states: Vec::new() }
    }

    /// The state of the row's group; `new` makes that of a new one.
    pub(crate) fn of(
        &mut self,
        identity: &mut Identity<'_>,
        new: impl FnOnce() -> Result<T, ExecError>,
    ) -> Result<&mut T, ExecError> {
        let (group, first) = self.groups.of(identity);
        if first {
            let title: Option<Text> =
                if self.by_title { Some(identity.title_or_name()) } else { identity.title.clone() };
            let labels = self.groups.labels(identity);
            self.states.push((GroupIdentity::new(labels, title), new()?));
        }
        let (names, state) = &mut self.states[group];
        names.add(self.labels, identity, first);
        Ok(state)
    }

    /// The groups in order.
    pub(crate) fn finish(self) -> impl Iterator<Item = (Identity<'static>, T)> {
        let labels = self.labels;
        self.states.into_iter().map(move |(names, state)| (names.finish(labels), state))
    }
}

fn on_steps(
    executor: &Executor<'_>,
    aggregate: &Aggregate,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let argument = match &aggregate.argument {
        Some(node) => executor.argument(node)?,
        None => Argument::Constant(f64::NAN),
    };
    if aggregate.reducer == Reducer::Quantile {
        let place = aggregate.argument.as_ref().and_then(|node| node.span);
        warn_of_quantiles(executor, &argument, place.or(span));
    }
    let mut table: GroupTable<'_, Group> = GroupTable::new(&aggregate.grouping, &aggregate.labels);
    let mut held = executor.budget.hold();
    let histograms = HistogramRule::new(executor, aggregate, span);
    executor.stream(&aggregate.input, &mut |identity, row| {
        let Some(grid) = row.grid else {
            return Err(ExecError::Internal("rows without a grid in an aggregate".to_owned()));
        };
        let steps = row.values().len();
        let mut cells = 0;
        let group = table.of(identity, || {
            let accumulator = Accumulator::new(&aggregate.reducer, steps);
            cells = accumulator.columns() * steps;
            let out = Row { grid: Some(grid), ..Row::default() };
            Ok(Group { accumulator, out, native: None })
        })?;
        if row.has_histograms() {
            histograms.add(identity, row, &mut group.native, &mut held)?;
        }
        cells += group.accumulator.add(row.values());
        held.add(usize::from(cells > 0), cells)
    })?;
    table.finish().try_for_each(|(mut identity, group)| {
        executor.check()?;
        let Group { accumulator, mut out, native } = group;
        accumulator.finish(&|index| argument.at(index), &mut out.samples.values);
        if let Some(native) = native {
            histograms.finish(*native, &mut out);
        }
        sink(&mut identity, &mut out)
    })
}

/// What a group has gathered.
struct Group {
    accumulator: Accumulator,
    out: Row,
    native: Option<Box<GroupHistograms>>,
}

type GroupRows<'e> = Vec<(Identity<'static>, Rows<'e>)>;

fn collect_groups<'e>(
    executor: &Executor<'e>,
    aggregate: &Aggregate,
) -> Result<GroupRows<'e>, ExecError> {
    let mut table: GroupTable<'_, Rows<'e>> =
        GroupTable::new(&aggregate.grouping, &aggregate.labels);
    executor.stream(&aggregate.input, &mut |identity, row| {
        table.of(identity, || Ok(Rows::new(executor.budget)))?.push(identity, row)
    })?;
    Ok(table.finish().collect())
}
