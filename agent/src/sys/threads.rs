//! Threads as plain as the kernel's: no name, no handle, and no second stack for telling of an
//! overflow of the first, which would be memory to lock.

use std::io;

/// Starts a thread that nobody waits for. A panic in it is the end of the process, for which
/// others stand by.
pub fn spawn<F: FnOnce() + Send + 'static>(stack_bytes: usize, work: F) -> io::Result<()> {
    let work = Box::into_raw(Box::new(work));
    // SAFETY: an all-zero attribute is valid storage, and pthread_attr_init initialises it; the
    // closure is handed over to the thread, and taken back when there is none.
    unsafe {
        let mut how: libc::pthread_attr_t = std::mem::zeroed();
        let mut thread: libc::pthread_t = std::mem::zeroed();
        libc::pthread_attr_init(&raw mut how);
        libc::pthread_attr_setstacksize(&raw mut how, stack_bytes);
        libc::pthread_attr_setdetachstate(&raw mut how, libc::PTHREAD_CREATE_DETACHED);
        let error = libc::pthread_create(&raw mut thread, &raw const how, run::<F>, work.cast());
        libc::pthread_attr_destroy(&raw mut how);
        if error != 0 {
            drop(Box::from_raw(work));
            return Err(io::Error::from_raw_os_error(error));
        }
    }
    Ok(())
}

extern "C" fn run<F: FnOnce()>(work: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `spawn` has made it of a box, for this thread alone.
    let work = unsafe { Box::from_raw(work.cast::<F>()) };
    work();
    std::ptr::null_mut()
}
