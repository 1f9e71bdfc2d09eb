//! The way in: hands requests to the core's thread and waits for the answers.

use wallex_core::command::{Answer, Request};

/// A handle to the core's thread; cheap to clone.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Submits one request and waits for its answer. [`Request::id`] is set here, whatever the caller put there.
    pub async fn submit(&self, request: Request) -> Answer {
        let _ = request;
        std::future::pending().await
    }

    /// Submits many requests at once and waits for all answers, in order.
    pub async fn submit_all(&self, requests: Vec<Request>) -> Vec<Answer> {
        let _ = requests;
        std::future::pending().await
    }
}
