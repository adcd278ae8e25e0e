//! Recorded answers of graphite-web, carbon and whisper, replayed against our decoders, parsers,
//! plans and operators.
//!
//! `graphite/known_failures.txt` lists what does not answer alike yet: a line names one vector by its
//! id, or all of a group's subject as `group/subject`. The list may only shrink: an unlisted failure
//! fails the suite, and so does a line that excuses nothing.

mod across;
mod decode;
mod evaluate;
mod http;
mod ingest;
mod parsers;
mod served;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::vectors;

/// What became of a vector.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Passed,
    Failed(String),
    /// Not a question that can be asked here.
    Skipped,
}

impl Outcome {
    /// Passed if both are equal.
    fn equal<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Self {
        if got == expected {
            Self::Passed
        } else {
            Self::Failed(format!("want {expected:?}, got {got:?}"))
        }
    }
}

/// All recorded vectors; `None` where the file is absent.
fn document() -> Option<Value> {
    let path = vectors::root().join("graphite/vectors.json");
    match std::fs::read_to_string(path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            println!("graphite: 1 files absent");
            None
        }
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// A number; the three non-finite ones are texts.
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

/// Equal to nine digits.
fn close(left: f64, right: f64) -> bool {
    left == right || (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
}

#[derive(Default)]
struct Report {
    /// Group to passed, failed, skipped.
    counts: BTreeMap<String, [usize; 3]>,
    failures: Vec<(String, String, String)>,
    /// Ids and subjects of the vectors that were run.
    seen: BTreeSet<String>,
}

impl Report {
    fn add(&mut self, vector: &Value, outcome: Outcome) {
        let group = text(vector, "group").to_owned();
        let subject = format!("{group}/{}", text(vector, "subject"));
        self.seen.insert(text(vector, "id").to_owned());
        self.seen.insert(subject.clone());
        let counts = self.counts.entry(group).or_default();
        match outcome {
            Outcome::Passed => counts[0] += 1,
            Outcome::Failed(why) => {
                counts[1] += 1;
                self.failures.push((text(vector, "id").to_owned(), subject, why));
            }
            Outcome::Skipped => counts[2] += 1,
        }
    }

    /// Prints the counts; panics on failures that are not listed and on lines that excuse nothing.
    fn finish(self) {
        for (group, [passed, failed, skipped]) in &self.counts {
            println!("graphite {group:15} {passed:5} passed {failed:5} failed {skipped:5} skipped");
        }
        let listed: BTreeSet<&str> = include_str!("graphite/known_failures.txt")
            .lines()
            .filter_map(|line| line.split_once('#').map_or(Some(line), |(before, _)| Some(before)))
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let mut used = BTreeSet::new();
        let mut unlisted = Vec::new();
        for (id, subject, why) in &self.failures {
            match [id.as_str(), subject.as_str()].into_iter().find(|line| listed.contains(line)) {
                Some(line) => drop(used.insert(line)),
                None => unlisted.push(format!("{id} ({subject}): {why}")),
            }
        }
        let seen = |line: &&&str| self.seen.contains(**line) && !used.contains(**line);
        let stale: Vec<_> = listed.iter().filter(seen).collect();
        assert!(
            unlisted.is_empty(),
            "{} unlisted failures:\n{}",
            unlisted.len(),
            unlisted.join("\n")
        );
        assert!(stale.is_empty(), "listed, but nothing fails: {stale:?}");
    }
}

/// Runs all groups.
#[test]
fn graphite_answers_as_recorded() {
    let Some(document) = document() else { return };
    let mut report = Report::default();
    let store = evaluate::store(&document["datasets"]["main"]);
    let mut served = served::Sessions::new(&document);
    for vector in document["vectors"].as_array().unwrap() {
        let outcome = match text(vector, "group") {
            "grammar" => parsers::grammar(vector),
            "attime" => parsers::attime(vector),
            "offset" => parsers::offset(vector),
            "tagspec" => parsers::tagspec(vector),
            "tagged_path" => parsers::tagged_path(vector),
            "retention" => parsers::retention(vector),
            "archives" => parsers::archives(vector),
            "line" | "udp" | "pickle" => ingest::check(vector),
            "function" => evaluate::function(vector, &store),
            "consolidation" => evaluate::consolidation(vector),
            "function_call" => evaluate::calls::check(vector),
            "whisper_fetch" => evaluate::archives::fetch(vector),
            "whisper_rollup" => evaluate::archives::rollup(vector),
            "render" | "find" | "tags" | "functions" | "events" | "misc" => served.play(vector),
            // Files of another program.
            "tagged_encode" => Outcome::Skipped,
            other => panic!("no such group: {other}"),
        };
        report.add(vector, outcome);
    }
    report.finish();
}
