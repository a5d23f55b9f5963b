//! What must hold at the end: all nodes converge, every key is read back through each of them, and
//! the whole history can have happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use memstore::http_client::HttpClient;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::clients::get;
use crate::cluster::{Cluster, PATIENCE};
use crate::error::TortureError;
use crate::history::{History, Outcome};
use crate::report::Screen;

/// Readers for each node.
const READERS: usize = 8;
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// The numbers of the clients that read at the end begin here.
const FIRST_READER: u64 = 1_000;

/// What one node's own copy holds of each key.
type Copy = BTreeMap<u64, u64>;

/// Checks everything.
pub(crate) async fn check(
    cluster: &mut Cluster,
    history: &Arc<History>,
    screen: &Screen,
) -> Result<(), TortureError> {
    cluster.wait_writable().await?;
    cluster.wait_members().await?;
    let index = cluster.wait_converged().await?;
    screen.say(&format!("all nodes have applied index {index}"));
    let keys = Arc::new(history.keys());
    let mut copies: Vec<(u64, Copy)> = Vec::new();
    for (id, addr) in cluster.ids().into_iter().zip(cluster.http_addresses()) {
        let copy = read_back(id, &addr, &keys, history).await?;
        screen.say(&format!(
            "{} keys are read back through node {id}",
            copy.len()
        ));
        copies.push((id, copy));
    }
    cluster.look()?;
    compare(&copies)?;
    let history = Arc::clone(history);
    tokio::task::spawn_blocking(move || history.check(true))
        .await?
        .map_err(TortureError::Safety)?;
    cluster.look_for_panics()
}

/// Reads every key through a node, linearizably for the history and once more from its own copy.
async fn read_back(
    id: u64,
    addr: &str,
    keys: &Arc<Vec<u64>>,
    history: &Arc<History>,
) -> Result<Copy, TortureError> {
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let mut node = HttpClient::new(addr, READ_TIMEOUT);
        let (keys, history) = (Arc::clone(keys), Arc::clone(history));
        readers.spawn(async move {
            let mut copy = Copy::new();
            for key in keys.iter().skip(number).step_by(READERS) {
                confirmed(&mut node, FIRST_READER + id, *key, &history).await?;
                copy.insert(*key, own(&mut node, *key).await?);
            }
            Ok::<_, TortureError>(copy)
        });
    }
    let mut all = Copy::new();
    while let Some(part) = readers.join_next().await {
        all.extend(part??);
    }
    Ok(all)
}

async fn confirmed(
    node: &mut HttpClient,
    client: u64,
    key: u64,
    history: &History,
) -> Result<(), TortureError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ticket = history.call_get(client, key);
        let outcome = get(node, key, false).await;
        history.answer(ticket, outcome.as_ref().copied().unwrap_or(Outcome::Never));
        if matches!(outcome?, Outcome::Saw(_)) {
            return Ok(());
        }
        wait(deadline, || {
            format!("a read of key {key} through {}", node.addr())
        })
        .await?;
    }
}

async fn own(node: &mut HttpClient, key: u64) -> Result<u64, TortureError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Outcome::Saw(value) = get(node, key, true).await? {
            return Ok(value);
        }
        wait(deadline, || {
            format!("a look at key {key} of {}", node.addr())
        })
        .await?;
    }
}

async fn wait(deadline: Instant, what: impl FnOnce() -> String) -> Result<(), TortureError> {
    if Instant::now() >= deadline {
        return Err(TortureError::Liveness {
            what: what(),
            timeout: PATIENCE,
            last: String::new(),
        });
    }
    sleep(PAUSE).await;
    Ok(())
}

fn compare(copies: &[(u64, Copy)]) -> Result<(), TortureError> {
    for pair in copies.windows(2) {
        let [(first, one), (second, other)] = pair else {
            continue;
        };
        let different = one
            .iter()
            .find(|(key, value)| other.get(key) != Some(value));
        if let Some((key, value)) = different {
            return Err(TortureError::Diverged(format!(
                "key {key} holds the value of operation {value} on node {first}, and of {:?} on \
                 node {second}",
                other.get(key)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_differ_are_named() {
        let copy = |value| Copy::from([(1, 5), (2, value)]);
        assert!(compare(&[(1, copy(7)), (2, copy(7)), (3, copy(7))]).is_ok());
        let error = compare(&[(1, copy(7)), (2, copy(7)), (3, copy(8))]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("key 2") && text.contains("node 3"), "{text}");
    }
}
