//! The files of rules that the configuration names, read and checked once, before anything starts.

use server::{GraphiteSettings, MappingRule, PathRules, StepRules};

use crate::config::{Graphite, Mapping, MappingAction, MatchType};

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
    let pickle_bytes_max = usize::try_from(config.pickle_bytes_max.0).unwrap_or(usize::MAX);
    let pickle_bytes_max = pickle_bytes_max.min(base::limits::PICKLE_BYTES_LARGEST);
    Ok(GraphiteSettings { steps, paths: paths(config)?, pickle_bytes_max })
}

/// Lists of expressions, from the configuration and from files, and the mapping.
fn paths(config: &Graphite) -> Result<PathRules, RulesError> {
    let list = |given: &[String], file: &str| -> Result<Vec<String>, RulesError> {
        let mut list = given.to_vec();
        for (index, line) in read(file)?.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let expression = [line.to_owned()];
            PathRules::new(&expression, &[], &[])
                .map_err(|error| invalid(file, &format!("line {}: {error}", index + 1)))?;
            list.push(line.to_owned());
        }
        Ok(list)
    };
    let mapping: Vec<MappingRule> = config.mapping.iter().map(mapping_rule).collect();
    let blacklist = list(&config.blacklist, &config.blacklist_file)?;
    let whitelist = list(&config.whitelist, &config.whitelist_file)?;
    PathRules::new(&blacklist, &whitelist, &mapping).map_err(|error| invalid("graphite", &error))
}

fn mapping_rule(rule: &Mapping) -> MappingRule {
    MappingRule {
        pattern: rule.pattern.clone(),
        is_regex: rule.match_type == MatchType::Regex,
        name: rule.name.clone(),
        labels: rule.labels.clone().into_iter().collect(),
        drops: rule.action == MappingAction::Drop,
    }
}
