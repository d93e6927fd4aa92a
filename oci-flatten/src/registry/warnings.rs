//! `Warning` headers: what a registry wants its users to know, by the
//! [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#warnings).

use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use http::header::WARNING;

use crate::error::excerpt;

/// Most warnings that are kept.
const KEPT: usize = 20;
/// The one code of the specification, "miscellaneous persistent warning" of RFC 7234.
const CODE: &str = "299";

/// What servers have warned of, each text once.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    kept: Mutex<Vec<String>>,
}

impl Warnings {
    /// Takes note of the warnings of one response.
    pub(super) fn note(&self, server: &str, headers: &HeaderMap) {
        for text in texts(headers) {
            let warning = format!("{server}: {text}");
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT && !kept.contains(&warning) {
                kept.push(warning);
            }
        }
    }

    /// The warnings since this was asked last, oldest first.
    pub(super) fn take(&self) -> Vec<String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut kept)
    }
}

/// The texts of the warnings in a response, fit to be shown.
pub(super) fn texts(headers: &HeaderMap) -> Vec<String> {
    let mut texts = Vec::new();
    for value in headers.get_all(WARNING) {
        let line = String::from_utf8_lossy(value.as_bytes());
        let mut rest = &*line;
        while let Some((warning, behind)) = first(rest) {
            texts.extend(warning);
            rest = behind;
        }
    }
    texts
}

/// The first of `CODE AGENT "TEXT" ["DATE"]`, where it is one of ours, and what follows; `None` when there is none.
fn first(line: &str) -> Option<(Option<String>, &str)> {
    let (head, quoted) = line.split_once('"')?;
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    let end = loop {
        match characters.next() {
            Some((index, '"')) => break index + 1,
            Some((_, '\\')) => text.extend(characters.next().map(|(_, escaped)| escaped)),
            Some((_, character)) => text.push(character),
            None => break quoted.len(),
        }
    };
    let head = head.trim_start_matches([',', ' ', '\t']);
    let is_ours = head.split_ascii_whitespace().next() == Some(CODE) && !text.trim().is_empty();
    Some((is_ours.then(|| excerpt(text.trim())), &quoted[end..]))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn texts_of_the_one_code_are_shown_once() {
        let warnings = Warnings::default();
        let mut headers = HeaderMap::new();
        for value in [
            r#"299 - "one""#,
            r#"299 - "say \"two\"", 299 registry.example:5000 "three" "Wed, 21 Oct 2015 07:28:00 GMT""#,
            r#"110 cache "response is stale""#,
            r#"299 - "one""#,
            r#"299 -"#,
            r#"299 - """#,
            r#"299 - "open"#,
            "299 - \"bell \u{7}\u{9b}2J\"",
        ] {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(WARNING, value);
            }
        }
        warnings.note("r.example", &headers);
        warnings.note("r.example", &headers);
        assert_eq!(
            warnings.take(),
            ["one", r#"say \"two\""#, "three", "open"].map(|text| format!("r.example: {text}"))
        );
        for number in 0..100 {
            let value = HeaderValue::from_str(&format!("299 - \"{number}\"")).unwrap();
            let headers = HeaderMap::from_iter([(WARNING, value)]);
            warnings.note("r.example", &headers);
        }
        assert_eq!(warnings.take().len(), KEPT);
    }
}
