//! The arguments that say what filesystem an image becomes.

use banger::flatten::FsFeature;
use banger::operation::{FilesystemParameters, Profile};
use banger::size::parse_size;
use clap::ValueEnum;
use uuid::Uuid;

/// What filesystem an image becomes, as typed.
#[derive(Debug, clap::Args)]
pub(super) struct FilesystemArguments {
    /// Size of the filesystem, such as 4G [default: 1.25 × content, at least 1 GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,
    /// UUID of the filesystem [default: derived from the image's digest and the options that differ from the defaults]
    #[arg(long)]
    uuid: Option<Uuid>,
    /// Volume label, 16 bytes at most
    #[arg(long)]
    label: Option<String>,
    /// What the filesystem is for
    #[arg(long, value_enum, value_name = "PROFILE", default_value_t = ProfileName::ReadWrite)]
    profile: ProfileName,
    /// Append a dm-verity hash tree and report its root hash; needs --profile read-only
    #[arg(long)]
    verity: bool,
    /// Feature of ext4 to switch on, as mke2fs -O names it
    #[arg(
        long = "fs-feature",
        value_enum,
        value_name = "FEATURE",
        value_delimiter = ','
    )]
    fs_features: Vec<FeatureName>,
    /// Leave SELinux labels out
    #[arg(long)]
    no_selinux_xattr: bool,
    /// Leave device nodes out
    #[arg(long)]
    nodev: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileName {
    /// A journal, free space, room to grow
    ReadWrite,
    /// As small as it can be, to be mounted read-only
    ReadOnly,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum FeatureName {
    /// The UUID can be changed while mounted; GRUB before 2.12 cannot read it
    MetadataCsumSeed,
    /// Deleted open files are noted in a file, which scales better; e2fsck before 1.47 refuses it
    OrphanFile,
}

impl FilesystemArguments {
    /// What was meant by them, as an operation takes it.
    pub(super) fn parameters(self) -> FilesystemParameters {
        FilesystemParameters {
            size_bytes: self.size,
            uuid: self.uuid.map(|uuid| uuid.to_string()),
            label: self.label,
            profile: match self.profile {
                ProfileName::ReadWrite => Profile::ReadWrite,
                ProfileName::ReadOnly => Profile::ReadOnly,
            },
            verity: self.verity,
            fs_features: self
                .fs_features
                .into_iter()
                .map(|feature| match feature {
                    FeatureName::MetadataCsumSeed => FsFeature::MetadataCsumSeed,
                    FeatureName::OrphanFile => FsFeature::OrphanFile,
                })
                .collect(),
            skip_selinux: self.no_selinux_xattr,
            skip_devices: self.nodev,
        }
    }
}
