//! Notes beside results: those of the series behind a result, and those of no series.
//!
//! Notes are read with the hours of the points. A result whose hours have some says so, even where
//! none of them lies in the range that was asked for.

use std::sync::Arc;

use lang::opentsdb::{Checked, OpenTsdbError, Query, hours_of};
use model::{Documents, ResultSeries, TenantId, TimeRange};

use super::annotations::{self, Annotation, to_ms};
use super::query_members::Members;
use super::uids::UidKind;
use crate::state::State;

/// Length of the rows in which the original stores points.
const HOUR_MS: i64 = 3_600_000;

/// The notes that a sub-query may show.
pub(super) struct Notes {
    documents: Arc<dyn Documents>,
    hours: TimeRange,
    range: TimeRange,
    /// Some series of the metric has notes.
    pub(super) of_series: bool,
    /// Notes of no series, as JSON.
    pub(super) global: Option<Vec<u8>>,
}

impl Notes {
    /// What there is; `None` where no notes are wanted.
    pub(super) fn find(
        state: &State,
        query: &Query,
        sub: &Checked,
    ) -> Result<Option<Self>, OpenTsdbError> {
        if query.flags.no_annotations {
            return Ok(None);
        }
        let documents = state.documents.clone();
        let space = state.uids.of(TenantId::DEFAULT);
        let metric = match sub.metric.as_str() {
            // Series that were asked for by their numbers.
            "" => Some(String::new()),
            name => space.uid(UidKind::Metric, name).map(|uid| space.show(uid)),
        };
        let of_series = metric.is_some_and(|metric| annotations::any_of(&documents, &metric));
        let range = query.range;
        let mut notes =
            Self { documents, hours: hours_of(query, sub)?, range, of_series, global: None };
        if query.flags.global_annotations {
            let end_ms = range.end_ms - range.end_ms.rem_euclid(HOUR_MS) + HOUR_MS - 1;
            let start_ms = range.start_ms - range.start_ms.rem_euclid(HOUR_MS);
            notes.global = notes.shown([""], TimeRange::new(start_ms, end_ms));
        }
        Ok(Some(notes))
    }

    /// Notes of the series behind a result, as JSON.
    pub(super) fn of(&self, members: &Members, row: &ResultSeries) -> Option<Vec<u8>> {
        if !self.of_series {
            return None;
        }
        self.shown(members.of(row), self.hours)
    }

    /// The notes of these series in the range, if there are any in these hours.
    fn shown<'t>(
        &self,
        tsuids: impl IntoIterator<Item = &'t str>,
        hours: TimeRange,
    ) -> Option<Vec<u8>> {
        let of = |tsuid| annotations::in_range(&self.documents, tsuid, hours);
        let mut found: Vec<Annotation> = tsuids.into_iter().flat_map(of).collect();
        if found.is_empty() {
            return None;
        }
        let inside = |note: &Annotation| {
            (self.range.start_ms..=self.range.end_ms).contains(&to_ms(note.start))
        };
        found.retain(inside);
        found.sort_by_key(|note| to_ms(note.start));
        let mut out = Vec::new();
        annotations::write_all(&mut out, &found);
        Some(out)
    }
}
