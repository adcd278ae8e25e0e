//! What a user sets about OpenTelemetry's metrics: the `otlp` section of Prometheus's configuration under
//! its own names, checked as there.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use server::prometheus::otlp::{OtlpSettings, Settings, Strategy};

use crate::config::Config;
use crate::serve::ServeError;

/// `[otlp]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Otlp {
    /// How names are translated.
    pub translation_strategy: String,
    /// All attributes of resources become labels.
    pub promote_all_resource_attributes: bool,
    /// Attributes of resources that become labels.
    pub promote_resource_attributes: Names,
    /// With `promote_all_resource_attributes`: those that do not.
    pub ignore_resource_attributes: Names,
    /// `target_info` also has what `job` and `instance` are made of.
    pub keep_identifying_resource_attributes: bool,
    /// Histograms with listed bounds become native ones.
    pub convert_histograms_to_nhcb: bool,
    /// Scopes become labels.
    pub promote_scope_metadata: bool,
    /// A label name that begins with one underscore gets `key` in front.
    pub label_name_underscore_sanitization: bool,
    /// Underscores in a row stay in label names.
    pub label_name_preserve_multiple_underscores: bool,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            translation_strategy: "UnderscoreEscapingWithSuffixes".into(),
            promote_all_resource_attributes: false,
            promote_resource_attributes: Names::default(),
            ignore_resource_attributes: Names::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

/// A list of names, or one text with commas between them: the environment has no lists.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            List(Vec<String>),
            Text(String),
        }
        Ok(Self(match Spelling::deserialize(from)? {
            Spelling::List(names) => names,
            Spelling::Text(text) => {
                let names = text.split(',').filter(|name| !name.trim().is_empty());
                names.map(str::to_owned).collect()
            }
        }))
    }
}

impl Otlp {
    /// What the server is told; `Err` names the setting that contradicts itself or another.
    pub(crate) fn settings(&self, config: &Config) -> Result<Settings, ServeError> {
        let wrong = |key, reason: String| Err(ServeError::Setting { key, reason });
        let Some(strategy) = Strategy::from_name(&self.translation_strategy) else {
            let reason =
                format!("unsupported OTLP translation strategy {:?}", self.translation_strategy);
            return wrong("otlp.translation_strategy", reason);
        };
        let promote_all = self.promote_all_resource_attributes;
        let (promoted, ignored) =
            (&self.promote_resource_attributes, &self.ignore_resource_attributes);
        if promote_all && !promoted.0.is_empty() {
            let reason = "it cannot be set together with promote_all_resource_attributes";
            return wrong("otlp.promote_resource_attributes", reason.to_owned());
        }
        if !promote_all && !ignored.0.is_empty() {
            let reason = "it needs promote_all_resource_attributes";
            return wrong("otlp.ignore_resource_attributes", reason.to_owned());
        }
        let attributes = if promote_all { ignored } else { promoted }.checked()?;
        let mut settings = Settings {
            translation: OtlpSettings {
                strategy,
                promote_all,
                attributes,
                keep_identifying: self.keep_identifying_resource_attributes,
                convert_to_custom: self.convert_histograms_to_nhcb,
                promote_scope_metadata: self.promote_scope_metadata,
                label_name_underscore_sanitization: self.label_name_underscore_sanitization,
                label_name_preserve_multiple_underscores: self
                    .label_name_preserve_multiple_underscores,
                takes_delta: false,
                type_and_unit_labels: false,
                lookback_ms: config.query.lookback.0,
            },
            converts_delta: false,
        };
        for flag in config.prometheus.enable_feature.split(',') {
            settings.enable(flag.trim());
        }
        if settings.converts_delta && settings.translation.takes_delta {
            let reason = "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion \
                          features at the same time";
            return wrong("prometheus.enable_feature", reason.to_owned());
        }
        Ok(settings)
    }
}

impl Names {
    /// The names without blanks around them; each once, none empty.
    fn checked(&self) -> Result<BTreeSet<String>, ServeError> {
        let mut names = BTreeSet::new();
        for name in &self.0 {
            let name = name.trim();
            let reason = if name.is_empty() {
                "empty OTel resource attribute".to_owned()
            } else if names.insert(name.to_owned()) {
                continue;
            } else {
                format!("duplicated OTel resource attribute {name:?}")
            };
            return Err(ServeError::Setting { key: "otlp", reason });
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(overrides: &[&str], want: Result<(), &str>) {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let config = Config::load(None, [], &overrides).unwrap();
        let got = config.otlp.settings(&config).map(drop).map_err(|error| error.to_string());
        match (got, want) {
            (Ok(()), Ok(())) => {}
            (Err(got), Err(want)) => assert!(got.contains(want), "{got:?} lacks {want:?}"),
            (got, want) => panic!("{got:?}, not {want:?}"),
        }
    }

    #[test]
    fn contradictions_are_told() {
        check(&[], Ok(()));
        check(&["otlp.promote_resource_attributes=host.name,os.type"], Ok(()));
        check(&["otlp.promote_resource_attributes=a, a"], Err("duplicated"));
        check(&["otlp.ignore_resource_attributes=a"], Err("promote_all_resource_attributes"));
        check(&["otlp.translation_strategy=None"], Err("strategy \"None\""));
        check(
            &["otlp.promote_all_resource_attributes=true", "otlp.promote_resource_attributes=a"],
            Err("together"),
        );
        check(
            &["prometheus.enable_feature=otlp-deltatocumulative,otlp-native-delta-ingestion"],
            Err("at the same time"),
        );
    }
}
