//! The spec: one JSON file in the initrd that says what the guest is to do.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of the specs that this program obeys.
pub const SCHEMA_VERSION: u32 = 1;
/// Where the spec lies in the initrd.
pub const SPEC_PATH: &str = "/spec.json";
/// Where the kernel modules lie in the initrd.
pub const MODULES_DIRECTORY: &str = "/modules";

/// What the guest is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema: u32,
    /// The root filesystem.
    pub root: Root,
    /// What becomes PID 1.
    pub init: InitMode,
    /// The `config` object of the OCI image configuration, verbatim; null where the image has none.
    #[serde(default)]
    pub config: serde_json::Value,
    /// What replaces or completes the image's configuration.
    #[serde(default)]
    pub overrides: Overrides,
    /// File names in [`MODULES_DIRECTORY`], in the order in which they are loaded.
    #[serde(default)]
    pub modules: Vec<String>,
    /// The host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// How the first network device is set up.
    #[serde(default)]
    pub network: Network,
    /// Further filesystems.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Where the program's standard streams go; the console where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
}

/// The root filesystem: ext4, on whatever block device has it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// UUID of the filesystem, in the usual form.
    pub uuid: String,
    /// How it is mounted.
    #[serde(default)]
    pub mode: RootMode,
}

/// How the root filesystem is mounted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootMode {
    /// Read-write.
    #[default]
    ReadWrite,
    /// Read-only. Where mount points are missing, they are made on a tmpfs over it.
    ReadOnly,
    /// Read-only, under a tmpfs that takes what is written and is gone with the machine.
    Overlay,
}

/// What becomes PID 1.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum InitMode {
    /// banger's init, which runs Entrypoint and Cmd where the image has them; else the image's own init;
    /// else a shell.
    #[default]
    Auto,
    /// banger's init, which runs Entrypoint and Cmd.
    Entrypoint,
    /// The image's own init.
    Image,
    /// The program at an absolute path.
    Path(String),
}

impl FromStr for InitMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "entrypoint" => Ok(Self::Entrypoint),
            "image" => Ok(Self::Image),
            path if path.starts_with('/') && !path.contains('\0') => Ok(Self::Path(path.into())),
            _ => Err(format!(
                "{text} is neither auto, entrypoint, image nor an absolute path"
            )),
        }
    }
}

impl TryFrom<String> for InitMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<InitMode> for String {
    fn from(mode: InitMode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for InitMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Entrypoint => "entrypoint",
            Self::Image => "image",
            Self::Path(path) => path,
        })
    }
}

/// What replaces or completes the image's configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// In place of Entrypoint; the image's Cmd is then dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// In place of Cmd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// `NAME=value`, over the image's variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// In place of User.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// In place of WorkingDir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}

/// How the first Ethernet device is set up. The loopback device always is.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Not at all.
    None,
    /// As a DHCP server says; where none answers within a few seconds, the guest goes on without.
    #[default]
    Dhcp,
    /// With a fixed address.
    Static(Address),
}

/// A fixed address.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The address of the guest.
    pub address: Ipv4Addr,
    /// Bits of the network's prefix, 0 to 32.
    pub prefix: u8,
    /// The default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<Ipv4Addr>,
}

/// `none`, `dhcp`, or `ADDRESS/PREFIX[,GATEWAY[,NAMESERVER…]]`.
impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::None),
            "dhcp" => return Ok(Self::Dhcp),
            _ => {}
        }
        let malformed =
            || format!("{text} is neither none, dhcp nor ADDRESS/PREFIX[,GATEWAY[,NAMESERVER…]]");
        let mut parts = text.split(',');
        let (address, prefix) = parts
            .next()
            .and_then(|part| part.split_once('/'))
            .ok_or_else(malformed)?;
        let mut further = parts.map(|part| part.parse::<Ipv4Addr>().map_err(|_| malformed()));
        let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
        if prefix > 32 {
            return Err(malformed());
        }
        Ok(Self::Static(Address {
            address: address.parse().map_err(|_| malformed())?,
            prefix,
            gateway: further.next().transpose()?,
            nameservers: further.collect::<Result<_, _>>()?,
        }))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Dhcp => formatter.write_str("dhcp"),
            Self::Static(address) => {
                write!(formatter, "{}/{}", address.address, address.prefix)?;
                let further = address.gateway.iter().chain(&address.nameservers);
                further
                    .into_iter()
                    .try_for_each(|one| write!(formatter, ",{one}"))
            }
        }
    }
}

/// A filesystem that is mounted beside the root.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// UUID of an ext4 filesystem.
    pub uuid: String,
    /// Where it is mounted: an absolute path of the root filesystem, made where it is missing.
    pub target: String,
    /// Whether it is mounted read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// Names of virtio-serial ports that carry the program's standard streams, byte for byte.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// Standard input; `/dev/null` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The `config` object of an OCI image configuration: what a container would run. A missing or null field says
/// nothing (<https://github.com/opencontainers/image-spec/blob/main/config.md>).
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// The program with its first arguments.
    #[serde(deserialize_with = "without_nulls")]
    pub entrypoint: Vec<String>,
    /// The arguments behind the entrypoint, or the program where there is none.
    #[serde(deserialize_with = "without_nulls")]
    pub cmd: Vec<String>,
    /// The environment, as `NAME=value`.
    #[serde(deserialize_with = "without_nulls")]
    pub env: Vec<String>,
    /// The user, as `user[:group]`, by name or number; empty means root.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// The working directory; empty means `/`.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// The signal that asks the program to end, by name or number; empty means SIGTERM.
    #[serde(deserialize_with = "null_is_default")]
    pub stop_signal: String,
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A null in a list says nothing, either.
fn without_nulls<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let list: Option<Vec<Option<String>>> = Option::deserialize(deserializer)?;
    Ok(list.into_iter().flatten().flatten().collect())
}

/// Why a spec is not obeyed.
#[derive(Debug)]
pub enum SpecError {
    /// It is no spec.
    Malformed(serde_json::Error),
    /// Another version wrote it.
    Version(u32),
}

impl fmt::Display for SpecError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(formatter, "the spec is malformed: {error}"),
            Self::Version(found) => write!(
                formatter,
                "the spec has version {found}, and this init knows version {SCHEMA_VERSION} only"
            ),
        }
    }
}

impl std::error::Error for SpecError {}

impl Spec {
    /// Reads a spec.
    ///
    /// # Errors
    ///
    /// It is malformed, or of another version.
    pub fn from_json(bytes: &[u8]) -> Result<Self, SpecError> {
        #[derive(Deserialize)]
        struct Header {
            schema: u32,
        }
        let header: Header = serde_json::from_slice(bytes).map_err(SpecError::Malformed)?;
        match header.schema {
            SCHEMA_VERSION => serde_json::from_slice(bytes).map_err(SpecError::Malformed),
            other => Err(SpecError::Version(other)),
        }
    }

    /// The spec as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a spec has string keys and no floats")
    }

    /// What the image's configuration says.
    ///
    /// # Errors
    ///
    /// It is no `config` object.
    pub fn image_config(&self) -> Result<ImageConfig, serde_json::Error> {
        Ok(Option::deserialize(&self.config)?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_survives_and_other_versions_are_refused() {
        let spec = Spec {
            schema: SCHEMA_VERSION,
            root: Root {
                uuid: "x".into(),
                mode: RootMode::Overlay,
            },
            init: InitMode::Path("/my init".into()),
            config: serde_json::json!({"Env": ["A=b"], "Labels": {"kept": "verbatim"}}),
            overrides: Overrides::default(),
            modules: vec!["virtio.ko".into()],
            hostname: None,
            network: "10.0.2.15/24,10.0.2.2,10.0.2.3".parse().unwrap(),
            mounts: Vec::new(),
            streams: None,
        };
        assert_eq!(Spec::from_json(&spec.to_json()).unwrap(), spec);
        assert_eq!(spec.image_config().unwrap().env, ["A=b"]);
        let newer = br#"{"schema": 2, "what": "ever"}"#;
        let error = Spec::from_json(newer).unwrap_err();
        assert!(matches!(error, SpecError::Version(2)), "{error}");
        let unknown = br#"{"schema": 1, "root": {"uuid": "x"}, "init": "auto", "more": 1}"#;
        assert!(Spec::from_json(unknown).is_err());
    }

    #[test]
    fn a_configuration_may_have_nulls_and_lack_fields() {
        let config: ImageConfig = serde_json::from_str(
            r#"{"Entrypoint": null, "User": null, "Cmd": [null], "Volumes": {}}"#,
        )
        .unwrap();
        assert_eq!(config, ImageConfig::default());
    }

    #[test]
    fn networks_and_modes_are_read_back() {
        for text in [
            "none",
            "dhcp",
            "10.0.2.15/24",
            "10.0.2.15/24,10.0.2.2,1.1.1.1,8.8.8.8",
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for text in ["", "10.0.2.15", "10.0.2.15/33", "x/8", "1.2.3.4/8,y"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        for text in ["auto", "entrypoint", "image", "/sbin/init"] {
            assert_eq!(text.parse::<InitMode>().unwrap().to_string(), text);
        }
        assert!("sbin/init".parse::<InitMode>().is_err());
    }
}
