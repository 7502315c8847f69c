//! Batches of a view, decoded ahead on worker threads, always in the same order.

mod batch;
mod config;
mod order;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

pub use self::{
    batch::{Batch, Templates},
    config::{LoaderConfig, Order, default_workers},
};
use self::{
    batch::{Builder, Built},
    order::Plan,
};
use crate::{BadFile, DataError, View, transform::Workspace};

/// An iterator of batches.
///
/// Order and augmentation depend on seed, epoch and index alone: not on the number of workers, and not on where the stream
/// was resumed. A bad item, under `on_error = "skip"`, is replaced in a shuffled stream by another that is drawn the same way,
/// and left out of a single pass, whose batch is then smaller. After an error the stream ends.
///
/// ```
/// use vqkit_data::{DataConfig, Loader, LoaderConfig};
///
/// let config: DataConfig = toml::from_str("image_size = 32\nsource = { type = 'shapes', count = 100 }")?;
/// let data = config.open()?;
/// let mut loader = Loader::new(&data.train, LoaderConfig { batch_size: 8, seed: 1, ..LoaderConfig::default() })?;
/// let batch = loader.next().expect("a shuffled stream has no end")?;
/// assert_eq!(batch.shape, [8, 3, 32, 32]);
/// assert_eq!(batch.position, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loader {
    view: View,
    /// `None` once the stream has ended.
    tickets: Option<Sender<u64>>,
    results: Receiver<(u64, Outcome)>,
    /// Batches that came before their turn.
    early: BTreeMap<u64, Outcome>,
    next: u64,
    issued: u64,
    bad: BTreeMap<usize, BadFile>,
    threads: Vec<JoinHandle<()>>,
}

type Outcome = Result<Option<Built>, DataError>;

impl Loader {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`DataError::Config`] for a view without samples, a rank outside the world, or a number that cannot be: a batch has 1 to
    /// 1,048,576 samples, there are 1 to 64 threads and as many batches ahead;
    /// [`DataError::Worker`] where the system gives no thread.
    pub fn new(view: &View, config: LoaderConfig) -> Result<Self, DataError> {
        config.validate(view)?;
        let builder = Arc::new(Builder {
            view: view.clone(),
            plan: Plan::new(view.len(), &config),
            order: config.order,
            seed: config.seed,
            augment: config.augment,
        });
        let reading = view.reading();
        let workers = config.workers.or(reading.workers).unwrap_or_else(default_workers);
        let prefetch = config.prefetch.unwrap_or(reading.prefetch) as u64;
        let (tickets, taken) = unbounded();
        let (sent, results) = unbounded();
        let threads = (0..workers)
            .map(|worker| start(worker, Arc::clone(&builder), taken.clone(), sent.clone()))
            .collect::<Result<_, _>>()?;
        let mut loader = Self {
            view: view.clone(),
            tickets: Some(tickets),
            results,
            early: BTreeMap::new(),
            next: 0,
            issued: 0,
            bad: BTreeMap::new(),
            threads,
        };
        (0..prefetch).for_each(|_| loader.issue());
        Ok(loader)
    }

    /// What was bad so far: first what was left out when the source was opened, then by position in the view.
    pub fn bad(&self) -> Vec<BadFile> {
        self.view.rejected().iter().chain(self.bad.values()).cloned().collect()
    }

    /// Lets the workers build one batch more. Batches issued and not yet taken are bounded by the prefetch.
    fn issue(&mut self) {
        if let Some(tickets) = &self.tickets {
            // Fails only when every worker is gone, which `receive` reports.
            let _ = tickets.send(self.issued);
            self.issued += 1;
        }
    }

    fn receive(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.early.remove(&self.next) {
                return outcome;
            }
            match self.results.recv() {
                Ok((number, outcome)) => drop(self.early.insert(number, outcome)),
                Err(_) => return Err(DataError::Worker("all of them are gone".into())),
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Batch>, DataError> {
        loop {
            let Some(built) = self.receive()? else { return Ok(None) };
            self.next += 1;
            self.issue();
            self.bad.extend(built.bad);
            self.check_bad()?;
            if built.batch.shape[0] > 0 {
                return Ok(Some(built.batch));
            }
        }
    }

    fn check_bad(&self) -> Result<(), DataError> {
        let rejected = self.view.rejected();
        let (bad, total) = (self.bad.len() + rejected.len(), self.view.len() + rejected.len());
        let max_error_rate = self.view.reading().max_error_rate;
        match self.bad.values().next() {
            Some(first) if bad as f64 > max_error_rate * total as f64 => {
                Err(DataError::TooManyErrors { bad, total, max_error_rate, first: first.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.tickets.as_ref()?;
        let item = self.advance().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.tickets = None;
        }
        item
    }
}

impl Drop for Loader {
    /// Workers end after the batch that they are at.
    fn drop(&mut self) {
        self.tickets = None;
        // Tickets that nobody has taken would still be worked off.
        let (_, closed) = unbounded();
        self.results = closed;
        for thread in self.threads.drain(..) {
            // A worker reports its own panics; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn start(
    worker: usize,
    builder: Arc<Builder>,
    tickets: Receiver<u64>,
    results: Sender<(u64, Outcome)>,
) -> Result<JoinHandle<()>, DataError> {
    let work = move || {
        let mut workspace = Workspace::default();
        for number in tickets {
            let build = || builder.build(number, &mut workspace);
            let outcome = catch_unwind(AssertUnwindSafe(build))
                .unwrap_or_else(|_| Err(DataError::Worker(format!("it panicked at batch {number}"))));
            if results.send((number, outcome)).is_err() {
                return;
            }
        }
    };
    let name = format!("vqkit-data-{worker}");
    thread::Builder::new().name(name).spawn(work).map_err(|error| DataError::Worker(error.to_string()))
}
