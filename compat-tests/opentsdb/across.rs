//! What one protocol wrote is asked for in the languages of the others.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{http, telnet};
use super::server::Server;

/// 2013-01-01T00:00:00Z.
const AT: i64 = 1_356_998_400;

struct Client<'s>(&'s Server);

impl Client<'_> {
    fn send(&self, method: &str, uri: &str, body: Value) -> Value {
        let request = json!({"method": method, "uri": uri, "body": body});
        let answer = http(self.0.shared(), &request);
        assert!(answer.status < 300, "{uri}: {} {}", answer.status, answer.body);
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }

    fn get(&self, uri: &str) -> Value {
        self.send("GET", uri, Value::Null)
    }

    /// One sub-query of OpenTSDB's.
    fn tsdb(&self, query: Value) -> Value {
        let body = json!({"start": AT, "end": AT + 600, "queries": [query]});
        self.send("POST", "/api/query", body)
    }

    /// The only value of an instant query.
    fn promql(&self, query: &str) -> Value {
        let answer = self.get(&format!("/api/v1/query?time={}&query={query}", AT + 60));
        answer["data"]["result"][0]["value"][1].clone()
    }

    fn render(&self, target: &str) -> Value {
        let uri = format!("/render?format=json&from={}&until={}&target={target}", AT - 60, AT + 60);
        self.get(&uri)
    }
}

fn with_server(check: impl FnOnce(&Client<'_>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start(&runtime, ::server::Settings::default());
    check(&Client(&server));
}

#[test]
fn opentsdb_points_are_seen_by_the_others() {
    with_server(|client| {
        let line = format!("put sys.cpu.user {AT} 9007199254740993 host=web01 dc=lga");
        assert_eq!(telnet(client.0.address(), &[&line]), (String::new(), false));
        // Integers are exact here and floats there.
        let shown = client.tsdb(json!({"metric": "sys.cpu.user", "aggregator": "sum"}));
        assert_eq!(shown[0]["dps"][AT.to_string()].to_string(), "9007199254740993");
        let selector = "%7B%22sys.cpu.user%22%2Chost%3D%22web01%22%7D";
        assert_eq!(client.promql(selector), "9007199254740992");
        let names = client.get("/api/v1/label/__name__/values");
        assert_eq!(names["data"], json!(["sys.cpu.user"]));
        let rendered = client.render("seriesByTag(%27dc%3Dlga%27)");
        assert_eq!(rendered[0]["tags"]["host"], "web01");
        let points = rendered[0]["datapoints"].as_array().unwrap();
        assert!(points.contains(&json!([9007199254740992.0, AT])), "{points:?}");
    });
}

#[test]
fn series_of_the_others_are_seen_by_opentsdb() {
    with_server(|client| {
        let text = format!(
            "node:cpu:rate5m{{path=\"/a b\",ü=\"{{x}}|y\"}} 1.5 {AT}000\n\
             http_requests_total{{code=\"200\"}} 7 {AT}000\nup 1 {AT}000\n"
        );
        client.send("POST", "/api/v1/import/prometheus", Value::String(text));
        let mut carbon = TcpStream::connect(client.0.carbon()).unwrap();
        writeln!(carbon, "servers.web-1.load 2.5 {AT}\nload;dc=x 4.5 {AT}").unwrap();
        drop(carbon);
        // Plaintext is not answered: its points are there when they are there.
        for _ in 0..500 {
            let found = client.get("/api/suggest?type=metrics&q=load");
            if found == json!(["load"]) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        names(client);
        values(client);
        numbers(client);
    });
}

fn names(client: &Client<'_>) {
    let metrics = client.get("/api/suggest?type=metrics&q=&max=100");
    let all = ["http_requests_total", "load", "node:cpu:rate5m", "servers.web-1.load", "up"];
    assert_eq!(metrics, json!(all));
    assert_eq!(client.get("/api/suggest?type=metrics&q=node%3A"), json!(["node:cpu:rate5m"]));
    assert_eq!(client.get("/api/suggest?type=tagk&q="), json!(["code", "dc", "path", "ü"]));
    assert_eq!(client.get("/api/suggest?type=tagv&q=%2Fa"), json!(["/a b"]));
}

fn values(client: &Client<'_>) {
    let of = |query: Value| client.tsdb(query)[0]["dps"][AT.to_string()].clone();
    for (metric, want) in [
        ("servers.web-1.load", json!(2.5)),
        ("load", json!(4.5)),
        ("http_requests_total", json!(7.0)),
        ("node:cpu:rate5m", json!(1.5)),
        // A series without any tag, which no client of OpenTSDB can write.
        ("up", json!(1.0)),
    ] {
        assert_eq!(of(json!({"metric": metric, "aggregator": "sum"})), want, "{metric}");
    }
    // Names that could not be put can be filtered by.
    for (kind, tagk, filter) in [
        ("literal_or", "path", "/a b"),
        ("regexp", "ü", "^\\{x\\}"),
        ("wildcard", "ü", "*}|y"),
        ("iliteral_or", "path", "/A B"),
    ] {
        let filters = json!([{"type": kind, "tagk": tagk, "filter": filter, "groupBy": true}]);
        let query = json!({"metric": "node:cpu:rate5m", "aggregator": "sum", "filters": filters});
        let answer = client.tsdb(query);
        assert_eq!(answer[0]["tags"], json!({"path": "/a b", "ü": "{x}|y"}), "{kind}");
    }
    let old = client.get(&format!("/api/query?start={AT}&end={}&m=sum:load%7Bdc%3D*%7D", AT + 1));
    assert_eq!(old[0]["tags"], json!({"dc": "x"}));
}

/// Series of any origin have numbers from when they are first asked for, by which they are found.
fn numbers(client: &Client<'_>) {
    let metric = "node:cpu:rate5m";
    let found = client.send("POST", "/api/search/lookup", json!({"metric": metric, "limit": 5}));
    let tsuid = found["results"][0]["tsuid"].as_str().unwrap().to_owned();
    assert_eq!(found["results"][0]["tags"]["path"], "/a b");
    let shown = client.tsdb(json!({"tsuids": [tsuid], "aggregator": "sum"}));
    assert_eq!(shown[0]["metric"], metric);
    let last = client.send(
        "POST",
        "/api/query/last",
        json!({"resolveNames": true, "queries": [{"tsuids": [tsuid]}]}),
    );
    assert_eq!((&last[0]["metric"], &last[0]["value"]), (&json!(metric), &json!("1.5")));
}

#[test]
fn opentsdb_queries_are_explained_as_the_one_plan() {
    with_server(|client| {
        let explain = |question: &str| {
            let range = format!("start={AT}&end={}", AT + 60);
            let uri = format!("/api/v1/explain?lang=opentsdb&{range}&query={question}");
            let answer = http(client.0.shared(), &json!({"method": "GET", "uri": uri}));
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.body
        };
        let plan = explain("sum:1m-avg:rate%7Bcounter%7D:x%7Bhost%3D*%7D");
        let place =
            |name: &str| plan.find(&format!("{name} ")).unwrap_or_else(|| panic!("{name}: {plan}"));
        // From the root down to the data.
        let nodes = ["Clip", "Sort", "Aggregate", "Map", "Fold", "Scan"].map(place);
        assert!(nodes.is_sorted(), "{plan}");
        assert!(plan.contains("Union"), "the alignment is shown: {plan}");
        assert!(explain("scale(sum:x,2)").contains("Aggregate"));
    });
}
