//! The rules of Prometheus's compliance suite for receivers of remote write, asked of a running server.
//!
//! The suite itself looks at statuses and the Written headers only; here what was accepted is read back
//! as well. Bodies are encoded by hand, from the field numbers of the specification.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use serde_json::Value;
use wire::prometheus::remote_read::compress;

use crate::opentsdb::server::Server;

const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Fields of one message.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn signed(self, field: u64, value: i64) -> Self {
        self.integer(field, (value << 1) ^ (value >> 63))
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, field: u64, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    fn packed(self, field: u64, values: &[u64]) -> Self {
        let mut list = Message::default();
        values.iter().for_each(|value| list.varint(*value));
        self.message(field, &list)
    }
}

/// A request of version 2 with its table.
#[derive(Default)]
struct Request {
    symbols: Vec<String>,
    series: Vec<Message>,
}

impl Request {
    fn symbol(&mut self, text: &str) -> u64 {
        if self.symbols.is_empty() {
            self.symbols.push(String::new());
        }
        let known = self.symbols.iter().position(|known| known == text);
        known.unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        }) as u64
    }

    fn refs(&mut self, labels: &[(&str, &str)]) -> Vec<u64> {
        let pair = |(name, value): &(&str, &str)| [self.symbol(name), self.symbol(value)];
        labels.iter().flat_map(pair).collect()
    }

    /// Adds a series; `fields` adds to the message that has its labels.
    fn series(
        mut self,
        labels: &[(&str, &str)],
        fields: impl FnOnce(&mut Self, Message) -> Message,
    ) -> Self {
        let refs = self.refs(labels);
        let message = fields(&mut self, Message::default().packed(1, &refs));
        self.series.push(message);
        self
    }

    fn body(self) -> Vec<u8> {
        compress(&self.message()).unwrap()
    }

    fn message(mut self) -> Vec<u8> {
        self.symbol("");
        let mut out = Message::default();
        for symbol in &self.symbols {
            out = out.bytes(4, symbol.as_bytes());
        }
        for series in &self.series {
            out = out.message(5, series);
        }
        out.0
    }
}

fn sample(at_ms: i64, value: f64) -> Message {
    Message::default().double(1, value).integer(2, at_ms)
}

/// A histogram of `buckets` in neighbouring buckets, which says that it counted `count`.
fn histogram(at_ms: i64, schema: i64, count: i64, buckets: &[i64]) -> Message {
    let span = Message::default().signed(1, 0).integer(2, buckets.len() as i64);
    let mut last = 0;
    let deltas: Vec<u64> = buckets
        .iter()
        .map(|count| {
            let delta = count - last;
            last = *count;
            ((delta << 1) ^ (delta >> 63)) as u64
        })
        .collect();
    let base = Message::default().integer(1, count).double(3, 1.5).signed(4, schema);
    base.message(11, &span).packed(12, &deltas).integer(15, at_ms)
}

/// Status, the three Written headers, body.
struct Answer {
    status: u64,
    written: [u64; 3],
    body: String,
}

fn http(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let name = format!("x-prometheus-remote-write-{name}-written: ");
        head.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    let is_write = path == "/api/v1/write";
    let written = ["samples", "histograms", "exemplars"].map(|name| match is_write {
        true => header(name),
        false => 0,
    });
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, written, body: body.to_owned() }
}

fn post(address: SocketAddr, content_type: &str, encoding: &str, body: &[u8]) -> Answer {
    let headers = format!("Content-Type: {content_type}\r\nContent-Encoding: {encoding}\r\n");
    http(address, "POST", "/api/v1/write", &headers, body)
}

fn write(address: SocketAddr, request: Request) -> Answer {
    post(address, V2, "snappy", &request.body())
}

fn get(address: SocketAddr, path: &str) -> Value {
    let answer = http(address, "GET", path, "", &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    let start = answer.body.find('{').unwrap();
    let end = answer.body.rfind('}').unwrap();
    serde_json::from_str(&answer.body[start..=end]).unwrap()
}

fn now_ms() -> i64 {
    SystemClock.now_ms()
}

fn accepted(address: SocketAddr, what: &str, request: Request, written: [u64; 3]) {
    let answer = write(address, request);
    assert_eq!((answer.status, answer.written), (204, written), "{what}: {}", answer.body);
}

fn refused(address: SocketAddr, what: &str, request: Request, written: [u64; 3]) {
    let answer = write(address, request);
    assert_eq!((answer.status, answer.written), (400, written), "{what}: {}", answer.body);
    assert!(!answer.body.is_empty(), "{what}");
}

#[test]
fn samples_and_labels() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start(&runtime, server::Settings::default());
    let (address, now) = (server.shared(), now_ms());
    let labels = [
        vec![("__name__", "plain")],
        vec![("__name__", "with labels"), ("a", "line\nbreak"), ("dotted.name", "b")],
        // Not in order.
        vec![("job", "x"), ("__name__", "turned")],
    ];
    for labels in &labels {
        for value in [1.0, -0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let request = Request::default()
                .series(labels, |_, series| series.message(2, &sample(now, value)));
            accepted(address, "sample", request, [1, 0, 0]);
        }
    }
    for labels in [
        vec![("job", "nameless")],
        vec![("__name__", "")],
        vec![("__name__", "a"), ("", "empty")],
        vec![("__name__", "a"), ("b", "1"), ("b", "2")],
    ] {
        let request =
            Request::default().series(&labels, |_, series| series.message(2, &sample(now, 1.0)));
        refused(address, "labels", request, [0; 3]);
    }
    let partial = Request::default()
        .series(&[("__name__", "first")], |_, series| series.message(2, &sample(now, 1.0)))
        .series(&[("job", "nameless")], |_, series| series.message(2, &sample(now, 1.0)))
        .series(&[("__name__", "third")], |_, series| series.message(2, &sample(now, 3.0)));
    refused(address, "partial", partial, [2, 0, 0]);
    let answer = get(address, "/api/v1/query?query=third");
    assert_eq!(answer["data"]["result"][0]["value"][1], "3");
    // Again, older, and started: all are accepted here.
    for at_ms in [now, now, now - 60_000] {
        let request = Request::default().series(&[("__name__", "started")], |_, series| {
            series.message(2, &sample(at_ms, 1.0).integer(3, now - 3_600_000))
        });
        accepted(address, "start", request, [1, 0, 0]);
    }
}

#[test]
fn histograms_exemplars_and_metadata() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start(&runtime, server::Settings::default());
    let (address, now) = (server.shared(), now_ms());
    let name = [("__name__", "latency_seconds")];
    let request = Request::default().series(&name, |request, series| {
        let trace = request.refs(&[("trace_id", "abc")]);
        let exemplar = Message::default().packed(1, &trace).double(2, 0.25).integer(3, now);
        let (help, unit) = (request.symbol("How long."), request.symbol("seconds"));
        let metadata =
            Message::default().integer(1, 3).integer(3, help as i64).integer(4, unit as i64);
        let histogram = histogram(now, 1, 3, &[1, 2]);
        series.message(3, &histogram).message(4, &exemplar).message(5, &metadata)
    });
    accepted(address, "all of it", request, [0, 1, 1]);
    let answer = get(address, "/api/v1/query?query=latency_seconds");
    let point = &answer["data"]["result"][0]["histogram"][1];
    assert_eq!((&point["count"], &point["sum"]), (&"3".into(), &"1.5".into()));
    let answer = get(address, "/api/v1/metadata?metric=latency_seconds");
    let metadata = &answer["data"]["latency_seconds"][0];
    assert_eq!(metadata["type"], "histogram");
    assert_eq!((&metadata["help"], &metadata["unit"]), (&"How long.".into(), &"seconds".into()));
    let answer = get(address, "/api/v1/query_exemplars?query=rate(latency_seconds[5m])");
    let exemplars = &answer["data"][0]["exemplars"];
    assert_eq!(exemplars[0]["labels"]["trace_id"], "abc");
    assert_eq!(exemplars[0]["value"], "0.25");

    let bad = Request::default()
        .series(&name, |_, series| series.message(3, &histogram(now + 1, 1, 4, &[1, 2])))
        .series(&name, |_, series| series.message(3, &histogram(now + 2, 1, 3, &[1, 2])));
    refused(address, "a count that does not add up", bad, [0, 1, 0]);
    let schema = Request::default()
        .series(&name, |_, series| series.message(3, &histogram(now + 3, 77, 3, &[1, 2])));
    refused(address, "a schema that is none", schema, [0; 3]);
    let custom = Request::default().series(&[("__name__", "custom")], |_, series| {
        let bounds: Vec<u8> = 1.0f64.to_bits().to_le_bytes().to_vec();
        series.message(3, &histogram(now, -53, 3, &[1, 2]).bytes(16, &bounds))
    });
    accepted(address, "custom buckets", custom, [0, 1, 0]);
    let alone = Request::default().series(&name, |request, series| {
        let help = request.symbol("Alone.");
        series.message(5, &Message::default().integer(1, 3).integer(3, help as i64))
    });
    refused(address, "metadata without samples", alone, [0; 3]);
    let long = Request::default().series(&name, |request, series| {
        let trace = request.refs(&[("trace_id", &"x".repeat(200))]);
        let exemplar = Message::default().packed(1, &trace).double(2, 1.0).integer(3, now);
        series.message(3, &histogram(now + 4, 1, 3, &[1, 2])).message(4, &exemplar)
    });
    accepted(address, "an exemplar that is too long", long, [0, 1, 0]);
}

#[test]
fn negotiation() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start(&runtime, server::Settings::default());
    let (address, now) = (server.shared(), now_ms());
    let label = Message::default().bytes(1, b"__name__").bytes(2, b"one");
    let series = Message::default().message(1, &label).message(2, &sample(now, 1.0));
    let one = compress(&Message::default().message(1, &series).0).unwrap();
    for content_type in [V1, "application/x-protobuf;proto=prometheus.WriteRequest"] {
        let answer = post(address, content_type, "snappy", &one);
        // A sender of 1.0 takes counts for a sign of 2.0.
        assert_eq!((answer.status, answer.written), (204, [0; 3]), "{}", answer.body);
    }
    // The body is not looked at before the headers are right.
    for (content_type, encoding) in [
        ("application/json", "snappy"),
        ("image/png", "snappy"),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy"),
        (V2, "gzip"),
        (V2, "deflate"),
    ] {
        let answer = post(address, content_type, encoding, b"no body at all");
        assert_eq!(answer.status, 415, "{content_type} {encoding}");
    }
    for (content_type, encoding) in [(V1, "snappy"), (V2, "snappy"), (V2, "zstd")] {
        let answer = post(address, content_type, encoding, b"no body at all");
        assert_eq!(answer.status, 400, "{content_type} {encoding}");
    }
    assert_eq!(post(address, V2, "snappy", &one).status, 400, "another message");
    assert_eq!(http(address, "GET", "/api/v1/write?", "", &[]).status, 405);
}

/// vmagent sends zstd, which Prometheus answers with 415; here it is taken, in both versions.
#[test]
fn zstd() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start(&runtime, server::Settings::default());
    let (address, now) = (server.shared(), now_ms());
    let pack = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let label = Message::default().bytes(1, b"__name__").bytes(2, b"zstd_one");
    let series = Message::default().message(1, &label).message(2, &sample(now, 1.5));
    let one = Message::default().message(1, &series).0;
    let answer = post(address, V1, "zstd", &pack(&one));
    assert_eq!((answer.status, answer.written), (204, [0; 3]), "{}", answer.body);
    let request = |value| {
        Request::default()
            .series(&[("__name__", "zstd_two")], |_, series| series.message(2, &sample(now, value)))
            .series(&[("__name__", "zstd_three")], |_, series| {
                series.message(3, &histogram(now, 1, 3, &[1, 2]))
            })
    };
    let two = request(2.5).message();
    // A body may be several frames, one behind the other.
    let (front, back) = two.split_at(two.len() / 2);
    for body in [pack(&two), [pack(front), pack(back)].concat()] {
        let answer = post(address, V2, "zstd", &body);
        assert_eq!((answer.status, answer.written), (204, [1, 1, 0]), "{}", answer.body);
    }
    for (name, value) in [("zstd_one", "1.5"), ("zstd_two", "2.5")] {
        let answer = get(address, &format!("/api/v1/query?query=last_over_time({name}[1m])"));
        assert_eq!(answer["data"]["result"][0]["value"][1], value, "{name}");
    }

    let refused = |what: &str, body: &[u8]| {
        let answer = post(address, V2, "zstd", body);
        assert_eq!((answer.status, answer.written), (400, [0; 3]), "{what}: {}", answer.body);
        assert!(!answer.body.is_empty(), "{what}");
    };
    let whole = pack(&request(9.5).message());
    refused("a torn frame", &whole[..whole.len() - 1]);
    refused("a frame and then something else", &[&whole[..], b"x"].concat());
    refused("snappy", &request(9.5).body());
    refused("nothing in a frame of another message", &pack(b"\xff\xff"));
    // A few bytes that would become more than any request may have.
    let zeros = vec![0; base::limits::REMOTE_WRITE_BYTES_MAX + 1];
    refused("a bomb", &pack(&zeros));
    // A frame of unknown length that wants to look back 128 MiB: magic, header, window, an empty last block.
    refused("a large window", &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00]);
    let answer = get(address, "/api/v1/query?query=last_over_time(zstd_two[1m])");
    assert_eq!(answer["data"]["result"][0]["value"][1], "2.5", "refused bodies leave nothing");
}

/// Names that terms find, with what senders said of them.
#[test]
fn metric_names_are_found_with_their_metadata() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut settings = server::Settings::default();
    assert!(settings.search.enable("search-api"));
    let server = Server::start(&runtime, settings);
    let (address, now) = (server.shared(), now_ms());
    let mut request = Request::default();
    for name in ["cpu_seconds_total", "cpu_temperature", "memory"] {
        request = request.series(&[("__name__", name)], |request, series| {
            let help = request.symbol("Time spent.") as i64;
            let metadata = Message::default().integer(1, 1).integer(3, help);
            let series = series.message(2, &sample(now, 1.0));
            if name == "cpu_temperature" { series } else { series.message(5, &metadata) }
        });
    }
    accepted(address, "names", request, [3, 0, 0]);
    let search = |query: &str| -> Vec<String> {
        let path = format!("/api/v1/search/metric_names?search[]=cpu&{query}");
        let answer = http(address, "GET", &path, "", &[]);
        // Pieces of a stream have their lengths between them.
        answer.body.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
    };
    let (known, unknown) = (r#"{"name":"cpu_seconds_total""#, r#"{"name":"cpu_temperature""#);
    let end = |has_more| format!(r#"{{"status":"success","has_more":{has_more}}}"#);
    let line = format!(r#"{{"results":[{known}}},{unknown}}}]}}"#);
    assert_eq!(search(""), [line, end(false)]);
    let metadata = r#""type":"counter","help":"Time spent.""#;
    let expected = [
        format!(r#"{{"results":[{known},"score":1,{metadata}}}]}}"#),
        format!(r#"{{"results":[{unknown},"score":1}}]}}"#),
        end(false),
    ];
    assert_eq!(search("include_metadata=true&include_score=1&batch_size=1"), expected);
    assert_eq!(search("limit=1&sort_by=alpha&sort_dir=dsc")[1], end(true));
}
