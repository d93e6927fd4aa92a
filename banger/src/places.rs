//! Where banger keeps its things.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// The folders and files of one installation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Places {
    /// Managed images, one folder each.
    pub images: PathBuf,
    /// The kernel catalog, one folder a kernel.
    pub kernels: PathBuf,
    /// The layer cache: an OCI image layout.
    pub cache: PathBuf,
    /// The configuration file.
    pub config_file: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
}

impl Places {
    /// Everything under one folder.
    #[must_use]
    pub fn under(home: &Path) -> Self {
        Self {
            images: home.join("images"),
            kernels: home.join("kernels"),
            cache: home.join("cache").join("oci"),
            config_file: home.join("config.toml"),
            socket: home.join("banger.sock"),
        }
    }

    /// The places by the environment: `BANGER_HOME` puts them all under one folder; else root gets
    /// `/var/lib`, `/var/cache`, `/etc` and `/run`, and an ordinary user the XDG base directories
    /// (relative values are ignored, as the XDG base directory specification asks).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] when an ordinary user has neither `HOME` nor the XDG variables set.
    pub fn from_environment(
        root: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let folder = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        if let Some(home) = variable("BANGER_HOME").filter(|home| !home.is_empty()) {
            return Ok(Self::under(Path::new(&home)));
        }
        if root {
            return Ok(Self {
                images: "/var/lib/banger/images".into(),
                kernels: "/var/lib/banger/kernels".into(),
                cache: "/var/cache/banger/oci".into(),
                config_file: "/etc/banger/config.toml".into(),
                socket: "/run/banger/banger.sock".into(),
            });
        }
        let base = |name: &str, fallback: &str| {
            folder(name)
                .or_else(|| folder("HOME").map(|home| home.join(fallback)))
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::Usage,
                        format!("neither {name} nor HOME is an absolute path"),
                    )
                    .with_hint("set BANGER_HOME to a folder that banger may write to")
                })
        };
        let data = base("XDG_DATA_HOME", ".local/share")?.join("banger");
        let cache = base("XDG_CACHE_HOME", ".cache")?.join("banger");
        let config = base("XDG_CONFIG_HOME", ".config")?.join("banger");
        let runtime =
            folder("XDG_RUNTIME_DIR").map_or_else(|| data.clone(), |dir| dir.join("banger"));
        Ok(Self {
            images: data.join("images"),
            kernels: data.join("kernels"),
            cache: cache.join("oci"),
            config_file: config.join("config.toml"),
            socket: runtime.join("banger.sock"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: bool, set: &[(&str, &str)]) -> Result<Places, Error> {
        Places::from_environment(root, |name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn banger_home_wins() {
        let found = places(true, &[("BANGER_HOME", "/b"), ("HOME", "/h")]).unwrap();
        assert_eq!(found, Places::under(Path::new("/b")));
    }

    #[test]
    fn root_uses_the_system_folders() {
        assert_eq!(
            places(true, &[]).unwrap().cache,
            Path::new("/var/cache/banger/oci")
        );
    }

    #[test]
    fn users_get_xdg_folders_and_relative_ones_are_ignored() {
        let set = [
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "relative"),
            ("XDG_DATA_HOME", "/d"),
        ];
        let found = places(false, &set).unwrap();
        assert_eq!(found.cache, Path::new("/h/.cache/banger/oci"));
        assert_eq!(found.images, Path::new("/d/banger/images"));
        assert_eq!(found.socket, Path::new("/d/banger/banger.sock"));
    }

    #[test]
    fn no_home_is_a_usage_error() {
        assert_eq!(places(false, &[]).unwrap_err().kind(), ErrorKind::Usage);
    }
}
