//! Members that go, and nodes that join in their place.
//!
//! The one that joins has the address of the one before, an empty disk, and the id that the cluster
//! gives it. So there are as many nodes as before, and clients find them where they were.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use memstore::http_client::HttpClient;
use memstore::processes::ask;
use raftify::MembershipError;
use raftify::client::{ClientOptions, RaftClient};
use raftify::membership::{ConfChangeRequest, NodeChange};
use tokio::time::Instant;

use crate::cluster::{ASK_TIMEOUT, Cluster, PATIENCE};
use crate::error::TortureError;
use crate::faults::Kind;

/// With fewer nodes the others are no majority when one dies for good.
const NODES_MIN: usize = 3;
/// How long an operator waits for a removal before he asks again.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(3);
/// The leader's answer to the removal of somebody who is no member, in part.
const NO_MEMBER: &str = "is not a member";

/// Where a node is on its way through the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is a member.
    Member,
    /// It was asked to leave, or is dead for good; nobody knows yet whether it is a member.
    Leaving,
    /// It is new and is not known to be a voter. It ends when nobody lets it in, and is started again.
    Joining,
}

impl Cluster {
    /// Why this cluster cannot have a fault of that kind.
    pub(crate) fn refusal(&self, kind: Kind) -> Option<String> {
        if kind == Kind::Replace && self.nodes.len() < NODES_MIN {
            return Some(format!("it takes {NODES_MIN} nodes"));
        }
        self.disks.refusal(kind)
    }

    /// Begins to replace a member, if it is one that runs and all the others are members too: while one
    /// is on its way out or in, the voters may be one fewer, and the loss of another for good may leave
    /// no majority that could ever remove it.
    pub(crate) fn begin_replacing(&mut self, id: u64) -> Result<bool, TortureError> {
        let all_members = self.nodes.iter().all(|node| node.stage == Stage::Member);
        let node = self.node(id)?;
        let is_there = all_members && node.process().is_running();
        if is_there {
            node.stage = Stage::Leaving;
        }
        Ok(is_there)
    }

    /// Removes the one that leaves and starts another in its place; false when it is not certainly
    /// removed yet, or its disk is broken.
    pub(crate) async fn replace(&mut self, id: u64) -> Result<bool, TortureError> {
        let node = self.node(id)?;
        if node.stage != Stage::Leaving {
            return Ok(true);
        }
        if node.disk_broken {
            return Ok(false);
        }
        node.process().kill().await?;
        let member_id = node.member_id;
        if !self.is_removed(id, member_id).await {
            return Ok(false);
        }
        let member = self.another(id).ok_or_else(|| {
            TortureError::System(format!("node {id} has nobody to ask for an id"))
        })?;
        let node = self.node(id)?;
        let spec = &mut node.process().spec;
        spec.joins = Some(member);
        match fs::remove_dir_all(&spec.data_dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = spec.data_dir.clone();
                return Err(TortureError::File {
                    path,
                    source: error,
                });
            }
            Ok(()) | Err(_) => {}
        }
        node.member_id = 0;
        node.stage = Stage::Joining;
        self.start(id)?;
        Ok(true)
    }

    /// Replaces all that wait for it, now that nothing else is wrong.
    pub(crate) async fn replace_all(&mut self) -> Result<(), TortureError> {
        let deadline = Instant::now() + PATIENCE;
        for id in self.ids() {
            // Disks are well again; what was on this one is thrown away.
            let node = self.node(id)?;
            node.disk_broken &= node.stage != Stage::Leaving;
            while !self.replace(id).await? {
                let what = || format!("the removal of the member at place {id}");
                self.pause(deadline, what, "").await?;
            }
        }
        Ok(())
    }

    /// Asks the cluster to remove a member; whether it certainly is none any more.
    async fn is_removed(&self, place: u64, member_id: u64) -> bool {
        let others = self.nodes.iter().filter(|node| node.spec().id != place);
        let addresses: Vec<String> = others.map(|node| node.spec().raft_addr.clone()).collect();
        let options = ClientOptions {
            timeout: REMOVAL_TIMEOUT,
            ..ClientOptions::default()
        };
        let request = ConfChangeRequest {
            changes: vec![NodeChange::Remove { id: member_id }],
            ..ConfChangeRequest::default()
        };
        match RaftClient::new(addresses, options)
            .change_config(&request)
            .await
        {
            Ok(reply) => !reply.conf_state.voters.contains(&member_id),
            Err(MembershipError::NotApplicable(reason)) => reason.contains(NO_MEMBER),
            Err(_) => false,
        }
    }

    /// The address of a member at another place.
    fn another(&self, place: u64) -> Option<String> {
        let mut members = self
            .nodes
            .iter()
            .filter(|node| node.spec().id != place && node.stage == Stage::Member);
        members.next().map(|node| node.spec().raft_addr.clone())
    }

    /// Waits until the voters are the nodes that run, and nobody else.
    pub(crate) async fn wait_members(&mut self) -> Result<(), TortureError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut ids = BTreeSet::new();
            for node in &mut self.nodes {
                let addr = &node.spec().http_addr;
                node.member_id = ask(addr, "/debug", "node_id", ASK_TIMEOUT)
                    .await
                    .unwrap_or(node.member_id);
                ids.insert(node.member_id);
            }
            let mut seen = Vec::new();
            for addr in self.http_addresses() {
                seen.push(voters(&addr).await);
            }
            if seen.iter().all(|voters| voters.as_ref() == Some(&ids)) {
                self.nodes
                    .iter_mut()
                    .for_each(|node| node.stage = Stage::Member);
                return Ok(());
            }
            let what = || format!("the same voters {ids:?} on all nodes");
            self.pause(deadline, what, &format!("{seen:?}")).await?;
        }
    }
}

/// The voters that a node knows, when it is in no joint configuration.
async fn voters(addr: &str) -> Option<BTreeSet<u64>> {
    let answer = HttpClient::new(addr, ASK_TIMEOUT)
        .get("/debug")
        .await
        .ok()?;
    let status = answer.json();
    let is_joint = !status.get("voters_outgoing")?.as_array()?.is_empty();
    let voters = status.get("voters")?.as_array()?;
    (!is_joint).then(|| voters.iter().filter_map(|id| id.as_u64()).collect())
}
