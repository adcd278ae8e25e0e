//! Bodies of answers as JSON values: JSON as Python reads it, pickles and MessagePack. The three
//! numbers that JSON has not are the texts `NaN`, `Infinity` and `-Infinity`, as in the recording.

use serde_json::{Map, Number, Value};

/// JSON in which `NaN`, `Infinity` and `1e9999` may stand bare, or a call around it.
pub(super) fn json(text: &str) -> Result<Value, String> {
    let text = text.trim().trim_end_matches(';');
    let text = text.strip_prefix("cb(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(text);
    let mut plain = String::with_capacity(text.len());
    // Every second piece between quotes stands inside a text.
    for (index, piece) in unescaped_quotes(text).into_iter().enumerate() {
        if index > 0 {
            plain.push('"');
        }
        if index % 2 == 1 {
            plain.push_str(piece);
            continue;
        }
        let infinite = piece.replace("1e9999", "Infinity").replace("-Infinity", "\u{1}");
        let named = infinite.replace("Infinity", "\"Infinity\"").replace("NaN", "\"NaN\"");
        plain.push_str(&named.replace('\u{1}', "\"-Infinity\""));
    }
    serde_json::from_str(&plain).map_err(|error| format!("{error}: {text}"))
}

/// Cuts at quotes that no backslash escapes.
fn unescaped_quotes(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}

fn float(value: f64) -> Value {
    let named = || match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    };
    Number::from_f64(value).map_or_else(|| named().into(), Value::Number)
}

/// A cursor over bytes; reading past the end panics, which fails the test.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> &'b [u8] {
        let (head, rest) = self.0.split_at(count);
        self.0 = rest;
        head
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// Big-endian.
    fn unsigned(&mut self, count: usize) -> u64 {
        self.take(count).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn signed(&mut self, count: usize) -> i64 {
        let unused = 64 - 8 * count as u32;
        (self.unsigned(count) << unused).cast_signed() >> unused
    }

    /// Little-endian.
    fn reversed(&mut self, count: usize) -> usize {
        let bytes = self.take(count).iter().rev();
        bytes.fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn float(&mut self) -> Value {
        float(f64::from_bits(self.unsigned(8)))
    }

    fn text(&mut self, count: usize) -> Value {
        String::from_utf8(self.take(count).to_vec()).unwrap().into()
    }
}

/// One MessagePack value.
pub(super) fn msgpack(body: &[u8]) -> Value {
    packed(&mut Bytes(body))
}

fn packed(bytes: &mut Bytes<'_>) -> Value {
    let kind = bytes.byte();
    let count = |mask: u8| usize::from(kind & mask);
    match kind {
        0..=0x7f => kind.into(),
        0x80..=0x8f => packed_map(bytes, count(15)),
        0x90..=0x9f => packed_list(bytes, count(15)),
        0xa0..=0xbf => bytes.text(count(31)),
        0xc0 => Value::Null,
        0xc2 | 0xc3 => (kind == 0xc3).into(),
        0xcb => bytes.float(),
        0xcc..=0xcf => bytes.unsigned(1 << (kind - 0xcc)).into(),
        0xd0..=0xd3 => bytes.signed(1 << (kind - 0xd0)).into(),
        0xd9..=0xdb => {
            let length = bytes.unsigned(1 << (kind - 0xd9)) as usize;
            bytes.text(length)
        }
        0xdc | 0xdd => {
            let length = bytes.unsigned(2 << (kind - 0xdc)) as usize;
            packed_list(bytes, length)
        }
        0xde | 0xdf => {
            let length = bytes.unsigned(2 << (kind - 0xde)) as usize;
            packed_map(bytes, length)
        }
        0xe0..=0xff => i64::from(kind.cast_signed()).into(),
        other => panic!("type {other:#x}"),
    }
}

fn packed_list(bytes: &mut Bytes<'_>, count: usize) -> Value {
    (0..count).map(|_| packed(bytes)).collect()
}

fn packed_map(bytes: &mut Bytes<'_>, count: usize) -> Value {
    let pair = |_| {
        let key = packed(bytes).as_str().unwrap().to_owned();
        (key, packed(bytes))
    };
    Value::Object((0..count).map(pair).collect::<Map<String, Value>>())
}

/// A pickle of lists, maps, texts and numbers. Classes become the list of what they were made from.
pub(super) fn pickle(body: &[u8]) -> Value {
    let (mut bytes, mut stack, mut marks) = (Bytes(body), Vec::<Value>::new(), Vec::new());
    let mut memo = std::collections::BTreeMap::new();
    loop {
        let opcode = bytes.byte();
        let value = match opcode {
            b'.' => return stack.pop().unwrap(),
            0x80 => {
                bytes.byte();
                continue;
            }
            // FRAME
            0x95 => {
                bytes.take(8);
                continue;
            }
            b'(' => {
                marks.push(stack.len());
                continue;
            }
            b']' | b')' => Value::Array(Vec::new()),
            b'}' => Value::Object(Map::new()),
            b'N' => Value::Null,
            0x88 | 0x89 => (opcode == 0x88).into(),
            b'K' => bytes.byte().into(),
            b'M' => bytes.reversed(2).into(),
            b'J' => (bytes.reversed(4) as u32).cast_signed().into(),
            0x8a => {
                let count = usize::from(bytes.byte());
                let number = bytes.take(count).iter().rev();
                number.fold(0_i64, |number, byte| number << 8 | i64::from(*byte)).into()
            }
            b'G' => bytes.float(),
            b'X' => {
                let length = bytes.reversed(4);
                bytes.text(length)
            }
            0x8c => {
                let length = usize::from(bytes.byte());
                bytes.text(length)
            }
            // GLOBAL: module and name end in line feeds.
            b'c' => {
                let lines = bytes.0.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let end = lines.map(|(at, _)| at).nth(1).unwrap();
                bytes.text(end + 1)
            }
            // MEMOIZE, BINPUT, LONG_BINPUT
            0x94 | b'q' | b'r' => {
                let index = match opcode {
                    0x94 => memo.len(),
                    b'q' => bytes.reversed(1),
                    _ => bytes.reversed(4),
                };
                memo.insert(index, stack.last().unwrap().clone());
                continue;
            }
            b'h' => memo[&bytes.reversed(1)].clone(),
            b'j' => memo[&bytes.reversed(4)].clone(),
            0x85..=0x87 => Value::Array(stack.split_off(stack.len() - usize::from(opcode - 0x84))),
            b't' => Value::Array(stack.split_off(marks.pop().unwrap())),
            // STACK_GLOBAL, REDUCE, NEWOBJ, BUILD: the last argument stands for all.
            0x93 | b'R' | 0x81 | b'b' => {
                let argument = stack.pop().unwrap();
                stack.pop();
                argument
            }
            b'a' | b'e' => {
                let from = if opcode == b'a' { stack.len() - 1 } else { marks.pop().unwrap() };
                let items = stack.split_off(from);
                stack.last_mut().unwrap().as_array_mut().unwrap().extend(items);
                continue;
            }
            b's' | b'u' => {
                let from = if opcode == b's' { stack.len() - 2 } else { marks.pop().unwrap() };
                let items = stack.split_off(from);
                let map = stack.last_mut().unwrap().as_object_mut().unwrap();
                for pair in items.chunks(2) {
                    map.insert(pair[0].as_str().unwrap().to_owned(), pair[1].clone());
                }
                continue;
            }
            other => panic!("opcode {other:#x}"),
        };
        stack.push(value);
    }
}
