//! Batches of a view, decoded ahead on worker threads, always in the same order.

mod batch;
mod order;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

pub use self::batch::{Batch, Templates};
use self::{
    batch::{Builder, Built},
    order::Plan,
};
use crate::{
    BadFile, DataError, View,
    config::{MAX_PREFETCH, MAX_WORKERS, within},
    transform::Workspace,
};

/// The most samples of a batch.
const MAX_BATCH: u64 = 1 << 20;

/// The most ranks.
const MAX_WORLD: u64 = 1 << 16;

/// The last place that a stream begins at; no sum of places leaves 64 bits.
const MAX_START: u64 = 1 << 62;

/// In which order a loader goes through a view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Epoch after epoch without end, each in an order of its own; batches run on over the ends of epochs.
    #[default]
    Shuffled,
    /// Once, from the first to the last.
    Sequential,
}

/// How a loader goes through a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Samples of a batch, per rank. Default 1.
    pub batch_size: usize,
    /// Decides order and augmentation. Default 0.
    pub seed: u64,
    /// Default [`Order::Shuffled`].
    pub order: Order,
    /// Samples that all ranks together have consumed already: [`Batch::position`] of the last batch. Default 0.
    pub start: u64,
    /// Which rank this is, below `world`. Default 0.
    pub rank: usize,
    /// The number of ranks that share the stream. Default 1.
    pub world: usize,
    /// Decoding threads. Default: as `[data]` says.
    pub workers: Option<usize>,
    /// Batches decoded ahead. Default: as `[data]` says.
    pub prefetch: Option<usize>,
    /// Whether to mirror and to crop at random, where `[data]` says so; otherwise the middle is taken as it is. Default
    /// false.
    pub augment: bool,
    /// Whether to leave out a last batch that is not full, in a single pass. Default false.
    pub drop_last: bool,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 1,
            seed: 0,
            order: Order::Shuffled,
            start: 0,
            rank: 0,
            world: 1,
            workers: None,
            prefetch: None,
            augment: false,
            drop_last: false,
        }
    }
}

/// Decoding threads where nothing is said: a quarter of the cores, 1 to 8, so that the rest are left to the threads that
/// compute.
pub fn default_workers() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get() / 4).clamp(1, 8)
}

/// An iterator of batches.
///
/// Order and augmentation depend on seed, epoch and index alone: not on the number of workers, and not on where the stream
/// was resumed. A bad item, under `on_bad = "skip"`, is replaced in a shuffled stream by another that is drawn the same way,
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
        validate(view, &config)?;
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
        let max_bad = self.view.reading().max_bad;
        match self.bad.values().next() {
            Some(first) if bad as f64 > max_bad * total as f64 => {
                Err(DataError::TooManyBad { bad, total, max_bad, first: first.clone() })
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

fn validate(view: &View, config: &LoaderConfig) -> Result<(), DataError> {
    if view.is_empty() {
        return Err(DataError::config("held_out", "there are no samples in this part of the data"));
    }
    within("batch_size", config.batch_size as u64, MAX_BATCH)?;
    config.workers.map_or(Ok(()), |workers| within("workers", workers as u64, MAX_WORKERS as u64))?;
    config.prefetch.map_or(Ok(()), |prefetch| within("prefetch", prefetch as u64, MAX_PREFETCH as u64))?;
    within("world", config.world as u64, MAX_WORLD)?;
    if config.start > MAX_START {
        return Err(DataError::config("start", format!("must be 0 to {MAX_START}, found {}", config.start)));
    }
    if config.rank >= config.world {
        let reason = format!("rank {} of a world of {}", config.rank, config.world);
        return Err(DataError::config("rank", reason));
    }
    Ok(())
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
