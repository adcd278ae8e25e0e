//! The table that maps the names of three protocols to labels and back.
//!
//! | protocol | its name | labels |
//! |---|---|---|
//! | Prometheus | `up{job="a"}` | `__name__="up"`, `job="a"` |
//! | OpenTSDB | metric `sys.cpu` with tags `host=a` | `__name__="sys.cpu"`, `host="a"` |
//! | Graphite | `servers.a.load` | `__name__="servers.a.load"` |
//! | Graphite, tagged | `load;dc=x` | `__name__="load"`, `dc="x"` |

use crate::label::{Labels, METRIC_NAME};

/// The flat (Graphite) spelling of a series: the path, or for one with further labels the canonical tagged
/// path, its `;tag=value` parts sorted as whole byte strings.
pub fn flat_name(labels: &Labels) -> String {
    let mut parts: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != METRIC_NAME)
        .map(|(name, value)| format!(";{name}={value}"))
        .collect();
    parts.sort();
    let mut out = labels.metric_name().unwrap_or_default().to_owned();
    out.extend(parts);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_sort_as_whole_strings() {
        let labels = Labels::from_pairs([(METRIC_NAME, "m"), ("a", "1"), ("a1", "2")]);
        assert_eq!(flat_name(&labels), "m;a1=2;a=1");
    }
}
