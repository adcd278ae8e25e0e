//! Prometheus's own PromQL scripts, run through text, tree, plan and operators over a real store.
//!
//! `promqltest/known_failures.txt` lists the evaluations that do not answer right yet, one
//! `file:line reason` a row. The list may only shrink: an unlisted failure fails the suite, and so does
//! a listed evaluation that answers right.

mod compare;
mod database;
mod evaluate;
mod script;
mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use database::{Database, Store};
use evaluate::{Outcome, evaluate};
use script::{Command, parse_script};

/// Files of Prometheus 3.14.
const FILES: usize = 21;
/// Their evaluations.
const EVALS: usize = 2195;

/// What became of each evaluation, by `file:line`.
type Outcomes = BTreeMap<(String, usize), Outcome>;

fn run_file(path: &Path, store: Store, outcomes: &mut Outcomes) {
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let mut database = Database::open(store);
    for command in parse_script(&text).unwrap_or_else(|error| panic!("{file}: {error}")) {
        match command {
            Command::Clear => database = Database::open(store),
            Command::Load(load) => database.load(&load),
            Command::Eval(eval) => {
                let outcome = evaluate(&eval, &database);
                outcomes.insert((file.clone(), eval.line), outcome);
            }
        }
    }
}

fn known_failures() -> BTreeSet<(String, usize)> {
    include_str!("promqltest/known_failures.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let place = line.split_whitespace().next().unwrap();
            let (file, number) = place.split_once(':').unwrap();
            (file.to_owned(), number.parse().unwrap())
        })
        .collect()
}

fn report(outcomes: &Outcomes) {
    let mut files: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for ((file, _), outcome) in outcomes {
        let counts = files.entry(file).or_default();
        counts.1 += 1;
        match outcome {
            Outcome::Right => counts.0 += 1,
            Outcome::NotYet(reason) => *reasons.entry(reason).or_default() += 1,
            Outcome::Wrong(_) => *reasons.entry("wrong").or_default() += 1,
        }
    }
    for (file, (right, total)) in &files {
        println!("{right:5} of {total:4}  {file}");
    }
    let right: usize = files.values().map(|(right, _)| right).sum();
    println!("promqltest: {right} of {} evaluations right; {reasons:?}", outcomes.len());
}

fn check(store: Store) {
    let files = crate::vectors::files("promqltest", "test", FILES);
    let mut outcomes = Outcomes::new();
    for file in &files {
        run_file(file, store, &mut outcomes);
    }
    report(&outcomes);
    if files.len() == FILES {
        assert_eq!(outcomes.len(), EVALS);
    }
    if let Some(path) = std::env::var_os("TRIBUTARY_WRITE_FAILURES") {
        write_failures(Path::new(&path), &outcomes);
    }
    let known = known_failures();
    let mut surprises = Vec::new();
    for (place, outcome) in &outcomes {
        let name = format!("{}:{}", place.0, place.1);
        match outcome {
            Outcome::Right if known.contains(place) => {
                surprises.push(format!("{name} is right now: take it off the list"));
            }
            Outcome::Wrong(reason) if !known.contains(place) => {
                surprises.push(format!("{name} {reason}"));
            }
            Outcome::NotYet(reason) if !known.contains(place) => {
                surprises.push(format!("{name} not yet: {reason}"));
            }
            _ => {}
        }
    }
    assert!(surprises.is_empty(), "{} surprises\n{}", surprises.len(), surprises.join("\n"));
}

/// Writes what fails now in the form of the list, to compare by hand; never read by a test.
fn write_failures(path: &Path, outcomes: &Outcomes) {
    let rows: Vec<String> = outcomes
        .iter()
        .filter_map(|((file, line), outcome)| match outcome {
            Outcome::Right => None,
            Outcome::NotYet(reason) => Some(format!("{file}:{line} {reason}\n")),
            Outcome::Wrong(reason) => Some(format!(
                "{file}:{line} wrong: {}\n",
                reason.lines().next().unwrap_or_default()
            )),
        })
        .collect();
    std::fs::write(path, rows.concat()).unwrap();
}

#[test]
fn scripts_answer_alike_over_the_head() {
    check(Store::Head);
}

#[test]
fn scripts_answer_alike_over_blocks() {
    check(Store::Blocks);
}

#[test]
fn series_descriptions_read_alike() {
    let path = crate::vectors::root().join("promql-parse/parse_table.jsonl");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("promql-parse: 1 files absent");
        return;
    };
    let mut count = 0;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        if row["Table"] == "testSeries" {
            let input = row["Input"].as_str().unwrap();
            let parsed = series::parse_series(input);
            assert_eq!(parsed.is_err(), row["Fail"] == true, "{input}: {parsed:?}");
            count += 1;
        }
    }
    println!("series descriptions: {count} read alike");
}
