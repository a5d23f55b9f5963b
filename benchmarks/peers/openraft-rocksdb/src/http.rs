//! The HTTP service of a node, for its peers and for callers, and how it is called.

use std::convert::Infallible;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use openraft::ReadPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};

use crate::Node;
use crate::table::RocksTable;
use crate::types::Put;

pub const APPEND: &str = "/append";
pub const VOTE: &str = "/vote";
pub const WRITE: &str = "/write";
pub const READ: &str = "/linearizable_read";

/// A node and its table, as its service uses them.
#[derive(Clone)]
pub struct App {
    pub node: Node,
    pub table: RocksTable,
}

impl App {
    /// Writes an entry; its index.
    pub async fn write(&self, put: Put) -> Result<u64, String> {
        let written = self.node.client_write(put).await;
        written.map(|written| written.data).map_err(text)
    }

    /// Reads a key, linearizably.
    pub async fn read(&self, key: &str) -> Result<Option<String>, String> {
        let ready = self.node.ensure_linearizable(ReadPolicy::ReadIndex).await;
        ready.map_err(text)?;
        let value = self.table.get(key).map_err(text)?;
        value.map(String::from_utf8).transpose().map_err(text)
    }

    async fn answer(&self, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        match path {
            APPEND => to_json(&self.node.append_entries(read(body)?).await.map_err(text)?),
            VOTE => to_json(&self.node.vote(read(body)?).await.map_err(text)?),
            WRITE => to_json(&self.write(read(body)?).await?),
            READ => to_json(&self.read(&read::<String>(body)?).await?),
            _ => Err(format!("there is no {path}")),
        }
    }

    async fn serve_request(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let answer = match request.into_body().collect().await {
            Ok(body) => self.answer(&path, &body.to_bytes()).await,
            Err(error) => Err(text(error)),
        };
        match answer {
            Ok(body) => Response::new(Full::from(body)),
            Err(reason) => {
                let mut response = Response::new(Full::from(reason));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    /// Serves callers and peers until the process ends.
    pub async fn serve(self, listener: TcpListener) {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(self.clone().serve_connection(socket));
        }
    }

    async fn serve_connection(self, socket: TcpStream) {
        socket.set_nodelay(true).ok();
        let service = service_fn(move |request| {
            let app = self.clone();
            async move { Ok::<_, Infallible>(app.serve_request(request).await) }
        });
        let served = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        if let Err(error) = served.await {
            eprintln!("a connection ended: {error}");
        }
    }
}

/// One call of the service at `addr`.
pub async fn call<A: DeserializeOwned>(
    client: &reqwest::Client,
    addr: &str,
    path: &str,
    request: &impl Serialize,
) -> Result<A, String> {
    let url = format!("http://{addr}{path}");
    let answer = client.post(url).json(request).send().await.map_err(text)?;
    if !answer.status().is_success() {
        return Err(answer.text().await.map_err(text)?);
    }
    answer.json().await.map_err(text)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(text)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(text)
}
