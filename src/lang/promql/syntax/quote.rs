//! Quoted texts: reading Go's escapes, and quoting as Go's `%q` does.

/// `text` in double quotes with Go's escapes.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        push_escaped(&mut out, character, '"');
    }
    out.push('"');
    out
}

/// `character` in single quotes with Go's escapes.
pub(crate) fn quoted_char(character: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, character, '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, character: char, quote: char) {
    match character {
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if bad_byte(c).is_some() => {
            out.push_str(&format!("\\x{:02x}", bad_byte(c).unwrap_or_default()));
        }
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            out.push_str(&format!("\\x{:02x}", c as u32));
        }
        c if is_unprintable(c) && (c as u32) < 0x1_0000 => {
            out.push_str(&format!("\\u{:04x}", c as u32));
        }
        c if is_unprintable(c) => out.push_str(&format!("\\U{:08x}", c as u32)),
        c => out.push(c),
    }
}

/// Beyond ASCII: controls, separators and the code points without a shape. Go has a table of its own;
/// what differs is how a rare character shows in a message.
fn is_unprintable(character: char) -> bool {
    !character.is_ascii()
        && (character.is_control()
            || character.is_whitespace()
            || matches!(character as u32,
                0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
                | 0xe000..=0xf8ff | 0xf_0000..=0x10_ffff))
}

/// The text inside a quoted token, escapes resolved; `None` when the token is not well-formed.
/// Bytes that are no UTF-8 (`"\xff"`) become characters that stand for them.
pub fn unquoted(token: &str) -> Option<String> {
    let quote = token.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let inner = token.get(1..token.len().checked_sub(1)?)?;
    if token.len() < 2 || !token.ends_with(quote) {
        return None;
    }
    if quote == '`' {
        return (!inner.contains('`')).then(|| inner.to_owned());
    }
    if !inner.contains(['\\', '\n', quote]) {
        return Some(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        match character {
            '\n' => return None,
            c if c == quote => return None,
            '\\' => unescape(&mut rest, quote, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|error| with_bad_bytes(error.as_bytes())))
}

/// Characters of private use that stand for the bytes 0x80 … 0xff where they were no UTF-8: a text
/// with one of them equals no stored one, and messages show the byte.
const BAD_BYTES: u32 = 0x10_fe00;

fn with_bad_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        let stand_in = |byte: &u8| char::from_u32(BAD_BYTES + u32::from(*byte));
        out.extend(chunk.invalid().iter().filter_map(stand_in));
    }
    out
}

/// The byte that a character stands for.
fn bad_byte(character: char) -> Option<u8> {
    let byte = u8::try_from((character as u32).checked_sub(BAD_BYTES)?).ok()?;
    (byte >= 0x80).then_some(byte)
}

/// A text as answers show it, where a byte that is no UTF-8 is U+FFFD.
pub fn presentable(text: &str) -> String {
    text.chars().map(|character| bad_byte(character).map_or(character, |_| '\u{fffd}')).collect()
}

/// True when a text was no UTF-8.
pub(crate) fn has_bad_bytes(text: &str) -> bool {
    text.chars().any(|character| bad_byte(character).is_some())
}

/// Resolves one escape; the backslash is consumed.
fn unescape(rest: &mut std::str::Chars<'_>, quote: char, out: &mut Vec<u8>) -> Option<()> {
    let first = rest.next()?;
    let simple = match first {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        '\\' => Some(b'\\'),
        c if c == quote => Some(c as u8),
        _ => None,
    };
    if let Some(byte) = simple {
        out.push(byte);
        return Some(());
    }
    let (digits, base, head) = match first {
        'x' => (2, 16, None),
        'u' => (4, 16, None),
        'U' => (8, 16, None),
        '0'..='7' => (2, 8, first.to_digit(8)),
        _ => return None,
    };
    let mut value = head.unwrap_or(0);
    for _ in 0..digits {
        value = value.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?)?;
    }
    if matches!(first, 'u' | 'U') {
        out.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(value).ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go() {
        for (text, expected) in [
            ("a", "\"a\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("\n\t\u{1}\u{7f}", "\"\\n\\t\\x01\\x7f\""),
            ("ü\u{200b}", "\"ü\\u200b\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(quoted_char('\''), "'\\''");
    }

    #[test]
    fn reads_go_escapes() {
        for (token, expected) in [
            (r#""a\"b""#, Some("a\"b")),
            (r#"'\''"#, Some("'")),
            (r#""\'""#, None),
            (r"`\d`", Some("\\d")),
            (r#""\x41\101\u00e4\U0001F600""#, Some("AAä😀")),
            (r#""\xff""#, Some("\u{10feff}")),
            (r#""\400""#, None),
            (r#""\ud800""#, None),
            ("\"\n\"", None),
            ("\"", None),
            ("", None),
            ("ä", None),
        ] {
            assert_eq!(unquoted(token).as_deref(), expected, "{token}");
        }
    }
}
