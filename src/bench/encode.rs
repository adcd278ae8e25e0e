//! Samples in the words of each protocol.
//!
//! What never changes of a series (its labels in the protocol's spelling) is written once; a sample
//! adds time and value, so that the generator costs less than what it measures.

use std::fmt::Write as _;

use prost::encoding::{WireType, encode_key, encode_varint};

use super::Protocol;
use super::devops::Series;
use super::symbols::Requests;

/// Makes the bodies of one connection.
pub(super) struct Encoder {
    protocol: Protocol,
    requests: Requests,
}

impl Encoder {
    /// For one connection.
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, requests: Requests::default() }
    }

    /// The unchanging part of a series.
    pub(super) fn prefix(&mut self, series: &Series) -> Vec<u8> {
        let name = &series.labels[0].1;
        let tags = &series.labels[1..];
        match self.protocol {
            Protocol::RemoteWrite => remote_write_labels(&series.labels),
            Protocol::RemoteWrite2 => self.requests.prefix(series),
            Protocol::Carbon => {
                let host = &series.labels[3].1;
                format!("servers.{}.{host}.{name} ", series.labels[6].1).into_bytes()
            }
            Protocol::Pickle => {
                let host = &series.labels[3].1;
                let path = format!("servers.{}.{host}.{name}", series.labels[6].1);
                // BINUNICODE
                let length = u32::try_from(path.len()).unwrap_or_default().to_le_bytes();
                [b"X", &length[..], path.as_bytes()].concat()
            }
            Protocol::CarbonTagged => {
                let mut text = name.clone();
                for (name, value) in tags {
                    let _ = write!(text, ";{name}={value}");
                }
                text.push(' ');
                text.into_bytes()
            }
            // OpenTSDB allows eight tags by default: the last two stay at home.
            Protocol::Telnet => {
                let mut text = String::new();
                for (name, value) in &tags[..8] {
                    let _ = write!(text, " {name}={value}");
                }
                format!("put {name} |{text}\n").into_bytes()
            }
            Protocol::HttpPut => {
                let tags: Vec<String> =
                    tags[..8].iter().map(|(name, value)| format!("{name:?}:{value:?}")).collect();
                format!("{{\"metric\":{name:?},\"tags\":{{{}}},", tags.join(",")).into_bytes()
            }
        }
    }

    /// Adds one sample of the series with this prefix to the body that ends with
    /// [`Encoder::finish`].
    pub(super) fn sample(&mut self, prefix: &[u8], at_s: i64, value: f64, out: &mut Vec<u8>) {
        use std::io::Write as _;
        match self.protocol {
            Protocol::RemoteWrite2 => self.requests.sample(prefix, at_s, value),
            Protocol::RemoteWrite => {
                let mut sample = Vec::with_capacity(20);
                prost::encoding::double::encode(1, &value, &mut sample);
                prost::encoding::int64::encode(2, &(at_s * 1000), &mut sample);
                encode_key(1, WireType::LengthDelimited, out);
                encode_varint((prefix.len() + 2 + sample.len()) as u64, out);
                out.extend_from_slice(prefix);
                encode_key(2, WireType::LengthDelimited, out);
                encode_varint(sample.len() as u64, out);
                out.extend(sample);
            }
            Protocol::Carbon | Protocol::CarbonTagged => {
                out.extend_from_slice(prefix);
                let _ = writeln!(out, "{value} {at_s}");
            }
            Protocol::Pickle => {
                // `(path, (time, value))`, each thing remembered: LONG_BINPUT, BINFLOAT, TUPLE2.
                let memo = u32::try_from(out.len() / 16).unwrap_or_default();
                let remember = |out: &mut Vec<u8>, number: u32| {
                    out.push(b'r');
                    out.extend((memo + number).to_le_bytes());
                };
                out.extend_from_slice(prefix);
                remember(out, 0);
                for number in [at_s as f64, value] {
                    out.push(b'G');
                    out.extend(number.to_be_bytes());
                }
                for number in 1..3 {
                    out.push(0x86);
                    remember(out, number);
                }
            }
            Protocol::Telnet => {
                let split = prefix.iter().position(|byte| *byte == b'|').unwrap_or(prefix.len());
                out.extend_from_slice(&prefix[..split]);
                let _ = write!(out, "{at_s} {value}");
                out.extend_from_slice(prefix.get(split + 1..).unwrap_or_default());
            }
            Protocol::HttpPut => {
                out.push(if out.is_empty() { b'[' } else { b',' });
                out.extend_from_slice(prefix);
                let _ = write!(out, "\"timestamp\":{at_s},\"value\":{value}}}");
            }
        }
    }

    /// Makes a body whole.
    pub(super) fn finish(&mut self, body: &mut Vec<u8>) {
        match self.protocol {
            Protocol::RemoteWrite2 => self.requests.finish(body),
            Protocol::HttpPut => body.push(b']'),
            Protocol::Pickle => *body = frame(body),
            _ => {}
        }
    }
}

fn remote_write_labels(labels: &[(&str, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        prost::encoding::string::encode(1, &(*name).to_owned(), &mut label);
        prost::encoding::string::encode(2, value, &mut label);
        encode_key(1, WireType::LengthDelimited, &mut out);
        encode_varint(label.len() as u64, &mut out);
        out.extend(label);
    }
    out
}

/// A frame of samples: protocol 2, one list.
fn frame(samples: &[u8]) -> Vec<u8> {
    let body = [b"\x80\x02]q\x00(", samples, b"e."].concat();
    [&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes()[..], &body].concat()
}
