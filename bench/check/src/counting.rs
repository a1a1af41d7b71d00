use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// The product's allocator with counters: allocations of this thread, and the bytes that all threads hold.
pub struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The number of allocations of this thread.
pub fn calls() -> u64 {
    CALLS.get()
}

/// Bytes that all threads hold.
pub fn held() -> i64 {
    HELD.load(Relaxed)
}

fn count(bytes: usize) {
    // A thread that ends frees memory after its counters are gone.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    HELD.fetch_add(bytes.cast_signed() as i64, Relaxed);
}

// SAFETY: everything is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed() as i64, Relaxed);
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        HELD.fetch_sub(layout.size().cast_signed() as i64, Relaxed);
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}
