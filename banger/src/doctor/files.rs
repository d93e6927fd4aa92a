//! The places that banger keeps things in, and what it reads of others.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use oci_flatten::small_file;
use serde_json::Value;

use super::{Check, State};
use crate::config::Config;
use crate::error::Error;
use crate::places::Places;
use crate::size::format_size;

/// Below this much free space, a pull is likely to fail.
const LITTLE_SPACE: u64 = 2 << 30;

/// Bytes of a file of credentials that are looked at.
const CREDENTIALS_LIMIT: u64 = 1 << 20;

/// Whether images and layers can be kept, and how well.
pub(super) fn places(places: &Places) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, folder) in [("images", &places.images), ("layer cache", &places.cache)] {
        checks.push(space(name, folder));
    }
    checks.push(reflinks(&places.images));
    checks
}

/// Whether a folder can be written to, and how much fits.
fn space(name: &str, folder: &Path) -> Check {
    let existing = nearest(folder);
    // A nameless file or one that is removed at once: nothing is left.
    if let Err(error) = tempfile::tempfile_in(&existing) {
        let error = Error::io(format!("write to {}", existing.display()), error);
        let advice = "make it writable, or set BANGER_HOME to a directory that is";
        return Check::failed(name, &error, advice);
    }
    let free = match rustix::fs::statvfs(&existing) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            let error = Error::io(
                format!("look at {}", existing.display()),
                io::Error::from(error),
            );
            return Check::failed(name, &error, "set BANGER_HOME to another directory");
        }
    };
    let found = format!("{}, {} free", folder.display(), format_size(free));
    match free < LITTLE_SPACE {
        true => Check::missing(
            name,
            found,
            "free some space, for example with `banger cache prune`, or set BANGER_HOME to another directory",
        ),
        false => Check::ok(name, found),
    }
}

/// Whether copies of an image share its blocks.
fn reflinks(folder: &Path) -> Check {
    const NAME: &str = "reflinks";
    let existing = nearest(folder);
    let cloned = tempfile::tempfile_in(&existing).and_then(|source| {
        let target = tempfile::tempfile_in(&existing)?;
        rustix::fs::ioctl_ficlone(&target, &source)?;
        Ok(())
    });
    match cloned {
        Ok(()) => Check::ok(NAME, "copies share blocks with their originals"),
        Err(_) => Check::missing(
            NAME,
            format!("the filesystem of {} has none", existing.display()),
            "copies of images take time and space; btrfs, and XFS as mkfs.xfs makes it, share blocks",
        ),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the way to the store may lead through links"
)]
/// The nearest directory above, or the path itself, that is there.
fn nearest(path: &Path) -> PathBuf {
    let existing = path.ancestors().find(|above| above.is_dir());
    existing.unwrap_or(Path::new("/")).to_owned()
}

/// The files of credentials that are there, and whom they are for.
pub(super) fn credentials(config: &Config) -> Check {
    const NAME: &str = "credentials";
    let mut found = Vec::new();
    for file in config.registry.credentials.paths() {
        match small_file::read(&file, CREDENTIALS_LIMIT) {
            Ok(bytes) => found.push(format!("{} ({})", file.display(), registries(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let error = Error::io(format!("read {}", file.display()), error);
                return Check::failed(
                    NAME,
                    &error,
                    "make it readable, or name another with --authfile",
                );
            }
        }
    }
    match found.is_empty() {
        true => Check::missing(
            NAME,
            "none: public images only",
            "log in with `podman login HOST` or `docker login HOST`",
        ),
        false => Check::ok(NAME, found.join(", ")),
    }
}

/// The registries that a file of credentials names.
fn registries(bytes: &[u8]) -> String {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return "not JSON".into();
    };
    let tables = ["auths", "credHelpers"]
        .into_iter()
        .filter_map(|key| document[key].as_object());
    let mut hosts: Vec<&str> = tables
        .flat_map(|table| table.keys().map(String::as_str))
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    match hosts.is_empty() {
        true => "no registry".into(),
        false => hosts.join(", "),
    }
}

#[expect(clippy::disallowed_methods, reason = "the path is the user's")]
/// Whether certificates of registries can be checked.
pub(super) fn certificates(config: &Config) -> Check {
    let mut bundles = config.registry.trust.bundles.iter();
    match bundles.find(|bundle| bundle.is_file()) {
        Some(bundle) => Check::ok("certificates", bundle.display().to_string()),
        None => Check::missing(
            "certificates",
            "no bundle of certificate authorities",
            "install the package ca-certificates, or set SSL_CERT_FILE",
        ),
    }
}

/// Whether the daemon answers, where commands are to use it.
pub(super) fn daemon(config: &Config) -> Check {
    let socket = &config.places.socket;
    let path = socket.display();
    match (UnixStream::connect(socket), config.use_daemon) {
        (Ok(_), _) => Check::ok("daemon", format!("listens on {path}")),
        (Err(_), false) => Check::ok("daemon", "not used"),
        (Err(error), true) => Check {
            state: State::Failed,
            ..Check::missing(
                "daemon",
                format!("does not answer on {path}: {error}"),
                "start it with `banger daemon`, or set daemon.use to false",
            )
        },
    }
}
