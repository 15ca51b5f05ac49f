//! The agent's allocator: nobody's bytes are anybody else's, also when it is full and when
//! several threads are at it.

use std::alloc::{GlobalAlloc, Layout};

use stillpoint_agent::sys::Heap;

struct Block {
    at: *mut u8,
    layout: Layout,
    mark: u8,
}

impl Block {
    fn new(heap: &Heap, layout: Layout, mark: u8, zeroed: bool) -> Self {
        // SAFETY: no layout of this test is empty.
        let at = unsafe { if zeroed { heap.alloc_zeroed(layout) } else { heap.alloc(layout) } };
        assert!(!at.is_null() && at.addr().is_multiple_of(layout.align()), "{layout:?}");
        let block = Self { at, layout, mark };
        assert!(!zeroed || block.bytes().iter().all(|byte| *byte == 0), "{layout:?}");
        block.fill(0);
        block
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is live, of this size, and was written when it was made.
        unsafe { std::slice::from_raw_parts(self.at, self.layout.size()) }
    }

    fn fill(&self, from: usize) {
        // SAFETY: the block is live and of this size.
        unsafe { self.at.add(from).write_bytes(self.mark, self.layout.size() - from) };
    }

    fn check(&self) {
        assert!(self.bytes().iter().all(|byte| *byte == self.mark), "{:?}", self.layout);
    }

    fn resize(&mut self, heap: &Heap, bytes: usize) {
        let kept = self.layout.size().min(bytes);
        // SAFETY: the block is live, and the new size is valid with its alignment.
        self.at = unsafe { heap.realloc(self.at, self.layout, bytes) };
        self.layout = Layout::from_size_align(bytes, self.layout.align()).unwrap();
        // SAFETY: this much is of the block that was written.
        let old = unsafe { std::slice::from_raw_parts(self.at, kept) };
        assert!(old.iter().all(|byte| *byte == self.mark));
        self.fill(kept);
    }

    fn end(self, heap: &Heap) {
        self.check();
        // SAFETY: the block is live and not used again.
        unsafe { heap.dealloc(self.at, self.layout) };
    }
}

/// Numbers that look random and are the same each time.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 40).unwrap()
}

/// As many blocks as are far more than the arena has room for, of sizes up to beyond its own.
fn churn(heap: &Heap, mut seed: u64) {
    let mut blocks: Vec<Block> = Vec::new();
    for step in 0..20_000 {
        match next(&mut seed) % 5 {
            0 | 1 => {
                let bytes = 1 + next(&mut seed) % (16 << (next(&mut seed) % 12));
                let layout = Layout::from_size_align(bytes, 1 << (next(&mut seed) % 7)).unwrap();
                let mark = u8::try_from(step % 250).unwrap() + 1;
                blocks.push(Block::new(heap, layout, mark, step % 3 == 0));
            }
            2 if !blocks.is_empty() => {
                let at = next(&mut seed) % blocks.len();
                blocks[at].resize(heap, 1 + next(&mut seed) % 40_000);
            }
            _ if blocks.len() > 40 => {
                let at = next(&mut seed) % blocks.len();
                blocks.swap_remove(at).end(heap);
            }
            _ => {}
        }
    }
    blocks.into_iter().for_each(|block| block.end(heap));
}

#[test]
fn nobodys_bytes_are_anybody_elses_also_beyond_what_there_is_room_for() {
    let heap = Box::new(Heap::new());
    churn(&heap, 1);
}

#[test]
fn several_threads_at_it_do_not_wait_and_do_not_meet() {
    static HEAP: Heap = Heap::new();
    let threads: Vec<_> =
        (0..4).map(|seed| std::thread::spawn(move || churn(&HEAP, seed))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn what_is_given_back_is_what_the_next_gets() {
    let heap = Box::new(Heap::new());
    let layout = Layout::from_size_align(100, 8).unwrap();
    let first = Block::new(&heap, layout, 1, false);
    let (at, other) = (first.at, Block::new(&heap, layout, 2, false));
    first.end(&heap);
    let again = Block::new(&heap, Layout::from_size_align(128, 16).unwrap(), 3, true);
    assert_eq!(again.at, at);
    other.end(&heap);
    again.end(&heap);
}
