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
        let id = store.identify(selector)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids.into_iter()
        .map(|id| store.remove(&id.to_string()))
        .collect()
}
