//! The tokens of PromQL and how error messages name them.

use super::quote::quoted;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// End of the text.
    End,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// `=`, `!=`, `=~`, `!~` inside braces; `=` anywhere.
    Match(MatchOp),
    /// `@`
    At,
    /// An operator between two expressions that is written in signs.
    Operator(Operator),
    /// A quoted text, quotes included.
    Text,
    /// A number, `Inf` and `NaN` included.
    Number,
    /// A duration such as `5m`.
    Duration,
    /// A name.
    Identifier,
    /// A name with a colon.
    MetricIdentifier,
    /// A word with a meaning of its own.
    Word(Word),
}

/// Tests of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

/// Operators between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    TrimUpper,
    TrimLower,
    And,
    Or,
    Unless,
}

/// Words with a meaning of their own; all but a few may still name metrics and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Operator(Operator),
    Aggregate(AggregateOp),
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

/// Aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    StdDev,
    StdVar,
    TopK,
    BottomK,
    CountValues,
    Quantile,
    LimitK,
    LimitRatio,
}

const AGGREGATES: [(&str, AggregateOp); 14] = [
    ("sum", AggregateOp::Sum),
    ("avg", AggregateOp::Avg),
    ("count", AggregateOp::Count),
    ("min", AggregateOp::Min),
    ("max", AggregateOp::Max),
    ("group", AggregateOp::Group),
    ("stddev", AggregateOp::StdDev),
    ("stdvar", AggregateOp::StdVar),
    ("topk", AggregateOp::TopK),
    ("bottomk", AggregateOp::BottomK),
    ("count_values", AggregateOp::CountValues),
    ("quantile", AggregateOp::Quantile),
    ("limitk", AggregateOp::LimitK),
    ("limit_ratio", AggregateOp::LimitRatio),
];

const OPERATORS: [(&str, Operator, u8); 18] = [
    ("or", Operator::Or, 1),
    ("and", Operator::And, 2),
    ("unless", Operator::Unless, 2),
    ("==", Operator::Equal, 3),
    ("!=", Operator::NotEqual, 3),
    ("<", Operator::Less, 3),
    ("<=", Operator::LessOrEqual, 3),
    (">", Operator::Greater, 3),
    (">=", Operator::GreaterOrEqual, 3),
    ("</", Operator::TrimUpper, 3),
    (">/", Operator::TrimLower, 3),
    ("+", Operator::Add, 4),
    ("-", Operator::Subtract, 4),
    ("*", Operator::Multiply, 5),
    ("/", Operator::Divide, 5),
    ("%", Operator::Modulo, 5),
    ("atan2", Operator::Atan2, 5),
    ("^", Operator::Power, POWER),
];

/// How tightly `*` and its kin bind, and with them a sign before an expression.
pub(crate) const PRODUCT: u8 = 5;
/// How tightly `^` binds; it alone groups from the right.
pub(crate) const POWER: u8 = 6;

const WORDS: [(&str, Word); 19] = [
    ("offset", Word::Offset),
    ("smoothed", Word::Smoothed),
    ("anchored", Word::Anchored),
    ("by", Word::By),
    ("without", Word::Without),
    ("on", Word::On),
    ("ignoring", Word::Ignoring),
    ("group_left", Word::GroupLeft),
    ("group_right", Word::GroupRight),
    ("fill", Word::Fill),
    ("fill_left", Word::FillLeft),
    ("fill_right", Word::FillRight),
    ("bool", Word::Bool),
    ("start", Word::Start),
    ("end", Word::End),
    ("step", Word::Step),
    ("range", Word::Range),
    ("min_of", Word::MinOf),
    ("max_of", Word::MaxOf),
];

impl AggregateOp {
    /// As PromQL spells it.
    pub fn name(self) -> &'static str {
        AGGREGATES.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// True when a parameter stands before the expression.
    pub fn takes_parameter(self) -> bool {
        use AggregateOp::{BottomK, CountValues, LimitK, LimitRatio, Quantile, TopK};
        matches!(self, BottomK | CountValues | LimitK | LimitRatio | Quantile | TopK)
    }

    /// True behind a feature flag.
    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::LimitK | AggregateOp::LimitRatio)
    }
}

impl Operator {
    /// As PromQL spells it.
    pub fn name(self) -> &'static str {
        OPERATORS.iter().find(|(_, op, _)| *op == self).map_or("", |(name, ..)| name)
    }

    /// How tightly it binds; more is tighter.
    pub(crate) fn precedence(self) -> u8 {
        OPERATORS.iter().find(|(_, op, _)| *op == self).map_or(0, |(.., level)| *level)
    }

    /// True for `== != < <= > >=`.
    pub fn is_comparison(self) -> bool {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    /// True for `and or unless`.
    pub fn is_set(self) -> bool {
        matches!(self, Operator::And | Operator::Or | Operator::Unless)
    }

    /// True for the operators that cut histograms.
    pub fn is_trim(self) -> bool {
        matches!(self, Operator::TrimUpper | Operator::TrimLower)
    }
}

impl Word {
    /// The word that `text` is, in any case.
    pub(crate) fn find(text: &str) -> Option<Word> {
        if text.len() > 12 {
            return None;
        }
        let lower = text.to_ascii_lowercase();
        let operator = |name: &str| match name {
            "and" => Some(Operator::And),
            "or" => Some(Operator::Or),
            "unless" => Some(Operator::Unless),
            "atan2" => Some(Operator::Atan2),
            _ => None,
        };
        operator(&lower)
            .map(Word::Operator)
            .or_else(|| {
                AGGREGATES
                    .iter()
                    .find(|(name, _)| *name == lower)
                    .map(|(_, op)| Word::Aggregate(*op))
            })
            .or_else(|| WORDS.iter().find(|(name, _)| *name == lower).map(|(_, word)| *word))
    }

    /// True when a selector may start with the word.
    pub(crate) fn may_name_metric(self) -> bool {
        !matches!(
            self,
            Word::Bool
                | Word::On
                | Word::Ignoring
                | Word::GroupLeft
                | Word::GroupRight
                | Word::Operator(Operator::Atan2)
        )
    }

    /// True when the word before `(` calls a function.
    pub(crate) fn may_name_function(self) -> bool {
        use Word::{End, MaxOf, MinOf, Range, Start, Step};
        matches!(self, Start | End | Step | Range | MinOf | MaxOf)
    }
}

/// A token and its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// First byte.
    pub(crate) start: usize,
    /// Byte behind the last one.
    pub(crate) end: usize,
}

impl Token {
    /// As an error message names it.
    pub(crate) fn describe(&self, text: &str) -> String {
        let own = text.get(self.start..self.end).unwrap_or_default();
        match self.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Operator(_) | Kind::At => format!("<op:{own}>"),
            Kind::Word(Word::Operator(_)) => format!("<op:{own}>"),
            Kind::Word(Word::Aggregate(_)) => format!("<aggr:{own}>"),
            Kind::Word(word) if word.may_name_function() => shortened(own),
            Kind::Word(_) => format!("<{own}>"),
            Kind::Match(MatchOp::Equal) => quoted(own),
            Kind::Match(_) => format!("<op:{own}>"),
            Kind::Text => format!("string {}", shortened(own)),
            Kind::Number => format!("number {}", shortened(own)),
            Kind::Duration => format!("duration {}", shortened(own)),
            Kind::Identifier => format!("identifier {}", quoted(own)),
            Kind::MetricIdentifier => format!("metric identifier {}", quoted(own)),
            _ => quoted(own),
        }
    }
}

/// Quoted; of more than ten bytes only the first ten characters.
fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return quoted(text);
    }
    let head: String = text.chars().take(10).collect();
    format!("{}...", quoted(&head))
}
