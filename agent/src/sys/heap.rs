//! The agent's memory: blocks of a few sizes out of one piece that is part of the program.
//!
//! A C library that is made for little memory takes pages from the kernel for a handful of
//! blocks and gives them back with the last of them, thousands of instructions each time; of
//! a hold's processor time that was a tenth. What is large, and what no longer fits, is left
//! to the C library.
//!
//! No thread ever waits for another here: one that is refused the piece for the moment asks the
//! C library, or does without a block that it gives back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};

/// A hold of sixteen filesystems needs about half; all of it is locked in the holder.
const ARENA_BYTES: usize = 192 << 10;
const BLOCK_MIN: usize = 16;
const BLOCK_MAX: usize = 16 << 10;
/// One for each power of two between the two.
const CLASSES: usize = 11;

#[repr(C, align(16))]
struct Arena([u8; ARENA_BYTES]);

struct Shelves {
    /// Blocks that were given back; each holds the address of the next.
    free: [*mut u8; CLASSES],
    /// How much of the arena has been cut so far.
    cut: usize,
}

/// The allocator; there is one in a program.
pub struct Heap {
    arena: UnsafeCell<Arena>,
    shelves: UnsafeCell<Shelves>,
    taken: AtomicBool,
}

// SAFETY: `shelves` is only reached with `taken` in hand, the arena only through blocks that
// were handed out and not given back.
unsafe impl Sync for Heap {}

impl std::fmt::Debug for Heap {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Heap")
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// One of which nothing is used.
    #[must_use]
    pub const fn new() -> Self {
        let shelves = Shelves { free: [ptr::null_mut(); CLASSES], cut: 0 };
        Self {
            arena: UnsafeCell::new(Arena([0; ARENA_BYTES])),
            shelves: UnsafeCell::new(shelves),
            taken: AtomicBool::new(false),
        }
    }

    fn is_ours(&self, block: *mut u8) -> bool {
        let start = self.arena.get() as usize;
        (start..start + ARENA_BYTES).contains(&(block as usize))
    }

    /// What is done with the shelves, unless another thread is at them.
    fn with<T>(&self, work: impl FnOnce(&mut Shelves) -> T) -> Option<T> {
        if self.taken.swap(true, Acquire) {
            return None;
        }
        // SAFETY: whoever finds `taken` unset is alone until it is unset again.
        let done = work(unsafe { &mut *self.shelves.get() });
        self.taken.store(false, Release);
        Some(done)
    }

    fn take(&self, class: usize) -> *mut u8 {
        let cut = |shelves: &mut Shelves| {
            let block = shelves.free[class];
            if !block.is_null() {
                // SAFETY: a block that was given back is ours, aligned, and holds an address.
                shelves.free[class] = unsafe { block.cast::<*mut u8>().read() };
                return block;
            }
            let bytes = BLOCK_MIN << class;
            if ARENA_BYTES - shelves.cut < bytes {
                return ptr::null_mut();
            }
            // SAFETY: the block ends within the arena.
            let block = unsafe { self.arena.get().cast::<u8>().add(shelves.cut) };
            shelves.cut += bytes;
            block
        };
        self.with(cut).unwrap_or(ptr::null_mut())
    }
}

/// The size of the blocks that a layout gets one of; none for what is not ours to give.
fn class_of(layout: Layout) -> Option<usize> {
    let fits = layout.size() <= BLOCK_MAX && layout.align() <= BLOCK_MIN;
    let bytes = layout.size().max(BLOCK_MIN).next_power_of_two();
    fits.then(|| (bytes / BLOCK_MIN).ilog2() as usize)
}

// SAFETY: a block is handed out once until it is given back, is as large as its class, and as
// aligned as every size of one; everything else is the system's allocator's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = class_of(layout).map_or(ptr::null_mut(), |class| self.take(class));
        // SAFETY: as the caller promises.
        if block.is_null() { unsafe { System.alloc(layout) } } else { block }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = class_of(layout).map_or(ptr::null_mut(), |class| self.take(class));
        if block.is_null() {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the block is at least as large as the layout.
        unsafe { block.write_bytes(0, layout.size()) };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !self.is_ours(block) {
            // SAFETY: what is not from the arena is from there.
            return unsafe { System.dealloc(block, layout) };
        }
        let Some(class) = class_of(layout) else { return };
        self.with(|shelves| {
            // SAFETY: the caller has given the block up; it is aligned and has room for this.
            unsafe { block.cast::<*mut u8>().write(shelves.free[class]) };
            shelves.free[class] = block;
        });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if !self.is_ours(block) {
            // SAFETY: what is not from the arena is from there.
            return unsafe { System.realloc(block, layout, bytes) };
        }
        // SAFETY: the caller promises that the size is valid with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        if class_of(wanted) == class_of(layout) {
            return block;
        }
        // SAFETY: both blocks are live, distinct, and as large as what is copied.
        unsafe {
            let fresh = self.alloc(wanted);
            if !fresh.is_null() {
                fresh.copy_from_nonoverlapping(block, layout.size().min(bytes));
                self.dealloc(block, layout);
            }
            fresh
        }
    }
}
