//! Rollups and histograms: what is read of them, and how they are named.

use serde_json::{Value, json};

use super::client::{http, telnet};
use super::server::Server;

const AT: i64 = 1_356_998_400;

struct Asked<'s> {
    server: &'s Server,
    range: String,
}

impl Asked<'_> {
    fn status(&self, question: &str) -> (u64, Value) {
        let uri = format!("/api/query?{}&m={question}", self.range);
        let answer = http(self.server.address(), &json!({"method": "GET", "uri": uri}));
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    fn rows(&self, question: &str) -> Vec<Value> {
        let (status, answer) = self.status(question);
        assert_eq!(status, 200, "{question}: {answer}");
        answer.as_array().unwrap().clone()
    }

    fn dps(&self, question: &str) -> Value {
        self.rows(question)[0]["dps"].clone()
    }
}

fn with_lines(settings: ::server::Settings, lines: &[&str], check: impl FnOnce(&Asked<'_>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start(&runtime, settings);
    assert_eq!(telnet(server.address(), lines), (String::new(), false));
    check(&Asked { server: &server, range: format!("start={AT}&end={}", AT + 7200) });
}

#[test]
fn opentsdb_histograms_are_added_and_shown_by_column() {
    let mut settings = ::server::Settings::default();
    settings.opentsdb.histograms = true;
    let lines = [
        "histogram h 1356998400 u=1:o=2:0,1.75=12:1.75,3.5=16 host=web01",
        "histogram h 1356998400 u=0:o=1:0,1.75=1:1.75,3.5=1 host=web02",
        "histogram h 1356998410 u=0:o=1:0,1.75=1:1.75,3.5=1 host=web02",
    ];
    with_lines(settings, &lines, |asked| {
        let both = json!({"1356998400": 2.625, "1356998410": 0.875});
        let rows = asked.rows("sum:percentiles%5B50,99.5%5D:h&show_tsuids");
        assert_eq!((&rows[0]["metric"], &rows[0]["dps"]), (&json!("h_pct_50.0"), &both));
        assert_eq!(rows[0]["aggregateTags"], json!(["host"]));
        assert_eq!(rows[0]["tsuids"].as_array().unwrap().len(), 2);
        assert_eq!(rows[1]["metric"], "h_pct_99.5");
        // Buckets of time add up; there is nothing between two histograms.
        let columns = asked.rows("sum:1m-sum:show-histogram-buckets:h");
        let columns: Vec<(&str, &Value)> = columns
            .iter()
            .map(|row| (row["metric"].as_str().unwrap(), &row["dps"]["1356998400"]))
            .collect();
        let want = [("h_UNDERFLOW", 1), ("h_0.0_1.75", 14), ("h_1.75_3.5", 18), ("h_OVERFLOW", 4)];
        assert_eq!(
            columns,
            want.map(|(name, count)| (name, json!(count))).each_ref().map(|(n, c)| (*n, c))
        );
        assert_eq!(asked.rows("none:percentiles%5B50%5D:h").len(), 2);
        assert_eq!(asked.dps("sum:0all-sum:percentiles%5B90%5D:h"), json!({"1356998400": 2.625}));
        // Numbers there are none.
        assert_eq!(asked.rows("sum:h"), Vec::<Value>::new());
        for (question, status, message) in [
            (
                "avg:percentiles%5B50%5D:h",
                400,
                "Only NONE or SUM aggregation function supported for histogram query",
            ),
            (
                "sum:1m-avg:percentiles%5B50%5D:h",
                400,
                "Only SUM downsampling aggregation supported for histogram query",
            ),
            ("sum:percentiles%5B101%5D:h", 400, "Invalid percentile parameters: 101.0"),
            ("sum:percentiles%5Bx%5D:h", 500, "For input string: \"x\""),
        ] {
            let (got, answer) = asked.status(question);
            assert_eq!((got, &answer["error"]["message"]), (status, &json!(message)), "{question}");
        }
    });
}

#[test]
fn opentsdb_rollups_stand_for_the_points_they_were_made_of() {
    let config = r#"{"aggregationIds":{"sum":0,"count":1,"min":2,"max":3},"intervals":[
        {"table":"t","preAggregationTable":"a","interval":"1m","rowSpan":"1h","defaultInterval":true},
        {"table":"r","preAggregationTable":"b","interval":"1h","rowSpan":"1d"}]}"#;
    let mut settings = ::server::Settings::default();
    settings.opentsdb.rollups = ::server::opentsdb::RollupConfig::parse(config).ok();
    let lines = [
        "rollup 1h-sum r 1356998400 10 host=web01",
        "rollup 1h-count r 1356998400 4 host=web01",
        "rollup 1h-sum r 1357002000 30 host=web01",
        "rollup 1h-max r 1356998400 7 host=web01",
        "put r 1356998400 3 host=web01",
    ];
    with_lines(settings, &lines, |asked| {
        let (first, second) = ("1356998400", "1357002000");
        assert_eq!(asked.dps("sum:1h-sum:r"), json!({first: 10.0, second: 30.0}));
        // An average wants both a sum and a count.
        assert_eq!(asked.dps("sum:1h-avg:r"), json!({first: 2.5}));
        assert_eq!(asked.dps("sum:1h-avg-zero:r")[second], json!(0.0));
        assert_eq!(asked.dps("sum:1h-avg-nan:r")[second], json!("NaN"));
        assert_eq!(asked.dps("sum:2h-max:r"), json!({first: 7.0}));
        assert_eq!(asked.dps("sum:1h-count:r"), json!({first: 4.0}));
        assert_eq!(asked.dps("sum:1h-sum:rate:r"), json!({second: 20.0 / 3600.0}));
        let row = &asked.rows("none:1h-sum:r&show_tsuids")[0];
        assert_eq!((&row["metric"], &row["tsuids"]), (&json!("r"), &json!(["000001000001000001"])));
        // Intervals and functions that are not kept are computed from the raw points.
        for question in [
            "sum:30m-sum:r",
            "sum:1h-median:r",
            "sum:1h-sum:rollup_raw:r",
            "sum:1h-min:rollup_fallback:r",
        ] {
            assert_eq!(asked.dps(question), json!({first: 3.0}), "{question}");
        }
        assert_eq!(asked.rows("sum:1h-min:r"), Vec::<Value>::new());
    });
}
