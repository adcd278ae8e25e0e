//! Regular expressions of Go's RE2 into the syntax of the `regex` crate.
//!
//! Where both read the same text differently, the meaning is Go's: classes such as `\d` and `\w` are
//! ASCII, `{` that starts no repetition is a brace, `[a&&b]` is a class of three, `.` matches a
//! newline, repetitions do not stack. What only Go reads (`\Q…\E`, octal escapes) is spelled out; what
//! only the crate reads is refused in Go's words. Shared by matchers, `label_replace` and relabelling.

use model::{Pattern, PatternError, ValueTest};

/// Largest count of a repetition.
const REPEAT_MAX: u32 = 1000;

/// The compiled pattern of a Go expression. The error reads as Prometheus words it.
pub fn pattern(expression: &str) -> Result<Pattern, String> {
    let translated = translate(expression)?;
    Pattern::new(&translated)
        .map_err(|error: PatternError| format!("error parsing regexp: {}", reason(&error.reason)))
}

fn reason(text: &str) -> &str {
    text.strip_prefix("error: ").unwrap_or(text).trim()
}

/// The cheapest test that a pattern amounts to: a text, a list of texts, or the pattern itself.
pub fn value_test(pattern: &Pattern) -> ValueTest {
    match pattern.texts() {
        Some([text]) => ValueTest::Equal(text.clone()),
        // The empty text stands for a missing label, which a list cannot name.
        Some(texts) if texts.first().is_some_and(|first| !first.is_empty()) => {
            ValueTest::OneOf(texts.to_vec())
        }
        _ => ValueTest::Regex(pattern.apart()),
    }
}

/// `expression` in the syntax of the `regex` crate, unanchored.
pub fn translate(expression: &str) -> Result<String, String> {
    let mut translator = Translator { rest: expression, out: String::new(), repeated: None };
    while translator.step()? {}
    Ok(translator.out)
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    /// The repetition that ends right here, if one does.
    repeated: Option<&'a str>,
}

impl<'a> Translator<'a> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
        Some(character)
    }

    fn eat(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Translates the next item; `false` at the end.
    fn step(&mut self) -> Result<bool, String> {
        let before = self.rest;
        let Some(character) = self.next() else { return Ok(false) };
        let previous = self.repeated.take();
        match character {
            '\\' => self.escape(before)?,
            '[' => self.class(before)?,
            '(' => self.group(before)?,
            '*' | '+' | '?' => {
                self.out.push(character);
                self.repetition(before, previous)?;
            }
            '{' => match repeat_counts(before) {
                Some((length, least, most)) => {
                    let counts = before.get(..length).unwrap_or_default();
                    if least > REPEAT_MAX || most.is_some_and(|m| m > REPEAT_MAX || m < least) {
                        return Err(fault("invalid repeat count", counts));
                    }
                    self.rest = before.get(length..).unwrap_or_default();
                    self.out.push_str(counts);
                    self.repetition(before, previous)?;
                }
                None => self.out.push_str("\\{"),
            },
            '}' => self.out.push_str("\\}"),
            ']' => self.out.push_str("\\]"),
            '.' | '|' | ')' | '^' | '$' => self.out.push(character),
            other => push_literal(&mut self.out, other),
        }
        Ok(true)
    }

    /// Behind a repetition: a `?` makes it lazy; another repetition is refused.
    fn repetition(&mut self, before: &'a str, previous: Option<&'a str>) -> Result<(), String> {
        if self.eat("?") {
            self.out.push('?');
        }
        if let Some(previous) = previous {
            let length = previous.len() - self.rest.len();
            let both = previous.get(..length).unwrap_or_default();
            return Err(fault("invalid nested repetition operator", both));
        }
        self.repeated = Some(before);
        Ok(())
    }

    /// An escape outside of a class; the backslash is consumed and `before` starts with it.
    fn escape(&mut self, before: &'a str) -> Result<(), String> {
        if self.eat("Q") {
            let (literal, rest) = match self.rest.split_once("\\E") {
                Some(parts) => parts,
                None => (self.rest, ""),
            };
            literal.chars().for_each(|character| push_literal(&mut self.out, character));
            self.rest = rest;
            return Ok(());
        }
        for (name, translated) in [("A", "\\A"), ("z", "\\z"), ("b", "(?-u:\\b)"), ("B", "\\B")] {
            if self.eat(name) {
                self.out.push_str(translated);
                return Ok(());
            }
        }
        if let Some(set) = self.perl_class(false) {
            self.out.push_str(set);
            return Ok(());
        }
        if self.property(before)? {
            return Ok(());
        }
        let character = self.character_escape(before)?;
        push_literal(&mut self.out, character);
        Ok(())
    }

    /// `\d` and its kin as ASCII sets.
    fn perl_class(&mut self, inside: bool) -> Option<&'static str> {
        const CLASSES: [(&str, &str, &str); 6] = [
            ("d", "[0-9]", "0-9"),
            ("D", "[^0-9]", "[^0-9]"),
            ("s", "[\\t\\n\\x0C\\r\\x20]", "\\t\\n\\x0C\\r\\x20"),
            ("S", "[^\\t\\n\\x0C\\r\\x20]", "[^\\t\\n\\x0C\\r\\x20]"),
            ("w", "[0-9A-Za-z_]", "0-9A-Za-z_"),
            ("W", "[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        ];
        let (_, outer, inner) = CLASSES.iter().find(|(name, ..)| self.eat(name))?;
        Some(if inside { inner } else { outer })
    }

    /// `\pN`, `\p{Greek}` and their negations, which both read alike.
    fn property(&mut self, before: &'a str) -> Result<bool, String> {
        if !(self.eat("p") || self.eat("P")) {
            return Ok(false);
        }
        if self.rest.starts_with('{') {
            let Some((_, rest)) = self.rest.split_once('}') else {
                return Err(fault("invalid character class range", before));
            };
            self.rest = rest;
        } else if self.next().is_none() {
            return Err(fault("invalid character class range", before));
        }
        let length = before.len() - self.rest.len();
        self.out.push_str(before.get(..length).unwrap_or_default());
        Ok(true)
    }

    /// The character that an escape stands for; the backslash is consumed.
    fn character_escape(&mut self, before: &'a str) -> Result<char, String> {
        let invalid = |rest: &str| {
            let length = before.len() - rest.len();
            fault("invalid escape sequence", before.get(..length).unwrap_or_default())
        };
        let Some(first) = self.next() else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
        };
        Ok(match first {
            'a' => '\u{7}',
            'f' => '\u{c}',
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'v' => '\u{b}',
            'x' => self.hex_escape().ok_or_else(|| invalid(self.rest))?,
            '0'..='7' if first == '0' || self.rest.starts_with(|c| ('0'..='7').contains(&c)) => {
                let mut value = first.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    value = value * 8 + digit;
                    self.next();
                }
                char::from_u32(value).ok_or_else(|| invalid(self.rest))?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(invalid(self.rest)),
        })
    }

    fn hex_escape(&mut self) -> Option<char> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let digits = self.rest.get(..2)?;
            self.rest = self.rest.get(2..)?;
            digits
        };
        let is_hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex { char::from_u32(u32::from_str_radix(digits, 16).ok()?) } else { None }
    }

    /// A group; the parenthesis is consumed and `before` starts with it.
    fn group(&mut self, before: &'a str) -> Result<(), String> {
        self.out.push('(');
        if !self.rest.starts_with('?') {
            return Ok(());
        }
        for name in ["?P<", "?<"] {
            if self.eat(name) {
                let Some((label, rest)) = self.rest.split_once('>') else {
                    return Err(fault("invalid named capture", before));
                };
                let is_word = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
                if label.is_empty() || !label.bytes().all(is_word) {
                    let length = before.len() - rest.len();
                    let whole = before.get(..length).unwrap_or_default();
                    return Err(fault("invalid named capture", whole));
                }
                self.out.push_str("?P<");
                self.out.push_str(label);
                self.out.push('>');
                self.rest = rest;
                return Ok(());
            }
        }
        let end = self.rest.find([':', ')']).unwrap_or(self.rest.len());
        let flags = self.rest.get(1..end).unwrap_or_default();
        let shown = before.get(..(end + 2).min(before.len())).unwrap_or(before);
        let minus_count = flags.matches('-').count();
        let is_known = flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
        let closed = self.rest.get(end..).is_some_and(|rest| !rest.is_empty());
        let is_empty_set =
            flags.is_empty() && self.rest.get(end..).is_some_and(|r| r.starts_with(')'));
        if !closed {
            return Err(fault("missing argument to repetition operator", "?"));
        }
        if !is_known || minus_count > 1 || flags.ends_with('-') || is_empty_set {
            return Err(fault("invalid or unsupported Perl syntax", shown));
        }
        self.out.push('?');
        self.out.push_str(flags);
        self.rest = self.rest.get(end..).unwrap_or_default();
        if self.eat(":") {
            self.out.push(':');
        }
        Ok(())
    }

    /// A class; the bracket is consumed and `before` starts with it.
    fn class(&mut self, before: &'a str) -> Result<(), String> {
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            if self.rest.is_empty() {
                return Err(fault("missing closing ]", before));
            }
            if !is_first && self.eat("]") {
                break;
            }
            is_first = false;
            self.class_item(before)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn class_item(&mut self, class: &'a str) -> Result<(), String> {
        let before = self.rest;
        if before.starts_with("[:")
            && let Some(end) = before.find(":]")
        {
            let name = before.get(..end + 2).unwrap_or_default();
            if !is_posix_class(name.trim_matches(['[', ':', ']', '^'])) {
                return Err(fault("invalid character class range", name));
            }
            self.out.push_str(name);
            self.rest = before.get(end + 2..).unwrap_or_default();
            return Ok(());
        }
        if self.eat("\\") {
            if let Some(set) = self.perl_class(true) {
                self.out.push_str(set);
                return Ok(());
            }
            if self.property(before)? {
                return Ok(());
            }
            self.rest = before;
        }
        let low = self.class_character(class)?;
        let mut high = low;
        let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
        if is_range && self.rest.len() > 1 {
            self.eat("-");
            high = self.class_character(class)?;
            if high < low {
                let length = before.len() - self.rest.len();
                let range = before.get(..length).unwrap_or_default();
                return Err(fault("invalid character class range", range));
            }
        }
        push_class_literal(&mut self.out, low);
        if high != low {
            self.out.push('-');
            push_class_literal(&mut self.out, high);
        }
        Ok(())
    }

    fn class_character(&mut self, class: &'a str) -> Result<char, String> {
        let before = self.rest;
        match self.next() {
            Some('\\') => self.character_escape(before),
            Some(character) => Ok(character),
            None => Err(fault("missing closing ]", class)),
        }
    }
}

/// The ASCII classes that may stand as `[:name:]`.
fn is_posix_class(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    NAMES.contains(&name)
}

fn fault(what: &str, expression: &str) -> String {
    format!("error parsing regexp: {what}: `{expression}`")
}

/// Length and counts of the repetition `{n}`, `{n,}` or `{n,m}` at the start of `text`.
fn repeat_counts(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let end = text.find('}')?;
    let inner = text.get(1..end)?;
    let (least, most) = match inner.split_once(',') {
        None => (inner, None),
        Some((least, most)) => (least, Some(most)),
    };
    let number = |digits: &str| -> Option<u32> {
        let well_formed = !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'));
        // A number beyond 32 bits is still a repetition, only too large a one.
        well_formed.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let least = number(least)?;
    match most {
        None => Some((end + 1, least, Some(least))),
        Some("") => Some((end + 1, least, None)),
        Some(most) => Some((end + 1, least, Some(number(most)?))),
    }
}

fn push_literal(out: &mut String, character: char) {
    if matches!(
        character,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '#'
    ) {
        out.push('\\');
    }
    out.push(character);
}

fn push_class_literal(out: &mut String, character: char) {
    if character.is_ascii() && !character.is_ascii_alphanumeric() {
        out.push_str(&format!("\\x{:02X}", character as u32));
    } else {
        out.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's `^(?s:expression)$` answers, checked by hand against its documentation.
    #[test]
    fn matches_as_go_does() {
        for (expression, value, expected) in [
            ("a.b", "a\nb", true),
            ("a{,3}", "a{,3}", true),
            ("a{,3}", "aa", false),
            ("a{2}", "aa", true),
            ("a{2,}", "aaa", true),
            ("x{", "x{", true),
            ("[a&&b]", "&", true),
            ("[a&&b]", "a", true),
            ("[+--]", ",", true),
            ("[[a]", "[", true),
            ("[]a]", "]", true),
            ("[^]a]", "b", true),
            ("[a-]", "-", true),
            ("\\d+", "12", true),
            ("\\d", "٣", false),
            ("\\w", "ä", false),
            ("[\\w-]+", "a-b", true),
            ("\\W", "ä", true),
            ("[^\\d]", "a", true),
            ("[\\D]", "1", false),
            ("\\s", "\u{b}", false),
            ("\\s", "\t", true),
            ("\\Qa.b\\E+", "a.b", true),
            ("\\Qa.b\\E", "axb", false),
            ("\\Q[", "[", true),
            ("\\101", "A", true),
            ("\\x41\\x{42}", "AB", true),
            ("\\_\\<", "_<", true),
            ("a#b c", "a#b c", true),
            ("(?i)ABC", "abc", true),
            ("(?P<n>a)(?<m>b)(?:c)", "abc", true),
            ("[[:alpha:]]+", "ab", true),
            ("\\pL", "ä", true),
            ("\\p{Greek}", "α", true),
            ("a|b", "b", true),
            ("^a$", "a", true),
            ("\\Aa\\z", "a", true),
            ("(?-s)a.b", "a\nb", false),
            ("a*?b+?c??", "aabbc", true),
        ] {
            let pattern = pattern(expression).unwrap();
            assert_eq!(pattern.is_match(value), expected, "{expression} on {value:?}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for (expression, message) in [
            ("a**", "invalid nested repetition operator: `**`"),
            ("a+?*", "invalid nested repetition operator: `+?*`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("x{1001}", "invalid repeat count: `{1001}`"),
            ("x{2,1}", "invalid repeat count: `{2,1}`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x)`"),
            ("(?R)", "invalid or unsupported Perl syntax: `(?R)`"),
            ("\\C", "invalid escape sequence: `\\C`"),
            ("\\8", "invalid escape sequence: `\\8`"),
            ("\\1", "invalid escape sequence: `\\1`"),
            ("[a", "missing closing ]: `[a`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("[a--b]", "invalid character class range: `a--`"),
            ("[[:nope:]]", "invalid character class range: `[:nope:]`"),
            ("\\", "trailing backslash at end of expression: ``"),
        ] {
            let expected = format!("error parsing regexp: {message}");
            assert_eq!(pattern(expression).unwrap_err(), expected, "{expression}");
        }
        for expression in ["(", ")", "*a", "(?P<a", "\\p{Nope}", "(a{1000}){1000}"] {
            assert!(pattern(expression).is_err(), "{expression}");
        }
    }

    #[test]
    fn patterns_that_list_texts_become_texts() {
        let test = |text: &str| value_test(&pattern(text).unwrap());
        assert_eq!(test("abc"), ValueTest::Equal("abc".into()));
        assert_eq!(test(""), ValueTest::Equal(String::new()));
        assert_eq!(test("b|a|b"), ValueTest::OneOf(vec!["a".into(), "b".into()]));
        assert!(matches!(test("a|"), ValueTest::Regex(_)));
        assert!(matches!(test("a.c"), ValueTest::Regex(_)));
        assert!(matches!(test("(a|b)?"), ValueTest::Regex(_)));
        assert_eq!(test("(?i)a"), ValueTest::OneOf(vec!["A".into(), "a".into()]));
        assert_eq!(test("x(2|1)"), ValueTest::OneOf(vec!["x1".into(), "x2".into()]));
        assert_eq!(test("^a\\.b$"), ValueTest::Equal("a.b".into()));
    }

    #[test]
    fn random_texts_never_panic() {
        let mut rng = base::rng::Rng::new(7);
        let alphabet: Vec<char> = "ab\\[](){}*+?|^$.-,&:0123QEdwpPxé?P<>i".chars().collect();
        for _ in 0..3000 {
            let length = rng.below(14) as usize;
            let text: String =
                (0..length).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect();
            let _ = pattern(&text);
        }
    }
}
