//! The initrd with which an image boots: banger's init, a spec that says what it is to do, and the modules
//! that the kernel needs to reach its disk.
//!
//! The archive goes behind an initrd of the user's own where there is one: the kernel unpacks several
//! in a row, and later files take the place of earlier ones.

mod cpio;
mod modinfo;
mod modules;

use std::fs::File;
use std::io::{self, Read, Write};

pub use banger_init::{Event, InitMode};
use banger_init::{MODULES_DIRECTORY, SPEC_PATH, Spec};
use flate2::Compression;
use flate2::write::GzEncoder;
use oci_flatten::directory::Directory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::{Origin, failed, failed_in};
use crate::error::{Error, ErrorKind};
use crate::kernel::Architecture;
use cpio::Archive;

/// The init, as the build script made it.
static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// What an initrd holds.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InitrdContents {
    /// The length of the file, in bytes.
    pub bytes: u64,
    /// How many of them are the user's own initrd, which comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_bytes: Option<u64>,
    /// The kernel modules, in the order in which they are loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
}

/// What an initrd is made from, beside the spec.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ingredients<'a> {
    /// An initrd of the user's own.
    pub(crate) own: Option<Origin<'a>>,
    /// The module directory of the kernel.
    pub(crate) modules: Option<Origin<'a>>,
}

/// The architecture of the init that this program carries.
pub(crate) fn init_architecture() -> Option<Architecture> {
    match std::env::consts::ARCH {
        "x86" => Some(Architecture::I386),
        "x86_64" => Some(Architecture::Amd64),
        "aarch64" => Some(Architecture::Arm64),
        "riscv64" => Some(Architecture::Riscv64),
        _ => None,
    }
}

/// Writes an initrd into a directory of ours under a name that nothing has, and syncs it. The modules of `spec`
/// are those that are found to be needed.
pub(crate) fn write(
    directory: &Directory,
    name: &str,
    spec: &Spec,
    from: &Ingredients<'_>,
) -> Result<InitrdContents, Error> {
    let modules = match from.modules {
        Some(modules) => modules::collect(modules.open_directory()?.path())?,
        None => Vec::new(),
    };
    let file_name = |module: &modules::Module| format!("{}.ko", module.name);
    let spec = Spec {
        modules: modules.iter().map(file_name).collect(),
        ..spec.clone()
    };
    let written = |error| failed_in("write", directory, name, error);
    let mut file = directory.create_file(name).map_err(written)?;
    let own_bytes = match from.own {
        Some(own) => Some(copy_own(own, &mut file).map_err(|error| match error {
            Failed::Read(error) => error,
            Failed::Write(error) => written(error),
        })?),
        None => None,
    };
    let bytes = archive(&spec, &modules).map_err(written)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(written)?;
    let length = file.metadata().map_err(written)?.len();
    Ok(InitrdContents {
        bytes: length,
        own_bytes,
        modules: modules.into_iter().map(|module| module.name).collect(),
    })
}

enum Failed {
    Read(Error),
    Write(io::Error),
}

/// Copies the user's initrd, padded as the kernel wants it between archives. Returns its length.
fn copy_own(own: Origin<'_>, to: &mut File) -> Result<u64, Failed> {
    let (mut from, _) = own.open_file().map_err(Failed::Read)?;
    let mut buffer = vec![0; 256 << 10];
    let mut length: u64 = 0;
    loop {
        let count = from
            .read(&mut buffer)
            .map_err(|error| Failed::Read(failed("read", &own.path(), error)))?;
        if count == 0 {
            break;
        }
        to.write_all(&buffer[..count]).map_err(Failed::Write)?;
        length += count as u64;
    }
    let padding = length.next_multiple_of(4) - length;
    to.write_all(&[0; 3][..padding as usize])
        .map_err(Failed::Write)?;
    Ok(length)
}

/// The archive, compressed with gzip, which every kernel that distributions build reads.
fn archive(spec: &Spec, modules: &[modules::Module]) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new(GzEncoder::new(Vec::new(), Compression::default()));
    archive.directory("dev")?;
    // The kernel opens it for the init before devtmpfs is mounted.
    archive.character_device("dev/console", (5, 1))?;
    archive.file("init", 0o755, INIT)?;
    let directory = MODULES_DIRECTORY.trim_start_matches('/');
    if !modules.is_empty() {
        archive.directory(directory)?;
    }
    for module in modules {
        let path = format!("{directory}/{}.ko", module.name);
        archive.file(&path, 0o644, &module.bytes)?;
    }
    archive.file(SPEC_PATH.trim_start_matches('/'), 0o600, &spec.to_json())?;
    archive.finish()?.finish()
}

/// The error for an image that this program has no init for.
pub(crate) fn no_init_for(image: Architecture) -> Error {
    let own = init_architecture().map_or("this machine".to_owned(), |own| own.to_string());
    Error::new(
        ErrorKind::Failure,
        format!("the image is for {image}, and this banger has an init for {own} only"),
    )
    .with_hint("use a banger that was built for the image's architecture")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use banger_init::{InitMode, Network, Root, SCHEMA_VERSION};

    use super::*;

    fn spec() -> Spec {
        Spec {
            schema: SCHEMA_VERSION,
            root: Root {
                uuid: "x".into(),
                mode: banger_init::RootMode::ReadWrite,
            },
            init: InitMode::Auto,
            config: serde_json::Value::Null,
            overrides: banger_init::Overrides::default(),
            modules: Vec::new(),
            hostname: None,
            network: Network::None,
            mounts: Vec::new(),
            streams: None,
        }
    }

    #[test]
    fn the_init_is_a_static_program_of_the_promised_size() {
        assert!(INIT.len() <= 1_500_000, "{} bytes", INIT.len());
        assert_eq!(Architecture::from_elf(INIT), init_architecture());
        // PT_INTERP is what a dynamic program has.
        let text = INIT.windows(3).any(|window| window == b"ld-");
        assert!(!text || !INIT.windows(8).any(|window| window == b"/lib64/l"));
    }

    #[test]
    fn an_initrd_is_the_same_each_time_and_comes_behind_the_users_own() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("own"), b"070701own").unwrap();
        let own = at("own");
        let ingredients = Ingredients {
            own: Some(Origin::Named(&own)),
            modules: None,
        };
        let directory = Directory::open(folder.path()).unwrap();
        let contents = write(&directory, "1", &spec(), &ingredients).unwrap();
        write(&directory, "2", &spec(), &ingredients).unwrap();
        let bytes = fs::read(at("1")).unwrap();
        assert_eq!(bytes, fs::read(at("2")).unwrap());
        assert!(bytes.starts_with(b"070701own\0\0\0\x1f\x8b"));
        assert_eq!(contents.own_bytes, Some(9));
        assert_eq!(contents.bytes, bytes.len() as u64);
        assert!(contents.bytes < 2 << 20, "{} bytes", contents.bytes);
        let error = write(&directory, "1", &spec(), &ingredients).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
    }
}
