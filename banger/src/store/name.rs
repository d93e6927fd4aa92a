//! Names and ids: what a person calls an image or a kernel, and what the store calls an image.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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

    /// The name that `text` becomes when capitals are lower case, every other character outside the alphabet
    /// is a `-` and nothing but letters and digits may come first, or none when nothing is left. One that is
    /// too long is cut, and ends in digits that tell it from others with the same beginning.
    #[must_use]
    pub fn from_free_text(text: &str) -> Option<Self> {
        let replaced: String = text
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .map(|c| if is_name_character(c) { c } else { '-' })
            .collect();
        let trimmed = replaced.trim_start_matches(['.', '_', '-']);
        if trimmed.len() <= NAME_LIMIT {
            return Self::parse(trimmed).ok();
        }
        let digest = Sha256::digest(text);
        let digits: String = digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let kept = NAME_LIMIT - digits.len() - 1;
        Self::parse(&format!("{}-{digits}", &trimmed[..kept])).ok()
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

    /// Whether `selector` is the id, its beginning or its last eight digits; in any case, with hyphens or
    /// without.
    #[must_use]
    pub fn is_meant_by(self, selector: &str) -> bool {
        let selector = selector.to_ascii_lowercase();
        let digits = self.digits();
        !selector.is_empty()
            && (self.to_string().starts_with(&selector)
                || digits.starts_with(&selector)
                || digits[END..] == selector)
    }

    fn digits(self) -> String {
        self.0.as_simple().to_string()
    }
}

/// Digits of the short form of an id.
const SHORT: usize = 8;

/// Where the last eight of the 32 digits begin.
const END: usize = 32 - SHORT;

/// Short forms of ids, in their order, each of which means that id and none of the others: its first eight
/// digits, its last eight, or as many of its first as are needed.
#[must_use]
pub fn short_ids(ids: &[ImageId]) -> Vec<String> {
    let digits: Vec<String> = ids.iter().map(|id| id.digits()).collect();
    let mut meant: HashMap<&str, usize> = HashMap::new();
    for text in &digits {
        *meant.entry(&text[..SHORT]).or_default() += 1;
        if text[..SHORT] != text[END..] {
            *meant.entry(&text[END..]).or_default() += 1;
        }
    }
    let sorted: BTreeSet<&str> = digits.iter().map(String::as_str).collect();
    let shortest = |text: &str| {
        let ends = [&text[..SHORT], &text[END..]];
        if let Some(unique) = ends.into_iter().find(|end| meant[end] == 1) {
            return unique.to_owned();
        }
        let before = sorted.range(..text).next_back();
        let after = sorted
            .range::<str, _>((Bound::Excluded(text), Bound::Unbounded))
            .next();
        let common = before
            .into_iter()
            .chain(after)
            .map(|other| common(text, other));
        text[..=common.max().unwrap_or_default().max(SHORT)].to_owned()
    };
    digits.iter().map(|text| shortest(text)).collect()
}

/// Digits that two ids begin with; they differ in the last ones at the latest.
fn common(one: &str, other: &str) -> usize {
    let pairs = one.bytes().zip(other.bytes());
    pairs
        .take_while(|(one, other)| one == other)
        .count()
        .min(31)
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
            ("My App", Some("my-app")),
            ("_hidden", Some("hidden")),
            ("ÄÖ", None),
            ("", None),
        ] {
            let made = Name::from_free_text(text);
            assert_eq!(made.as_ref().map(Name::as_str), name, "{text}");
        }
    }

    #[test]
    fn texts_that_differ_become_names_that_differ() {
        let long = "v".repeat(NAME_LIMIT);
        for (one, other) in [
            ("img-A".to_owned(), "img-B".to_owned()),
            (format!("img-{long}1"), format!("img-{long}2")),
        ] {
            let [one, other] = [one, other].map(|text| Name::from_free_text(&text).unwrap());
            assert_ne!(one, other);
            assert!(one.as_str().starts_with("img-"));
        }
    }

    #[test]
    fn short_forms_mean_one_id_each() {
        let parse = |text: &str| ImageId::from_directory(text).unwrap();
        let ids = [
            "01a2b3c4-0000-7000-8000-000000000001",
            "01a2b3c4-0000-7000-8000-000000000002",
            "01a2b3c4-0000-7000-8001-000000000002",
            "01ffffff-0000-7000-8000-000000000001",
            "01000000-0000-7000-8000-000001ffffff",
        ]
        .map(parse);
        let short = short_ids(&ids);
        assert_eq!(
            short.iter().map(String::len).collect::<Vec<_>>(),
            [32, 32, 20, 9, 8],
            "{short:?}"
        );
        for (id, form) in ids.iter().zip(&short) {
            let meant: Vec<_> = ids.iter().filter(|id| id.is_meant_by(form)).collect();
            assert_eq!(meant, [id], "{form}");
        }
        assert!(ids[0].is_meant_by("01A2B3C4-0000-7"));
        assert!(ids[4].is_meant_by("01ffffff"));
        assert!(!ids[0].is_meant_by(""));
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
        fn short_forms_mean_one_id_each_whatever_the_ids(ids in proptest::collection::btree_set(0_u128..64, 1..20), shift in 0_u32..120) {
            let ids = ids.into_iter().map(|id| id << shift | id);
            let ids: BTreeSet<u128> = ids.collect();
            let ids: Vec<ImageId> = ids.into_iter().map(|id| ImageId(Uuid::from_u128(id))).collect();
            for (id, form) in ids.iter().zip(short_ids(&ids)) {
                let meant: Vec<_> = ids.iter().filter(|id| id.is_meant_by(&form)).collect();
                prop_assert!(form.len() >= 8);
                prop_assert!(meant == [id], "{}: {:?}", form, meant);
            }
        }

        #[test]
        fn what_is_made_from_free_text_parses(text in ".*") {
            if let Some(name) = Name::from_free_text(&text) {
                prop_assert_eq!(Name::parse(name.as_str()).ok(), Some(name));
            }
        }
    }
}
