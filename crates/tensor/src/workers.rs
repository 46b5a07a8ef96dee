//! Threads for independent pieces of work. Integer sums have no order, so neither the number of threads
//! nor who takes which piece shows in the result.

/// A fixed number of threads.
#[derive(Debug, Default)]
pub struct Workers {
    #[cfg(feature = "threads")]
    pool: Option<rayon::ThreadPool>,
}

impl Workers {
    /// Works on the caller's thread alone.
    #[must_use]
    pub fn one() -> Self {
        Self::default()
    }

    /// `threads` threads; without the feature `threads`, the caller's alone.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn new(threads: usize) -> crate::Result<Self> {
        #[cfg(feature = "threads")]
        if threads > 1 {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
                    crate::Error::new(
                        "no threads to compute with",
                        error.to_string(),
                        "Ask for fewer threads",
                    )
                })?;
            return Ok(Self { pool: Some(pool) });
        }
        let _ = threads;
        Ok(Self::one())
    }

    /// How many threads work.
    #[must_use]
    pub fn count(&self) -> usize {
        #[cfg(feature = "threads")]
        if let Some(pool) = &self.pool {
            return pool.current_num_threads();
        }
        1
    }

    /// Does `work` on one of the threads. What it gives to [`each`](Self::each) begins at once and is not handed over to a
    /// thread that sleeps: a token has hundreds of such pieces, none of which takes longer than waking somebody does.
    pub fn within<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        #[cfg(feature = "threads")]
        if let Some(pool) = &self.pool {
            return pool.install(work);
        }
        work()
    }

    /// Does `work` to every item, each once, in any order.
    pub fn each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync + Send) {
        #[cfg(feature = "threads")]
        if let Some(pool) = &self.pool
            && items.len() > 1
        {
            use rayon::iter::{
                IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator,
            };
            pool.install(|| items.par_iter_mut().with_max_len(1).for_each(work));
            return;
        }
        items.iter_mut().for_each(work);
    }
}

#[cfg(all(test, feature = "threads"))]
mod tests {
    use std::{panic, thread};

    use super::*;

    #[test]
    fn work_is_done_on_one_of_the_threads_and_its_panic_is_the_callers() {
        let (workers, here) = (Workers::new(2).unwrap(), thread::current().id());
        let mut items = vec![0_u8; 100];
        let there = workers.within(|| {
            workers.each(&mut items, |item| *item += 1);
            workers.within(|| thread::current().id())
        });
        assert!(there != here && items == [1; 100], "{items:?}");
        let failing = || workers.within(|| -> u8 { panic!("on purpose") });
        assert!(panic::catch_unwind(panic::AssertUnwindSafe(failing)).is_err());
        assert_eq!(workers.within(|| 7), 7, "the threads are there as before");
        assert_eq!(Workers::one().within(|| thread::current().id()), here);
    }
}
