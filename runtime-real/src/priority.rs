//! Which threads step back when processors are short.
//!
//! The read side follows the log: a moment later is early enough for it, but not for a command whose client waits. On a
//! machine with fewer processors than busy threads, an equal share for a transaction of thousands of rows costs each
//! command that falls into it some milliseconds.

/// How nice the threads of the read side and the journal's upkeep are: half of the weight of the others where they
/// compete, everything where they do not. At a tenth (10) the read side falls one to two seconds behind while two cores
/// are full.
#[cfg(target_os = "linux")]
const NICE: i32 = 3;

/// Lets the calling thread, and those that it starts from now on, step back.
pub(crate) fn step_back() {
    // Only Linux knows priorities of single threads by these calls.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};

        // A process that was started nicer than that stays so.
        let stepped = getpriority_process(None).and_then(|nice| setpriority_process(None, nice.max(NICE)));
        if let Err(error) = stepped {
            tracing::debug!(%error, "a thread of the read side keeps its priority");
        }
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
        assert_eq!(own, Ok(before.max(NICE)));
        assert_eq!(started.expect("it ends"), own);
        assert_eq!(getpriority_process(None), Ok(before));
    }
}
