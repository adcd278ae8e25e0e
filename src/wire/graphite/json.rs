//! JSON as Python prints it: `", "` and `": "` between items, texts in ASCII, whole floats with a
//! point. Dashboards compare parsed values; scripts compare the bytes.

use std::fmt::Write as _;

/// Appends a float in Python's spelling: the shortest digits that read back, `1.0`, `1e+21`, `1e-07`;
/// `inf`, `-inf`, `nan`.
pub fn push_float(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push_str(if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        });
        return;
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        // Rust writes all digits and no exponent; Debug adds `.0` to whole numbers.
        if magnitude.trunc() == magnitude {
            let _ = write!(out, "{value}.0");
        } else {
            let _ = write!(out, "{value}");
        }
        return;
    }
    let mut buffer = String::with_capacity(24);
    let _ = write!(buffer, "{value:e}");
    let (digits, exponent) = buffer.split_once('e').unwrap_or((&buffer, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
}

/// How texts and layout look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Two spaces of indentation.
    pub pretty: bool,
    /// Everything outside ASCII as `\uXXXX`.
    pub ascii: bool,
}

impl Style {
    /// What is written where the request says nothing.
    pub const PLAIN: Style = Style { pretty: false, ascii: true };
}

/// Writes one JSON document. The caller opens and closes in order.
#[derive(Clone, Debug)]
pub struct Writer {
    out: String,
    style: Style,
    /// For each open array or object: whether it has an item yet.
    open: Vec<bool>,
    /// A key was written and its value comes next.
    after_key: bool,
}

impl Writer {
    /// An empty document.
    pub fn new(style: Style) -> Self {
        Self { out: String::new(), style, open: Vec::new(), after_key: false }
    }

    /// The text so far.
    pub fn finish(self) -> String {
        self.out
    }

    fn before_item(&mut self) {
        if std::mem::take(&mut self.after_key) {
            return;
        }
        let Some(has_items) = self.open.last_mut() else {
            return;
        };
        let first = !std::mem::replace(has_items, true);
        if self.style.pretty {
            self.out.push_str(if first { "" } else { "," });
            self.new_line();
        } else if !first {
            self.out.push_str(", ");
        }
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.open.len() {
            self.out.push_str("  ");
        }
    }

    /// Opens an array `[` or an object `{`.
    pub fn begin(&mut self, bracket: char) {
        self.before_item();
        self.out.push(bracket);
        self.open.push(false);
    }

    /// Closes the innermost one with `]` or `}`.
    pub fn end(&mut self, bracket: char) {
        if self.open.pop() == Some(true) && self.style.pretty {
            self.new_line();
        }
        self.out.push(bracket);
    }

    /// The key of the next value.
    pub fn key(&mut self, key: &str) {
        self.text(key);
        self.out.push_str(": ");
        self.after_key = true;
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.before_item();
        push_text(&mut self.out, text, self.style.ascii);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.before_item();
        let _ = write!(self.out, "{value}");
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.before_item();
        self.out.push_str(if value { "true" } else { "false" });
    }

    /// A number or `null`; NaN is `null`, infinities are `1e9999` and `-1e9999`.
    pub fn number(&mut self, value: Option<f64>) {
        self.before_item();
        match value {
            None => self.out.push_str("null"),
            Some(value) if value.is_nan() => self.out.push_str("null"),
            Some(f64::INFINITY) => self.out.push_str("1e9999"),
            Some(f64::NEG_INFINITY) => self.out.push_str("-1e9999"),
            Some(value) => push_float(&mut self.out, value),
        }
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &str) {
        self.before_item();
        self.out.push_str(json);
    }

    /// An array of texts.
    pub fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        self.begin('[');
        for text in texts {
            self.text(text);
        }
        self.end(']');
    }
}

fn push_text(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(char),
            _ if !ascii && char >= ' ' => out.push(char),
            _ => {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_python() {
        let check = |value: f64, expected: &str| {
            let mut out = String::new();
            push_float(&mut out, value);
            assert_eq!(out, expected);
        };
        check(1.0, "1.0");
        check(-0.0, "-0.0");
        check(0.1, "0.1");
        check(123_456_789.125, "123456789.125");
        check(1e15, "1000000000000000.0");
        check(1e16, "1e+16");
        check(1.5e21, "1.5e+21");
        check(1e-4, "0.0001");
        check(1e-5, "1e-05");
        check(1.25e-107, "1.25e-107");
        check(f64::NAN, "nan");
        check(f64::NEG_INFINITY, "-inf");
    }

    #[test]
    fn documents_nest() {
        let write = |style| {
            let mut json = Writer::new(style);
            json.begin('{');
            json.key("a\u{e9}\u{1f600}");
            json.begin('[');
            json.number(Some(1.0));
            json.number(None);
            json.integer(3);
            json.end(']');
            json.key("e");
            json.begin('[');
            json.end(']');
            json.end('}');
            json.finish()
        };
        let plain = "{\"a\\u00e9\\ud83d\\ude00\": [1.0, null, 3], \"e\": []}";
        assert_eq!(write(Style::PLAIN), plain);
        let pretty = "{\n  \"aé😀\": [\n    1.0,\n    null,\n    3\n  ],\n  \"e\": []\n}";
        assert_eq!(write(Style { pretty: true, ascii: false }), pretty);
    }
}
