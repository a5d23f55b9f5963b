//! The HTTP interface of a node.
//!
//! | method, path | answer |
//! |---|---|
//! | PUT /store/{key}/{value}, PUT /store/{key} with the value as body | `OK` once applied |
//! | GET /store/{key} | the value; 404 when absent; `?consistency=stale` reads the local copy |
//! | POST /compare_and_swap/{key}, body `{"expected":"old","value":"new"}` | JSON: `swapped`, and what was `found` |
//! | GET /leader_id, /peers, /debug | JSON |
//! | POST /leave, /leave_joint, /snapshot, /campaign | JSON, when done |
//! | POST /transfer_leader/{id}, /demote/{term}/{leader_id} | JSON, when done |
//! | GET /healthz, /readyz, /metrics | for supervisors and Prometheus |
//!
//! Every error is JSON with a stable code, see [`ErrorCode`].

mod cluster;
mod error;
mod health;
mod metrics;
mod store;

use actix_web::{HttpRequest, HttpResponse, ResponseError, web};

pub use error::{ApiError, ErrorCode};

use crate::Node;
use crate::state_machine::{HashStore, VALUE_BYTES_MAX};

/// What the handlers work on.
#[derive(Clone)]
pub struct AppState {
    /// The node.
    pub node: Node,
    /// The node's copy of the map.
    pub store: HashStore,
}

/// Registers every endpoint.
pub fn configure(state: &AppState, app: &mut web::ServiceConfig) {
    app.app_data(web::Data::new(state.clone()))
        .app_data(web::PayloadConfig::new(VALUE_BYTES_MAX))
        .app_data(
            web::PathConfig::default().error_handler(|error, _| {
                ApiError::new(ErrorCode::BadPath, error.to_string()).into()
            }),
        )
        .app_data(
            web::QueryConfig::default().error_handler(|error, _| {
                ApiError::new(ErrorCode::BadQuery, error.to_string()).into()
            }),
        )
        .service(
            web::resource("/store/{key}")
                .route(web::get().to(store::get))
                .route(web::put().to(store::put_body))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource("/store/{key}/{value}")
                .route(web::put().to(store::put_path))
                .default_service(web::to(wrong_method)),
        )
        .service(endpoint(
            "/compare_and_swap/{key}",
            web::post().to(store::compare_and_swap),
        ))
        .service(endpoint("/leader_id", web::get().to(cluster::leader_id)))
        .service(endpoint("/peers", web::get().to(cluster::peers)))
        .service(endpoint("/debug", web::get().to(cluster::debug)))
        .service(endpoint("/healthz", web::get().to(health::healthz)))
        .service(endpoint("/readyz", web::get().to(health::readyz)))
        .service(endpoint("/metrics", web::get().to(health::metrics)))
        .service(endpoint("/leave", web::post().to(cluster::leave)))
        .service(endpoint(
            "/leave_joint",
            web::post().to(cluster::leave_joint),
        ))
        .service(endpoint("/snapshot", web::post().to(cluster::snapshot)))
        .service(endpoint("/campaign", web::post().to(cluster::campaign)))
        .service(endpoint(
            "/transfer_leader/{id}",
            web::post().to(cluster::transfer_leader),
        ))
        .service(endpoint(
            "/demote/{term}/{leader_id}",
            web::post().to(cluster::demote),
        ))
        .default_service(web::to(no_such_endpoint));
}

/// A path with one method.
fn endpoint(path: &str, route: actix_web::Route) -> actix_web::Resource {
    web::resource(path)
        .route(route)
        .default_service(web::to(wrong_method))
}

async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let text = format!("{} does not take {}", request.path(), request.method());
    ApiError::new(ErrorCode::MethodNotAllowed, text).error_response()
}

async fn no_such_endpoint(request: HttpRequest) -> HttpResponse {
    let text = format!("there is no endpoint {}", request.path());
    ApiError::new(ErrorCode::NoSuchEndpoint, text).error_response()
}
