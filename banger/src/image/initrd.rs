//! The initrd of an image, in the image's directory.

use std::path::PathBuf;

use banger_init::{InitMode, Network, Overrides, Root, RootMode, SCHEMA_VERSION, Spec};
use oci_flatten::directory::Directory;

use crate::artifact::Origin;
use crate::error::{Error, ErrorKind};
use crate::initrd::{self, Ingredients, InitrdContents, init_architecture};
use crate::kernel::{Architecture, INITRD_FILE};
use crate::store::Name;

/// The longest host name (`HOST_NAME_MAX`, gethostname(2)).
const HOST_NAME_LIMIT: usize = 64;

/// Whether the init that banger carries runs on the machine: the kernel's architecture decides, and where there
/// is no kernel yet, the image's.
pub(super) fn has_init(kernel: Option<Architecture>, image: Option<Architecture>) -> bool {
    kernel
        .or(image)
        .is_none_or(|machine| Some(machine) == init_architecture())
}

/// What an initrd is made for.
pub(super) struct InitrdRequest<'a> {
    pub(super) name: &'a Name,
    pub(super) init: &'a InitMode,
    /// UUID of the root filesystem.
    pub(super) uuid: &'a str,
    /// Whether the filesystem is made to be mounted read-only.
    pub(super) read_only: bool,
    /// The OCI image configuration, byte for byte.
    pub(super) config: Option<&'a [u8]>,
    /// An initrd of the user's own, and the module directory.
    pub(super) own: Option<Origin<'a>>,
    pub(super) modules: Option<Origin<'a>>,
}

/// Makes the initrd in `directory`; returns its name there.
pub(super) fn make(
    directory: &Directory,
    request: &InitrdRequest<'_>,
) -> Result<(PathBuf, InitrdContents), Error> {
    let document = request
        .config
        .map(serde_json::from_slice::<serde_json::Value>);
    let document = document.transpose().map_err(|error| {
        Error::new(ErrorKind::Integrity, "the image configuration is malformed").with_source(error)
    })?;
    let config =
        document.and_then(|mut document| document.get_mut("config").map(serde_json::Value::take));
    let spec = Spec {
        schema: SCHEMA_VERSION,
        root: Root {
            uuid: request.uuid.to_owned(),
            mode: match request.read_only {
                true => RootMode::ReadOnly,
                false => RootMode::ReadWrite,
            },
        },
        init: request.init.clone(),
        config: config.unwrap_or_default(),
        overrides: Overrides::default(),
        modules: Vec::new(),
        hostname: Some(
            request
                .name
                .as_str()
                .chars()
                .take(HOST_NAME_LIMIT)
                .collect(),
        ),
        network: Network::Dhcp,
        mounts: Vec::new(),
        streams: None,
    };
    let ingredients = Ingredients {
        own: request.own,
        modules: request.modules,
    };
    let contents = initrd::write(directory, INITRD_FILE, &spec, &ingredients)?;
    Ok((INITRD_FILE.into(), contents))
}
