//! The operation that tells what is in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Operation, Watch};
use crate::config::Setting;
use crate::error::Error;

/// Tells what is in force, and where it comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigShow {}

/// What is in force.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigShown {
    /// The settings.
    pub settings: Vec<Setting>,
}

impl Operation for ConfigShow {
    const METHOD: &'static str = "config.show";
    type Reply = ConfigShown;

    fn run(self, context: &Context, _: &Watch) -> Result<ConfigShown, Error> {
        Ok(ConfigShown {
            settings: context.config.settings.clone(),
        })
    }
}
