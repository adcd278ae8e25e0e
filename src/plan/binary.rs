//! Operators between two values, and which rows they are for.

use crate::node::Number;

/// Operators between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
    /// The observations of a native histogram up to a value.
    TrimUpper,
    /// The observations of a native histogram above a value.
    TrimLower,
}

impl BinaryOp {
    /// The operator as PromQL and its messages spell it.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::Power => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Greater => ">",
            BinaryOp::Less => "<",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// True for the operators that make another quantity of a value: names go.
    pub fn changes_quantity(self) -> bool {
        use BinaryOp::{Add, Atan2, Divide, Modulo, Multiply, Power, Subtract};
        matches!(self, Add | Subtract | Divide | Multiply | Power | Modulo | Atan2)
    }

    /// True for `== != > < >= <=`.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Greater | Less | GreaterOrEqual | LessOrEqual)
    }

    /// True for `and or unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// Which rows of two sides pair up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// Compare these labels (`on`), or all but these and the name (`ignoring`).
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// How many rows of one side may meet one of the other.
    pub cardinality: Cardinality,
    /// Labels copied from the "one" side (`group_left`, `group_right`).
    pub include: Vec<String>,
    /// Value of a missing left row, right row.
    pub fill: (Option<Number>, Option<Number>),
}

/// Cardinalities of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Cardinality {
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}
