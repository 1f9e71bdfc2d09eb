use super::*;
use wallex_contracts::events::Log;

fn events() -> Vec<Recorded> {
    let mut log = Log::new("publisher");
    ["alice", "bob", "alice", "bob"].map(|wallet| log.event(wallet)).to_vec()
}

fn rejected() -> Outcome {
    failed(FailureKind::Rejected, &"too large")
}

#[test]
fn later_events_of_a_wallet_count_as_failed_behind_one_that_failed() {
    let mut outcomes = vec![rejected(), Outcome::Acknowledged, Outcome::Acknowledged, Outcome::Acknowledged];
    hold_back_later_ones(&events(), &mut outcomes);
    assert_eq!(outcomes, [rejected(), Outcome::Acknowledged, behind(), Outcome::Acknowledged]);
}

#[test]
fn one_unknown_outcome_makes_the_publication_unknown() {
    let results = completion(vec![Outcome::Acknowledged, rejected()]);
    assert!(matches!(results, Completion::Done(ref results) if results[0].is_none() && results[1].is_some()));
    assert_eq!(completion(vec![rejected(), Outcome::Unknown, Outcome::Acknowledged]), Completion::Unknown);
}

#[test]
fn only_codes_that_say_so_mean_that_a_message_is_not_there() {
    let of = |code| reported(&KafkaError::MessageProduction(code));
    for unknown in [
        RDKafkaErrorCode::MessageTimedOut,
        RDKafkaErrorCode::PurgeInflight,
        RDKafkaErrorCode::PurgeQueue,
        RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::RequestTimedOut,
    ] {
        assert_eq!(of(unknown), Outcome::Unknown, "{unknown:?}");
    }
    let kind_of = |code| match of(code) {
        Outcome::Failed(failure) => Some(failure.kind),
        Outcome::Acknowledged | Outcome::Unknown => None,
    };
    assert_eq!(kind_of(RDKafkaErrorCode::MessageSizeTooLarge), Some(FailureKind::Rejected));
    assert_eq!(kind_of(RDKafkaErrorCode::NotEnoughReplicas), Some(FailureKind::Unavailable));
}

#[tokio::test]
async fn the_last_report_ends_the_wait_whatever_the_order() {
    let (done, all) = oneshot::channel();
    let pending = Arc::new(Pending::new(2, done));
    Ticket::boxed(&pending, 1).report(Outcome::Acknowledged);
    Ticket::boxed(&pending, 0).report(rejected());
    all.await.unwrap();
    assert_eq!(pending.outcomes(), [rejected(), Outcome::Acknowledged]);
}
