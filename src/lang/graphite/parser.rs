//! Text to syntax tree: the whole text, or an error with its position.
//!
//! ```text
//! expr  := (call | path) ('|' call)*
//! call  := ident '(' [ arg (',' arg)* (',' ident '=' arg)* ] ')'
//! arg   := bool | number | none | inf | string | expr
//! path  := element ('.' element)*      element := (char | '{' char+ (',' char+)* '}')+
//! ```
//!
//! Every choice is made by looking ahead, never by trying twice, so the work is linear in the text;
//! nesting is bounded, pipes included, so that no later walk can overflow a stack.

use base::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX};
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while, take_while1};
use nom::character::complete::{char, digit1, satisfy};
use nom::combinator::{not, opt, peek, recognize};
use nom::{IResult, Parser};

use super::ast::{Call, Expr, ExprKind};
use super::error::GraphiteError;

/// Where and why a rule did not match; `expected` is named by the rule that gave up.
#[derive(Clone, Debug, PartialEq)]
struct Failure<'a> {
    rest: &'a str,
    expected: &'static str,
    too_deep: bool,
}

impl<'a> nom::error::ParseError<&'a str> for Failure<'a> {
    fn from_error_kind(rest: &'a str, _: nom::error::ErrorKind) -> Self {
        Self { rest, expected: "a path or a function call", too_deep: false }
    }

    fn append(_: &'a str, _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

type Parsed<'a, T> = IResult<&'a str, T, Failure<'a>>;

/// Parses a target.
pub fn parse(text: &str) -> Result<Expr, GraphiteError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(GraphiteError::TooLong { got: text.len(), max: QUERY_BYTES_MAX });
    }
    let parser = TargetParser { length: text.len() };
    let at = |rest: &str, expected| GraphiteError::Syntax {
        position: text[..text.len() - rest.len()].chars().count(),
        expected,
    };
    match parser.expression(skip_blanks(text), 0) {
        Ok((rest, expression)) => match skip_blanks(rest) {
            "" => Ok(expression),
            rest => Err(at(rest, "the end of the target")),
        },
        Err(nom::Err::Error(failure) | nom::Err::Failure(failure)) if failure.too_deep => {
            Err(GraphiteError::TooDeep { max: QUERY_DEPTH_MAX })
        }
        Err(nom::Err::Error(failure) | nom::Err::Failure(failure)) => {
            Err(at(failure.rest, failure.expected))
        }
        Err(nom::Err::Incomplete(_)) => Err(at("", "more")),
    }
}

fn fail<'a, T>(rest: &'a str, expected: &'static str) -> Parsed<'a, T> {
    Err(nom::Err::Error(Failure { rest, expected, too_deep: false }))
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// `char` behind any white space.
fn token(expected: char) -> impl Fn(&str) -> Parsed<'_, char> {
    move |text| char(expected).parse(skip_blanks(text))
}

struct TargetParser {
    /// Bytes of the whole text, to turn what is left into a place.
    length: usize,
}

impl TargetParser {
    fn place(&self, rest: &str) -> usize {
        self.length - rest.len()
    }

    fn expression<'a>(&self, text: &'a str, depth: usize) -> Parsed<'a, Expr> {
        if depth > QUERY_DEPTH_MAX {
            let too_deep = Failure { rest: text, expected: "less nesting", too_deep: true };
            return Err(nom::Err::Failure(too_deep));
        }
        let start = self.place(text);
        let (mut rest, mut left) = match call_name(text) {
            Ok((arguments, name)) => self.call(arguments, name, start, depth)?,
            Err(_) => {
                let (rest, path) = path(text)?;
                let span = start..self.place(rest);
                (rest, Expr { kind: ExprKind::Path(path), span })
            }
        };
        let mut pipes = 0;
        while let Ok((behind, _)) = token('|')(rest) {
            pipes += 1;
            let Ok((arguments, name)) = call_name(skip_blanks(behind)) else {
                return fail(skip_blanks(behind), "a function call");
            };
            let (after, call) = self.call(arguments, name, start, depth + pipes)?;
            left = pipe(left, call);
            rest = after;
        }
        Ok((rest, left))
    }

    /// A call whose opening parenthesis was just taken.
    fn call<'a>(&self, text: &'a str, name: &str, start: usize, depth: usize) -> Parsed<'a, Expr> {
        if depth >= QUERY_DEPTH_MAX {
            let too_deep = Failure { rest: text, expected: "less nesting", too_deep: true };
            return Err(nom::Err::Failure(too_deep));
        }
        let mut call = Call {
            name: name.to_owned(),
            arguments: Vec::new(),
            keywords: Vec::new(),
            piped: false,
        };
        let mut rest = text;
        if let Ok((after, _)) = token(')')(rest) {
            let span = start..self.place(after);
            return Ok((after, Expr { kind: ExprKind::Call(call), span }));
        }
        loop {
            rest = skip_blanks(rest);
            match keyword(rest) {
                Ok((_, _)) if call.arguments.is_empty() => {
                    return fail(rest, "an argument without a name first");
                }
                Ok((value, keyword)) => {
                    let (after, value) = self.argument(skip_blanks(value), depth + 1)?;
                    call.keywords.push((keyword.to_owned(), value));
                    rest = after;
                }
                Err(_) if !call.keywords.is_empty() => {
                    return fail(rest, "a named argument");
                }
                Err(_) => {
                    let (after, value) = self.argument(rest, depth + 1)?;
                    call.arguments.push(value);
                    rest = after;
                }
            }
            if let Ok((after, _)) = token(',')(rest) {
                rest = after;
            } else if let Ok((after, _)) = token(')')(rest) {
                let kind = into_template(call);
                return Ok((after, Expr { kind, span: start..self.place(after) }));
            } else {
                return fail(skip_blanks(rest), "',' or ')'");
            }
        }
    }

    fn argument<'a>(&self, text: &'a str, depth: usize) -> Parsed<'a, Expr> {
        match literal(text) {
            Ok((rest, kind)) => Ok((rest, Expr { kind, span: self.place(text)..self.place(rest) })),
            Err(nom::Err::Failure(failure)) => Err(nom::Err::Failure(failure)),
            Err(_) => self.expression(text, depth),
        }
    }
}

/// The left side of a pipe becomes the first argument.
fn pipe(left: Expr, mut right: Expr) -> Expr {
    if let ExprKind::Call(call) = &mut right.kind {
        call.arguments.insert(0, left);
        call.piped = true;
    } else if let ExprKind::Template { .. } = &right.kind {
        // A template takes its body as written, not from a pipe.
        right.kind = match right.kind {
            ExprKind::Template { body, values, named } => {
                let arguments = [left, *body].into_iter().chain(values).collect();
                let name = "template".to_owned();
                ExprKind::Call(Call { name, arguments, keywords: named, piped: true })
            }
            other => other,
        };
    }
    right
}

/// `template(path or call, literals)` is a form of its own; anything else of that name is a call.
fn into_template(call: Call) -> ExprKind {
    let literal = |expr: &Expr| {
        matches!(expr.kind, ExprKind::Integer(_) | ExprKind::Float(..) | ExprKind::Text(_))
    };
    let body = |expr: &Expr| match &expr.kind {
        ExprKind::Path(_) => true,
        ExprKind::Call(call) => !call.piped,
        _ => false,
    };
    let fits = call.name == "template"
        && call.arguments.first().is_some_and(body)
        && call.arguments[1..].iter().all(literal)
        && call.keywords.iter().all(|(_, value)| literal(value))
        && (call.arguments.len() == 1 || call.keywords.is_empty());
    if !fits {
        return ExprKind::Call(call);
    }
    let mut arguments = call.arguments;
    let values = arguments.split_off(1);
    match arguments.pop() {
        Some(body) => ExprKind::Template { body: Box::new(body), values, named: call.keywords },
        None => ExprKind::None,
    }
}

fn identifier(text: &str) -> Parsed<'_, &str> {
    recognize((
        satisfy(|first| first.is_ascii_alphabetic() || first == '_'),
        take_while(|next: char| next.is_ascii_alphanumeric() || next == '_'),
    ))
    .parse(text)
}

/// `ident (`, up to and with the parenthesis.
fn call_name(text: &str) -> Parsed<'_, &str> {
    let (rest, name) = identifier(text)?;
    let (rest, _) = token('(')(rest)?;
    Ok((rest, name))
}

/// `ident =` with a value behind it.
fn keyword(text: &str) -> Parsed<'_, &str> {
    let (rest, name) = identifier(text)?;
    let (rest, _) = token('=')(rest)?;
    let (_, _) = not(peek(alt((token(','), token(')'))))).parse(rest)?;
    if skip_blanks(rest).is_empty() {
        return fail(rest, "a value");
    }
    Ok((rest, name))
}

fn literal(text: &str) -> Parsed<'_, ExprKind> {
    alt((boolean, number, word("none", ExprKind::None), word("inf", ExprKind::Infinity), quoted))
        .parse(text)
}

/// A whole word in any letter case.
fn word(expected: &'static str, kind: ExprKind) -> impl Fn(&str) -> Parsed<'_, ExprKind> {
    move |text| {
        let (rest, _) = tag_no_case(expected).parse(text)?;
        let follows = |next: char| next.is_ascii_alphanumeric() || next == '_' || next == '$';
        let (rest, _) = not(peek(satisfy(follows))).parse(rest)?;
        Ok((rest, kind.clone()))
    }
}

fn boolean(text: &str) -> Parsed<'_, ExprKind> {
    alt((word("true", ExprKind::Boolean(true)), word("false", ExprKind::Boolean(false))))
        .parse(text)
}

/// A number that is the whole argument; other spellings of numbers are paths.
fn number(text: &str) -> Parsed<'_, ExprKind> {
    let (rest, spelling) = recognize((
        opt(char('-')),
        digit1,
        opt((char('.'), digit1)),
        opt((alt((char('e'), char('E'))), opt(char('-')), digit1)),
    ))
    .parse(text)?;
    let behind = skip_blanks(rest);
    if !(behind.is_empty() || behind.starts_with([',', ')'])) {
        return fail(rest, "the end of the number");
    }
    let lower = spelling.to_ascii_lowercase();
    let kind = match spelling.parse() {
        Ok(integer) => ExprKind::Integer(integer),
        Err(_) => ExprKind::Float(spelling.parse().unwrap_or(f64::NAN), lower),
    };
    Ok((rest, kind))
}

/// A text in quotes. A backslash keeps the next character from ending it, and so does a doubled
/// quote; both stay in the text.
fn quoted(text: &str) -> Parsed<'_, ExprKind> {
    let (inside, quote) = alt((char('"'), char('\''))).parse(text)?;
    let mut chars = inside.char_indices().peekable();
    while let Some((index, next)) = chars.next() {
        match next {
            '\n' | '\r' => break,
            '\\' => {
                chars.next_if(|(_, escaped)| *escaped != '\n');
            }
            _ if next == quote && chars.next_if(|(_, next)| *next == quote).is_none() => {
                let kind = ExprKind::Text(inside[..index].to_owned());
                return Ok((&inside[index + 1..], kind));
            }
            _ => {}
        }
    }
    let failure = Failure { rest: text, expected: "a closing quote", too_deep: false };
    Err(nom::Err::Failure(failure))
}

/// Characters that need a backslash inside a path.
fn is_special(character: char) -> bool {
    matches!(character, '(' | ')' | '{' | '}' | ',' | '.' | '\'' | '"' | '\\' | '|')
}

fn is_path_char(character: char) -> bool {
    !is_special(character) && !character.is_whitespace() && !character.is_control()
}

/// A run of path characters and escapes, resolved.
fn path_chars(text: &str) -> Parsed<'_, String> {
    let escaped = |text| -> Parsed<'_, char> {
        let (rest, _) = tag("\\").parse(text)?;
        satisfy(|next| is_special(next) || next == '=').parse(rest)
    };
    let mut out = String::new();
    let mut rest = text;
    loop {
        if let Ok((after, run)) = take_while1::<_, _, Failure<'_>>(is_path_char).parse(rest) {
            out.push_str(run);
            rest = after;
        } else if let Ok((after, character)) = escaped(rest) {
            out.push(character);
            rest = after;
        } else if out.is_empty() {
            return fail(rest, "a path or a function call");
        } else {
            return Ok((rest, out));
        }
    }
}

/// `{a,b,…}`, one level.
fn braces(text: &str) -> Parsed<'_, String> {
    let (mut rest, _) = char('{').parse(text)?;
    let mut out = String::from("{");
    loop {
        let (after, choice) = path_chars(rest)?;
        out.push_str(&choice);
        match after.chars().next() {
            Some(',') => {
                out.push(',');
                rest = &after[1..];
            }
            Some('}') => {
                out.push('}');
                return Ok((&after[1..], out));
            }
            _ => return fail(after, "',' or '}'"),
        }
    }
}

fn path(text: &str) -> Parsed<'_, String> {
    let mut out = String::new();
    let mut rest = text;
    loop {
        let mut parts = 0;
        loop {
            let part = if rest.starts_with('{') { braces(rest) } else { path_chars(rest) };
            match part {
                Ok((after, part)) => {
                    out.push_str(&part);
                    rest = after;
                    parts += 1;
                }
                Err(error) if parts == 0 || rest.starts_with('{') => return Err(error),
                Err(_) => break,
            }
        }
        match rest.strip_prefix('.') {
            Some(after) => {
                out.push('.');
                rest = after;
            }
            None => return Ok((rest, out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A compact spelling of the tree.
    fn show(expr: &Expr) -> String {
        let list = |items: &[Expr], named: &[(String, Expr)]| {
            let items = items.iter().map(show);
            let named = named.iter().map(|(name, value)| format!("{name}={}", show(value)));
            items.chain(named).collect::<Vec<_>>().join(" ")
        };
        match &expr.kind {
            ExprKind::Path(path) => format!("<{path}>"),
            ExprKind::Call(call) => {
                format!("({} {})", call.name, list(&call.arguments, &call.keywords))
            }
            ExprKind::Template { body, values, named } => {
                format!("[{} {}]", show(body), list(values, named))
            }
            ExprKind::Integer(value) => format!("{value}"),
            ExprKind::Float(value, _) => format!("{value:?}"),
            ExprKind::Boolean(value) => format!("{value}"),
            ExprKind::None => "none".into(),
            ExprKind::Infinity => "inf".into(),
            ExprKind::Text(text) => format!("{text:?}"),
            ExprKind::Given(number) => format!("#{number}"),
        }
    }

    fn check(text: &str, expected: Result<&str, usize>) {
        let got = parse(text).map(|expr| show(&expr)).map_err(|error| match error {
            GraphiteError::Syntax { position, .. } => position,
            other => panic!("{text}: {other}"),
        });
        assert_eq!(got, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn targets_parse_whole_or_not_at_all() {
        check("a.*.{b*,c?}d.na\u{ef}ve", Ok("<a.*.{b*,c?}d.na\u{ef}ve>"));
        check("a;t=v;s=w ", Ok("<a;t=v;s=w>"));
        check("a.\\(b\\)", Ok("<a.(b)>"));
        check("f( a.b , 1, -1.5,1E3,\"x\",'y',true, NONE,inf )", {
            Ok("(f <a.b> 1 -1.5 1000.0 \"x\" \"y\" true none inf)")
        });
        check("f(+1,1e+3,1.2.3,trueish,-inf)", Ok("(f <+1> <1e+3> <1.2.3> <trueish> <-inf>)"));
        check("f(a,x=1,y=g(b))", Ok("(f <a> x=1 y=(g <b>))"));
        check("a | f(1)|g()", Ok("(g (f <a> 1))"));
        check("f(\"a\\\"b\",\"c\"\"d\")", Ok("(f \"a\\\\\\\"b\" \"c\\\"\\\"d\")"));
        check("template(a.$x,x=\"y\")", Ok("[<a.$x> x=\"y\"]"));
        check("template(f(a)|g(),x=1)", Ok("(template (g (f <a>)) x=1)"));
        check("template(a.$x,true)", Ok("(template <a.$x> true)"));
        for (text, position) in [
            ("", 0),
            (" ", 1),
            (".a", 0),
            ("a..b", 2),
            ("a b", 2),
            ("a.{b", 4),
            ("a.{b,}", 5),
            ("f(a", 3),
            ("f(a,,b)", 4),
            ("f(a,b,)", 6),
            ("f(x=1)", 2),
            ("f(a,x=1,2)", 8),
            ("f(1.)", 4),
            ("f(true.x)", 6),
            ("f(\"unclosed)", 2),
            ("a|b", 2),
            ("a,b", 1),
            ("f(a))", 4),
            ("\"x\"", 0),
        ] {
            check(text, Err(position));
        }
    }

    #[test]
    fn huge_and_deep_targets_are_refused_quickly() {
        let deep = "f(".repeat(100_000);
        assert_eq!(parse(&deep), Err(GraphiteError::TooDeep { max: QUERY_DEPTH_MAX }));
        let piped = format!("a{}", "|f()".repeat(10_000));
        assert_eq!(parse(&piped), Err(GraphiteError::TooDeep { max: QUERY_DEPTH_MAX }));
        let templates = format!("{}a", "template(".repeat(150));
        assert!(matches!(parse(&templates), Err(GraphiteError::Syntax { .. })));
        assert!(matches!(parse(&"a".repeat(1 << 20)), Err(GraphiteError::TooLong { .. })));
    }

    #[test]
    fn random_targets_never_panic() {
        let mut rng = base::rng::Rng::new(3);
        let alphabet = "ab.,(){}|\"'\\ =*1e-$\u{e9}";
        let chars: Vec<char> = alphabet.chars().collect();
        for _ in 0..5000 {
            let length = rng.below(40);
            let text: String =
                (0..length).map(|_| chars[rng.below(chars.len() as u64) as usize]).collect();
            let _ = parse(&text);
        }
    }
}
