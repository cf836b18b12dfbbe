//! One session of a random store, all of it drawn from a seed but for the ids that the crate makes.
//!
//! What happened is told line by line on standard output, each line before the next thing is done, so that a session that dies on purpose
//! leaves the truth about itself: its plan, each receipt with what was given for it, what compaction was shown and what it kept.

use std::io::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use batpak::prelude::*;
use batpak::store::fault::{FaultInjector, InjectionPoint};
use serde::ser::{Serialize, SerializeMap, SerializeTuple, Serializer};
use serde_json::{json, Value};

use crate::{hex, id, raw_kind, Failure};

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A payload: JSON, or what JSON has no type for.
enum Payload {
    Json(Value),
    Bytes(Vec<u8>),
    Floats([f32; 2], [f64; 3]),
    IntegerKeys(Vec<(i64, u8)>),
    Unit,
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Payload::Json(value) => value.serialize(serializer),
            Payload::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Payload::Floats(singles, doubles) => {
                let mut tuple = serializer.serialize_tuple(5)?;
                for single in singles {
                    tuple.serialize_element(single)?;
                }
                for double in doubles {
                    tuple.serialize_element(double)?;
                }
                tuple.end()
            }
            Payload::IntegerKeys(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Payload::Unit => serializer.serialize_unit(),
        }
    }
}

fn payload(random: &mut Random, exotic: bool) -> Payload {
    if exotic && random.chance(15) {
        return match random.below(4) {
            0 => Payload::Bytes((0..random.below(40)).map(|byte| byte as u8 * 7).collect()),
            1 => Payload::Floats([1.5, f32::MAX], [f64::NAN, f64::INFINITY, -0.0]),
            2 => Payload::IntegerKeys(vec![(1, 2), (-7, 3), (1 << 40, 4)]),
            _ => Payload::Unit,
        };
    }
    Payload::Json(json_payload(random))
}

fn json_payload(random: &mut Random) -> Value {
    match random.below(18) {
        0 => json!([1, 2, 3]),
        1 => Value::Array((0..random.below(40)).map(|_| json!(random.below(256))).collect()),
        2 => json!({ "text": "ж".repeat(random.below(400) as usize), "emoji": "🦇\u{0}\u{7f}\u{2028}" }),
        3 => Value::Null,
        4 => json!(random.chance(50)),
        5 => json!(*random.pick(&[0u64, 127, 128, 255, 256, 65_535, 65_536, 1 << 32, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX])),
        6 => json!(*random.pick(&[-1i64, -32, -33, -128, -129, -32_769, i64::from(i32::MIN) - 1, -(1 << 53) - 1, i64::MIN])),
        7 => json!(*random.pick(&[0.1, -0.0, 1e308, 5e-324, 1.0, 2.5e15, f64::from(f32::MAX)])),
        8 => json!({}),
        9 => json!([]),
        10 => json!("plain"),
        11 => json!({ "__proto__": { "polluted": 1 }, "constructor": 2, "toString": null, "10": 1, "9": 2, "": [""] }),
        12 => (0..random.below(30)).fold(json!("deep"), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "in": inner }) }),
        13 => json!([[1, 2, 3], [], [255, 256, -1], [1.0, 2]]),
        14 => json!([random.below(300), null]),
        15 if random.chance(20) => Value::Array((0..20_000).map(|number| json!(number % 256)).collect()),
        15 => json!("x".repeat(if random.chance(20) { 100_000 } else { 300 })),
        _ => json!({ "n": random.next(), "list": [1, "two", null, 3.5, { "four": [5] }], "m": { "b": 1, "a": 2 } }),
    }
}

const SCOPES: [&str; 4] = ["acct", "billing", "🦇", "user:1"];

fn coordinate(random: &mut Random, entities: u64) -> Result<Coordinate, Failure> {
    let entity = match random.below(entities) {
        0 => "user:1".to_owned(),
        1 => "user:10".to_owned(),
        2 => "日本語:東京".to_owned(),
        3 => "quote\"back\\slash\n\u{0}".to_owned(),
        4 => "_batch".to_owned(),
        5 => "acct".to_owned(),
        6 => "e".repeat(1024),
        7 => " ".to_owned(),
        8 => "user".to_owned(),
        9 => "Ärger".to_owned(),
        10 => "A\u{308}rger".to_owned(),
        other => format!("entity:{other}"),
    };
    let scope = if random.chance(5) { "_system" } else { *random.pick(&SCOPES) };
    Ok(Coordinate::new(entity, scope)?)
}

const CONSTANT_KINDS: [EventKind; 8] = [
    EventKind::DATA,
    EventKind::SYSTEM_INIT,
    EventKind::SYSTEM_HEARTBEAT,
    EventKind::SYSTEM_CHECKPOINT,
    EventKind::EFFECT_ERROR,
    EventKind::EFFECT_CANCEL,
    EventKind::TOMBSTONE,
    EventKind::SYSTEM_SHUTDOWN,
];

fn kind(random: &mut Random) -> EventKind {
    if random.chance(15) {
        return *random.pick(&CONSTANT_KINDS);
    }
    let category = *random.pick(&[1u8, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15]);
    EventKind::custom(category, *random.pick(&[0u16, 1, 2, 0xffe, 0xfff]))
}

/// Fails one batch somewhere on its way, as a full disk would.
struct FailBatches {
    random: Mutex<Random>,
    percent: u64,
}

impl FaultInjector for FailBatches {
    fn check(&self, point: InjectionPoint) -> Option<StoreError> {
        let mut random = self.random.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_batch = matches!(
            point,
            InjectionPoint::BatchStart { .. }
                | InjectionPoint::BatchBeginWritten { .. }
                | InjectionPoint::BatchItemWritten { .. }
                | InjectionPoint::BatchItemsComplete { .. }
        );
        (is_batch && random.chance(self.percent)).then(|| StoreError::FaultInjected(format!("{point:?}")))
    }
}

fn tell(line: &Value) {
    let mut output = std::io::stdout().lock();
    let told = writeln!(output, "{line}").and_then(|()| output.flush());
    // Without the truth there is nothing to compare.
    assert!(told.is_ok(), "standard output is closed");
}

struct Given<'a> {
    coordinate: &'a Coordinate,
    kind: EventKind,
    flags: u8,
    correlation: Option<u128>,
    causation: Option<u128>,
    payload: &'a [u8],
}

fn tell_receipt(receipt: &AppendReceipt, given: &Given<'_>) {
    tell(&json!({ "event": {
        "event_id": id(receipt.event_id),
        "correlation_id": id(given.correlation.unwrap_or(receipt.event_id)),
        "causation_id": given.causation.map(id),
        "entity": given.coordinate.entity(),
        "scope": given.coordinate.scope(),
        "kind": raw_kind(given.kind),
        "flags": given.flags,
        "payload": hex(given.payload),
        "global_sequence": receipt.sequence,
        "segment_id": receipt.disk_pos.segment_id,
        "offset": receipt.disk_pos.offset,
        "length": receipt.disk_pos.length,
    } }));
}

/// Opens the store, or makes it, does what the seed says, and ends as the seed says. `exotic`: also payloads that JSON has no type for.
pub fn session(directory: &str, seed: u64, exotic: bool) -> Result<(), Failure> {
    let mut random = Random::new(seed);
    let events = *random.pick(&[0u64, 1, 3, 12, 40, 120]);
    let entities = *random.pick(&[1u64, 3, 12, 40]);
    let segment_bytes = *random.pick(&[1u64, 400, 2_000, 16_384, 100_000_000]);
    let end = *random.pick(&["close", "close", "close", "drop", "abort", "abort", "timer"]);
    let compact = *random.pick(&["none", "none", "none", "merge", "retention", "tombstone"]);
    let checkpoint = random.chance(85);
    let keyed = random.chance(20);
    let batches = *random.pick(&[0u64, 10, 40]);
    let faults = *random.pick(&[0u64, 0, 0, 10]);
    let backwards = random.chance(20);
    let sync_mode = if random.chance(50) { SyncMode::SyncAll } else { SyncMode::SyncData };
    tell(&json!({ "plan": {
        "seed": seed, "events": events, "entities": entities, "segment_bytes": segment_bytes, "end": end, "compact": compact,
        "checkpoint": checkpoint, "keyed": keyed, "batches": batches, "faults": faults, "backwards": backwards,
    } }));

    let now_us = AtomicI64::new(1_700_000_000_000_000 + random.below(1 << 40) as i64);
    let jumps = Mutex::new(Random::new(seed ^ 1));
    let clock = Arc::new(move || {
        let mut jumps = jumps.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let step = if backwards && jumps.chance(20) { -5_000_000 } else { jumps.below(900) as i64 };
        now_us.fetch_add(step, Ordering::SeqCst)
    });
    let mut config = StoreConfig::new(directory).with_segment_max_bytes(segment_bytes).with_clock(Some(clock)).with_sync_mode(sync_mode);
    config.index.enable_checkpoint = checkpoint;
    if keyed {
        config.batch.group_commit_max_batch = 8;
    }
    if faults > 0 {
        config.fault_injector = Some(Arc::new(FailBatches { random: Mutex::new(Random::new(seed ^ 2)), percent: faults }));
    }
    let store = Store::open(config)?;
    if end == "timer" {
        let delay = std::time::Duration::from_micros(random.below(60_000));
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            std::process::abort();
        });
    }
    let compact_at = if compact == "none" { u64::MAX } else { random.below(events + 1) };
    let mut ids: Vec<u128> = Vec::new();
    let mut number = 0;
    while number < events {
        if number >= compact_at && number < compact_at + 12 && compact != "none" {
            // A key that named a removed event makes a new one.
            let gone = run_compaction(&store, compact, seed)?;
            ids.retain(|known| !gone.contains(&id(*known)));
            number += 12;
            continue;
        }
        if random.chance(batches) {
            number += append_batch(&store, &mut random, entities, &mut ids, exotic)?;
        } else {
            append(&store, &mut random, entities, &mut ids, keyed, exotic)?;
            number += 1;
        }
        if random.chance(3) {
            store.sync()?;
        }
    }
    if compact != "none" && random.chance(40) {
        run_compaction(&store, compact, seed)?;
    }
    match end {
        "close" => {
            let closed = store.close().map(|_| ());
            tell(&json!({ "closed": closed.is_ok() }));
        }
        "drop" => drop(store),
        _ => {
            tell(&json!({ "aborted": true }));
            std::process::abort();
        }
    }
    Ok(())
}

fn options(random: &mut Random, ids: &[u128]) -> AppendOptions {
    let mut options = AppendOptions::new();
    if random.chance(30) {
        options = options.with_flags(random.below(256) as u8);
    }
    if !ids.is_empty() && random.chance(40) {
        options = options.with_causation(*random.pick(ids));
        if random.chance(60) {
            options = options.with_correlation(*random.pick(ids));
        }
    }
    if random.chance(5) {
        // Neither made by the crate nor there.
        options = options.with_causation(*random.pick(&[1u128, 7, u128::MAX, 1 << 64])).with_correlation(u128::from(random.next()) << 64);
    }
    options
}

fn append(store: &Store, random: &mut Random, entities: u64, ids: &mut Vec<u128>, keyed: bool, exotic: bool) -> Result<(), Failure> {
    static KEYS: AtomicU64 = AtomicU64::new(1);
    let coordinate = coordinate(random, entities)?;
    let kind = kind(random);
    let payload = payload(random, exotic);
    let mut options = options(random, ids);
    if keyed || random.chance(10) {
        let fresh = u128::from(KEYS.fetch_add(1, Ordering::SeqCst));
        let key = match random.below(5) {
            // Small ones are ids of batch markers too.
            0 => fresh,
            1 => fresh << 64,
            2 => (fresh << 64) | 0xffff,
            3 if !ids.is_empty() => *random.pick(ids),
            _ => (u128::from(random.next()) << 64) | u128::from(random.next()),
        };
        options = options.with_idempotency(key);
    }
    if !keyed && random.chance(5) {
        options = options.with_cas(random.below(4) as u32);
    }
    let bytes = rmp_serde::to_vec_named(&payload)?;
    match store.append_with_options(&coordinate, kind, &payload, options) {
        Ok(receipt) => {
            if ids.contains(&receipt.event_id) {
                return Ok(());
            }
            ids.push(receipt.event_id);
            let given = Given {
                coordinate: &coordinate,
                kind,
                flags: options.flags,
                correlation: options.correlation_id,
                causation: options.causation_id,
                payload: &bytes,
            };
            tell_receipt(&receipt, &given);
        }
        Err(failure) => tell(&json!({ "refused": failure.to_string() })),
    }
    Ok(())
}

fn append_batch(store: &Store, random: &mut Random, entities: u64, ids: &mut Vec<u128>, exotic: bool) -> Result<u64, Failure> {
    let size = *random.pick(&[1u64, 2, 3, 5, 20]);
    let mut items = Vec::new();
    for item in 0..size {
        let causation = match random.below(4) {
            0 if item > 0 => CausationRef::PriorItem(random.below(item) as usize),
            // Refused once sequences were reserved: they are burned.
            1 if random.chance(5) => CausationRef::PriorItem(99),
            2 if !ids.is_empty() => CausationRef::Absolute(*random.pick(ids)),
            _ => CausationRef::None,
        };
        let mut options = options(random, ids);
        options.flags = 0;
        items.push(BatchAppendItem::new(coordinate(random, entities)?, kind(random), &payload(random, exotic), options, causation)?);
    }
    match store.append_batch(items.clone()) {
        Ok(receipts) => {
            for (item, receipt) in items.iter().zip(&receipts) {
                let causation = match item.causation {
                    CausationRef::None => item.options.causation_id,
                    CausationRef::Absolute(id) => Some(id),
                    CausationRef::PriorItem(prior) => Some(receipts[prior].event_id),
                };
                let given = Given {
                    coordinate: &item.coord,
                    kind: item.kind,
                    flags: 0,
                    correlation: item.options.correlation_id,
                    causation,
                    payload: &item.payload_bytes,
                };
                tell_receipt(receipt, &given);
                ids.push(receipt.event_id);
            }
        }
        Err(failure) => tell(&json!({ "refused": failure.to_string() })),
    }
    Ok(size)
}

/// Gives the ids of the events that it removed.
fn run_compaction(store: &Store, strategy: &str, seed: u64) -> Result<Vec<String>, Failure> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let gone = Arc::new(Mutex::new(Vec::new()));
    let (keeping, losing) = (kept.clone(), gone.clone());
    let percent = [10, 50, 90][(seed % 3) as usize];
    let choice = Mutex::new(Random::new(seed ^ 3));
    let predicate: Box<dyn Fn(&StoredEvent<Value>) -> bool + Send> = Box::new(move |stored| {
        let keep = !choice.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).chance(percent);
        let list = if keep { &keeping } else { &losing };
        list.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(id(stored.event.header.event_id));
        keep
    });
    let strategy_of = match strategy {
        "merge" => CompactionStrategy::Merge,
        "retention" => CompactionStrategy::Retention(predicate),
        _ => CompactionStrategy::Tombstone(predicate),
    };
    // All that stands before the newest segment is deleted, whether or not it was shown.
    tell(&json!({ "compacting": { "strategy": strategy, "active": newest_segment(&store.diagnostics().data_dir)? } }));
    let outcome = store.compact(&CompactionConfig { strategy: strategy_of, min_segments: 2 });
    let list = |of: &Mutex<Vec<String>>| of.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    tell(&json!({ "compacted": {
        "strategy": strategy,
        "removed_segments": outcome.as_ref().map(|result| result.segments_removed).unwrap_or(0),
        "failed": outcome.as_ref().err().map(ToString::to_string),
        "kept": list(&kept),
        "gone": list(&gone),
    } }));
    Ok(if strategy == "retention" && outcome.is_ok() { list(&gone) } else { Vec::new() })
}

fn newest_segment(directory: &std::path::Path) -> Result<u64, Failure> {
    let mut newest = 0;
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".fbat")).and_then(|stem| stem.parse().ok());
        newest = newest.max(number.unwrap_or(0));
    }
    Ok(newest)
}
