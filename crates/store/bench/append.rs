//! What appending costs: `cargo run --profile quick -p dialtone-store --example append -- [DIR [aes|chacha]]`. Prints CPU time of submitting and of
//! writing for each message, and how long one takes to become durable that waits alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dialtone_store::{Cipher, Encryption, Key, Options, RealDisk, Refused, Store, Urgency};

const MESSAGES: u64 = 2_000_000;
/// Messages that a turn hands over at once.
const TURN: u64 = 64;

/// CPU time of this thread, or of all.
fn cpu(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    let dir =
        std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("dialtone-append"), PathBuf::from);
    let cipher = match std::env::args().nth(2).as_deref() {
        Some("aes") => Some(Cipher::Aes256Gcm),
        Some("chacha") => Some(Cipher::ChaCha20Poly1305),
        _ => None,
    };
    let encryption = cipher.map(|cipher| Encryption { cipher, key: Key::new(b"key"), previous: None });
    let options = Options { encryption, ..Options::default() };
    let store = Store::open(Arc::new(RealDisk), &dir, options, &mut |_| {}).expect("the store opens");
    let writer = store.writer().expect("nobody has it");
    let writer = std::thread::spawn(move || {
        writer.run();
        cpu(rustix::time::ClockId::ThreadCPUTime)
    });
    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
    let group = batch.new_group(b"append");
    batch.submit();
    let body = [7; 128];
    let (began, began_cpu) = (Instant::now(), cpu(rustix::time::ClockId::ThreadCPUTime));
    let mut seq = 0;
    let mut last = store.position();
    while seq < MESSAGES {
        match store.batch(Urgency::Ordinary) {
            Ok(mut batch) => {
                for _ in 0..TURN {
                    seq += 1;
                    batch.message(group, seq, b"12345678orders.eu.1234", &[&body]);
                }
                last = batch.submit();
            }
            Err(Refused::Busy) => store.wait(last).expect("the store works"),
            Err(error) => panic!("{error}"),
        }
    }
    let submit = cpu(rustix::time::ClockId::ThreadCPUTime) - began_cpu;
    store.wait(last).expect("the store works");
    let all = began.elapsed();
    let mut alone: Vec<Duration> = (0..300)
        .map(|_| {
            seq += 1;
            let began = Instant::now();
            let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
            batch.message(group, seq, b"12345678orders.eu.1234", &[&body]);
            store.wait(batch.submit()).expect("the store works");
            began.elapsed()
        })
        .collect();
    alone.sort();
    drop(store);
    let write = writer.join().expect("the writer ends well");
    let each = |time: Duration| time.as_nanos() as f64 / MESSAGES as f64;
    println!(
        "messages of {} bytes, {TURN} a batch: submit {:.0} ns, write {:.0} ns CPU each",
        body.len(),
        each(submit),
        each(write)
    );
    println!("{:.0} messages a second durable", MESSAGES as f64 / all.as_secs_f64());
    println!("alone: durable after {:?} (median), {:?} (99 %)", alone[150], alone[297]);
    std::fs::remove_dir_all(&dir).expect("the folder can be removed");
}
