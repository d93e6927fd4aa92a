//! Where this installation keeps its things, by the environment.

use banger::Error;
use banger::kernel::Catalog;
use banger::places::Places;
use banger::store::Store;

/// The store and the catalog that commands work on.
pub(super) struct Shelves {
    pub(super) store: Store,
    pub(super) catalog: Catalog,
}

impl Shelves {
    /// Those of this user, or under `BANGER_HOME`.
    pub(super) fn here() -> Result<Self, Error> {
        let is_root = rustix::process::geteuid().is_root();
        let places = Places::from_environment(is_root, |name| std::env::var_os(name))?;
        Ok(Self {
            store: Store::new(places.images),
            catalog: Catalog::new(places.kernels),
        })
    }
}
