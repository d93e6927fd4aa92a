//! The writers: ours and the peers, each a process.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use ext4_writer::{
    DirectoryOptions, FileDevice, FileKind, FileTree, FormatOptions, ImageWriter, Metadata,
    SizeRule, Timestamp, read_directory, read_tar,
};

use crate::case::Case;

/// What a writer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Entries,
    Directory,
    Tar,
}

/// Someone who makes an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    pub(crate) name: &'static str,
    pub(crate) input: Input,
    pub(crate) peer: bool,
}

const fn ours(name: &'static str, input: Input) -> Writer {
    Writer {
        name,
        input,
        peer: false,
    }
}

const fn peer(name: &'static str, input: Input) -> Writer {
    Writer {
        name,
        input,
        peer: true,
    }
}

/// In the order in which they run; ours first, as the size of its image is what peers are given.
pub(crate) const WRITERS: [Writer; 6] = [
    ours("ext4-writer", Input::Entries),
    peer("arcbox-ext4", Input::Entries),
    ours("ext4-writer, dir", Input::Directory),
    peer("mke2fs -d dir", Input::Directory),
    ours("ext4-writer, tar", Input::Tar),
    peer("mke2fs -d tar", Input::Tar),
];

impl Writer {
    /// Whether the writer takes part in a case: peers have no way to be given a hole but a directory.
    pub(crate) fn takes(&self, case: &Case) -> bool {
        match self.input {
            Input::Entries => !self.peer || (case.compared && case.hole == 0),
            Input::Directory => case.compared,
            Input::Tar => case.compared && case.hole == 0,
        }
    }

    /// The process that makes `image`, of about `size` bytes where that is for the caller to say.
    pub(crate) fn command(&self, case: &Case, source: &Path, image: &Path, size: u64) -> Command {
        if self.peer && self.input != Input::Entries {
            return mke2fs(case, source, image, size);
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--write", self.name, case.name])
            .arg(source)
            .arg(image);
        command
    }

    /// Makes the image, in this process.
    pub(crate) fn write(&self, case: &Case, source: &Path, image: &Path) {
        if self.peer {
            return arcbox(*case, image);
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(image);
        let device = FileDevice::unsynced(file.unwrap());
        let options = FormatOptions::default().size(SizeRule::AtLeast(0));
        let mut writer = ImageWriter::new(device, options).unwrap();
        let tree = match self.input {
            Input::Entries => entries(*case, &mut writer),
            Input::Directory => {
                read_directory(&mut writer, source, &DirectoryOptions::default()).unwrap()
            }
            Input::Tar => {
                let stream = BufReader::with_capacity(1 << 18, File::open(source).unwrap());
                read_tar(&mut writer, stream).unwrap()
            }
        };
        writer.finish(tree).unwrap();
    }
}

fn entries(case: Case, writer: &mut ImageWriter<FileDevice>) -> FileTree<ext4_writer::Content> {
    let time = Timestamp::new(1_700_000_000, 0);
    let mut tree = FileTree::new(Metadata::new(0o755, time)).unwrap();
    let mut directory = (u64::MAX, tree.root());
    for (number, name) in case.names() {
        if directory.0 != number {
            let name = format!("directory-{number}");
            let metadata = Metadata::new(0o755, time);
            let id = tree.insert(tree.root(), name.as_bytes(), FileKind::Directory, metadata);
            directory = (number, id.unwrap());
        }
        let mut content = writer.content(case.file_bytes as u64);
        if case.file_bytes > 0 {
            content.append(&case.body(number)).unwrap();
        }
        content.hole(case.hole).unwrap();
        let content = FileKind::File(content.finish().unwrap());
        tree.insert(
            directory.1,
            name.as_bytes(),
            content,
            Metadata::new(0o644, time),
        )
        .unwrap();
    }
    tree
}

fn mke2fs(case: &Case, source: &Path, image: &Path, size: u64) -> Command {
    let program = std::env::var_os("MKE2FS").unwrap_or_else(|| "/sbin/mke2fs".into());
    // A little more room, as others lay things out differently.
    let size = format!("{}k", size / 1024 * 21 / 20 + (64 << 10));
    let inodes = (case.files * 5 / 4 + 1000).to_string();
    let mut command = Command::new(program);
    command.args([
        "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-N", &inodes, "-d",
    ]);
    command.arg(source).arg(image).arg(size);
    command
}

fn arcbox(case: Case, image: &Path) {
    use arcbox_ext4::constants::{file_mode, make_mode};
    let size = (case.files * (case.file_bytes as u64).next_multiple_of(4096)).max(64 << 20);
    let mut formatter = arcbox_ext4::Formatter::new(image, 4096, size).unwrap();
    let mode = make_mode(file_mode::S_IFREG, 0o644);
    for (number, name) in case.names() {
        let path = format!("/directory-{number}/{name}");
        let body = case.body(number);
        let data: &mut dyn std::io::Read = &mut body.as_slice();
        formatter
            .create(&path, mode, None, None, Some(data), None, None, None)
            .unwrap();
    }
    formatter.close().unwrap();
}
