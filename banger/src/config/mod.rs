//! Environment and configuration file, read once, as what the libraries are told.

mod file;
mod page;
pub mod reference;
mod settings;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use oci_flatten::credentials::CredentialPlaces;
use oci_flatten::registry::{Proxies, RegistrySettings, Trust};
use oci_flatten::small_file;

pub use page::Page;
pub use settings::{Origin, Setting};

use crate::error::{Error, ErrorKind};
use crate::places::Places;
use file::File;
use settings::Settings;

/// What holds for every command of one user on one machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where things are kept.
    pub places: Places,
    /// How registries are spoken to; arguments may add to it.
    pub registry: RegistrySettings,
    /// Whether commands are handed to the daemon.
    pub use_daemon: bool,
    /// All of it for people, with where it comes from.
    pub settings: Vec<Setting>,
}

impl Config {
    /// Reads what `variable` gives of the environment, and the configuration file where there is one.
    /// [`reference`](mod@reference) lists all that can be set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for a configuration file that cannot be understood, and those of
    /// [`Places::from_environment`].
    pub fn load(user_id: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let mut places = Places::from_environment(user_id == 0, &variable)?;
        let named = set(&variable, "BANGER_HOME").is_some();
        let text = read(&places.config_file, named)?;
        let file = File::parse(&text).map_err(|error| {
            let path = places.config_file.display();
            let message = format!("configuration {path} is not valid");
            let hint = error.hint().map(str::to_owned);
            let above = Error::new(ErrorKind::Usage, message).with_source(error);
            match hint {
                Some(hint) => above.with_hint(hint),
                None => above,
            }
        })?;
        let settings = Settings {
            user_id,
            variable: &variable,
            file: &file,
            config_file: &places.config_file,
        };
        let settings = settings.all()?;
        if let Some(socket) = file.daemon.socket {
            places.socket = socket;
        }
        let registry = RegistrySettings {
            credentials: credential_places(user_id, &variable),
            trust: trust(&variable),
            proxies: proxies(&variable),
            rules: file.rules,
            user_agent: concat!("banger/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..RegistrySettings::default()
        };
        Ok(Self {
            places,
            registry,
            use_daemon: file.daemon.r#use.unwrap_or_default(),
            settings,
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
    Trust {
        bundles: bundles(variable),
        certs_dirs: certs_dirs(variable),
        ..Trust::default()
    }
}

/// Bundles of authorities; the first that exists is read.
fn bundles(variable: &impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let named = set(variable, "SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain(Trust::default().bundles).collect()
}

/// Folders of further authorities, by registry.
fn certs_dirs(variable: &impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let config_home = set(variable, "XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set(variable, "HOME").map(|home| Path::new(&home).join(".config")));
    let of_user = config_home.map(|home| home.join("containers/certs.d"));
    let of_system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    of_user.into_iter().chain(of_system).collect()
}

fn proxies(variable: &impl Fn(&str) -> Option<OsString>) -> Proxies {
    Proxies {
        http: proxy(variable, "http_proxy"),
        https: proxy(variable, "https_proxy"),
        all: proxy(variable, "all_proxy"),
        no_proxy: proxy(variable, "no_proxy"),
    }
}

/// Lower-case names come first, as with curl.
fn proxy(variable: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<String> {
    set(variable, name)
        .or_else(|| set(variable, &name.to_ascii_uppercase()))
        .and_then(|value| value.into_string().ok())
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
            oci_flatten::registry::RegistryRules::default()
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
