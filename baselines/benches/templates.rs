//! What mining templates costs: time for each path at three sizes (linear, if the columns are alike), and how much memory
//! grows beyond the paths themselves; beside the least that can be done with the same paths in the same run, which is to sort
//! them and to put them into a hash set.
//!
//! Run it with `cargo bench -p baselines --bench templates`.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baselines::path::FilePath;
use baselines::templates::{Mined, Options, mine};

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
const ROUNDS: usize = 5;

/// Counts the bytes that are allocated, and remembers the most there have been.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: both methods only count, and leave the work to the system's allocator with what they were given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; the block came from `System.alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Middle time of all rounds, and the most bytes beyond what there was before.
struct Cost {
    time: Duration,
    bytes: usize,
}

fn main() {
    println!(
        "Paths are in no order; medians of {ROUNDS} rounds. Bytes are the most at any moment beyond the paths themselves.\n"
    );
    println!(
        "| shape | paths | templates | mine, ms | ns a path | bytes a path | sort, ms | hash set, ms | mine / sort | mine / hash set |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (name, shape) in SHAPES {
        for size in SIZES {
            report(name, &shuffled(shape, size));
        }
    }
}

fn report(name: &str, paths: &[FilePath]) {
    let mut templates = 0;
    let mined = measure(|| {
        let mined: Mined = mine(paths, &Options::default());
        templates = mined.templates.len();
        mined
    });
    let sorted = measure(|| {
        let mut sorted: Vec<&FilePath> = paths.iter().collect();
        sorted.sort_unstable();
        sorted
    });
    let hashed = measure(|| paths.iter().collect::<HashSet<&FilePath>>());
    let [mine, sort, hash] = [&mined, &sorted, &hashed].map(|cost| cost.time.as_secs_f64() * 1e3);
    #[expect(clippy::cast_precision_loss, reason = "a million is far below 2^53")]
    let [count, bytes] = [paths.len() as f64, mined.bytes as f64];
    println!(
        "| {name} | {} | {templates} | {mine:.1} | {:.0} | {:.0} | {sort:.1} | {hash:.1} | {:.1} | {:.1} |",
        paths.len(),
        mine * 1e6 / count,
        bytes / count,
        mine / sort,
        mine / hash
    );
}

fn measure<T>(mut run: impl FnMut() -> T) -> Cost {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = cpu_time();
            let made = black_box(run());
            let time = cpu_time().saturating_sub(start);
            drop(made);
            time
        })
        .collect();
    times.sort();
    Cost {
        time: times.get(ROUNDS / 2).copied().unwrap(),
        bytes: PEAK.load(Ordering::Relaxed).saturating_sub(before),
    }
}

/// How long this thread has been running: unlike the time of day, that is the same on a busy machine.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux, and `time` is written to and outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "the clock of this thread cannot be read");
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

type Shape = fn(u64) -> String;

/// What the paths of a node look like, one shape at a time and all at once.
const SHAPES: [(&str, Shape); 5] = [
    ("everything", everything),
    ("nothing folds", literal),
    ("one flat directory", flat),
    ("directories by hash", shards),
    ("deep, all levels fold", deep),
];

fn everything(number: u64) -> String {
    match number % 8 {
        0 => literal(number),
        1 => flat(number),
        2 => shards(number),
        3 => deep(number),
        4 => format!(
            "/proc/{}/{}",
            1 + number / 64,
            ["status", "stat", "maps", "cmdline"]
                .get(usize::try_from(number / 8 % 4).unwrap())
                .unwrap()
        ),
        5 => format!("/tmp/tmp{}", base36(number, 8)),
        6 => format!(
            "/var/log/pods/shop_web-{}-{}_{}/web/{}.log",
            safe(number / 64, 9),
            safe(number, 5),
            uuid(number),
            number % 3
        ),
        _ => format!(
            "/var/lib/postgresql/16/main/base/{}/{}",
            16384 + number % 7,
            2600 + number
        ),
    }
}

fn literal(number: u64) -> String {
    let word = |number: u64| -> String {
        number
            .to_string()
            .bytes()
            .map(|digit| char::from(b'g' + (digit - b'0')))
            .collect()
    };
    format!(
        "/usr/lib/python3/dist-packages/package_{}/module_{}/part_{}.py",
        word(number % 97),
        word(number / 97 % 101),
        word(number)
    )
}

fn flat(number: u64) -> String {
    format!("/var/lib/php/sessions/sess_{}", base36(number, 26))
}

fn shards(number: u64) -> String {
    let hash = format!("{:016x}{:016x}", mix(number), mix(number ^ 0xabcd));
    let (first, rest) = hash.split_at(2);
    let (second, _) = rest.split_at(2);
    format!("/root/.npm/_cacache/content-v2/sha512/{first}/{second}/{hash}{hash}")
}

fn deep(number: u64) -> String {
    format!(
        "/srv/data/tenants/{}/{}/day-2026-{:02}-{:02}/part-{:05}.parquet",
        number % 50,
        uuid(number % 1000),
        number % 12 + 1,
        number % 28 + 1,
        number
    )
}

fn uuid(number: u64) -> String {
    let (high, low) = (mix(number), mix(number + 1));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn base36(number: u64, length: usize) -> String {
    letters(number, length, b"abcdefghijklmnopqrstuvwxyz0123456789")
}

fn safe(number: u64, length: usize) -> String {
    letters(number, length, b"bcdfghjklmnpqrstvwxz2456789")
}

fn letters(number: u64, length: usize, alphabet: &[u8]) -> String {
    let index = |place: usize| usize::try_from(mix(number ^ (place as u64) << 40) % alphabet.len() as u64).unwrap();
    (0..length)
        .map(|place| char::from(*alphabet.get(index(place)).unwrap()))
        .collect()
}

/// A number that looks random and is the same each time: the finalizer of splitmix64.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// So many paths, in an order that is no order.
fn shuffled(shape: Shape, size: u64) -> Vec<FilePath> {
    let mut numbers: Vec<u64> = (0..size).collect();
    numbers.sort_by_key(|number| mix(!*number));
    numbers
        .into_iter()
        .map(|number| FilePath::canonical(shape(number).into_bytes()))
        .collect()
}
