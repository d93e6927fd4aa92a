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

/// One of the places, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    /// What is kept there.
    pub what: &'static str,
    /// Where it is below `BANGER_HOME`.
    pub under_home: &'static str,
    /// Where it is for root.
    pub system: &'static str,
    /// The base directory of an ordinary user.
    pub base: Base,
    /// Where it is below `banger` in that directory.
    pub below: &'static str,
}

/// A base directory of the XDG base directory specification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Base {
    /// Data.
    Data,
    /// Cache.
    Cache,
    /// Configuration.
    Config,
    /// Sockets; without a default, so that data stands in.
    Runtime,
}

impl Base {
    /// The variable that names it.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Data => "XDG_DATA_HOME",
            Self::Cache => "XDG_CACHE_HOME",
            Self::Config => "XDG_CONFIG_HOME",
            Self::Runtime => "XDG_RUNTIME_DIR",
        }
    }

    /// What holds below `HOME` where the variable is not set.
    fn fallback(self) -> &'static str {
        match self {
            Self::Data | Self::Runtime => ".local/share",
            Self::Cache => ".cache",
            Self::Config => ".config",
        }
    }
}

/// Managed images.
pub const IMAGES: Location = Location {
    what: "images",
    under_home: "images",
    system: "/var/lib/banger/images",
    base: Base::Data,
    below: "images",
};

/// The kernel catalog.
pub const KERNELS: Location = Location {
    what: "kernels",
    under_home: "kernels",
    system: "/var/lib/banger/kernels",
    base: Base::Data,
    below: "kernels",
};

/// The layer cache.
pub const CACHE: Location = Location {
    what: "layer cache",
    under_home: "cache/oci",
    system: "/var/cache/banger/oci",
    base: Base::Cache,
    below: "oci",
};

/// The configuration file.
pub const CONFIG_FILE: Location = Location {
    what: "configuration file",
    under_home: "config.toml",
    system: "/etc/banger/config.toml",
    base: Base::Config,
    below: "config.toml",
};

/// The daemon's socket.
pub const SOCKET: Location = Location {
    what: "socket of the daemon",
    under_home: "banger.sock",
    system: "/run/banger/banger.sock",
    base: Base::Runtime,
    below: "banger.sock",
};

/// Every place.
pub const LOCATIONS: &[Location] = &[IMAGES, KERNELS, CACHE, CONFIG_FILE, SOCKET];

impl Location {
    /// The path by the environment: `BANGER_HOME` puts everything under one folder; else root gets the
    /// system's folders, and an ordinary user the XDG base directories (relative values are ignored, as
    /// the XDG base directory specification asks).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] when an ordinary user has neither `HOME` nor the XDG variable set.
    pub fn path(
        &self,
        root: bool,
        variable: &impl Fn(&str) -> Option<OsString>,
    ) -> Result<PathBuf, Error> {
        let folder = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        if let Some(home) = variable("BANGER_HOME").filter(|home| !home.is_empty()) {
            return Ok(Path::new(&home).join(self.under_home));
        }
        if root {
            return Ok(self.system.into());
        }
        let data = || match self.base {
            Base::Runtime => folder(Base::Data.variable()),
            _ => None,
        };
        let base = folder(self.base.variable())
            .or_else(data)
            .or_else(|| folder("HOME").map(|home| home.join(self.base.fallback())));
        let base = base.ok_or_else(|| {
            let name = self.base.variable();
            let message = format!("neither {name} nor HOME is an absolute path");
            Error::new(ErrorKind::Usage, message)
                .with_hint("set BANGER_HOME to a folder that banger may write to")
        })?;
        Ok(base.join("banger").join(self.below))
    }
}

impl Places {
    /// Everything under one folder.
    #[must_use]
    pub fn under(home: &Path) -> Self {
        Self {
            images: home.join(IMAGES.under_home),
            kernels: home.join(KERNELS.under_home),
            cache: home.join(CACHE.under_home),
            config_file: home.join(CONFIG_FILE.under_home),
            socket: home.join(SOCKET.under_home),
        }
    }

    /// The places by the environment.
    ///
    /// # Errors
    ///
    /// As for [`Location::path`].
    pub fn from_environment(
        root: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        Ok(Self {
            images: IMAGES.path(root, &variable)?,
            kernels: KERNELS.path(root, &variable)?,
            cache: CACHE.path(root, &variable)?,
            config_file: CONFIG_FILE.path(root, &variable)?,
            socket: SOCKET.path(root, &variable)?,
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
