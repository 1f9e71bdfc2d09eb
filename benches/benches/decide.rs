//! The domain alone: `decide` and `apply`, for each kind of operation.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wallex_core::currency::Currency;
use wallex_core::id::{CommandId, CorrelationId, OwnerId, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Cause, Create, Credit, Debit, Operation, Transfer, Wallet, Wallets};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Two wallets that stand still, and nothing else.
struct Two(Wallet, Wallet);

impl Wallets for Two {
    fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        [&self.0, &self.1].into_iter().find(|wallet| wallet.id == *id)
    }
}

fn wallet(name: &str) -> Wallet {
    let usd = Currency::parse("USD").expect("listed");
    let created_at = Timestamp::from_micros(1_800_000_000_000_000);
    Wallet {
        id: WalletId::parse(name).expect("well-formed"),
        owner_id: OwnerId::parse("owner").expect("well-formed"),
        currency: usd,
        balance: Money::parse("1000000", usd).expect("in range"),
        version: wallex_core::id::Version(7),
        created_at,
        updated_at: created_at,
    }
}

fn operations(wallets: &Two) -> [(&'static str, Operation); 4] {
    let amount = Amount::parse("12.34").expect("well-formed");
    let (from, to) = (wallets.0.id.clone(), wallets.1.id.clone());
    let description = None;
    let create = Create {
        wallet_id: WalletId::parse("wallet-00000003").expect("well-formed"),
        owner_id: wallets.0.owner_id.clone(),
        currency: wallets.0.currency,
        initial_balance: wallets.0.balance,
    };
    [
        ("create", Operation::Create(create)),
        ("credit", Operation::Credit(Credit { wallet_id: from.clone(), amount, description: description.clone() })),
        ("debit", Operation::Debit(Debit { wallet_id: from.clone(), amount, description: description.clone() })),
        ("transfer", Operation::Transfer(Transfer { from, to, amount, description })),
    ]
}

fn decide_and_apply(criterion: &mut Criterion) {
    let wallets = Two(wallet("wallet-00000001"), wallet("wallet-00000002"));
    let correlation_id = CorrelationId::parse("5f0c1f9e-6f0c-4a42-9b7e-0d6f5a0c7f11").expect("well-formed");
    let now = Timestamp::from_micros(1_800_000_000_000_020);
    let command_id = CommandId::new(now, 42);
    let cause = Cause { command_id, correlation_id: &correlation_id, trace_parent: None, now };
    let mut group = criterion.benchmark_group("decide_and_apply");
    group.throughput(Throughput::Elements(1));
    for (name, operation) in operations(&wallets) {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let events = operation.decide(&wallets, None, &cause, 0).expect("accepted");
                for event in &events {
                    std::hint::black_box(Wallet::apply(wallets.wallet(&event.wallet_id).cloned(), event));
                }
                events
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decide_and_apply);
criterion_main!(benches);
