//! How many files this process may have open: many systems give programs a thousand to begin with, and a server's connection
//! takes one or two.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Most open files that are asked for: more than any door here has places for, with two files a connection.
const FILES: u64 = 16_384;

/// Lets this process open as many files as it may, at most [`FILES`].
pub fn allow_more() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Some(wanted) = wanted(current, maximum) {
        // Without it there are places for fewer connections; they are refused in time all the same.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// What the limit is to be, if it is to be another; `None` of the system's is no limit.
fn wanted(current: Option<u64>, maximum: Option<u64>) -> Option<u64> {
    let most = maximum.map_or(FILES, |maximum| maximum.min(FILES));
    current.filter(|current| *current < most).map(|_| most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_it_may_and_never_lowered() {
        assert_eq!(wanted(Some(1_024), Some(1 << 20)), Some(FILES));
        assert_eq!(wanted(Some(1_024), None), Some(FILES));
        assert_eq!(wanted(Some(1_024), Some(4_096)), Some(4_096));
        assert_eq!(wanted(Some(4_096), Some(4_096)), None);
        assert_eq!(wanted(Some(1 << 20), Some(1 << 20)), None);
        assert_eq!(wanted(None, None), None);
        allow_more();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let least = maximum.map_or(FILES, |maximum| maximum.min(FILES));
        assert!(current.is_none_or(|current| current >= least), "{current:?} of {maximum:?}");
    }
}
