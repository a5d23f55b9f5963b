//! A proxy before each node, on loopback: the address by which the others know the node is the
//! proxy's.
//!
//! A link is cut by holding back the bytes that go over it, in whichever connection; they arrive
//! when it is mended, as they do after a repeated packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use memstore::ports::free_ports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Link, Place, source};

const HOST: &str = "127.0.0.1";
const BUFFER_BYTES: usize = 64 << 10;

type Cuts = watch::Sender<BTreeSet<Link>>;
type Pids = Mutex<BTreeMap<u32, u64>>;

struct Ports {
    advertised: u16,
    listen: u16,
    http: u16,
}

/// The proxies; they end when this is dropped.
pub(super) struct Proxies {
    ports: BTreeMap<u64, Ports>,
    cuts: Arc<Cuts>,
    pids: Arc<Pids>,
    tasks: JoinSet<()>,
}

impl Proxies {
    pub(super) async fn build(nodes: u64) -> Result<Self, String> {
        let mut built = Self {
            ports: BTreeMap::new(),
            cuts: Arc::new(watch::Sender::new(BTreeSet::new())),
            pids: Arc::default(),
            tasks: JoinSet::new(),
        };
        for id in 1..=nodes {
            let ports = free_ports(3).map_err(|error| error.to_string())?;
            let [advertised, listen, http] = ports.as_slice() else {
                return Err("there are too few free ports".into());
            };
            let listener = TcpListener::bind((HOST, *advertised))
                .await
                .map_err(|error| format!("{HOST}:{advertised}: {error}"))?;
            let proxy = Proxy {
                to: id,
                target: SocketAddr::from(([127, 0, 0, 1], *listen)),
                cuts: Arc::clone(&built.cuts),
                pids: Arc::clone(&built.pids),
            };
            built.tasks.spawn(proxy.run(listener));
            built.ports.insert(
                id,
                Ports {
                    advertised: *advertised,
                    listen: *listen,
                    http: *http,
                },
            );
        }
        Ok(built)
    }

    pub(super) fn place(&self, id: u64) -> Option<Place> {
        let ports = self.ports.get(&id)?;
        Some(Place {
            raft: (HOST.to_owned(), ports.advertised),
            listen: Some(format!("{HOST}:{}", ports.listen)),
            http: format!("{HOST}:{}", ports.http),
            launcher: Vec::new(),
        })
    }

    pub(super) fn runs_as(&self, id: u64, pid: u32) {
        let mut pids = self.pids.lock().unwrap_or_else(PoisonError::into_inner);
        pids.retain(|_, node| *node != id);
        pids.insert(pid, id);
    }

    pub(super) fn set(&self, link: Link, cut: bool) {
        self.cuts.send_modify(|cuts| {
            if cut {
                cuts.insert(link);
            } else {
                cuts.remove(&link);
            }
        });
    }
}

/// The proxy before one node.
struct Proxy {
    to: u64,
    target: SocketAddr,
    cuts: Arc<Cuts>,
    pids: Arc<Pids>,
}

impl Proxy {
    async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, from)) = accepted {
                        let from = self.node_of(from, &listener);
                        connections.spawn(serve(stream, from, self.to, self.target, self.cuts.subscribe()));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The node that has connected; nobody is node 0, which is never cut off.
    fn node_of(&self, from: SocketAddr, listener: &TcpListener) -> u64 {
        let pids = self
            .pids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        listener
            .local_addr()
            .ok()
            .and_then(|server| source::node_of(from, server, &pids))
            .unwrap_or(0)
    }
}

/// Carries one connection of node `from` until one side ends it.
async fn serve(
    near: TcpStream,
    from: u64,
    to: u64,
    target: SocketAddr,
    cuts: watch::Receiver<BTreeSet<Link>>,
) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    // A delay is all that would come of an error here.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = carry(near_read, far_write, (from, to), cuts.clone()) => {}
        () = carry(far_read, near_write, (to, from), cuts) => {}
    }
}

/// Carries bytes in one direction until it ends; holds them back while the link is cut.
async fn carry(
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    link: Link,
    mut cuts: watch::Receiver<BTreeSet<Link>>,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(count @ 1..) = read.read(&mut buffer).await else {
            return;
        };
        if cuts.wait_for(|cuts| !cuts.contains(&link)).await.is_err() {
            return;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        if write.write_all(bytes).await.is_err() {
            return;
        }
    }
}
