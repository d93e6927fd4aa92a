//! What an OCI image configuration says of the process to run.

use banger_init::ImageConfig;
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
            config: Option<ImageConfig>,
        }
        let document: Document = serde_json::from_slice(config).map_err(|error| {
            Error::new(ErrorKind::Integrity, "the image configuration is malformed")
                .with_source(error)
        })?;
        let process = document.config.unwrap_or_default();
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Self {
            entrypoint: process.entrypoint,
            cmd: process.cmd,
            env: process.env,
            user: filled(process.user),
            working_dir: filled(process.working_dir),
        })
    }

    /// The same as the guest's init reads it.
    pub(super) fn image_config(&self) -> ImageConfig {
        ImageConfig {
            entrypoint: self.entrypoint.clone(),
            cmd: self.cmd.clone(),
            env: self.env.clone(),
            user: self.user.clone().unwrap_or_default(),
            working_dir: self.working_dir.clone().unwrap_or_default(),
            ..ImageConfig::default()
        }
    }

    /// The value of a variable; the last of several counts.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let values = self
            .env
            .iter()
            .filter_map(|variable| variable.split_once('='));
        values
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .next_back()
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
