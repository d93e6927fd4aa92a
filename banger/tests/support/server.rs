//! A registry of one image, on a loopback port, that can fall silent in the middle of a blob.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

/// What it serves.
struct Served {
    layout: PathBuf,
    /// The hexadecimal digest of the blob of which only the first half ever comes.
    silent_in: Option<String>,
}

/// Serves the layout in `folder` for as long as the test runs; returns a reference to its image.
pub(crate) fn serve(folder: &Path, silent_in: Option<&str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Arc::new(Served {
        layout: folder.to_owned(),
        silent_in: silent_in.map(|digest| digest.trim_start_matches("sha256:").to_owned()),
    });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let served = served.clone();
            // A client that is gone is no failure of the test.
            thread::spawn(move || served.converse(stream).ok());
        }
    });
    format!("127.0.0.1:{port}/image:latest")
}

impl Served {
    fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut out = stream;
        loop {
            let (mut request, mut header) = (String::new(), String::new());
            lines.read_line(&mut request)?;
            while header != "\r\n" {
                header.clear();
                if lines.read_line(&mut header)? == 0 {
                    return Ok(());
                }
            }
            let mut words = request.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap_or("/"));
            let (status, media_type, body) = self.answer(path);
            write!(
                out,
                "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            )?;
            if method == "HEAD" {
                continue;
            }
            if self
                .silent_in
                .as_ref()
                .is_some_and(|hex| path.ends_with(hex))
            {
                out.write_all(&body[..body.len() / 2])?;
                loop {
                    thread::park();
                }
            }
            out.write_all(&body)?;
        }
    }

    fn answer(&self, path: &str) -> (&'static str, String, Vec<u8>) {
        let found = match path.split('/').collect::<Vec<_>>()[..] {
            [.., "manifests", _] => {
                let index = fs::read(self.layout.join("index.json")).unwrap();
                let index: Value = serde_json::from_slice(&index).unwrap();
                let top = &index["manifests"][0];
                Some((top["mediaType"].clone(), top["digest"].clone()))
            }
            [.., "blobs", digest] => Some(("application/octet-stream".into(), digest.into())),
            _ => None,
        };
        let blob = found.and_then(|(media_type, digest)| {
            let path = digest.as_str()?.replace(':', "/");
            let bytes = fs::read(self.layout.join("blobs").join(path)).ok()?;
            Some((media_type.as_str()?.to_owned(), bytes))
        });
        match blob {
            Some((media_type, bytes)) => ("200 OK", media_type, bytes),
            None => ("404 Not Found", "text/plain".to_owned(), Vec::new()),
        }
    }
}
