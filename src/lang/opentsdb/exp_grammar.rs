//! The arithmetic of `/api/query/exp`: operators over variables, in the precedence of its original.
//!
//! Everything is a double. Words (`and`, `or`, `not`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `div`, `mod`)
//! stand for their signs.

use base::limits::QUERY_DEPTH_MAX;
use plan::formula::Expression;
use plan::node::Number;
use plan::semantics::BinaryOp;

use super::error::OpenTsdbError;

/// Reads an expression: what it computes of its variables, and their names. Operands are numbered by
/// their place in the sorted list of names.
pub(super) fn parse_expression(text: &str) -> Result<(Expression, Vec<String>), OpenTsdbError> {
    let tokens = tokens(text).map_err(|what| wrong(text, &what))?;
    let mut names: Vec<String> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Name(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut parser = Parser { tokens: &tokens, next: 0, names: &names, depth: 0 };
    let expression = parser.choice().map_err(|what| wrong(text, &what))?;
    if parser.next < tokens.len() {
        return Err(wrong(text, "unexpected text behind the expression"));
    }
    Ok((expression, names))
}

fn wrong(text: &str, what: &str) -> OpenTsdbError {
    OpenTsdbError::bad(format!("Unable to parse expression [{text}]: {what}"))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    Number(f64),
    Name(&'t str),
    Sign(&'static str),
}

/// Longer signs before those that they start with.
const SIGNS: [&str; 18] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "?", ":",
];

const WORDS: [(&str, &str); 11] = [
    ("and", "&&"),
    ("or", "||"),
    ("not", "!"),
    ("eq", "=="),
    ("ne", "!="),
    ("lt", "<"),
    ("le", "<="),
    ("gt", ">"),
    ("ge", ">="),
    ("div", "/"),
    ("mod", "%"),
];

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_end().trim_end_matches(';').trim();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_digit() || first == '.' {
            let length = number_length(rest);
            let digits = rest[..length].trim_end_matches(['f', 'F', 'd', 'D', 'l', 'L']);
            let number =
                digits.parse().map_err(|_| format!("{} is not a number", &rest[..length]))?;
            tokens.push(Token::Number(number));
            length
        } else if first.is_ascii_alphabetic() || matches!(first, '_' | '$') {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
            let length = rest.bytes().take_while(is_part).count();
            let word = &rest[..length];
            let sign = WORDS.iter().find(|(known, _)| *known == word);
            tokens.push(sign.map_or(Token::Name(word), |(_, sign)| Token::Sign(sign)));
            length
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("unexpected {first:?}"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// Digits, a dot, an exponent with its sign, and a letter of a type.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let after_exponent = length > 0 && matches!(bytes[length - 1], b'e' | b'E');
        let takes = byte.is_ascii_alphanumeric()
            || *byte == b'.'
            || (after_exponent && matches!(byte, b'+' | b'-'));
        if !takes {
            break;
        }
        length += 1;
    }
    length
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    next: usize,
    names: &'t [String],
    depth: usize,
}

/// Binary operators from the loosest to the tightest.
const LEVELS: [&[&str]; 6] =
    [&["||"], &["&&"], &["==", "!="], &["<", ">", "<=", ">="], &["+", "-"], &["*", "/", "%"]];

impl Parser<'_> {
    fn take(&mut self, wanted: &[&str]) -> Option<&'static str> {
        match self.tokens.get(self.next) {
            Some(Token::Sign(sign)) if wanted.contains(sign) => {
                self.next += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    fn choice(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > QUERY_DEPTH_MAX {
            return Err("nested too deeply".to_owned());
        }
        let test = self.binary(0)?;
        let whole = if self.take(&["?"]).is_some() {
            let yes = self.choice()?;
            self.take(&[":"]).ok_or("missing : behind ?")?;
            Expression::Choice(Box::new(test), Box::new(yes), Box::new(self.choice()?))
        } else {
            test
        };
        self.depth -= 1;
        Ok(whole)
    }

    fn binary(&mut self, level: usize) -> Result<Expression, String> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut length = 0;
        while let Some(sign) = self.take(signs) {
            length += 1;
            // A chain makes a tree as deep as it is long.
            if length > QUERY_DEPTH_MAX {
                return Err(format!("more than {QUERY_DEPTH_MAX} operators in a row"));
            }
            let right = Box::new(self.binary(level + 1)?);
            left = combined(sign, Box::new(left), right);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, String> {
        let Some(sign) = self.take(&["-", "+", "!"]) else { return self.primary() };
        self.depth += 1;
        if self.depth > QUERY_DEPTH_MAX {
            return Err("nested too deeply".to_owned());
        }
        let value = self.unary()?;
        self.depth -= 1;
        Ok(match sign {
            "-" => Expression::Negate(Box::new(value)),
            "!" => Expression::Not(Box::new(value)),
            _ => value,
        })
    }

    fn primary(&mut self) -> Result<Expression, String> {
        let token = self.tokens.get(self.next).copied().ok_or("unexpected end")?;
        self.next += 1;
        match token {
            Token::Number(number) => Ok(Expression::Constant(Number(number))),
            Token::Name("true") => Ok(Expression::Constant(Number(1.0))),
            Token::Name("false") => Ok(Expression::Constant(Number(0.0))),
            Token::Name(name) => {
                let place = self.names.iter().position(|known| known == name);
                Ok(Expression::Operand(place.ok_or("unknown name")?))
            }
            Token::Sign("(") => {
                let inside = self.choice()?;
                self.take(&[")"]).ok_or("missing )")?;
                Ok(inside)
            }
            Token::Sign(sign) => Err(format!("unexpected {sign}")),
        }
    }
}

fn combined(sign: &str, left: Box<Expression>, right: Box<Expression>) -> Expression {
    let op = match sign {
        "||" => return Expression::Either(left, right),
        "&&" => return Expression::Both(left, right),
        "==" => BinaryOp::Equal,
        "!=" => BinaryOp::NotEqual,
        "<" => BinaryOp::Less,
        ">" => BinaryOp::Greater,
        "<=" => BinaryOp::LessOrEqual,
        ">=" => BinaryOp::GreaterOrEqual,
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Subtract,
        "*" => BinaryOp::Multiply,
        "/" => BinaryOp::Divide,
        _ => BinaryOp::Modulo,
    };
    Expression::Binary(op, left, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::{Formula, Meeting, Node, Op};

    fn shown(text: &str) -> String {
        match parse_expression(text) {
            Ok((expression, names)) => {
                let meeting = Meeting { union: true, disagreeing: false };
                let formula = Formula { inputs: vec![], meeting, expression };
                let title = plan::display::title(&Node::new(Op::Formula(formula)));
                format!("{} {}", title.trim_end_matches(", all keys"), names.join(","))
            }
            Err(error) => error.message,
        }
    }

    #[test]
    fn precedence_is_that_of_the_original() {
        for (text, want) in [
            ("a + b", "Formula ($0 Add $1) a,b"),
            ("b + a", "Formula ($1 Add $0) a,b"),
            (
                "(a - 1) * 2 / 4 % 3",
                "Formula (((($0 Subtract 1.0) Multiply 2.0) Divide 4.0) Modulo 3.0) a",
            ),
            ("-a+b*2.5e-1", "Formula (-$0 Add ($1 Multiply 0.25)) a,b"),
            (
                "a > 1 && !b || c eq 2",
                "Formula ((($0 Greater 1.0) && !$1) || ($2 Equal 2.0)) a,b,c",
            ),
            ("a>0?a:b?1:2", "Formula (($0 Greater 0.0) ? $0 : ($1 ? 1.0 : 2.0)) a,b"),
            ("a;", "Formula $0 a"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
        for text in ["", "a +", "(a", "a b", "a ? b", "1.2.3", "a = b", "a + é", "a $ # b"] {
            assert!(shown(text).starts_with("Unable to parse expression ["), "{text}");
        }
    }

    #[test]
    fn any_text_is_survived() {
        let parts =
            ["a", "b1", "+", "-", "*", "(", ")", "?", ":", "!", "1.5", "&&", " ", "or", "é"];
        let mut rng = base::rng::Rng::new(12);
        for _ in 0..20_000 {
            let count = rng.below(16);
            let text: String =
                (0..count).map(|_| parts[rng.below(parts.len() as u64) as usize]).collect();
            let _ = parse_expression(&text);
        }
        for part in ["(", "-", "a+", "a?", "!"] {
            let _ = parse_expression(&part.repeat(100_000));
        }
    }
}
