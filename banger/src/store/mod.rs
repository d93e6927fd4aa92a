//! The images on disk: one directory each, published by one rename, named by their records.
//!
//! ```text
//! images/<id>/            a complete image; `image.json` is its record
//! images/<id>.staging/    an image in the making or on its way out, never listed
//! images/.lock            held for the moment of a check and a rename
//! ```
//!
//! Reading takes no lock. Whatever a killed run leaves is a `.staging` directory, and every operation
//! that writes removes those first ([`Store::sweep`]).

mod name;
mod record;
pub(crate) mod shelf;

use std::fs::File;
use std::path::{Path, PathBuf};

use oci_flatten::lock::Waiter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use name::{ImageId, NAME_LIMIT, Name, short_ids};
pub use record::{Artifacts, ImageRecord, RECORD_FILE, SCHEMA_VERSION, Sizes, Unreadable};
pub(crate) use record::{RECORD_LIMIT, now};

use crate::artifact::{Origin, failed_in, open_disk, write_new};
use crate::error::{Error, ErrorKind};
use oci_flatten::directory::{Directory, FileKind};
use shelf::{Shelf, ShelfLock, Staging, open_published};

/// All images of an installation.
#[derive(Clone, Debug)]
pub struct Store {
    shelf: Shelf,
}

/// A published image.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// The image's directory in the store.
    directory: PathBuf,
    #[serde(flatten)]
    record: ImageRecord,
}

impl Image {
    /// The image's directory in the store.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the store knows of it.
    #[must_use]
    pub fn record(&self) -> &ImageRecord {
        &self.record
    }

    /// Absolute paths of the artifacts.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        self.record.artifacts.under(&self.directory)
    }

    /// The image's directory, open.
    pub(crate) fn open_directory(&self) -> Result<Directory, Error> {
        open_published(&self.directory)
    }

    /// Whether an artifact of the image is there. One of a managed image must be in its directory itself, not behind
    /// a link.
    #[expect(
        clippy::disallowed_methods,
        reason = "the user has named the paths of what is not managed"
    )]
    pub(crate) fn holds(&self, artifact: &Path) -> bool {
        match (self.record.managed, artifact.file_name()) {
            (true, Some(name)) => self
                .open_directory()
                .and_then(|directory| {
                    directory
                        .facts(name)
                        .map_err(|error| failed_in("read", &directory, name, error))
                })
                .is_ok_and(|facts| matches!(facts.kind, FileKind::File | FileKind::Directory)),
            _ => artifact.exists(),
        }
    }

    /// The root filesystem, open for reading: a file, or where the user has registered one, a block device.
    pub(crate) fn open_rootfs(&self) -> Result<File, Error> {
        let rootfs = &self.record.artifacts.rootfs;
        match (self.record.managed, rootfs.to_str()) {
            (true, Some(name)) => {
                let directory = self.open_directory()?;
                Ok(Origin::Own(&directory, name).open_file()?.0)
            }
            _ => open_disk(&self.artifacts().rootfs),
        }
    }
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// The images, oldest first.
    pub images: Vec<Image>,
    /// Images whose records cannot be read, oldest first.
    pub unreadable: Vec<Unreadable>,
}

impl Store {
    /// The store in the directory `images`, which is made when the first image is.
    #[must_use]
    pub fn new(images: PathBuf) -> Self {
        Self {
            shelf: Shelf::new(images),
        }
    }

    /// The same store, for someone who waits for its lock in another way.
    #[must_use]
    pub fn waiting_as(self, waiter: Waiter) -> Self {
        Self {
            shelf: self.shelf.waiting_as(waiter),
        }
    }

    /// The directory that holds the images.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.shelf.path()
    }

    /// Reads every record. A record that cannot be read does not hide the others.
    ///
    /// # Errors
    ///
    /// The directory itself cannot be read.
    pub fn list(&self) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        let Some(root) = self.shelf.open()? else {
            return Ok(listing);
        };
        for entry in self.shelf.published()? {
            let Some(id) = ImageId::from_directory(&entry) else {
                continue;
            };
            let directory = self.path().join(&entry);
            match ImageRecord::read(id, &root) {
                Some(Ok(record)) => listing.images.push(Image { directory, record }),
                Some(Err(unreadable)) => listing.unreadable.push(unreadable),
                None => {}
            }
        }
        Ok(listing)
    }

    /// The image that `selector` names: its name, its id, or the beginning or the last eight digits of its id and of
    /// no other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Usage`] when there are several, and
    /// what is wrong with its record when that cannot be read.
    pub fn find(&self, selector: &str) -> Result<Image, Error> {
        match self.select(selector)? {
            Selected::Image(image) => Ok(*image),
            Selected::Unreadable(unreadable) => Err(unreadable.error),
        }
    }

    /// The id of the image that `selector` names, even when its record cannot be read.
    ///
    /// # Errors
    ///
    /// As for [`Store::find`], but for the record.
    pub fn identify(&self, selector: &str) -> Result<ImageId, Error> {
        Ok(self.select(selector)?.id())
    }

    fn select(&self, selector: &str) -> Result<Selected, Error> {
        let listing = self.list()?;
        let mut candidates: Vec<Selected> = listing
            .images
            .into_iter()
            .map(|image| Selected::Image(Box::new(image)))
            .chain(
                listing
                    .unreadable
                    .into_iter()
                    .map(|one| Selected::Unreadable(Box::new(one))),
            )
            .collect();
        if let Some(index) = candidates
            .iter()
            .position(|one| one.name() == Some(selector))
        {
            return Ok(candidates.swap_remove(index));
        }
        candidates.retain(|one| one.id().is_meant_by(selector));
        match candidates.len() {
            1 => Ok(candidates.swap_remove(0)),
            0 => Err(Error::new(
                ErrorKind::NotFound,
                format!("no image has the name {selector} or an ID starting with it"),
            )
            .with_hint("`banger image list` shows what there is")),
            count => {
                let ids: Vec<String> = candidates.iter().map(|one| one.id().to_string()).collect();
                Err(Error::new(
                    ErrorKind::Usage,
                    format!("{selector} stands for {count} images: {}", ids.join(" ")),
                )
                .with_hint("give more of the id, or the name"))
            }
        }
    }

    /// Refuses a name that a published image has. A cheap first check: the one that counts is made
    /// under the lock.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exists`].
    pub fn check_name(&self, name: &Name) -> Result<(), Error> {
        let listing = self.list()?;
        let published = listing.images.iter().map(|image| &image.record.name);
        let unreadable = listing
            .unreadable
            .iter()
            .filter_map(|one| one.name.as_ref());
        match published.chain(unreadable).any(|taken| taken == name) {
            true => Err(name_taken(name)),
            false => Ok(()),
        }
    }

    /// Removes what killed runs have left behind, and nothing that a living one is making.
    ///
    /// # Errors
    ///
    /// The store cannot be locked or read.
    pub fn sweep(&self) -> Result<(), Error> {
        self.shelf.sweep()
    }

    /// As [`sweep`](Self::sweep), where there is a store; none is made for it.
    pub(crate) fn sweep_existing(&self) -> Result<(), Error> {
        match self.shelf.open()? {
            Some(_) => self.sweep(),
            None => Ok(()),
        }
    }

    /// Sweeps, reserves the name and makes the staging directory of a fresh image.
    pub(crate) fn stage(&self, name: &Name) -> Result<(ImageId, Staging), Error> {
        self.sweep()?;
        let lock = self.shelf.lock()?;
        self.check_name_under(&lock, name)?;
        let id = ImageId::fresh();
        Ok((id, lock.stage(&id.to_string(), Some(name))?))
    }

    /// Writes the record next to the synced artifacts and publishes all of them together.
    pub(crate) fn publish(&self, staging: Staging, record: ImageRecord) -> Result<Image, Error> {
        write_new(staging.directory(), RECORD_FILE, &record.to_bytes()?)?;
        let lock = self.shelf.lock()?;
        // The reservation has kept the name from other runs, but not from an image copied in by hand.
        self.check_name(&record.name)?;
        let directory = lock.publish(staging, &record.id.to_string())?;
        Ok(Image { directory, record })
    }

    /// Makes the staging directory in which a published image is made anew.
    pub(crate) fn stage_again(&self, image: &Image) -> Result<Staging, Error> {
        self.sweep()?;
        self.shelf.lock()?.stage(&image.record.id.to_string(), None)
    }

    /// Puts what was staged in the place of the published image, in one step. `revise` gets the record
    /// as it is now, for it may have been renamed since.
    pub(crate) fn publish_again(
        &self,
        mut staging: Staging,
        id: ImageId,
        revise: impl FnOnce(ImageRecord) -> ImageRecord,
    ) -> Result<Image, Error> {
        let lock = self.shelf.lock()?;
        let current = self.find(&id.to_string())?;
        let record = revise(current.record);
        write_new(staging.directory(), RECORD_FILE, &record.to_bytes()?)?;
        let directory = lock.exchange(&mut staging, &id.to_string())?;
        drop(lock);
        staging.discard()?;
        Ok(Image { directory, record })
    }

    /// Gives an image another name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], or [`ErrorKind::Exists`] when the name is taken.
    pub fn rename(&self, selector: &str, name: &Name) -> Result<Image, Error> {
        self.sweep()?;
        let lock = self.shelf.lock()?;
        let mut image = self.find(selector)?;
        if image.record.name == *name {
            return Ok(image);
        }
        self.check_name_under(&lock, name)?;
        image.record.name = name.clone();
        let directory = image.open_directory()?;
        directory
            .replace(RECORD_FILE, &image.record.to_bytes()?)
            .map_err(|error| failed_in("write", &directory, RECORD_FILE, error))?;
        Ok(image)
    }

    /// Removes an image: a managed one with its artifacts, an unmanaged one's record only. Returns its
    /// id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Exists`] when it is being promoted; a record from a newer
    /// version is refused, for it may mean things that this version would lose.
    pub fn remove(&self, selector: &str) -> Result<ImageId, Error> {
        self.sweep()?;
        let lock = self.shelf.lock()?;
        let id = match self.select(selector)? {
            Selected::Image(image) => image.record.id,
            Selected::Unreadable(unreadable) if unreadable.newer => return Err(unreadable.error),
            Selected::Unreadable(unreadable) => unreadable.id,
        };
        let retired = lock.retire(&id.to_string())?;
        drop(lock);
        retired.map_or(Ok(()), Staging::discard)?;
        Ok(id)
    }

    fn check_name_under(&self, lock: &ShelfLock, name: &Name) -> Result<(), Error> {
        self.check_name(name)?;
        if lock.is_reserved(name)? {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("image {name} is being made by another run"),
            )
            .with_hint("wait for it to end, or choose another name"));
        }
        Ok(())
    }
}

enum Selected {
    Image(Box<Image>),
    Unreadable(Box<Unreadable>),
}

impl Selected {
    fn id(&self) -> ImageId {
        match self {
            Self::Image(image) => image.record.id,
            Self::Unreadable(unreadable) => unreadable.id,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Image(image) => Some(image.record.name.as_str()),
            Self::Unreadable(unreadable) => unreadable.name.as_ref().map(Name::as_str),
        }
    }
}

fn name_taken(name: &Name) -> Error {
    Error::new(ErrorKind::Exists, format!("image {name} exists already")).with_hint(format!(
        "choose another name, or remove it with `banger image remove {name}`"
    ))
}
