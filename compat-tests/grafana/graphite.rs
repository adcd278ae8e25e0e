//! The rows G-01 to G-17: Grafana's Graphite data source, in both of its ways to ask.

use serde_json::{Value, json};

use super::{Grafana, NOW_S};

/// Functions that the editor offers where `/functions` does not answer, but for its `max` and `min`,
/// which the original does not know either.
const BUILT_IN: &str = "\
    absolute aggregateLine alias aliasByMetric aliasByNode aliasByTags aliasSub asPercent \
    averageAbove averageBelow averageOutsidePercentile averageSeries avg averageSeriesWithWildcards \
    cactiStyle changed consolidateBy constantLine countSeries cumulative currentAbove currentBelow \
    delay derivative diffSeries divideSeries exclude exponentialMovingAverage fallbackSeries grep \
    group groupByNode groupByNodes groupByTags highestAverage highestCurrent highestMax hitcount \
    holtWintersAberration holtWintersConfidenceBands holtWintersForecast integral integralByInterval \
    interpolate invert isNonNull keepLastValue limit linearRegression log lowestAverage \
    lowestCurrent mapSeries map maxSeries maximumAbove maximumBelow minSeries minimumAbove \
    minimumBelow mostDeviant movingAverage movingMax movingMedian movingMin movingSum multiplySeries \
    multiplySeriesWithWildcards nPercentile nonNegativeDerivative offset offsetToZero perSecond \
    percentileOfSeries pow powSeries randomWalk rangeOfSeries reduceSeries reduce \
    removeAbovePercentile removeAboveValue removeBelowPercentile removeBelowValue \
    removeBetweenPercentile removeEmptySeries scale scaleToSeconds seriesByTag smartSummarize \
    sortByMaxima sortByMinima sortByName sortByTotal squareRoot stddevSeries stdev substr sumSeries \
    sum sumSeriesWithWildcards summarize timeShift timeSlice timeStack transformNull useSeriesAbove \
    weightedAverage";

pub(super) fn check(grafana: &Grafana) {
    health(grafana);
    panels(grafana);
    names(grafana);
    tags(grafana);
    functions(grafana);
    events(grafana);
    errors(grafana);
}

/// A text as a form field spells it.
fn field(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The wrapper around every target of a panel.
fn wrapped(target: &str, panel: &str) -> String {
    field(&format!("aliasSub({target}, \"(^.*$)\", \"\\1 {panel}\")"))
}

fn health(grafana: &Grafana) {
    // G-01: neither from nor until.
    let target = wrapped("constantLine(100)", "A");
    let body = format!("target={target}&format=json&maxDataPoints=300");
    assert!(grafana.form("/render", &body).is_array());
    assert!(grafana.get("/metrics/find?query=*").is_array());
    // G-02: the name is the number as the original's evaluator spells it.
    let (from, until) = (NOW_S - 3600, NOW_S);
    let body = format!(
        "format=json&from={from}&maxDataPoints=100&target=constantLine%28100%29&until={until}"
    );
    let answer = grafana.form("/render", &body);
    let points = json!([[100.0, from], [100.0, from + 1800], [100.0, until]]);
    let wanted = json!([{"target": "100.0", "tags": {"name": "100.0"}, "datapoints": points}]);
    assert_eq!(answer, wanted);
}

fn panels(grafana: &Grafana) {
    let (from, until) = (NOW_S - 660, NOW_S);
    let window = format!("&from={from}&until={until}&format=json");
    // G-03: all targets of a panel at once, each wrapped, with a name of its own. G-17: the wrapper
    // leaves the whole name and adds to it once.
    let stored = "seriesByTag('name=cpu.usage')";
    let spaced = wrapped("alias(seriesByTag('host=web01'), \"a b, c\")", "B");
    let body = format!("target={}&target={spaced}{window}&cacheTimeout=60", wrapped(stored, "A"));
    let answer = grafana.form("/render", &format!("{body}&maxDataPoints=1280"));
    let names: Vec<&str> =
        answer.as_array().unwrap().iter().filter_map(|row| row["target"].as_str()).collect();
    let (web01, web02) = ("cpu.usage;host=web01;region=eu A", "cpu.usage;host=web02;region=us A");
    assert_eq!(names, [web01, web02, "a b, c B"]);
    // G-14: nothing that looks like the other type's answer.
    assert!(answer[0]["tags"].is_object() && answer[0]["meta"].is_null());
    let metrictank = grafana.form("/render", &format!("{body}&meta=true&maxDataPoints=1280"));
    assert!(metrictank.is_array() || metrictank["series"].is_array());
    // G-04: one target as it was typed, keys in order; numbers or null, and texts for tags.
    let body = format!(
        "format=json&from={from}&maxDataPoints=1000&target={}&until={until}",
        field(&format!("invert(offset({stored}, -10.5))"))
    );
    let answer = grafana.form("/render", &body);
    for row in answer.as_array().unwrap() {
        let is_point =
            |point: &Value| (point[0].is_number() || point[0].is_null()) && point[1].is_i64();
        assert!(row["datapoints"].as_array().unwrap().iter().all(is_point), "{row}");
        assert!(row["tags"].as_object().unwrap().values().all(Value::is_string), "{row}");
    }
    // G-11: few points.
    let few = format!("target={}{window}&maxDataPoints=5", field(stored));
    let few = grafana.form("/render", &few);
    let count = few[0]["datapoints"].as_array().unwrap().len();
    assert!((1..=5).contains(&count), "{few}");
    // G-12: values of a variable come from six hours.
    let values = format!("target={}&from=-6h&until=now&format=json", field(stored));
    assert_eq!(grafana.form("/render", &values).as_array().unwrap().len(), 2);
    // An interval in single quotes reaches the server rewritten, one in double quotes as it was typed.
    let minutes = format!("target={}{window}", field("summarize(cpu.usage, '5min', \"sum\")"));
    assert!(grafana.form("/render", &minutes).is_array());
}

fn names(grafana: &Grafana) {
    let (from, until) = (NOW_S - 660, NOW_S);
    // G-05: integers as flags; the query stands in the body as it was typed, or escaped.
    let flags =
        json!({"text": "usage", "id": "cpu.usage", "leaf": 1, "expandable": 0, "allowChildren": 0});
    for query in ["cpu.*", "cpu.{usage,other}", "cpu.[a-z]sage", "cpu.usage", "cpu.%2A"] {
        let found = grafana
            .form(&format!("/metrics/find?from={from}&until={until}"), &format!("query={query}"));
        for (key, value) in flags.as_object().unwrap() {
            let wanted = if key == "id" { &found[0]["id"] } else { value };
            assert_eq!(&found[0][key], wanted, "{query}");
        }
    }
    assert_eq!(grafana.form("/metrics/find", "query=*")[0]["expandable"], 1);
    assert_eq!(grafana.form("/metrics/find", "query=*pu*")[0]["text"], "cpu");
    assert_eq!(grafana.form("/metrics/find", "query=no.such.*"), json!([]));
    // G-06
    for window in [String::new(), format!("&from={from}&until={until}")] {
        let expanded = grafana.get(&format!("/metrics/expand?query=cpu.*{window}"));
        assert_eq!(expanded, json!({"results": ["cpu.usage"]}));
    }
    // G-13
    let version = grafana.send("GET", "/version", "text/plain", "").1;
    assert!(version.starts_with("1.1."), "{version}");
}

fn tags(grafana: &Grafana) {
    // G-07
    let names = |query: &str| grafana.get(&format!("/tags/autoComplete/tags?{query}"));
    let all = json!(["host", "name", "region"]);
    assert_eq!(names("from=undefined&until=undefined&limit=0&tagPrefix="), all);
    assert_eq!(names("expr=name%3Dcpu.usage&limit=10000"), json!(["host", "region"]));
    assert_eq!(names("tagPrefix=h"), json!(["host"]));
    // G-08
    let values = |query: &str| grafana.get(&format!("/tags/autoComplete/values?{query}"));
    assert_eq!(values("expr=region%3Deu&tag=host"), json!(["web01"]));
    let backend = "expr=name%3Dcpu.usage&tag=host&from=undefined&until=undefined&limit=0";
    assert_eq!(values(backend), json!(["web01", "web02"]));
    assert_eq!(values("tag=host&valuePrefix=web02&limit=5"), json!(["web02"]));
}

fn functions(grafana: &Grafana) {
    // G-09: strict JSON, but for one spelling that Grafana repairs.
    let (status, text) = grafana.send("GET", "/functions", "text/plain", "");
    assert_eq!(status, 200);
    let functions: Value = serde_json::from_str(&text.replace("1e9999", "null")).unwrap();
    let alias = &functions["alias"];
    assert_eq!(
        (&alias["group"], &alias["function"]),
        (&json!("Alias"), &json!("alias(seriesList, newName)"))
    );
    let params = json!([{"name": "seriesList", "type": "seriesList", "required": true},
        {"name": "newName", "type": "string", "required": true}]);
    assert_eq!(alias["params"], params);
    let missing: Vec<&str> =
        BUILT_IN.split_whitespace().filter(|name| functions[name].is_null()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn events(grafana: &Grafana) {
    // G-10
    let deploy = json!({"what": "deploy", "tags": ["a", "b"], "when": NOW_S - 60, "data": "v2"});
    assert_eq!(grafana.json("/events/", &deploy).0, 200);
    let listed = |query: &str| grafana.get(&format!("/events/get_data?{query}"));
    let found = listed("from=-5min&until=now&tags=a%20b");
    let event = &found[0];
    assert_eq!((&event["when"], &event["what"]), (&json!(NOW_S - 60), &json!("deploy")));
    assert_eq!((&event["tags"], &event["data"]), (&json!(["a", "b"]), &json!("v2")));
    assert_eq!(listed(&format!("from={}&until={NOW_S}", NOW_S - 60)), found);
    assert_eq!(listed("from=-1mon&until=now&tags=a%20c"), json!([]));
    assert_eq!(listed("from=-6h&until=-5min"), json!([]));
    let counted = "target=events(%27a%27)&from=-10min&format=json&maxDataPoints=100";
    let sum = |rows: &Value| -> f64 {
        let points = rows[0]["datapoints"].as_array().unwrap().iter();
        points.filter_map(|point| point[0].as_f64()).sum()
    };
    assert_eq!(sum(&grafana.form("/render", counted)), 1.0);
}

fn errors(grafana: &Grafana) {
    // G-15, G-16: plain text, whatever the proxy adds to the request.
    for (path, words) in [
        ("/render?format=json&target=nothing(", "cannot parse target"),
        ("/render?format=json&target=nosuch(a)", "unknown function"),
        ("/render?format=json&target=a&from=never", "never"),
        ("/metrics/find", "query"),
    ] {
        let (status, body) = grafana.send("GET", path, "text/plain", "");
        assert!(status == 400 && !body.starts_with('<') && body.contains(words), "{status} {body}");
    }
}
