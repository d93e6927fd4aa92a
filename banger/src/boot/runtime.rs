//! What an OCI image configuration says of the process to run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The process of a container (OCI image configuration, `config`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RuntimeConfig {
    /// The program with its first arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The arguments behind the entrypoint, or the program where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The environment, as `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The user, as `user[:group]`, by name or number; none means root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}

impl RuntimeConfig {
    /// Reads the configuration of an image. A missing or empty field is one that says nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] when the bytes are no image configuration.
    pub fn from_oci(config: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Document {
            config: Option<Process>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Process {
            entrypoint: Option<Vec<Option<String>>>,
            cmd: Option<Vec<Option<String>>>,
            env: Option<Vec<Option<String>>>,
            user: Option<String>,
            working_dir: Option<String>,
        }
        let document: Document = serde_json::from_slice(config).map_err(|error| {
            Error::new(ErrorKind::Integrity, "the image configuration is malformed")
                .with_source(error)
        })?;
        let process = document.config.unwrap_or_default();
        let list = |list: Option<Vec<Option<String>>>| -> Vec<String> {
            list.into_iter().flatten().flatten().collect()
        };
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self {
            entrypoint: list(process.entrypoint),
            cmd: list(process.cmd),
            env: list(process.env),
            user: filled(process.user),
            working_dir: filled(process.working_dir),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_and_nulls_say_nothing() {
        let config = br#"{"architecture":"amd64","config":{"User":"","Env":["A=b"],
            "Entrypoint":null,"Cmd":["/bin/sh","-c","x"],"WorkingDir":"/srv"}}"#;
        let runtime = RuntimeConfig::from_oci(config).unwrap();
        assert_eq!(runtime.cmd, ["/bin/sh", "-c", "x"]);
        assert_eq!(runtime.env, ["A=b"]);
        assert_eq!(runtime.working_dir.as_deref(), Some("/srv"));
        assert!(runtime.entrypoint.is_empty() && runtime.user.is_none());
        assert_eq!(
            RuntimeConfig::from_oci(br#"{"config":null}"#).unwrap(),
            RuntimeConfig::default()
        );
        let error = RuntimeConfig::from_oci(b"[]").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
    }
}
