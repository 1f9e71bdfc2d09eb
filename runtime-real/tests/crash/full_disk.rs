//! A disk without space: refused cleanly, known not done, and done when there is space again (INV-04, INV-05).

use std::time::Instant;

use crate::client::{Client, Reply};
use crate::service::Service;
use crate::{TIME_MAX, alone};

/// Less than any file of the service has when it is ready.
const NO_SPACE: u64 = 1_024;

fn credit(client: &mut Client, key: &str) -> Reply {
    client.post("/wallets/alice/credit", key, key, br#"{"amount":"1"}"#).expect("an answer")
}

fn versions(client: &mut Client) -> Vec<u64> {
    let events = client.get("/wallets/alice/events").expect("an answer").json();
    events["items"].as_array().expect("a list").iter().map(|event| event["version"].as_u64().unwrap()).collect()
}

#[test]
fn a_full_disk_refuses_cleanly_and_the_same_keys_work_when_there_is_space_again() {
    let _alone = alone();
    let deadline = Instant::now() + TIME_MAX;
    let mut service = Service::start_with_limits(deadline);
    let mut client = Client::new(service.whereabouts(), deadline);
    let created = client.post("/wallets", "create", "create", br#"{"walletId":"alice","ownerId":"o"}"#);
    assert_eq!(created.expect("an answer").status, 201);
    assert_eq!(credit(&mut client, "before").status, 200);

    service.limit_files(Some(NO_SPACE));
    for _ in 0..3 {
        let refused = credit(&mut client, "meanwhile");
        assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("unavailable")));
    }
    assert_ne!(client.get("/health").expect("an answer").json()["status"], "up", "an operator can see it");
    assert_eq!(versions(&mut client), [1, 2], "what was acknowledged is there, and nothing else");
    assert!(credit(&mut client, "before").replayed, "and is not done again");

    service.limit_files(None);
    for (key, replayed) in [("meanwhile", false), ("after", false), ("meanwhile", true)] {
        let reply = credit(&mut client, key);
        assert_eq!((reply.status, reply.replayed), (200, replayed), "{key}");
    }
    assert_eq!(versions(&mut client), [1, 2, 3, 4]);
    service.terminate(deadline);
    service.verify();
}
