//! Which threads step back when processors are short.
//!
//! The read side follows the log: a moment later is early enough for it, but not for a command whose client waits. On a
//! machine with fewer processors than busy threads, an equal share for a transaction of thousands of rows costs each
//! command that falls into it some milliseconds.

/// How nice the threads of the read side are: about a tenth of the weight of the others where they compete, everything
/// where they do not.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lets the calling thread, and those that it starts from now on, step back.
pub(crate) fn step_back() {
    // Only Linux knows priorities of single threads by this call.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of the read side keeps its priority");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn a_thread_steps_back_and_nobody_else_does() {
        let before = getpriority_process(None).expect("a priority");
        let (own, started) = std::thread::spawn(|| {
            step_back();
            let started = std::thread::spawn(|| getpriority_process(None)).join();
            (getpriority_process(None), started)
        })
        .join()
        .expect("it ends");
        assert_eq!(own, Ok(NICE));
        assert_eq!(started.expect("it ends"), Ok(NICE));
        assert_eq!(getpriority_process(None), Ok(before));
    }
}
