//! Images that are no longer wanted.

use crate::error::Error;
use crate::store::{ImageId, Store};

/// Removes images. All are looked up before the first is removed, so a typing error removes nothing.
///
/// # Errors
///
/// As for [`Store::remove`]; those that came before in the list are gone.
pub fn remove(store: &Store, selectors: &[String]) -> Result<Vec<ImageId>, Error> {
    let mut ids = Vec::new();
    for selector in selectors {
        let id = store.identify(selector);
        let id = id.map_err(|error| none_removed(error, selectors.len()))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut removed = Vec::new();
    for id in ids {
        let gone = store.remove(&id.to_string());
        removed.push(gone.map_err(|error| some_removed(error, &removed))?);
    }
    Ok(removed)
}

/// Adds to the failure of a look-up that nothing was removed, where more than one thing was to be.
pub(crate) fn none_removed(error: Error, wanted: usize) -> Error {
    match wanted {
        0 | 1 => error,
        _ => error.with_context("nothing was removed"),
    }
}

/// Adds to the failure of a removal what was removed before.
pub(crate) fn some_removed<T: ToString>(error: Error, removed: &[T]) -> Error {
    if removed.is_empty() {
        return error;
    }
    let removed: Vec<String> = removed.iter().map(ToString::to_string).collect();
    error.with_context(format!("removed before: {}", removed.join(", ")))
}
