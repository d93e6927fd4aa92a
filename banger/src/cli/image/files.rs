//! `banger image files`.

use banger::Error;
use banger::image::{FileEntry, FileEntryKind};
use banger::operation::ImageFiles;
use banger::text::printable;

use crate::cli::backend::Backend;
use crate::cli::table::table;
use crate::cli::{Global, report};

/// List the files in an image's root filesystem
///
/// Nothing is mounted. With --quiet, only paths are printed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    image: String,
    /// Path in the image
    #[arg(default_value = "/")]
    path: String,
    /// List everything below a directory
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let request = ImageFiles {
            image: self.image,
            path: self.path,
            recursive: self.recursive,
        };
        let listed = Backend::of(global)?.call(request, global)?;
        let paths = listed.files.iter().map(|file| &file.path);
        report::reply(global, &listed, &[], paths, || text(&listed.files))
    }
}

fn text(files: &[FileEntry]) -> String {
    let rows: Vec<[String; 5]> = files.iter().map(row).collect();
    table(["MODE", "UID", "GID", "SIZE", "PATH"], &rows)
}

fn row(file: &FileEntry) -> [String; 5] {
    let target = file.target.as_ref();
    let target = target.map_or(String::new(), |target| format!(" -> {target}"));
    [
        mode(file),
        file.uid.to_string(),
        file.gid.to_string(),
        file.size.to_string(),
        printable(&format!("{}{target}", file.path)).into_owned(),
    ]
}

/// The kind and the permissions as `ls -l` has them.
fn mode(file: &FileEntry) -> String {
    let kind = match file.kind {
        FileEntryKind::Directory => 'd',
        FileEntryKind::Symlink => 'l',
        FileEntryKind::CharacterDevice => 'c',
        FileEntryKind::BlockDevice => 'b',
        FileEntryKind::Fifo => 'p',
        FileEntryKind::Socket => 's',
        _ => '-',
    };
    let mut text = String::from(kind);
    // Set-user-id, set-group-id and sticky each show in the place of an x.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = file.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, file.mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}
