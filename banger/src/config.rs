//! Environment and configuration file, read once, as what the libraries are told.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use oci_flatten::credentials::CredentialPlaces;
use oci_flatten::registry::{Proxies, RegistryRules, RegistrySettings, Trust};
use oci_flatten::small_file;

use serde::Deserialize;

use crate::error::{Error, ErrorKind};
use crate::places::Places;

/// What holds for every command of one user on one machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where things are kept.
    pub places: Places,
    /// How registries are spoken to; arguments may add to it.
    pub registry: RegistrySettings,
    /// Whether commands are handed to the daemon.
    pub use_daemon: bool,
}

impl Config {
    /// Reads what `variable` gives of the environment, and the configuration file where there is one.
    ///
    /// The file holds `[[registry]]` tables as in containers-registries.conf(5), and a `[daemon]` table
    /// with `use` (whether commands are handed to the daemon) and `socket` (an absolute path).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for a configuration file that cannot be understood, and those of
    /// [`Places::from_environment`].
    pub fn load(user_id: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let mut places = Places::from_environment(user_id == 0, &variable)?;
        let named = set(&variable, "BANGER_HOME").is_some();
        let text = read(&places.config_file, named)?;
        let invalid = |error: Box<dyn std::error::Error + Send + Sync>| {
            let file = places.config_file.display();
            Error::new(
                ErrorKind::Usage,
                format!("configuration {file} is not valid"),
            )
            .with_source(error)
        };
        let rules = RegistryRules::parse(&text).map_err(|error| invalid(error.into()))?;
        let daemon = DaemonTable::parse(&text).map_err(|error| invalid(error.into()))?;
        if let Some(socket) = daemon.socket {
            places.socket = socket;
        }
        let registry = RegistrySettings {
            credentials: credential_places(user_id, &variable),
            trust: trust(&variable),
            proxies: proxies(&variable),
            rules,
            user_agent: concat!("banger/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..RegistrySettings::default()
        };
        Ok(Self {
            places,
            registry,
            use_daemon: daemon.r#use,
        })
    }
}

/// Bytes of the configuration file that are read.
const CONFIG_LIMIT: u64 = 1 << 20;

/// The text of the configuration file; empty where there is none, or where its place is the default one and closed
/// to us.
fn read(file: &Path, named: bool) -> Result<String, Error> {
    let failed = |error| Error::io(format!("read the configuration {}", file.display()), error);
    match small_file::read(file, CONFIG_LIMIT) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !named => {
            tracing::debug!(file = %file.display(), "configuration may not be read, and is passed over");
            Ok(String::new())
        }
        Err(error) => Err(failed(error)),
    }
}

/// The `[daemon]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DaemonTable {
    r#use: bool,
    socket: Option<PathBuf>,
}

impl DaemonTable {
    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct File {
            daemon: DaemonTable,
        }
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        match &file.daemon.socket {
            Some(socket) if !socket.is_absolute() => Err(format!(
                "socket of the daemon is not an absolute path: {}",
                socket.display()
            )),
            _ => Ok(file.daemon),
        }
    }
}

/// The places that podman documents (containers-auth.json(5)), then docker's.
fn credential_places(
    user_id: u32,
    variable: &impl Fn(&str) -> Option<OsString>,
) -> CredentialPlaces {
    let folder = |name: &str| set(variable, name).map(PathBuf::from);
    let home = folder("HOME");
    let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
    CredentialPlaces {
        auth_file: folder("REGISTRY_AUTH_FILE"),
        runtime_dir: folder("XDG_RUNTIME_DIR"),
        config_home: folder("XDG_CONFIG_HOME").or_else(|| below_home(".config")),
        docker_config: folder("DOCKER_CONFIG").or_else(|| below_home(".docker")),
        home: home.clone(),
        user_id,
        search_path: set(variable, "PATH"),
        ..CredentialPlaces::none()
    }
}

fn trust(variable: &impl Fn(&str) -> Option<OsString>) -> Trust {
    let mut trust = Trust::default();
    if let Some(bundle) = set(variable, "SSL_CERT_FILE") {
        trust.bundles.insert(0, bundle.into());
    }
    let config_home = set(variable, "XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set(variable, "HOME").map(|home| Path::new(&home).join(".config")));
    trust
        .certs_dirs
        .extend(config_home.map(|home| home.join("containers/certs.d")));
    trust
        .certs_dirs
        .extend(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from));
    trust
}

/// Lower-case names come first, as with curl.
fn proxies(variable: &impl Fn(&str) -> Option<OsString>) -> Proxies {
    let text = |name: &str| {
        set(variable, name)
            .or_else(|| set(variable, &name.to_ascii_uppercase()))
            .and_then(|value| value.into_string().ok())
    };
    Proxies {
        http: text("http_proxy"),
        https: text("https_proxy"),
        all: text("all_proxy"),
        no_proxy: text("no_proxy"),
    }
}

/// A variable that is set and not empty.
fn set(variable: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<OsString> {
    variable(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(set: &[(&str, &str)]) -> Result<Config, Error> {
        Config::load(1000, |name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_environment_says_where_credentials_and_proxies_are() {
        let config = load(&[
            ("HOME", "/h"),
            ("DOCKER_CONFIG", "/d"),
            ("HTTPS_PROXY", "http://upper"),
            ("https_proxy", "http://lower"),
            ("no_proxy", ""),
        ])
        .unwrap();
        let places = &config.registry.credentials;
        assert_eq!(places.docker_config.as_deref(), Some(Path::new("/d")));
        assert_eq!(places.config_home.as_deref(), Some(Path::new("/h/.config")));
        assert_eq!(
            config.registry.proxies.https.as_deref(),
            Some("http://lower")
        );
        assert_eq!(config.registry.proxies.no_proxy, None);
    }

    #[test]
    fn the_configuration_file_has_registry_tables() {
        let home = tempfile::tempdir().unwrap();
        let home_text = home.path().to_str().unwrap();
        assert_eq!(
            load(&[("BANGER_HOME", home_text)]).unwrap().registry.rules,
            RegistryRules::default()
        );
        let file = home.path().join("config.toml");
        fs::write(
            &file,
            "[[registry]]\nprefix = 'docker.io'\n[[registry.mirror]]\nlocation = 'm:5000'\n",
        )
        .unwrap();
        let config = load(&[("BANGER_HOME", home_text)]).unwrap();
        assert_eq!(
            config.registry.rules.registry[0].mirror[0].location,
            "m:5000"
        );
        assert!(!config.use_daemon);
        fs::write(&file, "[daemon]\nuse = true\nsocket = '/s'\n").unwrap();
        let config = load(&[("BANGER_HOME", home_text)]).unwrap();
        assert!(config.use_daemon);
        assert_eq!(config.places.socket, Path::new("/s"));
        for wrong in [
            "[[registry]\n",
            "[daemon]\nsockt = '/s'\n",
            "[daemon]\nsocket = 's'\n",
        ] {
            fs::write(&file, wrong).unwrap();
            let error = load(&[("BANGER_HOME", home_text)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{wrong}");
        }
    }
}
