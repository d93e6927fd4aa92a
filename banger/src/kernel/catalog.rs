//! The kernels that were imported: one directory each, named as the kernel is.
//!
//! ```text
//! kernels/<name>/    kernel  initrd.img?  modules/?  kernel.json
//! ```

use std::io;
use std::path::{Path, PathBuf};

use oci_flatten::directory::Directory;
use oci_flatten::lock::Waiter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::facts::KernelFacts;
use super::resolve::{KernelRequest, ResolvedKernel, resolve};
use crate::artifact::{Origin, copy_file, copy_tree, failed, failed_in, write_new};
use crate::error::{Error, ErrorKind};
use crate::store::shelf::{Shelf, Staging, open_published};
use crate::store::{ImageId, Name, RECORD_LIMIT, Store, now};
use crate::watch::{Observer, Step};

/// The version of the records this program writes.
pub const CATALOG_SCHEMA_VERSION: u32 = 1;

const RECORD_FILE: &str = "kernel.json";
pub(crate) const KERNEL_FILE: &str = "kernel";
pub(crate) const INITRD_FILE: &str = "initrd.img";
const MODULES_DIRECTORY: &str = "modules";

/// All imported kernels of an installation.
#[derive(Clone, Debug)]
pub struct Catalog {
    shelf: Shelf,
}

/// `kernel.json`: what the catalog knows of one kernel.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelRecord {
    /// [`CATALOG_SCHEMA_VERSION`] of the program that wrote the record.
    pub schema: u32,
    /// The name.
    pub name: Name,
    /// When it was imported: RFC 3339 in UTC.
    pub created: String,
    /// Whether it has an initial RAM disk.
    pub initrd: bool,
    /// Whether it has a module directory.
    pub modules: bool,
    /// What was found when it was imported.
    pub facts: KernelFacts,
    /// What spoke against it then.
    pub warnings: Vec<String>,
}

/// A kernel of the catalog.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelEntry {
    /// The kernel's directory in the catalog.
    directory: PathBuf,
    #[serde(flatten)]
    record: KernelRecord,
}

impl KernelEntry {
    /// The kernel's directory in the catalog.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the catalog knows of it.
    #[must_use]
    pub fn record(&self) -> &KernelRecord {
        &self.record
    }

    /// The kernel as a pull or a registration uses it.
    #[must_use]
    pub fn resolved(&self) -> ResolvedKernel {
        let file = |present: bool, name: &str| present.then(|| self.directory.join(name));
        ResolvedKernel {
            kernel: self.directory.join(KERNEL_FILE),
            initrd: file(self.record.initrd, INITRD_FILE),
            modules: file(self.record.modules, MODULES_DIRECTORY),
            catalog_entry: Some(self.directory.clone()),
            facts: self.record.facts.clone(),
            warnings: self.record.warnings.clone(),
        }
    }
}

/// What a catalog holds.
#[derive(Debug, Default)]
pub struct CatalogListing {
    /// The kernels, by name.
    pub kernels: Vec<KernelEntry>,
    /// Kernels whose records cannot be read, by name, and why.
    pub unreadable: Vec<(String, Error)>,
}

impl Catalog {
    /// The catalog in the directory `kernels`, which is made when the first kernel is imported.
    #[must_use]
    pub fn new(kernels: PathBuf) -> Self {
        Self {
            shelf: Shelf::new(kernels),
        }
    }

    /// The same catalog, for someone who waits for its lock in another way.
    #[must_use]
    pub fn waiting_as(self, waiter: Waiter) -> Self {
        Self {
            shelf: self.shelf.waiting_as(waiter),
        }
    }

    /// Checks a kernel and copies it, its initrd and its modules into the catalog.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exists`] when the name is taken; everything that is wrong with the kernel; the
    /// copy failed or was cancelled, and nothing of it is left.
    pub fn import(
        &self,
        name: &Name,
        request: &KernelRequest,
        observer: &dyn Observer,
    ) -> Result<KernelEntry, Error> {
        self.check_name(name)?;
        observer.begin(Step::Kernel)?;
        let mut problems = Problems::default();
        let found = resolve(self, request, None, &mut problems, &|| {
            observer.is_cancelled()
        });
        problems.into_result()?;
        let Some(found) = found else {
            return Err(Error::new(ErrorKind::Usage, "no kernel was given")
                .with_hint("name its file with --kernel"));
        };
        observer.begin(Step::Reserve)?;
        self.shelf.sweep()?;
        let lock = self.shelf.lock()?;
        self.check_name(name)?;
        if lock.is_reserved(name)? {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("kernel {name} is being imported by another run"),
            ));
        }
        let staging = lock.stage(&ImageId::fresh().to_string(), Some(name))?;
        drop(lock);
        observer.begin(Step::Stage)?;
        copy_kernel(&found, staging.directory(), &|| observer.is_cancelled())?;
        observer.begin(Step::Publish)?;
        let record = KernelRecord {
            schema: CATALOG_SCHEMA_VERSION,
            name: name.clone(),
            created: now(),
            initrd: found.initrd.is_some(),
            modules: found.modules.is_some(),
            facts: found.facts,
            warnings: found.warnings,
        };
        let mut bytes =
            serde_json::to_vec_pretty(&record).expect("a record has string keys and no floats");
        bytes.push(b'\n');
        write_new(staging.directory(), RECORD_FILE, &bytes)?;
        let directory = self.shelf.lock()?.publish(staging, name.as_str())?;
        Ok(KernelEntry { directory, record })
    }

    fn check_name(&self, name: &Name) -> Result<(), Error> {
        let taken = match self.shelf.open()? {
            Some(root) => root
                .contains(name.as_str())
                .map_err(|error| failed_in("read", &root, name.as_str(), error))?,
            None => false,
        };
        match taken {
            true => Err(
                Error::new(ErrorKind::Exists, format!("kernel {name} exists already")).with_hint(
                    format!("choose another name, or remove it with `banger kernel remove {name}`"),
                ),
            ),
            false => Ok(()),
        }
    }

    /// Reads every record. A record that cannot be read does not hide the others.
    ///
    /// # Errors
    ///
    /// The directory itself cannot be read.
    pub fn list(&self) -> Result<CatalogListing, Error> {
        let mut listing = CatalogListing::default();
        for entry in self.shelf.published()? {
            match self.read(&entry) {
                Ok(kernel) => listing.kernels.push(kernel),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => listing.unreadable.push((entry, error)),
            }
        }
        Ok(listing)
    }

    /// The kernel called `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], or what is wrong with its record.
    pub fn find(&self, name: &str) -> Result<KernelEntry, Error> {
        let unknown = || {
            Error::new(ErrorKind::NotFound, format!("no kernel is called {name}"))
                .with_hint("`banger kernel list` shows what there is")
        };
        let parsed = Name::parse(name).map_err(|_| unknown())?;
        self.read(parsed.as_str())
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => unknown(),
                _ => error,
            })
    }

    fn read(&self, entry: &str) -> Result<KernelEntry, Error> {
        #[derive(Deserialize)]
        struct Header {
            schema: u32,
        }
        let shelf = self.shelf.path();
        let directory = shelf.join(entry);
        let path = directory.join(RECORD_FILE);
        let root = self
            .shelf
            .open()?
            .ok_or_else(|| failed("read", shelf, io::ErrorKind::NotFound.into()))?;
        let open = root
            .directory(entry)
            .map_err(|error| failed_in("read", &root, entry, error))?;
        let bytes = open
            .read(RECORD_FILE, RECORD_LIMIT)
            .map_err(|error| failed_in("read", &open, RECORD_FILE, error))?;
        let malformed = |error| {
            Error::new(
                ErrorKind::Integrity,
                format!("{} is not a record of a kernel", path.display()),
            )
            .with_source(error)
        };
        let header: Header = serde_json::from_slice(&bytes).map_err(malformed)?;
        if header.schema > CATALOG_SCHEMA_VERSION {
            return Err(Error::new(
                ErrorKind::Failure,
                format!(
                    "{} was written by a newer banger (schema {}, known up to \
                     {CATALOG_SCHEMA_VERSION})",
                    path.display(),
                    header.schema
                ),
            )
            .with_hint("use the banger that wrote it, or a later one"));
        }
        let record: KernelRecord = serde_json::from_slice(&bytes).map_err(malformed)?;
        if record.name.as_str() != entry {
            return Err(Error::new(
                ErrorKind::Integrity,
                format!("{} is the record of kernel {}", path.display(), record.name),
            ));
        }
        Ok(KernelEntry { directory, record })
    }

    /// Removes a kernel, also one whose record is damaged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Exists`] when an unmanaged image of `store` uses it.
    pub fn remove(&self, store: &Store, name: &str) -> Result<(), Error> {
        self.shelf.sweep()?;
        let lock = self.shelf.lock()?;
        self.check_unused(store, name)?;
        let retired = lock.retire(name)?;
        drop(lock);
        retired.map_or(Ok(()), Staging::discard)
    }

    /// Checks that a kernel is there, though perhaps with a damaged record, and that no unmanaged image of
    /// `store` uses it.
    ///
    /// # Errors
    ///
    /// As for [`Catalog::remove`].
    pub fn check_unused(&self, store: &Store, name: &str) -> Result<(), Error> {
        let directory = match self.find(name) {
            Ok(entry) => entry.directory,
            Err(error) if error.kind() == ErrorKind::Integrity => self.shelf.path().join(name),
            Err(error) => return Err(error),
        };
        let users: Vec<String> = store
            .list()?
            .images
            .iter()
            .filter(|image| {
                let kernel = &image.record().artifacts.kernel;
                kernel
                    .as_ref()
                    .is_some_and(|path| path.starts_with(&directory))
            })
            .map(|image| image.record().name.to_string())
            .collect();
        if !users.is_empty() {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("kernel {name} is in use by {}", users.join(", ")),
            )
            .with_hint("`banger image promote` gives an image its own copy"));
        }
        Ok(())
    }
}

/// The files of a kernel: those of the catalog without following links, those that the user named as they are.
pub(crate) struct KernelOrigins<'a> {
    found: &'a ResolvedKernel,
    entry: Option<Directory>,
}

impl<'a> KernelOrigins<'a> {
    pub(crate) fn of(found: &'a ResolvedKernel) -> Result<Self, Error> {
        let entry = found.catalog_entry.as_deref().map(open_published);
        Ok(Self {
            found,
            entry: entry.transpose()?,
        })
    }

    pub(crate) fn kernel(&self) -> Origin<'_> {
        self.origin(&self.found.kernel, KERNEL_FILE)
    }

    pub(crate) fn initrd(&self) -> Option<Origin<'_>> {
        let path = self.found.initrd.as_deref()?;
        Some(self.origin(path, INITRD_FILE))
    }

    pub(crate) fn modules(&self) -> Option<Origin<'_>> {
        let path = self.found.modules.as_deref()?;
        Some(self.origin(path, MODULES_DIRECTORY))
    }

    fn origin<'b>(&'b self, path: &'b Path, name: &'static str) -> Origin<'b> {
        match &self.entry {
            Some(entry) => Origin::Own(entry, name),
            None => Origin::Named(path),
        }
    }
}

/// Copies a kernel's files into a directory, under the names that every directory of the store uses.
fn copy_kernel(
    found: &ResolvedKernel,
    target: &Directory,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let files = KernelOrigins::of(found)?;
    copy_file(files.kernel(), target, KERNEL_FILE, is_cancelled)?;
    if let Some(initrd) = files.initrd() {
        copy_file(initrd, target, INITRD_FILE, is_cancelled)?;
    }
    if let Some(modules) = files.modules() {
        copy_tree(modules, target, MODULES_DIRECTORY, is_cancelled)?;
    }
    Ok(())
}
