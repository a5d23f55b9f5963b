use futures_util::{FutureExt, StreamExt};

use super::*;

fn limits() -> OutboxLimits {
    OutboxLimits {
        messages_max: 100,
        bytes_max: 100_000,
        frame_bytes_max: 1_000,
        message_bytes_max: 50_000,
    }
}

fn numbered(numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers
        .map(|index| Message {
            index,
            ..Message::default()
        })
        .collect()
}

fn indexes(frame: &MessageFrame) -> Vec<u64> {
    frame.messages.iter().map(|message| message.index).collect()
}

fn all_of(stream: &mut OutboxStream) -> Vec<u64> {
    let mut taken = Vec::new();
    while let Some(Some(frame)) = stream.next().now_or_never() {
        assert!(frame.messages.len() as u64 * message_bytes(&Message::default()) <= 1_000);
        taken.extend(indexes(&frame));
    }
    taken
}

#[tokio::test]
async fn what_waits_becomes_few_frames_in_order() {
    let outbox = Arc::new(Outbox::new(limits()));
    let mut stream = outbox.open(Origin::default());
    assert_eq!(outbox.push(numbered(0..20)), Pushed::All);
    assert_eq!(all_of(&mut stream), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_larger_than_a_frame_goes_alone() {
    let outbox = Arc::new(Outbox::new(limits()));
    let mut stream = outbox.open(Origin::default());
    let large = Message {
        index: 1,
        context: vec![0; 2_000].into(),
        ..Message::default()
    };
    outbox.push(vec![
        numbered(0..1).remove(0),
        large,
        numbered(2..3).remove(0),
    ]);
    let sizes: Vec<_> = (0..3)
        .map(|_| {
            stream
                .next()
                .now_or_never()
                .unwrap()
                .unwrap()
                .messages
                .len()
        })
        .collect();
    assert_eq!(sizes, [1, 1, 1]);
}

#[tokio::test]
async fn a_full_queue_drops_the_newest_and_says_so_once_until_the_peer_takes_something() {
    let outbox = Arc::new(Outbox::new(limits()));
    let mut stream = outbox.open(Origin::default());
    assert_eq!(outbox.push(numbered(0..101)), Pushed::FirstDrop);
    assert_eq!(outbox.push(numbered(101..102)), Pushed::Dropped);
    stream.next().now_or_never().unwrap().unwrap();
    assert_eq!(outbox.push(numbered(200..300)), Pushed::FirstDrop);
    let mut taken = all_of(&mut stream);
    taken.retain(|index| (100..200).contains(index));
    assert_eq!(taken, [], "what was dropped never leaves");
}

#[tokio::test]
async fn a_message_that_no_frame_can_hold_is_dropped_alone() {
    let outbox = Arc::new(Outbox::new(limits()));
    let mut stream = outbox.open(Origin::default());
    let huge = Message {
        context: vec![0; 60_000].into(),
        ..Message::default()
    };
    assert_eq!(outbox.push(vec![huge]), Pushed::FirstDrop);
    assert_eq!(outbox.push(numbered(1..2)), Pushed::All);
    assert_eq!(all_of(&mut stream), [1]);
}

#[tokio::test]
async fn without_a_connection_only_the_newest_messages_wait() {
    let outbox = Arc::new(Outbox::new(OutboxLimits {
        frame_bytes_max: 1_000_000,
        ..limits()
    }));
    for index in 0..1_000 {
        outbox.push(numbered(index..index + 1));
    }
    let mut stream = outbox.open(Origin::default());
    let frame = stream.next().now_or_never().unwrap().unwrap();
    assert_eq!(indexes(&frame), (936..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_ends_the_stream_and_drops_what_waits() {
    let outbox = Arc::new(Outbox::new(limits()));
    let mut old = outbox.open(Origin::default());
    outbox.push(numbered(0..10));
    outbox.close();
    assert_eq!(old.next().await, None);
    let mut new = outbox.open(Origin::default());
    assert_eq!(old.next().await, None);
    outbox.push(numbered(10..11));
    assert_eq!(all_of(&mut new), [10]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_stalled_and_an_idle_one_is_not() {
    let outbox = Arc::new(Outbox::new(limits()));
    let mut stream = outbox.open(Origin::default());
    let limit = Duration::from_secs(5);
    tokio::time::advance(limit * 10).await;
    assert!(!outbox.is_stalled(limit));
    outbox.push(numbered(0..10));
    tokio::time::advance(limit / 2).await;
    stream.next().await;
    tokio::time::advance(limit - Duration::from_millis(1)).await;
    assert!(!outbox.is_stalled(limit));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(outbox.is_stalled(limit));
    all_of(&mut stream);
    assert!(!outbox.is_stalled(limit));
}
