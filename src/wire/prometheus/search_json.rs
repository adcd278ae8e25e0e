//! Answers of the search API: one JSON object a line, lists of what was found and a last line that says whether
//! there was more (the contract at the head of Prometheus's `web/api/v1/search.go`).

use super::query_json::{write_list, write_string};

/// What is said of one name or value.
#[derive(Clone, Debug, Default)]
pub struct SearchItem {
    /// The name or value.
    pub text: String,
    /// How well it matches, where that was asked for.
    pub score: Option<f64>,
    /// Type, help and unit of a metric, where they were asked for; what is empty is left out.
    pub metadata: [String; 3],
}

/// The line of some items; `key` is what the endpoint calls their text: `name` or `value`.
pub fn batch_line(key: &str, items: &[SearchItem]) -> Vec<u8> {
    let mut out = b"{\"results\":".to_vec();
    write_list(&mut out, items, |out, item| write_item(out, key, item));
    out.extend_from_slice(b"}\n");
    out
}

fn write_item(out: &mut Vec<u8>, key: &str, item: &SearchItem) {
    out.push(b'{');
    write_string(out, key);
    out.push(b':');
    write_string(out, &item.text);
    if let Some(score) = item.score {
        // Scores lie between 1e-6 and 1, where Go writes no exponents either.
        out.extend_from_slice(format!(",\"score\":{score}").as_bytes());
    }
    for (name, text) in ["type", "help", "unit"].iter().zip(&item.metadata) {
        if !text.is_empty() {
            out.push(b',');
            write_string(out, name);
            out.push(b':');
            write_string(out, text);
        }
    }
    out.push(b'}');
}

/// The last line.
pub fn trailer_line(has_more: bool) -> Vec<u8> {
    format!("{{\"status\":\"success\",\"has_more\":{has_more}}}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_what_was_asked_for() {
        let plain = SearchItem { text: "a\"b".to_owned(), ..SearchItem::default() };
        let full = SearchItem {
            text: "up".to_owned(),
            score: Some(1.0),
            metadata: ["gauge".to_owned(), String::new(), "s".to_owned()],
        };
        let line = String::from_utf8(batch_line("name", &[plain, full])).unwrap();
        let expected =
            r#"{"results":[{"name":"a\"b"},{"name":"up","score":1,"type":"gauge","unit":"s"}]}"#;
        assert_eq!(line, format!("{expected}\n"));
        assert_eq!(batch_line("value", &[]), b"{\"results\":[]}\n");
        assert_eq!(trailer_line(true), b"{\"status\":\"success\",\"has_more\":true}\n");
    }
}
