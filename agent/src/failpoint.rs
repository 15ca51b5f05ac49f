//! Places where a test can make a process die, stop or wait: `STILLPOINT_FAIL_POINT` is
//! `<place>=kill`, `<place>=stop` or `<place>=<milliseconds>`.
//!
//! Compiled in debug builds only; in a release build [`hit`] is empty.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;

    use crate::sys;

    enum Act {
        Raise(i32),
        Wait(std::time::Duration),
    }

    static POINT: OnceLock<Option<(String, Act)>> = OnceLock::new();

    fn parse() -> Option<(String, Act)> {
        let setting = std::env::var("STILLPOINT_FAIL_POINT").ok()?;
        let (place, act) = setting.split_once('=')?;
        let act = match act {
            "kill" => Act::Raise(libc::SIGKILL),
            "stop" => Act::Raise(libc::SIGSTOP),
            ms => Act::Wait(std::time::Duration::from_millis(ms.parse().ok()?)),
        };
        Some((place.to_owned(), act))
    }

    pub(super) fn load() {
        POINT.get_or_init(parse);
    }

    pub(super) fn hit(place: &str) {
        // Reading the environment allocates, which is why `load` comes before any freeze.
        let Some(Some((wanted, act))) = POINT.get() else { return };
        if wanted != place {
            return;
        }
        match act {
            Act::Raise(signal) => sys::raise(*signal),
            Act::Wait(time) => std::thread::sleep(*time),
        }
    }
}

/// Reads the setting, before anything is frozen.
pub fn load() {
    #[cfg(debug_assertions)]
    armed::load();
}

/// Does what the setting says, if it names this place.
pub fn hit(place: &'static str) {
    #[cfg(debug_assertions)]
    armed::hit(place);
    #[cfg(not(debug_assertions))]
    let _ = place;
}
