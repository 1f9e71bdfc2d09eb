//! The dashboard: a page of its own, and every figure that it reads is one that the service gives.

use crate::harness::Service;

/// The names in the page's table of figures, in the order in which they stand there.
fn figures_read(page: &str) -> Vec<&str> {
    let table = page.split_once("const METRICS = {").unwrap().1.split_once("};").unwrap().0;
    table.split('"').skip(1).step_by(2).collect()
}

#[test]
fn the_dashboard_is_one_page_that_may_reach_nothing_but_the_service() {
    let service = Service::start();
    let answer = service.get("/dashboard");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    let policy = answer.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "connect-src 'self'", "script-src 'sha256-", "style-src 'sha256-"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(service.request("HEAD", "/dashboard", &[], None).status, 200);
    assert_eq!(service.get("/").json()["dashboard"], "/dashboard");
    service.post("/dashboard", "{}").expect_problem(405, "method-not-allowed");
}

#[test]
fn every_figure_that_the_dashboard_reads_is_there() {
    let service = Service::start();
    service.create("a", "10");
    service.create("b", "0");
    for (path, body) in [
        ("/wallets/a/credit", r#"{"amount":1}"#),
        ("/wallets/a/debit", r#"{"amount":1}"#),
        ("/wallets/a/transfer", r#"{"toWalletId":"b","amount":1}"#),
        ("/batch", r#"{"operations":[{"type":"credit","walletId":"a","amount":1}]}"#),
    ] {
        assert_eq!(service.post(path, body).status, 200, "{path}");
    }
    let (page, figures) = (service.get("/dashboard").text(), service.get("/metrics").text());
    let read = figures_read(&page);
    assert!(read.len() >= 16, "{read:?}");
    for name in read {
        let given = |suffix: &str| figures.lines().any(|line| line.starts_with(&format!("{name}{suffix}")));
        // A histogram is read through its buckets and its count.
        let there =
            if name.ends_with("_ms") { given("_bucket{le=\"") && given("_count ") } else { given(" ") || given("{") };
        assert!(there, "{name} is not in\n{figures}");
    }
    for labelled in ["projector_lag_events{consumer=\"", "projector_error_rate{consumer=\"", "dead_letters{consumer=\""]
    {
        assert!(figures.contains(labelled), "{labelled}");
    }
    assert!(figures.contains("http_responses_total{class=\"5xx\"}"));
}
