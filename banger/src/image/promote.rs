//! From an image whose artifacts lie elsewhere to one that owns them.

use std::io;
use std::path::PathBuf;

use oci_flatten::directory::Directory;

use super::initrd::{self, InitrdRequest, has_init};
use super::{CONFIG_FILE, MANIFEST_FILE, Made, ROOTFS_FILE, WORK_SEED_FILE};
use crate::artifact::{Origin, copy_file, failed, failed_in, write_new};
use crate::error::{Error, ErrorKind};
use crate::initrd::InitrdContents;
use crate::kernel::{INITRD_FILE, KERNEL_FILE, Problems};
use crate::packages::PACKAGES_FILE;
use crate::store::{Artifacts, ImageRecord, SCHEMA_VERSION, Store};
use crate::watch::{Observer, Step};

/// Copies the artifacts of an unmanaged image into the store and makes it managed, in one step.
///
/// # Errors
///
/// [`ErrorKind::Exists`] when it is managed already or another run promotes it; everything that is no
/// longer there at once; a copy that fails. The image stays as it was then.
pub fn promote(store: &Store, selector: &str, observer: &dyn Observer) -> Result<Made, Error> {
    let image = store.find(selector)?;
    if image.record().managed {
        return Err(Error::new(
            ErrorKind::Exists,
            format!("image {} is managed already", image.record().name),
        ));
    }
    let sources = image.artifacts();
    check(&sources)?;
    let staging = store.stage_again(&image)?;
    observer.begin(Step::Stage)?;
    let target = staging.directory();
    let mut artifacts = copy(&sources, target, &|| observer.is_cancelled())?;
    let contents = match &image.record().initrd {
        Some(contents) => Some(contents.clone()),
        None => make_initrd(image.record(), &sources, target, &mut artifacts)?,
    };
    let before = image.open_directory()?;
    for name in [MANIFEST_FILE, CONFIG_FILE, PACKAGES_FILE] {
        carry(&before, target, name)?;
    }
    observer.begin(Step::Publish)?;
    let image = store.publish_again(staging, image.record().id, |record| ImageRecord {
        schema: SCHEMA_VERSION,
        managed: true,
        artifacts,
        initrd: contents,
        ..record
    })?;
    observer.step(Step::Done);
    Ok(Made {
        image,
        warnings: Vec::new(),
    })
}

/// Whether every artifact is still there.
fn check(sources: &Artifacts) -> Result<(), Error> {
    let mut problems = Problems::default();
    let named = [
        ("rootfs", Some(&sources.rootfs)),
        ("kernel", sources.kernel.as_ref()),
        ("initrd", sources.initrd.as_ref()),
        ("modules", sources.modules.as_ref()),
        ("work-seed", sources.work_seed.as_ref()),
    ];
    for (name, path) in named {
        let Some(path) = path else { continue };
        #[expect(
            clippy::disallowed_methods,
            reason = "the user has named the path, and may mean what a link leads to"
        )]
        let found = std::fs::metadata(path).map_err(|error| failed("read", path, error));
        problems.take(name, found);
    }
    problems.into_result().map_err(|error| {
        let hint = "put it back where it was, or remove the image and register it anew";
        error.with_hint(hint)
    })
}

fn copy(
    sources: &Artifacts,
    directory: &Directory,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Artifacts, Error> {
    let file = |source: Option<&PathBuf>, name: &str| -> Result<Option<PathBuf>, Error> {
        let Some(source) = source else {
            return Ok(None);
        };
        copy_file(Origin::Named(source), directory, name, is_cancelled)?;
        Ok(Some(name.into()))
    };
    file(Some(&sources.rootfs), ROOTFS_FILE)?;
    // The modules that the initrd takes are in it.
    Ok(Artifacts {
        rootfs: ROOTFS_FILE.into(),
        kernel: file(sources.kernel.as_ref(), KERNEL_FILE)?,
        initrd: file(sources.initrd.as_ref(), INITRD_FILE)?,
        work_seed: file(sources.work_seed.as_ref(), WORK_SEED_FILE)?,
        modules: None,
    })
}

/// Makes the initrd of an image that was registered before banger made any, in the place of the user's own.
fn make_initrd(
    record: &ImageRecord,
    sources: &Artifacts,
    directory: &Directory,
    artifacts: &mut Artifacts,
) -> Result<Option<InitrdContents>, Error> {
    let machine = record.kernel.as_ref().map(|kernel| kernel.architecture);
    let image = record.boot.as_ref().and_then(|boot| boot.architecture);
    let Some(uuid) = record
        .filesystem_uuid
        .as_deref()
        .filter(|_| has_init(machine, image))
    else {
        return Ok(None);
    };
    if artifacts.initrd.is_some() {
        directory
            .remove_file(INITRD_FILE)
            .map_err(|error| failed_in("remove", directory, INITRD_FILE, error))?;
    }
    let request = InitrdRequest {
        name: &record.name,
        init: &record.init,
        uuid,
        read_only: record.read_only,
        config: None,
        own: sources.initrd.as_deref().map(Origin::Named),
        modules: sources.modules.as_deref().map(Origin::Named),
    };
    let (path, contents) = initrd::make(directory, &request)?;
    artifacts.initrd = Some(path);
    Ok(Some(contents))
}

/// Bytes of a small file that is carried over; manifests and configurations have the same limit when they are pulled.
const CARRIED_LIMIT: u64 = 4 << 20;

/// Carries a small file over from the directory that is replaced, where it has one.
fn carry(from: &Directory, to: &Directory, name: &str) -> Result<(), Error> {
    match from.read(name, CARRIED_LIMIT) {
        Ok(bytes) => write_new(to, name, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed_in("read", from, name, error)),
    }
}
