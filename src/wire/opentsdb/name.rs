//! Which names OpenTSDB accepts for metrics, tag keys and tag values.
//!
//! ASCII letters and digits, `-`, `_`, `.`, `/`, and any letter of the Basic Multilingual Plane: the
//! original walks UTF-16 units, so letters beyond it are refused.

/// True for the ASCII bytes that a name may hold.
const LEGAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let legal =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.' | b'/');
        table[byte] = legal;
        byte += 1;
    }
    table
};

/// Length of the run of legal ASCII at the front of `text`.
#[inline(always)]
pub(super) fn legal_run(text: &[u8]) -> usize {
    text.iter().position(|byte| !LEGAL[usize::from(*byte)]).unwrap_or(text.len())
}

/// True when `name` is not empty and has legal characters only.
#[inline]
pub fn is_legal(name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    // Eight lookups per turn without a branch between them.
    let mut chunks = name.chunks_exact(8);
    let plain = chunks
        .by_ref()
        .all(|chunk| chunk.iter().fold(true, |legal, byte| legal & LEGAL[usize::from(*byte)]));
    if plain && chunks.remainder().iter().all(|byte| LEGAL[usize::from(*byte)]) {
        return true;
    }
    std::str::from_utf8(name).is_ok_and(|text| illegal_character(text).is_none())
}

/// The first character that a name may not hold.
pub fn illegal_character(name: &str) -> Option<char> {
    name.chars().find(|character| {
        let byte = u8::try_from(*character).ok().filter(u8::is_ascii);
        match byte {
            Some(byte) => !LEGAL[usize::from(byte)],
            None => !(character.is_alphabetic() && u32::from(*character) <= 0xffff),
        }
    })
}

/// Why `name` is refused, in the original's words; `what` says which name it is.
pub fn complaint(what: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        return Some(format!("Invalid {what}: empty string"));
    }
    let character = illegal_character(name)?;
    Some(format!("Invalid {what} (\"{name}\"): illegal character: {character}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legal_are_legal_and_the_rest_is_named() {
        for name in ["omg-TSDB/42._foo_", "abcXYZ019-_./", "日本語", "métrica", "ключ"] {
            assert!(is_legal(name.as_bytes()), "{name}");
            assert_eq!(complaint("test", name), None);
        }
        for (name, want) in [
            ("", "Invalid test: empty string"),
            ("this is a test", "Invalid test (\"this is a test\"): illegal character:  "),
            ("a:b", "Invalid test (\"a:b\"): illegal character: :"),
            ("long.enough.name!", "Invalid test (\"long.enough.name!\"): illegal character: !"),
            ("𝒜", "Invalid test (\"𝒜\"): illegal character: 𝒜"),
        ] {
            assert!(!is_legal(name.as_bytes()), "{name}");
            assert_eq!(complaint("test", name).as_deref(), Some(want));
        }
        assert!(!is_legal(b"a\xff"));
    }
}
