//! What came of a flattening, for people and programs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One filesystem image: where it came from and what it holds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The source, in full.
    pub reference: String,
    /// Digest of the manifest; of the file as it comes for a `tar:` source.
    pub digest: String,
    /// Platform of the image, such as `linux/amd64`.
    pub platform: String,
    /// Layers, bottom first.
    pub layers: Vec<LayerSummary>,
    /// Entries of all layers, whiteouts included.
    pub entries: u64,
    /// Bytes of all layers, as they are stored.
    pub stored_bytes: u64,
    /// Bytes of all layers, decompressed.
    pub expanded_bytes: u64,
    /// Bytes that the tree occupies, in whole blocks.
    pub content_bytes: u64,
    /// Bytes of the filesystem, which is the length of the file unless a hash tree follows.
    pub size_bytes: u64,
    /// Bytes that new files can use.
    pub free_bytes: u64,
    /// Inodes in use.
    pub used_inodes: u64,
    /// Inodes that new files can use.
    pub free_inodes: u64,
    /// Bytes that the file occupies on the host's disk.
    pub disk_bytes: u64,
    /// UUID of the filesystem.
    pub uuid: Uuid,
    /// The dm-verity hash tree behind the filesystem, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verity: Option<VeritySummary>,
    /// What the user should know about the image.
    pub warnings: Vec<String>,
}

/// What opens a filesystem with `veritysetup`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VeritySummary {
    /// SHA-256 of the top of the tree, in hexadecimal.
    pub root_hash: String,
    /// Where the tree begins in the file, in bytes.
    pub hash_offset: u64,
    /// Bytes of filesystem and tree, which is the length of the file.
    pub total_bytes: u64,
}

/// One layer of an image.
#[derive(Clone, Debug, Serialize)]
pub struct LayerSummary {
    /// Digest of the blob, where the source has blobs.
    pub digest: Option<String>,
    /// Digest of the decompressed layer, where the image states it.
    pub diff_id: Option<String>,
    /// Media type, where the source has one.
    pub media_type: Option<String>,
    /// Bytes of the blob, where known.
    pub size: Option<u64>,
    /// Bytes of the decompressed layer.
    pub expanded_bytes: u64,
    /// Entries, whiteouts included.
    pub entries: u64,
}
