//! Messages, sorted by whom they are for.

use raft::eraftpb::Message;

/// Calls `send` for each peer that messages are for, in the order of ids, with its messages in their
/// order. A message that `covers` the one before it, to the same peer, replaces that.
pub(crate) fn send_by_peer(
    mut messages: Vec<Message>,
    covers: impl Fn(&Message, &Message) -> bool,
    mut send: impl FnMut(u64, Vec<Message>),
) {
    // Mostly there is one for each peer, in order already.
    messages.sort_by_key(|message| message.to);
    let mut rest = messages.into_iter().peekable();
    while let Some(first) = rest.next() {
        let to = first.to;
        let mut run = vec![first];
        while let Some(message) = rest.next_if(|message| message.to == to) {
            match run.last_mut() {
                Some(last) if covers(&message, last) => *last = message,
                _ => run.push(message),
            }
        }
        send(to, run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_gets_its_messages_in_order_and_of_covered_ones_the_last() {
        let messages = [(3, 1), (2, 2), (3, 3), (2, 4), (3, 5), (2, 7)];
        let messages = messages.map(|(to, index)| Message {
            to,
            index,
            ..Message::default()
        });
        let mut sent = Vec::new();
        // An odd index covers an odd one.
        let covers =
            |later: &Message, earlier: &Message| later.index % 2 == 1 && earlier.index % 2 == 1;
        send_by_peer(messages.into(), covers, |to, run| {
            let indexes: Vec<u64> = run.iter().map(|message| message.index).collect();
            sent.push((to, indexes));
        });
        assert_eq!(sent, [(2, vec![2, 4, 7]), (3, vec![5])]);
    }
}
