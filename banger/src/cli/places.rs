//! Where this installation keeps its things, by the environment.

use banger::Error;
use banger::kernel::Catalog;
use banger::store::Store;

use super::source::here;

/// The store and the catalog that commands work on.
pub(super) struct Shelves {
    pub(super) store: Store,
    pub(super) catalog: Catalog,
}

impl Shelves {
    /// Those of this user, or under `BANGER_HOME`.
    pub(super) fn here() -> Result<Self, Error> {
        let places = here()?.places;
        Ok(Self {
            store: Store::new(places.images),
            catalog: Catalog::new(places.kernels),
        })
    }
}
