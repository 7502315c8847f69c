//! What single images are conditioned on: as the caller requests, or as validation samples have it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tch::{Device, Kind, Tensor};
use vqkit_data::{DataError, Dataset, Sample, TemplateReader, View};
use vqkit_priors::{Condition, Text};
use vqkit_recipe::{InvalidRequest, Modality, Recipe};
use vqkit_run::{Context, RgbImage, Run, batch_tensors};
use vqkit_tokens::{
    ConditionEncoder, Split, TokenRows, level_order::places_between, run_tokens, run_tokens::Vocabulary, with_grids,
};
use vqkit_torch::{TokenGrid, Tokens};
use vqkit_vqvae::Tokenizer;

use crate::{
    embeddings, embeddings::EmbeddingRef, error::Result, networks::Networks, prompt::Prompt, prompt::PromptArgs,
    prompt::ResolvedPrompt,
};

/// Largest number of classes that a message names.
const NAMED: usize = 50;

/// Turns requested conditions into prompts, and prompts into the tensors that priors take.
#[derive(Debug)]
pub struct PromptResolver {
    /// The run, opened for reading.
    pub run: Run,
    /// Its recipe.
    pub recipe: Arc<Recipe>,
    /// The encoder of conditions.
    pub encoder: ConditionEncoder,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Those of them that have no training sample.
    pub empty_classes: HashSet<String>,
    /// The device and the observer.
    pub context: Context,
}

impl PromptResolver {
    /// The resolver of a run whose stage `tokens` is done.
    ///
    /// # Errors
    /// When that stage is not done, or its files cannot be read.
    pub fn of_run(run: &Run, context: &Context) -> Result<Self> {
        let run = Run::open(run.path())?;
        let recipe = Arc::clone(run.recipe());
        let encoder = ConditionEncoder::of_run(&run, Split::Validation, context)?;
        let Vocabulary { classes, empty_classes, .. } = run_tokens::vocabulary(&run)?;
        let empty_classes = empty_classes.into_iter().collect();
        Ok(Self { run, recipe, encoder, classes, empty_classes, context: context.clone() })
    }

    /// `count` prompts, for images of this height and width.
    ///
    /// # Errors
    /// [`InvalidRequest`] where the run does not take a requested condition, or a condition that was left out is not
    /// available.
    pub fn prompts(
        &self,
        asked: &PromptArgs,
        data: Option<&Dataset>,
        count: usize,
        size: [u32; 2],
    ) -> Result<Vec<ResolvedPrompt>> {
        let condition = &self.recipe.condition;
        let class = self.class(asked)?;
        if let Some(class) = class.as_ref().filter(|class| self.empty_classes.contains(*class)) {
            self.context
                .warn(format_args!("the class `{class}` has no training sample, so the priors know nothing of it"));
        }
        if let Some(tokenizer) = self.encoder.text() {
            asked.texts.iter().try_for_each(|text| tokenizer.encode_prompt(text).map(drop))?;
        }
        let vectors = match (&asked.embedding, &condition.embedding) {
            (Some(path), Some(config)) => EmbeddingRef::of_file(path, config)?,
            _ => Vec::new(),
        };
        let own = |index: usize| Prompt {
            class: class.clone(),
            text: asked.texts.get(index % asked.texts.len().max(1)).cloned(),
            embedding: vectors.get(index % vectors.len().max(1)).cloned(),
            ..Prompt::default()
        };
        let words = condition.class || condition.text.is_some() || condition.embedding.is_some();
        let may_lack_template = self.recipe.priors.iter().all(|prior| prior.network.drops_each_condition());
        // Elsewhere guidance moves away from a template only where there is nothing else.
        let is_needed = if may_lack_template { !asked.asks() } else { words || !asked.unconditional };
        let needs_template = condition.template.is_some() && is_needed;
        let lacks_template = needs_template && !asked.has_template();
        let lacks_words = (condition.text.is_some() || condition.embedding.is_some()) && !asked.asks();
        if lacks_template && size != [self.recipe.data.image_size; 2] {
            let reason = "validation templates have the size of training; give a larger template yourself";
            return Err(InvalidRequest::option("size", reason).into());
        }
        if lacks_template || lacks_words {
            return self.of_validation(asked.asks().then_some(&own), data, count);
        }
        let ResolvedPrompt { prompt: of_template, template, .. } =
            self.seen(Prompt::default(), self.template_of_file(asked, size)?, None)?;
        let learned: Vec<&String> = self.classes.iter().filter(|class| !self.empty_classes.contains(*class)).collect();
        let seen = |index: usize| {
            let mut prompt = Prompt { template: of_template.template.clone(), ..own(index) };
            if condition.class && !asked.asks() {
                prompt.class = learned.get(index % learned.len().max(1)).map(|class| (*class).clone());
            }
            ResolvedPrompt { prompt, template: template.as_ref().map(Tensor::shallow_clone), truth: None }
        };
        Ok((0..count).map(seen).collect())
    }

    /// The condition tensors of prompts, which all have the same kinds of conditions.
    ///
    /// # Errors
    /// When a prompt does not fit the run.
    pub fn condition(&self, prompts: &[Prompt], networks: &Networks) -> Result<Condition> {
        let (recipe, device) = (&self.recipe, self.context.device);
        let mut condition = Condition::none();
        let classes: Option<Vec<&String>> = prompts.iter().map(|prompt| prompt.class.as_ref()).collect();
        if let (true, Some(classes)) = (recipe.condition.class, classes) {
            let known: HashMap<&String, i64> = self.classes.iter().zip(0..).collect();
            let numbers: Vec<i64> = classes.iter().map(|name| known.get(*name).copied().unwrap_or(-1)).collect();
            condition = condition.with_class(Tensor::from_slice(&numbers).to_device(device));
        }
        let texts: Option<Vec<&String>> = prompts.iter().map(|prompt| prompt.text.as_ref()).collect();
        if let (Some(tokenizer), Some(texts)) = (self.encoder.text(), texts) {
            let ids =
                texts.into_iter().map(|text| Ok(tokenizer.encode_caption(text)?.0)).collect::<Result<Vec<_>>>()?;
            let Text { ids, mask } = tokenizer.batch(&ids, device);
            condition = condition.with_text(ids, mask);
        }
        let vectors: Option<Vec<&EmbeddingRef>> = prompts.iter().map(|prompt| prompt.embedding.as_ref()).collect();
        if let Some(vectors) = vectors {
            let numbers = embeddings::read(&vectors, &self.encoder)?;
            condition = self.encoder.with_vectors(condition, &numbers)?;
        }
        if recipe.condition.template.is_some() {
            let sizes = self.encoder.template().map(Tokenizer::codebook_sizes).unwrap_or_default();
            let grids = match prompts.iter().all(|prompt| prompt.template.is_empty()) {
                true => self.null_template(prompts.len())?,
                false => tokens(prompts, &sizes, device)?,
            };
            condition = with_grids(condition, grids);
        }
        let size = networks.size();
        Ok(with_grids(condition, self.encoder.coordinates_of_whole(size, prompts.len())?))
    }

    /// Grids of the null token, whose index follows those of all codes.
    fn null_template(&self, batch: usize) -> Result<Tokens> {
        let Some(tokenizer) = self.encoder.template() else { return Ok(Tokens::new()) };
        let shapes = tokenizer.grid_shapes(Modality::Template.input_spec(&self.recipe.data).size.into())?;
        let null = |(shape, sizes): ([i64; 2], Vec<i64>)| {
            let shape = [&[batch as i64, sizes.len() as i64], shape.as_slice()].concat();
            let null = sizes.iter().sum::<i64>();
            TokenGrid { indices: Tensor::full(shape, null, (Kind::Int64, self.context.device)), sizes }
        };
        Ok(shapes.into_iter().zip(tokenizer.codebook_sizes()).map(null).collect())
    }

    /// Checks that the run takes the requested conditions.
    ///
    /// # Errors
    /// [`InvalidRequest`] that says what the run takes.
    pub fn check(&self, asked: &PromptArgs, networks: &Networks) -> Result<()> {
        self.check_kinds(asked)?;
        let condition = &self.recipe.condition;
        let leaves_out = asked.asks()
            && (condition.class && !asked.has_class()
                || condition.text.is_some() && asked.texts.is_empty()
                || condition.embedding.is_some() && asked.embedding.is_none());
        if (leaves_out || asked.unconditional) && !networks.has_null() {
            let reason = format!(
                "the priors were trained without dropout of their condition and have no unconditional mode, so give all of it: {}",
                condition.describe()
            );
            return Err(InvalidRequest::key("condition", reason).into());
        }
        Ok(())
    }

    /// The prompts of a record.
    ///
    /// # Errors
    /// When a template cannot be decoded.
    pub fn recorded(&self, prompts: Vec<Prompt>) -> Result<Vec<ResolvedPrompt>> {
        let seen = |prompt: Prompt| {
            let template = self.decoded(&prompt)?;
            Ok(ResolvedPrompt { prompt, template, truth: None })
        };
        prompts.into_iter().map(seen).collect()
    }

    fn check_kinds(&self, asked: &PromptArgs) -> Result<()> {
        let condition = &self.recipe.condition;
        for (option, is_asked, takes) in [
            ("class", asked.has_class(), condition.class),
            ("text", !asked.texts.is_empty(), condition.text.is_some()),
            ("embedding", asked.embedding.is_some(), condition.embedding.is_some()),
            ("template", asked.has_template(), condition.template.is_some()),
        ] {
            if is_asked && !takes {
                return Err(InvalidRequest::option(option, condition.describe()).into());
            }
            if is_asked && asked.unconditional {
                return Err(InvalidRequest::option(option, "excludes `unconditional`").into());
            }
        }
        Ok(())
    }

    /// The name of the requested class, if any.
    fn class(&self, asked: &PromptArgs) -> Result<Option<String>> {
        let at = |index: usize| self.classes.get(index).cloned();
        let known = || {
            let more = if self.classes.len() > NAMED { ", …" } else { "" };
            self.classes.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ") + more
        };
        match (&asked.class, asked.class_index) {
            (Some(_), Some(_)) => Err(InvalidRequest::option("class_index", "excludes a class by name").into()),
            (None, None) => Ok(None),
            (None, Some(index)) => Ok(Some(at(index).ok_or_else(|| {
                let reason = format!("there are {} classes, and no number {index}: {}", self.classes.len(), known());
                InvalidRequest::option("class_index", reason)
            })?)),
            (Some(name), None) if self.classes.contains(name) => Ok(Some(name.clone())),
            (Some(name), None) => {
                // Where names are numbers, a number is a name.
                let are_numbers = self.classes.iter().any(|class| class.parse::<i64>().is_ok());
                let by_number = name.parse().ok().filter(|_| !are_numbers).and_then(at);
                let hint = if are_numbers { "; classes are given by name, by position as class_index" } else { "" };
                Ok(Some(by_number.ok_or_else(|| {
                    let reason = format!("there is no class `{name}`; the run knows {}{hint}", known());
                    InvalidRequest::option("class", reason)
                })?))
            }
        }
    }

    /// The prompts of validation samples in turn, captions that never occurred in training first; `asked`, where it is
    /// given, replaces their conditions.
    fn of_validation(
        &self,
        asked: Option<&dyn Fn(usize) -> Prompt>,
        data: Option<&Dataset>,
        count: usize,
    ) -> Result<Vec<ResolvedPrompt>> {
        let validation = validation(data)?;
        let places = self.places(validation.len())?;
        let mut prompts = Vec::with_capacity(count);
        for place in places.iter().cycle().take(count.min(places.len())) {
            let sample = validation.get(*place)?;
            let prompt = asked.map_or_else(|| self.prompt_of(&sample), |asked| Ok(asked(prompts.len())))?;
            let template =
                self.recipe.condition.template.as_ref().map(|_| self.template_of_sample(&sample)).transpose()?;
            let truth = Tensor::from_slice(&validation.transform().image(&sample.image)?);
            let shape = Modality::Image.input_spec(&self.recipe.data);
            let truth = batch_tensors::pictures(
                shape,
                &truth.view([1, shape.channels as i64, shape.size.into(), shape.size.into()]),
            );
            let prompt = Prompt { validation: Some(sample.key), ..prompt };
            prompts.push(self.seen(prompt, template, truth.into_iter().next())?);
        }
        Ok(prompts)
    }

    /// What the priors are conditioned on for a validation sample, except for its template.
    fn prompt_of(&self, sample: &Sample) -> Result<Prompt> {
        let condition = &self.recipe.condition;
        let name = |class: u32| self.classes.get(class as usize).cloned().unwrap_or_else(|| class.to_string());
        let vectors = || EmbeddingRef::of_sample(&sample.key, self.encoder.embeddings()?);
        Ok(Prompt {
            class: sample.class.filter(|_| condition.class).map(name),
            text: sample.caption.clone().filter(|_| condition.text.is_some()),
            embedding: condition.embedding.as_ref().map(|_| vectors()).transpose()?,
            ..Prompt::default()
        })
    }

    /// Validation samples in the order in which they are used: first those whose caption never occurred in training.
    fn places(&self, validation: usize) -> Result<Vec<usize>> {
        let all = (0..validation).collect();
        if self.recipe.condition.text.is_none() {
            return Ok(all);
        }
        let rows = |split: Split| -> Result<Vec<Vec<i64>>> {
            let tokens = run_tokens::read_tokens(&self.run, split)?;
            let texts = tokens.texts(&places_between(0, tokens.len()), Device::Cpu)?;
            Ok(texts.map(|texts| Vec::try_from(texts.contiguous())).transpose()?.unwrap_or_default())
        };
        let known: HashSet<Vec<i64>> = rows(Split::Train)?.into_iter().collect();
        let (new, old): (Vec<_>, Vec<_>) =
            rows(Split::Validation)?.into_iter().enumerate().partition(|(_, row)| !known.contains(row));
        Ok(new.into_iter().chain(old).map(|(place, _)| place).filter(|place| *place < validation).collect())
    }

    fn template_of_file(&self, asked: &PromptArgs, size: [u32; 2]) -> Result<Option<Tensor>> {
        let (path, option) = match (&asked.template, &asked.template_of) {
            (Some(path), _) => (path, "template"),
            (None, Some(path)) => (path, "template_of"),
            (None, None) => return Ok(None),
        };
        let image_size = self.recipe.data.image_size;
        let is_trained_size = size == [image_size; 2];
        if option == "template_of" && !is_trained_size {
            return Err(InvalidRequest::option("template_of", "with a larger size, give the template itself").into());
        }
        let reader = self.reader()?;
        let usage = |error: DataError| InvalidRequest::option(option, error.to_string());
        let name = path.display().to_string();
        let files = self.recipe.data.reader();
        let large = size.map(|side| side * reader.size() as u32 / image_size);
        let values = match option {
            "template_of" => reader.derive(&files.read(path).map_err(usage)?),
            _ => {
                let picture = files.read_template(path, reader.kind()).map_err(usage)?;
                match is_trained_size {
                    true => reader.read(&name, &picture),
                    false => reader.read_large(&name, &picture, large),
                }
            }
        };
        Ok(Some(Tensor::from_slice(&values.map_err(usage)?).view([-1, large[0].into(), large[1].into()])))
    }

    fn reader(&self) -> Result<TemplateReader> {
        let missing = || InvalidRequest::key("condition.template", "the recipe has no templates");
        Ok(TemplateReader::new(&self.recipe.data).ok_or_else(missing)?)
    }

    /// The template of a validation sample.
    fn template_of_sample(&self, sample: &Sample) -> Result<Tensor> {
        let reader = self.reader()?;
        let values = match &sample.template {
            Some(template) if !reader.derives() => reader.read_of_any_size(&sample.key, template)?,
            _ => reader.derive(&sample.image)?,
        };
        let size = reader.size() as i64;
        Ok(Tensor::from_slice(&values).view([-1, size, size]))
    }

    fn seen(&self, mut prompt: Prompt, template: Option<Tensor>, truth: Option<RgbImage>) -> Result<ResolvedPrompt> {
        if let (Some(template), Some(kind)) = (&template, self.recipe.data.template_kind()) {
            let values = batch_tensors::encoder_input(template.unsqueeze(0), &kind).to_device(self.context.device);
            prompt.template = self.encoder.template_tokens(&values)?.iter().map(TokenRows::of).collect();
        }
        Ok(ResolvedPrompt { prompt, template, truth })
    }

    /// The template that its tokenizer decodes from the indices of a prompt.
    fn decoded(&self, prompt: &Prompt) -> Result<Option<Tensor>> {
        let (Some(tokenizer), false) = (self.encoder.template(), prompt.template.is_empty()) else {
            return Ok(None);
        };
        let tokens = tokens(std::slice::from_ref(prompt), &tokenizer.codebook_sizes(), self.context.device)?;
        let values = tch::no_grad(|| tokenizer.decode(&tokens))?;
        let labels = Modality::Template.input_spec(&self.recipe.data).labels;
        Ok(Some(if labels { values.argmax(1, false).get(0).unsqueeze(0) } else { values.get(0) }))
    }
}

/// The indices of the templates of prompts, level by level; `None` where they have no templates.
pub fn tokens(prompts: &[Prompt], sizes: &[Vec<i64>], device: Device) -> Result<Tokens> {
    let levels = prompts.first().map_or(0, |prompt| prompt.template.len());
    if levels != sizes.len() || prompts.iter().any(|prompt| prompt.template.len() != levels) {
        let message = format!("the templates of the record do not have the run's {} levels", sizes.len());
        return Err(InvalidRequest::option("replay", message).into());
    }
    let of_level = |level: usize| -> Result<TokenGrid> {
        let indices = TokenRows::batch(prompts.iter().map(|prompt| &prompt.template[level]))?;
        let grid = TokenGrid::new(indices.f_to_device(device)?, sizes[level].clone())?;
        grid.check_range()?;
        Ok(grid)
    };
    (0..levels).map(of_level).collect()
}

fn validation(data: Option<&Dataset>) -> Result<&View> {
    match data {
        Some(data) if !data.validation.is_empty() => Ok(&data.validation),
        _ => {
            let reason = "conditions that are not given come from validation samples, but the run's data cannot be opened: \
                          put it where the recipe says, or give every condition";
            Err(InvalidRequest::key("data", reason).into())
        }
    }
}
