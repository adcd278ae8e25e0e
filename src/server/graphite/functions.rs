//! `/functions`: what editors offer and check arguments against.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lang::graphite::functions::{FUNCTIONS, Function, Param, find};
use wire::graphite::json::Writer;

use super::params::Params;
use super::reply::{json, json_error, style};

/// What makes a number of the series of a pie's slice.
const PIE_FUNCTIONS: [&str; 3] = ["average", "maximum", "minimum"];

/// One entry of the answer.
enum Entry {
    Series(&'static Function),
    Pie(&'static str),
}

impl Entry {
    fn name(&self) -> &'static str {
        match self {
            Self::Series(function) => function.name,
            Self::Pie(name) => name,
        }
    }

    fn group(&self) -> &'static str {
        match self {
            Self::Series(function) => function.group,
            Self::Pie(_) => "Pie",
        }
    }

    fn write(&self, body: &mut Writer) {
        let (signature, description) = match self {
            Self::Series(function) => (function.signature.to_owned(), function.description),
            Self::Pie(name) => (format!("{name}(series)"), "What a slice is as large as."),
        };
        body.begin('{');
        for (key, value) in [
            ("name", self.name()),
            ("function", &signature),
            ("description", description),
            ("module", "graphite.render.functions"),
            ("group", self.group()),
        ] {
            body.key(key);
            body.text(value);
        }
        body.key("params");
        body.begin('[');
        match self {
            Self::Series(function) => {
                function.params.iter().for_each(|param| write_param(body, param));
            }
            Self::Pie(_) => write_series_param(body),
        }
        body.end(']');
        body.end('}');
    }
}

fn is_pie(params: &Params) -> bool {
    params.get("type") == Some("pie")
}

/// `/functions`: by name, or with `grouped` by group.
pub(super) async fn all(params: Params) -> Response {
    let style = style(&params);
    let mut entries: Vec<Entry> = match is_pie(&params) {
        true => PIE_FUNCTIONS.map(Entry::Pie).into(),
        false => FUNCTIONS.iter().map(Entry::Series).collect(),
    };
    entries.retain(|entry| params.get("group").is_none_or(|group| group == entry.group()));
    let mut body = Writer::new(style);
    body.begin('{');
    if matches!(params.get("grouped"), Some("1" | "true")) {
        let mut groups: Vec<&str> = entries.iter().map(Entry::group).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            body.key(group);
            body.begin('{');
            for entry in entries.iter().filter(|entry| entry.group() == group) {
                body.key(entry.name());
                entry.write(&mut body);
            }
            body.end('}');
        }
    } else {
        for entry in entries {
            body.key(entry.name());
            entry.write(&mut body);
        }
    }
    body.end('}');
    json(&params, style, body.finish())
}

/// `/functions/<name>`
pub(super) async fn one(Path(name): Path<String>, params: Params) -> Response {
    let style = style(&params);
    let entry = match is_pie(&params) {
        true => PIE_FUNCTIONS.into_iter().find(|known| *known == name).map(Entry::Pie),
        false => find(&name).map(Entry::Series),
    };
    let Some(entry) = entry else {
        return json_error(StatusCode::NOT_FOUND, &format!("Function not found: {name}"));
    };
    let mut body = Writer::new(style);
    entry.write(&mut body);
    json(&params, style, body.finish())
}

fn write_series_param(body: &mut Writer) {
    body.begin('{');
    for (key, value) in [("name", "series"), ("type", "series")] {
        body.key(key);
        body.text(value);
    }
    body.key("required");
    body.boolean(true);
    body.end('}');
}

fn write_param(body: &mut Writer, param: &Param) {
    body.begin('{');
    body.key("name");
    body.text(param.name);
    body.key("type");
    body.text(param.kind.name());
    for (key, set) in [("required", param.required), ("multiple", param.multiple)] {
        if set {
            body.key(key);
            body.boolean(true);
        }
    }
    if let Some(default) = param.default {
        body.key("default");
        body.raw(default);
    }
    let choices = param.choices();
    if !choices.is_empty() {
        body.key("options");
        body.texts(choices);
    }
    if !param.suggestions.is_empty() {
        body.key("suggestions");
        body.begin('[');
        for suggestion in param.suggestions {
            body.raw(suggestion);
        }
        body.end(']');
    }
    body.end('}');
}
