//! The client's side of both protocols.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::{array, text};

/// Sent behind the lines of a vector; its reply tells that the connection is still open.
const SENTINEL: &str = "is-this-the-end";

/// An HTTP answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u64,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends the request of a vector.
pub(super) fn http(address: SocketAddr, request: &Value) -> Answer {
    let mut body = match &request["body"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    };
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
        request["method"].as_str().unwrap_or("GET"),
        text(request, "uri")
    );
    if let Some(headers) = request["headers"].as_object() {
        for (name, value) in headers {
            head += &format!("{name}: {}\r\n", value.as_str().unwrap());
        }
    }
    if request["gzip"] == json!(true) {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut encoder = encoder;
        encoder.write_all(body.as_deref().unwrap_or_default()).unwrap();
        body = Some(encoder.finish().unwrap());
        head += "Content-Encoding: gzip\r\n";
    }
    let body = body.unwrap_or_default();
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = connect(address);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let answer = String::from_utf8(bytes).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Answer {
        status: status.parse().unwrap_or_default(),
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

/// Sends lines; what came back, and whether the server closed the connection.
pub(super) fn telnet(address: SocketAddr, lines: &[&str]) -> (String, bool) {
    let mut stream = connect(address);
    let sent: String = lines.iter().chain([&SENTINEL]).map(|line| format!("{line}\n")).collect();
    stream.write_all(sent.as_bytes()).unwrap();
    let last = format!("unknown command: {SENTINEL}.  Try `help'.\n");
    let mut reply = Vec::new();
    let mut part = [0; 4096];
    while !reply.ends_with(last.as_bytes()) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return (String::from_utf8_lossy(&reply).into_owned(), true),
            Ok(count) => reply.extend_from_slice(&part[..count]),
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    reply.truncate(reply.len() - last.len());
    (String::from_utf8_lossy(&reply).into_owned(), false)
}

/// Writes a dataset as the vectors' own runner does.
pub(super) fn load(address: SocketAddr, dataset: &Value) {
    for series in array(dataset, "series") {
        let (metric, tags) = (&series["metric"], &series["tags"]);
        for points in array(series, "points").chunks(2000) {
            let points = points.iter().map(|point| {
                json!({"metric": metric, "timestamp": point[0], "value": point[1], "tags": tags})
            });
            put(address, points.collect());
        }
    }
}

fn put(address: SocketAddr, points: Vec<Value>) {
    let request = json!({"method": "POST", "uri": "/api/put?details", "body": points});
    let answer = http(address, &request);
    assert_eq!(answer.status, 200, "{}", answer.body);
}
