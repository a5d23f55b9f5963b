//! Reading, writing and swapping values of the map.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{ApiError, AppState, ErrorCode};
use crate::state_machine::{LogEntry, Reply, SwapReply, VALUE_BYTES_MAX, check_key};

/// What a read promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReadConsistency {
    /// It sees every write acknowledged before, on any node.
    #[default]
    Linearizable,
    /// It sees this node's copy.
    Stale,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadOptions {
    #[serde(default)]
    consistency: ReadConsistency,
}

pub(super) async fn get(
    state: web::Data<AppState>,
    key: web::Path<String>,
    options: web::Query<ReadOptions>,
) -> Result<HttpResponse, ApiError> {
    let key = key.into_inner();
    check_key(&key)?;
    match options.consistency {
        ReadConsistency::Linearizable => {
            state.node.read_index().await?;
        }
        ReadConsistency::Stale => {}
    }
    let value = state
        .store
        .get(&key)
        .ok_or_else(|| ApiError::new(ErrorCode::KeyNotFound, format!("there is no key {key:?}")))?;
    Ok(HttpResponse::Ok()
        .content_type(content_type_of(&value))
        .body(value))
}

fn content_type_of(value: &[u8]) -> ContentType {
    match std::str::from_utf8(value) {
        Ok(_) => ContentType::plaintext(),
        Err(_) => ContentType::octet_stream(),
    }
}

pub(super) async fn put_path(
    state: web::Data<AppState>,
    pair: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (key, value) = pair.into_inner();
    put(&state, key, value.into()).await
}

pub(super) async fn put_body(
    state: web::Data<AppState>,
    key: web::Path<String>,
    value: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let value = value.map_err(body_error)?;
    put(&state, key.into_inner(), value).await
}

fn body_error(error: actix_web::Error) -> ApiError {
    match error.as_error::<actix_web::error::PayloadError>() {
        Some(actix_web::error::PayloadError::Overflow) => ApiError::new(
            ErrorCode::ValueTooLarge,
            format!("the value has more than {VALUE_BYTES_MAX} bytes"),
        ),
        _ => ApiError::new(ErrorCode::BadBody, error.to_string()),
    }
}

async fn put(state: &AppState, key: String, value: Bytes) -> Result<HttpResponse, ApiError> {
    state.node.propose(LogEntry::insert(key, value)?).await?;
    Ok(HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .body("OK"))
}

/// A compare-and-swap: the values are texts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Swap {
    /// What the key must hold; null, or left out, when it must be absent.
    #[serde(default)]
    expected: Option<String>,
    value: String,
}

/// Whether it was swapped; what was found instead, with a mark for what is not UTF-8.
pub(super) async fn compare_and_swap(
    state: web::Data<AppState>,
    key: web::Path<String>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(body_error)?;
    let swap: Swap = serde_json::from_slice(&body)
        .map_err(|error| ApiError::new(ErrorCode::BadBody, error.to_string()))?;
    let expected = swap.expected.map(Bytes::from);
    let entry = LogEntry::compare_and_swap(key.into_inner(), expected, swap.value)?;
    match state.node.propose(entry).await? {
        Reply::Swap(SwapReply::Swapped) => Ok(HttpResponse::Ok().json(json!({ "swapped": true }))),
        Reply::Swap(SwapReply::Found(found)) => {
            let found = found.map(|found| String::from_utf8_lossy(&found).into_owned());
            Ok(HttpResponse::Ok().json(json!({ "swapped": false, "found": found })))
        }
        Reply::Put(reply) => Err(ApiError::new(
            ErrorCode::Internal,
            format!("a compare-and-swap was answered with {reply:?}"),
        )),
    }
}
