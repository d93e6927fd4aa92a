//! Files as streams that read ahead.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio::task::JoinHandle;

use super::TarInput;
use super::verified::Check;
use crate::decode::poll_read_buffered;
use crate::digest::Digest;
use crate::error::{Error, Result};

/// Large enough that the hand-over to the blocking pool costs nothing beside inflating the bytes.
const READ_AHEAD: usize = 512 * 1024;

/// Enough for a tar header with its extensions.
const PEEK: usize = 2048;

/// How often a thread that waits for a pipe looks whether anybody still does.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// `O_NONBLOCK`, as the standard library takes it.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// A file, or a part of one, as a stream.
///
/// The next buffer is read, and checked, on tokio's blocking pool while the present one is consumed.
pub(super) struct FileReader {
    input: Option<Input>,
    buffer: Vec<u8>,
    consumed: usize,
    ahead: Option<JoinHandle<Filled>>,
    spare: Vec<u8>,
    capacity: usize,
    /// Tells a thread that waits for a pipe that we still want its bytes.
    _wanting: Arc<()>,
}

type Filled = (Input, Vec<u8>, io::Result<()>);

/// What is left to read, and what it must be.
struct Input {
    bytes: Bytes,
    check: Option<Check>,
}

enum Bytes {
    /// A part of a file that can be sought in; any number of readers share it.
    Part {
        file: Arc<File>,
        position: u64,
        end: u64,
    },
    /// A pipe or the like, read to its end.
    Stream {
        file: File,
        /// Gone when nobody wants the bytes any more.
        wanted: Weak<()>,
    },
}

impl Input {
    /// Reads up to `capacity` bytes; none at the end.
    fn fill(&mut self, buffer: &mut Vec<u8>, capacity: usize) -> io::Result<()> {
        buffer.resize(capacity, 0);
        let read = retry(|| match &mut self.bytes {
            Bytes::Part {
                file,
                position,
                end,
            } => {
                let left = usize::try_from(*end - *position).unwrap_or(usize::MAX);
                let wanted = left.min(buffer.len());
                let read = file.read_at(&mut buffer[..wanted], *position)?;
                *position += read as u64;
                Ok(read)
            }
            Bytes::Stream { file, wanted } => read_stream(file, buffer, wanted),
        });
        buffer.truncate(*read.as_ref().unwrap_or(&0));
        read?;
        match &mut self.check {
            Some(check) => check.take(buffer),
            None => Ok(()),
        }
    }
}

/// Reads what a pipe has. A silent one holds a thread only for as long as somebody waits for it.
fn read_stream(file: &mut File, buffer: &mut [u8], wanted: &Weak<()>) -> io::Result<usize> {
    loop {
        let mut watched = [PollFd::new(&*file, PollFlags::IN)];
        let silent = poll(&mut watched, Some(&LOOK))? == 0;
        if wanted.strong_count() == 0 {
            let gone = "nobody wants the rest";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, gone));
        }
        if !silent {
            match file.read(buffer) {
                // Another reader of the same pipe was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl FileReader {
    /// The bytes from `position` up to `end` or the end of the file.
    pub(super) fn part(file: Arc<File>, position: u64, end: u64) -> Self {
        Self::new(
            Bytes::Part {
                file,
                position,
                end: end.max(position),
            },
            READ_AHEAD,
        )
    }

    /// The same, when little will be read from there.
    pub(super) fn peek(file: Arc<File>, position: u64, end: u64) -> Self {
        Self::new(
            Bytes::Part {
                file,
                position,
                end: end.max(position),
            },
            PEEK,
        )
    }

    /// All that a pipe gives.
    pub(super) fn stream(file: File) -> Self {
        let wanting = Arc::new(());
        let wanted = Arc::downgrade(&wanting);
        Self {
            _wanting: wanting,
            ..Self::new(Bytes::Stream { file, wanted }, READ_AHEAD)
        }
    }

    /// The same stream, which fails in place of its end when it is not what it must be.
    pub(super) fn verified(mut self, expected: Digest, size: u64) -> Self {
        if let Some(input) = &mut self.input {
            input.check = Some(Check::new(expected, size));
        }
        self
    }

    fn new(bytes: Bytes, capacity: usize) -> Self {
        Self {
            input: Some(Input { bytes, check: None }),
            buffer: Vec::new(),
            consumed: 0,
            ahead: None,
            spare: Vec::new(),
            capacity,
            _wanting: Arc::default(),
        }
    }

    fn read_ahead(&mut self) {
        if let Some(mut input) = self.input.take() {
            let (mut buffer, capacity) = (std::mem::take(&mut self.spare), self.capacity);
            self.ahead = Some(tokio::task::spawn_blocking(move || {
                let outcome = input.fill(&mut buffer, capacity);
                (input, buffer, outcome)
            }));
        }
    }
}

impl AsyncBufRead for FileReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.consumed == this.buffer.len() {
            this.read_ahead();
            let Some(ahead) = &mut this.ahead else {
                return Poll::Ready(Ok(&[]));
            };
            let (input, buffer, outcome) = ready!(Pin::new(ahead).poll(cx))?;
            this.ahead = None;
            outcome?;
            this.spare = std::mem::replace(&mut this.buffer, buffer);
            this.consumed = 0;
            if !this.buffer.is_empty() {
                this.input = Some(input);
                this.read_ahead();
            }
        }
        Poll::Ready(Ok(&this.buffer[this.consumed..]))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().consumed += amount;
    }
}

impl AsyncRead for FileReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read_buffered(self, cx, out)
    }
}

/// An opened input: a file that can be read anywhere, with its length, or a stream.
pub(super) enum Opened {
    Regular(Arc<File>, u64),
    Stream(File),
}

/// Opens a regular file; anything else is an error.
pub(super) async fn open_regular(path: &Path) -> Result<(Arc<File>, u64)> {
    match open(&TarInput::File(path.into())).await? {
        Opened::Regular(file, length) => Ok((file, length)),
        Opened::Stream(_) => {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            Err(Error::io(format!("open {}", path.display()), error))
        }
    }
}

/// Opens a file, a pipe or standard input, which may be either.
#[expect(clippy::disallowed_methods, reason = "the user names the path")]
pub(super) async fn open(input: &TarInput) -> Result<Opened> {
    use std::os::fd::AsFd;
    let wrap = |error| Error::io(format!("open {}", shown(input)), error);
    let file = match input {
        // The opening of a pipe would wait for its other end, in a thread that nothing could wake.
        TarInput::File(path) => {
            OpenOptions::new()
                .read(true)
                .custom_flags(NONBLOCK)
                .open(path)
                .await
                .map_err(wrap)?
                .into_std()
                .await
        }
        TarInput::Stdin => File::from(io::stdin().as_fd().try_clone_to_owned().map_err(wrap)?),
    };
    let metadata = file.metadata().map_err(wrap)?;
    if metadata.is_dir() {
        return Err(wrap(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    // Standard input may be a file whose offset somebody else has moved: it is read as a stream.
    match input {
        TarInput::File(_) if metadata.is_file() => {
            Ok(Opened::Regular(Arc::new(file), metadata.len()))
        }
        _ => Ok(Opened::Stream(file)),
    }
}

/// The input's name in a message.
pub(super) fn shown(input: &TarInput) -> String {
    match input {
        TarInput::File(path) => path.display().to_string(),
        TarInput::Stdin => "standard input".into(),
    }
}
