//! Names and ids: what a person calls an image or a kernel, and what the store calls an image.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};

/// The longest name in bytes: as a file name it leaves room for every suffix the store adds.
pub const NAME_LIMIT: usize = 128;

/// A name of an image or kernel: 1 to 128 bytes of `[a-z0-9._-]`, of which the first is a letter or digit.
#[derive(
    Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema,
)]
#[schemars(with = "String")]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Reads a name as given by a person.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`], with the rule that the name breaks.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let problem = if text.is_empty() {
            "is empty".to_owned()
        } else if text.len() > NAME_LIMIT {
            format!("is {} bytes (limit {NAME_LIMIT})", text.len())
        } else if let Some(bad) = text.chars().find(|c| !is_name_character(*c)) {
            format!("holds {bad:?} (allowed: a-z 0-9 . _ -)")
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            "does not start with a letter or digit".to_owned()
        } else if text.ends_with(STAGING_SUFFIX) {
            format!("ends in {STAGING_SUFFIX}, which the store keeps for itself")
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(Error::new(
            ErrorKind::Usage,
            format!("name {text:?} {problem}"),
        ))
    }

    /// The name that `text` becomes when every character outside the alphabet is a `-` and nothing but
    /// letters and digits may come first, or none when nothing is left.
    #[must_use]
    pub fn from_free_text(text: &str) -> Option<Self> {
        let replaced: String = text
            .chars()
            .map(|c| if is_name_character(c) { c } else { '-' })
            .collect();
        let trimmed = replaced.trim_start_matches(['.', '_', '-']);
        let end = trimmed.len().min(NAME_LIMIT);
        Self::parse(&trimmed[..end]).ok()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Ends the name of every directory that is in the making or on its way out.
pub(super) const STAGING_SUFFIX: &str = ".staging";

fn is_name_character(c: char) -> bool {
    matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-')
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// The id of an image: a UUID of version 7, so ids sort by the time at which they were made.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema,
)]
#[schemars(with = "String")]
#[serde(transparent)]
pub struct ImageId(Uuid);

impl ImageId {
    /// An id that nothing else has.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads the name of an image's directory; any other text than the canonical form is none.
    #[must_use]
    pub fn from_directory(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_rule_is_named() {
        let long = "a".repeat(NAME_LIMIT + 1);
        for (text, part) in [
            ("", "is empty"),
            ("Debian", "holds 'D'"),
            ("a/b", "holds '/'"),
            ("-a", "does not start"),
            ("..", "does not start"),
            ("a.staging", "keeps for itself"),
            (long.as_str(), "limit 128"),
        ] {
            let error = Name::parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
        assert!(Name::parse(&long[1..]).is_ok());
    }

    #[test]
    fn free_text_becomes_a_name() {
        for (text, name) in [
            ("debian-bookworm", Some("debian-bookworm")),
            ("My App", Some("y--pp")),
            ("_hidden", Some("hidden")),
            ("ÄÖ", None),
            ("", None),
        ] {
            let made = Name::from_free_text(text);
            assert_eq!(made.as_ref().map(Name::as_str), name, "{text}");
        }
    }

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let id = ImageId::fresh();
        let text = id.to_string();
        assert_eq!(ImageId::from_directory(&text), Some(id));
        for other in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{text}.staging"),
        ] {
            assert_eq!(ImageId::from_directory(&other), None, "{other}");
        }
    }

    #[test]
    fn ids_sort_by_the_order_in_which_they_were_made() {
        let ids: Vec<ImageId> = (0..1000).map(|_| ImageId::fresh()).collect();
        assert!(ids.is_sorted_by(|a, b| a.to_string() < b.to_string()));
    }

    proptest! {
        #[test]
        fn what_is_made_from_free_text_parses(text in ".*") {
            if let Some(name) = Name::from_free_text(&text) {
                prop_assert_eq!(Name::parse(name.as_str()).ok(), Some(name));
            }
        }
    }
}
