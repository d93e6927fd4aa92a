//! Bytes as a program that builds a tree: ours against a naive model, read back by ext4-view.

use std::collections::{BTreeMap, BTreeSet};

use ext4_writer::{
    BlockSize, Content, Error, Features, FileKind, FileTree, FormatOptions, HashAlgorithm,
    ImageWriter, InodeRule, InodeSize, JournalRule, MemoryDevice, Metadata, NodeId, SizeRule,
    Timestamp, TreeError, Xattrs,
};

/// The program, read to its end and zeros after.
struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// A name of ASCII, as ext4-view looks names up by the signed hash.
    fn name(&mut self) -> Vec<u8> {
        let (length, byte) = (usize::from(self.byte()), self.byte() & 0x7f);
        let length = if length < 200 { length % 12 } else { length };
        let mut name: Vec<u8> = (0..length)
            .map(|at| byte.wrapping_add(at as u8 / 16) & 0x7f)
            .collect();
        if let Some(last) = name.last_mut() {
            *last = self.byte() & 0x7f;
        }
        name
    }

    fn metadata(&mut self) -> Metadata {
        let bits = self.number();
        let seconds = (i64::from(bits >> 30) << 32) | i64::from(bits & 0x7fff_ffff);
        let time = Timestamp::new(seconds, self.number() % 1_000_000_000);
        let mut xattrs = Xattrs::new();
        for _ in 0..self.byte() % 4 {
            let name = [b"user.", &[self.byte() | 1][..]].concat();
            // Long ones may not fit: the writer says so, and names the file.
            let value = vec![b'v'; usize::from(self.byte()) * 6];
            xattrs.insert(&name, &value).expect("the name is valid");
        }
        let (uid, gid) = (self.number(), self.number());
        Metadata::new(self.number() as u16 & 0o7777, time)
            .uid(uid)
            .gid(gid)
            .xattrs(xattrs)
    }

    fn options(&mut self) -> FormatOptions {
        let bits = self.byte();
        let (more, rare) = (Bits(self.byte()), Bits(self.byte()));
        let pick = |at: u8| Bits(bits).has(at);
        let inode_size = if rare.has(6) {
            InodeSize::B128
        } else if pick(4) {
            InodeSize::B256
        } else {
            InodeSize::B512
        };
        let journal = if pick(5) {
            JournalRule::Default
        } else {
            JournalRule::None
        };
        let block_size = [BlockSize::B1024, BlockSize::B2048, BlockSize::B4096];
        let hash_algorithm = match more.0 >> 6 {
            1 => HashAlgorithm::Tea,
            2 => HashAlgorithm::Legacy,
            _ => HashAlgorithm::HalfMd4,
        };
        FormatOptions::default()
            .block_size(block_size[usize::from(bits % 3)])
            .inode_size(inode_size)
            .journal(journal)
            .hash_algorithm(hash_algorithm)
            // Whole groups of larger blocks would be 32 and 128 MiB to read back.
            .size(if pick(6) || !bits.is_multiple_of(3) {
                SizeRule::Shrink
            } else {
                SizeRule::AtLeast(0)
            })
            .inodes(if rare.has(4) {
                InodeRule::Count(0)
            } else {
                InodeRule::default()
            })
            .features(features(Bits(bits), more, rare))
            .directory_slack_percent(self.byte() % 51)
            .lost_and_found(!rare.has(5))
            .zeros_to_holes(rare.has(7))
    }
}

#[derive(Clone, Copy)]
struct Bits(u8);

impl Bits {
    fn has(self, at: u8) -> bool {
        self.0 >> at & 1 == 1
    }
}

/// Any set of features that is permitted.
fn features(bits: Bits, more: Bits, rare: Bits) -> Features {
    let mut features = Features::default();
    features.set(Features::RESIZE_INODE, !bits.has(0));
    features.set(Features::METADATA_CSUM, !bits.has(1));
    features.set(Features::BIT64, !bits.has(2));
    features.set(Features::DIR_INDEX, !bits.has(3));
    let small_inodes = rare.has(6);
    features.set(Features::METADATA_CSUM_SEED, more.has(0) && !bits.has(1));
    features.set(Features::ORPHAN_FILE, more.has(1) && bits.has(5));
    features.set(Features::QUOTA, more.has(2));
    features.set(Features::PROJECT, more.has(3) && !small_inodes);
    features.set(Features::VERITY, more.has(4));
    features.set(Features::SPARSE_SUPER, !more.has(5));
    features.set(Features::SPARSE_SUPER2, more.has(5));
    features.set(Features::INLINE_DATA, rare.has(0) && !small_inodes);
    features.set(Features::EA_INODE, rare.has(1));
    features.set(Features::META_BG, rare.has(2) && bits.has(0));
    features.set(Features::LARGE_DIR, rare.has(3) && !bits.has(3));
    features
}

/// Whether ext4-view takes such an image, and finds names in it.
fn readable(options: &FormatOptions) -> bool {
    let refused =
        Features::INLINE_DATA | Features::EA_INODE | Features::META_BG | Features::LARGE_DIR;
    options.hash_algorithm != HashAlgorithm::Legacy
        && options.inode_size != InodeSize::B128
        && !options.features.intersects(refused)
}

/// A file of the model. Names are in the model's directories, so that links are several names of one file.
#[derive(Clone)]
struct Known {
    id: NodeId,
    metadata: Metadata,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Directory(BTreeMap<Vec<u8>, usize>),
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
}

struct Model<'a> {
    files: Vec<Known>,
    image: ImageWriter<&'a MemoryDevice>,
    tree: FileTree<Content>,
    /// The first bytes of every content, which tell it from all others.
    tags: u64,
    names: usize,
    /// Whether files may have a project.
    projects: bool,
}

/// Builds what the bytes say and compares the image with the model; returns the image where there is one.
pub(crate) fn check(data: &[u8]) -> Option<Vec<u8>> {
    let mut program = Program(data);
    let options = program.options();
    let block_size = options.block_size.bytes() as usize;
    let readable = readable(&options);
    let whole_seconds = options.inode_size == InodeSize::B128;
    let projects = options.features.contains(Features::PROJECT);
    let device = MemoryDevice::new();
    let root = program.metadata();
    let tree = FileTree::new(root.clone()).expect("the metadata is in range");
    let image = ImageWriter::new(&device, options).expect("the options agree");
    let kind = Kind::Directory(BTreeMap::new());
    let files = vec![Known {
        id: tree.root(),
        metadata: root,
        kind,
    }];
    let mut model = Model {
        files,
        image,
        tree,
        tags: 0,
        names: 0,
        projects,
    };
    while !program.0.is_empty() && model.names < 400 {
        model.step(&mut program);
    }
    let Model {
        files,
        image,
        tree,
        tags,
        ..
    } = model;
    let summary = match image.finish(tree) {
        Ok(summary) => summary,
        Err(Error::XattrsTooLarge { .. } | Error::SymlinkTooLong { .. }) => return None,
        Err(Error::TimeOutOfRange { .. }) if whole_seconds => return None,
        Err(error) => panic!("{error}"),
    };
    let bytes = device.to_vec();
    assert_eq!(bytes.len() as u64, summary.size_bytes);
    assert_eq!(summary.blocks * block_size as u64, summary.size_bytes);
    check_tags(&bytes, block_size, &files, tags);
    if readable {
        let view = ext4_view::Ext4::load(Box::new(bytes.clone())).expect("the image loads");
        compare(&view, &files, 0, b"/");
    }
    Some(bytes)
}

impl Model<'_> {
    fn step(&mut self, program: &mut Program<'_>) {
        let operation = program.byte();
        let directories: Vec<usize> = (0..self.files.len())
            .filter(|&at| matches!(self.files[at].kind, Kind::Directory(_)))
            .collect();
        let parent = directories[usize::from(program.byte()) % directories.len()];
        let name = program.name();
        match operation % 10 {
            6 => {
                let target = usize::from(program.byte()) % self.files.len();
                return self.link(parent, name, target);
            }
            7 => return self.remove(parent, &name),
            8 => return self.replace(parent, name, program),
            9 => return self.change(program),
            _ => {}
        }
        let metadata = program.metadata();
        let kind = match operation % 10 {
            0 | 1 => Kind::Directory(BTreeMap::new()),
            2 | 3 => Kind::File(self.content(program)),
            4 => Kind::Symlink(vec![b't'; 1 + usize::from(program.byte())]),
            _ => Kind::Fifo,
        };
        self.insert(parent, name, kind, metadata);
    }

    /// Bytes, zeros and bytes, begun by a tag of their own.
    fn content(&mut self, program: &mut Program<'_>) -> Vec<u8> {
        self.tags += 1;
        let mut bytes = tag(self.tags).to_vec();
        for _ in 0..program.byte() % 4 {
            let (value, length) = (program.byte(), program.number() as usize % 70_000);
            let length = if value & 1 == 0 {
                length
            } else {
                length % 5000
            };
            bytes.resize(bytes.len() + length, value);
        }
        bytes
    }

    fn store(&mut self, bytes: &[u8]) -> Content {
        // What is announced may be right, missing, or far too little, so that the content is in pieces.
        let announced = [bytes.len() as u64, 0, 1][self.tags as usize % 3];
        let mut content = self.image.content(announced);
        for piece in bytes.chunks(3000) {
            content.append(piece).expect("memory takes all");
        }
        content.finish().expect("a content is open")
    }

    fn insert(&mut self, parent: usize, name: Vec<u8>, kind: Kind, metadata: Metadata) {
        let ours = match &kind {
            Kind::Directory(_) => FileKind::Directory,
            Kind::File(bytes) => FileKind::File(self.store(bytes)),
            Kind::Symlink(target) => FileKind::Symlink(target.clone().into()),
            Kind::Fifo => FileKind::Fifo,
        };
        let id = self.files[parent].id;
        let wanted = self.refusal(parent, &name) || self.known(parent, &name);
        match self.tree.insert(id, &name, ours, metadata.clone()) {
            Ok(id) => {
                assert!(!wanted, "a bad name was taken");
                self.set_project(id);
                self.files.push(Known { id, metadata, kind });
                self.add(parent, name, self.files.len() - 1);
            }
            Err(error) => assert!(wanted, "{error}"),
        }
    }

    fn set_project(&mut self, id: NodeId) {
        if self.projects {
            let project = self.names as u32 % 5;
            self.tree
                .set_project(id, project)
                .expect("the file is there");
        }
    }

    /// A regular file instead of whatever has the name, or under a new one.
    fn replace(&mut self, parent: usize, name: Vec<u8>, program: &mut Program<'_>) {
        let metadata = program.metadata();
        let bytes = self.content(program);
        let content = FileKind::File(self.store(&bytes));
        let wanted = self.refusal(parent, &name);
        let id = self.files[parent].id;
        match self.tree.replace(id, &name, content, metadata.clone()) {
            Ok((id, gone)) => {
                assert!(!wanted, "a bad name was taken");
                for content in gone {
                    self.image.release(content).expect("memory takes all");
                }
                let kind = Kind::File(bytes);
                self.files.push(Known { id, metadata, kind });
                self.add(parent, name, self.files.len() - 1);
            }
            Err(error) => assert!(wanted, "{error}"),
        }
    }

    /// Other metadata for a file.
    fn change(&mut self, program: &mut Program<'_>) {
        let at = usize::from(program.byte()) % self.files.len();
        let metadata = program.metadata();
        let id = self.files[at].id;
        let gone = self.tree.file_type(id).is_none();
        match self.tree.set_metadata(id, metadata.clone()) {
            Ok(()) => {
                assert!(!gone, "a removed file was changed");
                self.files[at].metadata = metadata;
            }
            Err(error) => assert!(gone, "{error}"),
        }
    }

    fn link(&mut self, parent: usize, name: Vec<u8>, target: usize) {
        let directory = matches!(self.files[target].kind, Kind::Directory(_));
        let gone = self.tree.file_type(self.files[target].id).is_none();
        let taken = self.known(parent, &name);
        let wanted = self.refusal(parent, &name) || taken || directory || gone;
        match self
            .tree
            .link(self.files[parent].id, &name, self.files[target].id)
        {
            Ok(()) => {
                assert!(!wanted);
                self.add(parent, name, target);
            }
            Err(error) => assert!(wanted, "{error}"),
        }
    }

    fn remove(&mut self, parent: usize, name: &[u8]) {
        let gone = match self.tree.remove(self.files[parent].id, name) {
            Ok(gone) => gone,
            Err(TreeError::NotFound { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        for content in gone {
            self.image.release(content).expect("memory takes all");
        }
        if let Kind::Directory(entries) = &mut self.files[parent].kind {
            assert!(entries.remove(name).is_some());
        }
    }

    /// Whether the directory has the name.
    fn known(&self, parent: usize, name: &[u8]) -> bool {
        match &self.files[parent].kind {
            Kind::Directory(entries) => entries.contains_key(name),
            _ => false,
        }
    }

    /// Whether no file can have the name there.
    fn refusal(&self, parent: usize, name: &[u8]) -> bool {
        let gone = self.tree.file_type(self.files[parent].id).is_none();
        let bad = name.is_empty() || name == b"." || name == b".." || name.len() > 255;
        gone || bad || name.contains(&b'/') || name.contains(&0)
    }

    fn add(&mut self, parent: usize, name: Vec<u8>, file: usize) {
        self.names += 1;
        if let Kind::Directory(entries) = &mut self.files[parent].kind {
            entries.insert(name, file);
        }
    }
}

fn tag(number: u64) -> [u8; 8] {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_le_bytes()
}

/// No block begins with the tag of a content that no file has any more.
fn check_tags(bytes: &[u8], block_size: usize, files: &[Known], tags: u64) {
    let mut live = BTreeSet::new();
    let mut waiting = vec![0];
    while let Some(at) = waiting.pop() {
        match &files[at].kind {
            Kind::Directory(entries) => waiting.extend(entries.values()),
            Kind::File(bytes) => {
                live.insert(bytes[..8].to_vec());
            }
            _ => {}
        }
    }
    let gone: BTreeSet<_> = (1..=tags)
        .map(|n| tag(n).to_vec())
        .filter(|tag| !live.contains(tag))
        .collect();
    for block in bytes.chunks(block_size) {
        assert!(!gone.contains(&block[..8]), "a removed content survives");
    }
}

fn compare(view: &ext4_view::Ext4, files: &[Known], at: usize, path: &[u8]) {
    let Known { metadata, kind, .. } = &files[at];
    let place = ext4_view::Path::new(path);
    let seen = view.symlink_metadata(place).expect("the file is found");
    assert_eq!(
        (seen.mode(), seen.uid(), seen.gid()),
        (metadata.mode, metadata.uid, metadata.gid)
    );
    let time = (seen.modified().seconds(), seen.modified().nanoseconds());
    assert_eq!(time, (metadata.mtime.seconds, metadata.mtime.nanoseconds));
    match kind {
        Kind::Directory(entries) => {
            let mut names: Vec<Vec<u8>> = view
                .read_dir(place)
                .expect("the directory lists")
                .map(|entry| {
                    entry
                        .expect("the entry is whole")
                        .file_name()
                        .as_ref()
                        .to_vec()
                })
                .filter(|name| name != b"." && name != b"..")
                .filter(|name| at != 0 || name != b"lost+found" || entries.contains_key(name))
                .collect();
            names.sort();
            assert!(names.iter().eq(entries.keys()), "{}", path.escape_ascii());
            for (name, &file) in entries {
                let separator = if at == 0 { &b""[..] } else { b"/" };
                compare(view, files, file, &[path, separator, name].concat());
            }
        }
        Kind::File(bytes) => assert!(view.read(place).expect("the file reads") == *bytes),
        // ext4-view takes no target with a name above 255 bytes, though Linux does.
        Kind::Symlink(target) if target.len() > 255 => {
            assert!(seen.is_symlink() && seen.len() == target.len() as u64);
        }
        Kind::Symlink(target) => {
            let read = view.read_link(place).expect("the link reads");
            assert!(read.as_ref() == target.as_slice());
        }
        Kind::Fifo => assert!(seen.file_type() == ext4_view::FileType::Fifo),
    }
}
