//! The allocator of the program, and how freed memory gets from it to the system.
//!
//! mimalloc gives every thread a heap of its own. What other threads free in it is found only by the thread
//! itself, so a thread that has nothing to do holds on to memory that nobody uses. Under a limit that is
//! memory missed elsewhere: then every thread looks after its heap before it waits for work.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::memory::MemoryWatch;
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

/// Returns freed memory to the system.
pub(crate) fn give_memory_back() {
    mi_collect(true);
}

/// Has the system hand out memory in small pages. Of a huge one all two megabytes count as held once a
/// single byte is, and what the allocator has never used of it is never given back.
#[cfg(target_os = "linux")]
fn use_small_pages() {
    use std::ffi::{c_int, c_ulong};
    unsafe extern "C" {
        /// The system's function, prctl(2).
        fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
    }
    /// `PR_SET_THP_DISABLE`.
    const DISABLE_HUGE_PAGES: c_int = 41;
    // SAFETY: this option takes no pointers and changes nothing but how pages are backed.
    let refused = unsafe { prctl(DISABLE_HUGE_PAGES, 1, 0, 0, 0) } != 0;
    if refused {
        tracing::warn!("cannot switch huge pages off: more memory is held than is used");
    }
}

/// Elsewhere nobody is asked.
#[cfg(not(target_os = "linux"))]
fn use_small_pages() {}

/// The runtime of the server. Under a limit its threads give back what they do not need.
pub(crate) fn runtime(memory: &Arc<MemoryWatch>) -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all();
    if memory.limit() == 0 {
        return builder.build();
    }
    use_small_pages();
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
