//! What is in the root filesystem of an image.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Operation, Pace, Watch, portable};
use crate::error::{Error, ErrorKind};
use crate::image::{self, CopiedOut, FileEntry};
use crate::watch::{Observer as _, Step};

/// Bytes of a file that one reply may hold.
const READ_LIMIT: u32 = 4 << 20;

/// Lists files in the root filesystem of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageFiles {
    /// Image: its name, or the beginning of its id.
    pub image: String,
    /// Path in the image; symbolic links are followed.
    #[serde(default = "root")]
    pub path: String,
    /// Whether to list all that is below a directory.
    #[serde(default)]
    pub recursive: bool,
}

fn root() -> String {
    "/".into()
}

/// Files of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FilesListed {
    /// The files, by their paths.
    pub files: Vec<FileEntry>,
}

impl Operation for ImageFiles {
    const METHOD: &'static str = "image.files";
    const PACE: Pace = Pace::Long;
    type Reply = FilesListed;

    fn run(self, context: &Context, watch: &Watch) -> Result<FilesListed, Error> {
        watch.begin(Step::Inspect)?;
        let found = context.store(watch).find(&self.image)?;
        let is_cancelled = || watch.is_cancelled();
        let files = image::list_files(&found, &self.path, self.recursive, &is_cancelled)?;
        Ok(FilesListed { files })
    }
}

/// Reads a part of a file in the root filesystem of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageReadFile {
    /// Image: its name, or the beginning of its id.
    pub image: String,
    /// Path in the image; symbolic links are followed.
    pub path: String,
    /// The first byte, counted from 0.
    #[serde(default)]
    pub offset: u64,
    /// How many bytes, 4 MiB at most.
    #[serde(default = "most")]
    pub length: u32,
}

impl ImageReadFile {
    /// The part from `offset` on, as large as it may be.
    #[must_use]
    pub fn from(image: String, path: String, offset: u64) -> Self {
        Self {
            image,
            path,
            offset,
            length: READ_LIMIT,
        }
    }
}

fn most() -> u32 {
    READ_LIMIT
}

/// A part of a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileContent {
    /// Length of the whole file in bytes.
    pub size: u64,
    /// The bytes in base 64 (RFC 4648); fewer than were asked for only at the end of the file.
    pub content_base64: String,
}

impl FileContent {
    /// The bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failure`] when they are not base 64.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        BASE64.decode(&self.content_base64).map_err(|error| {
            Error::new(ErrorKind::Failure, "the content is not base 64").with_source(error)
        })
    }
}

impl Operation for ImageReadFile {
    const METHOD: &'static str = "image.read_file";
    type Reply = FileContent;

    fn run(self, context: &Context, watch: &Watch) -> Result<FileContent, Error> {
        if self.length > READ_LIMIT {
            let message = format!("length is {} bytes (limit {READ_LIMIT})", self.length);
            return Err(Error::new(ErrorKind::Usage, message));
        }
        watch.begin(Step::Inspect)?;
        let found = context.store(watch).find(&self.image)?;
        let is_cancelled = || watch.is_cancelled();
        let (path, offset) = (&self.path, self.offset);
        let part = image::read_file(&found, path, offset, self.length, &is_cancelled)?;
        Ok(FileContent {
            size: part.size,
            content_base64: BASE64.encode(&part.bytes),
        })
    }
}

/// Copies a file or directory out of the root filesystem of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageCopyOut {
    /// Image: its name, or the beginning of its id.
    pub image: String,
    /// Path in the image; symbolic links are followed.
    pub path: String,
    /// Where it goes: a path that is not there yet, or a directory.
    pub target_path: PathBuf,
}

/// What was copied.
pub type FilesCopied = CopiedOut;

impl Operation for ImageCopyOut {
    const METHOD: &'static str = "image.copy_out";
    const PACE: Pace = Pace::Long;
    type Reply = FilesCopied;

    fn check_portable(&self) -> Result<(), Error> {
        portable("target_path", &self.target_path)
    }

    fn run(self, context: &Context, watch: &Watch) -> Result<FilesCopied, Error> {
        watch.begin(Step::Inspect)?;
        let found = context.store(watch).find(&self.image)?;
        let target: &Path = &self.target_path;
        image::copy_out(&found, &self.path, target, &|| watch.is_cancelled())
    }
}
