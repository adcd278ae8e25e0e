//! Texts and label sets. Answers of many series are mostly labels, so what needs no escape is copied
//! sixteen bytes at a time and looked at on the way; only what does is written byte by byte.

use std::ops::Range;

use base::codec::ByteReader;
use model::Labels;

/// Bytes copied at once: most names and values are shorter.
const CHUNK: usize = 16;

/// Appends `text` as a JSON string. Go escapes `<`, `>`, `&` only outside of results; equal JSON.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    out.resize(start + text.len() + CHUNK + 2, b'"');
    let is_plain = put_plain(&mut out[start + 1..], text.as_bytes(), 0..text.len());
    out.truncate(start + 1 + text.len());
    if is_plain {
        out.push(b'"');
    } else {
        out.truncate(start);
        write_escaped(out, text.as_bytes());
    }
}

/// Appends a label set as an object. Its text is taken for UTF-8, as which it was checked when it came.
pub fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    let start = out.len();
    if write_plain_labels(out, labels.as_packed()) {
        return;
    }
    out.truncate(start);
    out.push(b'{');
    for (index, (name, value)) in labels.view().pairs().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_escaped(out, name);
        out.push(b':');
        write_escaped(out, value);
    }
    out.push(b'}');
}

/// Appends a label set none of whose bytes needs an escape; false, with anything written, when one does.
fn write_plain_labels(out: &mut Vec<u8>, packed: &[u8]) -> bool {
    let mut end = out.len();
    // Two bytes of lengths at least become six around the texts.
    out.resize(end + packed.len() * 3 + CHUNK + 2, 0);
    end += put(&mut out[end..], b"{\"");
    let mut is_plain = true;
    let mut reader = ByteReader::new(packed);
    while reader.remaining() > 0 {
        let name = text_of(&mut reader);
        let value = text_of(&mut reader);
        if reader.failed() {
            break;
        }
        for (text, behind) in [(name, b"\":\""), (value, b"\",\"")] {
            let length = text.len();
            is_plain &= put_plain(&mut out[end..], packed, text);
            end += length;
            end += put(&mut out[end..], behind);
        }
    }
    // What is behind the last label, or in front of the first that there is not.
    let is_empty = out[end - 2] == b'{';
    end -= if is_empty { 1 } else { 2 };
    out.truncate(end);
    out.push(b'}');
    is_plain
}

/// Where the next text of a packed label set is.
#[inline]
fn text_of(reader: &mut ByteReader<'_>) -> Range<usize> {
    let length = reader.bytes().len();
    reader.position() - length..reader.position()
}

#[inline(always)]
fn put<const N: usize>(out: &mut [u8], text: &[u8; N]) -> usize {
    out[..N].copy_from_slice(text);
    N
}

/// Copies the `text` of `bytes` to the front of `out`, which has room for [`CHUNK`] bytes more; false when one
/// of its bytes needs an escape.
#[inline(always)]
fn put_plain(out: &mut [u8], bytes: &[u8], text: Range<usize>) -> bool {
    let (mut is_plain, mut from) = (true, text.start);
    for out in out.chunks_exact_mut(CHUNK).take(text.len().div_ceil(CHUNK)) {
        let mut chunk = [0; CHUNK];
        match bytes[from..].first_chunk() {
            Some(whole) => chunk = *whole,
            None => chunk[..bytes.len() - from].copy_from_slice(&bytes[from..]),
        }
        out.copy_from_slice(&chunk);
        is_plain &= is_plain_chunk(&chunk, text.end - from);
        from += CHUNK;
    }
    is_plain
}

/// True when none of the first `count` bytes needs an escape. A borrow marks bytes behind one that does, which
/// changes nothing.
#[inline(always)]
fn is_plain_chunk(chunk: &[u8; CHUNK], count: usize) -> bool {
    const ONES: u128 = u128::from_le_bytes([1; CHUNK]);
    const HIGH: u128 = ONES << 7;
    let below = |word: u128, least: u8| word.wrapping_sub(ONES * u128::from(least)) & !word & HIGH;
    let word = u128::from_le_bytes(*chunk);
    let quote = below(word ^ (ONES * u128::from(b'"')), 1);
    let escape = below(word ^ (ONES * u128::from(b'\\')), 1);
    let found = quote | escape | below(word, 0x20);
    found << (8 * CHUNK.saturating_sub(count)) == 0
}

/// Appends a JSON string, run by run of what needs no escape.
#[cold]
fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut clean_from = 0;
    for (index, byte) in text.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&text[clean_from..index]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        clean_from = index + 1;
    }
    out.extend_from_slice(&text[clean_from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;

    /// Mostly plain, of lengths around those that are copied at once, sometimes with what needs an escape.
    fn text(rng: &mut Rng) -> String {
        let length = [0, 1, 5, 15, 16, 17, 31, 32, 33, 200][rng.below(10) as usize];
        let odd = ['"', '\\', '\n', '\r', '\t', '\0', '\u{1f}'];
        let near = [' ', '!', '#', '[', ']', '\u{7f}', '\u{e9}', '\u{1f980}', '<', '&'];
        let one = |rng: &mut Rng, all: &[char]| all[rng.below(all.len() as u64) as usize];
        let mut text: Vec<char> =
            (0..length).map(|_| if rng.one_in(4) { one(rng, &near) } else { 'x' }).collect();
        if length > 0 && rng.one_in(3) {
            text[rng.below(length) as usize] = one(rng, &odd);
        }
        text.into_iter().collect()
    }

    #[test]
    fn texts_are_what_a_parser_reads_back() {
        let mut rng = Rng::new(11);
        for _ in 0..20_000 {
            let text = text(&mut rng);
            let mut out = b"before".to_vec();
            write_string(&mut out, &text);
            let (before, written) = out.split_at(6);
            assert_eq!(before, b"before");
            assert_eq!(serde_json::from_slice::<String>(written).unwrap(), text);
            let mut byte_by_byte = Vec::new();
            write_escaped(&mut byte_by_byte, text.as_bytes());
            assert_eq!(written, byte_by_byte);
        }
    }

    #[test]
    fn label_sets_are_what_a_parser_reads_back() {
        let mut rng = Rng::new(12);
        for round in 0..5_000 {
            let pairs: Vec<(String, String)> = (0..rng.below(9))
                .map(|number| (format!("{number}{}", text(&mut rng)), text(&mut rng)))
                .collect();
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let labels = Labels::from_pairs(pairs);
            let mut out = b"before".to_vec();
            write_labels(&mut out, &labels);
            let read: std::collections::BTreeMap<String, String> =
                serde_json::from_slice(&out[6..]).unwrap();
            let read = read.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            assert_eq!(Labels::from_pairs(read), labels, "round {round}");
            assert_eq!(&out[..6], b"before");
            assert_eq!(out.iter().filter(|byte| **byte == b'{').count(), 1);
        }
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let whole = Labels::from_pairs([("a", "1"), ("b", "2")]);
        let packed = whole.as_packed();
        for (length, expected) in
            [(8, r#"{"a":"1","b":"2"}"#), (7, r#"{"a":"1"}"#), (3, "{}"), (0, "{}")]
        {
            let mut out = Vec::new();
            write_labels(&mut out, &model::LabelsRef::from_packed(&packed[..length]).to_labels());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
