//! Native histograms in a group: added up, counted, or left out with a remark.

use std::sync::Arc;

use plan::semantics::Reducer;
use plan::{Aggregate, AnnotationKind, HistogramOperation, Span};

use crate::budget::Held;
use crate::error::ExecError;
use crate::executor::Executor;
use crate::kernels::native::mean::Total;
use crate::row::{ABSENT, Identity, Row, is_absent};

/// What an aggregation does with histograms.
enum Treatment {
    /// They are added, or averaged.
    Added { averages: bool },
    /// They count like floats.
    Counted,
    /// They are left out; the aggregation's name for the remark.
    Ignored(&'static str),
}

/// One aggregation's treatment of histograms.
pub(crate) struct HistogramRule<'e, 's> {
    executor: &'e Executor<'s>,
    treatment: Treatment,
    span: Option<Span>,
}

/// The histograms of a group at every step.
pub(crate) struct GroupHistograms {
    totals: Vec<Option<Total>>,
    /// Steps at which layouts cannot be added.
    incompatible: Vec<bool>,
}

impl<'e, 's> HistogramRule<'e, 's> {
    /// The rule of `aggregate`; remarks are about its input.
    pub(crate) fn new(
        executor: &'e Executor<'s>,
        aggregate: &Aggregate,
        span: Option<Span>,
    ) -> Self {
        let treatment = match aggregate.reducer {
            Reducer::Sum(_) => Treatment::Added { averages: false },
            Reducer::Average(_) => Treatment::Added { averages: true },
            Reducer::Count | Reducer::Group => Treatment::Counted,
            Reducer::Min => Treatment::Ignored("min"),
            Reducer::Max => Treatment::Ignored("max"),
            Reducer::StdDev(_) => Treatment::Ignored("stddev"),
            Reducer::StdVar(_) => Treatment::Ignored("stdvar"),
            _ => Treatment::Ignored("quantile"),
        };
        Self { executor, treatment, span: aggregate.input.span.or(span) }
    }

    /// Takes the histograms of a row in, and room for them; floats are left for the accumulator.
    pub(crate) fn add(
        &self,
        identity: &mut Identity<'_>,
        row: &mut Row,
        group: &mut Option<Box<GroupHistograms>>,
        held: &mut Held<'_>,
    ) -> Result<(), ExecError> {
        let steps = row.values().len();
        match self.treatment {
            Treatment::Counted => {
                for index in 0..steps {
                    if row.samples.histogram(index).is_some() {
                        row.samples.values[index] = 1.0;
                    }
                }
                Ok(())
            }
            Treatment::Ignored(name) => {
                if row.samples.histograms.iter().any(Option::is_some) {
                    self.executor.annotate(AnnotationKind::HistogramIgnored(name), self.span);
                }
                Ok(())
            }
            Treatment::Added { averages } => {
                if group.is_none() {
                    held.add_bytes(steps * size_of::<Option<Total>>())?;
                }
                let group = group.get_or_insert_with(|| {
                    let totals = std::iter::repeat_with(|| None).take(steps).collect();
                    Box::new(GroupHistograms { totals, incompatible: vec![false; steps] })
                });
                self.add_to(identity, row, group, averages, held)
            }
        }
    }

    /// Adds the histograms of a row to the totals. These count as many samples as a histogram does, which is
    /// what users compare their limit with, but take more memory.
    fn add_to(
        &self,
        identity: &mut Identity<'_>,
        row: &Row,
        group: &mut GroupHistograms,
        averages: bool,
        held: &mut Held<'_>,
    ) -> Result<(), ExecError> {
        let slots = group.totals.iter_mut().zip(&mut group.incompatible);
        for (index, (total, incompatible)) in slots.enumerate() {
            let Some(histogram) = row.samples.histogram(index) else { continue };
            if *incompatible {
                continue;
            }
            match total {
                None => {
                    let first = Total::new(histogram, averages);
                    held.add_large(histogram.weight(), first.buckets_bytes())?;
                    *total = Some(first);
                }
                Some(total) => {
                    let before = total.buckets_bytes();
                    if total.add(histogram).is_err() {
                        *incompatible = true;
                        let name = identity.labels().metric_name().unwrap_or_default().to_owned();
                        self.executor.annotate(AnnotationKind::MixedSchemas(name), self.span);
                    }
                    held.add_bytes(total.buckets_bytes().saturating_sub(before))?;
                }
            }
        }
        Ok(())
    }

    /// Puts the totals beside the floats of the group; where both are, neither is an answer.
    pub(crate) fn finish(&self, group: GroupHistograms, out: &mut Row) {
        out.samples.histograms.resize(out.samples.values.len(), None);
        let note = |kind| self.executor.annotate(kind, self.span);
        let slots = group.totals.into_iter().zip(group.incompatible);
        for (index, (total, incompatible)) in slots.enumerate() {
            let Some(total) = total else { continue };
            if !is_absent(out.samples.values[index]) {
                out.samples.values[index] = ABSENT;
                note(AnnotationKind::MixedGroup);
                continue;
            }
            if total.bounds_reconciled {
                note(AnnotationKind::BoundsReconciled(HistogramOperation::Aggregation));
            }
            if incompatible {
                continue;
            }
            if total.resets_conflict() {
                note(AnnotationKind::ResetsConflict(HistogramOperation::Aggregation));
            }
            let mut sum = total.finish();
            sum.compact();
            out.samples.histograms[index] = Some(Arc::new(sum));
        }
    }
}
