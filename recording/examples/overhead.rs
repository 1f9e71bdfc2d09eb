//! What recording costs the thread of a node: the same commands through a node that is recorded and one that is not, in
//! turn, and the ratio of their times. No disk but the recording's own is involved, so this is the worst case.
//!
//! ```sh
//! cargo run --release -p wallex-recording --example overhead
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::{Duration, Instant};

use wallex_core::command::{Fingerprint, Idempotency, KeyHash, Request, Work};
use wallex_core::config::Config;
use wallex_core::currency::Currency;
use wallex_core::effect::{Completion, Effect, Input, Loaded, Reservation};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, RequestId, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Create, Credit, Operation};
use wallex_recording::{Limits, RecordedNode};

const WALLETS: u64 = 1_000;
const COMMANDS: u64 = 200_000;
/// Commands handed over before the effects are drained.
const AT_ONCE: u64 = 64;
const ROUNDS: usize = 5;
const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn request(number: u64) -> Request {
    let wallet_id = WalletId::parse(&format!("wallet-{}", number % WALLETS)).unwrap();
    let operation = if number < WALLETS {
        let currency = Currency::parse("USD").unwrap();
        let owner_id = OwnerId::parse("owner").unwrap();
        let initial_balance = Money::from_minor_units(10_000, currency);
        Operation::Create(Create { wallet_id, owner_id, currency, initial_balance })
    } else {
        Operation::Credit(Credit { wallet_id, amount: Amount::parse("1.25").unwrap(), description: None })
    };
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    Request {
        id: RequestId(number + 1),
        command_id: CommandId::new(START, number),
        correlation_id: CorrelationId::parse(&format!("request-{number}")).unwrap(),
        trace_parent: None,
        idempotency: Some(Idempotency { key: KeyHash(key), fingerprint: Fingerprint([7; 16]) }),
        if_match: None,
        work: Work::One(operation),
    }
}

/// Everything that an effect asks for works at once.
fn perform(effect: Effect) -> Option<Input> {
    Some(match effect {
        Effect::Reserve(id, items) => {
            Input::Reserved(id, Completion::Done(items.iter().map(|_| Reservation::New).collect()))
        }
        Effect::Lease { effect, wallets, .. } => Input::Leased(effect, Completion::Done(vec![true; wallets.len()])),
        Effect::Load(id, loads) => {
            let nothing = |_| Loaded { snapshot: None, events: Vec::new() };
            Input::Loaded(id, Completion::Done(loads.into_iter().map(nothing).collect()))
        }
        Effect::Append(id, _) => Input::Appended(id, Completion::Done(())),
        _ => return None,
    })
}

/// Time for all commands, and how many were answered.
fn run(mut node: RecordedNode, requests: &[Request]) -> (Duration, u64) {
    let (began, mut now, mut answered) = (Instant::now(), START, 0);
    for group in requests.chunks(AT_ONCE as usize) {
        now = now.plus(Duration::from_micros(500));
        for request in group {
            node.handle(now, Input::Submit(request.clone()));
        }
        let mut completed = Vec::new();
        loop {
            while let Some(effect) = node.poll_effect() {
                answered += u64::from(matches!(effect, Effect::Reply { .. }));
                completed.extend(perform(effect));
            }
            if completed.is_empty() {
                break;
            }
            completed.drain(..).for_each(|input| node.handle(now, input));
        }
    }
    (began.elapsed(), answered)
}

fn main() -> std::io::Result<()> {
    let requests: Vec<Request> = (0..COMMANDS).map(request).collect();
    let directory = std::env::temp_dir().join(format!("wallex-overhead-{}", std::process::id()));
    let (mut plain, mut recorded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (took, answered) = run(RecordedNode::plain(Config::default(), START), &requests);
        assert_eq!(answered, COMMANDS);
        plain.push(took);
        let (node, recorder) =
            RecordedNode::recorded(Config::default(), START, &directory, "commands", Limits::default())?;
        let (took, answered) = run(node, &requests);
        assert_eq!(answered, COMMANDS);
        recorded.push(took);
        drop(recorder);
    }
    std::fs::remove_dir_all(&directory)?;
    plain.sort_unstable();
    recorded.sort_unstable();
    let each = |took: &Duration| took.as_secs_f64() * 1e6 / COMMANDS as f64;
    let (without, with) = (each(&plain[ROUNDS / 2]), each(&recorded[ROUNDS / 2]));
    println!("without a recorder  {without:.2} µs a command");
    println!("with a recorder     {with:.2} µs a command");
    println!("ratio               {:.2} (medians of {ROUNDS} runs of {COMMANDS} commands, in turn)", with / without);
    Ok(())
}
