//! Why a Graphite request is refused. All of these are the caller's to change.

use base::error::{Classify, ErrorKind};

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphiteError {
    /// A target that does not follow the grammar.
    #[error("cannot parse target at character {position}: expected {expected}")]
    Syntax {
        /// Characters before the place.
        position: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// A target longer than [`base::limits::QUERY_BYTES_MAX`].
    #[error("target has {got} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes of the target.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Calls nested deeper than [`base::limits::QUERY_DEPTH_MAX`].
    #[error("target is nested deeper than {max} calls")]
    TooDeep {
        /// Depth allowed.
        max: usize,
    },
    /// A name that is no function.
    #[error("unknown function: {0}")]
    UnknownFunction(String),
    /// A required argument is not there.
    #[error("{function}: missing argument {parameter:?}")]
    MissingArgument {
        /// The function.
        function: String,
        /// The parameter.
        parameter: &'static str,
    },
    /// More arguments than parameters, or a keyword that is none.
    #[error("{function}: unexpected argument {argument}")]
    UnexpectedArgument {
        /// The function.
        function: String,
        /// The argument's place or keyword.
        argument: String,
    },
    /// An argument of the wrong type, or a value that the function does not take.
    #[error("{function}: invalid value for {parameter:?}: expected {expected}")]
    BadArgument {
        /// The function.
        function: String,
        /// The parameter.
        parameter: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A template's values are not numbers or texts, or mix both kinds of arguments.
    #[error("template: {0}")]
    Template(&'static str),
    /// A time or an interval that cannot be read.
    #[error("cannot read time {text:?}: {reason}")]
    Time {
        /// As given.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// A tag expression that is not `tag OP value`.
    #[error("invalid tagspec {0}")]
    TagSpec(String),
    /// Tag expressions that a series without any tag would pass.
    #[error("at least one tagspec must not match the empty string")]
    MatchesEverything,
    /// A pattern that cannot be used.
    #[error(transparent)]
    Pattern(#[from] model::matcher::PatternError),
    /// More further targets than one request may have its functions look up.
    #[error("functions of the target look up more than {max} further targets")]
    TooManyTargets {
        /// Allowed.
        max: usize,
    },
    /// A part of the target had to be computed in order to plan the rest, and failed.
    #[error("{message}")]
    Probe {
        /// Whose fault it is.
        kind: ErrorKind,
        /// What happened.
        message: String,
    },
    /// More steps than a query may have.
    #[error("query would have {got} points a series, at most {max} are allowed")]
    TooManySteps {
        /// Steps of the finest series.
        got: i64,
        /// Steps allowed.
        max: i64,
    },
}

impl Classify for GraphiteError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLong { .. }
            | Self::TooDeep { .. }
            | Self::TooManyTargets { .. }
            | Self::TooManySteps { .. } => ErrorKind::TooLarge,
            Self::Probe { kind, .. } => *kind,
            _ => ErrorKind::Invalid,
        }
    }
}
