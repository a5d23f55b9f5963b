//! Finding ports that nobody uses.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which systems take the ports of outgoing connections (32768 on Linux):
/// while a node is down, no connection of another process can take its port by chance.
const PORTS: Range<u16> = 20_000..32_000;

/// How many ports this process has looked at: a port is not offered twice, though it is free,
/// since whoever got it may not listen yet.
static LOOKED_AT: AtomicU32 = AtomicU32::new(0);

/// `count` free ports of the loopback interface. They are free when this returns; whoever listens
/// on them later may still find one taken.
///
/// # Errors
/// When one look at every port of the range does not find so many.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let ports: Vec<u16> = (0..PORTS.len())
        .filter_map(|_| free_port())
        .take(count)
        .collect();
    if ports.len() < count {
        return Err(io::Error::other(format!(
            "only {} of {count} ports in {PORTS:?} are free",
            ports.len()
        )));
    }
    Ok(ports)
}

fn free_port() -> Option<u16> {
    // Processes that look at the same moment begin at different ports.
    let begin = std::process::id().wrapping_mul(2_654_435_761);
    let looked_at = LOOKED_AT.fetch_add(1, Ordering::Relaxed);
    let width = u32::from(PORTS.end - PORTS.start);
    let offset = u16::try_from(begin.wrapping_add(looked_at) % width).ok()?;
    let port = PORTS.start + offset;
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    free.then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_from_call_to_call_and_can_be_listened_on() {
        let (first, second) = (free_ports(6).unwrap(), free_ports(6).unwrap());
        let listeners: Vec<_> = first
            .iter()
            .chain(&second)
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap())
            .collect();
        assert_eq!(listeners.len(), 12);
    }

    #[test]
    fn more_ports_than_there_are_is_an_error() {
        assert!(free_ports(PORTS.len() + 1).is_err());
    }
}
