//! Series that clients announced before any sample of theirs came, as small documents, beside those
//! that the index knows by their samples. Look-ups of tags see both.

use model::identity::flat_name;
use model::{
    Catalog, DocumentChange, DocumentError, Documents, Hints, LabelBuilder, Labels, METRIC_NAME,
    Matcher, SourceError, TenantId, TimeRange,
};
use wire::graphite::path::{PathError, parse};

use std::collections::{BTreeMap, BTreeSet};

/// Announced series; the key is the canonical path.
const TABLE: &str = "graphite.tagged";
/// Announced series that are kept.
const REGISTERED_MAX: usize = 200_000;
/// Series that one answer may list or count.
const SERIES_MAX: usize = 1_000_000;

/// The labels of a path.
pub(super) fn labels_of(path: &str) -> Result<Labels, PathError> {
    let (name, tags) = parse(path.as_bytes())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut labels = LabelBuilder::default();
    labels.set(METRIC_NAME, &text(&name));
    for (tag, value) in &tags {
        labels.set(&text(tag), &text(value));
    }
    Ok(labels.build())
}

/// Matchers of the series with exactly these labels: no other label may be there.
fn exactly(source: &dyn Catalog, labels: &Labels) -> Result<Vec<Matcher>, SourceError> {
    let mut matchers: Vec<Matcher> =
        labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    for name in source.label_names(TenantId::DEFAULT, &matchers, TimeRange::ALL)? {
        if labels.get(&name).is_none() {
            matchers.push(Matcher::equal(&name, ""));
        }
    }
    Ok(matchers)
}

fn labels_only() -> Hints {
    Hints { labels_only: true, ..Hints::default() }
}

/// Keeps the series that have no samples yet.
pub(super) fn register(
    source: &dyn Catalog,
    documents: &dyn Documents,
    paths: &[String],
) -> Result<Result<(), DocumentError>, SourceError> {
    let mut changes = Vec::new();
    for path in paths {
        let Ok(labels) = labels_of(path) else { continue };
        let matchers = exactly(source, &labels)?;
        if source.select(&matchers, TimeRange::ALL, &labels_only())?.is_empty() {
            changes.push(DocumentChange::put(TABLE, path.as_bytes(), b""));
        }
    }
    let room = REGISTERED_MAX.saturating_sub(changes.len());
    let known = documents.scan(TenantId::DEFAULT, TABLE, b"", b"", REGISTERED_MAX).len();
    if changes.is_empty() || known > room {
        // What does not fit is found as soon as it has samples.
        return Ok(Ok(()));
    }
    Ok(documents.write(TenantId::DEFAULT, &changes))
}

/// Forgets announced series.
pub(super) fn forget(documents: &dyn Documents, paths: &[String]) -> Result<(), DocumentError> {
    let changes: Vec<DocumentChange> =
        paths.iter().map(|path| DocumentChange::remove(TABLE, path.as_bytes())).collect();
    documents.write(TenantId::DEFAULT, &changes)
}

/// Matchers of the stored series of a path, for deletion; `None` if there are none.
pub(super) fn stored(
    source: &dyn Catalog,
    path: &str,
) -> Result<Option<Vec<Matcher>>, SourceError> {
    let Ok(labels) = labels_of(path) else { return Ok(None) };
    let matchers = exactly(source, &labels)?;
    let found = source.select(&matchers, TimeRange::ALL, &labels_only())?;
    Ok((!found.is_empty()).then_some(matchers))
}

/// All series with their tags.
pub(super) struct Directory<'s> {
    source: &'s dyn Catalog,
    registered: Vec<Labels>,
}

impl<'s> Directory<'s> {
    pub(super) fn new(source: &'s dyn Catalog, documents: &dyn Documents) -> Self {
        let known = documents.scan(TenantId::DEFAULT, TABLE, b"", b"", REGISTERED_MAX);
        let paths = known.iter().filter_map(|(key, _)| std::str::from_utf8(key).ok());
        Self { source, registered: paths.filter_map(|path| labels_of(path).ok()).collect() }
    }

    fn registered<'d>(&'d self, matchers: &'d [Matcher]) -> impl Iterator<Item = &'d Labels> {
        self.registered.iter().filter(|labels| {
            matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or_default()))
        })
    }

    /// Names of all labels on series that pass.
    pub(super) fn names(&self, matchers: &[Matcher]) -> Result<BTreeSet<String>, SourceError> {
        let stored = self.source.label_names(TenantId::DEFAULT, matchers, TimeRange::ALL)?;
        let mut names: BTreeSet<String> = stored.into_iter().collect();
        for labels in self.registered(matchers) {
            names.extend(labels.iter().map(|(name, _)| name.to_owned()));
        }
        Ok(names)
    }

    /// Series that pass, in one spelling.
    pub(super) fn series(&self, matchers: &[Matcher]) -> Result<BTreeSet<String>, SourceError> {
        let selection = self.source.select(matchers, TimeRange::ALL, &labels_only())?;
        check_count(selection.len())?;
        let stored = (0..selection.len()).map(|index| flat_name(&selection.labels(index)));
        Ok(stored.chain(self.registered(matchers).map(flat_name)).collect())
    }

    /// The values of a label, at most `limit` (0 = all), that start with `prefix`.
    pub(super) fn values(
        &self,
        label: &str,
        matchers: &[Matcher],
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<String>, SourceError> {
        let all = TimeRange::ALL;
        let tenant = TenantId::DEFAULT;
        let stored = self.source.label_values(tenant, label, matchers, all, prefix, limit)?;
        let mut values: BTreeSet<String> = stored.into_iter().collect();
        let known = self.registered(matchers).filter_map(|labels| labels.get(label));
        values.extend(known.filter(|value| value.starts_with(prefix)).map(str::to_owned));
        let limit = if limit == 0 { usize::MAX } else { limit };
        Ok(values.into_iter().take(limit).collect())
    }

    /// The values of a label and how many series have each.
    pub(super) fn counts(&self, label: &str) -> Result<BTreeMap<String, i64>, SourceError> {
        let there = [Matcher::new(label, model::ValueTest::NotEqual(String::new()))];
        let mut counts = BTreeMap::new();
        let mut stored = BTreeSet::new();
        let selection = self.source.select(&there, TimeRange::ALL, &labels_only())?;
        check_count(selection.len())?;
        for index in 0..selection.len() {
            let labels = selection.labels(index);
            if let Some(value) = labels.get(label) {
                *counts.entry(value.to_owned()).or_insert(0) += 1;
            }
            if !self.registered.is_empty() {
                stored.insert(labels);
            }
        }
        for labels in self.registered(&there).filter(|labels| !stored.contains(*labels)) {
            if let Some(value) = labels.get(label) {
                *counts.entry(value.to_owned()).or_insert(0) += 1;
            }
        }
        Ok(counts)
    }
}

fn check_count(series: usize) -> Result<(), SourceError> {
    if series <= SERIES_MAX {
        return Ok(());
    }
    let message = format!("{series} series match, at most {SERIES_MAX} are listed");
    Err(SourceError::TooLarge { message })
}
