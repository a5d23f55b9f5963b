//! For supervisors and for Prometheus.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::{ApiError, AppState, ErrorCode, metrics};

/// The text format of Prometheus, with its version.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// 200 while the node's loop and disk work: a supervisor that restarts on 503 does no harm.
pub(super) async fn healthz(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    if !state.node.watch().borrow().healthy {
        return Err(ApiError::new(ErrorCode::NotReady, "the node does not run"));
    }
    Ok(HttpResponse::Ok().json(json!({ "healthy": true })))
}

/// 200 while the node can serve: it is well, a member, and knows a leader.
pub(super) async fn readyz(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let view = state.node.watch().borrow().clone();
    let reason = if !view.healthy {
        "the node does not run"
    } else if !view.is_member {
        "this node is not a member of its cluster yet"
    } else if view.leader_id == 0 {
        "no leader is known"
    } else {
        let ready = json!({ "ready": true, "leader_id": view.leader_id });
        return Ok(HttpResponse::Ok().json(ready));
    };
    Err(ApiError::new(ErrorCode::NotReady, reason))
}

pub(super) async fn metrics(state: web::Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(PROMETHEUS_TEXT)
        .body(metrics::render(
            state.node.id(),
            &state.node.metrics(),
            state.store.len(),
        ))
}
