//! Regular expressions that are searched for in tag values, and what is wrong with them in the words
//! of the original's library where it has a word for it.

use regex_syntax::ast::{self, ErrorKind};
use regex_syntax::hir::Look;

use super::filter::FilterError;

/// The expression as one that matches the whole of a value. Ends that are anchored already stay bare,
/// so that the index sees the literal behind `^`.
pub(super) fn anywhere(text: &str) -> Result<String, FilterError> {
    let parsed = regex_syntax::Parser::new().parse(text);
    let parsed = parsed.map_err(|error| FilterError::Regexp(complaint(text, &error)))?;
    let looks = parsed.properties();
    let front = if looks.look_set_prefix().contains(Look::Start) { "" } else { ".*" };
    let back = if looks.look_set_suffix().contains(Look::End) { "" } else { ".*" };
    Ok(format!("{front}(?:{text}){back}"))
}

fn complaint(text: &str, error: &regex_syntax::Error) -> String {
    let known = match error {
        regex_syntax::Error::Parse(error) => known(text, error),
        _ => None,
    };
    known.unwrap_or_else(|| error.to_string().lines().last().unwrap_or_default().to_owned())
}

/// The complaint with the place that it is about.
fn known(text: &str, error: &ast::Error) -> Option<String> {
    let length = text.chars().count();
    // Places are counted in characters.
    let place = text.get(..error.span().start.offset)?.chars().count();
    let (what, near) = match error.kind() {
        ErrorKind::ClassUnclosed => ("Unclosed character class".to_owned(), length.checked_sub(1)),
        ErrorKind::GroupUnclosed => ("Unclosed group".to_owned(), Some(length)),
        ErrorKind::GroupUnopened => ("Unmatched closing ')'".to_owned(), place.checked_sub(1)),
        ErrorKind::RepetitionMissing => {
            let sign = text.chars().nth(place).filter(|sign| "*+?".contains(*sign))?;
            (format!("Dangling meta character '{sign}'"), Some(place))
        }
        _ => return None,
    };
    Some(match near {
        None => format!("{what}\n{text}"),
        Some(near) if near < length => {
            format!("{what} near index {near}\n{text}\n{}^", " ".repeat(near))
        }
        Some(near) => format!("{what} near index {near}\n{text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_the_place() {
        for (text, want) in [
            ("[", "Unclosed character class near index 0\n[\n^"),
            ("web[0-9", "Unclosed character class near index 6\nweb[0-9\n      ^"),
            ("(web", "Unclosed group near index 4\n(web"),
            ("web)", "Unmatched closing ')' near index 2\nweb)\n  ^"),
            (")", "Unmatched closing ')'\n)"),
            ("*web", "Dangling meta character '*' near index 0\n*web\n^"),
            ("é|+", "Dangling meta character '+' near index 2\né|+\n  ^"),
        ] {
            assert_eq!(anywhere(text), Err(FilterError::Regexp(want.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_has_no_word_there_is_said_in_ours() {
        let Err(FilterError::Regexp(text)) = anywhere("a{2,1}") else { panic!("taken") };
        assert!(!text.is_empty());
        assert_eq!(anywhere("^web").unwrap(), "(?:^web).*");
    }
}
