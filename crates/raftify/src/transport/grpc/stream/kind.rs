//! What is asked on a stream, and how it travels.

use bytes::Bytes;
use tonic::{Response, Status, Streaming};

use super::{Requests, StreamError};
use crate::error::{ProposeError, ReadError, UnknownCause};
use crate::transport::grpc::call_error::{CallError, read_error};
use crate::transport::grpc::dialer::Client;
use crate::transport::grpc::proto::{
    Proposal, ProposeAnswers, ProposeBatch, QueryAnswers, QueryBatch, StreamQuery,
};
use crate::transport::grpc::wire_error::WireError;

/// One kind of requests with its messages and errors.
pub(crate) trait StreamKind: Sized + 'static {
    /// One request.
    type Request: Send + 'static;
    /// Several in one message.
    type Batch: Send + 'static;
    /// Several answers in one message.
    type Answers: Send + 'static;
    /// What a node answers instead of bytes.
    type Error: WireError + Send + 'static;

    /// The bytes of the caller's own in a request.
    fn payload_bytes(request: &Self::Request) -> usize;

    fn batch(requests: Vec<Self::Request>) -> Self::Batch;

    /// Hands each answer over under its request's id.
    fn each_answer(answers: Self::Answers, take: impl FnMut(u64, Result<Bytes, Self::Error>));

    /// Opens the stream on a connection.
    fn open(
        client: &mut Client,
        batches: impl Requests<Self>,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Answers>>, Status>> + Send;

    /// What a stream that could not be opened means: nothing was asked.
    fn not_opened(error: CallError) -> Self::Error;

    /// What a caller is told whose request got no answer.
    fn failed(error: StreamError<Self::Error>) -> Self::Error;
}

/// Entries that are proposed.
pub(crate) enum Proposals {}

impl StreamKind for Proposals {
    type Request = Proposal;
    type Batch = ProposeBatch;
    type Answers = ProposeAnswers;
    type Error = ProposeError;

    fn payload_bytes(request: &Proposal) -> usize {
        request.entry.len()
    }

    fn batch(proposals: Vec<Proposal>) -> ProposeBatch {
        ProposeBatch { proposals }
    }

    fn each_answer(
        answers: ProposeAnswers,
        mut take: impl FnMut(u64, Result<Bytes, ProposeError>),
    ) {
        for answer in answers.answers {
            let outcome = match answer.error {
                None => Ok(answer.answer),
                Some(detail) => Err(ProposeError::from_detail(detail)),
            };
            take(answer.id, outcome);
        }
    }

    fn open(
        client: &mut Client,
        batches: impl Requests<Self>,
    ) -> impl Future<Output = Result<Response<Streaming<ProposeAnswers>>, Status>> + Send {
        client.propose_stream(batches)
    }

    fn not_opened(error: CallError) -> ProposeError {
        match error {
            CallError::Answered(detail) => ProposeError::from_detail(detail),
            CallError::NotSent(_)
            | CallError::TooLarge { .. }
            | CallError::NotSupported(_)
            | CallError::Deadline
            | CallError::Broken(_) => ProposeError::NotLeader { leader: None },
        }
    }

    fn failed(error: StreamError<ProposeError>) -> ProposeError {
        match error {
            StreamError::NotSent => ProposeError::NotLeader { leader: None },
            StreamError::Late => ProposeError::Unknown(UnknownCause::Deadline),
            StreamError::Broken => ProposeError::Unknown(UnknownCause::Connection),
            StreamError::Answered(error) => error,
        }
    }
}

/// Queries of the state machine.
pub(crate) enum Queries {}

impl StreamKind for Queries {
    type Request = StreamQuery;
    type Batch = QueryBatch;
    type Answers = QueryAnswers;
    type Error = ReadError;

    fn payload_bytes(request: &StreamQuery) -> usize {
        request.request.len()
    }

    fn batch(queries: Vec<StreamQuery>) -> QueryBatch {
        QueryBatch { queries }
    }

    fn each_answer(answers: QueryAnswers, mut take: impl FnMut(u64, Result<Bytes, ReadError>)) {
        for answer in answers.answers {
            let outcome = match answer.error {
                None => Ok(answer.answer),
                Some(detail) => Err(ReadError::from_detail(detail)),
            };
            take(answer.id, outcome);
        }
    }

    fn open(
        client: &mut Client,
        batches: impl Requests<Self>,
    ) -> impl Future<Output = Result<Response<Streaming<QueryAnswers>>, Status>> + Send {
        client.query_stream(batches)
    }

    fn not_opened(error: CallError) -> ReadError {
        read_error(error)
    }

    fn failed(error: StreamError<ReadError>) -> ReadError {
        match error {
            StreamError::NotSent | StreamError::Broken => {
                ReadError::Unreachable("the stream to the node broke".into())
            }
            StreamError::Late => ReadError::NotConfirmed { leader: None },
            StreamError::Answered(error) => error,
        }
    }
}
