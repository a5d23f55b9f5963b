//! The body of a request on its way out.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use hyper::body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

/// What there is of a body.
pub(super) struct Gathered {
    /// The bytes that are there already: two pieces at most, since the second look only is to find
    /// the end.
    pub(super) pieces: [Option<Bytes>; 2],
    /// Where more come from; `None` when that was all.
    pub(super) rest: Option<Body>,
}

/// Takes what is there of `body` without waiting: all of it, when it is one message.
pub(super) fn gather(mut body: Body) -> Result<Gathered, Status> {
    // Whoever sends the rest asks again, and is the one who is woken.
    let mut context = Context::from_waker(Waker::noop());
    let mut pieces = [None, None];
    for piece in &mut pieces {
        match Pin::new(&mut body).poll_frame(&mut context)? {
            Poll::Ready(Some(frame)) => *piece = frame.into_data().ok(),
            Poll::Ready(None) => return Ok(Gathered { pieces, rest: None }),
            Poll::Pending => break,
        }
    }
    let rest = Some(body);
    Ok(Gathered { pieces, rest })
}

/// Sends the rest of a body as the other side takes it; at most one frame waits beyond that. Ends
/// when the body does, or nobody takes it any more.
pub(super) async fn pump(mut body: Body, mut stream: SendStream<Bytes>) {
    loop {
        stream.reserve_capacity(1);
        if !has_room(&mut stream).await {
            return;
        }
        match next_frame(&mut body, &mut stream).await {
            Next::Data(data) => {
                if stream.send_data(data, false).is_err() {
                    return;
                }
            }
            Next::End => {
                // It fails when the stream is over, and then there is nothing to end.
                stream.send_data(Bytes::new(), true).ok();
                return;
            }
            Next::Failed => {
                stream.send_reset(Reason::CANCEL);
                return;
            }
            Next::Reset => return,
        }
    }
}

/// Waits until the other side takes something; false when it never will.
async fn has_room(stream: &mut SendStream<Bytes>) -> bool {
    while stream.capacity() == 0 {
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
    }
    true
}

enum Next {
    Data(Bytes),
    End,
    Failed,
    Reset,
}

async fn next_frame(body: &mut Body, stream: &mut SendStream<Bytes>) -> Next {
    poll_fn(|context| {
        // A stream that is over, or whose connection broke, wants no more of its body.
        if stream.poll_reset(context).is_ready() {
            return Poll::Ready(Next::Reset);
        }
        Poll::Ready(match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Ok(frame)) => Next::of(frame),
            Some(Err(_)) => Next::Failed,
            None => Next::End,
        })
    })
    .await
}

impl Next {
    fn of(frame: Frame<Bytes>) -> Self {
        // Requests of gRPC have no trailers.
        frame.into_data().map_or(Self::End, Self::Data)
    }
}
