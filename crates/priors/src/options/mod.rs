//! Options of sampling: everything that a sample depends on besides prior and condition.

mod autoregressive;
mod best_by;
mod call;
mod cfg_schedule;
mod sampling;
mod weight_dtype;

pub use autoregressive::AutoregressiveSampling;
pub use best_by::BestBy;
pub use call::{SampleOptions, Sampled};
pub use cfg_schedule::CfgSchedule;
pub use sampling::Sampling;
pub use weight_dtype::WeightDtype;
