//! `banger image cp`.

use std::path::PathBuf;

use banger::Error;
use banger::operation::ImageCopyOut;
use banger::size::format_size;
use banger::text::printable;

use crate::cli::backend::{Backend, absolute};
use crate::cli::{Global, report};

/// Copy a file or directory out of an image's root filesystem
///
/// Nothing is mounted. Directories are copied with all that is below them, holes stay holes; times and permissions come along, owners
/// and set-id bits do not. Devices are left out.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image and path in it
    #[arg(value_name = "IMAGE:PATH", value_parser = parse)]
    source: Source,
    /// Path that does not exist yet, or a directory
    target: PathBuf,
}

#[derive(Clone, Debug)]
struct Source {
    image: String,
    path: String,
}

fn parse(text: &str) -> Result<Source, String> {
    match text.split_once(':') {
        Some((image, path)) if !image.is_empty() && !path.is_empty() => Ok(Source {
            image: image.into(),
            path: path.into(),
        }),
        _ => Err("is not IMAGE:PATH, such as debian:/etc/os-release".into()),
    }
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let request = ImageCopyOut {
            image: self.source.image,
            path: self.source.path,
            target_path: absolute(&self.target)?,
        };
        let copied = Backend::of(global)?.call(request, global)?;
        let target = copied.target.display().to_string();
        report::document(global, &copied, &copied.warnings, [&target], || {
            format!(
                "{}: {} files, {} directories, {} links, {}\n",
                printable(&target),
                copied.files,
                copied.directories,
                copied.links,
                format_size(copied.bytes)
            )
        })
    }
}
