//! A server between client and registry that breaks things on purpose.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use oci_flatten::digest::Digest;

use super::image::TestImage;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How often this method and path came before.
    pub(crate) earlier: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.method == "GET" && self.path.contains("/blobs/")
    }

    /// Whether it is for a layer of [`TestImage::new`].
    pub(crate) fn is_layer(&self) -> bool {
        static LAYERS: LazyLock<Vec<Digest>> = LazyLock::new(|| {
            let layers = TestImage::layers();
            layers.iter().map(|layer| Digest::sha256(layer)).collect()
        });
        LAYERS.iter().any(|layer| self.asks_for(layer))
    }

    pub(crate) fn asks_for(&self, digest: &Digest) -> bool {
        self.method == "GET" && self.path.ends_with(digest.as_str())
    }

    pub(crate) fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Forward,
    /// An answer of the proxy's own.
    Answer(Answer),
    /// The registry's answer, with the connection cut after so many bytes of the body.
    CutAfter(usize),
    /// The same, but the silence lasts.
    StallAfter(usize),
    /// The registry's answer, a few bytes at a time.
    Drip,
    /// The registry's answer, ended cleanly but too early.
    EndAfter(usize),
    /// The registry's answer with one byte of the body changed.
    Flip(usize),
    /// The registry's answer to the request without `Range`.
    IgnoreRange,
    /// The registry's answer with another `Content-Range`.
    WrongRange(&'static str),
    /// The registry's answer with bytes behind its end.
    Lengthen,
    /// The head of the registry's answer without a length, and blanks for as long as the client listens.
    Endless,
    /// The registry has the request, and its answer is lost.
    LoseAnswer,
    /// So many bytes of the request's body reach the registry, and no answer comes back.
    CutRequestAfter(usize),
    /// Nothing at all, the connection is cut.
    Cut,
    /// Nothing at all, and the connection stays.
    StallBefore,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Reads one from the registry.
    fn read(stream: TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let headers = read_headers(&mut reader)?;
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    fn head(&self, length: Option<usize>) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Test\r\n", self.status);
        for (name, value) in &self.headers {
            if !["content-length", "connection", "transfer-encoding"]
                .contains(&name.to_ascii_lowercase().as_str())
            {
                head += &format!("{name}: {value}\r\n");
            }
        }
        if let Some(length) = length {
            head += &format!("Content-Length: {length}\r\n");
        }
        head += "Connection: close\r\n\r\n";
        head.into_bytes()
    }
}

/// The proxy; its threads end with the test.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// Stands before the registry at `upstream`; `decide` chooses what is done with each request.
    pub(crate) fn before(
        upstream: u16,
        decide: impl Fn(&Request) -> Action + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let decide = Arc::new(decide);
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (decide, log) = (Arc::clone(&decide), Arc::clone(&shared));
                thread::spawn(move || {
                    // A client that hangs up is no concern of the proxy.
                    let _ = serve(stream, upstream, &*decide, &log);
                });
            }
        });
        Self { port, log }
    }

    /// Answers by itself.
    pub(crate) fn alone(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::before(0, move |request| Action::Answer(answer(request)))
    }

    pub(crate) fn domain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, which: impl Fn(&Request) -> bool) -> usize {
        self.requests()
            .iter()
            .filter(|request| which(request))
            .count()
    }
}

fn serve(
    stream: TcpStream,
    upstream: u16,
    decide: &dyn Fn(&Request) -> Action,
    log: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    if !line.ends_with("HTTP/1.1\r\n") {
        // TLS, or nothing at all.
        return Ok(());
    }
    let headers = read_headers(&mut reader)?;
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: Vec::new(),
        earlier: 0,
    };
    let length = request
        .header("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    reader.take(length).read_to_end(&mut request.body)?;
    {
        let mut log = log.lock().unwrap();
        request.earlier = log
            .iter()
            .filter(|earlier| earlier.method == method && earlier.path == path)
            .count();
        log.push(request.clone());
    }
    respond(stream, &request, upstream, decide(&request))
}

fn respond(
    mut client: TcpStream,
    request: &Request,
    upstream: u16,
    action: Action,
) -> io::Result<()> {
    let keep_range = !matches!(action, Action::IgnoreRange);
    if let Action::CutRequestAfter(count) = action {
        let mut stream = TcpStream::connect(("127.0.0.1", upstream))?;
        stream.write_all(head_of(request, true).as_bytes())?;
        stream.write_all(&request.body[..count.min(request.body.len())])?;
        // The registry has read it before it learns that there is no more.
        thread::sleep(Duration::from_millis(300));
        stream.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    let mut answer = match &action {
        Action::Answer(answer) => answer.clone(),
        Action::Cut => return client.shutdown(Shutdown::Both),
        Action::StallBefore => return client.read(&mut [0; 1]).map(drop),
        _ => ask(request, upstream, keep_range)?,
    };
    let length = answer.body.len();
    let part = |count: usize| &answer.body[..count.min(length)];
    match action {
        Action::LoseAnswer => client.shutdown(Shutdown::Both),
        Action::CutAfter(count) => {
            client.write_all(&answer.head(Some(length)))?;
            client.write_all(part(count))?;
            client.shutdown(Shutdown::Both)
        }
        Action::StallAfter(count) => {
            client.write_all(&answer.head(Some(length)))?;
            client.write_all(part(count))?;
            client.flush()?;
            // Until the client gives up.
            client.read(&mut [0; 1]).map(drop)
        }
        Action::Drip => {
            client.write_all(&answer.head(Some(length)))?;
            for piece in answer.body.chunks(length / 100 + 1) {
                client.write_all(piece)?;
                client.flush()?;
                thread::sleep(Duration::from_millis(30));
            }
            Ok(())
        }
        Action::EndAfter(count) => {
            client.write_all(&answer.head(None))?;
            client.write_all(part(count))
        }
        Action::Flip(place) => {
            if let Some(byte) = answer.body.get_mut(place) {
                *byte ^= 1;
            }
            client.write_all(&answer.head(Some(length)))?;
            client.write_all(&answer.body)
        }
        Action::WrongRange(range) => {
            for (name, value) in &mut answer.headers {
                if name.eq_ignore_ascii_case("content-range") {
                    range.clone_into(value);
                }
            }
            client.write_all(&answer.head(Some(length)))?;
            client.write_all(&answer.body)
        }
        Action::Lengthen => {
            client.write_all(&answer.head(None))?;
            client.write_all(&answer.body)?;
            client.write_all(b"more")
        }
        Action::Endless => {
            client.write_all(&answer.head(None))?;
            loop {
                client.write_all(&[b' '; 4096])?;
            }
        }
        Action::Forward
        | Action::Answer(_)
        | Action::IgnoreRange
        | Action::Cut
        | Action::CutRequestAfter(_)
        | Action::StallBefore => {
            let head_only = request.method == "HEAD";
            let given = answer
                .headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length = given
                .filter(|_| head_only)
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(length);
            client.write_all(&answer.head(Some(length)))?;
            client.write_all(if head_only { &[] } else { &answer.body })
        }
    }
}

fn head_of(request: &Request, keep_range: bool) -> String {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nConnection: close\r\n",
        request.method, request.path
    );
    for (name, value) in &request.headers {
        let dropped = name.eq_ignore_ascii_case("connection")
            || (!keep_range && name.eq_ignore_ascii_case("range"));
        if !dropped {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head + "\r\n"
}

fn ask(request: &Request, upstream: u16, keep_range: bool) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", upstream))?;
    stream.write_all(head_of(request, keep_range).as_bytes())?;
    stream.write_all(&request.body)?;
    Answer::read(stream)
}

fn read_headers(reader: &mut impl io::BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => return Ok(headers),
        }
    }
}
