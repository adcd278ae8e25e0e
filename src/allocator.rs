//! The allocator of the program, and how freed memory gets from it to the system.
//!
//! mimalloc gives every thread a heap of its own. What other threads free in it is found only by the thread
//! itself, so a thread that has nothing to do holds on to memory that nobody uses. Under a limit that is
//! memory missed elsewhere: then every thread looks after its heap before it waits for work.
//!
//! The size of the pages that memory comes in is decided here, too.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::memory::{MemoryWatch, anonymous_bytes};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// mimalloc's own function: returns the freed pages of the calling thread, and all that no thread
    /// holds any more, to the system. It may be called at any time.
    safe fn mi_collect(force: bool);
}

/// Milliseconds between two looks at memory that could be given back.
const GIVE_BACK_MS: u64 = 500;
/// So long an idle thread of the blocking pool waits for work under a limit: its heap ends with it.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// A process that holds no more than so many bytes takes memory in small pages.
const SMALL_PROCESS_BYTES: u64 = 64 << 20;
/// Time between two looks at how large the process is, while it is small.
const SIZE_LOOK: Duration = Duration::from_millis(250);

/// Returns freed memory to the system.
pub(crate) fn give_memory_back() {
    mi_collect(true);
}

/// Allows the system to hand out memory in huge pages from now on, or forbids it. Of a huge page all two
/// megabytes are cleared and count as held once a single byte is used, and what the allocator has never
/// used of it is never given back. Tells if the system did so.
#[cfg(target_os = "linux")]
fn allow_huge_pages(allowed: bool) -> bool {
    use std::ffi::{c_int, c_ulong};
    unsafe extern "C" {
        /// The system's function, prctl(2).
        fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
    }
    /// `PR_SET_THP_DISABLE`.
    const DISABLE_HUGE_PAGES: c_int = 41;
    // SAFETY: this option takes no pointers and changes nothing but how pages are backed.
    unsafe { prctl(DISABLE_HUGE_PAGES, c_ulong::from(!allowed), 0, 0, 0) == 0 }
}

/// Elsewhere nobody is asked.
#[cfg(not(target_os = "linux"))]
fn allow_huge_pages(_: bool) -> bool {
    true
}

/// Small pages while the process is small: half the memory, and half the work or less for the
/// first samples. A large one is faster with huge pages, and hardly larger; what it holds in small ones by then
/// the system puts together in time.
fn begin_with_small_pages() -> std::io::Result<()> {
    if !allow_huge_pages(false) {
        return Ok(());
    }
    let wait = || {
        while anonymous_bytes().is_some_and(|bytes| bytes <= SMALL_PROCESS_BYTES) {
            std::thread::sleep(SIZE_LOOK);
        }
        allow_huge_pages(true);
    };
    std::thread::Builder::new().name("pages".to_owned()).spawn(wait).map(drop)
}

/// The runtime of the server. Under a limit its threads give back what they do not need.
pub(crate) fn runtime(memory: &Arc<MemoryWatch>) -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all();
    if memory.limit() == 0 {
        begin_with_small_pages()?;
        return builder.build();
    }
    if !allow_huge_pages(false) {
        tracing::warn!("cannot switch huge pages off: more memory is held than is used");
    }
    let watch = Arc::clone(memory);
    builder.on_thread_park(move || before_waiting(&watch)).thread_keep_alive(KEEP_ALIVE);
    let runtime = builder.build()?;
    let (watch, handle) = (Arc::clone(memory), runtime.handle().clone());
    std::thread::Builder::new().name("give-back".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(GIVE_BACK_MS));
            if watch.is_worth_giving_back() {
                give_memory_back();
                // A thread that waits already looks again when it is woken.
                (0..handle.metrics().num_workers()).for_each(|_| drop(handle.spawn(async {})));
            }
        }
    })?;
    Ok(runtime)
}

/// What a thread of the runtime does before it waits for work.
fn before_waiting(memory: &MemoryWatch) {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let is_soon = |last: Instant| last.elapsed() < Duration::from_millis(GIVE_BACK_MS / 2);
    if !LAST.get().is_some_and(is_soon) && memory.is_worth_giving_back() {
        give_memory_back();
        LAST.set(Some(Instant::now()));
    }
}
