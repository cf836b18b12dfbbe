//! The original's side of the interoperability test.
//!
//!   batpak-interop write DIR [--events N] [--entities N] [--segment-bytes N] [--batch-every N] [--abandon]
//!   batpak-interop random DIR SEED [--exotic]
//!   batpak-interop dump DIR
//!   batpak-interop open DIR
//!
//! `write` makes a store, the same for the same arguments but for its ids. Without `--abandon` it is closed cleanly.
//! `random` is one session of a random store, and tells on standard output what it did; `--exotic` adds payloads that JSON has no type for.
//! `dump` prints a store's events as the fixtures' `.jsonl` do, and on standard error by which route the original opened it
//! ("route: checkpoint" or "route: rebuild"). `open` tells how long opening took, and how much memory the process ever had, as JSON. Opening writes to the
//! directory: give it a copy.

mod random;

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use batpak::prelude::*;
use serde_json::{json, Value};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", directory, ref options @ ..] => Plan::parse(options).and_then(|plan| write(directory, &plan)),
        ["random", directory, seed] => seed.parse().map_err(Failure::from).and_then(|seed| random::session(directory, seed, false)),
        ["random", directory, seed, "--exotic"] => {
            seed.parse().map_err(Failure::from).and_then(|seed| random::session(directory, seed, true))
        }
        ["dump", directory] => dump(directory),
        ["open", directory] => open(directory),
        _ => Err("usage: batpak-interop write DIR [options] | random DIR SEED [--exotic] | dump DIR | open DIR".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("batpak-interop: {failure}");
            ExitCode::FAILURE
        }
    }
}

struct Plan {
    events: u64,
    entities: u64,
    segment_bytes: u64,
    /// After this many single appends comes a batch of five; 0 for none.
    batch_every: u64,
    /// End without closing: no footer on the last segment, no checkpoint.
    abandon: bool,
}

impl Plan {
    fn parse(options: &[&str]) -> Result<Self, Failure> {
        let mut plan = Plan { events: 100, entities: 7, segment_bytes: 16_384, batch_every: 10, abandon: false };
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            if *option == "--abandon" {
                plan.abandon = true;
                continue;
            }
            let number: u64 = rest.next().ok_or_else(|| format!("{option} needs a number"))?.parse()?;
            match *option {
                "--events" => plan.events = number,
                "--entities" => plan.entities = number.max(1),
                "--segment-bytes" => plan.segment_bytes = number,
                "--batch-every" => plan.batch_every = number,
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        Ok(plan)
    }
}

/// Entities and scopes with what is easily got wrong: other scripts, quotes, a name that is another's prefix.
fn coordinate(number: u64, entities: u64) -> Result<Coordinate, Failure> {
    let entity = match number % entities {
        0 => "user:1".to_owned(),
        1 => "user:10".to_owned(),
        2 => "日本語:東京".to_owned(),
        3 => "quote\"back\\slash".to_owned(),
        other => format!("entity:{other}"),
    };
    Ok(Coordinate::new(entity, ["acct", "billing", "🦇"][(number / 3 % 3) as usize])?)
}

fn payload(number: u64) -> Value {
    match number % 4 {
        0 => json!({ "n": number, "text": format!("event number {number}"), "big": u64::MAX - number, "negative": -(number as i64) }),
        1 => json!([number, "array payload", null, 1.5, { "nested": [true, false] }]),
        // Shapes that compaction of the original mistook for bytes, and the other way about.
        2 => json!([1, 2, 3]),
        _ => json!({ "empty": {}, "list": [], "none": null, "ratio": number as f64 / 3.0 }),
    }
}

fn kind(number: u64) -> EventKind {
    EventKind::custom([0x1, 0x2, 0xf][(number % 3) as usize], (number % 5) as u16)
}

fn write(directory: &str, plan: &Plan) -> Result<(), Failure> {
    // A clock of its own, so that times are the same in every run.
    let now_us = AtomicI64::new(1_700_000_000_000_000);
    let clock = Arc::new(move || now_us.fetch_add(400, Ordering::SeqCst));
    let config = StoreConfig::new(directory).with_segment_max_bytes(plan.segment_bytes).with_clock(Some(clock));
    let store = Store::open(config)?;
    let mut last: Option<AppendReceipt> = None;
    let mut number = 0;
    while number < plan.events {
        if plan.batch_every > 0 && number % (plan.batch_every + 5) == plan.batch_every && number + 5 <= plan.events {
            let mut items = Vec::new();
            for item in number..number + 5 {
                items.push(BatchAppendItem::new(coordinate(item, plan.entities)?, kind(item), &payload(item), AppendOptions::new(), CausationRef::None)?);
            }
            last = store.append_batch(items)?.pop();
            number += 5;
            continue;
        }
        let mut options = AppendOptions::new().with_flags((number % 16) as u8);
        if let (Some(cause), 0) = (&last, number % 3) {
            options = options.with_causation(cause.event_id).with_correlation(cause.event_id);
        }
        last = Some(store.append_with_options(&coordinate(number, plan.entities)?, kind(number), &payload(number), options)?);
        number += 1;
    }
    store.sync()?;
    if plan.abandon {
        std::process::exit(0);
    }
    store.close()?;
    Ok(())
}

fn dump(directory: &str) -> Result<(), Failure> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let opened = tracing::subscriber::with_default(subscriber, || Store::open(StoreConfig::new(directory)));
    let text = log.text();
    let store = opened?;
    eprintln!("route: {}", if text.contains("no valid checkpoint") { "rebuild" } else { "checkpoint" });
    let mut entries = store.query(&Region::all());
    entries.sort_by_key(|entry| entry.global_sequence);
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for entry in &entries {
        writeln!(output, "{}", row(&store, entry))?;
    }
    output.flush()?;
    Ok(())
}

/// Opens a store and tells what that took: for the bench.
fn open(directory: &str) -> Result<(), Failure> {
    let started = Instant::now();
    let store = Store::open(StoreConfig::new(directory))?;
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    let events = store.stats().event_count;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak_kb = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    println!("{}", json!({ "milliseconds": milliseconds, "peakMB": peak_kb.map(|kb| kb * 1024.0 / 1e6), "events": events }));
    // Closing would write a checkpoint, and is not what is measured.
    std::process::exit(0);
}

/// One event as a line of a fixture's `.jsonl` has it.
fn row(store: &Store, entry: &IndexEntry) -> Value {
    let mut row = json!({
        "event_id": id(entry.event_id),
        "correlation_id": id(entry.correlation_id),
        "causation_id": entry.causation_id.map(id),
        "entity": entry.coord.entity(),
        "scope": entry.coord.scope(),
        "kind": raw_kind(entry.kind),
        "wall_ms": entry.wall_ms,
        "clock": entry.clock,
        "prev_hash": hex(&entry.hash_chain.prev_hash),
        "event_hash": hex(&entry.hash_chain.event_hash),
        "segment_id": entry.disk_pos.segment_id,
        "offset": entry.disk_pos.offset,
        "length": entry.disk_pos.length,
        "global_sequence": entry.global_sequence,
    });
    match store.get(entry.event_id) {
        Ok(stored) => {
            let header = &stored.event.header;
            let position = &header.position;
            row["header"] = json!({
                "event_id": id(header.event_id),
                "content_hash": hex(&header.content_hash),
                "event_kind": raw_kind(header.event_kind),
                "flags": header.flags,
                "payload_size": header.payload_size,
                "timestamp_us": header.timestamp_us,
                "position": {
                    "wall_ms": position.wall_ms,
                    "counter": position.counter,
                    "depth": position.depth,
                    "lane": position.lane,
                    "sequence": position.sequence,
                },
            });
            row["payload"] = stored.event.payload;
        }
        Err(failure) => row["read_error"] = json!(failure.to_string()),
    }
    row
}

fn id(value: u128) -> String {
    format!("{value:032x}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn raw_kind(kind: EventKind) -> u16 {
    (u16::from(kind.category()) << 12) | kind.type_id()
}

/// What the crate logs while it opens a store: the only place where it says by which route.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
