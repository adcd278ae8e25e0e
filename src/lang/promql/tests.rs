//! Whole texts: the reference's own table of inputs, the compliance queries, hostile inputs.

use std::time::{Duration, Instant};

use model::StepGrid;

use super::{Features, LowerOptions, parse, parse_selector, plan, selectors};
use crate::error::Stage;

/// A file of the reference's test data; `None`, said aloud, when it is not there.
pub(crate) fn vectors(path: &str) -> Option<String> {
    let root = std::env::var("TRIBUTARY_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors").into());
    let found = std::fs::read_to_string(format!("{root}/{path}")).ok();
    if found.is_none() {
        println!("{path}: 1 files absent");
    }
    found
}

/// Inputs whose text the table gives as an expression of the reference's language.
const COMPUTED: &str = "<";

#[test]
fn the_reference_table_parses_alike() {
    let Some(text) = vectors("promql-parse/parse_table.jsonl") else { return };
    let (mut total, mut exact, mut failures) = (0, 0, Vec::new());
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let input = row["Input"].as_str().unwrap();
        if row["Table"] != "testExpr" || input.starts_with(COMPUTED) {
            continue;
        }
        total += 1;
        let parsed = parse(input, Features::ALL);
        let wanted = &row["Errors"][0];
        let shown: String = input.chars().take(100).collect();
        match (&parsed, row["Fail"].as_bool().unwrap()) {
            (Ok(_), false) => exact += 1,
            (Err(error), true) => {
                let message = wanted["Msg"].as_str();
                // JSON has made three bytes of a single one that is no UTF-8.
                let grown = 2 * input.matches(char::REPLACEMENT_CHARACTER).count() as u32;
                let at = error.position;
                let at = at.map(|at| (at.start.to_string(), (at.end - grown).to_string()));
                let same_place = at.is_none_or(|(start, end)| {
                    wanted["Start"] == start.as_str() && wanted["End"] == end.as_str()
                });
                let is_computed = message.is_none_or(|m| m == "<computed>");
                if is_computed || (message == Some(&error.message) && same_place) {
                    exact += 1;
                } else {
                    failures.push(format!("{shown}\n  got  {error:?}\n  want {wanted}"));
                }
            }
            (Ok(_), true) => failures.push(format!("{shown}\n  accepted, want {wanted}")),
            (Err(error), false) => failures.push(format!("{shown}\n  refused: {error:?}")),
        }
    }
    println!("parse_table: {exact} of {total} exact");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_parser_crate_reads_what_it_accepts_alike() {
    // Grouping must be the crate's: what we print of our tree must mean the same to it.
    let Some(text) = vectors("promql-parse/parse_table.jsonl") else { return };
    let mut compared = 0;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let input = row["Input"].as_str().unwrap();
        // The crate cannot read everything we print, and keeps bytes that are no UTF-8 as letters.
        if input.contains("\\xFF") {
            continue;
        }
        let (Ok(ours), Ok(theirs)) =
            (parse(input, Features::ALL), promql_parser::parser::parse(input))
        else {
            continue;
        };
        let Ok(again) = promql_parser::parser::parse(&ours.to_string()) else { continue };
        compared += 1;
        assert_eq!(again.to_string(), theirs.to_string(), "{input}");
    }
    println!("promql-parser: {compared} trees compared");
}

/// The compliance queries with their placeholders filled in, as the reference's tester does.
fn compliance_queries(text: &str) -> Vec<(String, bool)> {
    let variants = |name: &str| -> Vec<&'static str> {
        match name {
            "range" => vec!["1s", "15s", "1m", "5m", "15m", "1h"],
            "offset" => vec!["1m", "5m", "10m"],
            "instant" => vec!["1", "5", "10"],
            "quantile" => vec!["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"],
            "simpleAggrOp" => vec!["sum", "avg", "max", "min", "count", "stddev", "stdvar"],
            "topBottomOp" => vec!["topk", "bottomk"],
            "simpleTimeAggrOp" => {
                vec!["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last"]
            }
            "simpleMathFunc" => {
                vec!["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"]
            }
            "extrapolatedRateFunc" => vec!["delta", "rate", "increase"],
            "instantRateFunc" => vec!["idelta", "irate"],
            "clampFunc" => vec!["clamp_min", "clamp_max"],
            "dateFunc" => vec![
                "day_of_month",
                "day_of_week",
                "days_in_month",
                "hour",
                "minute",
                "month",
                "year",
            ],
            "compBinOp" => vec!["==", "!=", "<", ">", "<=", ">="],
            "binOp" => vec!["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="],
            "arithBinOp" => vec!["+", "-", "*", "/", "%", "^"],
            other => panic!("unknown placeholder {other}"),
        }
    };
    let mut queries = Vec::new();
    for block in text.split("query:").skip(1) {
        let line = block.lines().next().unwrap().trim();
        let quote = line.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let template = quote.map_or(line, |quote| line.trim_matches(quote));
        let should_fail = block.contains("should_fail: true");
        let mut open = vec![template.to_owned()];
        while let Some(text) = open.pop() {
            let Some(start) = text.find("{{.") else {
                queries.push((text, should_fail));
                continue;
            };
            let end = start + text[start..].find("}}").unwrap();
            let name = &text[start + 3..end];
            for variant in variants(name) {
                open.push(text.replace(&format!("{{{{.{name}}}}}"), variant));
            }
        }
    }
    queries
}

#[test]
fn compliance_queries_lower() {
    let Some(text) = vectors("promql-parse/compliance-queries.yml") else { return };
    let queries = compliance_queries(&text);
    let options = LowerOptions::new(StepGrid::new(1_000_000, 4_600_000, 60_000));
    let mut lowered = 0;
    for (query, should_fail) in &queries {
        match plan(query, &options) {
            Ok(_) => lowered += 1,
            Err(error) => assert!(should_fail, "{query}: {error}"),
        }
    }
    println!("compliance: {lowered} of {} lower, the others must fail", queries.len());
}

#[test]
fn long_and_deep_texts_are_refused_quickly() {
    let started = Instant::now();
    let texts = [
        vec!["a"; 100_000].join("+"),
        vec!["1"; 100_000].join("^"),
        "(".repeat(100_000),
        "-".repeat(100_000) + "a",
        "abs(".repeat(50_000),
        "sum(".repeat(50_000),
        format!("a{}", "[1m:]".repeat(50_000)),
        format!("a[{}1", "(".repeat(100_000)),
        format!("a[{}]", vec!["1"; 100_000].join("+")),
        format!("a[{}]", vec!["1"; 100_000].join("^")),
        "a".repeat(300_000),
        format!("a[{}]", "min_of(1,".repeat(25_000)),
    ];
    for text in texts {
        let error = parse(&text, Features::ALL).unwrap_err();
        let shown: String = text.chars().take(20).collect();
        let is_limit = error.stage == Stage::Limit || text.starts_with("a[1m:]");
        assert!(is_limit, "{shown}: {}", &error.to_string()[..error.to_string().len().min(200)]);
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn the_deepest_allowed_text_lowers_on_a_small_stack() {
    let depth = base::limits::QUERY_DEPTH_MAX / 2 - 2;
    let text = format!("{}a{}", "abs(-".repeat(depth), ")".repeat(depth));
    let chain = vec!["a"; base::limits::QUERY_HEIGHT_MAX - 2].join(" or ");
    let scalars = vec!["1"; base::limits::QUERY_HEIGHT_MAX - 2].join(" + ");
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let options = LowerOptions::new(StepGrid::new(0, 600_000, 60_000));
        for text in [text, chain, scalars] {
            let lowered = plan(&text, &options);
            assert!(lowered.is_ok() || lowered.is_err_and(|e| e.stage == Stage::Limit), "{text}");
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn random_texts_never_panic() {
    const PARTS: [&str; 46] = [
        "a",
        "b",
        "sum",
        "by",
        "without",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "5m",
        "1",
        "-",
        "+",
        "*",
        "^",
        "==",
        "bool",
        "on",
        "ignoring",
        "group_left",
        "offset",
        "@",
        "start()",
        "\"x\"",
        "=",
        "=~",
        ",",
        ":",
        "rate",
        "topk",
        "or",
        "and",
        "`y`",
        "'",
        "\\",
        "#",
        "\n",
        "é",
        "NaN",
        "step",
        "min_of",
        "</",
        "fill",
        "0x",
    ];
    let seed = 11;
    println!("seed {seed}");
    let mut rng = base::rng::Rng::new(seed);
    for _ in 0..20_000 {
        let count = rng.below(14);
        let text: String = (0..count)
            .map(|_| PARTS[rng.below(PARTS.len() as u64) as usize])
            .flat_map(|part| [part, if part.len() > 1 { " " } else { "" }])
            .collect();
        if let Ok(expr) = parse(&text, Features::ALL) {
            let _ = super::prettify(&expr);
            let options = LowerOptions::new(StepGrid::new(0, 600_000, 60_000));
            let _ = super::lower(&expr, &options);
        }
        let _ = parse_selector(&text);
    }
}

#[test]
fn printed_texts_read_back() {
    for text in ["a @ 1.5 offset -5m", "-(a ^ 2)", "sum by (x) (rate(a{b!~`\\d`}[5m:1m]))"] {
        let first = parse(text, Features::ALL).unwrap().to_string();
        assert_eq!(parse(&first, Features::ALL).unwrap().to_string(), first);
    }
}

#[test]
fn selectors_are_read_alone_and_out_of_expressions() {
    let texts = |query: &str| -> Vec<String> {
        let matchers = parse_selector(query).unwrap();
        matchers.iter().map(ToString::to_string).collect()
    };
    assert_eq!(texts("up{job=~\"a|b\",x!~\"c\"}").len(), 3);
    assert_eq!(texts("{\"a.b\"}"), ["__name__=\"a.b\""]);
    for (query, error) in [
        ("{}", "match[] must contain at least one non-empty matcher"),
        ("{a=~\".*\"}", "match[] must contain at least one non-empty matcher"),
        ("up[5m]", "1:3: parse error: unexpected \"[\""),
        ("up offset 5m", "1:4: parse error: unexpected <offset>"),
    ] {
        assert_eq!(parse_selector(query).unwrap_err().to_string(), error, "{query}");
    }
    let expr = parse("rate(a[5m]) + on(x) max_over_time(b{c=\"d\"}[1h:]) - e", Features::default());
    assert_eq!(selectors(&expr.unwrap()).len(), 3);
}

#[test]
fn features_are_gated_as_in_a_stock_server() {
    for (query, error) in [
        ("mad_over_time(a[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"),
        (
            "limitk(1, a)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
        (
            "a + fill(0) b",
            "1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
        ("a[5m] anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("a{b=~\"(\"}", ""),
    ] {
        let found = super::check(query).unwrap_err().to_string();
        assert!(found.starts_with(error), "{query}: {found}");
    }
    assert!(super::check("rate(a[2m*3]) offset 5m").is_err());
    assert!(super::check("rate(a[2m*3] offset 5m)").is_ok());
}

#[test]
fn meaning_is_checked_before_data_is_read() {
    let options = LowerOptions::new(StepGrid::instant(0));
    for (query, error) in [
        (
            "label_replace(a, \"\", \"x\", \"b\", \"c\")",
            "invalid destination label name in label_replace(): ",
        ),
        (
            "label_replace(a, \"x\", \"x\", \"b\", \"(\")",
            "invalid regular expression in label_replace(): (",
        ),
        ("label_join(a, \"x\", \"-\", \"\")", "invalid source label name in label_join(): "),
        ("count_values(\"\", a)", "invalid label name \"\""),
    ] {
        let found = plan(query, &options).unwrap_err();
        assert_eq!((found.to_string().as_str(), found.stage), (error, Stage::Meaning), "{query}");
    }
    let zero = plan("a[5m - 300]", &options).unwrap_err();
    assert_eq!(zero.to_string(), "2:10: duration must be greater than 0");
}

#[test]
fn a_plan_shows_what_is_computed_once() {
    let options = LowerOptions::new(StepGrid::new(0, 600_000, 60_000));
    let query = "sum by (a) (rate(x[5m])) / sum by (a) (rate(x[5m])) + sum(y @ end())";
    let text = plan::rules::optimise(plan(query, &options).unwrap()).to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    // Both sides of the division are one node; what stands still is evaluated at one instant.
    assert_eq!((count("Shared #"), count("Repeat ")), (2, 1), "{text}");
    assert!(text.contains("Fold Newest over (300000, 600000] ms at every at 0 ms"), "{text}");
}
