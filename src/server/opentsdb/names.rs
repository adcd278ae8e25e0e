//! Whether names exist, and which do.
//!
//! OpenTSDB knows every name that was ever written by its number; here a name exists while a series
//! carries it.

use std::collections::BTreeSet;

use lang::opentsdb::rollup::STORED_PREFIX;
use lang::opentsdb::validate::Name;
use model::{Catalog, METRIC_NAME, Matcher, SourceError, TenantId, TimeRange};

/// True if some series carries the name.
pub(super) fn exists(source: &dyn Catalog, name: &Name) -> Result<bool, SourceError> {
    match name {
        Name::Metric(name) => has_value(source, METRIC_NAME, name),
        Name::Key(key) => {
            let tenant = TenantId::DEFAULT;
            let found = source.label_values(tenant, key, &[], TimeRange::ALL, "", 1)?;
            Ok(key != METRIC_NAME && !found.is_empty())
        }
        Name::Value { key, value } => {
            if has_value(source, key, value)? {
                return Ok(true);
            }
            // A value of any other key is known as well.
            for other in keys(source, "", 0)? {
                if has_value(source, &other, value)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// The first of the names that no series carries.
pub(super) fn first_unknown(
    source: &dyn Catalog,
    names: Vec<Name>,
) -> Result<Option<Name>, SourceError> {
    for name in names {
        if !exists(source, &name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn has_value(source: &dyn Catalog, key: &str, value: &str) -> Result<bool, SourceError> {
    let matchers = [Matcher::equal(key, value)];
    let range = TimeRange::ALL;
    let found = source.label_values(TenantId::DEFAULT, key, &matchers, range, value, 1)?;
    Ok(!found.is_empty())
}

/// Metrics that start with `prefix`, in byte order; `limit` 0 = all.
pub(super) fn metrics(
    source: &dyn Catalog,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, SourceError> {
    let (tenant, range) = (TenantId::DEFAULT, TimeRange::ALL);
    let values = |limit| source.label_values(tenant, METRIC_NAME, &[], range, prefix, limit);
    let mut found = values(limit)?;
    if found.iter().any(|name| is_hidden(name)) {
        found = values(0)?;
        found.retain(|name| !is_hidden(name));
        if limit > 0 {
            found.truncate(limit);
        }
    }
    Ok(found)
}

/// True for metrics under which rollups are kept: nobody asks for them by that name.
pub(super) fn is_hidden(metric: &str) -> bool {
    metric.starts_with(STORED_PREFIX)
}

/// Tag keys that start with `prefix`, in byte order; `limit` 0 = all.
pub(super) fn keys(
    source: &dyn Catalog,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, SourceError> {
    let mut keys = source.label_names(TenantId::DEFAULT, &[], TimeRange::ALL)?;
    keys.retain(|key| key != METRIC_NAME && key.starts_with(prefix));
    if limit > 0 {
        keys.truncate(limit);
    }
    Ok(keys)
}

/// Values of any tag that start with `prefix`, in byte order.
pub(super) fn values(
    source: &dyn Catalog,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, SourceError> {
    let mut found = BTreeSet::new();
    for key in keys(source, "", 0)? {
        let (tenant, range) = (TenantId::DEFAULT, TimeRange::ALL);
        found.extend(source.label_values(tenant, &key, &[], range, prefix, limit)?);
        while limit > 0 && found.len() > limit {
            found.pop_last();
        }
    }
    Ok(found.into_iter().collect())
}
