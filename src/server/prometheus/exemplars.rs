//! Exemplars: traces that stand for samples. Kept as small documents, bounded per series and in all.
//!
//! Two tables: `exemplar_series`, number of a series → its packed labels, and `exemplars`, number,
//! instant, value and checksum of the labels (before: number and instant alone) → value and labels. What is oldest by arrival goes first. In memory there is only the order
//! of arrival and the series; after a restart the order is that of the instants.
//!
//! Invariant: what is acknowledged is in the documents; a failed write forgets what memory says, and
//! the next use reads the documents anew.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use model::{
    DocumentChange, DocumentError, Documents, Labels, LabelsRef, Matcher, TenantId, TimeRange,
};
use parking_lot::Mutex;
use wire::prometheus::remote_write::SeriesExemplar;

const SERIES_TABLE: &str = "exemplar_series";
const TABLE: &str = "exemplars";

/// Characters of the labels of an exemplar, as OpenMetrics bounds them.
const LABEL_CHARACTERS_MAX: usize = 128;
/// Exemplars of one series; what is older goes.
const PER_SERIES_MAX: u32 = 1000;

/// An exemplar of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels of its own: trace and span.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// When it was taken, in milliseconds.
    pub timestamp_ms: i64,
}

/// All exemplars.
#[derive(Debug)]
pub struct Exemplars {
    documents: Arc<dyn Documents>,
    total_max: usize,
    /// `None` until the documents were read.
    known: Mutex<Option<Known>>,
}

/// What memory holds.
#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Vec<u8>, u64>,
    counts: HashMap<u64, (u32, Vec<u8>)>,
    next_number: u64,
    /// Keys of the documents.
    by_age: VecDeque<Box<[u8]>>,
}

/// Where the exemplars of a series from this instant on begin.
fn first_key(series: u64, timestamp_ms: i64) -> Vec<u8> {
    // The sign is turned, so that bytes are in the order of instants.
    let instant = (timestamp_ms as u64) ^ (1 << 63);
    [series.to_be_bytes(), instant.to_be_bytes()].concat()
}

/// The key of an exemplar: those of one instant are in the order of their values.
fn key(series: u64, exemplar: &SeriesExemplar) -> Box<[u8]> {
    let bits = exemplar.value.to_bits();
    let ascending = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    let mut key = first_key(series, exemplar.timestamp_ms);
    key.extend_from_slice(&ascending.to_be_bytes());
    key.extend_from_slice(&base::frame::checksum(&exemplar.labels).to_be_bytes());
    key.into()
}

fn read_key(key: &[u8]) -> Option<(u64, i64)> {
    let (series, rest) = key.split_first_chunk::<8>()?;
    let (instant, _) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*series), (u64::from_be_bytes(*instant) ^ (1 << 63)) as i64))
}

impl Known {
    fn read(documents: &dyn Documents, tenant: TenantId) -> Self {
        let mut known = Self { next_number: 1, ..Self::default() };
        for (key, packed) in documents.scan(tenant, SERIES_TABLE, &[], &[], usize::MAX) {
            if let Ok(number) = key.try_into().map(u64::from_be_bytes) {
                known.numbers.insert(packed.to_vec(), number);
                known.counts.insert(number, (0, packed.to_vec()));
                known.next_number = known.next_number.max(number + 1);
            }
        }
        let documents = documents.scan(tenant, TABLE, &[], &[], usize::MAX);
        let mut all: Vec<Box<[u8]>> = documents.into_iter().map(|(key, _)| key.into()).collect();
        all.retain(|key| read_key(key).is_some());
        all.sort_by_key(|key| read_key(key).map(|(_, timestamp_ms)| timestamp_ms));
        for key in &all {
            if let Some((number, _)) = read_key(key)
                && let Some((count, _)) = known.counts.get_mut(&number)
            {
                *count += 1;
            }
        }
        known.by_age = all.into();
        known
    }

    fn number_of(&mut self, packed: &[u8], changes: &mut Vec<DocumentChange>) -> u64 {
        if let Some(number) = self.numbers.get(packed) {
            return *number;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(packed.to_vec(), number);
        self.counts.insert(number, (0, packed.to_vec()));
        changes.push(DocumentChange::put(SERIES_TABLE, number.to_be_bytes(), packed));
        number
    }

    /// Takes the exemplar at `place` of the order away, and its series with its last one.
    fn remove(&mut self, place: usize, changes: &mut Vec<DocumentChange>) {
        let Some(key) = self.by_age.remove(place) else {
            return;
        };
        let number = read_key(&key).map_or(0, |(number, _)| number);
        changes.push(DocumentChange::remove(TABLE, key));
        let Some((count, _)) = self.counts.get_mut(&number) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0
            && let Some((_, packed)) = self.counts.remove(&number)
        {
            self.numbers.remove(&packed);
            changes.push(DocumentChange::remove(SERIES_TABLE, number.to_be_bytes()));
        }
    }
}

impl Exemplars {
    /// Exemplars in `documents`, at most `total_max`.
    pub fn new(documents: Arc<dyn Documents>, total_max: usize) -> Self {
        Self { documents, total_max, known: Mutex::new(None) }
    }

    /// Stores exemplars; returns how many are stored now, those that were before included. One with
    /// labels that are none or too long is left out. Blocks.
    pub fn append(
        &self,
        tenant: TenantId,
        exemplars: &[SeriesExemplar],
    ) -> Result<usize, DocumentError> {
        let mut guard = self.known.lock();
        let known = guard.get_or_insert_with(|| Known::read(&*self.documents, tenant));
        let mut changes = Vec::new();
        let mut stored = 0;
        for exemplar in exemplars.iter().filter(|exemplar| is_valid(exemplar)) {
            stored += 1;
            let number = known.number_of(&exemplar.series, &mut changes);
            let key = key(number, exemplar);
            let mut value = exemplar.value.to_bits().to_le_bytes().to_vec();
            value.extend_from_slice(&exemplar.labels);
            let before = self.documents.get(tenant, TABLE, &key);
            if before.as_deref() == Some(&value[..]) {
                continue;
            }
            if before.is_none() {
                known.by_age.push_back(key.clone());
                let count = known.counts.get_mut(&number).map_or(0, |(count, _)| {
                    *count += 1;
                    *count
                });
                if count > PER_SERIES_MAX {
                    let own = number.to_be_bytes();
                    let place = known.by_age.iter().position(|key| key.starts_with(&own));
                    known.remove(place.unwrap_or(0), &mut changes);
                }
            }
            changes.push(DocumentChange::put(TABLE, key, value));
        }
        while known.by_age.len() > self.total_max {
            known.remove(0, &mut changes);
        }
        if changes.is_empty() {
            return Ok(stored);
        }
        let written = self.documents.write(tenant, &changes);
        if written.is_err() {
            *guard = None;
        }
        written.map(|()| stored)
    }

    /// The exemplars in `range` of series that pass any of the `selectors`, by series. Blocks.
    pub fn select(
        &self,
        tenant: TenantId,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let mut guard = self.known.lock();
        let known = guard.get_or_insert_with(|| Known::read(&*self.documents, tenant));
        let mut found = Vec::new();
        for (packed, number) in &known.numbers {
            let labels = LabelsRef::from_packed(packed);
            let value = |name: &str| labels.get(name).unwrap_or_default();
            let passes = |matchers: &Vec<Matcher>| {
                matchers.iter().all(|matcher| matcher.matches(value(&matcher.name)))
            };
            if selectors.iter().any(passes) {
                found.push((labels.to_labels(), *number));
            }
        }
        drop(guard);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let of = |(labels, number): (Labels, u64)| {
            let exemplars = self.read(tenant, number, range);
            (!exemplars.is_empty()).then_some((labels, exemplars))
        };
        found.into_iter().filter_map(of).collect()
    }

    fn read(&self, tenant: TenantId, number: u64, range: TimeRange) -> Vec<Exemplar> {
        let (prefix, from) = (number.to_be_bytes(), first_key(number, range.start_ms));
        let documents = self.documents.scan(tenant, TABLE, &prefix, &from, usize::MAX);
        let read = |(key, value): (Vec<u8>, Arc<[u8]>)| {
            let (_, timestamp_ms) = read_key(&key)?;
            let (bits, packed) = value.split_first_chunk::<8>()?;
            Some(Exemplar {
                labels: LabelsRef::from_packed(packed).to_labels(),
                value: f64::from_bits(u64::from_le_bytes(*bits)),
                timestamp_ms,
            })
        };
        let exemplars = documents.into_iter().filter_map(read);
        exemplars.take_while(|exemplar| exemplar.timestamp_ms <= range.end_ms).collect()
    }
}

fn is_valid(exemplar: &SeriesExemplar) -> bool {
    let labels = LabelsRef::from_packed(&exemplar.labels);
    if LabelsRef::from_packed(&exemplar.series).check().is_err() {
        return false;
    }
    // An exemplar without labels is allowed, a series without is not.
    if exemplar.labels.is_empty() {
        return true;
    }
    let characters = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
    labels.check().is_ok() && labels.iter().map(characters).sum::<usize>() <= LABEL_CHARACTERS_MAX
}

#[cfg(test)]
mod tests {
    use model::MemoryDocuments;

    use super::*;

    fn exemplar(series: &str, trace: &str, timestamp_ms: i64) -> SeriesExemplar {
        SeriesExemplar {
            series: Labels::from_pairs([("__name__", series)]).as_packed().to_vec(),
            labels: Labels::from_pairs([("trace_id", trace)]).as_packed().to_vec(),
            value: 1.5,
            timestamp_ms,
        }
    }

    fn shown(exemplars: &Exemplars, name: &str) -> Vec<i64> {
        let selectors = vec![vec![Matcher::equal("__name__", name)]];
        let found = exemplars.select(TenantId::DEFAULT, &selectors, TimeRange::ALL);
        found.iter().flat_map(|(_, all)| all.iter().map(|one| one.timestamp_ms)).collect()
    }

    #[test]
    fn the_oldest_go_and_the_others_last() {
        let documents: Arc<dyn Documents> = Arc::new(MemoryDocuments::default());
        let exemplars = Exemplars::new(documents.clone(), 3);
        let append = |all: &[SeriesExemplar]| exemplars.append(TenantId::DEFAULT, all).unwrap();
        assert_eq!(append(&[exemplar("a", "1", -5), exemplar("b", "2", 7)]), 2);
        // The same once more is stored once.
        assert_eq!(append(&[exemplar("b", "2", 7)]), 1);
        assert_eq!(append(&[exemplar("b", &"x".repeat(200), 8)]), 0);
        assert_eq!((shown(&exemplars, "a"), shown(&exemplars, "b")), (vec![-5], vec![7]));
        append(&[exemplar("b", "3", 9), exemplar("b", "4", 8)]);
        assert_eq!((shown(&exemplars, "a"), shown(&exemplars, "b")), (vec![], vec![7, 8, 9]));
        let again = Exemplars::new(documents.clone(), 3);
        assert_eq!(shown(&again, "b"), [7, 8, 9]);
        again.append(TenantId::DEFAULT, &[exemplar("c", "5", 10)]).unwrap();
        assert_eq!((shown(&again, "b"), shown(&again, "c")), (vec![8, 9], vec![10]));
        assert_eq!(documents.scan(TenantId::DEFAULT, SERIES_TABLE, &[], &[], 9).len(), 2);
    }
}
