//! What a server is and can do (`ServerFeatures/GetSupportedMethods`), and who is in its cluster (`Gossip/Read`).
//!
//! Messages only. The client's `discovery` finds the leader with them; the server's `cluster` fills them in for a
//! cluster of one.

use super::shared::Uuid;

/// What a server is and can do.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SupportedMethods {
    /// Its methods; names in lower case.
    #[prost(message, repeated, tag = "1")]
    pub methods: Vec<SupportedMethod>,
    /// Its version, such as `25.1.0`.
    #[prost(string, tag = "2")]
    pub server_version: String,
}

/// A method that a server has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SupportedMethod {
    /// Its name, in lower case.
    #[prost(string, tag = "1")]
    pub method_name: String,
    /// Full name of its service, in lower case.
    #[prost(string, tag = "2")]
    pub service_name: String,
    /// What it can do beyond its first version.
    #[prost(string, repeated, tag = "3")]
    pub features: Vec<String>,
}

/// The members of a cluster, as one of them sees it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClusterInfo {
    /// The members.
    #[prost(message, repeated, tag = "1")]
    pub members: Vec<MemberInfo>,
}

/// A member of a cluster.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberInfo {
    /// One life of its process.
    #[prost(message, optional, tag = "1")]
    pub instance_id: Option<Uuid>,
    /// When it was heard of, in ticks of 100 ns since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub time_stamp: i64,
    /// Its role.
    #[prost(enumeration = "MemberState", tag = "3")]
    pub state: i32,
    /// Whether it is thought to live.
    #[prost(bool, tag = "4")]
    pub is_alive: bool,
    /// Where it listens.
    #[prost(message, optional, tag = "5")]
    pub http_end_point: Option<EndPoint>,
}

/// Where a member listens.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EndPoint {
    /// Name or address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
}

/// The role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum MemberState {
    /// Starting.
    Initializing = 0,
    /// Looks for the leader.
    DiscoverLeader = 1,
    /// Not known.
    Unknown = 2,
    /// Will be a replica.
    PreReplica = 3,
    /// Copies what it lacks.
    CatchingUp = 4,
    /// A copy that does not vote.
    Clone = 5,
    /// A copy that votes.
    Follower = 6,
    /// Will lead.
    PreLeader = 7,
    /// Leads: takes the writes.
    Leader = 8,
    /// Watches others.
    Manager = 9,
    /// Ends.
    ShuttingDown = 10,
    /// Has ended.
    Shutdown = 11,
    /// Read-only, and knows no leader.
    ReadOnlyLeaderless = 12,
    /// Will be a read-only replica.
    PreReadOnlyReplica = 13,
    /// Takes reads only.
    ReadOnlyReplica = 14,
    /// Gives up leading.
    ResigningLeader = 15,
}
