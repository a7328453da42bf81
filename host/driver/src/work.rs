//! Slow work (key exchanges) on threads of its own, so that the event loop stays free for everyone else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::mpsc;
use vpnhost_ike::input::JobResult;
use vpnhost_ike::output::{Job, JobId};

use crate::error::DriverError;
use crate::limits;

/// A job and its name.
type Given = (JobId, Job);

/// The threads; they end when this is dropped.
pub(crate) struct Workers {
    jobs: SyncSender<Given>,
}

impl Workers {
    /// Starts the threads; what they find goes to `results`.
    pub(crate) fn start(results: &mpsc::Sender<(JobId, JobResult)>) -> Result<Self, DriverError> {
        let (jobs, waiting) = sync_channel(limits::JOBS);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..limits::WORKERS {
            let (waiting, results) = (Arc::clone(&waiting), results.clone());
            thread::Builder::new()
                .name(format!("work-{number}"))
                .spawn(move || work(&waiting, &results))
                .map_err(|source| DriverError::io("start a worker thread", source))?;
        }
        Ok(Self { jobs })
    }

    /// Gives a job away. One that finds no room comes back: the caller does it itself, so that none is lost.
    pub(crate) fn give(&self, id: JobId, job: Job) -> Option<Given> {
        match self.jobs.try_send((id, job)) {
            Ok(()) => None,
            Err(TrySendError::Full(given) | TrySendError::Disconnected(given)) => Some(given),
        }
    }
}

fn work(waiting: &Mutex<Receiver<Given>>, results: &mpsc::Sender<(JobId, JobResult)>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, job)) = next else { return };
        // A backend that panics costs one handshake, which ends by its timer, and no thread.
        let Ok(result) = catch_unwind(AssertUnwindSafe(|| job.run())) else {
            tracing::error!(job = id.0, "a key exchange panicked");
            continue;
        };
        if results.blocking_send((id, result)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_crypto::{ActiveKeyExchange, CryptoError, DrawnRandom, KeyExchangeAlgorithm, SecureRandom};

    use super::*;

    struct Zeros;

    impl SecureRandom for Zeros {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
            out.fill(1);
            Ok(())
        }
    }

    fn method() -> &'static dyn KeyExchangeAlgorithm {
        vpnhost_rustcrypto::backend().key_exchange()[0]
    }

    fn random() -> DrawnRandom {
        DrawnRandom::draw(&mut Zeros, DrawnRandom::KEY_EXCHANGE).unwrap()
    }

    /// Panics whatever is asked of it.
    struct Broken;

    impl ActiveKeyExchange for Broken {
        fn public(&self) -> &[u8] {
            &[]
        }

        fn complete(self: Box<Self>, _: &[u8]) -> Result<vpnhost_crypto::SecretBytes, CryptoError> {
            panic!("broken on purpose");
        }
    }

    #[test]
    fn a_job_is_done_elsewhere_and_a_panic_takes_no_worker_away() {
        let (sender, mut results) = mpsc::channel(limits::RESULTS);
        let workers = Workers::start(&sender).unwrap();
        for number in 0..limits::WORKERS as u64 {
            let broken = Job::CompleteKeyExchange(Box::new(Broken), Vec::new());
            assert!(workers.give(JobId(number), broken).is_none());
        }
        assert!(workers.give(JobId(7), Job::StartKeyExchange(method(), random())).is_none());
        let (id, result) = results.blocking_recv().unwrap();
        assert_eq!(id, JobId(7));
        assert!(matches!(result, JobResult::Started(Ok(_))));
    }
}
