//! `banger image remove`.

use banger::Error;
use banger::operation::ImageRemove;

use crate::cli::backend::Backend;
use crate::cli::completion;
use crate::cli::{Global, report};

/// Remove images
///
/// A managed image goes with its files; of a registered one only the record goes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Images: their names, or the beginnings of their ids
    #[arg(required = true, value_name = "IMAGE", add = completion::images())]
    images: Vec<String>,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let remove = ImageRemove {
            images: self.images,
        };
        let reply = Backend::of(global)?.call(remove, global)?;
        report::reply(global, &reply, &[], &reply.removed, || {
            report::lines(&reply.removed)
        })
    }
}
