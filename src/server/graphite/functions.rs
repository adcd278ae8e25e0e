//! `/functions`: what editors offer and check arguments against.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lang::graphite::functions::{FUNCTIONS, Function, Param, find};
use wire::graphite::json::Writer;

use super::params::Params;
use super::reply::{json, json_error, style};

/// `/functions`: by name, or with `grouped` by group.
pub(super) async fn all(params: Params) -> Response {
    let style = style(&params);
    let wanted = |function: &&Function| {
        // The only functions of another type fold pies, which nobody draws here.
        params.get("group").is_none_or(|group| group == function.group)
            && params.get("type").is_none_or(|kind| kind != "pie")
    };
    let functions: Vec<&Function> = FUNCTIONS.iter().filter(wanted).collect();
    let mut body = Writer::new(style);
    body.begin('{');
    if matches!(params.get("grouped"), Some("1" | "true")) {
        let mut groups: Vec<&str> = functions.iter().map(|function| function.group).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            body.key(group);
            body.begin('{');
            for function in functions.iter().filter(|function| function.group == group) {
                body.key(function.name);
                write_function(&mut body, function);
            }
            body.end('}');
        }
    } else {
        for function in functions {
            body.key(function.name);
            write_function(&mut body, function);
        }
    }
    body.end('}');
    json(&params, style, body.finish())
}

/// `/functions/<name>`
pub(super) async fn one(Path(name): Path<String>, params: Params) -> Response {
    let style = style(&params);
    match find(&name) {
        Some(function) => {
            let mut body = Writer::new(style);
            write_function(&mut body, function);
            json(&params, style, body.finish())
        }
        None => json_error(StatusCode::NOT_FOUND, &format!("Function not found: {name}")),
    }
}

fn write_function(body: &mut Writer, function: &Function) {
    body.begin('{');
    for (key, value) in [
        ("name", function.name),
        ("function", function.signature),
        ("description", function.description),
        ("module", "graphite.render.functions"),
        ("group", function.group),
    ] {
        body.key(key);
        body.text(value);
    }
    body.key("params");
    body.begin('[');
    for param in function.params {
        write_param(body, param);
    }
    body.end(']');
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
