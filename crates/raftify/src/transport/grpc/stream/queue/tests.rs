use tokio::sync::Semaphore;

use super::*;
use crate::transport::grpc::proto::Proposal;
use crate::transport::grpc::stream::Proposals;

struct Stream {
    queue: Arc<Queue<Proposals>>,
    places: Arc<Semaphore>,
}

impl Stream {
    fn new() -> Self {
        Self {
            queue: Arc::default(),
            places: Arc::new(Semaphore::new(10)),
        }
    }

    fn ask(&self, bytes: usize) -> Asked<Proposals> {
        self.ask_for(bytes, LONG)
    }

    fn ask_for(&self, bytes: usize, limit: Duration) -> Asked<Proposals> {
        let place = Arc::clone(&self.places).try_acquire_owned().unwrap();
        let request = |id| Proposal {
            id,
            entry: vec![1; bytes].into(),
            ..Proposal::default()
        };
        Asked::new(&self.queue, place, limit, request).unwrap()
    }
}

const LONG: Duration = Duration::from_secs(60);

async fn outcome(asked: Asked<Proposals>) -> StreamError<crate::ProposeError> {
    asked.outcome().await.unwrap_err()
}

#[tokio::test]
async fn what_left_without_an_answer_is_told_apart_from_what_did_not_leave() {
    let stream = Stream::new();
    let left = stream.ask(10);
    assert_eq!(stream.queue.take(100).len(), 1);
    let queued = stream.ask(10);
    stream.queue.broke(false);
    assert!(matches!(outcome(left).await, StreamError::Broken));
    assert!(matches!(outcome(queued).await, StreamError::NotSent));
    assert_eq!(stream.places.available_permits(), 10);
}

#[tokio::test]
async fn a_node_that_says_so_took_nothing_that_it_did_not_answer() {
    let stream = Stream::new();
    let left = stream.ask(10);
    stream.queue.take(100);
    stream.queue.broke(true);
    assert!(matches!(outcome(left).await, StreamError::NotSent));
}

#[tokio::test]
async fn a_caller_that_goes_before_its_request_left_takes_it_along() {
    let stream = Stream::new();
    drop(stream.ask(10));
    let late = stream.ask_for(10, Duration::ZERO).outcome().await;
    assert!(matches!(late, Err(StreamError::NotSent)));
    assert!(stream.queue.take(100).is_empty());
    assert_eq!(stream.places.available_permits(), 10);
}

#[tokio::test]
async fn a_caller_that_goes_later_leaves_its_place_taken_until_the_answer() {
    let stream = Stream::new();
    let asked = stream.ask_for(10, Duration::ZERO);
    stream.queue.take(100);
    let late = asked.outcome().await;
    assert!(matches!(late, Err(StreamError::Late)));
    assert_eq!(stream.places.available_permits(), 9);
    stream.queue.broke(false);
    assert_eq!(stream.places.available_permits(), 10);
}

#[tokio::test(start_paused = true)]
async fn callers_hear_of_a_far_deadline_and_whether_their_request_had_left() {
    let stream = Stream::new();
    let left = stream.ask(10);
    stream.queue.take(100);
    let queued = stream.ask(10);
    let later = stream.ask_for(10, 2 * LONG);
    let begun = Instant::now();
    tokio::select! {
        () = stream.queue.keep_deadlines() => {}
        (left, queued) = futures_util::future::join(outcome(left), outcome(queued)) => {
            assert!(matches!(left, StreamError::Late));
            assert!(matches!(queued, StreamError::NotSent));
        }
    }
    assert!(begun.elapsed() >= LONG && begun.elapsed() <= LONG + 2 * LOOK_EVERY);
    assert_eq!(
        stream.queue.take(100).len(),
        1,
        "what is late does not leave"
    );
    assert_eq!(stream.places.available_permits(), 8);
    drop(later);
}

#[test]
fn a_message_ends_before_it_is_too_large_and_has_one_request_at_least() {
    let stream = Stream::new();
    let _asked: Vec<_> = [60, 60, 300, 60].map(|bytes| stream.ask(bytes)).into();
    let most = 100 + 2 * REQUEST_BYTES;
    let sizes: Vec<usize> = (0..4).map(|_| stream.queue.take(most).len()).collect();
    assert_eq!(sizes, [1, 1, 1, 1]);
    let _asked: Vec<_> = [60, 40, 10].map(|bytes| stream.ask(bytes)).into();
    assert_eq!(stream.queue.take(most).len(), 2);
}

#[test]
fn requests_without_payload_fill_a_message_too() {
    assert!(size_of::<Proposal>() <= REQUEST_BYTES);
    assert!(size_of::<crate::transport::grpc::proto::StreamQuery>() <= REQUEST_BYTES);
    let stream = Stream::new();
    let _asked: Vec<_> = [0; 10].map(|bytes| stream.ask(bytes)).into();
    assert_eq!(stream.queue.take(4 * REQUEST_BYTES).len(), 4);
}
