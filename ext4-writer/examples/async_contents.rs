//! Contents that arrive asynchronously, several at once: `async_contents FILE` makes an image of two bodies.
//!
//! A content that waits for its next piece is set aside, so that the image is free for another one, and no borrow is held while
//! waiting. Writing itself is quick and blocks: where the disk is slow, give it to `tokio::task::block_in_place`.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use ext4_writer::{
    Content, Error, FileDevice, FileKind, FileTree, FormatOptions, ImageWriter, Metadata, Timestamp,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

type Image = Mutex<ImageWriter<FileDevice>>;

async fn store(
    image: Arc<Image>,
    mut body: impl AsyncRead + Unpin,
) -> Result<Content, Box<dyn std::error::Error + Send + Sync>> {
    let lock = || image.lock().unwrap_or_else(PoisonError::into_inner);
    let mut content = lock().content(0).suspend()?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = body.read(&mut buffer).await?;
        if count == 0 {
            return Ok(lock().resume(content)?.finish()?);
        }
        content = append(&mut lock(), content, &buffer[..count])?;
    }
}

fn append(
    image: &mut ImageWriter<FileDevice>,
    content: ext4_writer::SuspendedContent,
    bytes: &[u8],
) -> Result<ext4_writer::SuspendedContent, Error> {
    let mut writer = image.resume(content)?;
    writer.append(bytes)?;
    writer.suspend()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: async_contents FILE")?;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let image = Arc::new(Mutex::new(ImageWriter::new(
        FileDevice::new(file),
        FormatOptions::default(),
    )?));
    let (first, mut to_first) = tokio::io::duplex(4096);
    let (second, mut to_second) = tokio::io::duplex(4096);
    let sender = async move {
        for _ in 0..1000 {
            to_first.write_all(b"one after the other ").await?;
            to_second.write_all(b"and both at once ").await?;
        }
        std::io::Result::Ok(())
    };
    let (sent, first, second) = tokio::join!(
        sender,
        store(image.clone(), first),
        store(image.clone(), second)
    );
    sent?;
    let metadata = || Metadata::new(0o755, Timestamp::default());
    let mut tree = FileTree::new(metadata())?;
    tree.insert(tree.root(), b"first", FileKind::File(first?), metadata())?;
    tree.insert(tree.root(), b"second", FileKind::File(second?), metadata())?;
    let image = Arc::into_inner(image).ok_or("both contents are stored")?;
    let image = image.into_inner().unwrap_or_else(PoisonError::into_inner);
    image.finish(tree)?;
    Ok(())
}
