//! The files of rules that the configuration names, read and checked once, before anything starts.

use server::{GraphiteSettings, StepRules};

use crate::config::Graphite;

/// Why a file of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its text is not one.
    #[error("cannot use {path}: {message}")]
    Invalid {
        /// The file, or the key of the configuration.
        path: String,
        /// What is wrong with it, with the line.
        message: String,
    },
}

fn invalid(path: &str, error: &dyn std::fmt::Display) -> RulesError {
    RulesError::Invalid { path: path.to_owned(), message: error.to_string() }
}

/// The text of a file; nothing where none is named.
fn read(path: &str) -> Result<String, RulesError> {
    if path.is_empty() {
        return Ok(String::new());
    }
    std::fs::read_to_string(path)
        .map_err(|source| RulesError::Read { path: path.to_owned(), source })
}

/// Everything that is set about Graphite.
pub(crate) fn graphite(config: &Graphite) -> Result<GraphiteSettings, RulesError> {
    let (schemas, aggregation) = (&config.storage_schemas, &config.storage_aggregation);
    let steps = StepRules::parse(&read(schemas)?, config.step.0)
        .map_err(|error| invalid(schemas, &error))?
        .with_aggregation(&read(aggregation)?)
        .map_err(|error| invalid(aggregation, &error))?
        .learning(config.learn_step);
    Ok(GraphiteSettings { steps })
}
