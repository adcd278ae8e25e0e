//! The rows O-01 to O-16: what the OpenTSDB data source sends and reads.

use serde_json::{Value, json};

use super::{Grafana, NOW_S};

/// The first sample's second.
const START_S: i64 = NOW_S - 600;

pub(super) fn all(grafana: &Grafana) {
    lists(grafana);
    answers(grafana);
    old_dashboards(grafana);
    gaps(grafana);
    errors(grafana);
    lookups(grafana);
    annotations(grafana);
}

/// O-01, O-06, O-07, O-08, O-12
fn lists(grafana: &Grafana) {
    assert_eq!(grafana.get("/api/suggest?q=cpu&type=metrics"), json!(["cpu.usage"]));
    assert_eq!(grafana.get("/api/suggest?type=metrics&q=cpu&max=1000"), json!(["cpu.usage"]));
    assert_eq!(grafana.get("/api/suggest?q=none&type=metrics"), json!([]));
    assert_eq!(grafana.get("/api/suggest?type=metrics&q=&max=1000"), json!(["cpu.usage"]));
    assert_eq!(grafana.get("/api/suggest?type=tagk&q=&max=1000"), json!(["host", "region"]));
    assert_eq!(grafana.get("/api/suggest?type=tagv&q=&max=2"), json!(["eu", "us"]));
    assert_eq!(grafana.get("/api/suggest?type=tagv&q=web&max=1000"), json!(["web01", "web02"]));
    let aggregators = grafana.get("/api/aggregators");
    assert!(aggregators.as_array().unwrap().iter().all(Value::is_string));
    assert!(aggregators.as_array().unwrap().contains(&json!("sum")));
    let filters = grafana.get("/api/config/filters");
    for kind in ["literal_or", "wildcard", "regexp", "not_iliteral_or"] {
        assert!(filters[kind]["examples"].is_string(), "{kind}: {filters}");
    }
}

/// O-02 to O-04, O-14 to O-16
fn answers(grafana: &Grafana) {
    let mut query = json!({"start": START_S, "end": NOW_S, "queries": [{"metric": "cpu.usage",
        "aggregator": "sum", "downsample": "1m-avg",
        "filters": [{"type": "wildcard", "tagk": "host", "filter": "*", "groupBy": true}]}]});
    let (status, answer) = grafana.json("/api/query", &query);
    assert_eq!((status, answer.as_array().unwrap().len()), (200, 2));
    assert_eq!(answer[0]["metric"], "cpu.usage");
    assert_eq!(answer[0]["tags"], json!({"host": "web01", "region": "eu"}));
    assert_eq!(answer[0]["aggregateTags"], json!([]));
    assert_eq!(answer[0]["dps"][(START_S + 60).to_string()], json!(11.5));
    let (_, arrays) = grafana.json("/api/query?arrays=true", &query);
    assert_eq!(arrays[0]["dps"][1], json!([START_S + 60, 11.5]));
    // The old form of filters, the options of rates, and what is disabled is absent.
    query["queries"][0] = json!({"metric": "cpu.usage", "aggregator": "max", "rate": true,
        "rateOptions": {"counter": true, "counterMax": 4294967295.0, "resetValue": 0.0,
                        "dropResets": true},
        "tags": {"host": "web01|web02", "region": "*"}, "explicitTags": true});
    let (_, rates) = grafana.json("/api/query", &query);
    assert_eq!(rates.as_array().unwrap().len(), 2);
    assert_eq!(rates[1]["dps"][(START_S + 60).to_string()], json!(1.0 / 60.0));
    query["queries"][0] = json!({"metric": "cpu.usage", "aggregator": "none", "tags": {}});
    assert_eq!(grafana.json("/api/query", &query).1.as_array().unwrap().len(), 2);
    // Nothing in the range.
    query["start"] = json!(START_S - 90_000);
    query["end"] = json!(START_S - 86_400);
    assert_eq!(grafana.json("/api/query", &query), (200, json!([])));
}

/// O-05: all questions of a panel in one request, times in milliseconds, until now.
fn old_dashboards(grafana: &Grafana) {
    let old = json!({"start": START_S * 1000, "msResolution": false, "globalAnnotations": true,
        "showQuery": true, "queries": [
            {"metric": "cpu.usage", "aggregator": "sum"},
            {"metric": "cpu.usage", "aggregator": "max", "tags": {"host": "*"}}]});
    let (status, answer) = grafana.json("/api/query", &old);
    assert_eq!(status, 200);
    let indexes: Vec<&Value> =
        answer.as_array().unwrap().iter().map(|item| &item["query"]["index"]).collect();
    assert_eq!(indexes, [&json!(0), &json!(1), &json!(1)]);
    assert_eq!(answer[0]["dps"][START_S.to_string()], json!(31.0));
    assert_eq!(
        (&answer[0]["tags"], answer[0]["aggregateTags"].as_array().unwrap().len()),
        (&json!({}), 2)
    );
    let mut fine = old;
    fine["msResolution"] = json!(true);
    let (_, answer) = grafana.json("/api/query", &fine);
    assert_eq!(answer[0]["dps"][(START_S * 1000).to_string()], json!(31.0));
}

/// O-09: each policy as the original shows it, and numbers only where there is none.
fn gaps(grafana: &Grafana) {
    let of = |downsample: &str| {
        let query = json!({"start": START_S - 60, "end": START_S, "queries": [{
            "metric": "cpu.usage", "aggregator": "sum", "downsample": downsample}]});
        grafana.json("/api/query", &query).1[0]["dps"].clone()
    };
    let (gap, point) = ((START_S - 60).to_string(), START_S.to_string());
    for (policy, want) in [("-nan", json!("NaN")), ("-null", Value::Null), ("-zero", json!(0.0))] {
        let dps = of(&format!("1m-avg{policy}"));
        assert_eq!((&dps[&gap], &dps[&point]), (&want, &json!(31.0)), "{policy}");
    }
    for downsample in ["1m-avg", "1m-avg-none", "10s-max"] {
        let dps = of(downsample);
        assert!(dps.as_object().unwrap().values().all(Value::is_number), "{downsample}: {dps}");
    }
}

/// O-10
fn errors(grafana: &Grafana) {
    let unknown = json!({"start": 1, "queries": [{"metric": "nothing", "aggregator": "sum"}]});
    let (status, error) = grafana.json("/api/query", &unknown);
    let text = "No such name for 'metrics': 'nothing'";
    let want = json!({"code": 400, "message": text, "details": text});
    assert_eq!((status, &error["error"]), (400, &want));
}

/// O-11, O-12
fn lookups(grafana: &Grafana) {
    let found = |query: &str| {
        let answer = grafana.get(&format!("/api/search/lookup?{query}"));
        let results = answer["results"].as_array().unwrap().clone();
        results.into_iter().map(|result| result["tags"].clone()).collect::<Vec<Value>>()
    };
    let (first, second) =
        (json!({"host": "web01", "region": "eu"}), json!({"host": "web02", "region": "us"}));
    assert_eq!(found("limit=1000&m=cpu.usage"), [first.clone(), second.clone()]);
    assert_eq!(found("limit=1000&m=cpu.usage%7Bhost%3D*%7D"), [first.clone(), second.clone()]);
    assert_eq!(found("limit=1000&m=cpu.usage%7Bhost%3D*%2Cregion%3Dus%7D"), [second]);
    assert_eq!(found("limit=1&m=cpu.usage"), [first]);
    // A setting that was never saved.
    assert_eq!(found("limit=0&m=cpu.usage").len(), 2);
}

/// O-13
fn annotations(grafana: &Grafana) {
    let question = json!({"start": START_S, "end": NOW_S, "queries": [{"metric": "cpu.usage",
        "aggregator": "sum", "filters": [{"type": "literal_or", "tagk": "host", "filter": "web01",
                                          "groupBy": true}]}]});
    assert!(grafana.json("/api/query", &question).1[0]["annotations"].is_null());
    let answer = grafana.get("/api/search/lookup?limit=1&m=cpu.usage");
    let note = |tsuid: &Value, text: &str| {
        let note = json!({"tsuid": tsuid, "description": text, "startTime": START_S + 60});
        assert_eq!(grafana.json("/api/annotation", &note).0, 200);
    };
    note(&answer["results"][0]["tsuid"], "deployed");
    note(&json!(""), "moved");
    let (_, answer) = grafana.json("/api/query", &question);
    let shown = &answer[0]["annotations"][0];
    assert_eq!(
        (&shown["description"], &shown["startTime"]),
        (&json!("deployed"), &json!(START_S + 60))
    );
    assert!(answer[0]["globalAnnotations"].is_null());
    let mut with_global = question;
    with_global["globalAnnotations"] = json!(true);
    let (_, answer) = grafana.json("/api/query", &with_global);
    assert_eq!(answer[0]["globalAnnotations"][0]["description"], "moved");
}
