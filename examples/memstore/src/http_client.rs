//! A small HTTP/1.1 client that keeps its connection, for the demo and for tests.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why a request has no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// No connection: the request was not sent.
    #[error("cannot connect to {addr}: {source}")]
    Connect {
        /// Where to.
        addr: String,
        /// The reason.
        source: io::Error,
    },
    /// The request cannot be sent as it is.
    #[error("the request is malformed: {0}")]
    Malformed(String),
    /// The connection broke; the request may or may not have been carried out.
    #[error("the connection to {addr} broke: {reason}")]
    Broken {
        /// Where to.
        addr: String,
        /// The reason.
        reason: String,
    },
    /// No answer in time; the request may or may not have been carried out.
    #[error("{addr} did not answer within {timeout:?}")]
    TimedOut {
        /// Where to.
        addr: String,
        /// The limit.
        timeout: Duration,
    },
}

impl HttpError {
    /// Whether the request cannot have been carried out.
    pub fn not_sent(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Malformed(_) => true,
            Self::Broken { .. } | Self::TimedOut { .. } => false,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// The seconds in `Retry-After`, when there are any.
    pub retry_after_seconds: Option<u64>,
}

impl Answer {
    /// The body as text, with a mark for what is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A client of one server: one request at a time over one connection, which is made again when
/// it is gone.
#[derive(Debug)]
pub struct HttpClient {
    addr: String,
    timeout: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpClient {
    /// A client of `addr` (host and port) that waits at most `timeout` for an answer. It connects
    /// with the first request.
    pub fn new(addr: impl Into<String>, timeout: Duration) -> Self {
        Self {
            addr: addr.into(),
            timeout,
            connection: None,
        }
    }

    /// The server's address.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Sends a GET request for `path`.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn get(&mut self, path: &str) -> Result<Answer, HttpError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    /// Sends a PUT request for `path`.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn put(&mut self, path: &str, body: impl Into<Bytes>) -> Result<Answer, HttpError> {
        self.request(Method::PUT, path, body.into()).await
    }

    /// Sends a POST request for `path`.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn post(&mut self, path: &str) -> Result<Answer, HttpError> {
        self.post_body(path, Bytes::new()).await
    }

    /// Sends a POST request with a body for `path`.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn post_body(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, HttpError> {
        self.request(Method::POST, path, body.into()).await
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.addr)
            .body(Full::new(body))
            .map_err(|error| HttpError::Malformed(error.to_string()))?;
        // A connection goes back only after a whole answer: after an error or when the caller is
        // cancelled it is dropped, so that no answer can reach the wrong request.
        let deadline = tokio::time::Instant::now() + self.timeout;
        let timed_out = || HttpError::TimedOut {
            addr: self.addr.clone(),
            timeout: self.timeout,
        };
        let kept = self.connection.take().filter(|kept| !kept.is_closed());
        let mut connection = match kept {
            Some(kept) => kept,
            None => tokio::time::timeout_at(deadline, connect(&self.addr))
                .await
                .map_err(|_| HttpError::Connect {
                    addr: self.addr.clone(),
                    source: io::ErrorKind::TimedOut.into(),
                })??,
        };
        let answer = tokio::time::timeout_at(deadline, send(&mut connection, request))
            .await
            .map_err(|_| timed_out())?
            .map_err(|reason| HttpError::Broken {
                addr: self.addr.clone(),
                reason: reason.to_string(),
            })?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

async fn connect(addr: &str) -> Result<SendRequest<Full<Bytes>>, HttpError> {
    let failed = |source| HttpError::Connect {
        addr: addr.to_owned(),
        source,
    };
    let stream = TcpStream::connect(addr).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(io::Error::other(error)))?;
    // Ends by itself when the sender is dropped or the server closes; its error reaches whoever
    // waits for the answer.
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, raftify::BoxError> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status().as_u16();
    let retry_after_seconds = response
        .headers()
        .get(hyper::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await?
        .to_bytes();
    Ok(Answer {
        status,
        body,
        retry_after_seconds,
    })
}

/// `text` as one segment of a path: everything but letters, digits and `-._~` as `%XX`.
pub fn path_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.extend(char::from_digit(u32::from(digit), 16));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_keeps_only_what_paths_may_have() {
        assert_eq!(path_segment("a-Z_0.9~"), "a-Z_0.9~");
        assert_eq!(path_segment("a b/\u{e9}%?"), "a%20b%2f%c3%a9%25%3f");
    }

    #[test]
    fn a_server_that_is_not_there_gets_no_request() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let port = crate::ports::free_ports(1).unwrap()[0];
        let mut client = HttpClient::new(format!("127.0.0.1:{port}"), Duration::from_secs(5));
        let error = runtime.block_on(client.get("/")).unwrap_err();
        assert!(error.not_sent(), "{error}");
    }
}
