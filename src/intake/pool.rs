//! The bounded pool in which large mails are told: parsing them is work for a core, not for the network's threads. What is as small as bounces
//! mostly are is told where it came in: two hand-overs between threads would cost more than the telling.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread::available_parallelism,
};

use tokio::sync::Semaphore;

/// As many places as there are cores; who finds none waits, and with it the session's client.
#[derive(Debug)]
pub struct Pool {
    places: Semaphore,
}

/// The work panicked.
#[derive(Debug)]
pub struct Panicked;

impl Pool {
    pub fn new() -> Pool {
        Pool { places: Semaphore::new(available_parallelism().map_or(1, usize::from)) }
    }

    /// Runs `work` here and now: for what takes less than handing it to another thread and back.
    ///
    /// # Errors
    /// [`Panicked`] when it did; the daemon goes on.
    pub fn at_once<T>(&self, work: impl FnOnce() -> T) -> Result<T, Panicked> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
    }

    /// Runs `work` on a thread of its own kind.
    ///
    /// # Errors
    /// [`Panicked`] when it did; the daemon goes on.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
        // The semaphore is never closed; were it, work would go on without the bound.
        let _place = self.places.acquire().await;
        let caught = tokio::task::spawn_blocking(|| catch_unwind(AssertUnwindSafe(work))).await;
        match caught {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) | Err(_) => Err(Panicked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[tokio::test]
    async fn a_panic_stays_inside() {
        let pool = Pool::new();
        assert!(pool.run(|| -> () { panic!("hostile") }).await.is_err());
        assert_eq!(pool.run(|| 7).await.ok(), Some(7));
        assert!(pool.at_once(|| -> () { panic!("hostile") }).is_err());
        assert_eq!(pool.at_once(|| 7).ok(), Some(7));
    }
}
