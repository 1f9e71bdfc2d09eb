//! The topics: created when they are missing, and checked when they are there.
//!
//! The number of partitions decides where each wallet's events lie, so a topic with another number is refused. A Kafka
//! that is away is asked again until it answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use wallex_core::limits::PARTITIONS;

use super::StartError;
use super::context::Log;
use super::settings::{DEAD_LETTER_PARTITIONS, KafkaSettings, QUESTION_TIMEOUT};

/// How long to wait before asking again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

pub(super) struct Topics {
    settings: Arc<KafkaSettings>,
    admin: Arc<AdminClient<Log>>,
    /// Why they cannot be used, as far as is known; nothing when they can.
    trouble: Mutex<Option<Arc<str>>>,
}

impl Topics {
    pub(super) fn new(settings: Arc<KafkaSettings>) -> Result<Self, KafkaError> {
        let admin = Arc::new(AdminClient::from_config_and_context(&settings.client(), Log::new("topics"))?);
        let trouble = Mutex::new(Some(Arc::from("the topics have not been looked at yet")));
        Ok(Self { settings, admin, trouble })
    }

    /// Whether the topics are there.
    pub(super) fn is_ready(&self) -> bool {
        self.noted().is_none()
    }

    /// Why the topics cannot be used: what the last attempt to prepare them has met. Nothing when they can.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.noted().clone()
    }

    fn noted(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates and checks the topics. When Kafka does not answer, they are just not ready.
    ///
    /// # Errors
    /// When a topic has another number of partitions.
    pub(super) async fn prepare(&self) -> Result<(), StartError> {
        let prepared = self.create_and_check().await;
        *self.noted() = prepared.as_ref().err().map(|error| Arc::from(error.to_string()));
        match prepared {
            Ok(()) => Ok(()),
            Err(StartError::Client(error)) => {
                tracing::warn!(%error, "Kafka's topics cannot be prepared now; it is tried again");
                Ok(())
            }
            Err(wrong @ (StartError::Partitions { .. } | StartError::Thread(_))) => Err(wrong),
        }
    }

    pub(super) async fn prepare_until_ready(self: Arc<Self>) {
        while !self.is_ready() {
            tokio::time::sleep(RETRY_DELAY).await;
            if let Err(error) = self.prepare().await {
                tracing::error!(%error, "Kafka cannot be used");
            }
        }
    }

    async fn create_and_check(&self) -> Result<(), StartError> {
        let (events, dead) = (self.settings.events_topic(), self.settings.dead_letters_topic());
        let wanted = [
            (&events, PARTITIONS, self.settings.events_retention),
            (&dead, DEAD_LETTER_PARTITIONS, self.settings.dead_letters_retention),
        ];
        let copies = i32::from(self.settings.replication);
        // One copy may be away without stopping the topic, where there are more than two.
        let in_sync = if self.settings.replication > 2 { "2" } else { "1" };
        let retention = wanted.map(|(_, _, retention)| retention.as_millis().to_string());
        let topics: Vec<NewTopic<'_>> = wanted
            .iter()
            .zip(&retention)
            .map(|((name, partitions, _), retention)| {
                NewTopic::new(name, i32::from(*partitions), TopicReplication::Fixed(copies))
                    .set("retention.ms", retention)
                    .set("cleanup.policy", "delete")
                    .set("min.insync.replicas", in_sync)
            })
            .collect();
        let options =
            AdminOptions::new().request_timeout(Some(QUESTION_TIMEOUT)).operation_timeout(Some(QUESTION_TIMEOUT));
        for created in self.admin.create_topics(&topics, &options).await? {
            match created {
                Ok(topic) => tracing::info!(%topic, "created a topic"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code).into()),
            }
        }
        for (topic, partitions, _) in wanted {
            self.check(topic, usize::from(partitions)).await?;
        }
        Ok(())
    }

    async fn check(&self, topic: &str, wanted: usize) -> Result<(), StartError> {
        let (admin, name) = (Arc::clone(&self.admin), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(Some(&name), QUESTION_TIMEOUT));
        let metadata = asked.await.map_err(|_| KafkaError::Canceled)??;
        let found = metadata.topics().iter().find(|one| one.name() == topic).map_or(0, |one| one.partitions().len());
        match found {
            // Just created, and not known to every broker yet.
            0 => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition).into()),
            found if found == wanted => Ok(()),
            found => Err(StartError::Partitions { topic: topic.to_owned(), found, wanted }),
        }
    }
}
