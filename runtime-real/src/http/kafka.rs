//! `GET /health/kafka` and `GET /health/kafka/stats`: the way to the topic, the topics, and the lag of the groups.
//!
//! Embedded, the partitions are in this process: they are always there, and the lag is the database's.

use hyper::{Response, StatusCode};
use serde::Serialize;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::Consumer;

use super::problem::{Code, Problem};
use super::response::{Body, JSON, json, whole};
use super::state::Service;
use super::{problem_schema, reads, schema};
use crate::broker::kafka::StatisticsError;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    producer: Producer,
    kafka: Server,
}

#[derive(Serialize)]
struct Producer {
    connected: bool,
}

#[derive(Serialize)]
struct Server {
    status: &'static str,
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    topics: Vec<Topic>,
    groups: Vec<Group>,
    dead_letters: u64,
}

#[derive(Serialize)]
struct Topic {
    name: String,
    partitions: u16,
    messages: Option<u64>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    lag: u64,
}

/// Whether events can be published.
#[utoipa::path(
    get,
    path = "/health/kafka",
    operation_id = "getKafkaHealth",
    tag = "service",
    responses(
        (status = 200, description = "They can", body = schema::KafkaHealth),
        (status = 503, description = "They cannot; they wait in the outbox", body = schema::KafkaHealth)
    )
)]
pub(super) async fn health(service: &Service) -> Response<Body> {
    let (status, reason) = match &service.servers {
        None => ("embedded", None),
        Some(servers) => match servers.broker.health().await.reason {
            None => ("up", None),
            Some(reason) => ("down", Some(reason)),
        },
    };
    let connected = status != "down";
    let health = Health {
        status: if connected { "up" } else { "down" },
        producer: Producer { connected },
        kafka: Server { status, reason },
    };
    let code = if connected { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    whole(code, JSON, written(&health))
}

/// Topics, partitions, lag of each group, dead letters.
#[utoipa::path(
    get,
    path = "/health/kafka/stats",
    operation_id = "getKafkaStatistics",
    tag = "service",
    responses(
        (status = 200, description = "The figures", body = schema::KafkaStatistics),
        problem_schema::AnyProblems
    )
)]
pub(super) async fn statistics(service: &Service) -> Result<Response<Body>, Problem> {
    let statistics = match &service.servers {
        None => embedded(service).await?,
        Some(servers) => {
            let found = servers.broker.statistics().await.map_err(|error| {
                let problem = match &error {
                    StatisticsError::Client(_) => Problem::new(Code::Unavailable, "Kafka does not answer"),
                    StatisticsError::Topics(_) => Problem::new(Code::Unavailable, format!("Kafka: {error}")),
                };
                problem.caused_by("Kafka could not be asked for its figures", &error)
            })?;
            let groups = found.groups.iter().map(|one| Group { name: one.group.clone(), lag: one.total() }).collect();
            let dead = found.topics.iter().filter(|one| one.topic.ends_with("-dlq")).map(|one| one.messages).sum();
            let topics = found.topics.into_iter().map(|one| Topic {
                name: one.topic,
                partitions: one.partitions,
                messages: Some(one.messages),
            });
            Statistics { topics: topics.collect(), groups, dead_letters: dead }
        }
    };
    Ok(json(written(&statistics)))
}

async fn embedded(service: &Service) -> Result<Statistics, Problem> {
    let found = service.queries.statistics().await.map_err(reads::of_query)?;
    let groups = found.consumers.iter().filter(|one| one.consumer != Consumer::Relay);
    Ok(Statistics {
        topics: vec![Topic { name: "wallet-events".to_owned(), partitions: PARTITIONS, messages: None }],
        groups: groups.map(|one| Group { name: one.consumer.name().to_owned(), lag: one.lag_events }).collect(),
        dead_letters: found.dead_letters,
    })
}

fn written(value: &impl Serialize) -> Vec<u8> {
    // Plain data has a JSON form; an empty answer would be the sign of a defect.
    serde_json::to_vec(value).unwrap_or_default()
}
