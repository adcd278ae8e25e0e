//! House rules as a test: what `src/STYLE.md` and `src/ARCHITECTURE.md` say and a compiler does not
//! check.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests, and of a function; characters of a line that the formatter (at
/// 100) could not break.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 120;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust source with its path relative to the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    collect(&root().join("compat-tests"), &mut found);
    found.sort();
    found
}

fn collect(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            if !shown.ends_with("generated.rs") {
                found.push((shown, fs::read_to_string(&path).unwrap()));
            }
        }
    }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs")
        || path.contains("/tests/")
        || path.ends_with("oracle.rs")
        || path.ends_with("equivalence.rs")
        || path.starts_with("compat-tests/")
}

/// The part of a file in front of its test module.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\n").next().unwrap_or(text)
}

fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn files_say_their_duty_and_keep_their_size() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//!") {
            problems.push(format!("{path}: does not start with //!"));
        }
        let lines = without_tests(&text).lines().count();
        if lines > FILE_LINES_MAX && !is_test_file(&path) {
            problems.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        for (number, line) in text.lines().enumerate() {
            // Texts of protocols may not be broken up.
            if line.chars().count() > LINE_CHARS_MAX && !line.contains('"') && !line.contains("//")
            {
                problems.push(format!("{path}:{}: longer than {LINE_CHARS_MAX}", number + 1));
            }
        }
    }
    report(problems);
}

#[test]
fn functions_keep_their_size() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        if is_test_file(&path) {
            continue;
        }
        let lines: Vec<&str> = without_tests(&text).lines().collect();
        let mut start = None;
        for (number, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            let is_function = code.starts_with("fn ")
                || (code.starts_with("pub")
                    || code.starts_with("async")
                    || code.starts_with("const fn"))
                    && code.contains("fn ");
            if is_function && !code.ends_with(';') && indent <= 4 {
                start = Some((number, indent));
            }
            if let Some((from, at)) = start
                && code == "}"
                && indent == at
            {
                let length = number - from + 1;
                if length > FUNCTION_LINES_MAX {
                    problems.push(format!("{path}:{}: function of {length} lines", from + 1));
                }
                start = None;
            }
        }
    }
    report(problems);
}

#[test]
fn layers_keep_to_themselves() {
    let mut problems = Vec::new();
    let mut forbid = |path: &str, text: &str, what: &str, why: &str| {
        if without_tests(text).contains(what) {
            problems.push(format!("{path}: {what:?}: {why}"));
        }
    };
    for (path, text) in sources() {
        if path == "src/tidy.rs" || is_test_file(&path) {
            continue;
        }
        if path != "src/base/clock.rs" {
            forbid(&path, &text, "SystemTime::now", "only base::clock reads the wall clock");
        }
        if !path.starts_with("src/storage/") {
            forbid(&path, &text, "object_store::", "only storage knows the object store");
        }
        for (folder, siblings) in [
            ("src/lang/promql", ["crate::opentsdb", "crate::graphite"]),
            ("src/lang/opentsdb", ["crate::promql", "crate::graphite"]),
            ("src/lang/graphite", ["crate::promql", "crate::opentsdb"]),
            ("src/wire/prometheus", ["crate::opentsdb", "crate::graphite"]),
            ("src/wire/opentsdb", ["crate::prometheus", "crate::graphite"]),
            ("src/wire/graphite", ["crate::prometheus", "crate::opentsdb"]),
        ] {
            for sibling in siblings {
                if path.starts_with(folder) {
                    forbid(&path, &text, sibling, "siblings do not know each other");
                }
            }
        }
    }
    report(problems);
}

/// No identifier of `plan` and `exec` names a language: differences are fields of `plan::semantics`.
#[test]
fn the_engine_knows_no_language() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        if !(path.starts_with("src/plan/") || path.starts_with("src/exec/")) || is_test_file(&path)
        {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let outside_texts: String = code.split('"').step_by(2).collect();
            let lower = outside_texts.to_lowercase();
            if ["prom", "graphite", "tsdb"].iter().any(|name| lower.contains(name)) {
                problems.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    report(problems);
}

/// The map names files that exist, and in them tests that exist; every folder of `src` is on it.
#[test]
fn the_map_is_true() {
    let map = fs::read_to_string(root().join("src/ARCHITECTURE.md")).unwrap();
    let mut problems = Vec::new();
    for word in map.split('`').skip(1).step_by(2) {
        let (path, test) = word.split_once(": ").unwrap_or((word, ""));
        let is_path = path.starts_with("src/") || path.starts_with("compat-tests/");
        if !is_path || path.contains('*') {
            continue;
        }
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        let tests = text.replace("\n    ", "\n");
        let has_test = test.is_empty() || tests.contains(&format!("#[test]\nfn {test}() {{"));
        if !root().join(path).exists() || !has_test {
            problems.push(format!("src/ARCHITECTURE.md names {word}, which is not there"));
        }
    }
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() && !map.contains(&format!("`src/{name}/`")) {
            problems.push(format!("src/ARCHITECTURE.md does not name src/{name}/"));
        }
    }
    report(problems);
}

/// Every metric of a dashboard is one that the program has.
#[test]
fn dashboards_ask_for_metrics_that_exist() {
    let known: Vec<&str> =
        base::metrics::Metrics::CATALOGUE.iter().map(|(name, _, _)| *name).collect();
    let board = fs::read_to_string(root().join("grafana/dashboards/tributary.json")).unwrap();
    let mut problems = Vec::new();
    for word in board.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        let name = word.trim_end_matches("_bucket");
        if name.starts_with("tributary_") && !known.contains(&name) {
            problems.push(format!("grafana/dashboards/tributary.json asks for {word}"));
        }
    }
    report(problems);
}

/// Every configuration key stands in the README with its default.
#[test]
fn every_setting_is_documented() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let missing: Vec<String> = crate::config::known_keys()
        .into_iter()
        .filter(|key| !readme.contains(&format!("`{key}`")))
        .map(|key| format!("README.md does not name {key}"))
        .collect();
    report(missing);
}
