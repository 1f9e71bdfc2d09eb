//! The topic, read back by a consumer that shares nothing with the service: what is there, and in which order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const TOPIC: &str = "wallet-events";

/// For each wallet the versions in the order of the topic, repetitions included.
pub(crate) fn versions(brokers: &str, deadline: Instant) -> BTreeMap<String, Vec<u64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "independent-reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let wait = Duration::from_secs(20);
    let metadata = consumer.fetch_metadata(Some(TOPIC), wait).expect("the topic is known");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut assignment = TopicPartitionList::new();
    let mut open: BTreeMap<i32, i64> = BTreeMap::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(TOPIC, partition, wait).expect("its bounds");
        assert_eq!(low, 0, "nothing has left the topic");
        assignment.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("an offset");
        if high > 0 {
            open.insert(partition, high);
        }
    }
    consumer.assign(&assignment).expect("it is assigned");
    let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while !open.is_empty() {
        assert!(Instant::now() < deadline, "the topic is not read to its end in time: {open:?} is left");
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.expect("a message");
        let wallet = String::from_utf8(message.key().expect("a key").to_vec()).expect("a wallet");
        let headers = message.headers().expect("headers");
        let header = headers.iter().find(|header| header.key == "event-version").expect("its version");
        let version = String::from_utf8(header.value.expect("a value").to_vec()).expect("digits");
        versions.entry(wallet).or_default().push(version.parse().expect("a version"));
        if open.get(&message.partition()).is_some_and(|high| message.offset() + 1 >= *high) {
            open.remove(&message.partition());
        }
    }
    versions
}

/// What is wrong with the topic, if these are the newest versions of all wallets: a version that is missing, or whose
/// first appearance is before that of an earlier one.
pub(crate) fn findings(topic: &BTreeMap<String, Vec<u64>>, newest: &BTreeMap<String, u64>) -> Vec<String> {
    let mut findings = Vec::new();
    for (wallet, newest) in newest {
        let mut expected = 1;
        for version in topic.get(wallet).into_iter().flatten() {
            if *version > expected {
                findings.push(format!("{wallet}: version {version} before version {expected}"));
                break;
            }
            expected = expected.max(version + 1);
        }
        if expected <= *newest {
            findings.push(format!("{wallet}: version {expected} of {newest} is missing"));
        }
    }
    findings
        .extend(topic.keys().filter(|wallet| !newest.contains_key(*wallet)).map(|wallet| format!("{wallet}: who?")));
    findings
}

#[test]
fn gaps_and_reversals_are_found_and_repetitions_are_not() {
    let newest = BTreeMap::from([("a".to_owned(), 3)]);
    let topic = |versions: &[u64]| BTreeMap::from([("a".to_owned(), versions.to_vec())]);
    assert!(findings(&topic(&[1, 2, 3]), &newest).is_empty());
    assert!(findings(&topic(&[1, 2, 1, 2, 3, 3]), &newest).is_empty());
    for wrong in [&[1, 2][..], &[1, 3, 2], &[2, 1, 3], &[]] {
        assert!(!findings(&topic(wrong), &newest).is_empty(), "{wrong:?}");
    }
    assert_eq!(findings(&BTreeMap::from([("b".to_owned(), vec![1])]), &BTreeMap::new()).len(), 1);
}
