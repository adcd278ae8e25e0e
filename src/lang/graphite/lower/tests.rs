//! Shapes of plans; what they compute is checked end to end by compat-tests.

use super::*;

fn options() -> LowerOptions {
    LowerOptions {
        from_s: 1_699_999_200,
        until_s: 1_699_999_800,
        now_s: 1_699_999_800,
        known_s: 0,
        x_files_factor: 0.0,
        max_data_points: None,
        templates: BTreeMap::new(),
        steps: StepRules::uniform(60_000),
        tenant: TenantId::DEFAULT,
        limits: QueryLimits::default(),
        zone: jiff::tz::TimeZone::UTC,
    }
}

/// A store without any series.
struct Nothing;

impl Probe for Nothing {
    fn rows(
        &self,
        _: &Plan,
    ) -> Result<Option<Vec<model::ResultSeries>>, crate::graphite::ProbeError> {
        Ok(Some(Vec::new()))
    }

    fn events(&self, _: &[&str], _: i64, _: i64) -> Result<Vec<i64>, crate::graphite::ProbeError> {
        Ok(Vec::new())
    }
}

fn root(target: &str) -> Result<Node, GraphiteError> {
    lower_probing([target], &options(), &Nothing).map(|plan| plan.root)
}

#[test]
fn every_function_lowers_with_plain_arguments() {
    use crate::graphite::functions::{FUNCTIONS, ParamKind};
    for function in FUNCTIONS {
        let argument = |param: &crate::graphite::functions::Param| match param.kind {
            ParamKind::SeriesList => "a.*",
            ParamKind::AggFunc | ParamKind::AggOrSeriesFunc => "'sum'",
            ParamKind::Interval => "'5min'",
            ParamKind::Boolean => "true",
            ParamKind::Date => "'1699999500'",
            ParamKind::SeriesLists => "map(a.*,1)",
            ParamKind::String => match param.name {
                "newName" => "'%d'",
                "reduceFunction" => "'sumSeries'",
                "intervalUnit" => "'5min'",
                "tagExpressions" => "'a=b'",
                "operator" => "'>'",
                "consolidationFunc" => "'max'",
                "timeShift" => "'1h'",
                _ => "'x'",
            },
            ParamKind::Tag => "'host'",
            ParamKind::Any => "'x'",
            _ => "1",
        };
        let required = function.params.iter().filter(|param| param.required);
        let arguments: Vec<&str> = required.map(argument).collect();
        let text = format!("{}({})", function.name, arguments.join(","));
        if let Err(error) = root(&text) {
            panic!("{text}: {error}");
        }
    }
}

#[test]
fn a_path_reads_its_window_and_the_last_slot() {
    let mut node = root("a.b").unwrap();
    let scan = loop {
        match node.op {
            Op::Scan(scan) => break scan,
            Op::Fold(fold) => node = *fold.input,
            Op::Rows(mut rows) => node = rows.inputs.remove(0),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(scan.range, TimeRange::new(1_699_999_200_000, 1_699_999_859_999));
    assert_eq!(scan.matchers, vec![Matcher::equal("__name__", "a.b")]);
}

#[test]
fn mistakes_are_refused() {
    let check = |target: &str, expected: &str| {
        assert_eq!(root(target).unwrap_err().to_string(), expected, "{target}");
    };
    check("nosuch(a)", "unknown function: nosuch");
    check("scale(a)", "scale: missing argument \"factor\"");
    check("scale(a,\"x\")", "scale: invalid value for \"factor\": expected a number");
    check("scale(a,1,2)", "scale: unexpected argument number 3");
    check("scale(a,nope=2)", "scale: unexpected argument \"nope\"");
    check("scale(1,2)", "scale: invalid value for \"seriesList\": expected series");
    check("summarize(a,\"-5min\")", {
        "summarize: invalid value for \"intervalString\": expected an interval longer than nothing"
    });
    check("seriesByTag(\"a!=b\")", "at least one tagspec must not match the empty string");
    check("limit(a,1.5)", "limit: invalid value for \"n\": expected a whole number");
    check(
        "time(\"x\",0)",
        "time: invalid value for \"step\": expected a positive number of seconds",
    );
    assert!(root("aliasSub(a,\"(\",\"\")").is_err());
    let mut years = options();
    years.from_s = 0;
    assert!(lower(["time(\"x\",1)"], &years).is_err());
    assert!(lower(["a.b"], &years).is_err());
}

#[test]
fn hostile_targets_are_refused() {
    for target in [
        "movingAverage(a,1000000000)",
        "movingAverage(a,\"900000000d\")",
        "timeStack(a,\"1d\",0,1000000)",
        "holtWintersForecast(a,\"90000d\")",
        "time(\"x\",-1)",
        "stdev(a,0)",
        "hitcount(a,\"-5min\")",
        "smartSummarize(a,\"0s\")",
        "reduceSeries(mapSeries(a.*,1),\"sumSeries\",1000000000,\"x\")",
        "reduceSeries(mapSeries(a.*,1),\"nosuch\",1,\"x\")",
        "aliasQuery(a,\"a\",\"b\",\"%99999999d\")",
        "asPercent(a,100,1)",
    ] {
        assert!(root(target).is_err(), "{target}");
    }
    let deep = format!("{}a{}", "movingAverage(".repeat(10_000), ",3)".repeat(10_000));
    assert!(root(&deep).is_err());
}
