//! Commands that a running node carries out.

use raftify::client::{ClientOptions, RaftClient};
use raftify::membership::{ConfChangeRequest, NodeChange};
use raftify::transport::NodeStatus;

use crate::error::CliError;
use crate::options::{AddArgs, NodeArgs};
use crate::output;

/// Asks the node that `args` name and waits for its answer.
fn ask<T, E, F>(args: &NodeArgs, question: impl FnOnce(RaftClient) -> F) -> Result<T, CliError>
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = ClientOptions {
        timeout: args.timeout(),
        ..ClientOptions::default()
    };
    let answer = runtime.block_on(async {
        let client = RaftClient::new([args.addr.as_str()], options);
        question(client).await
    });
    answer.map_err(|error| CliError::Node {
        addr: args.addr.clone(),
        reason: error.to_string(),
    })
}

/// Prints the state of the node.
pub(crate) fn describe_node(args: &NodeArgs, json: bool) -> Result<(), CliError> {
    let status = ask(args, |client| async move { client.status().await })?;
    if json {
        return output::json(&status);
    }
    output::line(output::pairs(status_rows(&status)))?;
    let header = ["peer", "address", "state", "matched", "next", "active"];
    let mut peers = output::table(&header);
    // Only the leader knows how far the others are.
    let leads = status.role == "Leader";
    let known = |text: String| if leads { text } else { "-".into() };
    for peer in &status.peers {
        peers.add_row([
            peer.id.to_string(),
            peer.addr.clone(),
            known(peer.state.clone()),
            known(peer.matched.to_string()),
            known(peer.next.to_string()),
            known(peer.active.to_string()),
        ]);
    }
    output::line(peers)
}

fn status_rows(status: &NodeStatus) -> Vec<(&'static str, String)> {
    vec![
        ("node", status.node_id.to_string()),
        ("cluster", format!("{:016x}", status.cluster_id)),
        ("incarnation", format!("{:016x}", status.incarnation)),
        ("role", status.role.clone()),
        ("term", status.term.to_string()),
        ("vote", status.vote.to_string()),
        ("leader", status.leader_id.to_string()),
        ("first index", status.first_index.to_string()),
        ("last index", status.last_index.to_string()),
        ("commit index", status.commit_index.to_string()),
        ("applied index", status.applied_index.to_string()),
        ("snapshot index", status.snapshot_index.to_string()),
        ("voters", format!("{:?}", status.voters)),
        ("outgoing voters", format!("{:?}", status.voters_outgoing)),
        ("learners", format!("{:?}", status.learners)),
        ("uncommitted bytes", status.uncommitted_bytes.to_string()),
        ("waiting proposals", status.waiting_proposals.to_string()),
    ]
}

/// Prints the address book.
pub(crate) fn peers(args: &NodeArgs, json: bool) -> Result<(), CliError> {
    let peers = ask(args, |client| async move { client.peers().await })?;
    if json {
        return output::json(&peers);
    }
    let mut table = output::table(&["peer", "address", "first role", "incarnation"]);
    for (id, peer) in peers.iter() {
        table.add_row([
            id.to_string(),
            peer.addr.clone(),
            format!("{:?}", peer.role).to_lowercase(),
            format!("{:016x}", peer.incarnation),
        ]);
    }
    output::line(table)
}

/// Makes the node write a snapshot.
pub(crate) fn snapshot(args: &NodeArgs) -> Result<(), CliError> {
    let index = ask(args, |client| async move { client.create_snapshot().await })?;
    output::line(format_args!(
        "the snapshot contains everything up to index {index}"
    ))
}

/// Hands leadership on.
pub(crate) fn transfer_leader(args: &NodeArgs, to: u64) -> Result<(), CliError> {
    ask(
        args,
        |client| async move { client.transfer_leader(to).await },
    )?;
    output::line(format_args!("node {to} leads"))
}

/// Adds a node.
pub(crate) fn add(args: &NodeArgs, change: &AddArgs) -> Result<(), CliError> {
    change_config(
        args,
        NodeChange::AddLearner {
            id: change.id,
            addr: change.raft_addr.clone(),
            incarnation: 0,
            promote: !change.learner,
        },
    )
}

/// Removes a node.
pub(crate) fn remove(args: &NodeArgs, id: u64) -> Result<(), CliError> {
    change_config(args, NodeChange::Remove { id })
}

fn change_config(args: &NodeArgs, change: NodeChange) -> Result<(), CliError> {
    let request = ConfChangeRequest {
        changes: vec![change],
        ..ConfChangeRequest::default()
    };
    let reply = ask(args, |client| async move {
        client.change_config(&request).await
    })?;
    output::line(format_args!(
        "done at index {}: voters {:?}, learners {:?}",
        reply.index, reply.conf_state.voters, reply.conf_state.learners
    ))
}
