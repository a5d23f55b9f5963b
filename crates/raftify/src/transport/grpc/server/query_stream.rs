//! Queries on one stream.

use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use super::Shared;
use super::exchange::{ANSWER_OVERHEAD_BYTES, Exchange, MESSAGE_OVERHEAD_BYTES};
use crate::error::ReadError;
use crate::transport::grpc::convert::{consistency_from, timeout_from};
use crate::transport::grpc::proto::{QueryAnswer, QueryAnswers, QueryBatch, StreamQuery};
use crate::transport::grpc::wire_error::WireError as _;

/// The exchange of queries for the state machine's answers.
pub(super) enum Querying {}

impl Exchange for Querying {
    type Batch = QueryBatch;
    type Request = StreamQuery;
    type Answer = QueryAnswer;
    type Answers = QueryAnswers;

    fn requests(batch: QueryBatch) -> Vec<StreamQuery> {
        batch.queries
    }

    async fn perform(shared: Arc<Shared>, query: StreamQuery) -> QueryAnswer {
        let options = &shared.options;
        let timeout = timeout_from(
            query.timeout_ms,
            options.read_timeout,
            options.request_timeout_max,
        );
        // An unknown number reads as 0, which is the stronger promise.
        let consistency = consistency_from(query.consistency());
        let result = shared
            .handler
            .query(query.request, consistency, timeout)
            .await;
        // A message that is too large would take the stream with it.
        let bytes_max = options.message_bytes_max;
        match result {
            Ok(answer) if answer.len().saturating_add(MESSAGE_OVERHEAD_BYTES) > bytes_max => {
                let reason = format!("the answer exceeds {bytes_max} bytes");
                answer_of(query.id, Err(ReadError::Rejected(reason)))
            }
            result => answer_of(query.id, result),
        }
    }

    fn refused(query: StreamQuery) -> QueryAnswer {
        answer_of(query.id, Err(ReadError::Stopped))
    }

    fn answer_bytes(answer: &QueryAnswer) -> usize {
        answer.answer.len().saturating_add(ANSWER_OVERHEAD_BYTES)
    }

    fn answers(answers: Vec<QueryAnswer>) -> QueryAnswers {
        QueryAnswers { answers }
    }

    fn stopped() -> Status {
        ReadError::Stopped.to_status()
    }
}

fn answer_of(id: u64, result: Result<Bytes, ReadError>) -> QueryAnswer {
    match result {
        Ok(answer) => QueryAnswer {
            id,
            answer,
            error: None,
        },
        Err(error) => QueryAnswer {
            id,
            answer: Bytes::new(),
            error: Some(error.to_detail()),
        },
    }
}
