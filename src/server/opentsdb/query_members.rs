//! The series behind results, where an answer names them: `tsuids`, and annotations of series.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use exec::Value;
use lang::opentsdb::{Checked, Query, Resolution, lower_members};
use model::{Labels, METRIC_NAME, ResultSeries, TenantId};
use plan::Plan;

use super::query_names::tsuid_text;
use super::reply::Refusal;
use crate::run_query::{run_lookup, run_query};
use crate::state::State;

/// Numeric names of series by the result that they are part of.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Labels that tell results apart; `None` compares all.
    keys: Option<Vec<String>>,
    by_group: HashMap<Vec<(String, String)>, BTreeSet<String>>,
}

impl Members {
    /// The series of a sub-query that have samples in the hours that are read.
    pub(super) async fn find(
        state: &Arc<State>,
        query: &Query,
        sub: &Checked,
        resolution: &Resolution,
    ) -> Result<Self, Refusal> {
        let root = lower_members(query, sub, resolution, TenantId::DEFAULT)?;
        let plan = Plan { root, limits: state.settings.query_limits };
        let Value::Vector(rows) = run_query(state, plan, None, "opentsdb").await?.value else {
            return Ok(Self::default());
        };
        let filters = sub.query.filters.iter().filter(|filter| filter.group_by);
        let keys = filters.map(|filter| filter.tagk.clone()).collect();
        let keys = (!sub.aggregator.is_none).then_some(keys);
        let space = state.uids.of(TenantId::DEFAULT);
        // Series that came by another protocol get their numbers now, which writes to the disk.
        let named = run_lookup(state, move |_| {
            let mut members = Self { keys, by_group: HashMap::new() };
            for row in &rows {
                let Ok(tsuid) = space.tsuid(row.labels.view()) else { continue };
                let group = members.group_of(&row.labels);
                members.by_group.entry(group).or_default().insert(tsuid_text(&tsuid));
            }
            Ok(members)
        });
        Ok(named.await?)
    }

    fn group_of(&self, labels: &Labels) -> Vec<(String, String)> {
        let counts = |name: &str| match &self.keys {
            Some(keys) => keys.iter().any(|key| key == name),
            None => name != METRIC_NAME,
        };
        let labels = labels.iter().filter(|(name, _)| counts(name));
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The series behind a result, sorted.
    pub(super) fn of<'m>(&'m self, row: &ResultSeries) -> impl Iterator<Item = &'m str> {
        let found = self.by_group.get(&self.group_of(&row.labels));
        found.into_iter().flatten().map(String::as_str)
    }
}
