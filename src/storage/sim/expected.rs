//! What a store must answer: exactly this while it lives; after a death also what nobody was ever
//! told about, as long as it was really written.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, Matcher, Reject, SampleKind, TimeRange};

use super::oracle::forget;
use super::support::{Content, Row};

type Point = (SampleKind, u64);
type Place = (Labels, i64);

/// What must be found, and what may be.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// What was acknowledged and not deleted.
    pub(crate) content: Content,
    /// What the next process may find at a place instead: writes that were cut off by a death, and
    /// `None` where a delete was.
    maybe: BTreeMap<Place, BTreeSet<Option<Point>>>,
    /// Everything that was ever acknowledged at a place since it was deleted there: what is older than the
    /// retention goes block by block, so that an older write may show again before it goes too.
    ever: BTreeMap<Place, BTreeSet<Point>>,
    /// Samples before this may be gone.
    pub(crate) earliest_ms: i64,
}

fn point_of(content: &Content, (labels, at_ms): &Place) -> Option<Point> {
    content.get(labels)?.get(at_ms).copied()
}

impl Expected {
    /// Of an empty store that keeps everything.
    pub(crate) fn new() -> Self {
        Self { earliest_ms: i64::MIN, ..Self::default() }
    }

    /// `rows` were acknowledged but for `rejects`.
    pub(crate) fn acknowledge(&mut self, rows: &[Row], rejects: &[Reject]) {
        for (number, (labels, samples)) in rows.iter().enumerate() {
            for (index, (at_ms, kind, bits)) in samples.iter().enumerate() {
                let is_this = |reject: &Reject| {
                    reject.row == number as u32
                        && reject.sample.is_none_or(|sample| sample == index as u32)
                };
                if rejects.iter().any(is_this) {
                    continue;
                }
                let place = (labels.clone(), *at_ms);
                self.maybe.remove(&place);
                self.ever.entry(place).or_default().insert((*kind, *bits));
                let points = self.content.entry(labels.clone()).or_default();
                points.insert(*at_ms, (*kind, *bits));
            }
        }
    }

    /// Nobody knows what became of `rows`.
    pub(crate) fn doubt(&mut self, rows: &[Row]) {
        for (labels, samples) in rows {
            for (at_ms, kind, bits) in samples {
                let places = self.maybe.entry((labels.clone(), *at_ms)).or_default();
                places.insert(Some((*kind, *bits)));
            }
        }
    }

    /// A delete was acknowledged.
    pub(crate) fn delete(&mut self, matchers: &[Matcher], range: TimeRange) {
        forget(&mut self.content, matchers, range);
        let content = &self.content;
        self.ever.retain(|place, _| point_of(content, place).is_some());
    }

    /// Nobody knows what became of a delete.
    pub(crate) fn doubt_delete(&mut self, matchers: &[Matcher], range: TimeRange) {
        let mut after = self.content.clone();
        forget(&mut after, matchers, range);
        for (labels, points) in &self.content {
            for at_ms in points.keys() {
                let place = (labels.clone(), *at_ms);
                if point_of(&after, &place).is_none() {
                    self.maybe.entry(place).or_default().insert(None);
                }
            }
        }
    }

    /// Compares what a living store answers.
    pub(crate) fn check(&self, got: &Content, what: &str) {
        self.compare(got, what, |_, _| false);
    }

    /// Compares what a new process answers, which settles all doubts.
    pub(crate) fn settle(&mut self, got: Content, what: &str) {
        let is_doubted = |place: &Place, found: Option<Point>| {
            self.maybe.get(place).is_some_and(|points| points.contains(&found))
        };
        self.compare(&got, what, is_doubted);
        for (labels, points) in &got {
            for (at_ms, point) in points {
                self.ever.entry((labels.clone(), *at_ms)).or_default().insert(*point);
            }
        }
        // What retention took may come back until its block is gone for good; it stays expected.
        for (labels, points) in &self.content {
            let expired = points.range(..self.earliest_ms).map(|(at_ms, _)| *at_ms);
            for place in expired.map(|at_ms| (labels.clone(), at_ms)) {
                if let Some(point) = point_of(&self.content, &place) {
                    self.ever.entry(place).or_default().insert(point);
                }
            }
        }
        self.maybe.clear();
        self.content = got;
    }

    /// True when what is found at a place that retention may have emptied was written there.
    fn may_have_expired(&self, place: &Place, found: Option<Point>) -> bool {
        place.1 < self.earliest_ms
            && found.is_none_or(|point| {
                self.ever.get(place).is_some_and(|points| points.contains(&point))
            })
    }

    fn compare(
        &self,
        got: &Content,
        what: &str,
        is_doubted: impl Fn(&Place, Option<Point>) -> bool,
    ) {
        if *got == self.content {
            return;
        }
        let places_of = |content: &Content| {
            let series = content.iter();
            let places = series.flat_map(|(labels, points)| {
                points.keys().map(|at_ms| (labels.clone(), *at_ms)).collect::<Vec<_>>()
            });
            places.collect::<BTreeSet<Place>>()
        };
        for place in places_of(got).union(&places_of(&self.content)) {
            let (found, want) = (point_of(got, place), point_of(&self.content, place));
            let is_right =
                found == want || is_doubted(place, found) || self.may_have_expired(place, found);
            assert!(is_right, "{what}: {} at {}: found {found:?}, want {want:?}", place.0, place.1);
        }
    }

    /// Compares what a store with damaged bytes answers: some may be missing, none invented.
    pub(crate) fn check_damaged(&self, got: &Content, what: &str) -> bool {
        let mut is_whole = true;
        for (labels, points) in &self.content {
            for (at_ms, want) in points {
                let place = (labels.clone(), *at_ms);
                is_whole &= point_of(got, &place) == Some(*want) || *at_ms < self.earliest_ms;
            }
        }
        for (labels, points) in got {
            for (at_ms, found) in points {
                let place = (labels.clone(), *at_ms);
                let was_written =
                    self.ever.get(&place).is_some_and(|points| points.contains(found));
                assert!(was_written, "{what}: {labels} at {at_ms}: {found:?} was never written");
            }
        }
        is_whole
    }
}
