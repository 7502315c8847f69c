//! From a prompt to images.
#![doc = include_str!("../README.md")]

mod contact_sheet;
mod embeddings;
mod error;
pub mod folder;
mod generated_image;
mod generator;
mod inpaint;
pub mod networks;
mod prompt;
pub mod record;
mod request;
mod resolve;
mod shape_check;
mod task;

pub use embeddings::EmbeddingRef;
pub use error::{Result, SampleError};
pub use folder::{Target, Written};
pub use generated_image::GeneratedImage;
pub use generator::Generator;
pub use inpaint::{InpaintMask, KeptRegion, KeptTokens};
pub use networks::{Generated, Networks};
pub use prompt::{Prompt, PromptArgs, ResolvedPrompt};
pub use record::{Record, SampleFile, SampleRecord};
pub use request::{Prompts, Request};
pub use resolve::PromptResolver;
pub use shape_check::{Ratio, ShapeAccuracy, ShapeChecker};
