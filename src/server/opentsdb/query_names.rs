//! What a sub-query needs to know of the store before it becomes a plan: whether its names exist, and
//! which tag keys it must exclude.

use std::sync::Arc;

use lang::opentsdb::lower::matchers;
use lang::opentsdb::{Checked, Resolution};
use model::{METRIC_NAME, Source, SourceError, TenantId, TimeRange};

use super::names;
use super::reply::Refusal;
use crate::run_query::run_lookup;
use crate::state::State;

/// Looks the names of one sub-query up; the first that no series carries is refused.
pub(super) async fn resolution(state: &Arc<State>, sub: &Checked) -> Result<Resolution, Refusal> {
    let wanted = sub.names()?;
    let sub = sub.clone();
    let found = run_lookup(state, move |source| {
        Ok(match names::first_unknown(source, wanted)? {
            Some(unknown) => Err(unknown),
            None => Ok(resolve(source, &sub)?),
        })
    });
    Ok(found.await?.map_err(|unknown| unknown.unknown())?)
}

/// With explicit tags, keys that no filter names must be missing from a series.
fn resolve(source: &dyn Source, sub: &Checked) -> Result<Resolution, SourceError> {
    if !sub.query.explicit_tags {
        return Ok(Resolution::default());
    }
    let matchers = matchers(sub, &Resolution::default());
    let mut other_keys = source.label_names(TenantId::DEFAULT, &matchers, TimeRange::ALL)?;
    let named = |key: &String| sub.query.filters.iter().any(|filter| filter.tagk == *key);
    other_keys.retain(|key| key != METRIC_NAME && !named(key));
    Ok(Resolution { other_keys, ..Resolution::default() })
}
