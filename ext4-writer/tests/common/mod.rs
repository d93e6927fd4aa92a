//! What the test binaries share: images in temporary files, and the tools that judge them.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::print_stdout, reason = "says what was skipped")]
#![allow(clippy::disallowed_methods, reason = "finds tools by the environment")]

pub(crate) mod mount;
pub(crate) mod sample;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use ext4_writer::{
    Content, FileDevice, FileKind, FileTree, FormatOptions, ImageWriter, Metadata, NodeId, Summary,
    Timestamp,
};
use tempfile::NamedTempFile;

pub(crate) const TIME: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 123_456_789,
};

pub(crate) fn directory() -> Metadata {
    Metadata::new(0o755, TIME)
}

pub(crate) fn file() -> Metadata {
    Metadata::new(0o644, TIME)
}

/// An image in the making, in a temporary file.
pub(crate) struct Image {
    pub(crate) writer: ImageWriter<FileDevice>,
    pub(crate) tree: FileTree<Content>,
    pub(crate) path: NamedTempFile,
}

impl Image {
    pub(crate) fn new(options: FormatOptions) -> Self {
        Self::in_file(NamedTempFile::new().unwrap(), options)
    }

    pub(crate) fn in_file(path: NamedTempFile, options: FormatOptions) -> Self {
        let device = FileDevice::unsynced(path.reopen().unwrap());
        let writer = ImageWriter::new(device, options).unwrap();
        let tree = FileTree::new(directory()).unwrap();
        Self { writer, tree, path }
    }

    pub(crate) fn content(&mut self, bytes: &[u8]) -> Content {
        let mut content = self.writer.content(bytes.len() as u64);
        content.append(bytes).unwrap();
        content.finish().unwrap()
    }

    pub(crate) fn file(&mut self, parent: NodeId, name: &[u8], bytes: &[u8]) -> NodeId {
        let content = self.content(bytes);
        self.tree
            .insert(parent, name, FileKind::File(content), file())
            .unwrap()
    }

    pub(crate) fn directory(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        self.tree
            .insert(parent, name, FileKind::Directory, directory())
            .unwrap()
    }

    pub(crate) fn root(&self) -> NodeId {
        self.tree.root()
    }

    pub(crate) fn finish(self) -> (NamedTempFile, Summary) {
        let Self { writer, tree, path } = self;
        let summary = writer.finish(tree).unwrap();
        (path, summary)
    }
}

/// An error and all its causes, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    for (n, cause) in said.iter().enumerate() {
        let before = said[..n].iter().find(|text| text.contains(cause.as_str()));
        assert_eq!(before, None, "says its cause {cause:?}, too");
    }
    said.join(": ")
}

/// Whether a tool is here. Where CI is set it must be.
pub(crate) fn have(tool: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        let more = ["/sbin".into(), "/usr/sbin".into()];
        std::env::split_paths(&path)
            .chain(more)
            .any(|directory| directory.join(tool).exists())
    });
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{tool} is missing");
        println!("skipped: {tool} is missing");
    }
    found
}

pub(crate) fn run<S: AsRef<OsStr>>(tool: &str, arguments: &[S]) -> Output {
    let path = format!(
        "{}:/sbin:/usr/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    Command::new(tool)
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}"))
}

pub(crate) fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Has e2fsck judge the image, by the first superblock and by a backup.
pub(crate) fn check(image: &Path) {
    check_primary(image);
    if image.metadata().unwrap().len() > 128 << 20 {
        check_backup(image, 32_768, 4096);
    }
}

pub(crate) fn check_primary(image: &Path) {
    let path = image.as_os_str();
    fsck(&[OsStr::new("-fn"), path]);
}

pub(crate) fn check_backup(image: &Path, block: u64, block_size: u32) {
    let (block, size) = (block.to_string(), block_size.to_string());
    let arguments = ["-b", &block, "-B", &size, "-fn"].map(OsStr::new);
    fsck(&[&arguments[..], &[image.as_os_str()]].concat());
}

fn fsck(arguments: &[&OsStr]) {
    if !have("e2fsck") {
        return;
    }
    let output = run("e2fsck", arguments);
    let said = text(&output);
    let complaint = [
        "Fix",
        "differences",
        "Clear",
        "rror",
        "orrupt",
        "IGNORED",
        "invalid",
    ]
    .iter()
    .any(|word| said.contains(word));
    assert!(
        output.status.success() && !complaint,
        "e2fsck {arguments:?}: {said}"
    );
}

/// A value of dumpe2fs' header.
pub(crate) fn dumpe2fs(image: &Path, key: &str) -> String {
    let output = run("dumpe2fs", &[OsStr::new("-h"), image.as_os_str()]);
    let said = text(&output);
    let prefix = format!("{key}:");
    let line = said.lines().find(|line| line.starts_with(&prefix));
    let line = line.unwrap_or_else(|| panic!("dumpe2fs has no {key}: {said}"));
    line[prefix.len()..].trim().to_owned()
}

pub(crate) fn debugfs(image: &Path, request: &str) -> String {
    let arguments = [OsStr::new("-R"), OsStr::new(request), image.as_os_str()];
    let output = run("debugfs", &arguments);
    assert!(
        output.status.success(),
        "debugfs {request}: {}",
        text(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Bytes without zeros or repetition, different for every seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend((state | 0x0101_0101_0101_0101).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The image as a reader by other hands sees it.
pub(crate) fn view(image: &Path) -> ext4_view::Ext4 {
    let file = std::fs::File::open(image).unwrap();
    ext4_view::Ext4::load(Box::new(Reader(file))).unwrap()
}

struct Reader(std::fs::File);

impl ext4_view::Ext4Read for Reader {
    fn read(
        &mut self,
        start: u64,
        bytes: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        use std::os::unix::fs::FileExt;
        Ok(self.0.read_exact_at(bytes, start)?)
    }
}
