//! Bodies of remote write 2.0: every text once a request, series as numbers of texts.
//!
//! Texts are numbered once a connection, so that a sample costs a look into a list for each of its
//! texts and no hashing: the generator must cost less than what it measures.

use std::collections::HashMap;

use prost::encoding::{WireType, encode_key, encode_varint};

use super::devops::Series;

/// What metadata says of a counter.
const COUNTER: u32 = 1;
/// What metadata says of a gauge.
const GAUGE: u32 = 2;

/// The requests of one connection, one after the other.
#[derive(Default)]
pub(super) struct Requests {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    /// By number, the place of a text in the request that is being made; 0 = not in it.
    places: Vec<u32>,
    /// The numbers that are in it, by place less one: the empty text has the first place.
    used: Vec<u32>,
    series: Vec<u8>,
    refs: Vec<u8>,
}

impl Requests {
    /// The type of a series and the numbers of its texts: its help, then names and values in turn.
    pub(super) fn prefix(&mut self, series: &Series) -> Vec<u8> {
        let help = format!("What {} measures.", series.labels[0].1);
        let labels = series.labels.iter().flat_map(|(name, value)| [*name, value.as_str()]);
        let kind = if series.is_counter() { COUNTER } else { GAUGE };
        let texts = std::iter::once(help.as_str()).chain(labels);
        let numbers = texts.map(|text| self.number(text));
        std::iter::once(kind).chain(numbers).flat_map(u32::to_le_bytes).collect()
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.places.push(0);
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn place(&mut self, number: u32) -> u64 {
        let place = &mut self.places[number as usize];
        if *place == 0 {
            self.used.push(number);
            *place = self.used.len() as u32;
        }
        u64::from(*place)
    }

    /// Adds one sample of the series with this prefix to the request.
    pub(super) fn sample(&mut self, prefix: &[u8], at_s: i64, value: f64) {
        let mut numbers = prefix
            .chunks_exact(4)
            .map(|bytes| bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)));
        let kind = numbers.next().unwrap_or(GAUGE);
        let help = numbers.next().map_or(0, |number| self.place(number));
        let mut refs = std::mem::take(&mut self.refs);
        refs.clear();
        numbers.for_each(|number| encode_varint(self.place(number), &mut refs));
        let mut sample = Vec::with_capacity(20);
        prost::encoding::double::encode(1, &value, &mut sample);
        prost::encoding::int64::encode(2, &(at_s * 1000), &mut sample);
        let mut metadata = Vec::with_capacity(8);
        prost::encoding::uint64::encode(1, &u64::from(kind), &mut metadata);
        prost::encoding::uint64::encode(3, &help, &mut metadata);
        let parts = [(1, &refs), (2, &sample), (5, &metadata)];
        let length: usize = parts
            .iter()
            .map(|(_, part)| {
                1 + prost::encoding::encoded_len_varint(part.len() as u64) + part.len()
            })
            .sum();
        encode_key(5, WireType::LengthDelimited, &mut self.series);
        encode_varint(length as u64, &mut self.series);
        for (field, part) in parts {
            put_bytes(field, part, &mut self.series);
        }
        self.refs = refs;
    }

    /// Ends the request: its texts and series are appended to `out`.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        put_bytes(4, b"", out);
        for number in self.used.drain(..) {
            self.places[number as usize] = 0;
            put_bytes(4, self.texts[number as usize].as_bytes(), out);
        }
        out.append(&mut self.series);
    }
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(string, repeated, tag = "4")]
        symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        series: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        labels: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
        #[prost(message, optional, tag = "5")]
        metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Metadata {
        #[prost(int32, tag = "1")]
        kind: i32,
        #[prost(uint32, tag = "3")]
        help: u32,
    }

    #[test]
    fn every_request_is_complete_by_itself() {
        let mut rng = Rng::new(1);
        let all: Vec<Series> = (0..130).map(|number| Series::new(number, &mut rng)).collect();
        let mut requests = Requests::default();
        let prefixes: Vec<Vec<u8>> = all.iter().map(|one| requests.prefix(one)).collect();
        for wanted in [0..130, 99..130] {
            for number in wanted.clone() {
                requests.sample(&prefixes[number], 1_000, number as f64);
            }
            let mut body = Vec::new();
            requests.finish(&mut body);
            let request = Request::decode(&body[..]).unwrap();
            let text = |place: u32| request.symbols[place as usize].as_str();
            assert_eq!((text(0), request.series.len()), ("", wanted.len()));
            for (number, found) in wanted.zip(&request.series) {
                let labels: Vec<&str> = found.labels.iter().map(|place| text(*place)).collect();
                let expected = all[number].labels.iter().flat_map(|(name, value)| [*name, value]);
                assert_eq!(labels, expected.collect::<Vec<_>>());
                let sample = Sample { value: number as f64, timestamp: 1_000_000 };
                assert_eq!(found.samples, [sample]);
                let metadata = found.metadata.as_ref().unwrap();
                assert_eq!(metadata.kind == 1, all[number].is_counter());
                assert!(text(metadata.help).contains(labels[1]));
            }
        }
    }
}
