//! The few messages of etcd's API that are needed, by their field numbers.

use bytes::Bytes;
use raftify_load::{Client, Keys};
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

/// An answer whose content does not matter.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// What a member says of itself.
pub(crate) struct Member {
    pub(crate) version: String,
    pub(crate) leads: bool,
}

async fn call<Q, A>(channel: &Channel, path: &'static str, message: Q) -> Result<A, String>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| error.to_string())?;
    let path = PathAndQuery::from_static(path);
    grpc.unary(Request::new(message), path, ProstCodec::<Q, A>::default())
        .await
        .map(tonic::Response::into_inner)
        .map_err(|status| status.to_string())
}

/// Asks a member who it is.
pub(crate) async fn member(channel: &Channel) -> Result<Member, String> {
    let answer: StatusResponse = call(channel, STATUS, StatusRequest {}).await?;
    let id = answer.header.map_or(0, |header| header.member_id);
    Ok(Member {
        version: answer.version,
        leads: id != 0 && id == answer.leader,
    })
}

/// Puts a value of so many bytes, key included.
pub(crate) struct Writer {
    pub(crate) channel: Channel,
    pub(crate) keys: Keys,
    pub(crate) bytes: usize,
}

impl Client for Writer {
    async fn operate(&mut self) -> Result<(), String> {
        let mut value = self.keys.entry(self.bytes);
        let key = value.split_to(raftify_load::keys::KEY_BYTES);
        call::<_, Answer>(&self.channel, PUT, PutRequest { key, value })
            .await
            .map(drop)
    }
}

/// Gets a key, linearizably, as is etcd's default.
pub(crate) struct Reader {
    pub(crate) channel: Channel,
    pub(crate) keys: Keys,
}

impl Client for Reader {
    async fn operate(&mut self) -> Result<(), String> {
        let key = self.keys.query();
        call::<_, Answer>(&self.channel, RANGE, RangeRequest { key })
            .await
            .map(drop)
    }
}
