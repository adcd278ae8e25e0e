//! The layout of carbon's configuration files: sections of `key = value` lines in order.

/// A section and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// What stands in brackets.
    pub(super) name: String,
    /// Line of the brackets, from 1.
    pub(super) line: usize,
    keys: Vec<(String, String)>,
}

impl Section {
    /// The value of a key, in whatever case the key is written; the last one counts.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.keys.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    }
}

/// The sections of a text, or the number of the line that is none of their lines.
pub(super) fn sections(text: &str) -> Result<Vec<Section>, usize> {
    let mut sections: Vec<Section> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let name = name.to_owned();
            sections.push(Section { name, line: index + 1, keys: Vec::new() });
            continue;
        }
        let (key, value) = line.split_once(['=', ':']).ok_or(index + 1)?;
        let section = sections.last_mut().ok_or(index + 1)?;
        section.keys.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(sections)
}
