//! Notes at instants, on a series or on everything, as they are kept.
//!
//! A note's place is its series (by TSUID, none for all of them) and the instant at which it starts.

use std::sync::Arc;

use model::{DocumentChange, Documents, TenantId, TimeRange};
use serde_json::{Map, Value};
use wire::opentsdb::point::timestamp_ms;
use wire::opentsdb::query_json::{push_integer, push_text};

const TABLE: &str = "opentsdb.annotation";
/// Notes of one answer.
const ANNOTATIONS_MAX: usize = 1_000_000;

/// A note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotation {
    /// The series, in upper-case digits; empty for all.
    pub(super) tsuid: String,
    /// What happened.
    pub(super) description: String,
    /// More about it.
    pub(super) notes: String,
    /// Whatever else.
    pub(super) custom: Option<Map<String, Value>>,
    /// As given: seconds or milliseconds.
    pub(super) start: i64,
    /// As given; 0 for none.
    pub(super) end: i64,
}

/// A time as given, in milliseconds.
pub(super) fn to_ms(time: i64) -> i64 {
    timestamp_ms(time).unwrap_or_default()
}

fn prefix(tsuid: &str) -> Vec<u8> {
    let mut key = tsuid.as_bytes().to_vec();
    key.push(0);
    key
}

fn key(tsuid: &str, start_ms: i64) -> Vec<u8> {
    let mut key = prefix(tsuid);
    key.extend_from_slice(&start_ms.max(0).to_be_bytes());
    key
}

impl Annotation {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| stored.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| stored.get(name).and_then(Value::as_i64).unwrap_or_default();
        Some(Self {
            tsuid: text("tsuid").to_owned(),
            description: text("description").to_owned(),
            notes: text("notes").to_owned(),
            custom: stored.get("custom").and_then(Value::as_object).cloned(),
            start: number("startTime"),
            end: number("endTime"),
        })
    }

    /// Writes the note as clients see it, which is also how it is kept.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"tsuid\":");
        push_text(out, &self.tsuid);
        out.extend_from_slice(b",\"description\":");
        push_text(out, &self.description);
        out.extend_from_slice(b",\"notes\":");
        push_text(out, &self.notes);
        if let Some(custom) = &self.custom {
            out.extend_from_slice(b",\"custom\":");
            out.extend_from_slice(Value::Object(custom.clone()).to_string().as_bytes());
        }
        out.extend_from_slice(b",\"startTime\":");
        push_integer(out, self.start);
        out.extend_from_slice(b",\"endTime\":");
        push_integer(out, self.end);
        out.push(b'}');
    }

    /// The change that keeps the note.
    pub(super) fn keep(&self) -> DocumentChange {
        DocumentChange::put(TABLE, key(&self.tsuid, to_ms(self.start)), self.to_bytes())
    }

    /// The change that drops it.
    pub(super) fn drop(&self) -> DocumentChange {
        DocumentChange::remove(TABLE, key(&self.tsuid, to_ms(self.start)))
    }
}

/// Writes an array of notes.
pub(super) fn write_all(out: &mut Vec<u8>, annotations: &[Annotation]) {
    out.push(b'[');
    for (index, annotation) in annotations.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        annotation.write(out);
    }
    out.push(b']');
}

/// The note of a series (or, with an empty TSUID, of all) that starts at an instant.
pub(super) fn get(
    documents: &Arc<dyn Documents>,
    tsuid: &str,
    start_ms: i64,
) -> Option<Annotation> {
    let stored = documents.get(TenantId::DEFAULT, TABLE, &key(tsuid, start_ms))?;
    Annotation::from_bytes(&stored)
}

/// True if a series whose TSUID starts so has notes.
pub(super) fn any_of(documents: &Arc<dyn Documents>, tsuid_prefix: &str) -> bool {
    // Notes of no series start with a zero, all others with a digit.
    !documents.scan(TenantId::DEFAULT, TABLE, tsuid_prefix.as_bytes(), b"\x01", 1).is_empty()
}

/// The notes of a series (or, with an empty TSUID, of all) that start in `range`, by their start.
pub(super) fn in_range(
    documents: &Arc<dyn Documents>,
    tsuid: &str,
    range: TimeRange,
) -> Vec<Annotation> {
    let (prefix, from) = (prefix(tsuid), key(tsuid, range.start_ms));
    let found = documents.scan(TenantId::DEFAULT, TABLE, &prefix, &from, ANNOTATIONS_MAX);
    let found = found.iter().filter_map(|(_, stored)| Annotation::from_bytes(stored));
    found.take_while(|annotation| to_ms(annotation.start) <= range.end_ms).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MemoryDocuments;

    #[test]
    fn notes_are_found_by_series_and_time() {
        let documents: Arc<dyn Documents> = Arc::new(MemoryDocuments::default());
        let note = |tsuid: &str, start| Annotation {
            tsuid: tsuid.to_owned(),
            description: "\"d\"".to_owned(),
            start,
            ..Annotation::default()
        };
        let notes = [note("", 10), note("", 12_000_000_000), note("01", 10), note("0101", 20)];
        let changes: Vec<DocumentChange> = notes.iter().map(Annotation::keep).collect();
        documents.write(TenantId::DEFAULT, &changes).unwrap();
        let found = |tsuid: &str, from, until| {
            let found = in_range(&documents, tsuid, TimeRange::new(from, until));
            found.iter().map(|note| note.start).collect::<Vec<_>>()
        };
        assert_eq!(found("", 0, i64::MAX), [10, 12_000_000_000]);
        assert_eq!(found("", 10_000, 11_999_999_999), [10]);
        assert_eq!(found("01", 0, 10_000), [10]);
        assert_eq!(found("0101", 0, 19_999), [0; 0]);
        assert_eq!(get(&documents, "01", 10_000), Some(note("01", 10)));
        assert!(any_of(&documents, "") && any_of(&documents, "010") && !any_of(&documents, "02"));
        documents.write(TenantId::DEFAULT, &[note("01", 10).drop()]).unwrap();
        assert_eq!(get(&documents, "01", 10_000), None);
    }
}
