//! Text into tokens, one at a time.
//!
//! The lexer knows three places, as Prometheus's does: statements, braces and brackets. Words inside
//! braces are names; inside brackets only numbers, durations, arithmetic and a few words may stand.
//! Errors carry the bytes and the wording of Prometheus 3.14.

use super::quote::quoted_char;
use super::token::{Kind, MatchOp, Operator, Token, Word};
use super::{SyntaxError, quote};

/// Reads tokens from a text.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    paren_depth: usize,
    brace_open: bool,
    bracket: Bracket,
}

/// Where in a range the lexer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    /// Not in a range.
    Closed,
    /// Before the first number.
    Opened,
    /// Behind a number.
    Filled,
    /// Behind the colon.
    Colon,
}

type Lexed = Result<Token, SyntaxError>;

impl<'a> Lexer<'a> {
    /// A lexer at the start of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, start: 0, paren_depth: 0, brace_open: false, bracket: Bracket::Closed }
    }

    /// The text read.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next_char(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn eat_any(&mut self, wanted: &str) -> bool {
        let found = self.peek().filter(|character| wanted.contains(*character));
        self.at += found.map_or(0, char::len_utf8);
        found.is_some()
    }

    fn eat_run(&mut self, wanted: &str) {
        while self.eat_any(wanted) {}
    }

    fn token(&self, kind: Kind) -> Lexed {
        Ok(Token { kind, start: self.start, end: self.at })
    }

    fn fail(&self, message: String) -> Lexed {
        Err(SyntaxError { message, start: self.start, end: self.text.len() })
    }

    /// The next token; behind the last one [`Kind::End`], again and again.
    pub(crate) fn next(&mut self) -> Lexed {
        self.skip_blanks();
        if self.brace_open {
            self.in_braces()
        } else if self.bracket != Bracket::Closed {
            self.in_brackets()
        } else {
            self.in_statement()
        }
    }

    /// True when the next character that is not blank is `(`.
    fn parenthesis_follows(&self) -> bool {
        self.text
            .get(self.at..)
            .is_some_and(|rest| rest.trim_start_matches(is_blank).starts_with('('))
    }

    fn skip_blanks(&mut self) {
        loop {
            while self.peek().is_some_and(is_blank) {
                self.at += 1;
            }
            if self.peek() != Some('#') || self.bracket == Bracket::Opened {
                break;
            }
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
        }
        self.start = self.at;
    }

    fn in_statement(&mut self) -> Lexed {
        let Some(character) = self.next_char() else {
            return if self.paren_depth > 0 {
                self.fail("unclosed left parenthesis".to_owned())
            } else {
                self.token(Kind::End)
            };
        };
        match character {
            ',' => self.token(Kind::Comma),
            '@' => self.token(Kind::At),
            '(' | ')' => self.parenthesis(character),
            '{' => {
                self.brace_open = true;
                self.token(Kind::LeftBrace)
            }
            '[' => {
                self.bracket = Bracket::Opened;
                self.token(Kind::LeftBracket)
            }
            ']' => self.fail("unexpected right bracket ']'".to_owned()),
            '"' | '\'' | '`' => self.quoted(character),
            '=' | '!' | '<' | '>' => self.comparison(character),
            '.' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                self.fail("unexpected character: '.'".to_owned())
            }
            '.' | '0'..='9' => self.number(),
            ':' | '_' | 'a'..='z' | 'A'..='Z' => self.word(),
            other => match arithmetic(other) {
                Some(operator) => self.token(Kind::Operator(operator)),
                None => self.fail(format!("unexpected character: {}", quoted_char(other))),
            },
        }
    }

    fn parenthesis(&mut self, character: char) -> Lexed {
        if character == '(' {
            self.paren_depth += 1;
            return self.token(Kind::LeftParen);
        }
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                self.token(Kind::RightParen)
            }
            None => {
                // The reference reports the place behind it.
                self.start = self.at;
                self.fail("unexpected right parenthesis ')'".to_owned())
            }
        }
    }

    fn comparison(&mut self, first: char) -> Lexed {
        let operator = match (first, self.peek()) {
            ('=', Some('=')) => Operator::Equal,
            ('=', Some('~')) => {
                return self.fail("unexpected character after '=': '~'".to_owned());
            }
            ('=', _) => return self.token(Kind::Match(MatchOp::Equal)),
            ('!', Some('=')) => Operator::NotEqual,
            ('!', next) => {
                let shown = next.map_or("'\\ufffd'".to_owned(), quoted_char);
                return self.fail(format!("unexpected character after '!': {shown}"));
            }
            ('<', Some('=')) => Operator::LessOrEqual,
            ('<', Some('/')) => Operator::TrimUpper,
            ('>', Some('=')) => Operator::GreaterOrEqual,
            ('>', Some('/')) => Operator::TrimLower,
            ('<', _) => return self.token(Kind::Operator(Operator::Less)),
            _ => return self.token(Kind::Operator(Operator::Greater)),
        };
        self.at += 1;
        self.token(Kind::Operator(operator))
    }

    fn word(&mut self) -> Lexed {
        while self.peek().is_some_and(|c| is_alphanumeric(c) || c == ':') {
            self.at += 1;
        }
        let own = self.text.get(self.start..self.at).unwrap_or_default();
        if own.eq_ignore_ascii_case("inf") || own.eq_ignore_ascii_case("nan") {
            return self.token(Kind::Number);
        }
        match Word::find(own) {
            // These three came late: they stay names unless a value follows.
            Some(Word::Fill | Word::FillLeft | Word::FillRight) if !self.parenthesis_follows() => {
                self.token(Kind::Identifier)
            }
            Some(word) => self.token(Kind::Word(word)),
            None if own.contains(':') => self.token(Kind::MetricIdentifier),
            None => self.token(Kind::Identifier),
        }
    }

    fn in_braces(&mut self) -> Lexed {
        let Some(character) = self.next_char() else {
            return self.fail("unexpected end of input inside braces".to_owned());
        };
        match character {
            ',' => self.token(Kind::Comma),
            '"' | '\'' | '`' => self.quoted(character),
            '_' | 'a'..='z' | 'A'..='Z' => {
                while self.peek().is_some_and(is_alphanumeric) {
                    self.at += 1;
                }
                self.token(Kind::Identifier)
            }
            '=' if self.eat('~') => self.token(Kind::Match(MatchOp::Regex)),
            '=' => self.token(Kind::Match(MatchOp::Equal)),
            '!' if self.eat('~') => self.token(Kind::Match(MatchOp::NotRegex)),
            '!' if self.eat('=') => self.token(Kind::Match(MatchOp::NotEqual)),
            '!' => {
                let shown = self.peek().map_or("'\\ufffd'".to_owned(), quoted_char);
                self.fail(format!("unexpected character after '!' inside braces: {shown}"))
            }
            '{' => self.fail("unexpected left brace '{'".to_owned()),
            '}' => {
                self.brace_open = false;
                self.token(Kind::RightBrace)
            }
            other => {
                self.fail(format!("unexpected character inside braces: {}", quoted_char(other)))
            }
        }
    }

    fn in_brackets(&mut self) -> Lexed {
        let opened = self.bracket == Bracket::Opened;
        let Some(character) = self.next_char() else {
            let message = match (opened, self.paren_depth) {
                (true, _) => "unexpected end of input in duration expression",
                (false, 0) => "unclosed left bracket",
                (false, _) => "unclosed left parenthesis",
            };
            return self.fail(message.to_owned());
        };
        match character {
            ']' => {
                self.bracket = Bracket::Closed;
                self.token(Kind::RightBracket)
            }
            ':' => self.colon(),
            ',' => self.token(Kind::Comma),
            '(' | ')' => self.parenthesis(character),
            '0'..='9' => self.number_in_brackets(),
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                self.number_in_brackets()
            }
            's' | 'S' | 'm' | 'M' | 'r' | 'R' => self.word_in_brackets(character),
            '[' if !opened => self.fail("unexpected left bracket '['".to_owned()),
            '{' if !opened => {
                self.brace_open = true;
                self.token(Kind::LeftBrace)
            }
            '"' | '\'' | '`' if !opened => self.quoted(character),
            '@' if !opened => self.token(Kind::At),
            '=' | '!' | '<' | '>' if !opened => self.comparison(character),
            other => match arithmetic(other) {
                Some(operator) => self.token(Kind::Operator(operator)),
                None => self.stranger_in_brackets(other),
            },
        }
    }

    fn number_in_brackets(&mut self) -> Lexed {
        if self.bracket == Bracket::Opened {
            self.bracket = Bracket::Filled;
        }
        self.number()
    }

    fn stranger_in_brackets(&self, character: char) -> Lexed {
        let shown = quoted_char(character);
        self.fail(if self.bracket == Bracket::Opened {
            format!("unexpected character in duration expression: {shown}")
        } else if is_alphanumeric(character) {
            format!("unexpected character: {shown}, expected ':'")
        } else {
            format!("unexpected character: {shown}")
        })
    }

    fn colon(&mut self) -> Lexed {
        match self.bracket {
            Bracket::Opened => {
                self.start = self.at;
                self.fail("unexpected colon before duration in duration expression".to_owned())
            }
            Bracket::Colon => self.fail("unexpected colon ':'".to_owned()),
            _ => {
                self.bracket = Bracket::Colon;
                self.token(Kind::Colon)
            }
        }
    }

    fn word_in_brackets(&mut self, first: char) -> Lexed {
        while self.peek().is_some_and(|c| c == '_' || c.is_ascii_alphabetic()) {
            self.at += 1;
        }
        let own = self.text.get(self.start..self.at).unwrap_or_default();
        let word = Word::find(own);
        match word {
            Some(Word::Step | Word::Range | Word::MinOf | Word::MaxOf) => {
                if self.bracket == Bracket::Opened {
                    self.bracket = Bracket::Filled;
                }
                let kind = word.map_or(Kind::Identifier, Kind::Word);
                self.token(kind)
            }
            _ => self.stranger_in_brackets(first),
        }
    }

    fn quoted(&mut self, quote: char) -> Lexed {
        loop {
            match self.next_char() {
                None if quote == '`' => return self.fail("unterminated raw string".to_owned()),
                None => return self.fail("unterminated quoted string".to_owned()),
                Some('\n') if quote != '`' => {
                    return self.fail("unterminated quoted string".to_owned());
                }
                Some(char::REPLACEMENT_CHARACTER) => {
                    return self.fail("invalid UTF-8 rune".to_owned());
                }
                Some('\\') if quote != '`' => self.escape(quote)?,
                Some(character) if character == quote => return self.token(Kind::Text),
                Some(_) => {}
            }
        }
    }

    /// Checks one escape; the backslash is consumed.
    fn escape(&mut self, quote: char) -> Result<(), SyntaxError> {
        let error =
            |message: String| SyntaxError { message, start: self.start, end: self.text.len() };
        let unended = || error("escape sequence not terminated".to_owned());
        let mut rest = self.text.get(self.at..).unwrap_or_default().chars();
        let first = rest.next().ok_or_else(unended)?;
        let (digits, base, mut value) = match first {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => (0, 8, 0),
            c if c == quote => (0, 8, 0),
            '0'..='7' => (2, 8, first.to_digit(8).unwrap_or(0)),
            'x' => (2, 16, 0),
            'u' => (4, 16, 0),
            'U' => (8, 16, 0),
            c => return Err(error(format!("unknown escape sequence {}", code_point(c)))),
        };
        for _ in 0..digits {
            let character = rest.next().ok_or_else(unended)?;
            let digit = character.to_digit(base).ok_or_else(|| {
                error(format!("illegal character {} in escape sequence", code_point(character)))
            })?;
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        let is_bad = match first {
            'u' | 'U' => char::from_u32(value).is_none(),
            _ => value > 255,
        };
        if is_bad {
            return Err(error("escape sequence is an invalid Unicode code point".to_owned()));
        }
        self.at = self.text.len() - rest.as_str().len();
        Ok(())
    }

    /// A number or a duration; the first character is consumed.
    fn number(&mut self) -> Lexed {
        self.at = self.start;
        if self.scan_number() {
            return self.token(Kind::Number);
        }
        if self.scan_duration() {
            return self.token(Kind::Duration);
        }
        let own = self.text.get(self.start..self.at).unwrap_or_default();
        self.fail(format!("bad number or duration syntax: {}", quote::quoted(own)))
    }

    fn scan_number(&mut self) -> bool {
        let is_hex = self.eat('0') && self.eat_any("xX");
        let digits = if is_hex { "0123456789abcdefABCDEF" } else { "0123456789" };
        if is_hex {
            self.eat('_');
        }
        self.eat('.');
        self.eat_any(digits);
        let (mut has_dot, mut has_exponent) = (false, false);
        loop {
            match self.peek() {
                Some('.') => {
                    self.at += 1;
                    if has_dot || self.eat_any("_.") || is_hex {
                        return false;
                    }
                    has_dot = true;
                }
                Some('e' | 'E') if !is_hex => {
                    self.at += 1;
                    if has_exponent {
                        return false;
                    }
                    has_exponent = true;
                    self.eat_any("+-");
                    if self.eat_any("._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                Some('_') => {
                    self.at += 1;
                    if self.eat_any("._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                Some(c) if digits.contains(c) => self.eat_run(digits),
                _ => break,
            }
        }
        self.at > self.start && !self.peek().is_some_and(is_alphanumeric)
    }

    /// The rest of a duration whose first number was read.
    fn scan_duration(&mut self) -> bool {
        if !self.eat_any("smhdwy") {
            return false;
        }
        self.eat('s');
        while self.eat_any("0123456789") {
            self.eat_run("0123456789");
            if !self.eat_any("smhdw") {
                return false;
            }
            self.eat('s');
        }
        let stranger = self.peek().filter(|character| is_alphanumeric(*character));
        // The reference has read the offending character when it reports the text.
        self.at += stranger.map_or(0, char::len_utf8);
        stranger.is_none()
    }
}

fn arithmetic(character: char) -> Option<Operator> {
    Some(match character {
        '+' => Operator::Add,
        '-' => Operator::Subtract,
        '*' => Operator::Multiply,
        '/' => Operator::Divide,
        '%' => Operator::Modulo,
        '^' => Operator::Power,
        _ => return None,
    })
}

fn code_point(character: char) -> String {
    format!("U+{:04X} '{character}'", character as u32)
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || character.is_ascii_alphanumeric()
}
