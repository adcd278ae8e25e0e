//! Renaming what is stored: a series never changes its labels, so its samples are written again
//! under the new ones and deleted under the old.
//!
//! The copy is complete and durable before anything is deleted, so an interrupted renaming loses
//! nothing and can be repeated.

use std::sync::Arc;

use model::{
    Hints, Labels, METRIC_NAME, Matcher, SampleKind, Samples, SourceError, TenantId, TimeRange,
    ValueTest, WriteBatch,
};

use super::body::blocking;
use super::reply::Refusal;
use super::uids::UidKind;
use crate::run_query::run_lookup;
use crate::state::State;

/// Samples of one batch of copies.
const BATCH_SAMPLES: usize = 100_000;

/// Gives all series that carry a name the other one.
pub(super) async fn rename_series(
    state: &Arc<State>,
    kind: UidKind,
    old: &str,
    new: &str,
) -> Result<(), Refusal> {
    for matcher in carriers(state, kind, old).await? {
        copy(state, &matcher, kind, old, new).await?;
        let (appender, matchers) = (state.appender.clone(), [matcher]);
        blocking(move || appender.delete(TenantId::DEFAULT, &matchers, TimeRange::ALL))
            .await?
            .map_err(|error| Refusal::internal(error.to_string()))?;
    }
    Ok(())
}

/// Matchers that together select every series with the name.
async fn carriers(state: &Arc<State>, kind: UidKind, old: &str) -> Result<Vec<Matcher>, Refusal> {
    Ok(match kind {
        UidKind::Metric => vec![Matcher::equal(METRIC_NAME, old)],
        UidKind::Key => vec![Matcher::new(old, ValueTest::NotEqual(String::new()))],
        UidKind::Value => {
            let tenant = TenantId::DEFAULT;
            let keys =
                move |source: &dyn model::Catalog| source.label_names(tenant, &[], TimeRange::ALL);
            let keys = run_lookup(state, keys).await?;
            let keys = keys.into_iter().filter(|key| key != METRIC_NAME);
            keys.map(|key| Matcher::equal(key, old)).collect()
        }
    })
}

/// Writes the series that pass `matcher` under their new labels.
async fn copy(
    state: &Arc<State>,
    matcher: &Matcher,
    kind: UidKind,
    old: &str,
    new: &str,
) -> Result<(), Refusal> {
    let hints = Hints { integers: true, histograms: true, ..Hints::default() };
    let matchers = [matcher.clone()];
    let selection =
        run_lookup(state, move |source| source.select(&matchers, TimeRange::ALL, &hints)).await?;
    let selection = Arc::new(selection);
    let mut from = 0;
    while from < selection.len() {
        let batch = state.appender.batch(TenantId::DEFAULT);
        let (selection, names) = (selection.clone(), (kind, old.to_owned(), new.to_owned()));
        let work = move || fill(&**selection, from, batch, &names);
        let (batch, next) =
            blocking(work).await?.map_err(|error| Refusal::internal(error.to_string()))?;
        if let Some(batch) = batch {
            let report = state.appender.append(batch).await;
            let report = report.map_err(|error| Refusal::of(&error))?;
            if let Some(reject) = report.rejects.first() {
                return Err(Refusal::bad(format!("cannot rename: {}", reject.reason)));
            }
        } else {
            return Err(Refusal::bad("cannot rename: a histogram is not a valid one"));
        }
        from = next;
    }
    Ok(())
}

type Names = (UidKind, String, String);

/// Copies series from the one at `from` on; `None` where one holds what cannot be copied.
fn fill(
    selection: &dyn model::Selection,
    mut from: usize,
    mut batch: WriteBatch,
    names: &Names,
) -> Result<(Option<WriteBatch>, usize), SourceError> {
    let mut samples = Samples::default();
    while from < selection.len() && batch.sample_count() < BATCH_SAMPLES {
        selection.read(from, &mut samples)?;
        if !samples.timestamps.is_empty() {
            batch.begin_row();
            batch.set_labels(renamed(&selection.labels(from), names).view());
            for (index, at_ms) in samples.timestamps.iter().enumerate() {
                if let Some(Some(histogram)) = samples.histograms.get(index) {
                    if batch.push_histogram(*at_ms, histogram).is_err() {
                        return Ok((None, from));
                    }
                    continue;
                }
                let (kind, bits) = match samples.integers.get(index) {
                    Some(Some(integer)) => (SampleKind::Integer, *integer as u64),
                    _ => (SampleKind::Float, samples.values[index].to_bits()),
                };
                batch.push_bits(*at_ms, kind, bits);
            }
        }
        from += 1;
    }
    Ok((Some(batch), from))
}

/// The labels with the new name in place of the old one.
fn renamed(labels: &Labels, (kind, old, new): &Names) -> Labels {
    let pairs = labels.iter().map(|(key, value)| {
        let is_metric = key == METRIC_NAME;
        match kind {
            UidKind::Metric if is_metric && value == old => (key, new.as_str()),
            UidKind::Key if !is_metric && key == old => (new.as_str(), value),
            UidKind::Value if !is_metric && value == old => (key, new.as_str()),
            _ => (key, value),
        }
    });
    let mut pairs: Vec<(&str, &str)> = pairs.collect();
    pairs.sort_unstable();
    Labels::from_pairs(pairs)
}
