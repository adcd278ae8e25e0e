//! A pull reader of JSON on borrowed text.
//!
//! It reads what the original reads: strict JSON, and the bare words `NaN`, `Infinity` and
//! `-Infinity` as numbers. Numbers keep their text, since their spelling decides what they are. Texts
//! without escapes are borrowed.

use std::borrow::Cow;

/// Nesting that is followed; deeper documents are refused, so that no stack overflows.
const DEPTH_MAX: usize = 64;

/// Where and why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {offset}")]
pub struct JsonError {
    /// What could have stood there.
    pub expected: &'static str,
    /// Where.
    pub offset: usize,
}

/// A value that is neither an array nor an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// `"…"`, unescaped.
    Text(Cow<'a, str>),
    /// As it is spelled.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Reads a document from its front.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Bytes that end the plain part of a text.
const ENDS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Length of the run of plain bytes at the front of `bytes`; `None` without an end of it. Eight bytes
/// a turn: in a word without borrows from lower bytes, the lowest marked byte is the first to end it.
#[inline]
fn plain_run(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = zeros(word ^ (ONES * u64::from(b'"')));
        let escape = zeros(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let ends = quote | escape | control;
        if ends != 0 {
            return Some(index * 8 + ends.trailing_zeros() as usize / 8);
        }
    }
    let done = words.len() * 8;
    let rest = bytes[done..].iter().position(|byte| ENDS_PLAIN[usize::from(*byte)])?;
    Some(done + rest)
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The text that is not read yet.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Reads over `bytes` bytes of [`Reader::rest`].
    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn error<T>(&self, expected: &'static str) -> Result<T, JsonError> {
        Err(JsonError { expected, offset: self.at })
    }

    /// The next byte that is no blank, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte` if it is the next one that is no blank.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte`, which must come next.
    #[inline]
    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { self.error(expected) }
    }

    /// The next member's key of an object whose `{` was taken; `None` behind its `}`. `first` is true
    /// until a member was read.
    #[inline]
    pub fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, JsonError> {
        if std::mem::take(first) {
            if self.take(b'}') {
                return Ok(None);
            }
        } else if !self.take(b',') {
            self.expect(b'}', "',' or '}'")?;
            return Ok(None);
        }
        let key = self.text()?;
        self.expect(b':', "':'")?;
        Ok(Some(key))
    }

    /// True before another item of an array whose `[` was taken; false behind its `]`.
    #[inline]
    pub fn item(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        if std::mem::take(first) {
            return Ok(!self.take(b']'));
        }
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(b']', "',' or ']'")?;
        Ok(false)
    }

    /// A text in quotes.
    #[inline]
    pub fn text(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.expect(b'"', "'\"'")?;
        let start = self.at;
        let bytes = &self.text.as_bytes()[start..];
        let Some(length) = plain_run(bytes) else {
            self.at = self.text.len();
            return self.error("'\"'");
        };
        self.at = start + length;
        if bytes[length] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..start + length]));
        }
        self.escaped_text(start).map(Cow::Owned)
    }

    #[cold]
    fn escaped_text(&mut self, start: usize) -> Result<String, JsonError> {
        let mut out = self.text[start..self.at].to_owned();
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.bytes().position(|byte| ENDS_PLAIN[usize::from(byte)]) else {
                return self.error("'\"'");
            };
            out.push_str(&rest[..length]);
            self.at += length;
            match rest.as_bytes()[length] {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return self.error("no control character"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(byte) = self.text.as_bytes().get(self.at) else {
            return self.error("an escape");
        };
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(*byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.error("an escape"),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `uXXXX` or a surrogate pair of two; a lone surrogate reads as the replacement character.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let high = self.four_digits()?;
        if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
            let before = self.at;
            self.at += 1;
            let low = self.four_digits()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at + 1..self.at + 5);
        let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|text| u32::from_str_radix(text, 16).ok()) {
            Some(code) => {
                self.at += 5;
                Ok(code)
            }
            None => self.error("four hexadecimal digits"),
        }
    }

    /// A value that is neither an array nor an object.
    #[inline]
    pub fn scalar(&mut self) -> Result<Scalar<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => self.text().map(Scalar::Text),
            Some(b'0'..=b'9' | b'-' | b'N' | b'I') => self.number().map(Scalar::Number),
            Some(b't') => self.word("true").map(|()| Scalar::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Scalar::Bool(false)),
            Some(b'n') => self.word("null").map(|()| Scalar::Null),
            _ => self.error("a text, a number, true, false or null"),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return self.error(word);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        if !bytes[start].is_ascii_digit() {
            for word in ["NaN", "Infinity", "-Infinity"] {
                if self.text[start..].starts_with(word) {
                    self.at += word.len();
                    return Ok(word);
                }
            }
        }
        self.at += usize::from(bytes[start] == b'-');
        let whole = self.at;
        self.digits()?;
        if bytes[whole] == b'0' && self.at > whole + 1 {
            self.at = whole;
            return self.error("no leading zero");
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    #[inline]
    fn digits(&mut self) -> Result<(), JsonError> {
        let bytes = &self.text.as_bytes()[self.at..];
        let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { self.error("a digit") } else { Ok(()) }
    }

    /// Reads over any value.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > DEPTH_MAX {
            return self.error("a document that is nested less deeply");
        }
        let mut first = true;
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                while self.key(&mut first)?.is_some() {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.at += 1;
                while self.item(&mut first)? {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            _ => self.scalar().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(text: &str) -> Result<Scalar<'_>, JsonError> {
        Reader::new(text).scalar()
    }

    #[test]
    fn scalars_read_back() {
        for (text, want) in [
            (r#" "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00" "#, "a\"\\/\u{8}\u{c}\n\r\té😀"),
            (r#""\ud800x""#, "\u{fffd}x"),
            (r#""日本""#, "日本"),
        ] {
            assert_eq!(scalar(text).unwrap(), Scalar::Text(want.into()), "{text}");
        }
        for text in ["0", "-0", "1.50", "1e5", "-1.5E-7", "NaN", "Infinity", "-Infinity"] {
            assert_eq!(scalar(text).unwrap(), Scalar::Number(text), "{text}");
        }
        assert_eq!(scalar("true").unwrap(), Scalar::Bool(true));
        assert_eq!(scalar("null").unwrap(), Scalar::Null);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "-",
            "1.",
            "1e",
            ".5",
            "+1",
            "tru",
            "01",
            "[",
            "{\"a\"}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "{a:1}",
        ] {
            assert!(Reader::new(text).skip().is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Reader::new(&deep).skip().unwrap_err().offset, DEPTH_MAX + 1);
    }

    #[test]
    fn any_text_is_survived() {
        let parts = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "d800", "a", "é", "1", "-", ".", "e",
            "null", "NaN", " ", "\n", "true", "Infinity",
        ];
        let mut rng = base::rng::Rng::new(3);
        for _ in 0..5_000 {
            let text: String =
                (0..rng.below(20)).map(|_| parts[rng.below(parts.len() as u64) as usize]).collect();
            let mut reader = Reader::new(&text);
            let ours = reader.skip().is_ok();
            let mut theirs = serde_json::Deserializer::from_str(&text).into_iter();
            let theirs = matches!(theirs.next(), Some(Ok::<serde::de::IgnoredAny, _>(_)));
            let bare = ["NaN", "Infinity", "d800"].iter().any(|word| text.contains(word));
            // serde wants a blank behind a bare scalar; we leave what follows to the caller.
            let opens = text.trim_start().starts_with(['{', '[', '"']);
            assert!(ours == theirs || bare || !opens, "{text:?}: {ours} {theirs}");
        }
    }
}
