//! Prometheus's own PromQL scripts, run through text, tree, plan and operators over a real store.
//!
//! Every evaluation must answer right, over the head as over blocks.

mod compare;
mod convert;
mod database;
mod evaluate;
mod literal;
mod script;
mod series;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use database::{Database, Store};
use evaluate::{Outcome, evaluate};
use lang::promql::Features;
use model::StepGrid;
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

fn report(outcomes: &Outcomes) {
    let mut files: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for ((file, _), outcome) in outcomes {
        let counts = files.entry(file).or_default();
        counts.1 += 1;
        counts.0 += usize::from(*outcome == Outcome::Right);
    }
    for (file, (right, total)) in &files {
        println!("{right:5} of {total:4}  {file}");
    }
    let right: usize = files.values().map(|(right, _)| right).sum();
    println!("promqltest: {right} of {} evaluations right", outcomes.len());
}

/// What random queries found, as scripts of ours; their answers are those of a Prometheus 3.14.
fn found() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("promqltest/found");
    let entries = std::fs::read_dir(directory).expect("the scripts are beside the runner");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn check(store: Store) {
    let files = crate::vectors::files("promqltest", "test", FILES);
    let mut outcomes = Outcomes::new();
    for file in &files {
        run_file(file, store, &mut outcomes);
    }
    if files.len() == FILES {
        assert_eq!(outcomes.len(), EVALS);
    }
    for file in found() {
        run_file(&file, store, &mut outcomes);
    }
    report(&outcomes);
    let wrong: Vec<String> = outcomes
        .iter()
        .filter_map(|((file, line), outcome)| match outcome {
            Outcome::Right => None,
            Outcome::Wrong(reason) => Some(format!("{file}:{line} {reason}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn scripts_answer_alike_over_the_head() {
    check(Store::Head);
}

#[test]
fn scripts_answer_alike_over_blocks() {
    check(Store::Blocks);
}

/// Expressions of public dashboards, alerts and recording rules, with Grafana's variables filled in as
/// it fills them in: a stock server must take every one.
#[test]
fn dashboards_expressions_run() {
    let database = Database::open(Store::Head);
    let mut count = 0;
    for file in crate::vectors::files("dashboards", "txt", 5) {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let query = line.replace("$__rate_interval", "5m").replace('$', "v");
            let expr = lang::promql::parse(&query, Features::default())
                .unwrap_or_else(|error| panic!("{query}: {error}"));
            let grid = StepGrid::new(0, 3_600_000, 60_000);
            evaluate::run(&expr, grid, true, &database)
                .unwrap_or_else(|error| panic!("{query}: {error}"));
            count += 1;
        }
    }
    println!("dashboards: {count} expressions run");
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
