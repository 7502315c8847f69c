//! A generator: the networks of a run, opened once and used as often as needed.

use vqkit_data::Dataset;
use vqkit_recipe::Recipe;
use vqkit_run::{Context, Run};
use vqkit_tokens::run_tokens;

use crate::{
    error::Result,
    generated_image::GeneratedImage,
    networks::Networks,
    request::{Prompts, Request},
    resolve::PromptResolver,
    task::Task,
};

/// The networks of a run, ready to generate images. It owns everything it needs, so a thread or a server can keep it.
///
/// ```no_run
/// use vqkit_run::{Context, Run};
/// use vqkit_sample::{Generator, Request};
///
/// let mut generator = Generator::open(&Run::open("runs/demo".as_ref())?, &Context::silent("auto")?)?;
/// for image in generator.generate(&Request::of_class("circle", 8), None)? {
///     println!("{:.1} nats", image.log_likelihood);
/// }
/// # Ok::<(), vqkit_sample::SampleError>(())
/// ```
#[derive(Debug)]
pub struct Generator {
    prompter: PromptResolver,
    networks: Networks,
}

impl Generator {
    /// Loads the networks of a run.
    ///
    /// # Errors
    /// When the run is not trained, or its files do not fit.
    pub fn open(run: &Run, context: &Context) -> Result<Self> {
        let prompter = PromptResolver::of_run(run, context)?;
        let facts = run_tokens::vocabulary(run)?.facts;
        let networks = Networks::load(run, facts, context)?;
        Ok(Self { prompter, networks })
    }

    /// The run's recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.prompter.recipe
    }

    /// Generates the requested images in memory. `data`: the data of the run; conditions that the request leaves out
    /// come from its validation samples.
    ///
    /// # Errors
    /// When the run does not take such a condition, its priors do not support the options, or the work is interrupted.
    pub fn generate(&mut self, request: &Request, data: Option<&Dataset>) -> Result<Vec<GeneratedImage>> {
        let task = self.begin(request, data)?;
        let mut images = Vec::with_capacity(request.sample.count);
        task.draw(|image| {
            images.push(image);
            Ok(())
        })?;
        Ok(images)
    }

    /// Resolves and checks a request, before its first image is generated.
    pub(crate) fn begin<'t>(&'t mut self, request: &'t Request, data: Option<&Dataset>) -> Result<Task<'t>> {
        let Self { prompter, networks } = self;
        networks.configure(&request.sample, &prompter.recipe, &prompter.context)?;
        let (seen, samples_per_condition) = match &request.prompts {
            Prompts::PromptArgs { asked, samples_per_condition } => {
                prompter.check(asked, networks)?;
                (
                    prompter.prompts(
                        asked,
                        data,
                        request.sample.count.div_ceil(*samples_per_condition),
                        networks.size(),
                    )?,
                    *samples_per_condition,
                )
            }
            Prompts::Recorded(prompts, _) => (prompter.recorded(prompts.clone())?, 1),
        };
        let kept = match (&request.keep, &request.prompts) {
            (Some(keep), _) => Some(keep.of_image(&prompter.recipe, networks, &prompter.context)?),
            (None, Prompts::Recorded(_, kept)) => kept.clone(),
            (None, Prompts::PromptArgs { .. }) => None,
        };
        Ok(Task { networks, prompter, seen, samples_per_condition, kept, request })
    }
}
