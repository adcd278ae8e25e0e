//! What a sub-query needs to know of the store before it becomes a plan: whether its names exist, which
//! tag keys it must exclude, and which series numbers stand for.

use std::sync::Arc;

use lang::opentsdb::lower::matchers;
use lang::opentsdb::rollup::RollupRead;
use lang::opentsdb::validate::Name;
use lang::opentsdb::{Checked, OpenTsdbError, Resolution};
use model::{Catalog, METRIC_NAME, Matcher, SourceError, TenantId, TimeRange};

use super::names;
use super::reply::Refusal;
use super::uids::{UidKind, UidSpace, from_hex, to_hex};
use crate::run_query::run_lookup;
use crate::state::State;

/// Looks the names of one sub-query up; the first that does not exist is refused.
pub(super) async fn resolution(state: &Arc<State>, sub: &Checked) -> Result<Resolution, Refusal> {
    let rollup = rollup(state, sub);
    if !sub.query.tsuids.is_empty() {
        return Ok(Resolution { rollup, ..by_number(state, sub).await? });
    }
    let mut wanted = sub.names()?;
    if state.settings.opentsdb.skip_unresolved_tagvs {
        wanted.retain(|name| !matches!(name, Name::Value { .. }));
    }
    let (sub, space) = (sub.clone(), state.uids.of(TenantId::DEFAULT));
    let found = run_lookup(state, move |source| {
        Ok(match first_unknown(source, &space, wanted)? {
            Some(unknown) => Err(unknown),
            None => Ok(resolve(source, &sub)?),
        })
    });
    let found = found.await?.map_err(|unknown| unknown.unknown())?;
    Ok(Resolution { rollup, ..found })
}

/// The points that are read in place of the raw ones.
pub(super) fn rollup(state: &State, sub: &Checked) -> Option<RollupRead> {
    state.settings.opentsdb.rollups.as_ref()?.read(sub)
}

/// The first of the names that neither has a number nor stands on a series.
pub(super) fn first_unknown(
    source: &dyn Catalog,
    space: &UidSpace,
    mut names: Vec<Name>,
) -> Result<Option<Name>, SourceError> {
    names.retain(|name| {
        let (kind, name) = match name {
            Name::Metric(name) => (UidKind::Metric, name),
            Name::Key(name) => (UidKind::Key, name),
            Name::Value { value, .. } => (UidKind::Value, value),
        };
        space.uid(kind, name).is_none()
    });
    names::first_unknown(source, names)
}

/// With explicit tags, keys that no filter names must be missing from a series.
fn resolve(source: &dyn Catalog, sub: &Checked) -> Result<Resolution, SourceError> {
    if !sub.query.explicit_tags {
        return Ok(Resolution::default());
    }
    let matchers = matchers(sub, &Resolution::default());
    let mut other_keys = source.label_names(TenantId::DEFAULT, &matchers, TimeRange::ALL)?;
    let named = |key: &String| sub.query.filters.iter().any(|filter| filter.tagk == *key);
    other_keys.retain(|key| key != METRIC_NAME && !named(key));
    Ok(Resolution { other_keys, ..Resolution::default() })
}

/// The series of numeric names, in the order of these. One that was never written is absent.
async fn by_number(state: &Arc<State>, sub: &Checked) -> Result<Resolution, Refusal> {
    let space = state.uids.of(TenantId::DEFAULT);
    let tsuids = parse_tsuids(&space, state.settings.opentsdb.uid_width, &sub.query.tsuids)?;
    let found = run_lookup(state, move |source| {
        let mut series = Vec::new();
        for tsuid in &tsuids {
            series.extend(series_matchers(source, &space, tsuid)?);
        }
        Ok(series)
    });
    Ok(Resolution { series: Some(found.await?), ..Resolution::default() })
}

/// The bytes of numeric names of one metric, sorted.
fn parse_tsuids(
    space: &UidSpace,
    width: usize,
    texts: &[String],
) -> Result<Vec<Vec<u8>>, OpenTsdbError> {
    let mut tsuids: Vec<Vec<u8>> = Vec::with_capacity(texts.len());
    let mut first = None;
    for text in texts {
        let digits = 2 * width;
        if text.len() < digits {
            let length = text.len();
            let message = format!("begin 0, end {digits}, length {length}");
            return Err(OpenTsdbError::unmapped(message));
        }
        let wrong = || OpenTsdbError::unmapped(format!("Invalid TSUID: {text}"));
        let bytes = from_hex(text).ok_or_else(wrong)?;
        let metric = space.split(&bytes).ok_or_else(wrong)?.metric;
        let first = *first.get_or_insert(metric);
        if metric != first {
            return Err(OpenTsdbError::unmapped(format!(
                "One or more TSUIDs did not share the same metric [{}] [{}]",
                space.show(first),
                space.show(metric)
            )));
        }
        if space.name(UidKind::Metric, metric).is_none() {
            let bytes: Vec<String> = space.bytes(metric).iter().map(u8::to_string).collect();
            let message = format!("No such unique ID for 'metrics': [{}]", bytes.join(", "));
            return Err(OpenTsdbError::invalid(message));
        }
        tsuids.push(bytes);
    }
    tsuids.sort_unstable();
    tsuids.dedup();
    Ok(tsuids)
}

/// What the series of a numeric name must satisfy; `None` where no such series can exist.
pub(super) fn series_matchers(
    source: &dyn Catalog,
    space: &UidSpace,
    tsuid: &[u8],
) -> Result<Option<Vec<Matcher>>, SourceError> {
    let Some(names) = space.series(tsuid) else { return Ok(None) };
    let mut matchers = vec![Matcher::equal(METRIC_NAME, &*names.metric)];
    let pairs = names.tags.iter().map(|(key, value)| Matcher::equal(&**key, &**value));
    matchers.extend(pairs);
    exclude_other_keys(source, &mut matchers)?;
    Ok(Some(matchers))
}

/// Keeps out series with labels that none of the matchers names.
pub(super) fn exclude_other_keys(
    source: &dyn Catalog,
    matchers: &mut Vec<Matcher>,
) -> Result<(), SourceError> {
    let names = source.label_names(TenantId::DEFAULT, matchers, TimeRange::ALL)?;
    for name in names {
        if !matchers.iter().any(|matcher| matcher.name == name) {
            matchers.push(Matcher::equal(name.as_str(), ""));
        }
    }
    Ok(())
}

/// The text of a numeric name.
pub(super) fn tsuid_text(tsuid: &[u8]) -> String {
    to_hex(tsuid)
}
