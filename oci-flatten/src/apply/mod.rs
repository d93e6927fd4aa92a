//! One layer onto the tree: entries to the [`Rootfs`], contents to the caller's [`ContentSink`].

mod error;
mod metadata;
mod records;
mod role;

pub use error::{ApplyError, EntryProblem};
pub use role::{RoleProblem, TarRole};

use crate::limits::LimitExceeded;
use crate::path::EntryPath;
use crate::rootfs::{Hidden, MergeError, NewKind, NodeId, Rootfs};
use crate::tar::{Entry, EntryKind, Event, TarReader};
use crate::warning::{Warning, Warnings};
use crate::whiteout::{AufsEntry, Whiteout};
use metadata::{device_number, symlink_target};
use role::ImageSigns;

/// Where the contents of regular files go, one after the other.
///
/// For each file [`begin`](Self::begin), then bytes and holes in order, then [`end`](Self::end). A content whose
/// last name an upper layer takes away is given back by [`release`](Self::release) at once, before the next file
/// begins, so that its room can be used again.
pub trait ContentSink {
    /// What stands for a stored content in the tree; keep it small, there is one per file.
    type Content;
    /// What can go wrong when storing.
    type Error: std::error::Error + Send + Sync + 'static;

    /// A file of `size` bytes, holes included, begins.
    ///
    /// # Errors
    /// As the sink decides.
    fn begin(&mut self, size: u64) -> Result<(), Self::Error>;
    /// Its next bytes.
    ///
    /// # Errors
    /// As the sink decides.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// So many zeros that the layer does not hold.
    ///
    /// # Errors
    /// As the sink decides.
    fn hole(&mut self, length: u64) -> Result<(), Self::Error>;
    /// The file is complete.
    ///
    /// # Errors
    /// As the sink decides.
    fn end(&mut self) -> Result<Self::Content, Self::Error>;
    /// Nothing refers to this content any more.
    ///
    /// # Errors
    /// As the sink decides.
    fn release(&mut self, content: Self::Content) -> Result<(), Self::Error>;
}

/// What a layer was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerReport {
    /// Tar entries, whiteouts included.
    pub entries: u64,
    /// Whiteouts and opaque markers among them.
    pub whiteouts: u64,
    /// Decoded bytes, headers and padding included.
    pub expanded_bytes: u64,
    /// Bytes of file contents, holes not counted.
    pub content_bytes: u64,
    /// What a user should know.
    pub warnings: Warnings,
}

/// Applies one layer, given as decoded tar bytes in pieces of any size.
///
/// ```
/// use oci_flatten::apply::{ApplyError, ContentSink, LayerApplier, LayerReport};
/// use oci_flatten::rootfs::Rootfs;
///
/// fn apply<S: ContentSink>(
///     layer: &[u8],
///     rootfs: &mut Rootfs<S::Content>,
///     sink: &mut S,
/// ) -> Result<LayerReport, ApplyError<S::Error>> {
///     let mut applier = LayerApplier::new(rootfs, sink)?;
///     for piece in layer.chunks(1 << 18) {
///         applier.push(piece)?;
///     }
///     applier.finish()
/// }
/// ```
pub struct LayerApplier<'a, S: ContentSink> {
    reader: TarReader,
    merger: Merger<'a, S>,
}

struct Merger<'a, S: ContentSink> {
    rootfs: &'a mut Rootfs<S::Content>,
    sink: &'a mut S,
    /// The file whose content arrives; contents of other entries are passed over.
    open: Option<NodeId>,
    skip_selinux: bool,
    role: TarRole,
    /// Looked for in a root filesystem only.
    image_signs: ImageSigns,
    report: LayerReport,
}

impl<'a, S: ContentSink> LayerApplier<'a, S> {
    /// Begins a layer above all that `rootfs` has, within the limits that it was made with.
    ///
    /// # Errors
    /// There are too many layers.
    pub fn new(
        rootfs: &'a mut Rootfs<S::Content>,
        sink: &'a mut S,
    ) -> Result<Self, ApplyError<S::Error>> {
        rootfs.begin_layer().map_err(ApplyError::Limit)?;
        let reader = TarReader::new(&rootfs.limits().tar());
        let merger = Merger {
            rootfs,
            sink,
            open: None,
            skip_selinux: false,
            role: TarRole::Layer,
            image_signs: ImageSigns::default(),
            report: LayerReport::default(),
        };
        Ok(Self { reader, merger })
    }

    /// Leaves SELinux labels (`security.selinux`) out: those of a build host mean nothing to a guest with a
    /// policy of its own.
    #[must_use]
    pub fn skip_selinux(mut self, skip: bool) -> Self {
        self.merger.skip_selinux = skip;
        self
    }

    /// Reads the tar as something else than a layer of an image.
    #[must_use]
    pub fn role(mut self, role: TarRole) -> Self {
        self.merger.role = role;
        self
    }

    /// Tar entries so far, whiteouts included.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.merger.report.entries
    }

    /// Takes the layer's next bytes.
    ///
    /// # Errors
    /// The layer is malformed or passes a limit, or the sink fails; the tree is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ApplyError<S::Error>> {
        self.merger.report.expanded_bytes += bytes.len() as u64;
        self.merger
            .rootfs
            .count_bytes(bytes.len() as u64)
            .map_err(ApplyError::Limit)?;
        let mut rest = bytes;
        while let Some(event) = self.reader.next_event(&mut rest)? {
            match event {
                Event::Entry(entry) => self.merger.entry(&entry)?,
                Event::Data(data) => self.merger.data(data)?,
                Event::Hole(length) => self.merger.hole(length)?,
                Event::EntryEnd => self.merger.entry_end()?,
            }
        }
        Ok(())
    }

    /// Ends the layer.
    ///
    /// # Errors
    /// The layer stops in the middle of an entry, what is read as a root filesystem is none, or the sink fails.
    pub fn finish(mut self) -> Result<LayerReport, ApplyError<S::Error>> {
        let end = self.reader.finish()?;
        let role = self.merger.role;
        role.check_end(end, self.reader.offset())?;
        self.merger.image_signs.check()?;
        self.merger
            .rootfs
            .end_layer()
            .map_err(ApplyError::LayerEnd)?;
        self.merger.release()?;
        Ok(self.merger.report)
    }
}

impl<S: ContentSink> Merger<'_, S> {
    fn data(&mut self, data: &[u8]) -> Result<(), ApplyError<S::Error>> {
        if self.open.is_some() {
            self.report.content_bytes += data.len() as u64;
            self.sink.write(data).map_err(ApplyError::Sink)?;
        }
        Ok(())
    }

    fn hole(&mut self, length: u64) -> Result<(), ApplyError<S::Error>> {
        if self.open.is_some() {
            self.sink.hole(length).map_err(ApplyError::Sink)?;
            self.rootfs.count_hole();
        }
        Ok(())
    }

    fn entry_end(&mut self) -> Result<(), ApplyError<S::Error>> {
        if let Some(node) = self.open.take() {
            let content = self.sink.end().map_err(ApplyError::Sink)?;
            self.rootfs.set_content(node, content);
        }
        Ok(())
    }

    /// Hands contents back that nothing refers to any more.
    fn release(&mut self) -> Result<(), ApplyError<S::Error>> {
        if self.rootfs.has_released() {
            for content in self.rootfs.take_released() {
                self.sink.release(content).map_err(ApplyError::Sink)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), ApplyError<S::Error>> {
        self.report.entries += 1;
        self.rootfs.count_entry().map_err(ApplyError::Limit)?;
        if entry.kind == EntryKind::VolumeLabel {
            let label = entry.path.to_vec();
            self.report.warnings.push(Warning::VolumeLabel { label });
            return Ok(());
        }
        if entry.path.is_empty() {
            self.report.warnings.push(Warning::EmptyName);
            return Ok(());
        }
        let path = EntryPath::parse(entry.path).map_err(ApplyError::Path)?;
        let merged = self.merge(entry, &path);
        self.open = merged.map_err(|problem| ApplyError::Entry {
            path: path.to_string(),
            problem,
        })?;
        self.release()?;
        if self.open.is_some() {
            self.sink.begin(entry.size).map_err(ApplyError::Sink)?;
        }
        Ok(())
    }

    /// Merges an entry; gives the file whose content is to be stored, if there is one.
    fn merge(
        &mut self,
        entry: &Entry<'_>,
        path: &EntryPath<'_>,
    ) -> Result<Option<NodeId>, EntryProblem> {
        let limits = self.rootfs.limits();
        let (length, depth) = (path.as_bytes().len() as u64, path.depth() as u64);
        LimitExceeded::check("path", length, "bytes", limits.path_bytes as u64)?;
        LimitExceeded::check("path", depth, "components", limits.path_depth as u64)?;
        match AufsEntry::parse(path.as_bytes()) {
            Some(AufsEntry::LinkSource(name)) if entry.kind == EntryKind::File => {
                let metadata = self.metadata(entry, path)?;
                return Ok(Some(self.rootfs.place_aufs(name, entry.size, metadata)?));
            }
            Some(_) => return Ok(None),
            None => {}
        }
        let Some((parent, name)) = path.split_last() else {
            return self.root(entry, path).map(|()| None);
        };
        if self.role.is_root_filesystem() {
            self.image_signs.see(path.as_bytes(), entry.kind);
        }
        match Whiteout::parse(name)? {
            Some(whiteout) => self.whiteout(whiteout, parent).map(|()| None),
            None => self.place(entry, path),
        }
    }

    /// The root's own entry. In a layer its metadata is mostly that of a temporary directory in which the layer was
    /// made, and engines pass it over.
    fn root(&mut self, entry: &Entry<'_>, path: &EntryPath<'_>) -> Result<(), EntryProblem> {
        let is_root_filesystem = self.role.is_root_filesystem();
        match entry.kind {
            EntryKind::Directory => {}
            EntryKind::Unknown(b'D') if is_root_filesystem => self.report_incremental(path),
            _ => return Err(MergeError::Root.into()),
        }
        if is_root_filesystem {
            let metadata = self.metadata(entry, path)?;
            self.rootfs.describe_root(metadata);
            return Ok(());
        }
        let mode = (entry.mode & 0o7777) as u16;
        let xattrs = entry.xattrs.iter().len();
        if mode != 0o755 || xattrs > 0 {
            self.report
                .warnings
                .push(Warning::RootEntry { mode, xattrs });
        }
        Ok(())
    }

    fn whiteout(&mut self, whiteout: Whiteout<'_>, parent: &[u8]) -> Result<(), EntryProblem> {
        self.report.whiteouts += 1;
        match whiteout {
            Whiteout::Opaque => self.rootfs.opaque(parent)?,
            Whiteout::Name(name) => {
                if self.rootfs.whiteout(parent, name)? == Hidden::OwnLayer {
                    let path = [parent, name].join(&b'/');
                    if let Ok(path) = EntryPath::parse(&path) {
                        let path = path.into_owned();
                        self.report
                            .warnings
                            .push(Warning::WhiteoutOfOwnLayer { path });
                    }
                }
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        entry: &Entry<'_>,
        path: &EntryPath<'_>,
    ) -> Result<Option<NodeId>, EntryProblem> {
        let kind = match entry.kind {
            EntryKind::File => NewKind::File { size: entry.size },
            EntryKind::Directory => NewKind::Directory,
            EntryKind::Fifo => NewKind::Fifo,
            EntryKind::Symlink => NewKind::Symlink(symlink_target(entry)?),
            EntryKind::CharDevice => {
                let number = device_number(entry)?;
                if (number.major(), number.minor()) == (0, 0) {
                    let path = path.clone().into_owned();
                    self.report.warnings.push(Warning::ZeroDevice { path });
                }
                NewKind::CharDevice(number)
            }
            EntryKind::BlockDevice => NewKind::BlockDevice(device_number(entry)?),
            EntryKind::HardLink => return self.hard_link(entry, path).map(|()| None),
            EntryKind::VolumeLabel => return Ok(None),
            // A GNU incremental backup is no layer, but what somebody may keep of a root filesystem.
            EntryKind::Unknown(b'D') if self.role.is_root_filesystem() => {
                self.report_incremental(path);
                NewKind::Directory
            }
            EntryKind::Unknown(flag) => return Err(EntryProblem::UnknownType(flag)),
        };
        let metadata = self.metadata(entry, path)?;
        let node = self.rootfs.place(path, kind, metadata)?;
        Ok((entry.kind == EntryKind::File).then_some(node))
    }

    fn report_incremental(&mut self, path: &EntryPath<'_>) {
        let path = path.clone().into_owned();
        self.report
            .warnings
            .push(Warning::IncrementalDirectory { path });
    }

    fn hard_link(&mut self, entry: &Entry<'_>, path: &EntryPath<'_>) -> Result<(), EntryProblem> {
        let target = EntryPath::parse(entry.link).map_err(EntryProblem::LinkTarget)?;
        if let Some(AufsEntry::LinkSource(name)) = AufsEntry::parse(target.as_bytes()) {
            return Ok(self.rootfs.link_aufs(path, name)?);
        }
        let metadata = self.metadata(entry, path)?;
        Ok(self.rootfs.link(path, &target, metadata)?)
    }
}
