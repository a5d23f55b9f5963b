//! Which process a connection on loopback comes from, as `/proc` tells.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

/// The node whose process has the socket at `client`, connected to `server`. None when it is
/// nobody's of `pids` (node by process id).
pub(super) fn node_of(
    client: SocketAddr,
    server: SocketAddr,
    pids: &BTreeMap<u32, u64>,
) -> Option<u64> {
    let inode = inode_of(&fs::read_to_string("/proc/net/tcp").ok()?, client, server)?;
    let wanted = format!("socket:[{inode}]");
    pids.iter()
        .find(|(pid, _)| has_open(**pid, &wanted))
        .map(|(_, node)| *node)
}

/// The socket's number in a table with a line for each socket: number, local address, remote
/// address, and the socket's number as the tenth field.
fn inode_of(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let (local, remote) = (in_table(local)?, in_table(remote)?);
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let this =
            fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str());
        this.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// An address as the table writes it: in hexadecimal, as the machine has it in memory.
fn in_table(addr: SocketAddr) -> Option<String> {
    match addr {
        SocketAddr::V4(addr) => {
            let ip = u32::from_ne_bytes(addr.ip().octets());
            Some(format!("{ip:08X}:{:04X}", addr.port()))
        }
        SocketAddr::V6(_) => None,
    }
}

fn has_open(pid: u32, wanted: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.to_str() == Some(wanted)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_traced_to_the_process_that_made_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        let from = client.local_addr().unwrap();
        let pids = |pid| BTreeMap::from([(pid, 7)]);
        assert_eq!(node_of(from, server, &pids(std::process::id())), Some(7));
        assert_eq!(node_of(from, server, &pids(1)), None);
        assert_eq!(node_of(server, from, &BTreeMap::new()), None);
    }
}
