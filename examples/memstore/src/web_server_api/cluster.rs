//! Membership, leadership and the node's own state.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::json;
use tokio::time::timeout;

use super::{ApiError, AppState, ErrorCode};

/// How long a change of leadership that was asked for may take: a few election timeouts.
const LEADERSHIP_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn leader_id(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    match state.node.leader_id().await {
        0 => Err(ApiError::new(ErrorCode::NoLeader, "no leader is known")),
        leader_id => Ok(HttpResponse::Ok().json(json!({ "leader_id": leader_id }))),
    }
}

pub(super) async fn peers(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(state.node.peers().await?))
}

pub(super) async fn debug(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(state.node.status().await?))
}

pub(super) async fn leave(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    state.node.leave().await?;
    Ok(HttpResponse::Ok().json(json!({ "left": state.node.id() })))
}

pub(super) async fn leave_joint(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    state.node.leave_joint().await?;
    Ok(HttpResponse::Ok().json(json!({ "left_joint": true })))
}

pub(super) async fn snapshot(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let index = state.node.create_snapshot().await?;
    Ok(HttpResponse::Ok().json(json!({ "snapshot_index": index })))
}

pub(super) async fn transfer_leader(
    state: web::Data<AppState>,
    to: web::Path<u64>,
) -> Result<HttpResponse, ApiError> {
    let to = to.into_inner();
    state.node.transfer_leader(to).await?;
    Ok(HttpResponse::Ok().json(json!({ "leader_id": to })))
}

/// Answers when this node leads. The others do not vote while they hear of a leader, so that a
/// campaign against one that is well is lost; leadership is moved by a transfer then.
pub(super) async fn campaign(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let id = state.node.id();
    state.node.campaign().await?;
    let mut view = state.node.watch();
    let elected = view.wait_for(|view| view.is_leader || view.stopped);
    match timeout(LEADERSHIP_TIMEOUT, elected).await {
        Ok(Ok(view)) if view.is_leader => {
            Ok(HttpResponse::Ok().json(json!({ "leader_id": id, "term": view.term })))
        }
        Ok(_) => Err(ApiError::new(ErrorCode::Stopped, "the node has stopped")),
        Err(_) => {
            let text = match state.node.leader_id().await {
                0 => format!("node {id} was not elected within {LEADERSHIP_TIMEOUT:?}"),
                leader => format!("node {leader} leads and is well; use /transfer_leader/{id}"),
            };
            Err(ApiError::new(ErrorCode::NotApplicable, text))
        }
    }
}

/// Answers when this node does not lead any more.
pub(super) async fn demote(
    state: web::Data<AppState>,
    arguments: web::Path<(u64, u64)>,
) -> Result<HttpResponse, ApiError> {
    let (term, leader_id) = arguments.into_inner();
    state.node.demote(term, leader_id).await?;
    let mut view = state.node.watch();
    let demoted = view.wait_for(|view| !view.is_leader || view.term > term);
    if timeout(LEADERSHIP_TIMEOUT, demoted).await.is_err() {
        let text = format!("node {} still leads term {term}", state.node.id());
        return Err(ApiError::new(ErrorCode::NotApplicable, text));
    }
    Ok(HttpResponse::Ok().json(json!({ "demoted": state.node.id() })))
}
