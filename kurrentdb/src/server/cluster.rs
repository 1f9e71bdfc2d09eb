//! What the server is: `ServerFeatures` and `Gossip`, for a cluster of one.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::events::random_id;
use super::route::State;
use super::writer::now;
use crate::protocol::cluster::{ClusterInfo, EndPoint, MemberInfo, MemberState, SupportedMethod, SupportedMethods};
use crate::protocol::shared::Uuid;
use crate::protocol::{
    APPEND, APPEND_RECORDS, APPEND_SESSION, BATCH_APPEND, DELETE, GOSSIP, READ, SUPPORTED_METHODS, TOMBSTONE,
};

/// The version that the server gives. It is ours: it promises the protocol of KurrentDB 26.1, and is no KurrentDB.
pub const SERVER_VERSION: &str = "26.1.0";

/// What the server can do.
pub(super) async fn supported_methods(
    _state: Arc<State>,
    _request: Request<()>,
) -> Result<Response<SupportedMethods>, Status> {
    let method = |(service_name, method_name): (&str, &str)| SupportedMethod {
        method_name: method_name.to_lowercase(),
        service_name: service_name.to_lowercase(),
        features: Vec::new(),
    };
    let all = [
        (READ.service, READ.name),
        (APPEND.service, APPEND.name),
        (BATCH_APPEND.service, BATCH_APPEND.name),
        (DELETE.service, DELETE.name),
        (TOMBSTONE.service, TOMBSTONE.name),
        (APPEND_SESSION.service, APPEND_SESSION.name),
        (APPEND_RECORDS.service, APPEND_RECORDS.name),
        (SUPPORTED_METHODS.service, SUPPORTED_METHODS.name),
        (GOSSIP.service, GOSSIP.name),
    ];
    let methods = all.into_iter().map(method).collect();
    Ok(Response::new(SupportedMethods { methods, server_version: SERVER_VERSION.to_owned() }))
}

/// Who is in the cluster: this server, which leads.
pub(super) async fn gossip(state: Arc<State>, _request: Request<()>) -> Result<Response<ClusterInfo>, Status> {
    let instance_id = match *state.instance.get_or_init(|| random_id().ok()) {
        Some(id) => id,
        None => return Err(Status::internal("the system has no randomness")),
    };
    let ip = match state.address.ip() {
        // Clients cannot connect to "any address".
        any if any.is_unspecified() && any.is_ipv6() => "::1".to_owned(),
        any if any.is_unspecified() => "127.0.0.1".to_owned(),
        ip => ip.to_string(),
    };
    let member = MemberInfo {
        instance_id: Some(Uuid::structured(instance_id)),
        time_stamp: now().as_micros().saturating_mul(10),
        state: MemberState::Leader as i32,
        is_alive: true,
        http_end_point: Some(EndPoint { address: ip, port: u32::from(state.address.port()) }),
    };
    Ok(Response::new(ClusterInfo { members: vec![member] }))
}
