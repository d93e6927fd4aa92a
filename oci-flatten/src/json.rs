//! JSON as Go reads it: `null` means the same as a field that is missing.
//!
//! The documents that come from outside (credential files, token answers, image configurations, descriptors) are mostly
//! written and read by Go programs, whose empty lists, maps and pointers come out as `null`.

use serde::{Deserialize, Deserializer};

/// Reads a value, or its default for `null`. To be used together with `#[serde(default)]`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a list without its `null` elements; `null` itself is an empty list.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Vec<Option<T>> = null_is_default(deserializer)?;
    Ok(list.into_iter().flatten().collect())
}
