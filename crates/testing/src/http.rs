//! A small HTTP server on this machine.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::Value;

/// A request that the server received.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD`, `POST` or `PUT`.
    pub method: String,
    /// What follows the address of the server.
    pub path: String,
    /// The headers, by their names in lower-case letters.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What the server answers.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, apart from the length.
    pub headers: Vec<(String, String)>,
    /// The body; a HEAD request gets its length alone.
    pub body: Vec<u8>,
    /// Number of bytes of the body after which the server hangs up, if any.
    pub cut: Option<usize>,
}

impl Answer {
    /// An answer with this body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// Status 200 and a JSON value.
    pub fn json(value: &Value) -> Self {
        Self::new(200, value.to_string())
    }

    /// The same with another header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A body, or the part of it that the request asks for. `tag` is what the server calls this version of it.
    pub fn ranged(request: &Request, body: &[u8], tag: &str) -> Self {
        let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        let is_same = ["", tag].contains(&request.header("if-range"));
        match range.and_then(|start| start.parse::<usize>().ok()).filter(|_| is_same) {
            Some(start) if start < body.len() => {
                let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
                Self::new(206, &body[start..]).with("Content-Range", &range).with("ETag", tag)
            }
            Some(_) => Self::new(416, ""),
            None => Self::new(200, body).with("ETag", tag),
        }
    }
}

/// The server; it answers as long as the test runs.
#[derive(Debug, Clone)]
pub struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts a server that answers as `answer` says, one request after the other.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(mut answer: impl FnMut(&Request, &str) -> Answer + Send + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self { url: format!("http://{}", listener.local_addr()?), requests: Arc::default() };
        let own = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is no concern of the server.
                let _ = own.serve(stream, &mut answer);
            }
        });
        Ok(server)
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.locked().clone()
    }

    /// Forgets all requests so far.
    pub fn forget(&self) {
        self.locked().clear();
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream, answer: &mut impl FnMut(&Request, &str) -> Answer) -> io::Result<()> {
        let request = read(&mut BufReader::new(&stream))?;
        self.locked().push(request.clone());
        write(&stream, &request, &answer(&request, &self.url))
    }
}

fn read(reader: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path, headers, body })
}

fn write(mut stream: &TcpStream, request: &Request, answer: &Answer) -> io::Result<()> {
    let Answer { status, headers, body, cut } = answer;
    let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let sent = if request.method == "HEAD" { 0 } else { cut.unwrap_or(body.len()).min(body.len()) };
    stream.write_all(&body[..sent])?;
    stream.flush()
}
