//! The JSON of events: written for every append, read by the pipeline and by every look at the history.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wallex_benches::events::Log;
use wallex_core::event::codec;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn event_codec(criterion: &mut Criterion) {
    let mut log = Log::new(10);
    for at in 0..10 {
        log.create(at);
    }
    let event = log.transfer().remove(0);
    let (mut data, mut metadata) = (Vec::new(), Vec::new());
    codec::encode_data(&event, &mut data);
    codec::encode_metadata(&event, &mut metadata);
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes((data.len() + metadata.len()) as u64));
    let mut out = Vec::with_capacity(1_024);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            codec::encode_data(std::hint::black_box(&event), &mut out);
            codec::encode_metadata(&event, &mut out);
            out.len()
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let (data, metadata) = (std::hint::black_box(&data), &metadata);
            codec::decode(event.event_id, event.event_type().name(), data, metadata).expect("its own bytes")
        });
    });
    group.finish();
}

criterion_group!(benches, event_codec);
criterion_main!(benches);
